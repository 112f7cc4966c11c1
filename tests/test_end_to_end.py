"""The real thing, small: Ray, Optuna, MLflow and the report, as a user starts them."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from chaos.outcome import outcome_of
from chaos.reference import NAME, OPTIONS
from inline import command
from ports import free_port

pytestmark = pytest.mark.slow

PFLTUNE = str(Path(sys.executable).parent / "pfltune")
SHORT = ["-o", "protocol.rounds=4", "-o", "warm_start.epochs=2"]
PATIENCE_S = 900


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory):
    """The results of the comparison of tests/chaos on one worker."""
    folder = tmp_path_factory.mktemp("one")
    words = [PFLTUNE, "compare", *OPTIONS, "--name", NAME]
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        [*words, "--workers", "1"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        cwd=folder,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "stdout.txt").write_text(done.stdout)
    assert "Traceback" not in done.stderr
    return folder / "results"


@pytest.fixture(scope="module")
def runs(one_worker):
    return read_runs(one_worker)


def read_runs(results: Path):
    """All MLflow runs of the comparison, with the histories of their metrics."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{results}/mlflow.db")
    experiment = client.get_experiment_by_name("small")
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    return [
        {
            "id": run.info.run_id,
            "status": run.info.status,
            "tags": run.data.tags,
            "params": run.data.params,
            "metrics": run.data.metrics,
            "history": {
                name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
                for name in run.data.metrics
            },
            "artifacts": {a.path for a in client.list_artifacts(run.info.run_id)},
        }
        for run in found
    ]


def of(runs, **tags):
    return [run for run in runs if all(run["tags"].get(k) == v for k, v in tags.items())]


def test_one_worker_and_two_give_the_same_trials_survivors_and_table(one_worker, reference):
    """Two comparisons with the same seeds agree in every metric of every run, to the last digit."""
    told = (one_worker.parent / "stdout.txt").read_text()
    ways = [int(re.search(r"(\d+) trials? side by side", t)[1]) for t in (told, reference.output)]
    assert ways[0] == 1 < ways[1]
    found = outcome_of(one_worker, NAME)
    assert found.runs == reference.outcome.runs
    assert found.table == reference.outcome.table
    assert len(found.table) == 4


def test_every_method_gets_the_same_budget(runs):
    for method in ("fedperfix", "fedavg"):
        assert len(of(runs, method=method, stage="search")) == 4
        assert len(of(runs, method=method, stage="confirm")) == 2
        assert len(of(runs, method=method, stage="summary")) == 1


def test_trials_are_halved_and_the_survivors_run_to_the_end(runs):
    """Generations of 2 with η = 2 and 4 rounds: one rung at round 2, one survivor of each."""
    for method in ("fedperfix", "fedavg"):
        for generation in ("0", "1"):
            reached = [
                (run["metrics"]["rounds"], run["tags"]["outcome"])
                for run in of(runs, method=method, stage="search", generation=generation)
            ]
            assert sorted(reached) == [(2.0, "stopped early"), (4.0, "finished")]


def test_the_published_values_are_tried_first(runs):
    (first,) = of(runs, method="fedperfix", stage="search", trial="0")
    place = {"method": "fedperfix", "stage": "search", "trial": "0", "generation": "0"}
    assert first["params"] == place | {
        "seed": first["tags"]["seed"],
        "lr": "0.01",
        "prefix": "adapter",
        "bottleneck": "256",
        "scale": "1.5",
    }


def test_no_search_trial_has_a_test_metric(runs):
    for run in of(runs, stage="search"):
        assert not [name for name in run["metrics"] if "test" in name]


def test_confirmation_uses_fresh_seeds_the_same_for_all_methods(runs):
    search = {run["tags"]["seed"] for run in of(runs, stage="search")}
    assert len(search) == 1
    seeds = {
        method: sorted(run["tags"]["seed"] for run in of(runs, method=method, stage="confirm"))
        for method in ("fedperfix", "fedavg")
    }
    assert seeds["fedperfix"] == seeds["fedavg"]
    assert len(set(seeds["fedavg"])) == 2
    assert not search & set(seeds["fedavg"])


def test_runs_are_nested_tagged_and_closed(runs):
    parents = {run["tags"]["method"]: run["id"] for run in of(runs, stage="summary")}
    for run in runs:
        stopped = run["tags"].get("outcome") == "stopped early"
        assert run["status"] == ("KILLED" if stopped else "FINISHED")
        assert run["tags"]["mlflow.user"]
        assert run["tags"]["mlflow.source.name"] == "pfltune compare --resume small"
        assert run["tags"]["scenario"] == "digits"
        for package in ("pfltune", "torch", "timm", "ray", "optuna", "mlflow"):
            assert run["tags"][f"version.{package}"]
        if run["tags"]["stage"] in ("search", "confirm"):
            assert run["tags"]["mlflow.parentRunId"] == parents[run["tags"]["method"]]
            assert int(run["tags"]["seed"]) >= 0


def test_curves_hold_accuracy_and_communication_of_every_round(runs):
    for run in of(runs, method="fedavg", stage="confirm"):
        steps = {name: [step for step, _ in sorted(h)] for name, h in run["history"].items()}
        assert steps["comm/up_mb_per_round"] == steps["comm/total_mb"] == [1, 2, 3, 4]
        assert steps["val/accuracy"] == steps["test/accuracy"] == [2, 4]
        assert steps["val/best_accuracy"] == [2, 4], "no figure before there was an evaluation"
        up, down = (
            sum(v for _, v in run["history"][f"comm/{way}_mb_per_round"]) for way in ("up", "down")
        )
        assert run["metrics"]["comm/total_mb"] == pytest.approx(up + down)


def test_partition_report_and_table_are_there_once_and_best_configurations_by_method(runs):
    (own,) = of(runs, stage="comparison")
    expected = {"partition.csv", "partition.png", "comparison.json", "report", "figures"}
    assert own["artifacts"] == expected | {"table.json"}
    assert all(not run["artifacts"] & expected for run in runs if run is not own)
    assert all("best.json" in run["artifacts"] for run in of(runs, stage="summary"))


def test_the_table_is_what_the_store_says(one_worker, runs):
    """Test accuracy at the earliest best validation round, recomputed from the histories."""
    shown = (one_worker / "small" / "report" / "table.md").read_text()
    for method, title in (("fedavg", "FedAvg"), ("fedperfix", "FedPerfix")):
        chosen = []
        for run in of(runs, method=method, stage="confirm"):
            val, test = (dict(run["history"][f"{part}/accuracy"]) for part in ("val", "test"))
            best = max(sorted(val), key=lambda step: val[step])
            chosen.append(test[best])
        expected = f"| {title} | {100 * np.mean(chosen):.2f} ± {100 * np.std(chosen, ddof=1):.2f} |"
        assert expected in shown


def test_fedperfix_sends_less_than_fedavg(runs):
    def total(method):
        return of(runs, method=method, stage="confirm")[0]["metrics"]["comm/total_mb"]

    assert 0 < total("fedperfix") < total("fedavg")


def test_plain_output_says_where_it_stands_and_ends_with_the_table(one_worker):
    lines = (one_worker.parent / "stdout.txt").read_text().splitlines()
    assert any("elapsed" in line and "left" in line and "rounds" in line for line in lines)
    assert lines[-1] == "Browse: pfltune ui small"
    assert lines[-2] == "Report: results/small/report/report.html"
    rows = [line.split() for line in lines if line.strip().startswith(("FedPerfix", "FedAvg"))]
    assert len(rows) == 2
    page = (one_worker / "small" / "report" / "report.html").read_text()
    assert "aside and given to no client" in page, "the warm start is named"
    settings = json.loads((one_worker / "small" / "comparison.json").read_text())
    assert sum(settings["budget"]["generations"]) == 4


def test_a_script_gets_the_table_as_json(one_worker):
    """Of a comparison that is done already: the same command again trains nothing."""
    lines = (one_worker / "small" / "journal.jsonl").read_text()
    done = command(one_worker.parent, "compare", "--resume", "small", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    rows = {row["method"]: row for row in found["methods"]}
    assert rows.keys() == {"fedperfix", "fedavg"}
    assert 0 < rows["fedperfix"]["comm/total_mb"] < rows["fedavg"]["comm/total_mb"]
    assert 0 < rows["fedavg"]["test/accuracy"] < 1
    assert (one_worker / "small" / "journal.jsonl").read_text() == lines


def test_a_taken_name_is_refused(one_worker, called):
    arguments = ["compare", "--methods", "fedavg", "--name", "small"]
    code, _, told = called(*arguments, "--results", str(one_worker))
    assert code == 2
    assert "small" in told
    assert told.count("\n") == 1


def test_tune_holds_a_knob_and_shows_how_to_run_the_best_again(one_worker):
    words = ["tune", "fedperfix", "--set", "prefix=tokens", "--trials", "2", *SHORT]
    words += ["--name", "tuned", "--workers", "1", "--finalists", "2", "--finalist-seeds", "2"]
    done = command(one_worker.parent, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 finalists with 2 validation seeds" in done.stdout
    told = " ".join(done.stdout.split())
    assert "held: prefix = tokens" in told
    assert re.search(r"of 2.*; \d+\.\d ± \d+\.\d % over 2 fresh seeds of validation", told)
    again = next(line for line in done.stdout.splitlines() if line.startswith("Again:"))
    assert "--set prefix=tokens" in again
    assert "--set prefix_length=" in again
    assert "bottleneck" not in again
    words = shlex.split(again.removeprefix("Again:"))
    ran = command(one_worker.parent, *words[1:])
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (found,) = re.findall(r"Test accuracy (\d+\.\d+) %", told)
    assert f"test accuracy {found} %" in ran.stdout, "it is repeated as it was"


def test_the_ui_serves_the_store_on_this_machine_only(one_worker):
    address = f"http://127.0.0.1:{free_port()}"
    words = [PFLTUNE, "ui", "--port", address.rpartition(":")[2]]
    server = subprocess.Popen(words, cwd=one_worker.parent, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline().startswith(f"MLflow on {address}")
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                with urllib.request.urlopen(address, timeout=5) as answer:
                    assert b"<title>MLflow</title>" in answer.read()
                    return
            except OSError:
                assert time.monotonic() < deadline, "the server never answered"
                time.sleep(1)
    finally:
        server.terminate()
        server.wait(PATIENCE_S)
