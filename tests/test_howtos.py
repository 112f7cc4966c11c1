"""Whole how-tos, block after block in one folder, as their reader goes through them."""

import shlex
from pathlib import Path

import inline
import numpy as np
import pytest
import yaml
from PIL import Image
from test_docs import DOCS, blocks
from trained import SMALL

from pfltune.scenario import load_scenario

pytestmark = pytest.mark.slow

FEW = ("--trials", "1", "--generation", "1", "--seeds", "2", "--precision", "float32")
"""How much a comparison of a page is made to search and to confirm."""
FOR_ONNX = ("onnxruntime", "onnxscript")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a page is gone through: digits have small rounds and a small backbone there."""
    small = [o for o in SMALL if not o.startswith("partition.")]
    whole = load_scenario("digits", [*small, "protocol.rounds=2"])
    file = tmp_path / "short" / "digits.yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(whole.model_dump(exclude_none=True)))
    monkeypatch.setattr("pfltune.scenario.scenario_files", lambda: {"digits": file})
    monkeypatch.setenv("PFLTUNE_DATA", str(tmp_path / "root"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Page:
    """A page whose files lie in a folder, and what its commands have printed."""

    def __init__(self, name: str, folder: Path) -> None:
        self.blocks, self.folder = blocks(DOCS / "howto" / name), folder
        self.printed: dict[str, str] = {}
        for block in self.blocks:
            if block.title:
                (folder / block.title).write_text(block.text)

    def run(self) -> None:
        """Run every line of shell, in the order of the page."""
        for block in self.blocks:
            if block.language == "sh":
                for line in block.text.splitlines():
                    self._line(line)

    def _line(self, line: str) -> None:
        program, *words = shlex.split(line)
        if program == "python":
            code = (self.folder / words[0]).read_text()
            exec(compile(code, words[0], "exec"), {"__name__": "__main__"})
            return
        assert program == "pfltune", line
        if any(word.endswith(".onnx") for word in words):
            for needed in FOR_ONNX:
                pytest.importorskip(needed)
        begins = words[0] == "compare" and "--resume" not in words
        done = inline.command(self.folder, *words, *(FEW if begins else ()))
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        self.printed[line] = done.stdout


def test_own_clients(folder):
    page = Page("own-clients.md", folder)
    (folder / "sites.yaml").write_text(
        (folder / "sites.yaml").read_text().replace("rounds: 5", "rounds: 2")
    )
    page.run()
    partition, natural, write, of_file = page.printed
    assert "1 client of 6 with" in page.printed[partition]
    assert "given splits are kept" in page.printed[partition]
    assert "clients.csv" in page.printed[write]
    assert (folder / "clients.csv").read_text().startswith("# pfltune partition of digits, 1797")
    for line in (natural, of_file):
        assert "Local" in page.printed[line]


def pictures(folder: Path, where: str, numbers: range) -> None:
    """Digits as PNG, as class/image below a folder."""
    data = load_scenario("digits").dataset()
    for number in numbers:
        file = folder / where / data.class_names[data.labels[number]] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.images[number, 0].numpy()).save(file)


def test_models(folder, monkeypatch):
    import mlflow

    pictures(folder, "new-images", range(40))
    pictures(folder, "hospitals/3", range(40, 60))
    pictures(folder, "hospitals/county", range(60, 90))
    (folder / "more-images").mkdir()
    for name, number in (("image.png", 0), ("more-images/1.png", 1)):
        data = load_scenario("digits").dataset()
        Image.fromarray(data.images[number, 0].numpy()).save(folder / name)
    page = Page("models.md", folder)
    page.run()
    by_client = next(out for line, out in page.printed.items() if "--by-client" in line)
    assert [line.split("  ")[0] for line in by_client.splitlines()[1:3]] == ["3", "county (new)"]
    own = page.printed["pfltune evaluate mine --method fedperfix"]
    assert len(own.splitlines()) >= 1 + 10 + 2
    assert (folder / "fedperfix-3.safetensors").is_file()

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/results/mlflow.db")
    images = np.stack([data.images[n].numpy() for n in range(3)])
    python = [block.text for block in page.blocks if block.language == "py"]
    found = {"images": images}
    try:
        for text in python:
            exec(compile(text, "models.md", "exec"), found)
    finally:
        mlflow.set_tracking_uri(None)
    assert len(python) == 2
    assert len(found["table"]) == 10
    assert found["again"].client == 3
