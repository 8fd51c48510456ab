"""What calls give: small objects that print well, turn into tables, and can be pickled."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from . import _html, _logitree
from ._analyses import RunComparison
from ._errors import ConflictError
from ._checks import at_least, number, probability
from ._layers import Layers
from ._lens import Lens
from ._progress import options, warn
from ._tables import Tabular
from ._types import Answer, Mass, Path

if TYPE_CHECKING:
    from ._live import Live
    from ._model import Model

class Run(Tabular):
    """A tree of likely continuations, with everything about how it came to be. ``len`` counts its nodes.

    Two runs are equal if their files are the same.
    """

    def __init__(self, run: _logitree.Run) -> None:
        self._run = run
        self._columns: dict[str, Any] | None = None

    @property
    def _nodes(self) -> dict[str, Any]:
        if self._columns is None:
            self._columns = self._run.nodes()
            for name in ("parent", "path_logprob", "logprob"):
                self._columns[name] = memoryview(self._columns[name])
        return self._columns

    @property
    def header(self) -> dict[str, Any]:
        """What was run: model, engine, prompt, strategy, parameters, limits (docs/run-format.md)."""
        return json.loads(self._run.header())  # type: ignore[no-any-return]

    @property
    def end(self) -> dict[str, Any] | None:
        """How it ended: reason, mass, nodes, completed paths, seconds."""
        end = self._run.end()
        return None if end is None else json.loads(end)

    @property
    def prompt(self) -> dict[str, Any]:
        """What the model was given."""
        return self.header["prompt"]  # type: ignore[no-any-return]

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before its end; :meth:`Model.resume` goes on with its file."""
        return self.end is None or self.end["reason"] == "interrupted"

    @property
    def mass(self) -> Mass:
        """Where the probability went."""
        return Mass(*self._run.mass())

    def __len__(self) -> int:
        return len(self._run)

    def node(self, node: int) -> dict[str, Any]:
        """Everything about a node: its token, logprobs, children, and the step that followed it.

        Raises:
            ParameterError: there is no such node.
        """
        return json.loads(self._run.node(_node(node)))  # type: ignore[no-any-return]

    def path(self, node: int) -> list[int]:
        """Token ids from behind the prompt to a node.

        Raises:
            ParameterError: there is no such node.
        """
        return self._run.path(_node(node))

    def paths(self, n: int = 10) -> list[Path]:
        """The ``n`` most likely paths, most likely first."""
        return [Path(*p) for p in self._run.paths(n)]

    def table(self) -> _logitree.Table:
        """A row per node, with the columns of the CSV export."""
        return self._run.table()

    def compare(self, other: Run) -> RunComparison:
        """This run, the reference, and another side by side: which nodes they share, and where probability lies elsewhere."""
        if not isinstance(other, Run):
            raise TypeError(f"`other` must be a logitree.Run, not {type(other).__name__}: logitree.read opens a file")
        names = self.header["model"]["name"], other.header["model"]["name"]
        return RunComparison(names, *_logitree.compare_runs(self._run, other._run))

    def lens(
        self, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0, typical_p: float = 1.0,
        repetition_penalty: float = 1.0,
    ) -> Lens:
        """What would a sampler have made of this run? No model is run; the order of the steps is that of transformers.

        Args:
            temperature: Divides the logits; 0 keeps only the most likely token.
            top_k: Keep so many of the most likely tokens; 0 is all.
            top_p: Keep the most likely tokens that make up this probability.
            min_p: Keep tokens with at least this share of the most likely one's probability.
            typical_p: Keep the tokens nearest to the entropy that make up this probability.
            repetition_penalty: Makes tokens that came before less likely; 1 changes nothing.

        Raises:
            InputError: the run stores no lists of tokens.
        """
        settings = {
            "temperature": number("temperature", temperature), "top_k": at_least("top_k", top_k, 0),
            "top_p": probability("top_p", top_p), "min_p": probability("min_p", min_p),
            "typical_p": probability("typical_p", typical_p),
            "repetition_penalty": number("repetition_penalty", repetition_penalty),
        }
        if not repetition_penalty:
            raise ValueError("`repetition_penalty` is 0: it must be above 0; 1 changes nothing")
        return Lens(self._run, settings)

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Writes the run file; it appears whole or not at all.

        Raises:
            Error: there is a file already and not ``force``, or it cannot be written.
        """
        self._run.save(os.fspath(path), force)

    @overload
    def export(self, format: str, path: None = None, *, full_text: bool = True, force: bool = False) -> bytes: ...
    @overload
    def export(
        self, format: str, path: str | os.PathLike[str], *, full_text: bool = True, force: bool = False
    ) -> None: ...
    def export(
        self, format: str, path: str | os.PathLike[str] | None = None, *, full_text: bool = True, force: bool = False
    ) -> bytes | None:
        """The run in another format: ``tree-json`` and ``jsonl`` (the notebook's), ``csv``, ``parquet``, ``dot``,
        ``graphml``, ``mermaid``, ``text``.

        Args:
            path: File to write; without one, the bytes are returned.
            full_text: Whether tree JSON has each path's whole text.
            force: Whether an existing file may be overwritten.

        Raises:
            ParameterError: there is no such format.
            InputError: ``jsonl`` of a run in which no path is complete: it has a line per complete path.
            Error: there is a file already and not ``force``, or it cannot be written.
        """
        if path is None:
            return self._run.export(format, full_text)
        self._run.export_to(format, os.fspath(path), full_text, force)
        return None

    def report(self, path: str | os.PathLike[str] | None = None, *, force: bool = False) -> str | None:
        """The run with the whole web app as one HTML page: written to ``path``, or returned without one."""
        if path is None:
            return self._run.report()
        self._run.report_to(os.fspath(path), force)
        return None

    def view(self, height: int = 560) -> View:
        """The page of :meth:`report` in a frame of the notebook, with the static picture below it."""
        return View(self, height)

    def live(self, model: Model | None = None, *, height: int = 560) -> Live:
        """The run as a page on which it goes on: choosing another token, the model continues from it, in this process.

        It needs ``anywidget`` (``pip install logitree[notebook]``) and no port: the notebook's own messages carry the page's
        requests. The run itself stays as it is; ``.run`` of the result is what became of it.

        Args:
            model: The model that goes on: the one that made the run. Without one, the run can only be looked at.
            height: Of the frame, in pixels.

        Raises:
            ConflictError: the model is another than the one that made the run.
            ImportError: anywidget is not installed.
        """
        Live = live_class()
        if model is not None and model.sha256 != self.header["model"]["sha256"]:
            raise ConflictError(
                f"the run was made by {self.header['model']['name']}, and {model.name} has other weights: load that model, or "
                f"grow the prompt with this one: model.tree(…)"
            )
        return Live(model, self, height)

    def to_networkx(self) -> Any:
        """A ``networkx.DiGraph`` of the nodes with text, logprob and path_logprob.

        Raises:
            ImportError: networkx is not installed.
        """
        import networkx

        graph = networkx.DiGraph()
        columns = self._nodes
        for i, parent in enumerate(columns["parent"]):
            text = columns["bytes"][i].decode("utf-8", "replace")
            graph.add_node(i, text=text, logprob=columns["logprob"][i], path_logprob=columns["path_logprob"][i])
            if i:
                graph.add_edge(int(parent), i)
        return graph

    def summary(self) -> str:
        """Size and mass in a line."""
        mass = self.mass
        end = self.end
        return (
            f"{len(self)} nodes: {_html.percent(mass.finished)} finished, {_html.percent(mass.frontier)} open, "
            f"{_html.percent(mass.pruned)} cut" + (f"; ended by {end['reason'].replace('_', ' ')}" if end else "")
        )

    def __repr__(self) -> str:
        return self._run.drawn(5, 100).rstrip("\n")

    def _repr_html_(self) -> str:
        return _html.run(self, options.rows)

    def __eq__(self, other: object) -> bool:
        return self._run.same(other._run) if isinstance(other, Run) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return _run, (self._run.to_bytes(),)


def live_class() -> type[Live]:
    """The widget, whose base needs a package that is not always there."""
    try:
        from ._live import Live
    except ImportError as e:
        raise ImportError("a live page needs anywidget: pip install 'logitree[notebook]'") from e
    return Live


def _node(node: int) -> int:
    if isinstance(node, bool) or not hasattr(node, "__index__"):
        raise TypeError(f"`node` must be an int, not {type(node).__name__}")
    if node < 0:
        raise ValueError(f"`node` {node}: nodes are counted from 0, the root")
    return node


def _run(data: bytes) -> Run:
    run, _, _ = _logitree.read(None, data)
    assert run is not None
    return Run(run)


class View:
    """A run's page in a frame."""

    def __init__(self, run: Run, height: int) -> None:
        from html import escape

        page = escape(run._run.report(), quote=True)
        self._html = (
            f'<iframe srcdoc="{page}" sandbox="allow-scripts allow-downloads" title="The run as a page" '
            f'style="width:100%;height:{int(height)}px;border:1px solid #8888"></iframe>'
            f"<details><summary>without the page</summary>{run._repr_html_()}</details>"
        )
        self._text = repr(run)

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return self._text


@dataclass(frozen=True, repr=False)
class Answers(Tabular):
    """How likely each answer is, over all continuations, likeliest first."""

    answers: tuple[Answer, ...]
    #: Probability of continuations that give no answer.
    no_answer: float
    #: Probability of what is not decided.
    undecided: float
    #: The answer that no other can overtake, if it is known.
    winner: str | None
    #: ``tolerance``, ``winner``, ``max_seconds``, ``max_nodes``, ``exhausted`` or ``interrupted``.
    ended_by: str
    #: Steps that the model was asked for.
    steps: int
    #: Paths looked at.
    nodes: int
    seconds: float
    interrupted: bool = False

    def __len__(self) -> int:
        return len(self.answers)

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.answers)

    @overload
    def __getitem__(self, at: int) -> Answer: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Answer, ...]: ...
    def __getitem__(self, at: int | slice) -> Answer | tuple[Answer, ...]:
        return self.answers[at]

    def table(self) -> _logitree.Table:
        """A row per answer: answer, lower, upper."""
        return _logitree.Table([
            ("answer", "str", [a.answer for a in self.answers]),
            ("lower", "f64", [a.lower for a in self.answers]),
            ("upper", "f64", [a.upper for a in self.answers]),
        ])

    def summary(self) -> str:
        """What is certain, in a line."""
        won = f"{self.winner!r} is ahead for certain" if self.winner else "it is not certain which answer is ahead"
        return (
            f"{won}; no answer {_html.percent(self.no_answer)}, undecided {_html.percent(self.undecided)}; "
            f"{self.steps} steps, ended by {self.ended_by.replace('_', ' ')}"
        )

    def __repr__(self) -> str:
        rows = [f"{_html.percent(a.lower):>10}  {_html.percent(a.upper):>10}  {_html.visible(a.answer)}" for a in self.answers[:20]]
        return "\n".join([f"{'at least':>10}  {'at most':>10}  answer", *rows, self.summary()])

    def _repr_html_(self) -> str:
        return _html.answers([(a.answer, a.lower, a.upper) for a in self.answers], self.summary())


class Choice(NamedTuple):
    """A token at a fork."""

    id: int
    text: str
    #: In nats.
    logprob: float

    @property
    def prob(self) -> float:
        """Its probability."""
        return math.exp(self.logprob)


@dataclass(frozen=True)
class Fork:
    """A place where the runner-up was put, and what came of it."""

    #: Index of the token in the continuation.
    position: int
    token: Choice
    #: The most likely other token, which was put in its place.
    other: Choice
    #: Probability of the most likely token minus that of the second.
    gap: float
    #: In nats.
    entropy: float
    #: Whether it came to something else.
    flips: bool
    #: With a pattern, what it finds in the other text.
    answer: str | None
    #: Without one, after how many words of its own the other text is the original again.
    rejoins: int | None
    finished: bool
    #: The whole other continuation.
    text: str
    #: What each layer of the model would have predicted there, if asked for.
    layers: Layers | None = None

    @property
    def verdict(self) -> str:
        """What it came to, in words."""
        if not self.finished:
            return "unfinished"
        if self.flips:
            return self.answer if self.answer is not None else "something else"
        return "the same" if not self.rejoins else f"the same after {self.rejoins} words"


@dataclass(frozen=True, repr=False)
class Forks(Tabular):
    """A continuation and where it might have gone another way, the least decided place first."""

    forks: tuple[Fork, ...]
    #: The continuation.
    text: str
    #: What the pattern finds in it.
    answer: str | None
    #: Every position: token, runner-up, gap, entropy.
    positions: list[dict[str, Any]] = field(default_factory=list)
    interrupted: bool = False

    def __len__(self) -> int:
        return len(self.forks)

    def __iter__(self) -> Iterator[Fork]:
        return iter(self.forks)

    @overload
    def __getitem__(self, at: int) -> Fork: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Fork, ...]: ...
    def __getitem__(self, at: int | slice) -> Fork | tuple[Fork, ...]:
        return self.forks[at]

    def table(self) -> _logitree.Table:
        """A row per fork."""
        rows = self.forks
        return _logitree.Table([
            ("position", "u32", [f.position for f in rows]),
            ("token", "str", [f.token.text for f in rows]),
            ("token_logprob", "f64", [f.token.logprob for f in rows]),
            ("other", "str", [f.other.text for f in rows]),
            ("other_logprob", "f64", [f.other.logprob for f in rows]),
            ("gap", "f64", [f.gap for f in rows]),
            ("entropy", "f64", [f.entropy for f in rows]),
            ("flips", "bool", [f.flips for f in rows]),
            ("answer", "str", [f.answer for f in rows]),
            ("rejoins", "u32", [f.rejoins for f in rows]),
            ("finished", "bool", [f.finished for f in rows]),
            ("text", "str", [f.text for f in rows]),
        ])

    def summary(self) -> str:
        """How many come to something else."""
        return f"{sum(f.flips for f in self.forks)} of {len(self.forks)} forks come to something else"

    def __repr__(self) -> str:
        rows = [
            f"{f.position + 1:>4}  {f.gap:>7.4f}  {_html.visible(f.token.text)} {_html.percent(f.token.prob)} → "
            f"{_html.visible(f.other.text)} {_html.percent(f.other.prob)}  {f.verdict}"
            for f in self.forks
        ]
        return "\n".join([_html.visible(self.text), *rows, self.summary()])

    def _repr_html_(self) -> str:
        return f"<div>{_html._code(self.text)}</div>" + _html.forks(self.forks, self.summary())


@dataclass(frozen=True, repr=False)
class Verification:
    """Whether a run's numbers are what the model gives now. True if all are, to the last bit; of a run that was made by a
    version whose sums had another order, if they differ by no more than 0.0005 nats."""

    #: Whether every number is the same to the last bit.
    identical: bool
    #: Whether every number is the same to the last bit or, where sums had another order, to 0.0005 nats.
    confirmed: bool
    #: Whether every step was compared, rather than those before an interruption.
    complete: bool
    #: Steps compared.
    steps: int
    #: By kind of number, how many were compared and how many are the same bits.
    numbers: dict[str, dict[str, float]]
    #: The orders of sums that the run was made in, by their numbers (docs/run-format.md).
    recorded_orders: list[int]
    #: This version's order of sums, if the run was made in another one; its last bits may differ then.
    other_order: int | None
    #: Largest difference of a number, in its own unit.
    max_difference: float | None
    largest: dict[str, Any] | None
    first: dict[str, Any] | None
    reordered: int | None
    #: What the header or the closing line say otherwise, in sentences.
    statements: list[str]
    interrupted: bool = False

    def __bool__(self) -> bool:
        return self.confirmed and self.complete

    def __repr__(self) -> str:
        compared = sum(n["compared"] for n in self.numbers.values())
        if self.identical:
            text = f"{self.steps} steps, {compared} numbers: the same bits"
        else:
            text = f"{self.steps} steps, {compared} numbers: largest difference {self.max_difference}"
        if self.other_order is not None:
            text += f"; made with sums in another order ({self.recorded_orders}, now {self.other_order})"
        return "; ".join([text, *self.statements, *([] if self.complete else ["interrupted"])])


class Record(NamedTuple):
    """A record of the notebook's logprobs JSONL."""

    prompt: str
    response: str
    #: In nats, one per token.
    logprobs: list[float]


class Records(list[Record]):
    """The records of a file."""
