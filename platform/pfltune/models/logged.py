"""The best kept model of each method, told to MLflow and registered where that is asked for."""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

from pfltune.models.kept import MANIFEST, KeptModel, ModelFolder, best_of, kept_models
from pfltune.record import Record
from pfltune.registry import short_name
from pfltune.seal import digest
from pfltune.text import in_short
from pfltune.tracking.logged_models import ToLog, log_model, register
from pfltune.tracking.runs import Runs

LOADER = "pfltune.models.pyfunc"
CHAMPION = "champion"


def told_to(folder: Path, record: Record, register_as: str | None) -> Callable[[Runs], None]:
    """What tells MLflow of a comparison's kept models; it may be done again.

    Args:
        folder: the comparison's.
        record: of it.
        register_as: name of a registered model; None if there shall be none.
    """

    def tell(runs: Runs) -> None:
        ours = [m for m in kept_models(folder) if m.manifest.comparison == record.id]
        best = best_of(ours)
        ordered = [name for name in map(short_name, record.methods) if name in best]
        logged = {name: log_model(runs, to_log(best[name])) for name in ordered}
        if register_as is not None and logged:
            champion = max(ordered, key=lambda name: best[name].manifest.worth[0])
            register(runs, register_as, logged, champion, CHAMPION)

    return tell


def to_log(model: ModelFolder) -> ToLog:
    """A kept model as MLflow shall have it."""
    manifest = model.manifest
    return ToLog(
        name=manifest.title,
        trial=manifest.trial,
        mark=digest((model.path / MANIFEST).read_bytes()),
        params=_params(manifest),
        write=lambda path, model_id: _write(model, path, model_id),
    )


def _params(manifest: KeptModel) -> Mapping[str, str]:
    return {
        "method": manifest.short_name,
        "scenario": manifest.scenario.name,
        "seed": str(manifest.seed),
        "round": str(manifest.bundle.round),
        "clients": str(len(manifest.clients)),
        "knobs": in_short(manifest.knobs) or "-",
    }


def _write(model: ModelFolder, path: Path, model_id: str) -> None:
    """A folder that ``mlflow.pyfunc.load_model`` reads: the files, and who reads them."""
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import DataType, ParamSchema, ParamSpec

    client = ParamSpec("client", DataType.long, model.manifest.clients[0].client)
    signature = ModelSignature(params=ParamSchema([client]))
    mlflow.pyfunc.save_model(
        path=str(path),
        loader_module=LOADER,
        data_path=str(model.path),
        # Of a signature that it is handed itself, MLflow would want an example of images.
        mlflow_model=Model(model_id=model_id, signature=signature),
        pip_requirements=[f"pfltune=={version('pfltune')}"],
        metadata={"class_names": list(model.manifest.bundle.class_names)},
    )
