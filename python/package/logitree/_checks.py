"""Checks of what calls are given."""

from __future__ import annotations

import math
import os
from typing import Any


def filename(name: str, value: str | os.PathLike[str]) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"`{name}` must be a str or a path, not {type(value).__name__}")
    return os.fspath(value)


def at_least(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"`{name}` must be an int, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"`{name}` is {value}: it must be at least {least}")
    return int(value)


def number(name: str, value: Any) -> float:
    """A finite number, 0 or more."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"`{name}` must be a number, not {type(value).__name__}")
    if not 0.0 <= value < math.inf:
        raise ValueError(f"`{name}` is {value}: it must be a number, at least 0")
    return float(value)


def probability(name: str, value: Any) -> float:
    """A number from 0 to 1."""
    if number(name, value) > 1.0:
        raise ValueError(f"`{name}` is {value}: it must be a probability, from 0 to 1")
    return float(value)


def asked(choices: Any, pattern: str | None) -> list[str] | None:
    """Choices as a list; ``None`` if answers are found by a pattern."""
    if (choices is None) == (pattern is None):
        raise ValueError("give either `choices` or `pattern`")
    return None if choices is None else strings("choices", choices)


def strings(name: str, value: Any) -> list[str]:
    if isinstance(value, str):
        raise TypeError(f"`{name}` must be a list of str: [{value!r}]")
    listed = list(value)
    for text in listed:
        if not isinstance(text, str):
            raise TypeError(f"`{name}` must be a list of str, and one is {type(text).__name__}")
    return listed
