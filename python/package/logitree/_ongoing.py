"""What goes on step by step: generations, explorations and sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

from . import _logitree
from ._checks import at_least
from ._errors import Interrupted
from ._progress import Progress, finish, options, telling, warn
from ._distributions import Distribution
from ._results import Run
from ._scores import VECTORS, Scores, Step, numbers
from ._types import Level


class Generation:
    """A text in the making: an iterator over its steps, forced ones first. What was made stays in :attr:`scores`."""

    def __init__(
        self, native: _logitree.Generation, prompt: str, model: str, stops: Sequence[str] = ()
    ) -> None:
        self._native, self._prompt, self._model = native, prompt, model
        self._stops = [s.encode() for s in stops]
        #: The end of what was generated, as long as a stop string may still reach back into it.
        self._tail = b""
        self._columns: dict[str, Any] | None = None
        self._ended = False
        #: Why it ended; ``None`` while it goes on.
        self.stop: str | None = None
        #: Whether Ctrl-C ended it.
        self.interrupted = False

    def _take(self, most: int | None, hears: Any) -> int:
        columns, self.stop, stopped = self._native.steps(most, hears)
        for name in VECTORS:
            columns[name] = memoryview(columns[name]).tolist()
        made = len(columns["bytes"])
        if self._columns is None:
            self._columns = columns
        else:
            for name, values in columns.items():
                if name == "watch":
                    for text, more in values.items():
                        self._columns["watch"][text] += more
                else:
                    self._columns[name] += values
        self.interrupted |= stopped
        self._ended |= stopped or made < (most or 0)
        if self._stops:
            self._look_for_stops(columns)
        return made

    def _look_for_stops(self, columns: dict[str, Any]) -> None:
        """Ends it if the tokens that were made last bring a stop string to its end."""
        own = zip(columns["bytes"], columns["special"], columns["forced"])
        new = b"".join(data for data, special, forced in own if not special and not forced)
        reach = len(new) + max(map(len, self._stops)) - 1
        self._tail = (self._tail + new)[-reach:] if reach else b""
        if any(stop in self._tail for stop in self._stops):
            self.stop, self._ended = "stop", True

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        if self._ended:
            raise StopIteration
        made = self._take(1, None)
        if self.interrupted:
            finish(self.scores, True, "what is generated is in .scores")
        if not made:
            self._ended = True
            raise StopIteration
        return self.scores[-1]

    @property
    def scores(self) -> Scores:
        """What was made so far."""
        if self._columns is None:
            self._take(0, None)
            self._ended = False
        assert self._columns is not None
        return Scores(
            {**self._columns, **numbers(self._columns)}, prompt=self._prompt, stop=self.stop, interrupted=self.interrupted, model=self._model
        )

    @property
    def text(self) -> str:
        """The text so far."""
        return self.scores.text

    def run(self, *, progress: Progress = None) -> Scores:
        """Goes on to the end, and gives all that was made."""
        if not self._ended:
            with telling(progress, "generating") as hears:
                if not self._stops:
                    self._take(None, hears)
                try:
                    while not self._ended:
                        self._take(1, None)
                        if hears is not None:
                            hears.words(f"{len(self._columns['bytes'])} tokens")  # type: ignore[index]
                except KeyboardInterrupt:
                    # It came between two tokens, when only Python was there to hear it.
                    self.interrupted, self.stop = True, "interrupted"
            self._ended = True
        scores = self.scores
        return finish(scores, self.interrupted, f"{len(scores)} tokens are here")  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<logitree.Generation of {len(self.scores)} tokens so far, stop={self.stop!r}>"


class Exploration:
    """A tree that grows: iterate over its levels, also with ``async for``; it ends where you stop, or of itself.

    As a context manager it closes its run file at the end.
    """

    def __init__(self, native: _logitree.Exploration) -> None:
        self._native = native
        self._run: Run | None = None
        #: Whether Ctrl-C ended it.
        self.interrupted = False

    def __iter__(self) -> Iterator[Level]:
        return self

    def __next__(self) -> Level:
        if self._run is not None or self.interrupted:
            raise StopIteration
        level, stopped = self._native.next_level()
        if stopped:
            self.interrupted = True
            if options.interrupt == "raise":
                raise Interrupted(self.finish())
            warn("interrupted: finish() gives the tree as it is")
            raise StopIteration
        if level is None:
            raise StopIteration
        return level  # type: ignore[no-any-return]

    async def __aiter__(self) -> AsyncIterator[Level]:
        end = object()
        while (level := await asyncio.to_thread(next, self, end)) is not end:
            yield level  # type: ignore[misc]

    def __enter__(self) -> Exploration:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def run(self, *, progress: Progress = None) -> Run:
        """Goes on to the end, and gives the run."""
        if self._run is None:
            with telling(progress, "exploring") as hears:
                native, failure, stopped = self._native.run(hears)
            self._run, self.interrupted = Run(native), stopped
            if failure is not None:
                failure.run = self._run
                failure.add_note("what was there before is in .run of this exception")
                raise failure
            finish(self._run, stopped, f"the tree has {len(self._run)} nodes")
        return self._run

    @property
    def so_far(self) -> Run:
        """The run as it is now. The exploration may go on."""
        return self._run if self._run is not None else Run(self._native.so_far())

    def expand(self, node: int, token: int | None = None, steps: int = 1) -> list[int]:
        """Writes on below a node by hand: with ``token``, if it is given, then with the most likely tokens.

        What is added is marked as yours in the run, and does not disturb its strategy.

        Args:
            node: The node, 0 for the prompt; :attr:`so_far` has them.
            token: Id of the token to put there.
            steps: Tokens to add in all.

        Returns:
            The nodes of these tokens; fewer than ``steps`` where nothing can follow.

        Raises:
            ParameterError: there is no such node.
            InputError: the token is not in the vocabulary.
            ConflictError: nothing can follow the node, or the exploration is finished.
        """
        at_least("node", node, 0)
        at_least("steps", steps, 1)
        if token is not None:
            at_least("token", token, 0)
        nodes, stopped = self._native.expand(node, token, steps)
        return finish(nodes, stopped, f"{len(nodes)} tokens are added")  # type: ignore[no-any-return]

    def stop(self) -> None:
        """Ends it after the level that is being computed, also from another thread: the loop over it ends, and :meth:`run`
        returns what there is."""
        self._native.stop()

    def finish(self) -> Run:
        """Ends it where it stands, and gives the run. Its file can be gone on with: :meth:`Model.resume`."""
        if self._run is None:
            self._run = Run(self._native.finish())
        return self._run


class Session:
    """A tree of token paths and the means to ask what follows each. A node's numbers are the same bits in any company."""

    def __init__(self, native: _logitree.Session) -> None:
        self._native = native

    def push(self, parent: int | None, token: int) -> int:
        """Adds a node, ``token`` after ``parent`` (``None`` begins a sequence: with BOS, if the model wants one). Free."""
        return self.push_all(parent, [token])[0]

    def push_all(self, parent: int | None, tokens: Iterable[int]) -> list[int]:
        """Adds a chain of nodes.

        Raises:
            InputError: a token is not in the vocabulary, or the path does not fit the model's context.
        """
        return self._native.push_all(parent, [at_least("tokens", t, 0) for t in tokens])

    def evaluate(
        self, nodes: Iterable[int], *, top: int = 10, tokens: Sequence[int] = (), logits: bool = False
    ) -> list[Distribution]:
        """What follows each node, in one batch."""
        found = self._native.evaluate([at_least("nodes", n, 0) for n in nodes], at_least("top", top, 0), list(tokens), logits)
        return [Distribution(fields) for fields in found]

    def release(self, node: int) -> None:
        """Says that nothing will soon be asked below a node; asking again only costs more."""
        self._native.release(node)
