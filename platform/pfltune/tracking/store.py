"""Opening the MLflow store: SQLite in the results folder, or whatever MLFLOW_TRACKING_URI names."""

import logging
import os
from pathlib import Path

from pfltune.errors import UserError


def tracking_uri(results: Path) -> str:
    """The store's address; ``MLFLOW_TRACKING_URI`` wins over the results folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{results.resolve()}/mlflow.db"


def writable_folder(results: Path) -> Path:
    """The results folder, created if need be, as an absolute path.

    Raises:
        UserError: it cannot be created or written.
    """
    try:
        results.mkdir(parents=True, exist_ok=True)
        probe = results / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"the results folder {str(results)!r} cannot be written ({error.strerror}); "
            "name another with --results or PFLTUNE_RESULTS"
        ) from error
    return results.resolve()


class Store:
    """One MLflow store, written by the driver only.

    Args:
        results: the results folder, which also holds the artifacts of new experiments.
    """

    def __init__(self, results: Path) -> None:
        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow.store").setLevel(logging.WARNING)
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        from mlflow.tracking import MlflowClient

        self.uri = tracking_uri(results)
        self.results = results.resolve()
        self.client = MlflowClient(tracking_uri=self.uri)

    def create_experiment(self, name: str, tags: dict[str, str]) -> str:
        """A new experiment's id.

        Raises:
            UserError: the name is taken.
        """
        if self.client.get_experiment_by_name(name) is not None:
            raise UserError(f"there is already a comparison named {name!r}; choose another --name")
        local = self.uri.startswith("sqlite:")
        place = (self.results / "artifacts" / name).as_uri() if local else None
        return self.client.create_experiment(name, artifact_location=place, tags=tags)
