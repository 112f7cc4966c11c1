"""A data set on its own: by name, at a path, or of a scenario."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pfltune.data.catalog import available_datasets, load_dataset
from pfltune.data.dataset import Dataset
from pfltune.data.guess import name_of_path
from pfltune.data.home import own_path
from pfltune.data.settings import AnyData
from pfltune.errors import UserError
from pfltune.scenario import apply_override, load_scenario, scenario_files
from pfltune.settings import Settings, validated

SIZE = 64
"""Side in pixels at which image files are decoded where no backbone says it."""
LONGEST = 80


class Alone(Settings):
    """The section of a scenario that is about data."""

    data: AnyData


def dataset_of(name: str, overrides: Sequence[str] = ()) -> Dataset:
    """The data set that is called ``name``, lies at that path, or is a scenario's.

    Args:
        name: of a data set; a path; or a scenario's name or file.
        overrides: texts such as ``data.size=32``; of a scenario any.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    if name.endswith((".yaml", ".yml")) or name in scenario_files():
        return load_scenario(name, overrides).dataset()
    raw: dict[str, Any] = {"data": {"name": named_data(name)}}
    for override in overrides:
        apply_override(raw, override)
    odd = next((key for key in raw if key != "data"), None)
    if odd is not None:
        raise UserError(f"-o {odd}: only data.… can be changed of a data set without a scenario")
    return load_dataset(validated(Alone, raw, f"data set {name!r}").data, SIZE)


def short_name_of(dataset: Dataset) -> str:
    """What a folder for a data set can be called: ``npz-my-photos`` for ``npz:my/photos.npz``."""
    kind, _, rest = dataset.name.partition(":")
    path = Path(rest)
    words = [kind, path.parent.name.strip("."), path.stem] if rest else [kind]
    return (
        re.sub(r"[^A-Za-z0-9._]+", "-", "-".join(filter(None, words))).strip("-.")[:LONGEST]
        or "data"
    )


def named_data(text: str) -> str:
    """The name of a data set that is given by it or by a path.

    Raises:
        UserError: it could be several of them.
    """
    kind, colon, _ = text.partition(":")
    known = available_datasets()
    if text in known or (colon and f"{kind}:PATH" in known):
        return text
    path = own_path(text)
    return name_of_path(path) if path.exists() else text
