"""What comparisons, decision curves and attributions give."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Union

from . import _html, _logitree
from ._tables import Rows
from ._types import Answer, Bounds

def _rows(table: _logitree.Table, row: type[Any]) -> list[Any]:
    """The rows of a table as tuples with the names of its columns."""
    return [row(*values) for values in zip(*(values for _, _, values in table.columns()))]


class Estimate(NamedTuple):
    """A mean with its standard error, which is NaN for a single value."""

    mean: float
    error: float

    def __str__(self) -> str:
        return f"{self.mean:.6f}" + (f" ± {self.error:.6f}" if math.isfinite(self.error) else "")


class Spread(NamedTuple):
    """How values are spread, in nats."""

    mean: float
    #: Standard error of the mean; NaN for a single value.
    error: float
    median: float
    #: 99 % of the values are at most this.
    p99: float
    #: 99.9 % of the values are at most this.
    p999: float
    max: float

    def __str__(self) -> str:
        return f"{Estimate(self.mean, self.error)}, median {self.median:.6f}, largest {self.max:.6f}"


@dataclass(frozen=True)
class ComparisonSummary:
    """What differs between two models on a whole text; ``a`` is the reference."""

    #: Positions compared.
    tokens: int
    #: Of the text under A and under B, in nats.
    logprob: tuple[float, float]
    #: Of A and of B.
    perplexity: tuple[Estimate, Estimate]
    #: That of B divided by that of A.
    perplexity_ratio: Estimate
    #: KL(A‖B) over the whole vocabulary, in nats.
    kl_ab: Spread
    #: KL(B‖A), in nats.
    kl_ba: Spread
    #: Jensen-Shannon divergence, in nats.
    js: Spread
    #: Share of positions where both find the same token most likely.
    agreement: Estimate
    #: Of the probability of the text's tokens, B less A.
    prob_change: Estimate
    #: Root of the mean of its square.
    rms_prob_change: float
    #: The first position, from 1, where the most likely tokens differ.
    first_flip: int | None


class ComparedToken(NamedTuple):
    """A token of a text under A and B. Logprobs, entropies and divergences are in nats."""

    #: From 1.
    position: int
    token_id: int
    text: str
    logprob_a: float
    logprob_b: float
    #: ``logprob_b - logprob_a``.
    change: float
    rank_a: int
    rank_b: int
    #: The most likely token in its place under A.
    best_id_a: int
    best_a: str
    best_id_b: int
    best_b: str
    entropy_a: float
    entropy_b: float
    #: KL(A‖B) over the whole vocabulary.
    kl_ab: float
    kl_ba: float
    #: Jensen-Shannon divergence.
    js: float


class ComparedPiece(NamedTuple):
    """A piece of a text between two places where a token ends under both A and B. Logprobs are in nats."""

    #: From 1.
    position: int
    text: str
    logprob_a: float
    logprob_b: float
    #: ``logprob_b - logprob_a``.
    change: float
    #: Number of its tokens under A.
    tokens_a: int
    tokens_b: int


class Comparison(Rows[Union[ComparedToken, ComparedPiece]]):
    """A text under two models, or after two prompts; A is the reference, and change is B less A.

    Where both have one vocabulary and the same tokens, it has a :class:`ComparedToken` per token, and a summary; otherwise
    a :class:`ComparedPiece` per piece between common borders of tokens, and bits per byte.

    Attributes:
        a, b: Names of the two.
        by: ``token`` or ``piece``.
        summary: Figures of the whole text, where ``by`` is ``token``.
        logprob: Of the text under A and B, in nats.
        bytes: Bytes compared, where ``by`` is ``piece``.
        bits_per_byte: Of A and B, where ``by`` is ``piece``.
        interrupted: Whether Ctrl-C ended it before the end of the text.
    """

    def __init__(
        self, a: str, b: str, table: _logitree.Table, figures: Mapping[str, Any], interrupted: bool = False
    ) -> None:
        self.a, self.b, self._table, self._figures, self.interrupted = a, b, table, dict(figures), interrupted
        self.by = "token" if "kl_ab" in table.names else "piece"
        self._list = _rows(table, ComparedToken if self.by == "token" else ComparedPiece)
        self.summary: ComparisonSummary | None = None
        if self.by == "token" and figures:
            estimates = {n: Estimate(*figures[n]) for n in ("perplexity_ratio", "agreement", "prob_change")}
            spreads = {n: Spread(*figures[n]) for n in ("kl_ab", "kl_ba", "js")}
            both = Estimate(*figures["perplexity"][0]), Estimate(*figures["perplexity"][1])
            self.summary = ComparisonSummary(**{**figures, **estimates, **spreads, "perplexity": both})
        self.logprob: tuple[float, float] = figures.get("logprob", (0.0, 0.0))
        self.bytes: int | None = figures.get("bytes")
        self.bits_per_byte: tuple[float, float] | None = figures.get("bits_per_byte")

    def totals(self) -> list[str]:
        """The figures of the whole text, a line each."""
        if self.by == "piece":
            bits = self.bits_per_byte or (math.nan, math.nan)
            return [
                f"{name} {model}: {logprob:.4f} nats, {b:.4f} bits per byte of {self.bytes}"
                for name, model, logprob, b in zip("AB", (self.a, self.b), self.logprob, bits)
            ]
        s = self.summary
        if s is None:
            return []
        return [
            f"A {self.a}: perplexity {s.perplexity[0]}",
            f"B {self.b}: perplexity {s.perplexity[1]}, divided by A's {s.perplexity_ratio}",
            f"KL(A‖B) {s.kl_ab} nats",
            f"JS {s.js} nats",
            f"same most likely token {_html.percent(s.agreement.mean)}"
            + (f", first other at {s.first_flip}" if s.first_flip else ""),
        ]

    def _furthest(self, most: int) -> list[ComparedToken | ComparedPiece]:
        """The rows that differ most, in their order."""
        def apart(i: int) -> float:
            row = self._list[i]
            return -row.js if isinstance(row, ComparedToken) else -abs(row.change)

        return [self._list[i] for i in sorted(sorted(range(len(self)), key=apart)[:most])]

    def _cells(self, row: ComparedToken | ComparedPiece) -> list[str]:
        a, b = (_html.percent(math.exp(p)) for p in (row.logprob_a, row.logprob_b))
        if isinstance(row, ComparedPiece):
            return [str(row.position), _html.visible(row.text), a, b, f"{row.change:+.4f}", f"{row.tokens_a}, {row.tokens_b}"]
        best = "" if row.best_id_a == row.best_id_b else f"{_html.visible(row.best_a)} → {_html.visible(row.best_b)}"
        ranks = f"{row.rank_a} → {row.rank_b}"
        return [str(row.position), _html.visible(row.text), a, b, f"{row.change:+.4f}", ranks, f"{row.kl_ab:.2g}", best]

    @property
    def _head(self) -> list[str]:
        last = ["rank A → B", "KL(A‖B)", "most likely"] if self.by == "token" else ["tokens A, B"]
        return ["#", self.by, "A", "B", "change", *last]

    def _text(self) -> list[str]:
        shown = self._furthest(20)
        which = f"the {len(shown)} of {len(self)} that differ most" if len(shown) < len(self) else ""
        return [*_html.aligned(self._head, [self._cells(r) for r in shown]), *([which] if which else []), *self.totals()]

    def _repr_html_(self) -> str:
        return _html.listing(self._head, [self._cells(r) for r in self._furthest(40)], len(self), self.totals())

    def __reduce__(self) -> Any:
        return Comparison, (self.a, self.b, self._table, self._figures, self.interrupted)


class ComparedNode(NamedTuple):
    """A node of two trees, or of one of them. Logprobs are in nats; the mass is the probability of its path."""

    #: ``both``, ``a`` or ``b``.
    place: str
    node_a: int | None
    node_b: int | None
    depth: int
    #: Text of the path, without the prompt.
    text: str
    logprob_a: float | None
    logprob_b: float | None
    #: ``logprob_b - logprob_a``.
    change: float | None
    mass_a: float | None
    mass_b: float | None


class Next(NamedTuple):
    """The most likely way on."""

    node: int
    #: Text of its token.
    token: str
    #: Text of its path.
    text: str
    #: Of its token, in nats.
    logprob: float
    #: Probability of its path.
    mass: float


class Parting(NamedTuple):
    """Where the paths of the most likely tokens part."""

    #: The last common node, in A and in B.
    node: tuple[int, int]
    #: Text of its path.
    text: str
    #: Where A goes on; ``None`` if its path ends.
    next_a: Next | None
    next_b: Next | None


class RunComparison(Rows[ComparedNode]):
    """Two runs side by side: a :class:`ComparedNode` per node below the roots.

    Attributes:
        names: Names of the two runs' models.
        same_ids: Whether ids mean the same tokens in both; otherwise tokens are the same if their bytes are.
        shared: Number of nodes in both, the root included.
        only: Number of nodes only in A, and only in B.
        only_mass: Their probability, each in its own tree.
        moved: The probability that must be moved, at least, to make one of the other.
        fork: Where the paths of the most likely tokens part; ``None`` if they are the same.
    """

    def __init__(self, names: tuple[str, str], table: _logitree.Table, figures: Mapping[str, Any]) -> None:
        self.names, self._table, self._figures = names, table, dict(figures)
        self._list = _rows(table, ComparedNode)
        self.same_ids: bool = figures["same_ids"]
        self.shared: int = figures["shared"]
        self.only: tuple[int, int] = figures["only"]
        self.only_mass: tuple[float, float] = figures["only_mass"]
        self.moved: float = figures["moved"]
        fork = figures["fork"]
        self.fork: Parting | None = None
        if fork is not None:
            node, text, *ways = fork
            self.fork = Parting(node, text, *(None if n is None else Next(*n) for n in ways))

    def totals(self) -> list[str]:
        """What is in both, and what is not, a line each."""
        lines = [f"in both {self.shared} nodes; moved at least {_html.percent(self.moved)}"]
        for name, model, nodes, mass in zip("AB", self.names, self.only, self.only_mass):
            lines.append(f"only in {name} ({model}) {nodes} nodes with {_html.percent(mass)} of its probability")
        if self.fork is None:
            return [*lines, "the most likely tokens are the same to the end"]
        ways = [
            "nothing" if n is None else f"{_html.visible(n.token)} ({_html.percent(math.exp(n.logprob))})"
            for n in (self.fork.next_a, self.fork.next_b)
        ]
        after = _html.visible(self.fork.text[-40:])
        return [*lines, f"the most likely tokens part after {after!r}: A goes on with {ways[0]}, B with {ways[1]}"]

    def _likeliest(self, most: int) -> list[list[str]]:
        rows = sorted(self._list, key=lambda r: -max(r.mass_a or 0.0, r.mass_b or 0.0))[:most]

        def cell(mass: float | None) -> str:
            return "" if mass is None else _html.percent(mass)

        return [
            [
                {"both": "A, B", "a": "A", "b": "B"}[r.place], cell(r.mass_a), cell(r.mass_b),
                "" if r.change is None else f"{r.change:+.4f}", _html.visible(r.text[-60:]),
            ]
            for r in rows
        ]

    _head = ("in", "path in A", "path in B", "change", "path")

    def _text(self) -> list[str]:
        rows = self._likeliest(20)
        more = [f"the {len(rows)} likeliest of {len(self)}"] if len(rows) < len(self) else []
        return [*_html.aligned(self._head, rows), *more, *self.totals()]

    def _repr_html_(self) -> str:
        return _html.listing(self._head, self._likeliest(40), len(self), self.totals())

    def __reduce__(self) -> Any:
        return RunComparison, (self.names, self._table, self._figures)


@dataclass(frozen=True)
class DecisionPoint:
    """What is known of the answers after the first tokens of a text."""

    #: Number of these tokens.
    tokens: int
    #: The last of them: id, text; ``None`` before the first.
    token_id: int | None
    text: str | None
    #: Its logprob, in nats.
    logprob: float | None
    #: Bounds of the answers' probabilities, likeliest first.
    answers: tuple[Answer, ...]
    #: Bounds of the probability to give none.
    no_answer: Bounds
    #: Probability of what is not decided.
    undecided: float
    #: Bounds of the entropy over answers and giving none, in nats.
    entropy: Bounds
    #: Steps that the model was asked for, for this point.
    steps: int
    #: Paths looked at, for this point.
    nodes: int
    #: ``tolerance``, ``max_nodes``, ``exhausted`` or ``interrupted``.
    ended_by: str


class DecisionCurve(Rows[DecisionPoint]):
    """How likely each answer is after 0, 1, 2, … tokens of a text.

    Attributes:
        text: The text.
        decided: Number of tokens after which it was decided: from there on the same answer, or giving none, is certainly
            ahead to the end. ``None`` if it was not.
        winner: The answer that it was decided for; ``None`` for giving none too.
        tolerance: Width of the bounds that was asked for.
        interrupted: Whether Ctrl-C ended it: then the bounds of the first points are wide.
    """

    def __init__(self, found: str, table: _logitree.Table, interrupted: bool = False) -> None:
        self._json, self._table, self.interrupted = found, table, interrupted
        fields = json.loads(found)
        self.text: str = fields["text"]
        self.tolerance: float = fields["tolerance"]
        decided = fields["decided"]
        self.decided: int | None = None if decided is None else decided["tokens"]
        self.winner: str | None = None if decided is None else decided["answer"]
        self._list = [self._point(p) for p in fields["points"]]

    @staticmethod
    def _point(p: Mapping[str, Any]) -> DecisionPoint:
        token = p["token"]
        # JSON has no infinity: a token without probability has no number there.
        logprob = -math.inf if token is not None and p["logprob"] is None else p["logprob"]
        return DecisionPoint(
            p["tokens"], token and token["id"], token and token["text"], logprob, tuple(Answer(**a) for a in p["answers"]),
            Bounds(**p["no_answer"]), p["undecided"], Bounds(**p["entropy"]), p["steps"], p["nodes"], p["ended_by"],
        )

    def summary(self) -> str:
        """Where it was decided, in a line."""
        if self.decided is None:
            return "not decided: at the end of the text it is not certain what is ahead"
        what = "giving no answer" if self.winner is None else repr(self.winner)
        text = self._list[self.decided].text
        where = "the prompt" if text is None else f"token {self.decided}, {_html.visible(text)!r}"
        return f"decided by {where}: from there on {what} is ahead for certain"

    def _classes(self, most: int) -> list[str]:
        """The answers that are likeliest anywhere."""
        best: dict[str, float] = {}
        for a in (a for p in self._list for a in p.answers):
            best[a.answer] = max(best.get(a.answer, 0.0), a.lower)
        return sorted(best, key=lambda a: (-best[a], a))[:most]

    def _listing(self, most: int) -> tuple[list[str], list[list[str]]]:
        shown = self._classes(most)
        rows = []
        for p in self._list:
            known = {a.answer: a for a in p.answers}
            bounds = [known.get(a, Answer(a, 0.0, p.undecided)) for a in shown]
            h = p.entropy
            entropy = f"≥ {h.lower:.3f}" if h.upper is None else f"{h.lower:.3f}–{h.upper:.3f}"
            rows.append([
                f"{p.tokens}{'>' if p.tokens == self.decided else ''}",
                "(prompt)" if p.text is None else _html.visible(p.text),
                *(_html.between((b.lower, b.upper)) for b in bounds),
                _html.between((p.no_answer.lower, p.no_answer.lower + p.undecided)),
                entropy,
            ])
        return ["t", "token", *map(_html.visible, shown), "no answer", "entropy (nats)"], rows

    def _text(self) -> list[str]:
        head, rows = self._listing(4)
        return [*_html.aligned(head, rows[:60]), *([f"… {len(rows) - 60} more"] if len(rows) > 60 else []), self.summary()]

    def _repr_html_(self) -> str:
        head, rows = self._listing(6)
        return _html.listing(head, rows, len(rows), [self.summary()])

    def __reduce__(self) -> Any:
        return DecisionCurve, (self._json, self._table, self.interrupted)


class AttributedText(NamedTuple):
    """A text whose probability is attributed."""

    text: str
    #: Number of its tokens.
    tokens: int
    #: Its logprob after the whole prompt, in nats.
    logprob: float


class Part(NamedTuple):
    """A part of a prompt, and what became of the texts when it was edited."""

    #: The part, as it stands in the prompt.
    part: str
    #: Index of its message, in a conversation.
    message: int | None
    #: Tokens of the edited prompt.
    prompt_tokens: int
    #: Logprob of each text after the edited prompt, in nats.
    logprobs: tuple[float, ...]
    #: Of each text, its logprob after the whole prompt less that after the edited one, in nats: above 0 if the part makes
    #: it likelier.
    deltas: tuple[float, ...]


class Attribution(Rows[Part]):
    """What each part of a prompt contributes to the probability of texts after it.

    Attributes:
        texts: The texts, with their logprobs after the whole prompt.
        by: What the prompt was cut into.
        replacement: What took the place of a part; ``None`` if it was left out.
        interrupted: Whether Ctrl-C ended it: then the last parts are missing.
    """

    def __init__(
        self, texts: Sequence[AttributedText], table: _logitree.Table, by: str, replacement: str | None = None,
        interrupted: bool = False,
    ) -> None:
        self.texts, self._table, self.by = list(texts), table, by
        self.replacement, self.interrupted = replacement, interrupted
        columns = {name: values for name, _, values in table.columns()}
        n = len(self.texts)
        starts = range(0, len(table), n)
        fields = ([columns[c][i] for i in starts] for c in ("part", "message", "prompt_tokens"))
        numbers = ([tuple(columns[c][i : i + n]) for i in starts] for c in ("logprob", "delta"))
        self._list = [Part(*row) for row in zip(*fields, *numbers)]

    def totals(self) -> list[str]:
        """The texts after the whole prompt, a line each."""
        return [
            f"{_html.visible(t.text)} {_html.percent(math.exp(t.logprob))} after the prompt, logprob {t.logprob:.4f}, "
            f"{t.tokens} token{'s' if t.tokens != 1 else ''}"
            for t in self.texts
        ]

    def _listing(self) -> tuple[list[str], list[list[str]]]:
        sizes = [abs(d) for p in self._list for d in p.deltas if math.isfinite(d)]
        largest = max(sizes, default=0.0)

        def bar(delta: float) -> str:
            if not largest or math.isnan(delta):
                return ""
            return ("-" if delta < 0 else "") + _html.bar(min(abs(delta) / largest, 1.0))

        one = len(self.texts) == 1
        rows = [
            [str(i), _html.visible(p.part), *(f"{d:+.4f}" for d in p.deltas), *([bar(p.deltas[0])] if one else [])]
            for i, p in enumerate(self._list, 1)
        ]
        return ["#", self.by, *(f"Δ {_html.visible(t.text)}" for t in self.texts), *([""] if one else [])], rows

    def _text(self) -> list[str]:
        head, rows = self._listing()
        more = [f"… {len(rows) - 60} more"] if len(rows) > 60 else []
        return [*_html.aligned(head, rows[:60]), *more, *self.totals(), "Δ in nats, above 0 if the part makes the text likelier"]

    def _repr_html_(self) -> str:
        head, rows = self._listing()
        return _html.listing(head, rows, len(rows), self.totals())

    def __reduce__(self) -> Any:
        return Attribution, (self.texts, self._table, self.by, self.replacement, self.interrupted)
