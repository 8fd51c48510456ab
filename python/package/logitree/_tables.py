"""Results as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

from . import _logitree


def array(vector: Any) -> Any:
    """A read-only numpy array over the same memory; a memoryview where numpy is not installed."""
    try:
        import numpy
    except ImportError:
        return memoryview(vector)
    return numpy.asarray(vector)


def matrix(vector: Any, length: int) -> Any:
    """``float32`` numbers as a read-only array of ``length`` rows, over the same memory; a memoryview without numpy."""
    flat = memoryview(vector).cast("B")
    if not len(flat):
        return array(memoryview(b"").cast("f"))
    return array(flat.cast("f", (length, len(flat) // 4 // length)))


def rows(matrix: Any, places: range) -> bytes:
    """Rows of a matrix, one after another."""
    flat = memoryview(matrix).cast("B")
    size = len(flat) // max(len(matrix), 1)
    return b"".join(flat[i * size : (i + 1) * size] for i in places)


class Tabular:
    """What turns into a table: pandas, polars, pyarrow and DuckDB take it as it is."""

    __slots__ = ()

    def table(self) -> _logitree.Table:
        """The rows as an Arrow table."""
        raise NotImplementedError

    def __arrow_c_schema__(self) -> object:
        return self.table().__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.table().__arrow_c_stream__(requested_schema)

    def to_pandas(self) -> Any:
        """The rows as a ``pandas.DataFrame``.

        Raises:
            ImportError: pandas is not installed, or neither has ``DataFrame.from_arrow`` (pandas 3) nor finds pyarrow.
        """
        import pandas

        if hasattr(pandas.DataFrame, "from_arrow"):
            return pandas.DataFrame.from_arrow(self.table())
        import pyarrow

        return pyarrow.table(self.table()).to_pandas()

    def to_polars(self) -> Any:
        """The rows as a ``polars.DataFrame``.

        Raises:
            ImportError: polars is not installed.
        """
        import polars

        return polars.DataFrame(self.table())


R = TypeVar("R")


class Rows(Tabular, Generic[R]):
    """A sequence of rows that are also a table."""

    _table: _logitree.Table
    _list: Sequence[R]

    def __len__(self) -> int:
        return len(self._list)

    def __iter__(self) -> Iterator[R]:
        return iter(self._list)

    @overload
    def __getitem__(self, at: int) -> R: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[R]: ...
    def __getitem__(self, at: int | slice) -> R | Sequence[R]:
        return self._list[at]

    def table(self) -> _logitree.Table:
        """The rows as an Arrow table, with the columns of the command's CSV."""
        return self._table

    def __repr__(self) -> str:
        return "\n".join(self._text())

    def _text(self) -> list[str]:
        raise NotImplementedError


def numbered(tables: Sequence[list[tuple[str, str, Any]]]) -> _logitree.Table:
    """Tables with the same columns, one below the other, with the number of each in ``row``."""
    rows = [i for i, table in enumerate(tables) for _ in table[0][2]]
    heads = tables[0] if tables else []
    joined = [(name, kind, [v for t in tables for v in t[c][2]]) for c, (name, kind, _) in enumerate(heads)]
    return _logitree.Table([("row", "u32", rows), *joined])


def packed(numbers: Any) -> tuple[str, bytes] | None:
    """Numbers of an array with their format, as they are pickled."""
    if numbers is None:
        return None
    view = memoryview(numbers)
    return view.format, view.tobytes()


def unpacked(packed: tuple[str, bytes] | None) -> Any:
    """The array of what :func:`packed` gave."""
    if packed is None:
        return None
    format, data = packed
    return memoryview(data).cast("B").cast(format)  # type: ignore[call-overload]
