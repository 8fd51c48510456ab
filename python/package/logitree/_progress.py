"""Progress, notes, and what becomes of Ctrl-C."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Iterator, Literal, Union

from ._errors import Interrupted, Note
from ._types import Level

#: ``None`` shows a bar on a terminal with tqdm, and in a notebook with tqdm and ipywidgets; ``True`` and ``False`` decide; a callable hears of it.
Progress = Union[None, bool, Callable[[Union[Level, str]], object]]


@dataclass
class Options:
    """How the package behaves; change the attributes of ``logitree.options``."""

    #: What Ctrl-C does to a call that has something to show: ``"keep"`` returns what is done, with a warning;
    #: ``"raise"`` raises :class:`logitree.Interrupted` with it.
    interrupt: Literal["keep", "raise"] = "keep"
    #: What ``progress=None`` means.
    progress: Progress = None
    #: Rows of a picture of a tree, at most.
    rows: int = 30


options = Options()


_here = os.path.dirname(__file__)


def warn(text: str) -> None:
    """A warning about the line that called into the package."""
    depth, frame = 1, sys._getframe(0)
    while frame is not None and os.path.dirname(frame.f_code.co_filename) == _here and frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    warnings.warn(text, Note, stacklevel=depth)


def note(text: str) -> None:
    """Called from the extension with what the library has to say."""
    warn(text)


def finish(result: Any, stopped: bool, what: str) -> Any:
    """A result, or what Ctrl-C makes of it."""
    if stopped and options.interrupt == "raise":
        raise Interrupted(result)
    if stopped:
        warn(f"interrupted: {what}")
    return result


class _Told:
    """Passes progress on to a callable."""

    def __init__(self, hear: Callable[[Level | str], object]) -> None:
        self.hear = hear

    def level(self, level: Level) -> None:
        self.hear(level)

    def words(self, text: str) -> None:
        self.hear(text)

    def bytes(self, name: str, done: int, total: int) -> None:
        self.hear(f"{name}: {done} of {total} bytes")

    def ended(self) -> None:
        pass


class _Bar:
    """Shows progress as a bar of tqdm's."""

    def __init__(self, tqdm: Any, what: str) -> None:
        self.tqdm, self.what, self.bar = tqdm, what, None

    def _open(self, **kinds: Any) -> Any:
        if self.bar is None:
            self.bar = self.tqdm(desc=self.what, leave=False, **kinds)
        return self.bar

    def level(self, level: Level) -> None:
        bar = self._open(unit=" nodes")
        bar.n = level.nodes
        bar.set_postfix_str(f"{level.open} open, {level.completed} completed ({level.finished:.2%})", refresh=True)

    def words(self, text: str) -> None:
        bar = self._open(bar_format="{desc}")
        bar.set_description_str(f"{self.what}: {text}")

    def bytes(self, name: str, done: int, total: int) -> None:
        bar = self._open(unit="B", unit_scale=True, total=total)
        bar.n = done
        bar.set_description_str(name)

    def ended(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def _somebody_looks() -> bool:
    shell = sys.modules.get("IPython")
    if shell is not None and getattr(shell.get_ipython(), "kernel", None) is not None:
        # Without ipywidgets tqdm writes lines, which a notebook keeps.
        return find_spec("ipywidgets") is not None
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def telling(progress: Progress, what: str) -> Iterator[Any]:
    """What hears of a call's progress, if anything does."""
    wanted = options.progress if progress is None else progress
    if wanted is False or (wanted is None and not _somebody_looks()):
        yield None
        return
    if callable(wanted):
        yield _Told(wanted)
        return
    if wanted is not None and wanted is not True:
        raise TypeError(f"`progress` must be None, True, False or a callable, not {type(wanted).__name__}")
    try:
        from tqdm.auto import tqdm
    except ImportError:
        if wanted is True:
            raise ImportError("progress=True shows a bar of tqdm's: pip install tqdm, or give a callable") from None
        yield None
        return
    bar = _Bar(tqdm, what)
    try:
        yield bar
    finally:
        bar.ended()
