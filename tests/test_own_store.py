"""The MLflow store of a results folder: whole or not at all, wherever the folder lies."""

import shutil
import sqlite3
from contextlib import closing

import comparisons
import numpy as np
import pytest
from comparisons import Fake

from pfltune.errors import UserError
from pfltune.tracking import own_store
from pfltune.tracking.store import Store

pytestmark = pytest.mark.thorough

METHODS = {"alpha": Fake("Alpha", np.full((2, 3), 0.5))}


@pytest.fixture(autouse=True)
def local(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def whole(cold_store, tmp_path_factory):
    """The SQL of a store, statement by statement, as MLflow makes it."""
    results = cold_store(tmp_path_factory.mktemp("whole")).results
    with closing(sqlite3.connect(results / "mlflow.db")) as database:
        return list(database.iterdump())


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_a_store_that_was_left_half_made_is_made_anew(whole, tmp_path, share):
    """As a kill or a full disk leaves it: so many of its statements, and no experiment."""
    file = tmp_path / "mlflow.db"
    file.touch()
    if share:
        with closing(sqlite3.connect(file)) as database, database:
            for statement in whole[: int(share * len(whole))]:
                if statement.startswith("CREATE TABLE"):
                    database.execute(statement)
    Store(tmp_path).reachable()
    assert Store(tmp_path).client.search_experiments()
    kept = [path.name for path in tmp_path.iterdir() if "half-made" in path.name]
    assert len(kept) == (share > 0)


def test_a_kill_while_it_is_made_leaves_nothing_that_is_read(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def dies(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("mlflow.tracking.MlflowClient.search_experiments", dies)
        with pytest.raises(Killed):
            own_store.make(tmp_path / "mlflow.db")
    assert not (tmp_path / "mlflow.db").exists()
    Store(tmp_path).reachable()


@pytest.mark.parametrize("made", ["sqlite", "text"])
def test_a_database_of_somebody_else_is_left_alone(tmp_path, made):
    file = tmp_path / "mlflow.db"
    if made == "text":
        file.write_text("my notes, which are no database at all\n" * 40)
    else:
        with closing(sqlite3.connect(file)) as database, database:
            database.execute("CREATE TABLE recipes (name TEXT)")
    before = file.read_bytes()
    with pytest.raises(UserError, match=r"mlflow.db is (a|no SQLite) database") as told:
        Store(tmp_path).reachable()
    assert "\n" not in str(told.value)
    assert file.read_bytes() == before


QUOTED = ["50%41", "what?x=1", "#1", "it's", 'say "x"', "$HOME", "ü"]
"""Names that do not stand in an address as they are."""


@pytest.mark.parametrize("path", ["a b", "/".join(QUOTED)], ids=["as it is", "quoted"])
def test_any_path_leads_where_it_says(tmp_path, path):
    results = tmp_path / path
    comparisons.record(Store(results), "one", METHODS)
    assert (results / "mlflow.db").is_file()
    assert list((results / "artifacts" / "one").rglob("clients.json"))
    on_the_way = [each for each in tmp_path.rglob("*") if not each.is_relative_to(results)]
    assert len(on_the_way) == len(results.relative_to(tmp_path).parts) - 1


def addresses(results):
    with closing(sqlite3.connect(results / "mlflow.db")) as database:
        experiments = database.execute(
            "SELECT artifact_location FROM experiments WHERE name = 'one'"
        ).fetchall()
        return [a for (a,) in [*experiments, *database.execute("SELECT artifact_uri FROM runs")]]


@pytest.mark.parametrize("how", [shutil.move, shutil.copytree])
def test_a_folder_that_was_moved_or_copied_is_at_home(cold_store, tmp_path, how):
    first, second = tmp_path / "first", tmp_path / "second"
    comparisons.record(cold_store(first), "one", METHODS)
    how(first, second)
    client = Store(second).client
    home = (second / "artifacts" / "one").as_uri()
    assert all(address.startswith(home) for address in addresses(second))
    experiment = client.get_experiment_by_name("one").experiment_id
    for run in client.search_runs([experiment], "tags.stage = 'confirm'"):
        assert client.list_artifacts(run.info.run_id)[0].path == "clients.json"
    if first.exists():
        assert all(address.startswith(first.as_uri()) for address in addresses(first))


def test_addresses_that_lead_elsewhere_are_brought_home(cold_store, tmp_path):
    comparisons.record(cold_store(tmp_path), "one", METHODS)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.execute("UPDATE experiments SET artifact_location = 'http://127.0.0.1:9/x/../one'")
        database.execute("UPDATE runs SET artifact_uri = 'file:///etc/' || run_uuid")
    assert Store(tmp_path).client.search_experiments()
    home = (tmp_path / "artifacts" / "one").as_uri()
    assert all(address.startswith(home) for address in addresses(tmp_path))


def test_a_store_that_is_a_link_is_refused(cold_store, tmp_path):
    theirs = cold_store(tmp_path / "theirs").results
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mlflow.db").symlink_to(theirs / "mlflow.db")
    with pytest.raises(UserError, match="leads out of"):
        Store(tmp_path / "results").reachable()
