"""How kept models do: on their clients' own samples, on data of one's own, as new clients."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pfltune.data.catalog import load_dataset
from pfltune.data.dataset import Dataset
from pfltune.data.settings import Data
from pfltune.data.split import ClientSplit, split_client
from pfltune.errors import UserError, unknown
from pfltune.federation.compute import Compute
from pfltune.federation.evaluation import Evaluation
from pfltune.federation.federation import Federation
from pfltune.federation.trial import FederatedTrial
from pfltune.isolation import in_a_line
from pfltune.models.assembled import method_of
from pfltune.models.code import see_code
from pfltune.models.kept import ModelFolder
from pfltune.randomness import numpy_rng
from pfltune.scenario import Scenario, overridden
from pfltune.trials.training import configured_as


@dataclass(frozen=True)
class Row:
    """How one client did.

    Attributes:
        client: its index or name.
        val, test: accuracy in [0, 1] on samples of each part; of data that are one part, ``test``.
        samples: how many ``test`` is of.
        recorded: what the comparison has for ``test``; None where it has nothing.
    """

    client: str
    val: float | None
    test: float
    samples: int
    recorded: float | None = None


def on_own_data(
    folder: ModelFolder, overrides: Sequence[str] = (), accept_new_code: bool = False
) -> list[Row]:
    """Each client's model on the client's own samples, which the comparison has tested it on.

    Args:
        folder: the kept model.
        overrides: of the scenario, where its data lie elsewhere by now.
        accept_new_code: also where code of a file has changed.

    Raises:
        UserError: the data are not here, or are others.
    """
    ready = _Ready.of(folder, overrides, accept_new_code)
    manifest, federation = folder.manifest, ready.federation
    if tuple(federation.dataset.class_names) != manifest.bundle.class_names:
        raise UserError(f"the data of {manifest.name} have other classes by now")
    trial = ready.trial(federation)
    clients = [each.client for each in manifest.clients]
    if not set(clients) <= set(trial.federation.seen):
        raise UserError(f"the data of {manifest.name} have other clients by now")
    found = trial.tested(clients, folder.tensors, manifest.bundle.round)
    return [
        replace(row, recorded=known.test)
        for row, known in zip(_rows(found, str), manifest.clients, strict=True)
    ]


def on_data(
    folder: ModelFolder,
    data: str,
    client: int | None = None,
    by_client: bool = False,
    accept_new_code: bool = False,
) -> list[Row]:
    """A client's model on other data, or new clients', each personalised on its data first.

    Without ``client`` and ``by_client``, the data are those of a new client, or of one for each
    domain: it trains its personal part on a share of them, as unseen clients of the scenario do,
    and is tested on the rest.

    Args:
        folder: the kept model.
        data: folder:PATH, domains:PATH or npz:PATH, or a path alone.
        client: whose model is tested on all of them.
        by_client: each domain has the number of a client, whose model is tested on it.
        accept_new_code: also where code of a file has changed.

    Raises:
        UserError: they cannot be read, have classes that the model does not know, or a new client
            cannot be made of them.
    """
    ready = _Ready.of(folder, (), accept_new_code)
    dataset = as_the_models(_read(folder, data), folder)
    if client is None and not by_client:
        return _as_new(ready, dataset)
    groups = _by_client(folder, dataset) if by_client else {_known(folder, client): _all(dataset)}
    nothing = torch.zeros(0, dtype=torch.int64)
    clients = list(ready.federation.clients)
    for number, samples in groups.items():
        clients[number] = ClientSplit(train=nothing, val=samples, test=None)
    trial = ready.trial(replace(ready.federation, dataset=dataset, clients=tuple(clients)))
    found = trial.tested(list(groups), folder.tensors, folder.manifest.bundle.round)
    return [
        Row(str(number), None, hits / samples, samples)
        for number, hits, samples in zip(
            found.clients, found.on_val.hits, found.on_val.samples, strict=True
        )
    ]


def as_the_models(dataset: Dataset, folder: ModelFolder) -> Dataset:
    """Data with the model's numbers of classes, which are known by their names.

    Raises:
        UserError: a class that the model does not know, or other colours.
    """
    bundle = folder.manifest.bundle
    numbers = {name: number for number, name in enumerate(bundle.class_names)}
    for name in dataset.class_names:
        if name not in numbers:
            raise unknown(f"class of {folder.manifest.trial}", name, numbers)
    if dataset.channels != bundle.image[0]:
        raise UserError(
            f"{dataset.name} has images of {dataset.channels} channels, the model's clients had "
            f"{bundle.image[0]}"
        )
    of = torch.tensor([numbers[name] for name in dataset.class_names])
    return replace(dataset, labels=of[dataset.labels], class_names=bundle.class_names)


@dataclass(frozen=True)
class _Ready:
    """A kept model whose code has been compared, with the federation that it was trained in."""

    folder: ModelFolder
    scenario: Scenario
    federation: Federation

    @classmethod
    def of(cls, folder: ModelFolder, overrides: Sequence[str], accept_new_code: bool) -> "_Ready":
        see_code(folder.manifest, accept_new_code)
        scenario = overridden(folder.manifest.scenario, overrides)
        return cls(folder, scenario, scenario.build(folder.manifest.computing.threads))

    def trial(self, federation: Federation) -> FederatedTrial:
        """A trial like the model's, before its first round, with the tensors that never move."""
        manifest = self.folder.manifest
        configured = configured_as(manifest.method, manifest.knobs, federation)
        computing = manifest.computing
        compute = Compute(
            device="cuda" if computing.device == "cuda" and torch.cuda.is_available() else "cpu",
            precision=computing.precision,
            deterministic=computing.deterministic,
            threads=computing.threads,
        )
        trial = FederatedTrial(*configured, manifest.seed, compute)
        state = trial.model_state()
        for name, tensor in self.folder.frozen().items():
            state[name].copy_(tensor)
        return trial


def _as_new(ready: _Ready, dataset: Dataset) -> list[Row]:
    groups = _domains(dataset)
    labels, split = dataset.labels.numpy(), ready.scenario.split
    known = ready.federation.clients
    new = []
    for number, (_, samples) in enumerate(groups):
        rng = numpy_rng(ready.scenario.data_seed, "split", len(known) + number)
        indices = samples.numpy()
        new.append(split_client(indices, labels[indices], split.val, split.test, rng))
    numbers = range(len(known), len(known) + len(new))
    federation = replace(
        ready.federation,
        dataset=dataset,
        clients=(*known, *new),
        unseen=frozenset(numbers),
    )
    manifest = ready.folder.manifest
    method = type(method_of(manifest)).__name__
    with in_a_line(f"a client that {method} has never met cannot join it"):
        trial = ready.trial(federation)
        found = trial.met(ready.folder.server(), manifest.bundle.round)
    names = {str(number): name for number, (name, _) in zip(numbers, groups, strict=True)}
    return _rows(found, lambda client: names[str(client)])


def _rows(found: Evaluation, named: Callable[[int], str]) -> list[Row]:
    assert found.on_test is not None
    return [
        Row(named(client), val, test, samples)
        for client, val, test, samples in zip(
            found.clients, found.val, found.test or (), found.on_test.samples, strict=True
        )
    ]


def _read(folder: ModelFolder, data: str) -> Dataset:
    """Data by the name of a scenario's section, or by a path alone."""
    kind, colon, _ = data.partition(":")
    if not (colon and kind in ("folder", "domains", "npz")):
        path = Path(data)
        if not path.exists():
            raise UserError(f"there is nothing at {data}; give a folder of class/image, or an .npz")
        data = f"npz:{data}" if path.suffix == ".npz" else f"folder:{data}"
    _, height, width = folder.manifest.bundle.image
    return load_dataset(Data(name=data), max(height, width))


def _known(folder: ModelFolder, client: int | None) -> int:
    assert client is not None
    return folder.manifest.figures(client).client


def _all(dataset: Dataset) -> Tensor:
    return torch.arange(len(dataset.labels))


def _domains(dataset: Dataset) -> list[tuple[str, Tensor]]:
    """The samples of each domain by its name; all of them as one where there are none."""
    if dataset.domains is None:
        return [("new", _all(dataset))]
    domains = dataset.domains.numpy()
    return [
        (name, torch.from_numpy(np.flatnonzero(domains == number)))
        for number, name in enumerate(dataset.domain_names)
    ]


def _by_client(folder: ModelFolder, dataset: Dataset) -> Mapping[int, Tensor]:
    """The samples of each client, whose number is the name of a domain."""
    known = {str(each.client): each.client for each in folder.manifest.clients}
    found = _domains(dataset)
    if dataset.domains is None:
        raise UserError(
            f"{dataset.name} has no clients: lay it out as client/class/image, domains:"
        )
    for name, _ in found:
        if name not in known:
            raise unknown(f"client of {folder.manifest.trial}", name, known)
    return {known[name]: samples for name, samples in found}
