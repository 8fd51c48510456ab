"""A model of lm-evaluation-harness (0.4.9 or newer) that needs no server.

>>> import lm_eval
>>> from logitree.lm_eval import LogitreeLM
>>> lm_eval.simple_evaluate(model=LogitreeLM("gemma-3-270m"), tasks=["lambada_openai"], limit=20)

Importing this module also registers the name ``logitree`` for ``simple_evaluate(model="logitree", model_args=…)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import lm_eval.models  # The harness fills its registry only as long as it is empty: before a name is added here.
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from ._model import Model, load
from ._progress import telling

#: Arguments of a generation that change nothing here, for the length is in tokens and there is one beam.
_WITHOUT_EFFECT = {"num_beams": 1, "use_cache": True}


@register_model("logitree")
class LogitreeLM(TemplateLM):  # type: ignore[misc]
    """A model in this process, or behind servers that tell the tokens of texts.

    Log-likelihoods are those of :meth:`Model.score`. BOS is in front of every text, if the model wants one.

    Args:
        model: A :class:`Model`, or what :func:`load` takes.
        max_gen_toks: Tokens to generate where a task does not say.
        special: Whether names of control tokens in a task's texts are these tokens, as Hugging Face's tokenizers have it.
        batch_size, max_batch_size, device: Taken and ignored, for the harness passes them to every model.
        arguments: More arguments of :func:`load`, such as ``arithmetic="f32"``.
    """

    def __init__(
        self,
        model: Model | str | None = None,
        *,
        max_gen_toks: int = 256,
        special: bool = True,
        batch_size: Any = None,
        max_batch_size: Any = None,
        device: Any = None,
        **arguments: Any,
    ) -> None:
        super().__init__()
        if isinstance(model, Model) and arguments:
            raise TypeError(f"`{next(iter(arguments))}` is for a model that is still to be loaded")
        self.model = model if isinstance(model, Model) else load(model, **arguments)
        self.max_gen_toks, self.special = int(max_gen_toks), bool(special)

    @property
    def eot_token_id(self) -> int:
        """A token that ends a text."""
        return self.model.end_tokens[0]

    @property
    def prefix_token_id(self) -> int:
        """The token before a text that nothing comes before."""
        return self.eot_token_id if self.model.bos is None else self.model.bos

    @property
    def max_length(self) -> int:
        """Tokens of a text, at most."""
        return self.model.context_length

    @property
    def tokenizer_name(self) -> str:
        """What the harness's caches of requests are named by."""
        return self.model.name.replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Ids of a text; unless ``add_special_tokens`` is false, with BOS in front, once."""
        ids, bos = self.model.tokenize(string, special=self.special), self.model.bos
        if add_special_tokens is False or bos is None or (ids and ids[0] == bos):
            return ids
        return [bos, *ids]

    def apply_chat_template(
        self, chat_history: Sequence[Mapping[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The text of a conversation in the model's template, ready for the answer, with the names of control tokens."""
        if not add_generation_prompt:
            raise NotImplementedError("an answer that is begun in the template: leave out the task's `gen_prefix`")
        tokens = self.model.chat(chat_history).tokens
        return self.model.detokenize(tokens[1:] if tokens[0] == self.model.bos else tokens, special=True)

    def _scored(self, requests: Iterable[tuple[list[int], list[int]]]) -> list[tuple[float, bool]]:
        """The logprob of each continuation after its context, and whether greedy decoding would give it."""
        prompts, firsts = [], []
        for context, continuation in requests:
            ids = [*context, *continuation][-self.max_length :]
            prompts.append(self.model.prompt(ids))
            firsts.append(max(len(ids) - len(continuation), 1))
        with telling(None, "scoring") as hears:
            columns, asked, stopped = self.model._native.score(prompts, firsts, 1, [], False, False, hears)
        if stopped:
            raise KeyboardInterrupt
        return [
            (sum(memoryview(c["logprobs"]), 0.0), all(rank == 1 for rank in memoryview(c["ranks"]))) for c in columns
        ]

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        full = [(context, continuation) for _, context, continuation in requests if continuation]
        scored = iter(self._scored(full))
        # Nothing is certain to come.
        found = [next(scored) if continuation else (0.0, True) for _, _, continuation in requests]
        for (request, _, _), answer in zip(requests, found):
            if request is not None:
                self.cache_hook.add_partial("loglikelihood", request, answer)
        return found

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-likelihoods of whole texts; a text longer than the context is cut into windows, as the harness does it."""
        texts = [request.args[0] for request in requests]
        windows, owners = [], []
        for i, text in enumerate(texts):
            cut = get_rolling_token_windows(
                token_list=self.tok_encode(text, add_special_tokens=False), prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length - 1, context_len=1,
            )
            for window in map(make_disjoint_window, cut):
                windows.append(window)
                owners.append(i)
        found = [0.0] * len(texts)
        for i, (logprob, _) in zip(owners, self._scored(windows)):
            found[i] += logprob
        for text, total in zip(texts, found):
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), total)
        return found

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Texts up to a string that ends them, which is not part of them."""
        texts = []
        for request in requests:
            context, arguments = request.args
            text = self._generated(context, dict(arguments))
            self.cache_hook.add_partial("generate_until", (context, arguments), text)
            texts.append(text)
        return texts

    def _generated(self, context: str, arguments: dict[str, Any]) -> str:
        until = arguments.pop("until", None) or []
        stops = [s for s in ([until] if isinstance(until, str) else until) if s]
        most = int(arguments.pop("max_gen_toks", arguments.pop("max_new_tokens", self.max_gen_toks)))
        sampled = arguments.pop("do_sample", None)
        temperature = float(arguments.pop("temperature", 1.0 if sampled else 0.0))
        drawn = {n: arguments.pop(n) for n in ("top_k", "top_p", "min_p", "seed") if n in arguments}
        for name, value in _WITHOUT_EFFECT.items():
            if arguments.pop(name, value) != value:
                raise ValueError(f"`{name}` can only be {value}")
        if arguments:
            raise ValueError(f"`{next(iter(arguments))}`: no such argument of a generation is known")
        tokens = self.tok_encode(context)
        room = self.max_length - most
        if room < 1:
            raise ValueError(f"`max_gen_toks` is {most}, and the model's context is {self.max_length}")
        if len(tokens) > room:
            # The end of a context is what the text goes on from; BOS stays in front.
            front = tokens[: int(tokens[0] == self.model.bos)]
            tokens = [*front, *tokens[len(tokens) - room + len(front) :]]
        chosen = {} if sampled is False else drawn
        text = self.model.generate(
            tokens, max_new_tokens=most, temperature=0.0 if sampled is False else temperature, top=1, stop=stops, **chosen
        ).run(progress=False).text
        ends = [at for at in map(text.find, stops) if at >= 0]
        return text[: min(ends)] if ends else text
