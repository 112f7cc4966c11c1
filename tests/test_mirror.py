"""The mirror of a comparison in a real MLflow store, with every call to it failing once."""

import json
import math
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from pfltune.data.census import Census
from pfltune.errors import ForeignExperiment, TrackingError, UserError
from pfltune.tracking import mirror as mirror_module
from pfltune.tracking.dataset import dataset_input
from pfltune.tracking.events import MethodEnded, RoundDone, TrialEnded, TrialStarted
from pfltune.tracking.mirror import Mirror
from pfltune.tracking.runs import own_experiment
from pfltune.tracking.store import Store, reason

pytestmark = pytest.mark.thorough

OWN = "0" * 32
TAGS = {"scenario": "digits", "version.torch": "2.11"}
BEST = {"lr": 0.25}
RECIPE = {"partition": {"kind": "iid", "clients": 2}, "split": {"val": 0.2}}
HELD = np.array([[[4, 3], [1, 2]], [[5, 6], [7, 8]]])  # clients, parts, classes
DATA = dataset_input(
    "digits", "c0ffee", RECIPE, Census(("train", "val"), ("0", "1"), (), HELD, HELD[..., :0])
)
PATIENCE = 600.0  # of a machine that is busy with other work


@pytest.fixture(scope="module", autouse=True)
def local():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture
def new_store(cold_store, tmp_path):
    """``new_store()`` is a Store with a database of its own."""
    numbers = count()

    def make():
        return cold_store(tmp_path / f"results-{next(numbers)}")

    return make


@pytest.fixture
def store(new_store):
    return new_store()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(mirror_module, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(mirror_module, "LONGEST_WAIT", 0.05)


class Gone(BaseException):
    """The process is killed: nothing after it is done."""


class Faulty:
    """An MLflow client whose calls fail as ``fault`` says.

    Args:
        client: the real one.
        fault: called before (``False``) and after (``True``) each call, with its number and name.
    """

    def __init__(self, client, fault):
        self._client = client
        self._fault = fault
        self.calls = []

    def __getattr__(self, name):
        method = getattr(self._client, name)

        def call(*args, **kwargs):
            number = len(self.calls)
            self.calls.append(name)
            self._fault(number, name, False)
            result = method(*args, **kwargs)
            self._fault(number, name, True)
            return result

        return call


def once(wanted, afterwards, error):
    def fault(number, name, done):
        if number == wanted and done is afterwards:
            raise error

    return fault


def mirror_in(store, tell=None, files=(), comparison=OWN, settle=lambda: None):
    return Mirror(
        store,
        "small",
        comparison,
        TAGS,
        {"fedavg": "FedAvg"},
        {"comparison.json": "{}\n"},
        files,
        (lambda text: None) if tell is None else tell,
        DATA,
        settle,
    )


def started(trial, method="fedavg", stage="search", index=0, at=1000):
    return TrialStarted(trial, method, stage, index, 0, 7, {"lr": 0.1, "prefix": "x"}, at)


def round_done(trial, number, at=1000):
    metrics = {
        "val/accuracy": number / 10,
        "time/total_s": float(number),
        "train/loss": math.nan,
        "comm/total_mb": math.inf,
        "mine/x": 1.0,
    }
    return RoundDone(trial, number, number / 10, metrics, at + number)


SELECTED = {"round": 2, "val": [0.25, 0.75], "test": [0.5, 1.0]}
EVENTS = [
    started("fedavg-search-0"),
    started("fedavg-search-1", index=1, at=1001),
    round_done("fedavg-search-0", 1),
    round_done("fedavg-search-1", 1),
    round_done("fedavg-search-0", 2),
    TrialEnded("fedavg-search-1", "failed", 1, "it diverged", time=2000),
    round_done("fedavg-search-0", 3),
    TrialEnded("fedavg-search-0", "finished", 3, selected=SELECTED, time=3000),
]


def tell_all(mirror, events=EVENTS):
    for event in events:
        mirror.put(event)
    mirror.put(MethodEnded("fedavg", BEST))
    return mirror.close(PATIENCE)


def content(store, name="small"):
    """All that there is in an experiment, by the runs' trials; fails where one is there twice."""
    client = Store(store.results).client
    experiment = client.get_experiment_by_name(name)
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    names = {run.info.run_id: run.data.tags["pfltune.trial"] for run in found}
    assert len(set(names.values())) == len(names), "a run is there twice"
    return {names[run.info.run_id]: read(client, run, names) for run in found}


def read(client, run, names):
    tags = dict(run.data.tags)
    parent = names.get(tags.pop("mlflow.parentRunId", None))
    place = Path(run.info.artifact_uri.removeprefix("file://"))
    texts = {path.name: path.read_text() for path in sorted(place.rglob("*")) if path.is_file()}
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "times": (run.info.start_time, run.info.end_time) if parent else None,
        "parent": parent,
        "tags": tags,
        "params": run.data.params,
        "latest": {key: repr(value) for key, value in run.data.metrics.items()},
        "metrics": {
            key: [(m.step, m.timestamp, repr(m.value)) for m in history(client, run, key)]
            for key in run.data.metrics
        },
        "data": [each.dataset.to_dictionary() for each in run.inputs.dataset_inputs],
        "artifacts": texts,
    }


def history(client, run, key):
    return sorted(client.get_metric_history(run.info.run_id, key), key=lambda m: m.step)


@pytest.fixture(scope="module")
def undisturbed(cold_store, tmp_path_factory):
    """What is in the store when nothing goes wrong."""
    store = cold_store(tmp_path_factory.mktemp("undisturbed"))
    tell_all(mirror_in(store))
    return content(store)


def test_a_comparison_is_in_the_store_as_it_was(store, tmp_path):
    picture = tmp_path / "partition.csv"
    picture.write_text("client\n")
    experiment = tell_all(mirror_in(store, files=[picture]))
    about = store.client.get_experiment(experiment)
    assert about.name == "small"
    assert about.tags["scenario"] == "digits"
    assert about.artifact_location == (store.results / "artifacts" / "small").as_uri()
    runs = content(store)
    assert set(runs) == {"all methods", "fedavg", "fedavg-search-0", "fedavg-search-1"}

    own = runs["all methods"]
    assert (own["status"], own["tags"]["stage"]) == ("FINISHED", "comparison")
    assert set(own["artifacts"]) == {"comparison.json", "partition.csv"}

    parent = runs["fedavg"]
    assert parent["status"] == "FINISHED"
    assert parent["params"] == {"lr": "0.25", "method": "fedavg", "stage": "summary"}
    assert parent["metrics"]["search/best_accuracy"] == [(0, 3000, "0.3"), (1, 3000, "0.3")]
    assert parent["tags"].items() >= (TAGS | {"title": "FedAvg", "stage": "summary"}).items()
    assert set(parent["artifacts"]) == {"best.json"}
    assert json.loads(parent["artifacts"]["best.json"]) == BEST

    whole = runs["fedavg-search-0"]
    assert whole["status"] == "FINISHED"
    assert whole["parent"] == "fedavg"
    assert whole["times"] == (1000, 3000)
    wanted = {"method": "fedavg", "stage": "search", "seed": "7", "trial": "0", "generation": "0"}
    assert whole["params"] == {"lr": "0.1", "prefix": "x"} | wanted
    assert whole["tags"].items() >= (TAGS | wanted | {"outcome": "finished"}).items()
    metrics = whole["metrics"]
    assert metrics["val/accuracy"] == [(r, 1000 + r, repr(r / 10)) for r in (1, 2, 3)]
    assert [value for *_, value in metrics["train/loss"]] == ["nan"] * 3
    assert metrics["rounds"] == [(3, 3000, "3.0")]
    assert metrics["selected/round"] == [(2, 3000, "2.0")]
    assert metrics["selected/test_accuracy"] == [(2, 3000, "0.75")]
    assert metrics["selected/val_accuracy_worst_decile"] == [(2, 3000, "0.25")]
    assert len(metrics["mine/x"]) == 3, "a stranger's figure is one like all others"
    assert json.loads(whole["artifacts"]["clients.json"]) == SELECTED

    for run in runs.values():
        (data,) = run["data"]
        assert (data["name"], data["digest"]) == ("digits", "c0ffee")
        assert json.loads(data["source"]) == RECIPE
        held = {"train": 18, "val": 18}
        assert json.loads(data["profile"]) == {"clients": 2, "classes": 2, "samples": held}

    failed = runs["fedavg-search-1"]
    assert failed["status"] == "FAILED"
    assert failed["tags"].items() >= {"outcome": "failed", "failure": "it diverged"}.items()
    assert len(failed["metrics"]["val/accuracy"]) == 1


def test_a_method_without_a_best_configuration_has_failed(store):
    mirror = mirror_in(store)
    mirror.put(MethodEnded("fedavg", None))
    mirror.close(PATIENCE)
    assert {run["status"] for run in content(store).values()} == {"FAILED"}


def test_studies_are_told_apart_and_each_says_what_it_chose(store):
    mirror = mirror_in(store)
    for study, name in enumerate(("fedavg-search-0", "fedavg-search-s1-0")):
        mirror.put(replace(started(name), study=study))
        mirror.put(TrialEnded(name, "stopped early", 0, time=2000))
    mirror.put(MethodEnded("fedavg", BEST, chosen=[None, BEST]))
    mirror.close(PATIENCE)
    runs = content(store)
    assert "study" not in runs["fedavg-search-0"]["tags"]
    assert runs["fedavg-search-s1-0"]["tags"]["study"] == "1"
    assert runs["fedavg-search-s1-0"]["params"]["study"] == "1"
    chose = {k: v for k, v in runs["fedavg"]["tags"].items() if k.startswith("study")}
    assert chose == {"study 0 chose": "nothing", "study 1 chose": "lr=0.25"}


def test_a_trial_that_was_stopped_early_is_killed_and_whole(store):
    """An interruption's KILLED has no outcome, and is filled up."""
    stopped = [
        *EVENTS[:5],
        TrialEnded("fedavg-search-1", "stopped early", 1, time=2000),
        *EVENTS[6:],
    ]
    tell_all(mirror_in(store), stopped)
    before = content(store)
    assert before["fedavg-search-1"]["status"] == "KILLED"
    assert before["fedavg-search-1"]["tags"]["outcome"] == "stopped early"
    assert before["all methods"]["status"] == "FINISHED"
    store.client = Faulty(store.client, lambda *_: None)
    tell_all(mirror_in(store), stopped)
    assert content(store) == before
    assert "update_run" not in store.client.calls, "it was not opened again"


def test_telling_everything_again_changes_nothing(store, undisturbed):
    tell_all(mirror_in(store))
    ids = {run.info.run_id for run in all_runs(store)}
    tell_all(mirror_in(store))
    assert content(store) == undisturbed
    assert {run.info.run_id for run in all_runs(store)} == ids


def all_runs(store, name="small"):
    experiment = store.client.get_experiment_by_name(name)
    return store.client.search_runs([experiment.experiment_id])


def test_telling_everything_twice_to_one_mirror_changes_nothing(store, undisturbed):
    tell_all(mirror_in(store), [*EVENTS, *EVENTS])
    assert content(store) == undisturbed


@pytest.mark.parametrize("cut", range(0, len(EVENTS), 2))
def test_what_an_earlier_session_left_open_is_filled_up(store, undisturbed, cut):
    first = mirror_in(store)
    for event in EVENTS[:cut]:
        first.put(event)
    first.close(PATIENCE)
    assert content(store)["fedavg"]["status"] == "RUNNING"
    tell_all(mirror_in(store))
    assert content(store) == undisturbed


def test_a_round_after_the_end_of_its_trial_is_left_out(store, undisturbed):
    late = [*EVENTS, round_done("fedavg-search-1", 9), round_done("fedavg-search-0", 9)]
    tell_all(mirror_in(store), late)
    assert content(store) == undisturbed


@pytest.fixture(scope="module")
def calls(cold_store, tmp_path_factory):
    """The names of all calls to MLflow's client, in order."""
    store = cold_store(tmp_path_factory.mktemp("calls"))
    store.client = Faulty(store.client, lambda *_: None)
    tell_all(mirror_in(store))
    return store.client.calls


@pytest.mark.parametrize("afterwards", [False, True], ids=["not done", "answer lost"])
def test_any_one_call_may_fail(new_store, undisturbed, calls, afterwards):
    """The same mirror goes on, and the store is what it would have been.

    What only reads has no work that could be done although its answer is lost.
    """
    for number, name in enumerate(calls):
        if afterwards and name.startswith(("get_", "search_")):
            continue
        store, told = new_store(), []
        fault = once(number, afterwards, MlflowException("no luck"))
        store.client = Faulty(store.client, fault)
        tell_all(mirror_in(store, told.append))
        assert content(store) == undisturbed, store.client.calls[number]
        assert len(told) == 2, told


def test_the_process_may_be_killed_at_any_call(new_store, undisturbed, calls):
    """The next session's mirror brings the store to what it would have been.

    A kill after a call leaves what one before the next call does; after the last, all is told.
    """
    for number in range(len(calls)):
        store = new_store()
        store.client = Faulty(store.client, once(number, False, Gone()))
        with pytest.raises(TrackingError):
            tell_all(mirror_in(store))
        tell_all(mirror_in(Store(store.results)))
        assert content(store) == undisturbed, store.client.calls[number]


def test_an_outage_is_sat_out_while_nobody_waits(store, undisturbed):
    gone, told = threading.Event(), []
    gone.set()

    def fault(number, name, done):
        if gone.is_set():
            raise ConnectionError("connection to https://me:secret@mlflow.example lost")

    store.client = Faulty(store.client, fault)
    mirror = mirror_in(store, told.append)
    for event in EVENTS:  # whoever trains goes on, although nothing can be written
        mirror.put(event)
    mirror.put(MethodEnded("fedavg", BEST))
    until(lambda: len(store.client.calls) > 3)
    gone.clear()
    mirror.close(PATIENCE)
    assert content(store) == undisturbed
    assert len(told) == 2
    assert "connection to https://***@mlflow.example lost" in told[0]
    assert "back" in told[1]


def until(condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_an_outage_may_come_in_the_middle_and_again(store, undisturbed):
    told, left = [], {"create_run": 4, "set_terminated": 3}

    def fault(number, name, done):
        if not done and left.get(name):
            left[name] -= 1
            raise sqlite3.OperationalError("database is locked")

    store.client = Faulty(store.client, fault)
    mirror = mirror_in(store, told.append)
    mirror.put(EVENTS[0])
    until(lambda: len(told) == 2)
    tell_all(mirror, EVENTS[1:])
    assert content(store) == undisturbed
    assert ["back" in text for text in told] == [False, True, False, True]


def test_the_waits_grow_and_begin_anew_after_progress(store, undisturbed):
    watched, waits, left = threading.Event(), [], {"create_experiment": 5, "set_terminated": 1}

    def fault(number, name, done):
        watched.wait()
        if not done and left.get(name):
            left[name] -= 1
            raise OSError("gone")

    store.client = Faulty(store.client, fault)
    mirror = mirror_in(store)
    really = mirror._hurry.wait
    mirror._hurry.wait = lambda seconds: waits.append(seconds) or really(seconds)
    watched.set()
    for event in EVENTS:
        mirror.put(event)
    mirror.put(MethodEnded("fedavg", BEST))
    until(lambda: not any(left.values()))
    mirror.close(PATIENCE)
    assert waits == [0.01, 0.02, 0.04, 0.05, 0.05, 0.01]
    assert content(store) == undisturbed


@pytest.mark.parametrize("all_fails", [True, False], ids=["all fails", "only reading works"])
def test_closing_gives_up_when_mlflow_stays_away(store, all_fails):
    def fault(number, name, done):
        if all_fails or name in ("log_batch", "set_terminated"):
            raise OSError("postgresql://me:secret@db:5432/x is away\nmore of it")

    store.client = Faulty(store.client, fault)
    mirror = mirror_in(store)
    for event in EVENTS:
        mirror.put(event)
    with pytest.raises(TrackingError) as caught:
        mirror.close(0.5)
    assert "postgresql://***@db:5432/x is away" in str(caught.value)
    assert "\n" not in str(caught.value)
    until(lambda: not any(t.name == "mlflow-mirror" for t in threading.enumerate()))


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.mark.parametrize("at_once", [1, 2, 9])
@pytest.mark.parametrize("first", range(5))
def test_closing_does_not_give_up_while_something_is_written(
    store, undisturbed, monkeypatch, at_once, first
):
    """Every fifth write takes most of the patience and fails; together they take it many times.

    The writer is told so many events each time it looks, so that no thread's luck decides.
    """
    clock, patience, writes, ready = Clock(), 100.0, count(first), threading.Event()
    monkeypatch.setattr(mirror_module, "time", clock)
    untold = iter([*EVENTS, MethodEnded("fedavg", BEST)])

    def tell_more():
        ready.wait(PATIENCE)
        for event in islice(untold, at_once):
            mirror.put(event)

    def fault(number, name, done):
        reads = ("get_experiment_by_name", "search_runs")
        if not done and name not in reads and next(writes) % 5 == 0:
            clock.now += 0.9 * patience
            raise OSError("now and then")

    began, store.client = clock.now, Faulty(store.client, fault)
    mirror = mirror_in(store, settle=tell_more)
    ready.set()
    mirror.close(patience)
    assert clock.now - began > patience
    assert content(store) == undisturbed


def test_closing_gives_up_on_a_call_that_never_returns(store, monkeypatch):
    monkeypatch.setattr(mirror_module, "STUCK_SECONDS", 0.3)
    release = threading.Event()
    store.client = Faulty(store.client, lambda *_: release.wait(PATIENCE))
    with pytest.raises(TrackingError, match="no answer"):
        mirror_in(store).close(0.1)
    release.set()


@pytest.mark.parametrize("at_end", [False, True], ids=["a round", "an event of no trial"])
def test_a_mistake_of_ours_is_told_and_shows_at_the_end(store, at_end):
    told = []
    mirror = mirror_in(store, told.append)
    if at_end:
        mirror.put(round_done("nobody", 1))
    else:
        mirror.put(EVENTS[0])
        mirror.put(RoundDone("fedavg-search-0", 1, 0.5, {"val/accuracy": "much"}))
    with pytest.raises(TrackingError, match="KeyError" if at_end else "ValueError"):
        mirror.close(PATIENCE)
    assert len(told) == 1
    mirror.put(EVENTS[0])  # nobody takes it, and nobody minds


def test_trouble_in_telling_of_trouble_does_not_stop_it_silently(store):
    def broken(text):
        raise RuntimeError("no console")

    store.client = Faulty(store.client, once(2, False, MlflowException("no luck")))
    mirror = mirror_in(store, broken)
    with pytest.raises(TrackingError, match="no console"):
        mirror.close(PATIENCE)


def test_an_interruption_kills_what_runs_and_the_next_session_completes_it(store, undisturbed):
    first = mirror_in(store)
    for event in EVENTS[:6]:
        first.put(event)
    first.interrupt()
    first.put(EVENTS[6])
    first.close(PATIENCE)
    runs = content(store)
    statuses = {name: run["status"] for name, run in runs.items()}
    wanted = dict.fromkeys(runs, "KILLED") | {"fedavg-search-1": "FAILED"}
    assert statuses == wanted
    assert len(runs["fedavg-search-0"]["metrics"]["val/accuracy"]) == 2
    second = mirror_in(store)
    second.put(EVENTS[0])
    until(lambda: content(store)["fedavg-search-0"]["status"] == "RUNNING")
    tell_all(second)
    assert content(store) == undisturbed


@pytest.mark.parametrize("afterwards", [False, True], ids=["not done", "answer lost"])
def test_an_interruption_survives_an_error_in_it(new_store, afterwards):
    for nth in range(2):
        store, kills = new_store(), count()

        def fault(number, name, done, kills=kills, nth=nth):
            if name == "set_terminated" and done is afterwards and next(kills) == nth:
                raise MlflowException("no luck")

        store.client = Faulty(store.client, fault)
        mirror = mirror_in(store)
        for event in EVENTS[:5]:
            mirror.put(event)
        mirror.interrupt()
        mirror.close(PATIENCE)
        assert {run["status"] for run in content(store).values()} == {"KILLED"}


def test_an_interruption_kills_runs_of_a_session_that_was_killed(store):
    tell = mirror_in(store)
    tell.put(EVENTS[0])
    tell.close(PATIENCE)
    mirror = mirror_in(store)
    mirror.interrupt()
    mirror.close(PATIENCE)
    assert {run["status"] for run in content(store).values()} == {"KILLED"}


def test_a_request_that_was_sent_twice_leaves_one_run(store, undisturbed):
    """MLflow's own HTTP client repeats a POST whose answer was lost."""
    create = store.client.create_run

    def twice(*args, **kwargs):
        create(*args, **kwargs)
        return create(*args, **kwargs)

    store.client.create_run = twice
    tell_all(mirror_in(store))
    assert content(store) == undisturbed


def test_rounds_are_gathered(store, undisturbed, monkeypatch):
    monkeypatch.setattr(mirror_module, "FLUSH_SECONDS", 1000.0)
    store.client = Faulty(store.client, lambda *_: None)
    mirror = mirror_in(store)
    mirror.put(EVENTS[0])
    until(lambda: store.client.calls.count("log_batch") == 2)  # params of method and trial
    for number in range(1, 301):
        mirror.put(round_done("fedavg-search-0", number))
    time.sleep(0.3)
    assert store.client.calls.count("log_batch") == 2
    mirror.close(PATIENCE)
    # 1200 points of ours, of which a request carries at most 1000
    assert store.client.calls.count("log_batch") == 4
    assert len(content(store)["fedavg-search-0"]["metrics"]["val/accuracy"]) == 300


def test_what_is_due_is_written_without_another_event(store, monkeypatch):
    monkeypatch.setattr(mirror_module, "FLUSH_SECONDS", 0.2)
    store.client = Faulty(store.client, lambda *_: None)
    mirror = mirror_in(store)
    for event in EVENTS[:3]:
        mirror.put(event)
    until(lambda: "log_batch" in store.client.calls)
    until(lambda: content(store).get("fedavg-search-0", {"metrics": ()})["metrics"])
    mirror.close(PATIENCE)


def test_a_reason_is_one_line_of_bounded_length():
    assert reason(ValueError("first\nsecond")) == "first"
    assert reason(ValueError()) == "ValueError"
    long = reason(ValueError(f"to {'x' * 1000}: connection refused"))
    assert len(long) < 300
    assert long.startswith("to x")
    assert long.endswith("connection refused")


@pytest.mark.parametrize(
    "uri", ["http://me:secret@127.0.0.1:1", "postgresql://me:secret@127.0.0.1:1/db"]
)
def test_a_store_that_is_away_is_told_in_one_line(tmp_path, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match="cannot be reached") as caught:
        Store(tmp_path).reachable()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_store_is_told_at_once(tmp_path):
    (tmp_path / "mlflow.db").write_text("not a database " * 100)
    with pytest.raises(UserError, match="file is not a database"):
        Store(tmp_path).reachable()


def test_an_experiment_is_ones_own_by_its_id_not_by_its_name(store):
    assert own_experiment(store, "small", OWN) is None
    tell_all(mirror_in(store))
    assert own_experiment(store, "small", OWN).name == "small"
    with pytest.raises(ForeignExperiment, match=r"has an experiment 'small' that is not this"):
        own_experiment(store, "small", "1" * 32)


def test_somebody_elses_experiment_is_left_as_it_is(store, undisturbed):
    tell_all(mirror_in(store))
    told = []
    mirror = mirror_in(store, told.append, comparison="1" * 32)
    for event in EVENTS:
        mirror.put(event)
    mirror.interrupt()
    with pytest.raises(ForeignExperiment, match="choose another --name"):
        mirror.close(PATIENCE)
    assert len(told) == 1
    assert content(store) == undisturbed


def test_a_deleted_experiment_is_restored(store, undisturbed):
    experiment = tell_all(mirror_in(store))
    store.client.delete_experiment(experiment)
    assert tell_all(mirror_in(store)) == experiment
    assert content(store) == undisturbed


def test_rounds_that_the_journal_lost_are_not_there_twice(store, undisturbed):
    mirror = mirror_in(store)
    for event in EVENTS[:5]:
        mirror.put(event)
    mirror.interrupt()
    mirror.close(PATIENCE)
    later = [replace(event, time=event.time + 10_000) for event in EVENTS]
    tell_all(mirror_in(store), [*EVENTS[:2], *later[2:]])
    found = content(store)
    for trial in ("fedavg-search-0", "fedavg-search-1"):
        for name, points in undisturbed[trial]["metrics"].items():
            assert [p[0] for p in found[trial]["metrics"][name]] == [p[0] for p in points], name


def test_nothing_is_written_before_the_journal_is_on_the_disk(store):
    order = []
    mirror = mirror_in(store, settle=lambda: order.append("disk"))
    client = Faulty(store.client, lambda number, name, done: order.append(name))
    store.__dict__["client"] = client
    tell_all(mirror)
    assert order[0] == "disk"
    written = [place for place, name in enumerate(order) if name == "log_batch"]
    assert written
    assert "disk" in order[: written[0]]


def test_mlflow_reads_the_address_from_the_environment():
    from mlflow.cli import server

    option = next(o for o in server.params if o.name == "backend_store_uri")
    assert option.envvar == "MLFLOW_BACKEND_STORE_URI"


WRITER = """
import sys
from pathlib import Path

from pfltune.tracking.events import MethodEnded, RoundDone, TrialEnded, TrialStarted
from pfltune.tracking.mirror import Mirror
from pfltune.tracking.store import Store

results, name = Path(sys.argv[1]), sys.argv[2]
tags = {"scenario": "s"}
mirror = Mirror(Store(results), name, name, tags, {"m": "M"}, {"a.txt": "a"}, (), print)
for trial in range(5):
    mirror.put(TrialStarted(f"m-search-{trial}", "m", "search", trial, 0, 1, {"lr": 0.1}))
for number in range(1, 51):
    for trial in range(5):
        metrics = {"val/accuracy": number / 50, "time/total_s": 1.0 * number}
        mirror.put(RoundDone(f"m-search-{trial}", number, 0.5, metrics))
for trial in range(5):
    mirror.put(TrialEnded(f"m-search-{trial}", "stopped early", 50))
mirror.put(MethodEnded("m", {"lr": 0.1}))
mirror.close(600)
"""


@pytest.mark.slow
def test_processes_that_start_at_once_share_a_cold_store(tmp_path):
    names = [f"experiment-{number}" for number in range(4)]
    results = tmp_path / "results"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(results), name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in names
    ]
    for writer in writers:
        said, _ = writer.communicate(timeout=900)
        assert writer.returncode == 0, said
    for name in names:
        runs = content(Store(results), name)
        assert len(runs) == 7
        trials = [run for run in runs.values() if run["parent"]]
        assert {run["status"] for run in trials} == {"KILLED"}, "stopped early"
        for key in ("val/accuracy", "time/total_s"):
            for run in trials:
                assert [step for step, *_ in run["metrics"][key]] == list(range(1, 51))
