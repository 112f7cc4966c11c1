"""Several comparisons in one pool of workers, and trials that were trained for another one."""

import json
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from rich.console import Console

from pfltune.budget import Budget
from pfltune.cli.live import ComparisonProgress
from pfltune.cli.view import voice
from pfltune.errors import UserError
from pfltune.federation.compute import Compute
from pfltune.record import Asked, Record
from pfltune.report.partition import write_partition
from pfltune.running import session
from pfltune.running.hardware import Hardware
from pfltune.running.job import Watched
from pfltune.running.session import House, run_sessions
from pfltune.scenario import load_scenario
from pfltune.studies.comparison import Comparison, plan_methods
from pfltune.tracking.events import MethodEnded, TrialEnded, TrialStarted
from pfltune.tracking.journal import Journal
from pfltune.tracking.runs import own_experiment, own_runs
from pfltune.tracking.store import Store

pytestmark = pytest.mark.slow


@dataclass
class Memory:
    """Finished trials of all comparisons, in memory."""

    kept: dict = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not self.kept

    def of(self, record: Record) -> "Memory.Part":
        return self.Part(self.kept, json.dumps(record.data["rules"]))

    @dataclass
    class Part:
        kept: dict
        rules: str

        def key(self, candidate):
            return (self.rules, json.dumps({**candidate.to_config(), "index": 0, "generation": 0}))

        def find(self, candidate):
            return self.kept.get(self.key(candidate))

        def keep(self, candidate, trial) -> None:
            self.kept.setdefault(self.key(candidate), trial)


def comparison(results: Path, name: str, rounds: int) -> Comparison:
    overrides = [f"protocol.rounds={rounds}", "protocol.evaluate_every=1"]
    scenario = load_scenario("digits", [*overrides, "backbone.weights=random"])
    budget = Budget(trials=2, generation=2, eta=2, seeds=1)
    plan, spaces = plan_methods(["fedavg"], budget, scenario.protocol, {})
    hardware = Hardware(workers=2, threads=1, gpus_per_trial=0.0, compute=Compute())
    return Comparison(
        name=name,
        command="compare",
        scenario=scenario,
        plan=plan,
        hardware=hardware,
        asked=Asked(),
        results=results,
        spaces=spaces,
    )


def events(job: Comparison) -> list:
    """What the job's journal says, but when and whether it was trained there."""
    record = Record.model_validate_json((job.folder / "comparison.json").read_text())
    found = Journal(job.folder / "journal.jsonl", record.id).events
    told = [
        replace(e, time=0, reused=False) if isinstance(e, TrialStarted) else replace(e, time=0)
        for e in found
    ]
    return sorted(told, key=repr)


def statuses(job: Comparison, ran) -> Counter:
    store = Store(job.results)
    experiment = own_experiment(store, job.name, ran.record.id)
    runs = own_runs(store, experiment.experiment_id, ran.record.id)
    return Counter(run.info.status for run in runs)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A results folder in which a name is taken by somebody else."""
    results = tmp_path_factory.mktemp("sittings") / "results"
    (results / "taken").mkdir(parents=True)
    (results / "taken" / "notes.txt").write_text("mine")
    return results


@pytest.fixture(scope="module")
def lines(place):
    return place.parent / "lines.txt"


@pytest.fixture(scope="module")
def watch(lines):
    """Puts a job and its watchers together; what they hear goes to a file."""
    file = lines.open("w")
    console = Console(file=file)
    yield lambda job: Watched(job, ComparisonProgress(job.plan, console), voice(console))
    file.close()


@pytest.fixture(scope="module")
def memory():
    return Memory()


@pytest.fixture(scope="module")
def ran(place, watch, memory):
    jobs = [
        comparison(place, "taken", 2),
        comparison(place, "two", 2),
        comparison(place, "three", 3),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return run_sessions([watch(job) for job in jobs], House(write_partition, memory))


def test_one_that_cannot_begin_is_reported_and_stops_no_other(ran):
    taken, two, three = ran
    assert isinstance(taken.error, UserError)
    assert "taken" in str(taken.error)
    assert taken.record is None
    assert two.error is three.error is None
    assert [path.name for path in taken.job.folder.iterdir()] == ["notes.txt"]


def test_each_has_all_its_trials_in_its_own_journal_and_runs(ran):
    for each, rounds in zip(ran[1:], (2, 3), strict=True):
        found = events(each.job)
        ended = [event for event in found if isinstance(event, TrialEnded)]
        assert len(ended) == 3
        assert max(event.round for event in ended) == rounds
        assert sum(isinstance(event, MethodEnded) for event in found) == 1
        assert statuses(each.job, each).total() == 5
        assert statuses(each.job, each).keys() <= {"FINISHED", "KILLED"}
        assert not (each.job.folder / "checkpoints").exists()


def test_what_was_trained_before_is_told_without_ray(ran, place, watch, memory, monkeypatch):
    """Twice: for the same name elsewhere, and again where it has ended."""

    @contextmanager
    def no_pool(workers, threads, early):
        assert not early

        def start():
            raise AssertionError("there is nothing to train")

        yield start

    monkeypatch.setattr(session, "worker_pool", no_pool)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    again = comparison(place, "again", 3)
    watched = watch(again)
    for _ in range(2):
        (ran_again,) = run_sessions([watched], House(write_partition, memory))
        assert ran_again.error is None
    assert events(again) == events(ran[2].job)
    text = (again.folder / "journal.jsonl").read_text()
    assert text.count('"reused": true') == 3
