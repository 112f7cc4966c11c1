"""Scenarios: what methods are compared on, as a YAML file, checked when it is read."""

import copy
import inspect
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from pfltune.backbones import AnyBackbone
from pfltune.data.catalog import load_dataset
from pfltune.data.dataset import Dataset
from pfltune.data.dealing import Dealing, Split
from pfltune.data.images import Images, Preprocessing
from pfltune.data.partitions import AnyPartition
from pfltune.data.settings import AnyData
from pfltune.data.split import ClientSplit
from pfltune.errors import UserError, unknown
from pfltune.federation.federation import Federation, Rounds
from pfltune.federation.footprint import server_mb
from pfltune.federation.searched_settings import ruled
from pfltune.federation.setup import set_up
from pfltune.goal import ACCURACY, Goal, goal_of
from pfltune.isolation import contained, in_a_line, on_threads
from pfltune.knobs import Value
from pfltune.method import Method, Tensors
from pfltune.metrics import SEAM as METRICS
from pfltune.metrics import AnyMetric, Metric, measures, try_metrics
from pfltune.plugins import Plugin, running, short_name
from pfltune.randomness import numpy_rng
from pfltune.settings import Settings, plain_yaml, read_yaml, validated
from pfltune.text import count
from pfltune.warm_start import WarmStart, warm_start


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

    @model_validator(mode="after")
    def _metric_that_there_is(self) -> "Scenario":
        wanted, named = self.protocol.metric, [short_name(each.name) for each in self.metrics]
        known = [ACCURACY.name, *dict.fromkeys([*METRICS.names(), *named])]
        if wanted not in known:
            raise ValueError(f"protocol.metric: {unknown('metric', wanted, known)}")
        return self

    @cached_property
    def measured(self) -> tuple[Metric, ...]:
        """What is computed beside accuracy: the metrics that it names, and the one it goes by."""
        wanted = self.protocol.metric
        if wanted in (ACCURACY.name, *(short_name(each.name) for each in self.metrics)):
            return self.metrics
        try:
            own: Metric = TypeAdapter(AnyMetric).validate_python(wanted)
        except ValidationError as error:  # a stranger's that lacks a setting
            raise UserError(f"metric {wanted!r}: {error.errors()[0]['msg']}") from error
        return (*self.metrics, own)

    @property
    def goal(self) -> Goal:
        """What rounds are chosen and searches go by."""
        return goal_of(self.protocol.metric, measures(self.measured))

    def sections(self) -> tuple[Plugin, ...]:
        """What a name stands for: data, partition, backbone, sampler and metrics."""
        one_each = (self.data, self.partition, self.backbone, self.protocol.sampler)
        return (*one_each, *self.measured)

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
        return self.partition.clients or len(self._dealing(self.dataset()).dealt.samples)

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
        return (*self.dataset().notes, *self._dealing(self.dataset()).notes())

    @cached_property
    def _dataset(self) -> Dataset:
        return load_dataset(self.data, self.backbone.image_size)

    def clients(self, dataset: Dataset) -> tuple[ClientSplit, ...]:
        """The clients of this scenario on its data set, without any training.

        Raises:
            UserError: the data set does not suffice for the partition or the split.
        """
        clients = self._dealing(dataset).clients()
        if wrong := self._wrong_sampling(len(clients)):
            raise UserError(f"scenario {self.name!r}: {wrong}")
        return clients

    def _dealing(self, dataset: Dataset) -> Dealing:
        share = self._recipe.share if self._recipe else 0.0
        return Dealing(dataset, self.partition, self.split, share, self.data_seed)

    def _seen(self, clients: int) -> int:
        """How many of so many clients train in the rounds."""
        return clients - round(self.unseen_clients * clients)

    def _wrong_sampling(self, clients: int) -> str:
        """What is wrong with the number of sampled clients; empty if nothing is."""
        sampled, seen = self.protocol.sampled_clients, self._seen(clients)
        if sampled <= seen:
            return ""
        given = self.partition.clients is None
        told = count(clients, "client") if given else f"partition.clients={clients}"
        return (
            f"protocol.sampled_clients={sampled} is more than the {seen} that train of "
            f"{told}; possible: 1 to {seen}"
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
        try_metrics(self.measured, dataset.classes, self.protocol.metric)
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
            self.measured,
        )

    def _unseen(self, clients: int) -> frozenset[int]:
        order = numpy_rng(self.data_seed, "unseen").permutation(clients)
        return frozenset(order[: clients - self._seen(clients)].tolist())

    def _weights(self, dataset: Dataset) -> Tensors | None:
        if self._recipe is None:
            channels = self.preprocessing.channels(dataset.channels)
            return self.backbone.stored_weights(dataset.classes, channels)
        size = self.backbone.image_size
        images = Images(dataset.images, dataset.labels, size, self.preprocessing)
        indices = torch.from_numpy(self._dealing(dataset).aside).long()
        with running(self.backbone):
            return warm_start(
                self.backbone, self._recipe, images, indices, dataset.classes, self.data_seed
            )


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
