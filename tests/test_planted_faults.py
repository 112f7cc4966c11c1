"""Faults of many kinds, planted into each method, are caught where it is replayed by hand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from planted import FAULTS

from pfltune.registry import available_methods

TESTS = Path(__file__).parent
REPLAYS = sorted(
    path.name
    for path in TESTS.glob("test_*.py")
    if "hand.check(" in path.read_text() and path != Path(__file__)
)
OTHERWISE = {
    **dict.fromkeys(("fedala", "fedpac"), "test_feature_methods.py"),
    **dict.fromkeys(("fedvpt", "fedvpt_deep", "local_vpt", "personal_prompts"), "test_prompts.py"),
    "fedperfix": "test_fedperfix.py",
    "fedprompt": "test_lora_methods.py",
    "fedzo": "test_fedzo.py",
    "personal_adapters": "test_plugins.py",
    "pfedpg": "test_pfedpg.py",
}
"""Methods that are replayed in other ways, and where."""


@pytest.fixture(scope="module")
def fates(tmp_path_factory):
    """What became of each fault by method: ``caught``, ``missed``, or ``idle`` without effect."""
    told = tmp_path_factory.mktemp("planted") / "fates.json"
    words = ("-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-p", "planted", *REPLAYS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=TESTS,
        env={**os.environ, "PLANTED": str(told)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    found = {}
    for module, fault, fate in json.loads(told.read_text()):
        found.setdefault(module.rpartition(".")[2], {})[fault] = fate
    return found


@pytest.mark.slow
def test_no_fault_that_changes_anything_passes(fates):
    missed = [(name, f) for name, of in fates.items() for f, fate in of.items() if fate == "missed"]
    assert missed == []


@pytest.mark.slow
def test_every_kind_of_fault_is_caught_somewhere_and_several_in_each_method(fates):
    caught = {n: {f for f, fate in of.items() if fate == "caught"} for n, of in fates.items()}
    assert set.union(*caught.values()) == {fault.__name__ for fault in FAULTS}
    assert {name: faults for name, faults in caught.items() if len(faults) < 2} == {}


@pytest.mark.slow
def test_every_method_is_replayed_by_hand_or_otherwise(fates):
    built_in = {
        n for n, cls in available_methods().items() if cls.__module__.startswith("pfltune.")
    }
    assert fates.keys() | OTHERWISE.keys() == built_in
    assert not fates.keys() & OTHERWISE.keys()
    for name, file in OTHERWISE.items():
        assert available_methods()[name].__name__ in (TESTS / file).read_text()
