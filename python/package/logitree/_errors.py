"""What can go wrong."""

from __future__ import annotations

from typing import Any


class Error(Exception):
    """Whatever logitree reports. Its text says what was wrong and how to mend it."""

    #: The parameter that is wrong, by its name, if it is one.
    parameter: str | None = None


class ParameterError(Error, ValueError):
    """A parameter has a value that it cannot have; ``parameter`` names it."""


class InputError(Error, ValueError):
    """What was given cannot be used: a file that is none of the known ones, a prompt that does not fit the model."""


class NotFoundError(Error, FileNotFoundError):
    """There is no such model or file."""


class ConflictError(Error, ValueError):
    """What was asked for does not go together with what is there: another model made the run, another process writes it."""


class UnsupportedError(Error, RuntimeError):
    """The model, or the server in its place, cannot do this."""


class ModelError(Error, RuntimeError):
    """The engine failed."""


class NetworkError(Error, ConnectionError):
    """Another machine could not be reached, or did not answer as it should."""


class FileError(Error, OSError):
    """The operating system refused: no permission, a full disk."""


class ForkError(Error, RuntimeError):
    """A model was used in a process that was forked after it was loaded."""


class InternalError(Error, RuntimeError):
    """A fault of logitree. The module can still be used."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, where ``options.interrupt`` is ``"raise"``; ``result`` is what was done until then."""

    def __init__(self, result: Any) -> None:
        super().__init__("interrupted; what was done is in .result")
        self.result = result


class Note(UserWarning):
    """Something about a call that its caller should know; the call did what it should."""
