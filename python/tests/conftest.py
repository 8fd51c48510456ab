"""Models to test with: a tiny Gemma 3 with a tokenizer, and the default model where it is in the cache."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import logitree as lt

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a tiny model."""
    made = tmp_path_factory.mktemp("tiny") / "model"
    made.mkdir()
    for source in ("tiny/gemma3", "tiny/tokenizer"):
        for file in (FIXTURES / source).iterdir():
            if file.name != "golden.safetensors":
                shutil.copy(file, made / file.name)
    return made


@pytest.fixture(scope="session")
def m(folder: Path) -> lt.Model:
    """The tiny model."""
    return lt.load(folder)


@pytest.fixture(scope="session")
def gemma() -> lt.Model:
    """The default model."""
    cache = os.environ.get("LOGITREE_TEST_MODELS")
    if not cache:
        pytest.skip("LOGITREE_TEST_MODELS names no folder of known models")
    return lt.load(str(Path(cache) / "gemma-3-270m-q4_k_m.gguf"))


@pytest.fixture(scope="session")
def cli() -> Callable[..., Any]:
    """Runs the command, and gives its JSON."""

    def run(*args: object) -> Any:
        command = [sys.executable, "-m", "logitree", *map(str, args), "--format", "json"]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def safetensors(path: Path) -> dict[str, Any]:
    """The arrays of a safetensors file."""
    import numpy as np

    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    head = json.loads(data[8 : 8 + length])
    kinds = {"F32": np.float32, "I32": np.int32, "I64": np.int64, "F64": np.float64}
    arrays = {}
    for name, about in head.items():
        if name != "__metadata__":
            start, end = (8 + length + o for o in about["data_offsets"])
            arrays[name] = np.frombuffer(data[start:end], kinds[about["dtype"]]).reshape(about["shape"])
    return arrays
