"""Scenarios: what methods are compared on, as a YAML file, checked when it is read."""

import copy
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field, model_validator

from pfltune.backbones import AnyBackbone
from pfltune.data.catalog import load_dataset
from pfltune.data.columns import TEST, VAL
from pfltune.data.dataset import Dataset
from pfltune.data.images import Images, Preprocessing
from pfltune.data.partitions import AnyPartition
from pfltune.data.partitions.base import Dealt
from pfltune.data.partitions.given import Given, Natural, told_of_split
from pfltune.data.settings import AnyData
from pfltune.data.split import ClientSplit, split_client, stratified_order
from pfltune.errors import UserError, unknown
from pfltune.federation.federation import Federation, Rounds
from pfltune.federation.footprint import server_mb
from pfltune.federation.searched_settings import ruled
from pfltune.federation.setup import set_up
from pfltune.isolation import contained, in_a_line, on_threads
from pfltune.knobs import Value
from pfltune.method import Method, Tensors
from pfltune.metrics import AnyMetric, try_metrics
from pfltune.plugins import Plugin, running
from pfltune.randomness import numpy_rng
from pfltune.settings import Settings, plain_yaml, read_yaml, validated
from pfltune.text import count
from pfltune.warm_start import WarmStart, warm_start


class Split(Settings):
    """Shares of each client's samples; the rest trains."""

    val: float = Field(gt=0, lt=1)
    test: float = Field(gt=0, lt=1)
    keep_given: bool | None = Field(
        None,
        description="whether samples stay in the part that the data or a file of clients gives "
        "them for; by default only with partition.kind=natural or file",
    )

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
    data: AnyData
    partition: AnyPartition
    split: Split
    unseen_clients: float = Field(
        0.0, ge=0, lt=1, description="share of the clients that never train with the others"
    )
    preprocessing: Preprocessing = Preprocessing()
    backbone: AnyBackbone
    warm_start: WarmStart | None = Field(None, description="recipe of weights: warm-start")
    protocol: Rounds
    metrics: tuple[AnyMetric, ...] = Field(
        (), description="what is told of each client beside accuracy: names or path.py:Class"
    )
    published: dict[str, str] = Field(
        default_factory=dict, description="test accuracy in % that the paper prints, by method"
    )
    data_seed: int = Field(0, ge=0, description="seed of the partition, the splits and warm start")

    @model_validator(mode="after")
    def _enough_clients(self) -> "Scenario":
        clients = self.partition.clients
        if clients is not None and (wrong := self._wrong_sampling(clients)):
            raise ValueError(wrong)
        return self

    @model_validator(mode="after")
    def _recipe_of_the_warm_start(self) -> "Scenario":
        if self.backbone.weights == "warm-start" and self.warm_start is None:
            raise ValueError("backbone.weights=warm-start needs a recipe in the section warm_start")
        return self

    def sections(self) -> tuple[Plugin, ...]:
        """What a name stands for: data, partition, backbone, sampler and metrics."""
        one_each = (self.data, self.partition, self.backbone, self.protocol.sampler)
        return (*one_each, *self.metrics)

    def strangers(self) -> tuple[Plugin, ...]:
        """Those of them that are none of pfltune's own."""
        return tuple(plugin for plugin in self.sections() if plugin.is_strangers)

    def by_content(self) -> dict[str, Any]:
        """All settings as plain data, the same wherever the files of strangers' code lie."""
        found = self.model_dump(mode="json")
        own = {name: getattr(self, name).by_content() for name in ("data", "partition", "backbone")}
        protocol = {**found["protocol"], "sampler": self.protocol.sampler.by_content()}
        metrics = [metric.by_content() for metric in self.metrics]
        return {**found, **own, "protocol": protocol, "metrics": metrics}

    def under(self, knobs: Mapping[str, Value]) -> "Scenario":
        """The scenario with the settings among a trial's knobs."""
        return self.model_copy(update={"protocol": ruled(self.protocol, knobs)})

    @property
    def all_clients(self) -> int:
        """How many clients there are; the data are read where only they say it."""
        return self.partition.clients or len(self._dealt(self.dataset()).samples)

    @property
    def seen_clients(self) -> int:
        """How many clients train in the rounds; the most that can be sampled for one."""
        return self._seen(self.all_clients)

    @property
    def _recipe(self) -> WarmStart | None:
        return self.warm_start if self.backbone.weights == "warm-start" else None

    def build(self, threads: int = 1) -> Federation:
        """Load the data, deal it to clients, and warm-start the backbone if that is asked for.

        The same scenario gives the same federation; only the warm start depends on the machine and
        on the number of threads, in the last bits.

        Args:
            threads: of torch in the warm start.
        """
        dataset = self.dataset()
        with on_threads(threads):
            weights = self._weights(dataset)
        return self._federation(dataset, weights)

    def without_clients(self) -> Federation:
        """The federation before anything is dealt or trained."""
        rest = (self.backbone, None, self.protocol, self.preprocessing)
        return Federation(self.dataset(), (), *rest)

    def dataset(self) -> Dataset:
        """The data set that is dealt; read once.

        Raises:
            UserError: it is unknown, missing or bad.
        """
        return self._dataset

    def notes(self) -> tuple[str, ...]:
        """What was done to the data, and what the partition does not look at, a line each."""
        dataset = self.dataset()
        return (
            *dataset.notes,
            *self._mixed(dataset),
            *self._set_aside(dataset),
            *self._told(dataset),
        )

    def _mixed(self, dataset: Dataset) -> Iterator[str]:
        """What of the data the partition does not look at."""
        if isinstance(self.partition, Given):
            return
        kind = f"partition.kind={self.partition.told}"
        if dataset.domains is not None and not self.partition.within_domains:
            yield (
                f"{kind} deals the {len(dataset.domain_names)} domains together; to keep each "
                "client within one: domains, domain-dirichlet"
            )
        if dataset.clients is not None:
            yield (
                f"{kind} deals the {len(dataset.client_names)} clients of the data anew; to keep "
                "them: natural"
            )

    def _set_aside(self, dataset: Dataset) -> Iterator[str]:
        """What the warm start has of clients and splits that are given."""
        aside, _ = self._reserve(dataset)
        kept = self._keeps_given and dataset.splits is not None
        if len(aside) and (kept or isinstance(self.partition, Natural)):
            whose = "none of them given for validation or tests" if kept else "of the clients' own"
            yield f"the warm start sets {count(len(aside), 'sample')} aside, {whose}"

    def _told(self, dataset: Dataset) -> Iterator[str]:
        """What becomes of clients and splits that are given."""
        dealt = self._dealt(dataset)
        yield from dealt.notes
        yield from told_of_split(dealt)
        if dataset.splits is not None and dealt.splits is None:
            yield (
                "the given split is not kept, each client's samples are divided by split; to keep "
                "it: split.keep_given=true"
            )

    @cached_property
    def _dataset(self) -> Dataset:
        return load_dataset(self.data, self.backbone.image_size)

    def clients(self, dataset: Dataset) -> tuple[ClientSplit, ...]:
        """The clients of this scenario on its data set, without any training.

        Raises:
            UserError: the data set does not suffice for the partition or the split.
        """
        labels, dealt = dataset.labels.numpy(), self._dealt(dataset)
        if wrong := self._wrong_sampling(len(dealt.samples)):
            raise UserError(f"scenario {self.name!r}: {wrong}")
        return tuple(
            split_client(
                samples,
                labels[samples],
                self.split.val,
                self.split.test,
                self._rng("split", number),
                None if dealt.splits is None else dealt.splits[samples],
                dealt.names[number] if dealt.names else "",
            )
            for number, samples in enumerate(dealt.samples)
        )

    def _dealt(self, dataset: Dataset) -> Dealt:
        _, free = self._reserve(dataset)
        return self.partition.dealt(dataset, free, self.data_seed, self._keeps_given)

    @property
    def _keeps_given(self) -> bool:
        keep = self.split.keep_given
        return self.partition.keeps_given if keep is None else keep

    def _seen(self, clients: int) -> int:
        """How many of so many clients train in the rounds."""
        return clients - round(self.unseen_clients * clients)

    def _wrong_sampling(self, clients: int) -> str:
        """What is wrong with the number of sampled clients; empty if nothing is."""
        sampled, seen = self.protocol.sampled_clients, self._seen(clients)
        if sampled <= seen:
            return ""
        return (
            f"protocol.sampled_clients={sampled} is more than the {seen} that train of "
            f"partition.clients={clients}; possible: 1 to {seen}"
        )

    def check(self, methods: Iterable[Method]) -> dict[str, float]:
        """Put each method on the bare backbone, so that a misfit shows before any training.

        Returns:
            MB of the server's first state by title of the method, the most of all its knobs.

        Raises:
            UserError: a method does not fit the backbone or its own code fails there; a backbone or
                a metric does not answer, or a sampler does not choose, as it must.
        """
        dataset = self.dataset()
        try_metrics(self.metrics, dataset.classes)
        channels = self.preprocessing.channels(dataset.channels)
        bare = self.backbone.try_out(dataset.classes, channels, self.data_seed)
        if self.protocol.sampler.is_strangers:
            self._try_sampler(dataset)
        servers: dict[str, float] = {}
        clients = self.all_clients
        for method in methods:
            cls = type(method)
            with contained(cls.__name__), in_a_line(cls.__name__, inspect.getfile(cls)):
                cpu = torch.device("cpu")
                setup = set_up(method, copy.deepcopy(bare), clients=1, seed=0, device=cpu)
                size = server_mb(setup.server_of, clients)
            title = cls.title or cls.__name__
            servers[title] = max(size, servers.get(title, 0.0))
        return servers

    def _try_sampler(self, dataset: Dataset) -> None:
        """Let a stranger's sampler choose once for every round."""
        federation = self._federation(dataset, None)
        for number in range(1, self.protocol.rounds + 1):
            federation.sampled_clients(number, self.data_seed)

    def _federation(self, dataset: Dataset, weights: Tensors | None) -> Federation:
        clients = self.clients(dataset)
        return Federation(
            dataset,
            clients,
            self.backbone,
            weights,
            self.protocol,
            self.preprocessing,
            self._unseen(len(clients)),
            self.metrics,
        )

    def _reserve(self, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
        """Sample indices for the warm start, and those for the clients.

        Raises:
            UserError: too few samples may be set aside.
        """
        labels, share = dataset.labels.numpy(), self._recipe.share if self._recipe else 0.0
        number = round(share * len(labels))
        if not number:
            return np.arange(0), np.arange(len(labels))
        order = stratified_order(labels, self._rng("reserve"))
        possible = order[self._may_set_aside(dataset)[order]]
        if len(possible) < number:
            raise UserError(
                f"warm_start.share={share} sets {number} of {len(labels)} samples aside, but "
                f"{len(possible)} are given neither for validation or tests nor by a file; "
                "lower it, or choose backbone.weights=random"
            )
        aside = np.sort(possible[:number])
        return aside, np.setdiff1d(np.arange(len(labels)), aside, assume_unique=True)

    def _may_set_aside(self, dataset: Dataset) -> np.ndarray:
        """Which samples a warm start may be given: bool (samples,)."""
        possible = self.partition.may_set_aside(dataset)
        if self._keeps_given and dataset.splits is not None:
            possible = possible & ~np.isin(dataset.splits.numpy(), (VAL, TEST))
        return possible

    def _unseen(self, clients: int) -> frozenset[int]:
        order = self._rng("unseen").permutation(clients)
        return frozenset(order[: clients - self._seen(clients)].tolist())

    def _weights(self, dataset: Dataset) -> Tensors | None:
        if self._recipe is None:
            channels = self.preprocessing.channels(dataset.channels)
            return self.backbone.stored_weights(dataset.classes, channels)
        size = self.backbone.image_size
        images = Images(dataset.images, dataset.labels, size, self.preprocessing)
        reserved, _ = self._reserve(dataset)
        indices = torch.from_numpy(reserved).long()
        with running(self.backbone):
            return warm_start(
                self.backbone, self._recipe, images, indices, dataset.classes, self.data_seed
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
    return _checked({"name": path.stem, **read_yaml(path)}, overrides)


def overridden(scenario: Scenario, overrides: Sequence[str]) -> Scenario:
    """A scenario with dotted overrides, as in :func:`load_scenario`."""
    return _checked(scenario.model_dump(), overrides)


def _checked(raw: dict[str, Any], overrides: Sequence[str]) -> Scenario:
    for override in overrides:
        apply_override(raw, override)
    return validated(Scenario, raw, f"scenario {raw['name']!r}")


def apply_override(raw: dict[str, Any], override: str) -> None:
    """Put a value such as ``protocol.rounds=20`` into the plain data of a scenario.

    Raises:
        UserError: it cannot be read.
    """
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"override {override!r} must look like protocol.rounds=20")
    *parents, leaf = key.split(".")
    level = raw
    for parent in parents:
        level = level.setdefault(parent, {})
        if not isinstance(level, dict):
            raise UserError(f"override {override!r}: {parent!r} has no settings below it")
    level[leaf] = plain_yaml(text, f"override {override!r}: the value")
