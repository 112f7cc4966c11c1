"""Data that a kept model was not trained on: read, and whose the samples are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from pfltune.data.catalog import load_dataset
from pfltune.data.columns import NOT_GIVEN, TEST
from pfltune.data.dataset import Dataset
from pfltune.data.settings import Data
from pfltune.data.split import suffices
from pfltune.errors import UserError, unknown
from pfltune.looking import named_data
from pfltune.models.kept import ModelFolder


@dataclass(frozen=True)
class Whose:
    """Samples of one client.

    Attributes:
        name: what the data call it.
        samples: int64 indices into the data set, sorted.
        given: uint8, the part that each is given for; None where nothing is given.
    """

    name: str
    samples: np.ndarray
    given: np.ndarray | None

    @property
    def to_test(self) -> np.ndarray:
        """What a model that has been trained is tested on: of a given split only the tests."""
        if self.given is None or (self.given == NOT_GIVEN).all():
            return self.samples
        return self.samples[self.given == TEST]

    @property
    def can_be_split(self) -> bool:
        """Whether it can train, choose and be tested."""
        parts = self.given
        return suffices(np.full(len(self.samples), NOT_GIVEN) if parts is None else parts)


def read_for(folder: ModelFolder, data: str) -> Dataset:
    """Data as a model's clients had them: at their size, with the numbers of its classes.

    Args:
        folder: the kept model.
        data: what ``data.name`` of a scenario can be, or a path alone. Columns and channels that
            the model's own data were read by hold for data of the same kind.

    Raises:
        UserError: they cannot be read, or do not fit the model.
    """
    manifest = folder.manifest
    name, own = named_data(data), manifest.scenario.data
    settings: dict[str, Any] = {}
    if isinstance(own, Data) and own.name.partition(":")[0] == name.partition(":")[0]:
        settings = {"columns": own.columns, "channels": own.channels}
    _, height, width = manifest.bundle.image
    return as_the_models(load_dataset(Data(name=name, **settings), max(height, width)), folder)


def as_the_models(dataset: Dataset, folder: ModelFolder) -> Dataset:
    """Data with the model's numbers of classes, which are known by their names.

    Raises:
        UserError: samples of a class that the model does not know, or other colours.
    """
    bundle = folder.manifest.bundle
    numbers = {name: number for number, name in enumerate(bundle.class_names)}
    for present in dataset.labels.unique().tolist():
        if dataset.class_names[present] not in numbers:
            raise unknown(
                f"class of {folder.manifest.trial}", dataset.class_names[present], numbers
            )
    if dataset.channels != bundle.image[0]:
        raise UserError(
            f"{dataset.name} has images of {dataset.channels} channels, the model's clients had "
            f"{bundle.image[0]}"
        )
    of = torch.tensor([numbers.get(name, -1) for name in dataset.class_names])
    return replace(dataset, labels=of[dataset.labels], class_names=bundle.class_names)


def everything(dataset: Dataset, name: str) -> Whose:
    """All samples as one client's."""
    return _whose(dataset, name, np.arange(len(dataset.labels)))


def by_owner(dataset: Dataset) -> list[Whose]:
    """The samples of each client, else of each domain, by its name; of nobody else none."""
    numbers, names = dataset.clients, dataset.client_names
    if numbers is None:
        numbers, names = dataset.domains, dataset.domain_names
    if numbers is None:
        return []
    owners = numbers.numpy()
    return [
        _whose(dataset, name, np.flatnonzero(owners == number)) for number, name in enumerate(names)
    ]


def called_alike(names: Mapping[int, str], found: list[Whose]) -> dict[str, int]:
    """The clients of a trial whose name or number some of the data have, see :func:`known_to`."""
    known = {name: number for number, name in names.items()}
    if not any(name.isdecimal() for name in known):
        known = {**{str(number): number for number in names}, **known}
    return {each.name: known[each.name] for each in found if each.name in known}


def known_to(folder: ModelFolder, names: Mapping[int, str], found: list[Whose]) -> dict[str, int]:
    """The clients of a trial that data are of, by what the data call them.

    A client is called by its name; by its number where it has none, or where no name is a number.

    Args:
        folder: the kept model.
        names: of the clients whose models are kept, by number.
        found: of the data.

    Raises:
        UserError: none of them is known, or two of them are one client.
    """
    met = called_alike(names, found)
    if not met:
        called = list(names.values())
        raise unknown(f"client of {folder.manifest.trial}", found[0].name, called)
    for name, number in met.items():
        twice = next((o for o, n in met.items() if n == number and o != name), None)
        if twice is not None:
            raise UserError(f"{name} and {twice} are one client of {folder.manifest.trial}")
    return met


def not_tested(dataset: Dataset, tested: list[Whose]) -> Iterator[str]:
    """What of a given split is not tested, and which samples are of nobody, a line each."""
    left = sum(len(each.samples) - len(each.to_test) for each in tested)
    if left:
        yield f"{left:,} of {len(dataset.labels):,} samples are given for other parts, not tested"
    if dataset.clients is not None and (loose := int((dataset.clients < 0).sum())):
        yield f"{loose:,} of {len(dataset.labels):,} samples are of no client, not tested"


def _whose(dataset: Dataset, name: str, samples: np.ndarray) -> Whose:
    splits = dataset.splits
    return Whose(name, samples, None if splits is None else splits.numpy()[samples])
