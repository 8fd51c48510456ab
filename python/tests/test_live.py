"""The live page: its requests are answered by a server in this process."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading

import pytest

import logitree as lt

pytest.importorskip("anywidget")


class Notebook:
    """Plays the page and the notebook between it and the widget."""

    def __init__(self, live, page="p"):
        self.live, self.page, self.asked = live, page, 0
        self.heard, self.came = [], threading.Condition()
        live.send = self._hear

    def _hear(self, content, buffers=None):
        with self.came:
            self.heard.append((content, [bytes(b) for b in buffers or []]))
            self.came.notify_all()

    def wait(self, what, seconds=60):
        """What is found among the messages, as soon as it is."""
        with self.came:
            assert self.came.wait_for(lambda: what() is not None, seconds), self.heard[-3:]
            return what()

    def ask(self, method, path, body=b"", kind=None):
        self.asked += 1
        message = {"page": self.page, "id": self.asked, "method": method, "path": path, "type": kind}
        self.live._handle_custom_msg(message, [body] if body else [])
        return self.asked

    def of(self, id):
        return [(c, b) for c, b in list(self.heard) if c.get("id") == id and c["page"] == self.page]

    def body(self, id):
        return b"".join(b[0] for c, b in self.of(id) if c.get("chunk"))

    def answer(self, *request):
        """The status and the body of a request."""
        id = self.ask(*request)
        self.wait(lambda: next((c for c, _ in self.of(id) if "end" in c or "error" in c), None))
        return next(c["status"] for c, _ in self.of(id) if "status" in c), self.body(id)


@pytest.fixture(scope="module")
def run(m):
    return m.tree("The capital of India is", max_depth=6, max_nodes=40)


def test_the_page_goes_on_in_the_kernel(m, run):
    live = run.live(m)
    page = Notebook(live)
    live._handle_custom_msg({"page": "p", "open": True}, [])
    html = page.wait(lambda: next((c["html"] for c, _ in page.heard if "html" in c), None))
    id = re.search('data-framed="([^"]+)"', html)[1]
    status, body = page.answer("GET", "/api/v1/server")
    assert status == 200 and json.loads(body)["model"]["sha256"] == m.sha256
    events = page.ask("GET", f"/api/v1/runs/{id}/events?from=0")
    page.wait(lambda: b"event: status" in page.body(events) or None)
    known = {t["id"] for t in run.node(0)["top"]}
    token = next(t for t in range(m.vocab_size) if t not in known)
    asked = json.dumps({"nodes": [0], "token": token, "steps": 3}).encode()
    status, body = page.answer("POST", f"/api/v1/runs/{id}/expand", asked, "application/json")
    assert status == 200, body
    made = json.loads(body)["nodes"][0]
    page.wait(lambda: b'"writing":0' in page.body(events).rsplit(b"event: status", 1)[1] or None)
    grown = live.run
    assert len(grown) >= len(run) + 3 and grown.node(made)["token_id"] == token
    # The logprob of a token that was put in is the model's own.
    assert grown.node(made)["logprob"] == m.next("The capital of India is", tokens=[token]).tokens[0].logprob
    assert len(run) < len(grown) and live.runs == [grown]
    live.close()
    with pytest.raises(lt.UnsupportedError, match="closed"):
        live.run
    assert not os.path.exists(live._folder.name)


def test_a_stream_ends_when_the_page_no_longer_wants_it_and_when_it_goes(m, run):
    live = run.live(m)
    page, other = Notebook(live), Notebook(live, "q")
    live.send = lambda content, buffers=None: (page._hear(content, buffers), other._hear(content, buffers))
    id = live._shown
    streams = [p.ask("GET", f"/api/v1/runs/{id}/events") for p in (page, page, other)]
    for p, stream in zip((page, page, other), streams):
        p.wait(lambda: b"event: status" in p.body(stream) or None)
    live._handle_custom_msg({"page": "p", "id": streams[0], "cancel": True}, [])
    live._handle_custom_msg({"page": "q", "leave": True}, [])
    page.answer("PATCH", f"/api/v1/runs/{id}", b'{"name":"other"}', "application/json")
    page.answer("POST", f"/api/v1/runs/{id}/expand", b'{"nodes":[0],"token":5,"steps":0}', "application/json")
    page.wait(lambda: page.body(streams[1]).count(b"event: lines") > 1 or None)
    assert page.body(streams[0]).count(b"event: lines") == 1
    assert other.body(streams[2]).count(b"event: lines") == 1
    live.close()


def test_two_widgets_share_nothing(m, run):
    one, two = run.live(m), m.live()
    assert Notebook(two).answer("GET", "/api/v1/runs") == (200, b"[]")
    assert len(one.runs) == 1 and two.runs == []
    with pytest.raises(lt.NotFoundError):
        two.run
    one.close()
    assert Notebook(two).answer("GET", "/api/v1/runs")[0] == 200
    two.close()


def test_without_a_model_the_page_only_shows(run):
    live = run.live()
    page = Notebook(live)
    assert json.loads(page.answer("GET", "/api/v1/server")[1])["model"] is None
    status, body = page.answer("POST", f"/api/v1/runs/{live._shown}/expand", b'{"nodes":[0],"token":5}', "application/json")
    assert status == 409 and b"no model" in body
    assert live.run == run
    live.close()


def test_another_model_is_refused(run, folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    weights = other / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(lt.ConflictError, match="other weights"):
        run.live(lt.load(other))


def test_bad_requests_are_answered(m, run):
    live = run.live(m)
    page = Notebook(live)
    assert page.answer("GET", "/api/v1/nothing")[0] == 404
    assert page.answer("POST", "/api/v1/runs", b"{", "application/json")[0] == 400
    id = page.ask("GE T", "/")
    assert "error" in page.of(id)[0][0]
    live.close()


def test_calls_and_the_page_take_turns(m, run):
    live = run.live(m)
    page = Notebook(live)
    asked = json.dumps({"prompt": "Once upon a time", "max_nodes": 200}).encode()
    assert page.answer("POST", "/api/v1/runs", asked, "application/json")[0] == 201
    here = m.tree("The capital of India is", max_depth=6, max_nodes=40)
    assert [here.node(i)["logprob"] for i in range(len(here))] == [run.node(i)["logprob"] for i in range(len(run))]
    live.close()


def test_the_messenger_ends_with_the_widget(m, run):
    live = run.live(m)
    threads = [t for t in threading.enumerate() if t.name == "logitree-live"]
    live.close()
    for t in threads:
        t.join(20)
        assert not t.is_alive()


def test_a_forked_process_is_refused(m, run):
    live = run.live(m)
    child = os.fork()
    if child == 0:
        try:
            live.run
        except lt.ForkError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    live.close()


def test_a_notebook_without_a_kernel_has_the_picture(m, run):
    live = run.live(m)
    bundle = live._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert data["text/html"] == run._repr_html_()
    live.close()


def test_without_anywidget_the_package_says_what_to_install(tmp_path):
    (tmp_path / "anywidget.py").write_text("raise ImportError('none')")
    code = "import logitree as lt\ntry: lt.Run.live(object())\nexcept ImportError as e: print(e)"
    env = dict(os.environ, PYTHONPATH=str(tmp_path))
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert "pip install 'logitree[notebook]'" in out
