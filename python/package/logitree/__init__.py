"""See what a language model could have said.

>>> import logitree as lt
>>> m = lt.load("gemma-3-270m")
>>> m.next("The capital of India is")
>>> m.tree("The capital of India is", max_depth=12)

Logprobs and entropies are in nats, surprisals in bits, probabilities in [0, 1].
"""

from ._errors import (
    ConflictError,
    Error,
    FileError,
    ForkError,
    InputError,
    InternalError,
    Interrupted,
    ModelError,
    NetworkError,
    Note,
    NotFoundError,
    ParameterError,
    UnsupportedError,
)
from ._logitree import Prompt, Table, __version__
from ._model import Exploration, Generation, Model, Session, load, read, write_jsonl
from ._progress import Options, options
from ._results import (
    Answer,
    Answers,
    Direct,
    Distribution,
    DistributionTable,
    Fork,
    Forks,
    Record,
    Records,
    Run,
    Scores,
    ScoreTable,
    Span,
    Spans,
    Step,
    TopP,
    Verification,
    View,
)
from ._types import Level, Mass, Path, Token

__all__ = [
    "Answer",
    "Answers",
    "ConflictError",
    "Direct",
    "Distribution",
    "DistributionTable",
    "Error",
    "Exploration",
    "FileError",
    "Fork",
    "ForkError",
    "Forks",
    "Generation",
    "InputError",
    "InternalError",
    "Interrupted",
    "Level",
    "Mass",
    "Model",
    "ModelError",
    "NetworkError",
    "NotFoundError",
    "Note",
    "Options",
    "ParameterError",
    "Path",
    "Prompt",
    "Record",
    "Records",
    "Run",
    "ScoreTable",
    "Scores",
    "Session",
    "Span",
    "Spans",
    "Step",
    "Table",
    "Token",
    "TopP",
    "UnsupportedError",
    "Verification",
    "View",
    "__version__",
    "load",
    "options",
    "read",
    "write_jsonl",
]
