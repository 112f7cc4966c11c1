"""The notebooks of the docs are executed in a kernel of their own, from beginning to end."""

from pathlib import Path

import jupytext
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_every_last_line_shows_something(path, tmp_path, monkeypatch):
    monkeypatch.delenv("PFLTUNE_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)  # in which the kernel's sockets are, for both
    notebook = jupytext.read(path)
    kernel = AsyncKernelManager(kernel_name="python3", transport="ipc")  # nobody else reaches it
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, km=kernel, timeout=800, startup_timeout=300, resources=place).execute()
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert all(outputs)
    last = [dict(each[-1].get("data", {})) for each in outputs]
    first, shown = last[0], last[1:]
    assert all(shown), "each cell after the first ends in a value"
    assert not any("stderr" in each.get("name", "") for out in outputs for each in out)
    assert "data:image/png;base64," in shown[0]["text/html"]
    assert sum("image/png" in each for each in shown) == 2, "the figures are drawn"
    assert "image/png" not in first
