"""Studies, a control and a budget of bytes as a user asks for them: one worker or two, killed."""

from pathlib import Path

import pytest
from chaos.outcome import Differences, assert_whole, differences, outcome_of
from inline import command, killed
from trained import SMALL

from pfltune.report.results import read_results

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("png_alone")]

NAME, BUDGET_MB = "one", 0.2
OPTIONS = [
    *("--methods", "fedavg,local", "--budget", f"{BUDGET_MB}MB", "--name", NAME),
    *("--trials", "4", "--generation", "4", "--eta", "2", "--seeds", "2"),
    *("--precision", "float32", "--checkpoint-seconds", "0"),
    *(text for override in SMALL for text in ("-o", override)),
]


def compare(folder: Path, *words: str) -> str:
    """Run a whole command in a folder."""
    done = command(folder, *words)
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


def told(folder: Path) -> list:
    """What each method was searched for and tested with."""
    return [
        (
            *(method.name, method.best, method.chosen),
            [(run.study, run.seed, run.test) for run in method.runs],
            [run.test for run in method.controls],
        )
        for method in read_results(folder / "results", NAME).methods
    ]


def test_studies_that_are_added_and_killed_are_those_that_were_asked_for_at_once(tmp_path):
    whole, steps = tmp_path / "whole", tmp_path / "steps"
    whole.mkdir()
    steps.mkdir()
    printed = compare(whole, "compare", *OPTIONS, "--studies", "2", "--control", "--workers", "1")
    assert "over 2 studies × 2 seeds" in printed
    assert f"{BUDGET_MB}MB a trial" in printed
    assert "trial budgets" in printed

    compare(steps, "compare", *OPTIONS, "--workers", "2")
    words = ["extend", NAME, "--studies", "2", "--control", "--checkpoint-seconds", "0"]
    killed(steps, NAME, 60, words)  # the first lines of the new journal tell what is known
    compare(steps, *words)

    assert told(steps) == told(whole)
    for _, _, chosen, runs, controls in told(whole):
        assert [len(chosen), len(runs), len(controls)] == [2, 4, 2]
    outcomes = [outcome_of(folder / "results", NAME) for folder in (steps, whole)]
    assert_whole(outcomes[0])
    assert differences(*outcomes) == Differences()
    spent = {row["method"]: float(row["comm/total_mb"]) for row in outcomes[0].table}
    assert spent["local"] == 0
    assert 0 < spent["fedavg"] <= BUDGET_MB


def test_a_budget_without_a_round_is_refused_before_anything_is_there(
    tmp_path, monkeypatch, called
):
    monkeypatch.chdir(tmp_path)
    code, _, told_in_errors = called("compare", *OPTIONS, "--budget", "0.001MB")
    assert code == 2
    assert "does not hold one round of FedAvg (0.0" in told_in_errors
    assert not (tmp_path / "results" / NAME / "comparison.json").exists()
