"""A comparison that is extended step by step is the one that was asked for all of it at once."""

import json
from pathlib import Path

import pytest

import pfltune
from pfltune.record import read_record

COUNTED = '''
from dataclasses import dataclass
from pathlib import Path

from pfltune.methods.fedavg import FedAvg


@dataclass(frozen=True, kw_only=True)
class Counted(FedAvg):
    """Federated averaging that writes down each round that it trains."""

    def aggregate(self, server, uploads, work):
        with Path({path!r}).open("a") as file:
            file.write(f"{{self.lr}}\\n")
        return super().aggregate(server, uploads, work)
'''
ROUNDS = 2
SMALL = {
    "overrides": {
        "protocol.rounds": ROUNDS,
        "protocol.evaluate_every": 1,
        "partition.clients": 5,
        "warm_start.epochs": 1,
    },
    "eta": 2,
    "workers": 1,
    "precision": "float32",
    "device": "cpu",
}
VARIANT = "fedavg[lr=0.05]"
CLOCKS = ("time/", "memory/")


class Counter:
    """The rounds that a method's file wrote down since the last call."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "rounds.txt"
        self.method = f"{folder / 'counted.py'}:Counted"
        (folder / "counted.py").write_text(COUNTED.format(path=str(self._path)))

    def __call__(self) -> int:
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        self._path.unlink(missing_ok=True)
        return len(lines)


def told(found) -> list:
    """All that is said of methods, trials and clients, but for clocks."""
    return [
        (
            method.name,
            method.title,
            method.best,
            method.search_trials,
            [(finalist.knobs, finalist.values) for finalist in method.finalists],
            [(run.knobs, run.outcome, run.rounds, run.curve) for run in method.searched],
            [
                (
                    *(run.seed, run.val, run.test, run.clients),
                    *(unclocked(run.curves), unclocked(run.metrics)),
                )
                for run in method.runs
            ],
        )
        for method in found.result.methods
    ]


def unclocked(metrics):
    return {name: value for name, value in metrics.items() if not name.startswith(CLOCKS)}


@pytest.mark.slow
@pytest.mark.usefixtures("inline", "png_alone")
def test_what_is_extended_in_steps_equals_what_is_asked_for_at_once(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    count = Counter(tmp_path)
    here = {"results": tmp_path / "steps"}

    finals = {"finalists": 2, "finalist_seeds": 1}
    pfltune.tune(
        count.method, name="mine", trials=2, generation=2, seeds=1, **finals, **SMALL, **here
    )
    # Two trials to the rung after round 1, one of them to the end, two finalists, the confirmation.
    assert count() == 2 + 1 + 2 * ROUNDS + ROUNDS

    pfltune.extend("mine", ["fedavg", VARIANT], seeds=2, **here)
    assert count() == ROUNDS, "only what is new is trained"
    again = pfltune.extend("mine", seeds=2, **here)
    assert count() == 0
    assert again.result.record.journal == "journal-2.jsonl"

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pfltune.running.opening.claim", killed)  # after the record was written
        with pytest.raises(KeyboardInterrupt):
            pfltune.extend("mine", trials=4, finalist_seeds=2, **here)
    assert read_record(tmp_path / "steps" / "mine").budget.generations == (2, 2)
    assert count() == 0
    extended = pfltune.compare(resume="mine", **here)
    (mine,) = (method for method in extended.result.methods if method.name == "counted")
    new = [t for t in mine.trials if t.started.stage != "search" and not t.started.reused]
    assert len(new) >= 2, "a second seed of each finalist"
    assert count() == 3 + ROUNDS * len(new), "the second generation, and what follows from it"

    at_once = pfltune.compare(
        [count.method, "fedavg", VARIANT],
        name="whole",
        trials=4,
        generation=2,
        seeds=2,
        finalists=2,
        finalist_seeds=2,
        **SMALL,
        results=tmp_path / "whole",
    )
    assert told(extended) == told(at_once)
    assert {m.name for m in extended.result.methods} == {"counted", "fedavg", VARIANT}
    assert not list((tmp_path / "steps" / "mine").rglob("round-*.json")), "no checkpoint is left"
    assert [path.name for path in sorted((tmp_path / "steps" / "mine").glob("journal*"))] == [
        *("journal-2.jsonl", "journal-3.jsonl", "journal.jsonl")
    ]
    _check_mlflow(tmp_path / "steps", extended)


def _check_mlflow(results: Path, found) -> None:
    """One run of each method and trial, each with the knobs of the table."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{results}/mlflow.db")
    experiment = client.get_experiment_by_name("mine")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    names = [run.info.run_name for run in runs]
    assert len(names) == len(set(names)) == 1 + 3 + 3 * 2 + 2 * 2 * 2 + 2 * 4 + 1
    stopped = [run for run in runs if run.info.status != "FINISHED"]
    assert {run.data.tags["outcome"] for run in stopped} <= {"stopped early"}
    by_name = {run.info.run_name: run for run in runs}
    for method in found.result.methods:
        parent = by_name[method.name]
        best = {name: str(v) for name, v in method.best.items()}
        assert parent.data.params == {**best, "method": method.name, "stage": "summary"}
        for index in range(len(method.runs)):
            child = by_name[f"{method.name}-confirm-{index}"]
            assert best.items() <= child.data.params.items()
            assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    text = client.download_artifacts(by_name["all methods"].info.run_id, "comparison.json")
    assert json.loads(Path(text).read_text())["budget"]["generations"] == [2, 2]
