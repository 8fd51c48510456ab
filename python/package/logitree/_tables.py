"""Results as tables."""

from __future__ import annotations

from typing import Any

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
