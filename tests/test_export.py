"""Searches as studies of Optuna's: what is in them, and that they are whole and hurt nothing."""

import sqlite3
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from comparisons import Fake, record, record_of
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from pfltune.tracking.events import MethodEnded, RoundDone, TrialEnded, TrialStarted
from pfltune.tracking.journal import JOURNAL, Journal

SPACE = {
    "lr": [0.001, 0.3, True],
    "prefix": ["adapter", "tokens"],
    "bottleneck": [4, 256, True],
    "prefix_length": [1, 2, 4, 8],
    "scale": [0.25, 3.0, False],
}
ADAPTER = {"lr": 0.01, "prefix": "adapter", "bottleneck": 16, "scale": 1.5, "depth": 2}
TOKENS = {"lr": 0.02, "prefix": "tokens", "prefix_length": 4, "scale": 1.0, "depth": 2}
LOST = {**TOKENS, "prefix_length": 8}
TRIALS = [
    (ADAPTER, "finished", {2: 0.4, 4: 0.6}),
    (TOKENS, "finished", {2: 0.5, 4: 0.7}),
    (LOST, "stopped early", {2: 0.3}),
    (ADAPTER | {"lr": 0.3}, "failed", {}),
    (TOKENS | {"lr": 0.1}, "running", {2: 0.2}),
]
"""Knobs, outcome and score by evaluated round."""


def events():
    """A search of FedPerfix that halves, whose best two were trained again, then tested."""
    for index, (knobs, outcome, curve) in enumerate(TRIALS):
        yield from trial("search", index, 7, knobs, outcome, curve, generation=index // 3)
    yield from trial("choose", 0, 8, TOKENS, "finished", {4: 0.66})
    yield from trial("choose", 1, 9, TOKENS, "finished", {4: 0.64})
    test = {"round": 4, "val": [0.6, 0.7], "test": [0.5, 0.6]}
    yield from trial("confirm", 0, 100, TOKENS, "finished", {4: 0.65}, selected=test)
    yield MethodEnded("fedperfix", TOKENS, 9_000_000)


def trial(stage, index, seed, knobs, outcome, curve, generation=-1, selected=None):
    name, at = f"fedperfix-{stage}-{index}", 1_000_000 * (index + 1)
    yield TrialStarted(name, "fedperfix", stage, index, generation, seed, knobs, at)
    last = max(curve, default=0)
    for number in range(1, last + 1):
        score = max((v for r, v in curve.items() if r <= number), default=0.0)
        metrics = {"comm/total_mb": 2.5 * number, "params/personal": 650.0}
        metrics |= {"val/best_accuracy": score} if number in curve else {}
        yield RoundDone(name, number, score, metrics, at + number)
    if outcome != "running":
        yield TrialEnded(name, outcome, last, "it diverged" * (not last), selected, at + 5_000)


@pytest.fixture
def results(tmp_path):
    methods = {"fedperfix": Fake("FedPerfix", np.zeros((1, 2)), searched=(0.0,) * 5)}
    spaces = {"fedperfix": {"search": SPACE, "start": []}}
    made = record_of(methods, "mine", command="tune", spaces=spaces)
    made.write(tmp_path / "mine")
    journal = Journal(tmp_path / "mine" / JOURNAL, made.id)
    for event in events():
        journal.append(event)
    journal.close()
    return tmp_path


@pytest.fixture
def export(results, called):
    """``export(file)``: code, output and errors of an export into a SQLite file."""

    def call(file, name="mine"):
        where = ["--optuna", f"sqlite:///{file}", "--results", str(results)]
        return called("export", name, *where)

    return call


@pytest.fixture
def fails(monkeypatch):
    """``fails()``: from now on trials cannot be written."""

    def full(*_):
        raise OSError("no room")

    return lambda: monkeypatch.setattr(optuna.study.Study, "add_trials", full)


def study_in(file, name="pfltune/mine/fedperfix"):
    return optuna.load_study(study_name=name, storage=f"sqlite:///{file}")


def test_every_search_trial_stands_in_its_order_as_optuna_knows_it(export, tmp_path):
    code, out, err = export(tmp_path / "new" / "studies.db")
    assert (code, err) == (0, "")
    assert "pfltune/mine/fedperfix: 5 trials" in out
    study = study_in(tmp_path / "new" / "studies.db")
    assert study.direction.name == "MAXIMIZE"
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL", "RUNNING"]
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3, 4]
    assert [trial.value for trial in study.trials] == [0.6, 0.7, 0.3, None, None]
    assert study.best_trial.number == 1
    assert study.trials[0].intermediate_values == {2: 0.4, 4: 0.6}
    assert study.trials[2].intermediate_values == {2: 0.3}
    assert study.trials[2].datetime_start == datetime.fromtimestamp(3_000)
    assert study.trials[2].duration.total_seconds() == 5


def test_the_space_is_the_recorded_one_and_conditions_are_kept(export, tmp_path):
    export(tmp_path / "studies.db")
    first, second, *_ = study_in(tmp_path / "studies.db").trials
    assert first.params == {name: v for name, v in ADAPTER.items() if name != "depth"}
    assert first.distributions == {
        "lr": FloatDistribution(0.001, 0.3, log=True),
        "prefix": CategoricalDistribution(("adapter", "tokens")),
        "bottleneck": IntDistribution(4, 256, log=True),
        "scale": FloatDistribution(0.25, 3.0),
    }
    assert "bottleneck" not in second.params
    assert second.distributions["prefix_length"] == CategoricalDistribution((1, 2, 4, 8))


def test_what_is_known_beside_is_in_the_attributes(export, tmp_path):
    export(tmp_path / "studies.db")
    study = study_in(tmp_path / "studies.db")
    about = study.user_attrs
    assert (about["chosen"], about["chosen_trial"], about["held"]) == (TOKENS, 1, {"depth": 2})
    assert (about["confirm/seeds"], about["confirm/test/accuracy"]) == (1, 0.55)
    winner, lost, failed = (study.trials[number].user_attrs for number in (1, 2, 3))
    assert winner["choose/seeds"] == 2
    assert winner["choose/val/best_accuracy"] == pytest.approx(0.65)
    assert (winner["comm/total_mb"], winner["params/personal"], winner["seed"]) == (10.0, 650.0, 7)
    assert (lost["outcome"], lost["rounds"], lost["generation"]) == ("stopped early", 2, 0)
    assert "choose/val/best_accuracy" not in lost
    assert failed["failure"] == "it diverged"


def test_optuna_goes_on_with_the_study(export, tmp_path):
    export(tmp_path / "studies.db")
    study = study_in(tmp_path / "studies.db")
    study.sampler = optuna.samplers.TPESampler(seed=1)
    assert 0.001 <= study.ask({"lr": FloatDistribution(0.001, 0.3, log=True)}).params["lr"] <= 0.3


def test_each_searched_method_has_a_study_and_no_other(results, export, tmp_path):
    methods = {n: Fake(n, np.full((1, 2), 0.5)) for n in ("fedavg", "fedperfix", "still")}
    one = {"search": {"lr": [0.01, 0.5, True]}}
    spaces = {"fedavg": one, "fedperfix": one, "still": {"search": {}}}
    store = SimpleNamespace(results=results)
    record(store, "three", methods, mirrored=False, spaces=spaces)
    record(store, "none", methods, mirrored=False)
    export(tmp_path / "studies.db", "three")
    names = optuna.get_all_study_names(f"sqlite:///{tmp_path / 'studies.db'}")
    assert names == ["pfltune/three/fedavg", "pfltune/three/fedperfix"]
    code, _, err = export(tmp_path / "studies.db", "none")
    assert (code, err.count("\n")) == (2, 1)
    assert "none has searched nothing" in err


# ------------------------------------------------------------------ whole, and nothing else hurt


def test_exporting_again_changes_nothing(export, tmp_path):
    file = tmp_path / "studies.db"
    export(file)
    before = file.read_bytes()
    assert export(file)[0] == 0
    assert file.read_bytes() == before


def test_to_what_is_there_studies_are_added(export, tmp_path):
    address = f"sqlite:///{tmp_path / 'studies.db'}"
    optuna.create_study(storage=address, study_name="theirs").ask()
    assert export(tmp_path / "studies.db")[0] == 0
    names = optuna.get_all_study_names(address)
    assert sorted(names) == ["pfltune/mine/fedperfix", "theirs"]


def test_somebody_elses_study_of_that_name_is_refused(export, tmp_path):
    address = f"sqlite:///{tmp_path / 'studies.db'}"
    optuna.create_study(storage=address, study_name="pfltune/mine/fedperfix")
    code, out, err = export(tmp_path / "studies.db")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "already, of something else; give another address" in err


def test_an_earlier_state_of_ours_is_refused(results, export, tmp_path):
    export(tmp_path / "studies.db")
    journal = results / "mine" / JOURNAL
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-8]))  # nothing is tested so far
    _, _, err = export(tmp_path / "studies.db")
    assert "already, as it was at another time" in err
    assert len(study_in(tmp_path / "studies.db").trials) == 5


def test_a_failure_leaves_no_file(export, tmp_path, fails):
    file = tmp_path / "new" / "studies.db"
    fails()
    assert export(file)[0] != 0
    assert not list(file.parent.iterdir())


def test_a_failure_leaves_no_study_in_a_file_that_was_there(export, tmp_path, fails):
    address = f"sqlite:///{tmp_path / 'studies.db'}"
    optuna.create_study(storage=address, study_name="theirs")
    fails()
    assert export(tmp_path / "studies.db")[0] != 0
    assert optuna.get_all_study_names(address) == ["theirs"]


def test_what_a_killed_export_left_is_written_anew(results, export, tmp_path):
    export(tmp_path / "studies.db")
    with sqlite3.connect(tmp_path / "studies.db") as connection:
        connection.execute("delete from study_user_attributes where key = 'pfltune/whole'")
        connection.execute("delete from trial_params")
    assert export(tmp_path / "studies.db")[0] == 0
    assert study_in(tmp_path / "studies.db").trials[1].params["prefix_length"] == 4


def test_another_database_is_not_written_into(export, tmp_path):
    file = tmp_path / "mlflow.db"
    with sqlite3.connect(file) as connection:
        connection.execute("create table experiments (name text)")
    before = file.read_bytes()
    code, _, err = export(file)
    assert (code, err.count("\n")) == (2, 1)
    assert "is no storage of Optuna's" in err
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("studies.db", "'studies.db' is no address of a storage; write one such as sqlite:///"),
        ("sqlite://", "sqlite:// names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////proc/no/such/folder.db", "/proc/no/such/folder.db"),
        ("nothing://me:secret@host/x", "nothing://***@host/x: NoSuchModuleError"),
    ],
)
def test_an_address_that_cannot_be_is_one_line(results, called, address, told):
    code, out, err = called("export", "mine", "--optuna", address, "--results", str(results))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err
    assert "secret" not in err


def test_a_file_that_is_no_database_is_one_line(export, tmp_path):
    (tmp_path / "text.db").write_text("no database" * 100)
    code, _, err = export(tmp_path / "text.db")
    assert (code, err.count("\n")) == (2, 1)
    assert "file is not a database" in err
