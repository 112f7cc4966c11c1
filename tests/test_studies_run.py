"""Several studies with a control, as a user asks for them: by one worker or two, and killed."""

from pathlib import Path

import pytest
from chaos.disturb import PFLTUNE, Disturbance, Kind, Phase, Running, told_until_it_ends
from chaos.outcome import Differences, differences, outcome_of

from pfltune.report.results import read_results

pytestmark = pytest.mark.slow

SMALL = [
    *("--methods", "fedavg", "-o", "protocol.rounds=2", "-o", "protocol.evaluate_every=1"),
    *("-o", "partition.clients=5", "-o", "warm_start.epochs=1", "--precision", "float32"),
    *("--trials", "2", "--generation", "2", "--eta", "2", "--seeds", "2"),
    *("--checkpoint-seconds", "0", "--name", "one"),
]


def compare(folder: Path, *words: str) -> str:
    """Run a whole command in a folder."""
    with Running(folder, [PFLTUNE, *words]) as running:
        sitting = running.ended()
    assert sitting.code == 0, sitting.errors
    return sitting.output


def told(folder: Path):
    (method,) = read_results(folder / "results", "one").methods
    runs = [(run.study, run.seed, run.test) for run in method.runs]
    return method.best, method.chosen, runs, [run.test for run in method.controls]


def test_studies_that_are_added_and_killed_are_those_that_were_asked_for_at_once(tmp_path):
    whole, steps = tmp_path / "whole", tmp_path / "steps"
    whole.mkdir()
    steps.mkdir()
    printed = compare(whole, "compare", *SMALL, "--studies", "2", "--control", "--workers", "1")
    assert "over 2 studies × 2 seeds" in " ".join(printed.split())

    compare(steps, "compare", *SMALL, "--workers", "2")
    words = ["extend", "one", "--studies", "2", "--control", "--checkpoint-seconds", "0"]
    # The first lines of the new journal tell what is known.
    killed = [Disturbance(Kind.EVERYTHING, Phase.SEARCH, 18, 0.1)]
    story = told_until_it_ends(steps, lambda _: words, "one", killed)
    assert story.ended, f"{story}\n{story.sittings[-1].errors}"

    assert told(steps) == told(whole)
    _, chosen, runs, controls = told(whole)
    assert [len(chosen), len(runs), len(controls)] == [2, 4, 2]
    outcomes = [outcome_of(folder / "results", "one") for folder in (steps, whole)]
    assert differences(*outcomes) == Differences()
