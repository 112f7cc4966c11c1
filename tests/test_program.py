"""One comparison, one program: what is another when code, a version or the processor is."""

import shutil
import sys
from pathlib import Path

import pytest

import pfltune
from pfltune.program import ENGINE, Program, engine_digest, file_of, method_digest

ROOT = Path(pfltune.__file__).parent


@pytest.fixture
def copy(tmp_path):
    """A copy of pfltune's code."""
    shutil.copytree(ROOT, tmp_path / "pfltune", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "pfltune"


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("federation/local.py", True),
        ("federation/stacked.py", True),
        ("data/split.py", True),
        ("data/partitions/labels.py", True),
        ("backbones.py", True),
        ("randomness.py", True),
        ("search/bracket.py", True),
        ("search/searches.py", True),
        ("cli/compare.py", False),
        ("report/words.py", False),
        ("tracking/runs.py", False),
    ],
)
def test_what_moves_a_figure_counts_and_what_tells_of_it_does_not(copy, file, counts):
    before = engine_digest(copy)
    assert before == engine_digest(), "the same code elsewhere is the same"
    with (copy / file).open("a") as source:
        source.write("# changed\n")
    assert (engine_digest(copy) != before) is counts


HELPER = "def twice(x):\n    return 2 * x\n"
BASE = "from pfltune import Method\nimport helper_of_mine\n\n\nclass _Base(Method):\n    pass\n"
OWN = """
from dataclasses import dataclass
from base_of_mine import _Base


@dataclass(frozen=True, kw_only=True)
class Mine(_Base):
    pass
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """``mine(**changed)``: the digest of a method in a file with a base and a helper elsewhere."""
    number = iter(range(100))

    def digest(**changed):
        files = {"helper_of_mine": HELPER, "base_of_mine": BASE, "mine": OWN, **changed}
        folder = tmp_path / str(next(number))
        folder.mkdir()
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
            sys.modules.pop(name, None)
        monkeypatch.syspath_prepend(folder)
        return method_digest(f"{folder}/mine.py:Mine")

    yield digest
    for name in ("helper_of_mine", "base_of_mine"):
        sys.modules.pop(name, None)


def test_a_method_is_its_file_its_bases_and_what_they_import(mine):
    before = mine()
    assert mine() == before, "the same code elsewhere is the same"
    for name, text in (("helper_of_mine", HELPER), ("base_of_mine", BASE), ("mine", OWN)):
        assert mine(**{name: text + "\n# changed\n"}) != before, name


@pytest.mark.parametrize(
    ("method", "helper"),
    [
        ("fedrep", "fedper"),
        ("fedperfix", "_attention"),
        ("pfedpg", "_prompts"),
        ("fedzo", "_zeroth_order"),
    ],
)
def test_built_in_methods_count_with_their_bases_and_helpers(method, helper, monkeypatch):
    before = method_digest(method)
    path = Path(sys.modules[f"pfltune.methods.{helper}"].__file__)
    read = Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda self: read(self) + (b"#" if self == path else b"")
    )
    assert method_digest(method) != before


def test_changes_are_said_in_words():
    before = Program.of(["fedavg", "fedrep"], "cpu")
    assert before.changes(before) == []
    now = before.model_copy(
        update={
            "source": {**before.source, "fedrep": "0", ENGINE: "1"},
            "versions": {**before.versions, "torch": "1.0"},
            "processor": "abacus",
        }
    )
    assert before.changes(now) == [
        "the code of fedrep has changed",
        "the code of pfltune itself has changed",
        f"torch was {before.versions['torch']}, is 1.0",
        f"the processor was {before.processor}, is abacus",
    ]


@pytest.mark.parametrize(
    "name", ["pfltune", "torch", "torchvision", "timm", "numpy", "optuna", "python"]
)
def test_versions_of_all_that_computes_are_there(name):
    assert name in Program.of(["fedavg"], "cpu").versions


def test_only_methods_from_files_have_a_file():
    assert file_of("fedavg") is None
    assert file_of("a folder/my.py:Mine") == Path("a folder/my.py")
