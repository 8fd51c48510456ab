"""What the documents show runs as it stands there, on the default model."""

from __future__ import annotations

import os
import re
import threading
from typing import Any
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
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


def test_ctrl_c_in_a_cell_keeps_the_run(folder: Path) -> None:
    manager, client = start_new_kernel(kernel_name="python3")

    def run(code: str, interrupted_after: float | None = None) -> str:
        asked = client.execute(code)
        if interrupted_after is not None:
            threading.Timer(interrupted_after, manager.interrupt_kernel).start()
        said = ""
        while True:
            message: dict[str, Any] = client.get_iopub_msg(timeout=60)
            content = message["content"]
            if message["parent_header"].get("msg_id") != asked:
                continue
            said += content.get("text", "") + content.get("evalue", "") + content.get("data", {}).get("text/plain", "")
            if content.get("execution_state") == "idle":
                return said

    try:
        assert run(f"import logitree as lt; m = lt.load({str(folder)!r})") == ""
        grows = "min_branch_threshold=0.001, max_branch_threshold=0.002, max_completed_paths=10**6, max_depth=200"
        assert "interrupted: the tree has" in run(f"run = m.tree('The quick', {grows})", 0.5)
        assert run("run.interrupted, len(run) > 1, len(m.next('The').top)") == "(True, True, 10)"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
