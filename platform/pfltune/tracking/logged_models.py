"""Models in MLflow: one for each confirmed method, with its figures, and versions of a name.

All of it may be done again: a model is found by the tag that says what it was made of.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mlflow.entities import LoggedModel, LoggedModelOutput, Metric
from mlflow.exceptions import MlflowException

from pfltune.figures import SELECTED
from pfltune.tracking.own_store import COMPARISON_TAG
from pfltune.tracking.runs import Runs

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

MODEL_TAG = "pfltune.model"
READY, TAKEN = "READY", "RESOURCE_ALREADY_EXISTS"


@dataclass(frozen=True)
class ToLog:
    """A model that MLflow shall have.

    Attributes:
        name: what it is called there.
        trial: name of the trial whose run it came from.
        mark: tells it from every other one.
        params: what is said of it.
        write: makes its files in a folder that is not there yet, of a model with this id.
    """

    name: str
    trial: str
    mark: str
    params: Mapping[str, str]
    write: Callable[[Path, str], None]


def log_model(runs: Runs, wanted: ToLog) -> LoggedModel:
    """Have MLflow know a model, with the figures of its trial's chosen round on their data set.

    Args:
        runs: of the comparison, which the trial's is among.
        wanted: the model.
    """
    client, run = runs.client, runs.number_of(wanted.trial)
    known = _known(client, runs.experiment, wanted.mark)
    if known is not None:
        return known
    made = client.create_logged_model(
        experiment_id=runs.experiment,
        name=_plain(wanted.name),
        source_run_id=run,
        tags={MODEL_TAG: wanted.mark, COMPARISON_TAG: runs.comparison},
        params=dict(wanted.params),
        model_type="classifier",
    )
    with TemporaryDirectory(prefix="pfltune-model-") as scratch:
        folder = Path(scratch) / "model"
        wanted.write(folder, made.model_id)
        client.log_model_artifacts(made.model_id, str(folder))
    step = _link_figures(runs, run, made.model_id)
    client.log_outputs(run, [LoggedModelOutput(made.model_id, step)])
    return client.finalize_logged_model(made.model_id, READY)


def register(
    runs: Runs, name: str, models: Mapping[str, LoggedModel], champion: str, alias: str
) -> None:
    """Have each model be a version of a registered one, and one of them have an alias.

    Args:
        runs: of the comparison.
        name: of the registered model, which may be there.
        models: by short name of the method.
        champion: which of them has the alias.
        alias: e.g. ``champion``.
    """
    client = runs.client
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != TAKEN:
            raise
    there = {v.tags.get(MODEL_TAG): v.version for v in client.search_model_versions(_named(name))}
    for method, model in models.items():
        mark = model.tags[MODEL_TAG]
        if mark not in there:
            made = client.create_model_version(
                name,
                source=model.artifact_location,
                run_id=model.source_run_id,
                tags={MODEL_TAG: mark, "method": method},
                model_id=model.model_id,
            )
            there[mark] = made.version
    client.set_registered_model_alias(name, alias, there[models[champion].tags[MODEL_TAG]])


def _named(name: str) -> str:
    quoted = name.replace("'", "''")
    return f"name='{quoted}'"


def _known(client: "MlflowClient", experiment: str, mark: str) -> LoggedModel | None:
    """The model with this mark; one that was left half made is removed."""
    token = None
    while True:
        page = client.search_logged_models([experiment], page_token=token)
        for model in page:
            if model.tags.get(MODEL_TAG) != mark:
                continue
            if str(model.status) == READY:
                return model
            client.delete_logged_model(model.model_id)
        token = page.token
        if not token:
            return None


def _link_figures(runs: Runs, run: str, model_id: str) -> int:
    """Have the figures of the chosen round say of which model and data they are; the round.

    They are the run's own points, told once more: MLflow keeps one of those that are equal.
    """
    names = [name for name in runs.client.get_run(run).data.metrics if name.startswith(SELECTED)]
    points = [runs.client.get_metric_history(run, name)[-1] for name in names]
    data = runs.dataset
    linked = [
        Metric(
            *(point.key, point.value, point.timestamp, point.step),
            model_id=model_id,
            dataset_name=data.name if data else None,
            dataset_digest=data.digest if data else None,
            run_id=run,
        )
        for point in points
    ]
    if linked:
        runs.client.log_batch(run, metrics=linked, synchronous=True)
    return max((point.step for point in points), default=0)


def _plain(name: str) -> str:
    """MLflow refuses some characters in a model's name."""
    return "".join("-" if c in "/:.%\"'" else c for c in name)
