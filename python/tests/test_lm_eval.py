"""lm-evaluation-harness with a model in this process: the numbers of `score`, and of the harness's own way over a server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import FIXTURES

import logitree as lt

pytest.importorskip("lm_eval")

TASKS = FIXTURES.parent / "crates/logitree-cli/tests/clients/tasks"
TEXTS = [p["prompt"] for p in json.loads((FIXTURES / "gguf/gemma-3-270m-q4_k_m.json").read_text())["prompts"]]
CHOICES: list[dict[str, Any]] = [
    {"context": "The capital of India is", "choices": [" New Delhi", " Mumbai", " Paris, of course"], "answer": 0},
    {"context": "Roses are red, violets are ", "choices": ["blue", "green and yellow"], "answer": 0},
    {"context": "東京は", "choices": ["日本の首都です。", "フランスの首都です。"], "answer": 0},
    {"context": "", "choices": ["The", "Of the"], "answer": 0},
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the tasks' data, where nothing is fetched."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.chdir(tmp_path)
    for name, rows in (("rolling", [{"text": t} for t in TEXTS]), ("continuation", CHOICES)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def responses(model: Any, **more: Any) -> dict[str, list[Any]]:
    """By task, what the model answered to each sample."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    tasks = ["logitree_rolling", "logitree_continuation"]
    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    found = lm_eval.simple_evaluate(model=model, tasks=tasks, task_manager=manager, log_samples=True, bootstrap_iters=0, **more)
    return {t: [s["resps"] for s in sorted(found["samples"][t], key=lambda s: s["doc_id"])] for t in tasks}


@contextmanager
def server(model: lt.Model, folder: Path) -> Iterator[tuple[str, str]]:
    """Address and key of a server with the model."""
    command = [sys.executable, "-m", "logitree", "serve", "-m", model.name, "--data-dir", str(folder / "data"), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        url, key = process.stdout.readline().strip().split("/?token=")
        yield url, key
    finally:
        process.kill()
        process.wait()


def test_tasks_have_the_numbers_of_score_and_of_the_server(
    gemma: lt.Model, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from logitree.lm_eval import LogitreeLM

    ours = responses(LogitreeLM(gemma))
    for text, ((total,),) in zip(TEXTS, ours["logitree_rolling"], strict=True):
        assert total == pytest.approx(gemma.score(text).total_logprob, abs=1e-9)
    for doc, answers in zip(CHOICES, ours["logitree_continuation"], strict=True):
        for choice, ((logprob, greedy),) in zip(doc["choices"], answers, strict=True):
            # A blank at the end of a context goes with the continuation.
            context = doc["context"].rstrip()
            text = doc["context"][len(context) :] + choice
            s = gemma.score(text, after=context) if context else gemma.score(text)
            assert logprob == pytest.approx(s.total_logprob, abs=1e-9)
            assert greedy == all(r == 1 for r in s.ranks)
    with server(gemma, place) as (url, key):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        arguments = {
            "model": gemma.name, "base_url": f"{url}/v1/completions", "tokenizer_backend": "remote", "auth_token": key,
            "num_concurrent": 4,
        }
        # That way puts no BOS in front of a context: this does.
        theirs = responses("local-completions", model_args=arguments, system_instruction="<bos>")
    for task in ours:
        for a, b in zip(flat(ours[task]), flat(theirs[task]), strict=True):
            assert float(a) == pytest.approx(float(b), abs=1e-3), task


def flat(nested: Any) -> Iterator[Any]:
    """The numbers in nested lists; truth values as 0 and 1."""
    for item in nested if isinstance(nested, (list, tuple)) else ():
        yield from (flat(item) if isinstance(item, (list, tuple)) else [float(item)])


def requests(kind: str, *arguments: tuple[Any, ...]) -> list[Any]:
    """Requests of the harness."""
    from lm_eval.api.instance import Instance

    return [Instance(request_type=kind, doc={}, arguments=a, idx=i) for i, a in enumerate(arguments)]  # type: ignore[arg-type]


def test_texts_longer_than_the_context_are_cut_into_windows(m: lt.Model) -> None:
    from logitree.lm_eval import LogitreeLM

    lm, text = LogitreeLM(m), "The quick brown fox jumps over the lazy dog. "
    while len(m.tokenize(text)) < 2 * m.context_length:
        text *= 2
    (found,) = lm.loglikelihood_rolling(requests("loglikelihood_rolling", (text,)))
    ids, size = m.tokenize(text), m.context_length - 1
    by_hand = 0.0
    for end in range(min(size, len(ids)), len(ids) + size, size):
        first = max(end - size, 0)
        end = min(end, len(ids))
        context = [lm.prefix_token_id] if not first else ids[end - size - 1 : first]
        found_here = m._native.score([m.prompt([*context, *ids[first:end]])], [len(context)], 0, [], False, False, None)
        by_hand += sum(memoryview(found_here[0][0]["logprobs"]))
    assert found == pytest.approx(by_hand, abs=1e-9)
    long = text[: len(text) // 2]
    ((logprob, _),) = lm.loglikelihood(requests("loglikelihood", (long, " fox")))
    assert -100 < logprob < 0


def test_texts_end_where_the_task_says(m: lt.Model) -> None:
    from logitree.lm_eval import LogitreeLM

    lm = LogitreeLM(m, max_gen_toks=12)
    whole = m.logprobs("The quick", max_new_tokens=12).text
    stop = whole[4:6]
    asked = [
        ("The quick", {}), ("The quick", {"until": [stop], "do_sample": False, "temperature": 0.7, "top_p": 0.5}),
        ("The quick", {"until": stop, "max_gen_toks": 5}), ("The quick", {"do_sample": True, "seed": 3, "top_k": 5}),
    ]
    found = lm.generate_until(requests("generate_until", *asked))
    short = m.logprobs("The quick", max_new_tokens=5).text
    drawn = m.logprobs("The quick", max_new_tokens=12, temperature=1.0, seed=3, top_k=5).text
    assert found == [whole, whole[: whole.find(stop)], short[: short.find(stop)] if stop in short else short, drawn]
    for arguments, words in (({"num_beams": 4}, "num_beams"), ({"best_of": 2}, "best_of"), ({"max_gen_toks": 10**6}, "context")):
        with pytest.raises(ValueError, match=words):
            lm.generate_until(requests("generate_until", ("a", arguments)))
    with pytest.raises(TypeError, match="arithmetic"):
        LogitreeLM(m, arithmetic="f32")
    assert lm.tok_encode("<bos>a") == lm.tok_encode("a") == m.prompt("a").tokens
