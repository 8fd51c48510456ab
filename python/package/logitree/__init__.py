"""See what a language model could have said.

>>> import logitree as lt
>>> m = lt.load("gemma-3-270m")
>>> m.next("The capital of India is")
>>> m.tree("The capital of India is", max_depth=12)

Logprobs and entropies are in nats, surprisals in bits, probabilities in [0, 1].
"""

from ._analyses import (
    AttributedText,
    Attribution,
    ComparedNode,
    ComparedPiece,
    ComparedToken,
    Comparison,
    ComparisonSummary,
    DecisionCurve,
    DecisionPoint,
    Estimate,
    Next,
    Part,
    Parting,
    RunComparison,
    Spread,
)
from ._distributions import Direct, Distribution, DistributionTable, TopP
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
from ._layers import Layers, LayersTable
from ._lens import Lens, SeenPath, SeenToken
from ._model import Model, load, read, write_jsonl
from ._ongoing import Exploration, Generation, Session
from ._progress import Options, options
from ._results import Answers, Fork, Forks, Record, Records, Run, Verification, View
from ._scores import Forced, Scores, ScoreTable, Span, Spans, Step
from ._types import Answer, Bounds, Level, Mass, Path, Token

__all__ = [
    "Answer",
    "Answers",
    "AttributedText",
    "Attribution",
    "Bounds",
    "ComparedNode",
    "ComparedPiece",
    "ComparedToken",
    "Comparison",
    "ComparisonSummary",
    "ConflictError",
    "DecisionCurve",
    "DecisionPoint",
    "Direct",
    "Distribution",
    "DistributionTable",
    "Error",
    "Estimate",
    "Exploration",
    "FileError",
    "Forced",
    "Fork",
    "ForkError",
    "Forks",
    "Generation",
    "InputError",
    "InternalError",
    "Interrupted",
    "Layers",
    "LayersTable",
    "Lens",
    "Level",
    "Mass",
    "Model",
    "ModelError",
    "NetworkError",
    "Next",
    "NotFoundError",
    "Note",
    "Options",
    "ParameterError",
    "Part",
    "Parting",
    "Path",
    "Prompt",
    "Record",
    "Records",
    "Run",
    "RunComparison",
    "ScoreTable",
    "Scores",
    "SeenPath",
    "SeenToken",
    "Session",
    "Span",
    "Spans",
    "Spread",
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
