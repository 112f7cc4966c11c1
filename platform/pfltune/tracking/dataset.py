"""The data of a comparison as MLflow shows them: a data set, its source, and who holds how much."""

import json
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Dataset, DatasetInput

from pfltune.data.census import Census


def dataset_input(
    name: str, digest: str, recipe: Mapping[str, Any], census: Census
) -> DatasetInput:
    """What runs name as their input.

    Args:
        name: of the data set.
        digest: of the clients' samples; the same digest is the same split.
        recipe: the settings that data and split follow from, as plain data.
        census: of the clients.
    """
    held = dict(zip(census.parts, census.sizes.sum(0).tolist(), strict=True))
    profile = {"clients": len(census.sizes), "classes": len(census.class_names), "samples": held}
    return DatasetInput(
        Dataset(name, digest, "pfltune scenario", json.dumps(recipe), profile=json.dumps(profile))
    )
