"""Pictures that need no script and no style sheet, so that GitHub, nbviewer and untrusted notebooks show them too."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any
from unicodedata import combining, east_asian_width

if TYPE_CHECKING:
    from ._distributions import Distribution
    from ._results import Run
    from ._scores import Scores

_MOST = 18_000
_CELL = "text-align:left;padding:1px 8px"


def visible(text: str) -> str:
    """A text on one line, with white space and control characters that can be seen."""
    out = []
    for c in text:
        if c == " ":
            out.append("·")
        elif c == "\n":
            out.append("↵")
        elif c == "\t":
            out.append("⇥")
        elif c.isprintable():
            out.append(c)
        else:
            out.append(f"\\u{{{ord(c):x}}}")
    return "".join(out)


def percent(prob: float) -> str:
    """A probability with three or more significant digits."""
    x = prob * 100
    if x >= 0.1 or x == 0:
        return f"{x:.2f} %"
    return f"{x:.4f} %" if x >= 0.001 else f"{x:.1e} %"


def between(bounds: Sequence[float | None]) -> str:
    """A probability, or its bounds."""
    lower, upper = bounds[0] or 0.0, 1.0 if bounds[1] is None else min(bounds[1], 1.0)
    low, high = f"{lower * 100:.2f}", f"{upper * 100:.2f}"
    if low != high:
        return f"{low}–{high} %"
    return percent(upper) if lower == upper else f"{low} %"


def bar(prob: float, width: int = 10) -> str:
    """A probability in block characters, which are there without colours too."""
    eighths = round(prob * width * 8)
    return "█" * (eighths // 8) + ("▏▎▍▌▋▊▉"[eighths % 8 - 1] if eighths % 8 else "")


def _colour(bits: float) -> str:
    """Background for a surprisal: none for what was expected, deeper for what was not."""
    strength = min(bits, 16.0) / 16.0
    return f"rgba(214,69,65,{0.75 * strength:.2f})"


def _row(cells: Iterable[str], tag: str = "td") -> str:
    made = "".join(f'<{tag} style="{_CELL}">{c}</{tag}>' for c in cells)
    return f"<tr>{made}</tr>"


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    return f"<table>{_row(map(escape, head), 'th')}{''.join(rows)}</table>"


def _code(text: str) -> str:
    return f"<code>{escape(visible(text))}</code>"


_NUMBERS = re.compile(r"[-+#≥≤~>→–% .,e\d]*|-?inf|nan")


def _columns(text: str) -> int:
    """Columns that a text takes on a terminal."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table for a terminal: numbers to the right, texts to the left."""
    widths = [max(map(_columns, column)) for column in zip(head, *rows)]
    right = [all(_NUMBERS.fullmatch(cell) for cell in column) for column in zip(*rows)] or [False] * len(head)

    def line(cells: Sequence[str]) -> str:
        made = []
        for cell, width, to_right in zip(cells, widths, right):
            gap = " " * (width - _columns(cell))
            made.append(gap + cell if to_right else cell + gap)
        return "  ".join(made).rstrip()

    return [line(head), *map(line, rows)]


def listing(head: Sequence[str], rows: Sequence[Sequence[str]], total: int, notes: Sequence[str]) -> str:
    """A table with the lines that go below it; rows for which there is no room are counted."""
    made: list[str] = []
    used = 0
    for cells in rows:
        row = _row([escape(c) for c in cells])
        used += len(row.encode())
        if used > _MOST * 5 // 6:
            break
        made.append(row)
    if len(made) < total:
        made.append(_row([f"… {total - len(made)} more"] + [""] * (len(head) - 1)))
    return _table(head, made) + "".join(f"<div>{escape(note)}</div>" for note in notes)


def scores(s: Scores) -> str:
    """The text, each token coloured by its surprisal; what lies behind each is in its title."""
    parts: list[str] = []
    used = 0
    for i, text in enumerate(s.texts):
        logprob = float(s.logprobs[i])
        bits = 0.0 - logprob / math.log(2)
        others = [f"{visible(t)} {percent(math.exp(p))}" for t, p in zip(s.top_texts[i][:5], s.top_logprobs[i])]
        about = f"{percent(math.exp(logprob))}, {bits:.2f} bits, rank {int(s.ranks[i])}"
        shown = escape(text).replace("\n", "↵<br>").replace(" ", "&nbsp;" if i == 0 else " ")
        line = ";text-decoration:underline" if s.forced[i] else ""
        # A long text keeps its colours; its titles get shorter.
        title = about if used > _MOST * 2 // 5 else f"{about} | " + ", ".join(others)
        part = f'<span title="{escape(title, quote=True)}" style="background-color:{_colour(bits)}{line}">{shown}</span>'
        if used > _MOST * 3 // 5:
            part = f'<span style="background-color:{_colour(bits)}">{shown}</span>'
        if used + len(part) > _MOST:
            parts.append(f" … and {len(s.texts) - i} more tokens")
            break
        used += len(part)
        parts.append(part)
    return f'<div style="line-height:1.8">{"".join(parts)}</div><div>{escape(s.summary())}</div>'


def distribution(d: Distribution) -> str:
    """The most likely tokens as bars."""
    shown = d.top[:30]
    rows = [
        _row([str(t.rank), _code(t.text), percent(t.prob), f"<code>{bar(t.prob, 20)}</code>"]) for t in shown
    ]
    if len(d.top) > len(shown):
        rows.append(_row(["", f"… {len(d.top) - len(shown)} more in the list", "", ""]))
    rows.append(_row(["", "all others", percent(d.rest), f"<code>{bar(d.rest, 20)}</code>"]))
    return _table(["rank", "token", "prob", ""], rows) + f"<div>{escape(d.summary())}</div>"


def outline(columns: dict[str, Any], most: int) -> list[tuple[int, int, int, float]]:
    """The likeliest nodes in the order of a tree: ``(node, depth, children left out, their mass)``."""
    parents, logprobs = columns["parent"], columns["path_logprob"]
    children: dict[int, list[int]] = {}
    for node in range(1, len(parents)):
        children.setdefault(int(parents[node]), []).append(node)
    taken: set[int] = {0}
    waiting = [(-float(logprobs[c]), c) for c in children.get(0, [])]
    heapq.heapify(waiting)
    while waiting and len(taken) <= most:
        _, node = heapq.heappop(waiting)
        taken.add(node)
        for c in children.get(node, []):
            heapq.heappush(waiting, (-float(logprobs[c]), c))
    lines: list[tuple[int, int, int, float]] = []
    stack = [(0, 0)]
    while stack:
        node, depth = stack.pop()
        left = [c for c in children.get(node, []) if c not in taken]
        lines.append((node, depth, len(left), sum(math.exp(float(logprobs[c])) for c in left)))
        shown = [c for c in children.get(node, []) if c in taken]
        shown.sort(key=lambda c: float(logprobs[c]))
        stack.extend((c, depth + 1) for c in shown)
    return lines


def run(r: Run, rows: int) -> str:
    """The likeliest part of the tree as an outline, the likeliest paths, and where the probability went."""
    columns = r._nodes
    made: list[str] = []
    used = 0
    for node, depth, left, mass in outline(columns, rows):
        indent = "&nbsp;" * 3 * min(depth, 24)
        if node == 0:
            text = _code(r.prompt["text"][-80:])
            made.append(_row([text, "", "", "", f"{left} lighter, {percent(mass)}" if left else ""]))
            continue
        prob, path = math.exp(float(columns["logprob"][node])), math.exp(float(columns["path_logprob"][node]))
        stop = columns["stop"][node]
        about = (stop or "").replace("_", " ")
        if left:
            about = f"{about} + {left} lighter, {percent(mass)}".removeprefix(" ")
        text = columns["bytes"][node].decode("utf-8", "replace")
        row = _row([indent + _code(text), percent(prob), f"<code>{bar(path)}</code>", percent(path), about])
        used += len(row)
        if used > _MOST * 3 // 4:
            made.append(_row(["…", "", "", "", ""]))
            break
        made.append(row)
    tree = _table(["token", "prob", "path", "", ""], made)
    paths = [_row([percent(p.prob), _code(p.text[-120:]), (p.stop or "").replace("_", " ")]) for p in r.paths(5)]
    listed = _table(["prob", "path", ""], paths)
    return f"{tree}<details><summary>{escape(r.summary())}</summary>{listed}</details>"


def answers(rows: Sequence[tuple[str, float, float]], summary: str) -> str:
    """Bounds of each answer's probability."""
    made = [
        _row([_code(a), percent(low), percent(high), f"<code>{bar(low, 20)}</code>"]) for a, low, high in rows[:30]
    ]
    if len(rows) > 30:
        made.append(_row([f"… {len(rows) - 30} more", "", "", ""]))
    return _table(["answer", "at least", "at most", ""], made) + f"<div>{escape(summary)}</div>"


def forks(rows: Sequence[Any], summary: str) -> str:
    """Where a text might have gone another way."""
    made = [
        _row([
            str(f.position + 1),
            f"{_code(f.token.text)} {percent(f.token.prob)}",
            f"{_code(f.other.text)} {percent(f.other.prob)}",
            f.verdict,
            _code(f.text[-100:]),
        ])
        for f in rows
    ]
    return _table(["#", "token", "instead", "comes to", "continuation"], made) + f"<div>{escape(summary)}</div>"
