"""A trial that was trained is trained by nobody again: not by a comparison, by tune or by run."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from inline import command

from pfltune.trials.store import TrialStore

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("png_alone")]

PFLTUNE = str(Path(sys.executable).with_name("pfltune"))
COUNTING = '''
from pathlib import Path

from pfltune import Method


class Counting(Method):
    """Federated averaging that notes each time it is trained."""

    def train(self, work, down, personal):
        with Path(__file__).with_name("trained.txt").open("a") as file:
            file.write(".")
        return super().train(work, down, personal)
'''
QUICK = ["-o", "protocol.rounds=2", "-o", "backbone.weights=random", "--precision", "float32"]
SEARCH = ["--trials", "2", "--generation", "2", "--eta", "2", "--seeds", "1", "--json"]
METHOD = "counting.py:Counting"


@pytest.fixture
def place(tmp_path):
    (tmp_path / "counting.py").write_text(COUNTING)
    return tmp_path


def begin(place, *words):
    left_out = ("MLFLOW_TRACKING_URI", "PFLTUNE_RESULTS")
    environment = {name: v for name, v in os.environ.items() if name not in left_out}
    return subprocess.Popen(
        [PFLTUNE, *words], stdout=subprocess.PIPE, text=True, cwd=place, env=environment
    )


def call(place, *words):
    done = command(place, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def compare(place, name, *words):
    return json.loads(call(place, "compare", "--methods", METHOD, "--name", name, *QUICK, *words))


def trained(place):
    return len((place / "trained.txt").read_text())


def rows(place, name):
    """The table without its seconds and memory."""
    with (place / "results" / name / "report" / "table.csv").open() as file:
        return [
            {n: v for n, v in row.items() if not n.startswith(("time/", "memory/"))}
            for row in csv.DictReader(file)
        ]


def test_whatever_asks_again_is_given_it(place):
    first = compare(place, "one", *SEARCH)
    count = trained(place)
    assert count
    assert first["reused"] == 0
    second = compare(place, "two", *SEARCH)
    assert (second["reused"], second["methods"][0]["reused"]) == (3, 3)
    assert rows(place, "one") == rows(place, "two")
    tuned = json.loads(call(place, "tune", METHOD, *QUICK, *SEARCH, "--finalists", "0"))
    assert tuned["reused"] == 3
    assert trained(place) == count
    best = first["methods"][0]["best"]["lr"]
    entry = next(
        each.entry for each in TrialStore(place / "results").listed()
        if each.entry.spec.test
    )  # fmt: skip
    again = ["run", METHOD, *QUICK, "--set", f"lr={best}", "--seed", str(entry.spec.seed)]
    assert "Trained before (by one," in call(place, *again)
    assert trained(place) == count
    fresh = compare(place, "three", *SEARCH, "--fresh")
    assert fresh["reused"] == 0
    assert trained(place) == 2 * count
    assert rows(place, "one") == rows(place, "three")
    assert len(list(TrialStore(place / "results").listed())) == 3


def test_run_shows_the_same_lines_again(place, called, monkeypatch):
    monkeypatch.chdir(place)

    def run(*words):
        code, printed, errors = called("run", METHOD, *QUICK, *words)
        assert code == 0, errors
        return printed

    first = run()
    count = trained(place)
    again = run()
    assert again.startswith(first)
    assert again[len(first) :].startswith("Trained before (by pfltune run, ")
    assert trained(place) == count
    assert run("--fresh").count("\n") == first.count("\n")
    assert trained(place) == 2 * count
    (place / "counting.py").write_text(COUNTING + "# changed\n")
    assert "Trained before" not in run()
    assert trained(place) == 3 * count


def test_two_at_once_share_trials_and_lose_none(place):
    words = ["compare", "--methods", METHOD, *QUICK, *SEARCH, "--name"]
    both = [begin(place, *words, name) for name in ("one", "two")]
    for running in both:
        running.communicate()
        assert running.returncode == 0
    assert rows(place, "one") == rows(place, "two")
    listed = list(TrialStore(place / "results").listed())
    assert len(listed) == 3
    assert all(each.entry for each in listed)
    count = trained(place)
    assert compare(place, "three", *SEARCH)["reused"] == 3
    assert trained(place) == count
