"""A grid as it is run: trained once whoever asks, killed and resumed, on one worker and on two."""

import csv
import json

import pytest
from inline import command, killed

from pfltune.tracking.store import Store

pytestmark = pytest.mark.slow

COUNTED = '''
from dataclasses import dataclass
from pathlib import Path

from pfltune.knobs import knob
from pfltune.methods.fedavg import FedAvg


@dataclass(frozen=True, kw_only=True)
class Counted(FedAvg):
    """Federated averaging that writes down each round that it trains."""

    lr: float = knob(0.1, choices=(0.05, 0.1), doc="rate")

    def aggregate(self, server, uploads, work):
        with Path(__file__).with_name("rounds.txt").open("a") as file:
            file.write(".")
        return super().aggregate(server, uploads, work)
'''
ROUNDS = 2
QUICK = ["-o", f"protocol.rounds={ROUNDS}", "-o", "backbone.weights=random"]
QUICK += ["--precision", "float32"]
METHOD = "counted.py:Counted"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grid")
    (folder / "counted.py").write_text(COUNTED)
    return folder


def call(place, *words):
    done = command(place, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def counted(place):
    """How many rounds have been trained since."""
    path = place / "rounds.txt"
    rounds = len(path.read_text()) if path.exists() else 0
    path.unlink(missing_ok=True)
    return rounds


def grid_of(place, name, rates, *words):
    over = ["--over", f"lr={rates}", "--seeds", "2", "--name", name, *words]
    return json.loads(call(place, "grid", METHOD, *over, *QUICK, "--json"))


@pytest.fixture(scope="module")
def asked(place):
    """What four commands found, each with the rounds that it trained."""
    search = ["--trials", "2", "--generation", "1", "--seeds", "1"]
    search += ["--finalist-seeds", "1", "--json"]
    return {
        "one": (grid_of(place, "one", "0.1"), counted(place)),
        "two": (grid_of(place, "two", "0.05,0.1"), counted(place)),
        "tune": (json.loads(call(place, "tune", METHOD, *search, *QUICK)), counted(place)),
        "tested": (grid_of(place, "four", "0.05,0.1", "--test"), counted(place)),
    }


def test_a_grid_a_larger_one_and_a_search_train_each_trial_once(asked):
    first, larger = asked["one"][0], asked["two"][0]
    assert (first["reused"], larger["reused"]) == (0, 2)
    assert asked["one"][1] == 2 * ROUNDS
    assert asked["two"][1] == 2 * ROUNDS, "only what is new"
    assert larger["cells"][1]["val/accuracy"] == first["cells"][0]["val/accuracy"]
    assert asked["tune"][1] == ROUNDS, "the confirmation alone, which sees test"
    tested = asked["tested"][0]
    assert tested["reused"] == 1, "one cell has been confirmed"
    assert asked["tested"][1] == 3 * ROUNDS
    assert all(0 < cell["test/accuracy"] < 1 for cell in tested["cells"])
    assert "test/accuracy" not in larger["cells"][0]


def test_mlflow_has_a_run_for_each_trial_below_its_methods_with_its_knobs(place, asked):
    store = Store(place / "results")
    experiment = store.client.get_experiment_by_name("two").experiment_id
    runs = {run.info.run_name: run for run in store.client.search_runs([experiment])}
    top = runs.pop("counted")
    own = runs.pop("all methods")
    assert top.data.tags["stage"] == "summary"
    assert sorted(runs) == [f"counted-grid-{n}" for n in range(4)]
    assert {run.info.status for run in (top, *runs.values())} == {"FINISHED"}
    assert {run.data.params["lr"] for run in runs.values()} == {"0.05", "0.1"}
    assert {run.data.tags["stage"] for run in runs.values()} == {"grid"}
    assert not any(name.startswith("test/") for run in runs.values() for name in run.data.metrics)
    attached = {item.path for item in store.client.list_artifacts(own.info.run_id, "report")}
    assert {"report/report.html", "report/grid.png", "report/summary.csv"} <= attached
    best = max(cell["val/accuracy"] for cell in asked["two"][0]["cells"])
    assert top.data.metrics["val/accuracy"] == best


def report_of(folder):
    """The files of a report without what no two runs share: seconds and memory."""
    report = folder / "results" / "g" / "report"
    files = {path.name: path.read_bytes() for path in report.iterdir()}
    files.pop(".pfltune.json")
    with (report / "table.csv").open() as file:
        files["table.csv"] = [
            {n: v for n, v in row.items() if not n.startswith(("time/", "memory/"))}
            for row in csv.DictReader(file)
        ]
    return files


def test_killed_or_not_the_report_is_the_same(tmp_path):
    words = ["grid", "fedper,fedperfix", "--over", "lr=0.05,0.1", "--seeds", "2", "--name", "g"]
    words += [*QUICK, "--checkpoint-seconds", "0"]
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    for folder in (straight, broken):
        folder.mkdir()
    printed = call(straight, *words)
    assert "  8 of 8  " in printed
    assert "The best of 4 cells is " in printed
    assert "Browse: pfltune ui g" in printed
    killed(broken, "g", 8, words)
    call(broken, "grid", "--resume", "g")
    assert report_of(straight) == report_of(broken)
