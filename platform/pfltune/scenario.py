"""Scenarios: the ground of a comparison as a YAML file, checked when it is read."""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import yaml
from pydantic import Field, model_validator

from pfltune.backbones import Backbone, WarmStart, warm_start
from pfltune.data.dataset import Dataset, load_dataset
from pfltune.data.images import Images
from pfltune.data.partition import PARTITIONS
from pfltune.data.split import split_client, stratified_order
from pfltune.errors import UserError, unknown
from pfltune.federation.ground import Federation, Protocol
from pfltune.federation.setup import set_up
from pfltune.method import Method, Tensors
from pfltune.randomness import numpy_rng
from pfltune.settings import Settings, read_yaml, validated


class Data(Settings):
    """Which data set."""

    name: str


class IID(Settings):
    """Equal shares of a shuffled data set."""

    kind: Literal["iid"]
    clients: int = Field(ge=1)


class Dirichlet(Settings):
    """Labels skewed by Dirichlet proportions."""

    kind: Literal["dirichlet"]
    clients: int = Field(ge=1)
    alpha: float = Field(gt=0, description="smaller is more skewed")
    min_samples: int = Field(10, ge=3, description="fewest samples of a client")


class Split(Settings):
    """Shares of each client's samples; the rest trains."""

    val: float = Field(gt=0, lt=1)
    test: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _leaves_training_data(self) -> "Split":
        if self.val + self.test >= 1:
            raise ValueError(f"val={self.val} and test={self.test} leave nothing to train on")
        return self


class Scenario(Settings):
    """Data, split, backbone and rounds: what methods are compared on."""

    name: str
    title: str
    about: str = ""
    data: Data
    partition: Annotated[IID | Dirichlet, Field(discriminator="kind")]
    split: Split
    backbone: Backbone
    warm_start: WarmStart | None = None
    protocol: Protocol
    data_seed: int = Field(0, ge=0, description="seed of the partition, the splits and warm start")

    @model_validator(mode="after")
    def _enough_clients(self) -> "Scenario":
        sampled, clients = self.protocol.sampled_clients, self.partition.clients
        if sampled > clients:
            raise ValueError(
                f"protocol.sampled_clients={sampled} is more than partition.clients={clients}; "
                f"possible: 1 to {clients}"
            )
        return self

    def build(self) -> Federation:
        """Load the data, deal it to clients, and warm-start the backbone if that is asked for.

        The same scenario gives the same federation; only the warm start depends on the machine and
        on torch's number of threads, in the last bits.
        """
        dataset = load_dataset(self.data.name)
        labels = dataset.labels.numpy()
        reserved, dealt = self._reserve(labels)
        settings = self.partition.model_dump(exclude={"kind", "clients"})
        parts = PARTITIONS[self.partition.kind](
            labels[dealt], self.partition.clients, self._rng("partition"), **settings
        )
        clients = tuple(
            split_client(
                dealt[part],
                labels[dealt[part]],
                self.split.val,
                self.split.test,
                self._rng("split", number),
            )
            for number, part in enumerate(parts)
        )
        weights = self._warm_start(dataset, reserved)
        return Federation(dataset, clients, self.backbone, weights, self.protocol)

    def check(self, methods: Iterable[Method]) -> None:
        """Put each method on the bare backbone, so that a misfit shows before any training.

        Raises:
            UserError: a method does not fit the backbone.
        """
        dataset = load_dataset(self.data.name)
        for method in methods:
            model = self.backbone.build(dataset.classes, dataset.channels, self.data_seed)
            set_up(method, model, clients=1, seed=0, device=torch.device("cpu"))

    def _reserve(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sample indices for the warm start, and those for the clients."""
        share = self.warm_start.share if self.warm_start else 0.0
        order = stratified_order(labels, self._rng("reserve"))
        count = round(share * len(labels))
        return np.sort(order[:count]), np.sort(order[count:])

    def _warm_start(self, dataset: Dataset, reserved: np.ndarray) -> Tensors | None:
        if self.warm_start is None:
            return None
        images = Images(dataset.images, dataset.labels, self.backbone.image_size)
        indices = torch.from_numpy(reserved).long()
        return warm_start(
            self.backbone, self.warm_start, images, indices, dataset.classes, self.data_seed
        )

    def _rng(self, purpose: str, *indices: int) -> np.random.Generator:
        return numpy_rng(self.data_seed, purpose, *indices)


@cache
def scenario_files() -> dict[str, Path]:
    """The built-in scenarios by name."""
    folder = files("pfltune.scenarios")
    return {
        Path(entry.name).stem: Path(str(entry))
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    }


def load_scenario(name_or_path: str, overrides: Sequence[str] = ()) -> Scenario:
    """A scenario by name or from a YAML file, with dotted overrides applied before the checks.

    Args:
        name_or_path: a built-in name, or a path that ends in .yaml or .yml.
        overrides: texts such as ``protocol.rounds=20``.

    Raises:
        UserError: unknown name, unreadable file, unknown key or a value that is not possible.
    """
    if name_or_path.endswith((".yaml", ".yml")):
        path = Path(name_or_path)
    elif name_or_path in scenario_files():
        path = scenario_files()[name_or_path]
    else:
        raise unknown("scenario", name_or_path, scenario_files())
    raw = read_yaml(path)
    for override in overrides:
        _apply(raw, override)
    return validated(Scenario, {"name": path.stem, **raw}, f"scenario {path.stem!r}")


def _apply(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"override {override!r} must look like protocol.rounds=20")
    *parents, leaf = key.split(".")
    level = raw
    for parent in parents:
        level = level.setdefault(parent, {})
        if not isinstance(level, dict):
            raise UserError(f"override {override!r}: {parent!r} has no settings below it")
    try:
        level[leaf] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"override {override!r}: the value is not valid YAML") from error
