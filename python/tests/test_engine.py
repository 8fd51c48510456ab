"""A model behind a server with OpenAI's API: logitree's own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import logitree as lt


@pytest.fixture(scope="module")
def address(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and key of a server with the tiny model."""
    data = tmp_path_factory.mktemp("server")
    command = [sys.executable, "-m", "logitree", "serve", "-m", folder, "--port", "0", "--data-dir", data]
    server = subprocess.Popen(
        [str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert server.stdout is not None
        said = ""
        for line in server.stdout:
            said += line
            if link := re.search(r"(http://[^/ ]+)/\?token=(\S+)", line):
                break
        else:
            pytest.fail(f"the server did not begin: {said}")
        yield f"{link[1]}/v1", link[2]
    finally:
        server.terminate()
        server.wait(30)


def test_a_server_gives_the_same_numbers(m: lt.Model, address: tuple[str, str]) -> None:
    e = lt.load(engine=address[0], api_key=address[1])
    assert e.exactness == "lower_bound" and e.arithmetic is None
    texts = ["The quick brown fox", "the lazy dog"]
    for here, there in zip(m.score(texts), e.score(texts), strict=True):
        assert there.token_ids.tolist() == here.token_ids.tolist()
        assert there.logprobs.tolist() == pytest.approx(here.logprobs.tolist(), abs=1e-6)
    for here, there in zip(m.next(texts, 5), e.next(texts, 5), strict=True):
        assert [t.id for t in there.top] == [t.id for t in here.top]
        assert [t.logprob for t in there.top] == pytest.approx([t.logprob for t in here.top], abs=1e-6)
        assert there.exactness == "lower_bound" and there.entropy <= here.entropy + 1e-9
        for known, bound in zip(here.top_p, there.top_p, strict=True):
            assert known.exact and (bound.tokens == known.tokens if bound.exact else bound.tokens <= known.tokens)
    assert e.logprobs("The quick", max_new_tokens=6).text == m.logprobs("The quick", max_new_tokens=6).text


def test_what_a_server_cannot_give_is_said(address: tuple[str, str]) -> None:
    e = lt.load(engine=address[0], api_key=address[1])
    with pytest.raises(lt.ModelError, match="whole distribution"):
        e.next("The quick", logits=True)
    with pytest.raises(lt.Error, match="token|key|401"):
        lt.load(engine=address[0], api_key="wrong")
