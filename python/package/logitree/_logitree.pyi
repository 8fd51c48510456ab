"""The extension module."""

import os
from collections.abc import Iterable, Sequence
from typing import Any, final

__version__: str
DEFAULT_MODEL: str

def run_cli(args: Sequence[str]) -> int: ...
def panic() -> None: ...
def read(
    path: str | os.PathLike[str] | None, bytes: bytes | None
) -> tuple[Run | None, list[tuple[str, str, list[float]]], list[str]]: ...
def compare_texts(
    model: Model, other: Model, text: str, after: Prompt | None, other_after: Prompt | None, progress: Any
) -> tuple[Table, dict[str, Any], bool, bool]: ...
def compare_runs(a: Run, b: Run) -> tuple[Table, dict[str, Any]]: ...
def decide(
    model: Model,
    prompt: Prompt,
    text: str | None,
    choices: Sequence[str] | None,
    pattern: str | None,
    normalize: bool,
    max_new_tokens: int,
    tolerance: float,
    max_depth: int,
    max_nodes: int,
    batch: int,
    progress: Any,
) -> tuple[str, Table, bool]: ...
def attribute(
    model: Model, prompt: Prompt, texts: Sequence[str], by: str, replacement: str | None, progress: Any
) -> tuple[Table, list[tuple[int, float]], int, bool]: ...
def record(prompt: str, response: str, steps: Sequence[tuple[str, float, Sequence[tuple[bytes, float]]]]) -> str: ...

@final
class Vector:
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Table:
    """An Arrow table: pandas, polars, pyarrow and DuckDB take it as it is."""

    def __new__(cls, columns: Sequence[tuple[str, str, Iterable[Any]]]) -> Table: ...
    @staticmethod
    def join(tables: Sequence[Table]) -> Table:
        """Tables with the same columns, one below the other."""
    def columns(self) -> list[tuple[str, str, list[Any]]]:
        """Name, kind (``u32``, ``f64``, ``str``, …; with ``!`` if no value is missing) and values of each column."""
    @property
    def names(self) -> list[str]:
        """Names of the columns."""
    def __len__(self) -> int: ...
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@final
class Prompt:
    """A prompt as the tokens that the model goes on from; made by ``Model.prompt`` and ``Model.chat``."""

    @property
    def text(self) -> str:
        """What the user says, of a conversation the last message."""
    @property
    def tokens(self) -> list[int]:
        """All token ids, with the template's and with BOS."""
    @property
    def bos(self) -> bool:
        """Whether the first token is a BOS."""
    @property
    def messages(self) -> list[tuple[str, str]]:
        """The conversation, if it is one: role and content."""

@final
class Model:
    @staticmethod
    def open(
        name: str, threads: int | None, backend: str | None, arithmetic: str | None, progress: Any
    ) -> Model: ...
    @staticmethod
    def connect(
        urls: Sequence[str],
        kind: str | None,
        model: str | None,
        key: str | None,
        concurrency: int | None,
        list: int,
        seconds: float,
        tokenizer: str | None,
        end_tokens: Sequence[str],
        progress: Any,
    ) -> Model: ...
    @property
    def name(self) -> str: ...
    @property
    def engine(self) -> str: ...
    @property
    def exactness(self) -> str: ...
    @property
    def arithmetic(self) -> str | None: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def context_length(self) -> int: ...
    @property
    def bos(self) -> int | None: ...
    @property
    def end_tokens(self) -> list[int]: ...
    @property
    def chats(self) -> bool: ...
    def record(self) -> str: ...
    def tokenize(self, text: str, special: bool) -> list[int]: ...
    def token_bytes(self, id: int) -> bytes: ...
    def is_special(self, id: int) -> bool: ...
    def prompt(self, text: str, special: bool) -> Prompt: ...
    def chat(self, messages: Sequence[tuple[str, str]], arguments: str) -> Prompt: ...
    def prompt_of_tokens(self, tokens: Sequence[int]) -> Prompt: ...
    def next(
        self,
        prompts: Sequence[Prompt],
        top: int,
        tokens: Sequence[int],
        watch: Sequence[str],
        logits: bool,
        layers: bool,
    ) -> list[dict[str, Any]]: ...
    def following(self, prompt: Prompt, join: str, text: str) -> tuple[Prompt, int]: ...
    def score(
        self,
        prompts: Sequence[Prompt],
        firsts: Sequence[int],
        top: int,
        watch: Sequence[str],
        full: bool,
        layers: bool,
        progress: Any,
    ) -> tuple[list[dict[str, Any]], list[int], bool]: ...
    def spans(
        self, prompt: Prompt, from_: int | None, by: str, progress: Any, /
    ) -> tuple[list[tuple[str, int, int, float, float, bool]], bool]: ...
    def generate(
        self,
        prompt: Prompt,
        max_new_tokens: int,
        top: int,
        temperature: float,
        top_k: int,
        top_p: float,
        min_p: float,
        seed: int,
        watch: Sequence[str],
        guide: tuple[str, str] | None,
    ) -> Generation: ...
    def explore(
        self,
        prompt: Prompt,
        strategy: str,
        parameters: str,
        max_nodes: int | None,
        max_seconds: float | None,
        store_top: str,
        watch: Sequence[str],
        path: str | None,
        force: bool,
    ) -> Exploration: ...
    def resume(self, path: str, max_nodes: int | None, max_seconds: float | None) -> Exploration: ...
    def answers(
        self,
        prompt: Prompt,
        choices: Sequence[str] | None,
        pattern: str | None,
        normalize: bool,
        tolerance: float | None,
        max_depth: int,
        max_seconds: float,
        max_nodes: int,
        batch: int,
        progress: Any,
    ) -> tuple[str, bool]: ...
    def direct(self, prompt: Prompt, texts: Sequence[str]) -> list[tuple[list[int], float, int | None]]: ...
    def forks(
        self,
        prompt: Prompt,
        text: str | None,
        pattern: str | None,
        max_new_tokens: int,
        top: int,
        progress: Any,
    ) -> tuple[str, bool]: ...
    def verify(self, run: Run, progress: Any) -> tuple[str, bool]: ...
    def session(self) -> Session: ...

@final
class Session:
    def push_all(self, parent: int | None, tokens: Sequence[int]) -> list[int]: ...
    def evaluate(
        self, nodes: Sequence[int], top: int, tokens: Sequence[int], logits: bool
    ) -> list[dict[str, Any]]: ...
    def release(self, node: int) -> None: ...

@final
class Generation:
    def steps(self, most: int | None, progress: Any) -> tuple[dict[str, Any], str | None, bool]: ...

@final
class Lens:
    def __new__(
        cls,
        temperature: float,
        top_k: int,
        top_p: float,
        min_p: float,
        typical_p: float,
        repetition_penalty: float,
    ) -> Lens: ...
    def view(
        self, run: Run
    ) -> tuple[list[tuple[int, str, float, list[float] | None]], dict[str, Any]]: ...
    def look(self, run: Run, node: int) -> list[tuple[int, bytes, float, float, float]]: ...

@final
class Exploration:
    def stop(self) -> None: ...
    def so_far(self) -> Run: ...
    def expand(self, node: int, token: int | None, steps: int) -> tuple[list[int], bool]: ...
    def next_level(self) -> tuple[Any, bool]: ...
    def run(self, progress: Any) -> tuple[Run, Any, bool]: ...
    def finish(self) -> Run: ...

@final
class Run:
    def __len__(self) -> int: ...
    def header(self) -> str: ...
    def end(self) -> str | None: ...
    def mass(self) -> tuple[float, float, float]: ...
    def to_bytes(self) -> bytes: ...
    def save(self, path: str, force: bool) -> None: ...
    def export(self, format: str, full_text: bool) -> bytes: ...
    def export_to(self, format: str, path: str, full_text: bool, force: bool) -> None: ...
    def report(self) -> str: ...
    def report_to(self, path: str, force: bool) -> None: ...
    def drawn(self, paths: int, width: int) -> str: ...
    def table(self) -> Table: ...
    def nodes(self) -> dict[str, Any]: ...
    def node(self, node: int) -> str: ...
    def paths(self, most: int) -> list[tuple[int, str, float, int, str | None]]: ...
    def path(self, node: int) -> list[int]: ...
    def same(self, other: Run) -> bool: ...
