"""What fifty clients of a live run cost: clients.py LOGITREE [ROUNDS]

Grows the same run in turn with nobody looking and with fifty streams of its events, all of which get every line, and
compares nodes/s. The clients take their share of the same cores.
"""

import json
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import urllib.request

CLIENTS, NODES = 50, 5000


class Server:
    def __init__(self, logitree, folder):
        self.process = subprocess.Popen([logitree, "serve", "--data-dir", folder, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        link = self.process.stdout.readline()
        self.address, self.token = re.match(r"http://(.*)/\?token=(\w+)", link).groups()

    def call(self, path, body=None):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(urllib.request.Request(f"http://{self.address}/api/v1{path}", data, headers)) as answer:
            return json.load(answer)

    def stream(self, run):
        host, port = self.address.rsplit(":", 1)
        s = socket.create_connection((host, int(port)))
        s.sendall(f"GET /api/v1/runs/{run}/events HTTP/1.1\r\nHost: {self.address}\r\nAuthorization: Bearer {self.token}\r\n\r\n".encode())
        s.setblocking(False)
        return s


def read(streams, counts, stop):
    """Counts every stream's nodes until the run is over for all."""
    selector = selectors.DefaultSelector()
    for s in streams:
        selector.register(s, selectors.EVENT_READ)
    ended = set()
    tails = {s: b"" for s in streams}
    while len(ended) < len(streams) and not stop.is_set():
        for key, _ in selector.select(timeout=1):
            data = key.fileobj.recv(1 << 18)
            whole = tails[key.fileobj] + data
            counts[key.fileobj] += whole.count(b'"type":"node"') - tails[key.fileobj].count(b'"type":"node"')
            tails[key.fileobj] = whole[-20:] if whole.count(b'"type":"node"', len(whole) - 20) == 0 else b""
            if b'"type":"end"' in whole:
                ended.add(key.fileobj)


def grow(server, clients):
    run = server.call("/runs", {"prompt": "Once upon a time", "parameters": {"max_completed_paths": 1000, "max_depth": 1000}, "max_nodes": NODES})["id"]
    streams = [server.stream(run) for _ in range(clients)]
    counts, stop = {s: 0 for s in streams}, threading.Event()
    reader = threading.Thread(target=read, args=(streams, counts, stop))
    reader.start()
    while True:
        info = server.call(f"/runs/{run}")["status"]
        if info["state"] == "finished":
            break
        assert info["state"] in ("queued", "running"), info
        threading.Event().wait(0.5)
    reader.join(timeout=60)
    stop.set()
    for s in streams:
        assert counts[s] == info["nodes"] - 1, (counts[s], info["nodes"])
        s.close()
    request = urllib.request.Request(f"http://{server.address}/api/v1/runs/{run}/content", headers={"Authorization": f"Bearer {server.token}"})
    end = json.loads(urllib.request.urlopen(request).read().splitlines()[-1])
    return (end["nodes"] - 1) / end["seconds"]


with tempfile.TemporaryDirectory() as folder:
    server = Server(sys.argv[1], folder)
    try:
        alone, watched = [], []
        for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 3):
            alone.append(grow(server, 0))
            watched.append(grow(server, CLIENTS))
            print(f"alone {alone[-1]:.0f} nodes/s, with {CLIENTS} clients {watched[-1]:.0f}", flush=True)
        a, w = statistics.median(alone), statistics.median(watched)
        print(f"median: {a:.0f} and {w:.0f} nodes/s, {100 * (1 - w / a):.1f} % less")
    finally:
        server.process.terminate()
