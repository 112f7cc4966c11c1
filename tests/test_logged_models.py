"""Kept models in a real MLflow store: logged once, with figures and data, registered on request."""

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import mlflow
import numpy as np
import pytest
from test_kept_models import METHODS, NAME, kept  # noqa: F401

import pfltune
from pfltune.models.kept import best_of, kept_models
from pfltune.models.logged import told_to
from pfltune.record import read_record
from pfltune.scenario import load_scenario
from pfltune.tracking.dataset import dataset_input
from pfltune.tracking.journal import JOURNAL, Journal
from pfltune.tracking.logged_models import MODEL_TAG
from pfltune.tracking.mirror import Mirror

pytestmark = [pytest.mark.thorough, pytest.mark.xdist_group("test_kept_models")]


@pytest.fixture(scope="module")
def told(kept, cold_store, tmp_path_factory):  # noqa: F811
    """``told()`` tells a store of the comparison and its models; every time the same one."""
    results = tmp_path_factory.mktemp("store") / "results"
    store, record = cold_store(results), read_record(kept / NAME)
    data = dataset_input("digits", "c0ffee", {}, _census())

    def tell():
        mirror = Mirror(
            store,
            NAME,
            record.id,
            tags={"scenario": "digits"},
            parents=record.titles,
            artifacts={},
            files=[],
            on_trouble=print,
            data=data,
        )
        for event in Journal(kept / NAME / JOURNAL, record.seal).events:
            mirror.put(event)
        mirror.also(told_to(kept / NAME, record, "digits"))
        mirror.close(600.0)
        return store

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield tell


def _census():
    from pfltune.data.census import take_census

    scenario = load_scenario("digits")
    return take_census(scenario.dataset(), scenario.clients(scenario.dataset()))


@contextmanager
def tracked(store):
    """MLflow's own functions ask this store."""
    mlflow.set_tracking_uri(store.uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)


def models_in(store):
    client = store.client
    experiment = client.get_experiment_by_name(NAME)
    return client.search_logged_models([experiment.experiment_id])


def test_there_is_one_for_each_method_with_its_figures_on_the_data(told, kept):  # noqa: F811
    store = told()
    found = models_in(store)
    best = best_of(kept_models(kept / NAME))
    assert sorted(model.params["method"] for model in found) == sorted(METHODS)
    for model in found:
        manifest = best[model.params["method"]].manifest
        assert str(model.status) == "READY"
        run = store.client.get_run(model.source_run_id)
        assert run.data.tags["pfltune.trial"] == manifest.trial
        values = {metric.key: metric for metric in model.metrics}
        assert values["selected/val_accuracy"].value == pytest.approx(manifest.val)
        assert values["selected/test_accuracy"].value == pytest.approx(manifest.test)
        assert {m.dataset_digest for m in model.metrics} == {"c0ffee"}
        assert {m.step for m in model.metrics if m.key.startswith("selected/val")} == {
            manifest.bundle.round
        }
        (output,) = run.outputs.model_outputs
        assert output.model_id == model.model_id


def test_told_again_nothing_is_there_twice(told):
    before = {model.model_id for model in models_in(told())}
    store = told()
    assert {model.model_id for model in models_in(store)} == before
    versions = store.client.search_model_versions("name='digits'")
    assert len(versions) == len(METHODS)
    assert len({version.tags[MODEL_TAG] for version in versions}) == len(METHODS)


def test_one_that_was_left_half_made_is_made_anew(told):
    store = told()
    (lost, *_) = models_in(store)
    store.client.delete_logged_model(lost.model_id)
    tags = {MODEL_TAG: lost.tags[MODEL_TAG]}
    half = store.client.create_logged_model(lost.experiment_id, name="half", tags=tags)
    found = models_in(told())
    assert {str(model.status) for model in found} == {"READY"}
    assert len(found) == len(METHODS)
    assert half.model_id not in {model.model_id for model in found}


def test_the_champion_is_best_on_validation_data_and_predicts(told, kept):  # noqa: F811
    store = told()
    best = best_of(kept_models(kept / NAME))
    champion = max(best.values(), key=lambda model: model.manifest.val).manifest
    version = store.client.get_model_version_by_alias("digits", "champion")
    assert best[version.tags["method"]].manifest.val == champion.val

    with tracked(store):
        loaded = mlflow.pyfunc.load_model("models:/digits@champion")
    x = load_scenario("digits").dataset().images[:20].numpy()
    method = version.tags["method"]
    for client in (0, 2):
        wanted = pfltune.load_model(NAME, method=method, client=client, results=kept).predict(x)
        found = loaded.predict(x, params={"client": client})
        assert np.array_equal(found["label"], wanted.labels)
        assert list(found["class"]) == wanted.names
        assert np.allclose(found["p(3)"], wanted.probabilities[:, 3])


def test_the_files_of_a_logged_model_are_enough_anywhere(told, tmp_path):
    """In another process and folder, without the store; nothing in them is pickled."""
    store = told()
    model = models_in(store)[0]
    with tracked(store):
        made = mlflow.artifacts.download_artifacts(
            f"models:/{model.model_id}", dst_path=str(tmp_path / "model")
        )
    there = Path(made)
    kinds = {path.suffix for path in there.rglob("*") if path.is_file()}
    assert not kinds & {".pkl", ".pickle", ".pt", ".pth", ".joblib"}
    assert f"pfltune=={pfltune_version()}" in (there / "requirements.txt").read_text()
    code = (
        "import mlflow, numpy; m = mlflow.pyfunc.load_model('model');"
        "print(len(m.predict(numpy.zeros((3, 8, 8), 'uint8'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code.replace("'model'", repr(str(there)))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip().splitlines()[-1:] == ["3"], done.stderr


def pfltune_version():
    from importlib.metadata import version

    return version("pfltune")
