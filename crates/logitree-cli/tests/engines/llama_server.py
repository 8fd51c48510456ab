"""A real llama.cpp server as the engine, with both real models: llama_server.py LOGITREE MODEL.gguf ...

Shown: the run file holds exactly what the server answered (the answers are seen by a proxy in between), and the tree is
the local engine's but where the server's 8-bit activations move a probability over the threshold, which is listed.
"""

import http.server
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

PROMPT, DEPTH, SLOTS = "The capital of India is", "5", 2


def serve(model):
    """In a process of its own: the server, until it is killed."""
    import xllamacpp

    p = xllamacpp.CommonParams()
    p.model.path = model
    p.port = int(sys.argv[3])
    p.n_parallel = SLOTS
    p.n_ctx = 4096
    p.kv_unified = True
    p.swa_full = True
    p.cpuparams.n_threads = os.cpu_count()
    server = xllamacpp.Server(p)  # ends when it is forgotten
    while server:
        time.sleep(3600)


class Proxy(http.server.BaseHTTPRequestHandler):
    """Hands requests on and keeps what was answered, by the path asked about."""

    target, answers = "", {}
    protocol_version = "HTTP/1.1"

    def hand_on(self, body):
        request = urllib.request.Request(self.target + self.path, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                status, answer = response.status, response.read()
        except urllib.error.HTTPError as e:
            status, answer = e.code, e.read()
        if self.path == "/completion" and status == 200:
            asked = tuple(json.loads(body)["prompt"])
            self.answers[asked] = json.loads(answer)["completion_probabilities"][0]["top_logprobs"]
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self):
        self.hand_on(None)

    def do_POST(self):
        self.hand_on(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Tree:
    """A run file's nodes by their path of ids."""

    def __init__(self, file):
        lines = [json.loads(line) for line in open(file)]
        self.header, self.end = lines[0], lines[-1]
        self.prompt = tuple(t["id"] for t in self.header["prompt"]["tokens"])
        paths, self.expansions, self.nodes = {0: ()}, {}, {}
        for line in lines:
            if line["type"] == "expand":
                self.expansions[paths[line["node"]]] = line
            elif line["type"] == "node":
                path = paths[line["parent"]] + (line["id"],)
                paths[line["node"]] = path
                self.nodes[path] = line


def check(logitree, model, folder):
    port = free_port()
    server = subprocess.Popen([sys.executable, __file__, "--serve", model, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    Proxy.target, Proxy.answers = f"http://127.0.0.1:{port}", {}
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        started = time.monotonic()
        while True:
            try:
                urllib.request.urlopen(Proxy.target + "/health", timeout=5)
                break
            except OSError:
                assert server.poll() is None, "the server ended"
                assert time.monotonic() - started < 120, "the server does not start"
                time.sleep(0.1)
        url = f"http://127.0.0.1:{proxy.server_port}/v1"

        def run(*args):
            done = subprocess.run([logitree, *args], capture_output=True, text=True, cwd=folder)
            assert done.returncode == 0, done.stderr
            return done.stdout

        probe = json.loads(run("engine", "probe", url, "--format", "json"))
        assert (probe["kind"], probe["slots"], probe["raw"], probe["ids"]) == ("llama-server", SLOTS, True, True), probe

        there, here = (os.path.join(folder, name + ".run.jsonl") for name in ("there", "here"))
        run("tree", PROMPT, "--max-depth", DEPTH, "--engine", url, "-o", there, "--no-tree")
        run("tree", PROMPT, "--max-depth", DEPTH, "-m", model, "-o", here, "--no-tree")
        there, here = Tree(there), Tree(here)
        assert there.prompt == here.prompt, "the prompt is split differently"
        assert there.header["model"]["end_tokens"] == here.header["model"]["end_tokens"], "other end tokens"

        # What the file says is what the server said.
        worst = 0
        for path, e in there.expansions.items():
            answer = Proxy.answers[there.prompt + path]
            assert [t["id"] for t in e["top"]] == [t["id"] for t in answer[: len(e["top"])]], path
            for mine, theirs in zip(e["top"], answer):
                worst = max(worst, abs(mine["logprob"] - theirs["logprob"]))
                assert bytes(theirs["bytes"]).decode(errors="replace") in ("", mine["text"]) and mine["text"], (mine, theirs)
            assert e["exactness"] == "lower_bound"
        assert worst <= 1e-4, worst

        # The trees are the same but for probabilities that another arithmetic moves over the threshold.
        moved, drift = [], 0
        for path in there.expansions.keys() & here.expansions.keys():
            a, b = there.expansions[path], here.expansions[path]
            pa, pb = ({t["id"]: math.exp(t["logprob"]) for t in e["top"]} for e in (a, b))
            drift = max(drift, max(abs(math.log(pa[t] / pb[t])) for t in pa.keys() & pb.keys() if pb[t] > 0.01))
            for t in pa.keys() | pb.keys():
                is_there, is_here = path + (t,) in there.nodes, path + (t,) in here.nodes
                over = lambda e, p: p.get(t, 0) > e["threshold"] or t == e["top"][0]["id"]
                assert (is_there, is_here) == (over(a, pa), over(b, pb)), (path, t)
                if is_there != is_here:
                    moved.append(f"{t} after {path}: {pa.get(t, 0):.4f} there, {pb.get(t, 0):.4f} here, T {a['threshold']:.3f} and {b['threshold']:.3f}")
        print(f"{os.path.basename(model)}: {len(there.nodes)} nodes there, {len(here.nodes)} here; the file differs from the server's "
              f"numbers by at most {worst:.1e} nats, the server from exact arithmetic by {drift:.2f} (prob > 1 %)")
        for line in moved:
            print("  moved over T:", line)

        # A text's tokens behind any list, too. Lists of a large vocabulary take the server long.
        if probe["vocab"] > 100_000:
            return
        score = json.loads(run("score", "The capital of India is purple", "--engine", url, "--format", "json"))
        local = json.loads(run("score", "The capital of India is purple", "-m", model, "--format", "json"))
        for a, b in zip(score["tokens"], local["tokens"], strict=True):
            assert a["id"] == b["id"] and (a["logprob"] is None) == (b["logprob"] is None)
        last = [s["tokens"][-1] for s in (score, local)]
        assert last[0]["rank"] > 100 and abs(last[0]["logprob"] - last[1]["logprob"]) < 2, last
    finally:
        server.kill()
        proxy.shutdown()


if sys.argv[1] == "--serve":
    serve(sys.argv[2])
else:
    for model in sys.argv[2:]:
        with tempfile.TemporaryDirectory() as folder:
            check(os.path.abspath(sys.argv[1]), os.path.abspath(model), folder)
