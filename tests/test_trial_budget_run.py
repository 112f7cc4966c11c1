"""A budget of each trial as a user gives it: on one worker, and on two with an interruption."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chaos.outcome import assert_whole, outcome_of
from trained import SMALL

pytestmark = pytest.mark.slow

PFLTUNE = str(Path(sys.executable).parent / "pfltune")
NAME = "spent"
OPTIONS = [
    *("--methods", "fedavg,fedperfix,local", "--budget", "0.2MB", "--name", NAME),
    *("--trials", "4", "--eta", "2", "--seeds", "2", "--checkpoint-seconds", "0"),
    *(text for override in SMALL for text in ("-o", override)),
]
PATIENCE_S = 900


def start(folder: Path, *options: str) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    return subprocess.Popen(
        [PFLTUNE, "compare", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=environment,
    )


def ended(process: subprocess.Popen) -> str:
    told, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, told
    return told


def test_workers_and_an_interruption_change_nothing_of_a_comparison_at_equal_bytes(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    told = ended(start(one, *OPTIONS, "--workers", "1"))
    assert "0.2MB a trial" in told
    assert "trial budgets" in told
    stopped = start(two, *OPTIONS, "--workers", "2")
    journal, since = two / "results" / NAME / "journal.jsonl", time.monotonic()
    while time.monotonic() - since < PATIENCE_S and stopped.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") > 20:
            break
        time.sleep(0.1)
    stopped.send_signal(signal.SIGINT)
    stopped.communicate(timeout=PATIENCE_S)
    ended(start(two, "--resume", NAME, "--workers", "2"))
    outcomes = [outcome_of(folder / "results", NAME) for folder in (one, two)]
    assert_whole(outcomes[1])
    assert outcomes[0].table == outcomes[1].table
    assert outcomes[0].runs == outcomes[1].runs
    spent = {row["method"]: float(row["comm/total_mb"]) for row in outcomes[0].table}
    assert spent["local"] == 0
    assert all(mb <= 0.2 for mb in spent.values())


def test_a_budget_without_a_round_is_refused_before_anything_is_there(tmp_path):
    refused = start(tmp_path / "none", *OPTIONS, "--budget", "0.001MB")
    told, _ = refused.communicate(timeout=PATIENCE_S)
    assert refused.returncode == 2
    assert "does not hold one round of FedAvg (0.0" in told
    assert not (tmp_path / "none" / "results" / NAME / "comparison.json").exists()
