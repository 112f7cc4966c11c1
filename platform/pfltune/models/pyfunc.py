"""A kept model as MLflow loads it: ``mlflow.pyfunc.load_model(…).predict(images)``.

MLflow imports this module by its name and hands it the folder: nothing of it was pickled.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfltune.errors import UserError
from pfltune.models.kept import ModelFolder
from pfltune.models.loaded import LoadedModel, loaded_client

if TYPE_CHECKING:
    import pandas as pd

HELD = 16
"""Models of clients that are in memory at once."""


class Predictor:
    """Answers with the model of one client at a time.

    Args:
        folder: the kept model.
    """

    def __init__(self, folder: ModelFolder) -> None:
        self._client = lru_cache(HELD)(lambda client: loaded_client(folder, client))
        self._first = folder.manifest.clients[0].client

    def predict(self, images: Any, params: Mapping[str, Any] | None = None) -> "pd.DataFrame":
        """The class of each image and what it is called, with the probability of every class.

        Args:
            images: see :func:`pfltune.models.pictures.as_images`.
            params: ``client``, whose model is asked; by default the first one's.

        Raises:
            UserError: there is no such client, or these are no images.
        """
        import pandas as pd

        model: LoadedModel = self._client(int((params or {}).get("client", self._first)))
        found = model.predict(images)
        told = dict(zip(model.class_names, found.probabilities.T, strict=True))
        return pd.DataFrame({"label": found.labels, "class": found.names, **_apart(told)})


def _apart(probabilities: Mapping[str, Any]) -> dict[str, Any]:
    """With names that no other column has, whatever classes are called."""
    return {f"p({name})": column for name, column in probabilities.items()}


def _load_pyfunc(data_path: str) -> Predictor:
    """Told by MLflow.

    Raises:
        UserError: the folder holds no model.
    """
    found = ModelFolder.read(Path(data_path))
    if found is None:
        raise UserError(f"{data_path} holds no model that pfltune kept")
    return Predictor(found)
