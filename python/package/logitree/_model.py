"""Models: what is loaded, asked, and explored."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Union, overload

from . import _logitree
from ._analyses import AttributedText, Attribution, Comparison, DecisionCurve
from ._checks import asked, at_least, filename, probability, strings
from ._distributions import Direct, Distribution, DistributionTable
from ._errors import ConflictError
from ._layers import Layers
from ._ongoing import Exploration, Generation, Session
from ._progress import Progress, finish, telling, warn
from ._results import Answers, Choice, Fork, Forks, Record, Records, Run, Verification, live_class
from ._scores import Scores, ScoreTable, Span, Spans
from ._tables import matrix
from ._types import Answer

if TYPE_CHECKING:
    from ._live import Live

Prompt = _logitree.Prompt

#: What the model goes on from: a text, token ids (exactly these, with BOS if the model wants one), a conversation as
#: messages ``{"role": …, "content": …}`` or pairs, or a :class:`Prompt`.
PromptLike = Union[str, Sequence[int], Sequence[Mapping[str, str]], Sequence[tuple[str, str]], Prompt]
Messages = Union[Sequence[Mapping[str, str]], Sequence[tuple[str, str]]]

_loaded: weakref.WeakValueDictionary[str, Model] = weakref.WeakValueDictionary()
_loading = threading.Lock()


def load(
    model: str | os.PathLike[str] | None = None,
    *,
    engine: str | Sequence[str] | None = None,
    threads: int | None = None,
    arithmetic: str | None = None,
    backend: str | None = None,
    engine_kind: str | None = None,
    engine_top: int = 100,
    api_key: str | None = None,
    concurrency: int | None = None,
    request_timeout: float = 120.0,
    tokenizer: str | None = None,
    end_tokens: Sequence[str] = (),
    progress: Progress = None,
) -> Model:
    """Opens a model, here or on servers. The same arguments give the same object for as long as it is used.

    Args:
        model: A known name (fetched if it is not here; ``logitree model list``), a GGUF file, a folder with safetensors, or
            ``hf:OWNER/REPO``. The default is ``gemma-3-270m``. With ``engine``, the model's name there.
        engine: Address of an OpenAI-compatible server, such as ``http://gpu:8000/v1``, or several: then they answer.
        threads: Threads; all cores by default.
        arithmetic: How products are computed, ``f32``, ``bf16x3`` or ``8-bit``; what this machine is best at by default.
        backend: Instruction set; the fastest by default. Results are the same bits with any.
        engine_kind: ``vllm``, ``sglang``, ``llama-server`` or ``openai``; found out by default.
        engine_top: Tokens listed per step by a server, at most.
        api_key: The key that a server asks for.
        concurrency: Prompts with a server at once.
        request_timeout: Seconds before a request to a server is repeated.
        tokenizer: The model whose tokenizer the servers' has; they are asked by default.
        end_tokens: Tokens that end a generation, by id or name, in place of those found out.
        progress: See :data:`logitree.options`.

    Raises:
        NotFoundError: there is no such model.
        NetworkError: it cannot be fetched, or a server does not answer.
        InputError: its files cannot be run.
    """
    if model is not None:
        model = filename("model", model)
    urls = [engine] if isinstance(engine, str) else list(engine or ())
    servers = {"engine_kind": engine_kind, "api_key": api_key, "concurrency": concurrency, "tokenizer": tokenizer}
    local = {"threads": threads, "arithmetic": arithmetic, "backend": backend}
    for name, value in (local if urls else servers).items():
        if value is not None:
            kind = "a model in this process: leave it out with `engine`" if urls else "servers: name one with `engine`"
            raise ValueError(f"`{name}` is about {kind}")
    if threads is not None:
        at_least("threads", threads, 1)
    at_least("engine_top", engine_top, 1)
    how: dict[str, Any] = {"model": model, "engine": urls, **local, **servers}
    how |= {"engine_top": engine_top, "request_timeout": request_timeout, "end_tokens": list(end_tokens)}
    key = json.dumps([os.getpid(), how])
    with _loading:
        held = _loaded.get(key)
        if held is not None:
            return held
        with telling(progress, "loading") as hears:
            if urls:
                ends = [str(t) for t in end_tokens]
                native = _logitree.Model.connect(
                    urls, engine_kind, model, api_key, concurrency, engine_top, float(request_timeout), tokenizer, ends, hears
                )
            else:
                name = model or os.environ.get("LOGITREE_MODEL") or _logitree.DEFAULT_MODEL
                native = _logitree.Model.open(name, threads, backend, arithmetic, hears)
        made = Model(native, how)
        _loaded[key] = made
        return made


def _again(how: dict[str, Any], sha256: str) -> Model:
    how = dict(how)
    model = load(how.pop("model"), engine=how.pop("engine") or None, **how)
    if model.sha256 != sha256:
        raise ConflictError(f"{model.name} has other weights here than where it was pickled (sha256 {model.sha256}, not {sha256})")
    return model


def _join(prompt: Prompt, join: str | None) -> str:
    """What stands between a prompt and the forced beginning of its answer."""
    return "\n\n" if join is None and not prompt.messages else join or ""


def _pairs(messages: Any) -> list[tuple[str, str]]:
    pairs = []
    for m in messages:
        try:
            role, content = (m["role"], m["content"]) if isinstance(m, Mapping) else m
        except (KeyError, TypeError, ValueError):
            raise TypeError('`messages` must be {"role": …, "content": …} or pairs of role and content') from None
        if not isinstance(role, str) or not isinstance(content, str):
            raise TypeError("`messages`: role and content must be str")
        pairs.append((role, content))
    return pairs


class Model:
    """A language model, here or on servers. Made by :func:`load`; threads may share it, and it can be pickled by name.

    Calls of several threads take turns. Work lets other Python threads go on; so ``await asyncio.to_thread(m.tree, …)``, or
    ``await m.atree(…)``, keeps an event loop free.
    """

    def __init__(self, native: _logitree.Model, how: dict[str, Any]) -> None:
        self._native = native
        self._how = how
        self._record: dict[str, Any] | None = None

    # What it is

    @property
    def name(self) -> str:
        """The name it was asked for by."""
        return self._native.name

    @property
    def engine(self) -> str:
        """The engine and its arithmetic, in words."""
        return self._native.engine

    @property
    def arithmetic(self) -> str | None:
        """``f32``, ``bf16x3`` or ``8-bit``; ``None`` behind servers."""
        return self._native.arithmetic

    @property
    def exactness(self) -> str:
        """``exact`` in this process, ``lower_bound`` behind servers, which list only the likeliest tokens."""
        return self._native.exactness

    @property
    def vocab_size(self) -> int:
        """Tokens in the vocabulary."""
        return self._native.vocab_size

    @property
    def context_length(self) -> int:
        """Longest sequence that the model was made for, in tokens."""
        return self._native.context_length

    @property
    def bos(self) -> int | None:
        """The token put before every text, if the model wants one."""
        return self._native.bos

    @property
    def end_tokens(self) -> list[int]:
        """Every token that ends a generation."""
        return self._native.end_tokens

    @property
    def chats(self) -> bool:
        """Whether it has a chat template."""
        return self._native.chats

    @property
    def record(self) -> dict[str, Any]:
        """What run files say of it: name, sha256, architecture, dtype, tokenizer, vocab, context, end_tokens, arithmetic."""
        made = self._record
        if made is None:
            made = self._record = dict(json.loads(self._native.record()))
        return dict(made)

    @property
    def sha256(self) -> str:
        """Hash of the weights."""
        return str(self.record["sha256"])

    def __repr__(self) -> str:
        return f"<logitree.Model {self.name!r}: {self.engine}, {self.vocab_size} tokens, context {self.context_length}>"

    def __reduce__(self) -> Any:
        return _again, (self._how, self.sha256)

    # Tokens

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Ids of a text, without BOS. With ``special``, names of control tokens in it are these tokens."""
        return self._native.tokenize(text, special)

    def detokenize(self, ids: Iterable[int], *, special: bool = False) -> str:
        """Text of tokens; control tokens are left out unless ``special``."""
        wanted = [i for i in ids if special or not self._native.is_special(i)]
        return b"".join(self._native.token_bytes(i) for i in wanted).decode("utf-8", "replace")

    def token_bytes(self, id: int) -> bytes:
        """Bytes of a token, which need not be UTF-8; a control token has the bytes of its name.

        Raises:
            InputError: it is not in the vocabulary.
        """
        return self._native.token_bytes(at_least("id", id, 0))

    def token_text(self, id: int) -> str:
        """Text of a token; bytes that are not UTF-8 become replacement characters."""
        return self.token_bytes(id).decode("utf-8", "replace")

    def vocabulary(self) -> _logitree.Table:
        """The vocabulary as an Arrow table: id, bytes, text, special."""
        ids = range(self.vocab_size)
        all = [self._native.token_bytes(i) for i in ids]
        return _logitree.Table([
            ("id", "u32", ids),
            ("bytes", "bytes", all),
            ("text", "str", [b.decode("utf-8", "replace") for b in all]),
            ("special", "bool", [self._native.is_special(i) for i in ids]),
        ])

    # Prompts

    def prompt(self, prompt: PromptLike, *, special: bool = False) -> Prompt:
        """The tokens that a prompt becomes, with BOS if the model wants one.

        Args:
            special: Whether names of control tokens in a text, such as ``<start_of_turn>``, are these tokens.

        Raises:
            TypeError: it is nothing of what a prompt can be.
            InputError: it does not fit the model's context.
        """
        if isinstance(prompt, Prompt):
            return prompt
        if isinstance(prompt, str):
            return self._native.prompt(prompt, special)
        if isinstance(prompt, Iterable) and not isinstance(prompt, (bytes, bytearray, Mapping)):
            items: list[Any] = list(prompt)
            if items and all(hasattr(i, "__index__") and not isinstance(i, bool) for i in items):
                return self._native.prompt_of_tokens([at_least("prompt", i, 0) for i in items])
            if items and all(isinstance(i, (Mapping, tuple, list)) for i in items):
                return self.chat(items)
        raise TypeError(
            f"`prompt` must be a str, token ids, messages or a logitree.Prompt, not {type(prompt).__name__}"
            + (" (is it empty, or of mixed items?)" if isinstance(prompt, (list, tuple)) else "")
        )

    def chat(self, messages: Messages, **template_args: Any) -> Prompt:
        """A conversation in the model's chat template, ready for the answer.

        Args:
            messages: ``{"role": "user", "content": "…"}`` or pairs; the last is the user's.
            template_args: Variables for the template, such as ``enable_thinking=False``.

        Raises:
            UnsupportedError: the model has no chat template.
            InputError: the template does not take these messages.
        """
        return self._native.chat(_pairs(messages), json.dumps(template_args))

    # Questions

    @overload
    def next(  # type: ignore[overload-overlap]
        self, prompt: PromptLike, k: int = 10, *, tokens: Sequence[int] = (), watch: Sequence[str] = (),
        logits: bool = False, layers: bool = False,
    ) -> Distribution: ...
    @overload
    def next(
        self, prompt: Sequence[str] | Sequence[Prompt], k: int = 10, *, tokens: Sequence[int] = (),
        watch: Sequence[str] = (), logits: bool = False, layers: bool = False,
    ) -> DistributionTable: ...
    def next(
        self, prompt: PromptLike | Sequence[str] | Sequence[Prompt], k: int = 10, *, tokens: Sequence[int] = (),
        watch: Sequence[str] = (), logits: bool = False, layers: bool = False,
    ) -> Distribution | DistributionTable:
        """What may come next: the ``k`` most likely tokens, the rest, the entropy, and how many tokens top-p keeps.

        Args:
            prompt: A prompt; or several texts (or what :meth:`prompt` and :meth:`chat` give), which are computed in common
                batches and give a :class:`DistributionTable`.
            tokens: Ids whose logprob and rank are wanted too, whatever their rank.
            watch: Strings whose probability to come next is wanted, whatever their rank; of several tokens, the product of
                their own tokens' probabilities.
            logits: Whether ``logprobs`` and ``logits`` of the whole vocabulary are wanted, ``float32[vocab]`` each.
            layers: Whether ``.layers`` has what each layer of the model would have predicted: of the most likely tokens,
                of ``tokens``, and of the first tokens of ``watch``.

        Raises:
            InputError: a prompt does not fit the model's context, or a token is not in the vocabulary.
            UnsupportedError: ``layers`` of a model that is not in this process.
        """
        several = isinstance(prompt, (list, tuple)) and bool(prompt) and all(isinstance(p, (str, Prompt)) for p in prompt)
        prompts: list[Any] = list(prompt) if several else [prompt]  # type: ignore[arg-type]
        made = [self.prompt(p) for p in prompts]
        found = self._native.next(made, at_least("k", k, 0), list(tokens), strings("watch", watch), bool(logits), bool(layers))
        distributions = [Distribution(fields, p.text) for fields, p in zip(found, made)]
        return DistributionTable(distributions) if several else distributions[0]

    @overload
    def score(  # type: ignore[overload-overlap]
        self, text: str, *, after: PromptLike | None = None, top: int = 5, watch: Sequence[str] = (), special: bool = False,
        full: bool = False, layers: bool = False, progress: Progress = None,
    ) -> Scores: ...
    @overload
    def score(
        self, text: Iterable[str], *, after: PromptLike | None = None, top: int = 5, watch: Sequence[str] = (),
        special: bool = False, full: bool = False, layers: bool = False, progress: Progress = None,
    ) -> ScoreTable: ...
    def score(
        self, text: str | Iterable[str], *, after: PromptLike | None = None, top: int = 5, watch: Sequence[str] = (),
        special: bool = False, full: bool = False, layers: bool = False, progress: Progress = None,
    ) -> Scores | ScoreTable:
        """Scores every token of a text: logprob, rank, entropy, and what else could have stood there.

        Several texts are computed in common batches, which is faster than one after another and gives the same bits. Memory
        for the model's work does not grow with their number.

        Args:
            text: A text; or several, which give a :class:`ScoreTable`.
            after: What comes before the text and is not scored; both are split into tokens together.
            top: Alternatives listed per token.
            watch: Strings whose probability is noted at every token.
            special: Whether names of control tokens in the text are these tokens.
            full: Whether the logprobs of the whole vocabulary are wanted at every token, as ``float32[n, vocab]``:
                four bytes per token of the text and token of the vocabulary.
            layers: Whether ``.layers`` has what each layer of the model would have predicted in the place of every token:
                of the token, of the most likely ones, and of the first tokens of ``watch``.

        Raises:
            InputError: there is nothing to score, or it does not fit the model's context.
            UnsupportedError: ``layers`` of a model that is not in this process.
        """
        at_least("top", top, 0)
        watched = strings("watch", watch)
        if isinstance(text, (bytes, bytearray)) or not isinstance(text, Iterable):
            raise TypeError(f"`text` must be a str or several, not {type(text).__name__}")
        texts = [text] if isinstance(text, str) else strings("text", text)
        if after is None:
            prompts, firsts, shown = [self.prompt(t, special=special) for t in texts], [1] * len(texts), ""
        else:
            before = self.prompt(after)
            made = [self._native.following(before, "", t) for t in texts]
            prompts, firsts, shown = [p for p, _ in made], [i for _, i in made], before.text
        with telling(progress, "scoring") as hears:
            columns, wanted, stopped = self._native.score(prompts, firsts, top, watched, bool(full), bool(layers), hears)
        scores = [
            Scores(c, prompt=shown, interrupted=len(c["bytes"]) < n, model=self.name) for c, n in zip(columns, wanted)
        ]
        if isinstance(text, str):
            return finish(scores[0], stopped, f"{len(scores[0])} of {wanted[0]} tokens are scored")  # type: ignore[no-any-return]
        whole = sum(not s.interrupted for s in scores)
        # They are scored in order: one at most is scored in part, and what comes after it has no token.
        begun = scores[:whole] + [s for s in scores[whole : whole + 1] if len(s)]
        return finish(ScoreTable(begun), stopped, f"{whole} of {len(texts)} texts are scored whole")  # type: ignore[no-any-return]

    def words(
        self, text: str, *, after: PromptLike | None = None, by: Literal["word", "line", "sentence"] = "word",
        special: bool = False, progress: Progress = None,
    ) -> Spans:
        """How likely each word of a text is: spans of whole tokens, which together are the text.

        A word's logprob is not the sum of its tokens', for ``" cat"`` leaves open whether it goes on to ``" catch"``: it is
        corrected after Pimentel and Meister (2024), as docs/metrics.md has it. Lines and sentences are sums.

        Args:
            text: The text.
            after: What comes before the text and is not scored; both are split into tokens together.
            by: ``word``, ``line`` or ``sentence``.
            special: Whether names of control tokens in the text are these tokens.

        Raises:
            InputError: there is nothing to score, or it does not fit the model's context.
        """
        if not isinstance(text, str):
            raise TypeError(f"`text` must be a str, not {type(text).__name__}")
        first: int | None = None
        if after is None:
            prompt = self.prompt(text, special=special)
        else:
            prompt, first = self._native.following(self.prompt(after), "", text)
        with telling(progress, "scoring") as hears:
            found, stopped = self._native.spans(prompt, first, by, hears)
        spans = Spans([Span(*s) for s in found], by, stopped)
        return finish(spans, stopped, f"{len(spans)} of the {by}s are scored")  # type: ignore[no-any-return]

    def generate(
        self, prompt: PromptLike, *, prefix: str | None = None, join: str | None = None, max_new_tokens: int = 128,
        temperature: float = 0.0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0, seed: int = 0,
        stop: str | Sequence[str] = (), top: int = 5, watch: Sequence[str] = (),
    ) -> Generation:
        """Generates, token by token: a live iterator over steps.

        Args:
            prefix: How the answer must begin; its tokens come first, as forced.
            join: What stands between prompt and prefix: a blank line by default, nothing in a conversation.
            max_new_tokens: Tokens to generate, at most.
            temperature: 0 takes the most likely token.
            top_k: Draw from so many of the most likely tokens; 0 is all.
            top_p: Draw from the most likely tokens that make up this probability.
            min_p: Draw from tokens with at least this share of the most likely one's probability.
            seed: The same seed gives the same text.
            stop: A string that ends the text, or several; the token that completes it is the last.
            top: Alternatives listed per token.
            watch: Strings whose probability is noted at every token.

        Raises:
            ParameterError: the prefix leaves no token.
            InputError: a parameter cannot be, or the prompt does not fit.
        """
        made = self.prompt(prompt)
        for name, value, least in (("max_new_tokens", max_new_tokens, 0), ("top_k", top_k, 0), ("seed", seed, 0), ("top", top, 0)):
            at_least(name, value, least)
        stops = strings("stop", [stop] if isinstance(stop, str) else stop)
        if "" in stops:
            raise ValueError("`stop` is empty: every text would end at once")
        guide = None
        if prefix is not None:
            guide = (_join(made, join), prefix)
        native = self._native.generate(
            made, max_new_tokens, top, float(temperature), top_k, float(top_p), float(min_p), seed, strings("watch", watch), guide
        )
        return Generation(native, made.text, self.name, stops)

    def logprobs(
        self, prompt: PromptLike, *, full: bool = False, progress: Progress = None, **parameters: Any
    ) -> Scores:
        """Generates to the end, and gives each token with its probability, rank, entropy and alternatives.

        Args:
            full: Whether ``.full`` has the logprobs of the whole vocabulary at every token, as ``float32[n, vocab]``. They are
                computed once more, when the text is known.
            parameters: Those of :meth:`generate`.
        """
        made = self.prompt(prompt)
        scores = self.generate(made, **parameters).run(progress=progress)
        if not full or not len(scores):
            return scores
        before = made.tokens
        if parameters.get("prefix") is not None:
            given, first = self._native.following(made, _join(made, parameters.get("join")), parameters["prefix"])
            before = given.tokens[:first]
        ids = self._native.prompt_of_tokens([*before, *map(int, scores.token_ids)])
        with telling(progress, "scoring") as hears:
            (columns,), _, stopped = self._native.score([ids], [len(before)], 0, [], True, False, hears)
        if not stopped:
            scores.full = matrix(columns["full"], len(scores))
        return finish(scores, stopped, "the text is generated, without `full`")  # type: ignore[no-any-return]

    def guide(
        self, prompt: PromptLike, prefix: str, *, join: str | None = None, full: bool = False, progress: Progress = None,
        **parameters: Any,
    ) -> Scores:
        """How likely was this beginning, and what follows? :meth:`logprobs` with a ``prefix``, whose tokens are ``forced``."""
        return self.logprobs(prompt, prefix=prefix, join=join, full=full, progress=progress, **parameters)

    # Trees

    def explore(
        self, prompt: PromptLike, *, strategy: str = "dynamic", max_nodes: int | None = None,
        max_seconds: float | None = None, store_top: int | str = 10, hash_logits: bool = False,
        watch: Sequence[str] = (),
        path: str | os.PathLike[str] | None = None, force: bool = False, min_branch_threshold: float | None = None,
        max_branch_threshold: float | None = None, soft_queue_limit: int | None = None,
        candidate_threshold: float | None = None, max_depth: int | None = None, max_completed_paths: int | None = None,
        min_path_prob: float | None = None, top_p_branch: float | None = None, max_branches: int | None = None,
        batch: int | None = None, cover: float | None = None, width: int | None = None, samples: int | None = None,
        seed: int | None = None, temperature: float | None = None, top_k: int | None = None, top_p: float | None = None,
        min_p: float | None = None,
    ) -> Exploration:
        """The tree of :meth:`tree`, level by level: iterate, stop when you like, then :meth:`Exploration.finish`."""
        given = {
            "min_branch_threshold": min_branch_threshold, "max_branch_threshold": max_branch_threshold,
            "soft_queue_limit": soft_queue_limit, "candidate_threshold": candidate_threshold, "max_depth": max_depth,
            "max_completed_paths": max_completed_paths, "min_path_prob": min_path_prob, "top_p_branch": top_p_branch,
            "max_branches": max_branches, "batch": batch, "cover": cover, "width": width, "samples": samples, "seed": seed,
            "temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p,
        }
        parameters = {}
        for name, value in given.items():
            if value is None:
                continue
            if isinstance(value, bool) or not hasattr(value, "__float__"):
                raise TypeError(f"`{name}` must be a number, not {type(value).__name__}")
            parameters[name] = value.__index__() if hasattr(value, "__index__") else float(value)
        if max_nodes is not None:
            at_least("max_nodes", max_nodes, 1)
        file = None if path is None else filename("path", path)
        made = self._native.explore(
            self.prompt(prompt), strategy, json.dumps(parameters), max_nodes, max_seconds, json.dumps(store_top),
            bool(hash_logits), strings("watch", watch), file, force,
        )
        return Exploration(made)

    def tree(
        self, prompt: PromptLike, *, strategy: str = "dynamic", max_nodes: int | None = None,
        max_seconds: float | None = None, store_top: int | str = 10, hash_logits: bool = False,
        watch: Sequence[str] = (),
        path: str | os.PathLike[str] | None = None, force: bool = False, min_branch_threshold: float | None = None,
        max_branch_threshold: float | None = None, soft_queue_limit: int | None = None,
        candidate_threshold: float | None = None, max_depth: int | None = None, max_completed_paths: int | None = None,
        min_path_prob: float | None = None, top_p_branch: float | None = None, max_branches: int | None = None,
        batch: int | None = None, cover: float | None = None, width: int | None = None, samples: int | None = None,
        seed: int | None = None, temperature: float | None = None, top_k: int | None = None, top_p: float | None = None,
        min_p: float | None = None, progress: Progress = None,
    ) -> Run:
        """Grows the tree of likely continuations.

        The default strategy, ``dynamic``, is the notebook's: with |Q| open paths the threshold is
        ``min_branch_threshold + min(1, |Q| / soft_queue_limit) × (max_branch_threshold - min_branch_threshold)``, and a
        node's children are all tokens with a probability above it, or the single most likely one.

        Args:
            strategy: ``dynamic``, ``best-first``, ``beam`` or ``sample``.
            max_nodes: End when the tree has so many nodes [best-first without `max_seconds` 5000].
            max_seconds: End after so many seconds.
            store_top: Most likely tokens to keep per step, at least; ``"p=0.999"`` keeps as many as make up that probability.
            hash_logits: Keep a hash of all logits of each step, so that :meth:`verify` compares whole distributions.
            watch: Strings whose probability is noted at every step.
            path: Run file, which grows with the tree.
            force: Whether an existing file may be overwritten.
            min_branch_threshold: dynamic: threshold with no open path, a probability [0.1].
            max_branch_threshold: dynamic: threshold with ``soft_queue_limit`` open paths or more [0.5].
            soft_queue_limit: dynamic: see above [30].
            candidate_threshold: dynamic: list tokens above this probability as candidates of a step [0.01].
            max_depth: Tokens of a path, at most [dynamic 30, others 1000; the notebook has 1000].
            max_completed_paths: End when so many paths have reached an end token [dynamic 5, beam its width].
            min_path_prob: Cut branches whose path is less likely [best-first 1e-9].
            top_p_branch: Branch only into the most likely tokens that make up this probability [1].
            max_branches: Branch into at most so many tokens [best-first 32].
            batch: best-first: nodes expanded together [24].
            cover: best-first: end when completed paths have this much of the probability [0.9].
            width: beam: paths followed at once [8].
            samples: sample: how many to draw [100].
            seed, temperature, top_k, top_p, min_p: sample: how they are drawn. All but ``seed``, best-first, too: it then
                walks what such a sampler would draw, and all probabilities are the sampler's.
            progress: A callable hears of each :class:`Level`.

        Returns:
            The run. After Ctrl-C, what there was until then, with a warning (:data:`logitree.options` can make it raise).

        Raises:
            InputError: a parameter cannot be, or is none of the strategy's.
            ModelError: the model failed; ``.run`` of the error has what was there before.
        """
        made = self.explore(
            prompt, strategy=strategy, max_nodes=max_nodes, max_seconds=max_seconds, store_top=store_top, hash_logits=hash_logits,
            watch=watch, path=path, force=force, min_branch_threshold=min_branch_threshold, max_branch_threshold=max_branch_threshold,
            soft_queue_limit=soft_queue_limit, candidate_threshold=candidate_threshold, max_depth=max_depth,
            max_completed_paths=max_completed_paths, min_path_prob=min_path_prob, top_p_branch=top_p_branch,
            max_branches=max_branches, batch=batch, cover=cover, width=width, samples=samples, seed=seed,
            temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
        )
        return made.run(progress=progress)

    async def atree(self, prompt: PromptLike, **parameters: Any) -> Run:
        """:meth:`tree` on another thread, for an event loop. To stop it early, iterate :meth:`explore` with ``async for``."""
        return await asyncio.to_thread(self.tree, prompt, **parameters)

    def resume(
        self, path: str | os.PathLike[str], *, max_nodes: int | None = None, max_seconds: float | None = None,
        progress: Progress = None,
    ) -> Run:
        """Goes on with a stopped run in its own file, to the tree that it would have become.

        Args:
            max_nodes, max_seconds: Budgets in the place of those it was begun with.

        Raises:
            ConflictError: another model made it, or another process writes it.
        """
        return Exploration(self._native.resume(filename("path", path), max_nodes, max_seconds)).run(progress=progress)

    # Analyses

    def answers(
        self, prompt: PromptLike, choices: Sequence[str] | None = None, *, pattern: str | None = None,
        normalize: bool = False, tolerance: float | None = None, max_depth: int = 64, max_seconds: float = 30.0,
        max_nodes: int = 1_000_000, batch: int = 24, progress: Progress = None,
    ) -> Answers:
        """How likely is each answer, over all continuations? Lower and upper bounds, which tighten as it goes on.

        Args:
            choices: Answers that a continuation may begin with.
            pattern: Or a regular expression, whose first group is the answer.
            normalize: Whether case, and punctuation and white space in front, do not count.
            tolerance: Go on until no bound is wider; by default until the winner is certain.
            max_depth: Tokens of a continuation, at most.
            max_seconds, max_nodes: Budgets.
            batch: Nodes expanded together.

        Raises:
            ParameterError: choices or pattern cannot be.
        """
        listed = asked(choices, pattern)
        for name, value in (("max_depth", max_depth), ("max_nodes", max_nodes), ("batch", batch)):
            at_least(name, value, 1)
        with telling(progress, "answers") as hears:
            found, stopped = self._native.answers(
                self.prompt(prompt), listed, pattern, normalize, tolerance, max_depth, float(max_seconds), max_nodes, batch, hears
            )
        fields = json.loads(found)
        answers = tuple(Answer(**a) for a in fields.pop("answers"))
        return finish(Answers(answers, **fields, interrupted=stopped), stopped, "the bounds are as tight as they were")  # type: ignore[no-any-return]

    def direct(self, prompt: PromptLike, texts: Sequence[str]) -> list[Direct]:
        """The probability of each text's own tokens right after a prompt. Give the space that comes before a word."""
        listed = strings("texts", texts)
        found = self._native.direct(self.prompt(prompt), listed)
        return [Direct(text, *values) for text, values in zip(listed, found)]

    def forks(
        self, prompt: PromptLike, *, text: str | None = None, pattern: str | None = None, max_new_tokens: int = 64,
        top: int = 8, layers: bool = False, progress: Progress = None,
    ) -> Forks:
        """Where might the text have gone another way, and would it have mattered?

        Args:
            text: The continuation; the greedy one by default.
            pattern: A regular expression that finds the answer: then it is the answer that counts.
            max_new_tokens: Tokens of a continuation, at most.
            top: Forks to test: the places that were decided least.
            layers: Whether each fork's ``.layers`` has what each layer of the model would have predicted there.

        Raises:
            UnsupportedError: ``layers`` of a model that is not in this process.
        """
        at_least("max_new_tokens", max_new_tokens, 1)
        at_least("top", top, 0)
        with telling(progress, "forks") as hears:
            found, looked, stopped = self._native.forks(
                self.prompt(prompt), text, pattern, max_new_tokens, top, bool(layers), hears
            )
        fields = json.loads(found)
        made = []
        for f, of in zip(fields.pop("forks"), looked):
            token, other = Choice(**f.pop("token")), Choice(**f.pop("other"))
            made.append(Fork(token=token, other=other, layers=None if of is None else Layers(of), **f))
        return finish(Forks(tuple(made), **fields, interrupted=stopped), stopped, "what is tested is here")  # type: ignore[no-any-return]

    def decide(
        self, prompt: PromptLike, choices: Sequence[str] | None = None, *, pattern: str | None = None,
        normalize: bool = False, text: str | None = None, max_new_tokens: int = 32, tolerance: float = 0.01,
        max_depth: int = 64, max_nodes: int = 100_000, batch: int = 24, progress: Progress = None,
    ) -> DecisionCurve:
        """Where along a text was its answer decided? After each token, :meth:`answers`' bounds given the text so far.

        Args:
            choices: Answers that a continuation may begin with.
            pattern: Or a regular expression, whose first group is the answer.
            normalize: Whether case, and punctuation and white space in front, do not count.
            text: The text; the greedy one by default.
            max_new_tokens: Tokens of the greedy text, at most.
            tolerance: After each token, go on until no bound is wider.
            max_depth: After each token, look at most so many tokens further.
            max_nodes: After each token, look at so many paths at most.
            batch: Nodes expanded together.

        Raises:
            ParameterError: choices or pattern cannot be, or the prompt is token ids.
        """
        listed = asked(choices, pattern)
        for name, value in (("max_new_tokens", max_new_tokens), ("max_depth", max_depth), ("max_nodes", max_nodes), ("batch", batch)):
            at_least(name, value, 1)
        tolerance = probability("tolerance", tolerance)
        with telling(progress, "deciding") as hears:
            found, table, stopped = _logitree.decide(
                self._native, self.prompt(prompt), text, listed, pattern, normalize, max_new_tokens, tolerance,
                max_depth, max_nodes, batch, hears,
            )
        return finish(DecisionCurve(found, table, stopped), stopped, "the last points are as tight as was asked for")  # type: ignore[no-any-return]

    def attribute(
        self, prompt: PromptLike, continuation: str | Sequence[str], *,
        by: Literal["token", "word", "line", "sentence", "turn"] = "word", replacement: str | None = None,
        progress: Progress = None,
    ) -> Attribution:
        """Which part of the prompt made it say that? Each part is left out alone, and the texts are scored after the rest.

        Args:
            continuation: A text as it follows the prompt, or several: begin them with a space where one belongs.
            by: What the prompt is cut into: tokens (the others stay as they are), words, lines, sentences (the prompt is
                split into tokens anew), or the turns of a conversation.
            replacement: What takes the place of a part; by default it is left out.

        Raises:
            ParameterError: ``by`` is none of these, or the prompt is token ids.
            InputError: the prompt cannot be cut so, or nothing would be left of it.
        """
        texts = [continuation] if isinstance(continuation, str) else strings("continuation", continuation)
        if not texts or "" in texts:
            raise ValueError("`continuation` is empty: give a text, or several")
        with telling(progress, "attributing") as hears:
            table, whole, parts, stopped = _logitree.attribute(
                self._native, self.prompt(prompt), texts, by, replacement, hears
            )
        made = Attribution([AttributedText(t, *w) for t, w in zip(texts, whole)], table, by, replacement, stopped)
        return finish(made, stopped, f"{len(made)} of {parts} parts are here")  # type: ignore[no-any-return]

    def compare(
        self, text: str, other: Model | None = None, *, after: PromptLike | None = None,
        other_after: PromptLike | None = None, progress: Progress = None,
    ) -> Comparison:
        """A text under this model, the reference, and under another; or after two prompts. Runs: :meth:`Run.compare`.

        Where both have one vocabulary and the same tokens, the whole distributions are compared at every token (models in
        this process only); otherwise pieces of the text.

        Args:
            text: The text.
            other: The other model, such as ``lt.load("gemma-3-270m", arithmetic="8-bit")``; this one by default.
            after: What comes before the text and is not compared.
            other_after: What comes before it under the other model; the same by default, ``""`` for nothing.

        Raises:
            InputError: there is nothing to compare, or the tokens of both do not make the same text.
            UnsupportedError: distributions of a model behind a server would have to be whole.
        """
        if not isinstance(text, str):
            raise TypeError(f"`text` must be a str, not {type(text).__name__}")
        if not text:
            raise ValueError("`text` is empty: there is nothing to compare")
        b = self if other is None else other
        if not isinstance(b, Model):
            raise TypeError(f"`other` must be a logitree.Model, not {type(b).__name__}: logitree.load opens one")

        def before(model: Model, prompt: PromptLike | None) -> Prompt | None:
            return None if prompt is None or prompt == "" else model.prompt(prompt)

        contexts = before(self, after), before(b, after if other_after is None else other_after)
        with telling(progress, "comparing") as hears:
            table, figures, whole, stopped = _logitree.compare_texts(self._native, b._native, text, *contexts, hears)
        made = Comparison(self.name, b.name, table, figures, not whole)
        return finish(made, stopped, f"{len(made)} rows are compared")  # type: ignore[no-any-return]

    def verify(self, run: Run, *, progress: Progress = None) -> Verification:
        """Runs every recorded step again and compares each number. True if all are the same to the last bit.

        A run of a version whose sums had another order may differ by up to 0.0005 nats.

        Raises:
            ConflictError: another model made the run, or it does not say which.
        """
        if not isinstance(run, Run):
            raise TypeError(f"`run` must be a logitree.Run, not {type(run).__name__}: logitree.read opens a file")
        with telling(progress, "verifying") as hears:
            found, stopped = self._native.verify(run._run, hears)
        made = Verification(**json.loads(found), interrupted=stopped)
        return finish(made, stopped, f"{made.steps} steps are compared")  # type: ignore[no-any-return]

    def live(self, *, height: int = 560) -> Live:
        """The page on which prompts are grown, looked at and gone on with, in this process: see :meth:`Run.live`."""
        return live_class()(self, None, height)

    def session(self) -> Session:
        """An empty tree of token paths and the means to ask what follows each: for algorithms of your own."""
        return Session(self._native.session())


def read(source: str | os.PathLike[str] | bytes) -> Run | Records:
    """A run file, the notebook's tree JSON or its logprobs records, told apart by content; ``bytes`` are content.

    What was odd about it is said in warnings.

    Raises:
        NotFoundError: there is no such file.
        InputError: it is none of these.
    """
    if isinstance(source, (bytes, bytearray)):
        run, records, notes = _logitree.read(None, bytes(source))
    else:
        run, records, notes = _logitree.read(filename("source", source), None)
    for text in notes:
        warn(text)
    return Run(run) if run is not None else Records(Record(*r) for r in records)


def write_jsonl(path: str | os.PathLike[str], scores: Iterable[Scores], *, append: bool = False) -> None:
    """Writes the notebook's logprobs JSONL, byte for byte as its visualiser reads it.

    Args:
        append: Whether records are added to those that are there; otherwise the file is new.
    """
    lines = "".join(s.record() for s in scores)
    with open(path, "a" if append else "w", encoding="utf-8", newline="") as file:
        file.write(lines)


