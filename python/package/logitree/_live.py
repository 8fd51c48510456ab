"""The live page as a widget: the web app in a frame, answered by a server in this process."""

from __future__ import annotations

import tempfile
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from . import _logitree
from ._results import Run

if TYPE_CHECKING:
    from ._model import Model

#: Shortest time between two loads of messages to the notebook, in seconds.
_PAUSE = 0.04
#: How often the messenger looks whether the widget is still there, in seconds.
_LOOK = 1.0
#: Largest piece of an answer in one message, in bytes.
_PIECE = 1 << 20


class Live(anywidget.AnyWidget):  # type: ignore[misc]
    """A page on which a run goes on: what is clicked there, the model continues here.

    Made by :meth:`Run.live` and :meth:`Model.live`. Each has a server and a folder of its own, so two share nothing; both end
    with :meth:`close`, or with the kernel.

    While a cell runs, the notebook does not pass messages on: the page waits until it is done.
    """

    _esm = Path(__file__).parent / "_live.js"
    #: Height of the frame, in pixels.
    height = traitlets.Int(560).tag(sync=True)

    def __init__(self, model: Model | None, run: Run | None, height: int) -> None:
        super().__init__(height=int(height))
        self._folder = tempfile.TemporaryDirectory(prefix="logitree-live-")
        self._server = _logitree.Server(self._folder.name, None if model is None else model._native)
        self._shown = None if run is None else self._server.take_in(run._run, run.prompt["text"][:80])
        self._static = run
        self.on_msg(Live._asked)
        _messenger(self)

    @property
    def run(self) -> Run:
        """The run that was shown first, or else the newest, as it is now.

        Raises:
            NotFoundError: no run has been started.
        """
        return Run(self._server.run(self._shown or next(iter(self._server.ids()), "")))

    @property
    def runs(self) -> list[Run]:
        """All runs of the page as they are now, newest first."""
        return [Run(self._server.run(id)) for id in self._server.ids()]

    def close(self) -> None:
        """Ends the page and its server."""
        self._server.close()
        super().close()
        self._folder.cleanup()

    def _asked(self, message: dict[str, Any], buffers: list[Any]) -> None:
        page = str(message.get("page"))
        if message.get("open"):
            self.send({"page": page, "html": _logitree.framed(self._shown)})
        elif message.get("leave"):
            self._server.leave(page)
        elif message.get("cancel"):
            self._server.cancel(page, int(message["id"]))
        else:
            self._ask(page, message, b"".join(bytes(b) for b in buffers))

    def _ask(self, page: str, message: dict[str, Any], body: bytes) -> None:
        id = int(message["id"])
        try:
            self._server.ask(page, id, str(message["method"]), str(message["path"]), message.get("type"), body)
        except Exception as e:
            self.send({"page": page, "id": id, "error": str(e)})

    def _tell(self, pieces: list[Any]) -> None:
        for page, id, head, data, end, broken in pieces:
            to = {"page": page, "id": id}
            if head is not None:
                self.send(to | {"status": head[0], "headers": head[1]})
            for at in range(0, len(data or b""), _PIECE):
                self.send(to | {"chunk": True}, [data[at : at + _PIECE]])
            if broken is not None:
                self.send(to | {"error": broken})
            elif end:
                self.send(to | {"end": True})

    def __repr__(self) -> str:
        return "A live page, which notebooks show" if self._static is None else repr(self._static)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        # What is shown where the notebook is opened without a kernel.
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        if data is not None and self._static is not None:
            data.setdefault("text/html", self._static._repr_html_())
        return bundle


def _messenger(live: Live) -> None:
    """Starts the thread that passes answers on. It ends with the server, or when nobody has the widget any more."""
    server, held = live._server, weakref.ref(live)

    def work() -> None:
        while (pieces := server.take(_LOOK)) is not None:
            widget = held()
            if widget is None or _over():
                server.close()
                return
            if pieces:
                widget._tell(pieces)
            # Not held while waiting: it may be the last one that does.
            del widget
            if pieces:
                time.sleep(_PAUSE)

    _thread()(target=work, name="logitree-live", daemon=True).start()


def _thread() -> type[threading.Thread]:
    """The notebook's kind of thread: marimo passes on only what its own say."""
    try:
        import marimo

        if marimo.running_in_notebook():
            return marimo.Thread  # type: ignore[no-any-return]
    except ImportError:
        pass
    return threading.Thread


def _over() -> bool:
    """Whether marimo wants the thread to end, since its cell runs again."""
    return bool(getattr(threading.current_thread(), "should_exit", False))
