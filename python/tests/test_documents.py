"""What the documents show runs as it stands there, on the default model."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import logitree as lt

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples/gemma_token_analysis.ipynb"


@pytest.fixture
def place(gemma: lt.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the default model at hand."""
    monkeypatch.setenv("LOGITREE_CACHE", os.environ["LOGITREE_TEST_MODELS"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("document", ["README.md", "python/README.md"])
def test_the_lines_of_a_readme(place: Path, document: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.S)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, document, "exec"), names)


def test_the_notebook_runs(place: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=place)
    assert (place / "india_capital_tree.json").stat().st_size > 1000
    run = lt.read(place / "india_capital_tree.json")
    assert isinstance(run, lt.Run) and len(run) > 20


def test_the_notebook_is_committed_as_it_ran() -> None:
    text = NOTEBOOK.read_text()
    assert len(text) < 600_000
    for cell in nbformat.reads(text, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.execution_count and cell.outputs or "export" in cell.source or "import" in cell.source, cell.source
            for output in cell.outputs:
                assert output.output_type != "stream" or output.name != "stderr", output.text
                html = output.get("data", {}).get("text/html", "")
                assert "<script" not in html and "/home/" not in html and "/root/" not in html
