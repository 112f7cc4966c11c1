"""How kept models do: on their clients' own samples, on data of one's own, as new clients."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from pfltune.data.dataset import Dataset
from pfltune.data.names import some_of
from pfltune.data.split import ClientSplit, split_client
from pfltune.errors import UserError
from pfltune.federation.compute import Compute
from pfltune.federation.evaluation import Evaluation
from pfltune.federation.federation import Federation
from pfltune.federation.fingerprint import fingerprint
from pfltune.federation.trial import FederatedTrial
from pfltune.isolation import in_a_line
from pfltune.models.assembled import method_of
from pfltune.models.code import see_code
from pfltune.models.examined import Examined, Row, rows_of, with_all_metrics
from pfltune.models.kept import ModelFolder, clients_data
from pfltune.models.other_data import (
    Whose,
    by_owner,
    called_alike,
    everything,
    known_to,
    not_tested,
    read_for,
)
from pfltune.randomness import numpy_rng
from pfltune.scenario import Scenario, overridden
from pfltune.text import count
from pfltune.trials.training import configured_as

NEW = "new"
"""What a client is called of whom the data do not say a name."""


def on_own_data(
    folder: ModelFolder, overrides: Sequence[str] = (), accept_new_code: bool = False
) -> Examined:
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
    others = [part for part, known in manifest.data.items() if ready.digests.get(part) != known]
    if others:
        raise UserError(
            f"the {' and '.join(others)} of {manifest.name} are others by now; other data are "
            "tested with --data"
        )
    trial = ready.trial(federation)
    clients = [each.client for each in manifest.clients]
    if not set(clients) <= set(trial.federation.seen):
        raise UserError(f"the data of {manifest.name} have other clients by now")
    found = trial.tested(clients, folder.tensors, manifest.bundle.round)
    rows = [
        replace(
            row, recorded=known.test, recorded_goal=known.figures.get(federation.protocol.metric)
        )
        for row, known in zip(
            rows_of(found, lambda client: ready.names[client]), manifest.clients, strict=True
        )
    ]
    return Examined.of(rows, federation, [found])


def on_data(
    folder: ModelFolder,
    data: str,
    client: int | None = None,
    by_client: bool = False,
    accept_new_code: bool = False,
) -> Examined:
    """A client's model on other data, each client's on its own, or new clients'.

    A new client trains its personal part on a share of its samples, as unseen clients of the
    scenario do, and is tested on the rest. Where the data have a given split, it is kept, and a
    model that has been trained is tested on what is given for tests.

    Args:
        folder: the kept model.
        data: what ``data.name`` of a scenario can be, or a path alone.
        client: whose model is tested on all of them.
        by_client: the data's clients, or else domains, are those of the trial where their names are
            known to it, and new ones where not; otherwise all of them are new.
        accept_new_code: also where code of a file has changed.

    Raises:
        UserError: they cannot be read, have classes that the model does not know, or a new client
            cannot be made of them.
    """
    ready = _Ready.of(folder, (), accept_new_code)
    dataset = read_for(folder, data)
    found = by_owner(dataset)
    known: dict[int, Whose] = {}
    new: list[Whose] = []
    own = {number: ready.names[number] for number in ready.kept}
    if client is not None:
        number = folder.manifest.figures(client).client
        known = {number: everything(dataset, ready.names[number])}
    elif not by_client:
        new = found or [everything(dataset, NEW)]
    elif not found:
        raise UserError(
            f"{dataset.name} has no clients: lay it out as client/class/image (clients:PATH), or "
            "say whose each image is in an array clients of an .npz or a column of a table"
        )
    else:
        numbers = known_to(folder, own, found)
        known = {numbers[each.name]: each for each in found if each.name in numbers}
        new = [each for each in found if each.name not in numbers]
    tested = _tested(ready, dataset, known, new)
    alike = () if known else called_alike(own, found)
    return tested.told(*_not_taken_for(alike))


def _not_taken_for(names: Collection[str]) -> Iterator[str]:
    if names:
        yield (
            f"{some_of([*names])}: taken for new, though the trial has "
            f"{'clients' if len(names) > 1 else 'a client'} called so; --by-client tests the "
            "trial's clients with their own models"
        )


@dataclass(frozen=True)
class _Ready:
    """A kept model whose code has been compared, with the federation that it was trained in."""

    folder: ModelFolder
    scenario: Scenario
    federation: Federation

    @classmethod
    def of(cls, folder: ModelFolder, overrides: Sequence[str], accept_new_code: bool) -> "_Ready":
        see_code(folder.manifest, accept_new_code, whole_scenario=True)
        scenario = overridden(folder.manifest.scenario, overrides)
        federation = scenario.build(folder.manifest.computing.threads)
        return cls(folder, scenario, with_all_metrics(federation))

    @property
    def names(self) -> dict[int, str]:
        """What every client is called, by its number."""
        return {n: client.name or str(n) for n, client in enumerate(self.federation.clients)}

    @property
    def digests(self) -> dict[str, str]:
        """Of what its clients have, as :attr:`KeptModel.data`."""
        return clients_data(fingerprint(self.federation))

    @property
    def kept(self) -> list[int]:
        """The numbers of the clients whose models are kept.

        Raises:
            UserError: one of them is none of the data's any more.
        """
        kept = [each.client for each in self.folder.manifest.clients]
        if not set(kept) <= set(self.names):
            raise UserError(f"the data of {self.folder.manifest.name} have other clients by now")
        return kept

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


def _tested(
    ready: _Ready, dataset: Dataset, known: Mapping[int, Whose], new: Sequence[Whose]
) -> Examined:
    """Known clients with their own models, new ones after they have trained their personal part."""
    held = {number: whose for number, whose in known.items() if len(whose.to_test)}
    joining = [each for each in new if each.can_be_split]
    if not held and not joining:
        raise UserError(
            f"{dataset.name} has nothing to test: "
            + (
                "all is given for other parts than tests"
                if known
                else "a new client needs a sample each to train, to validate and to test, of those "
                "that are given for these"
            )
        )
    rows: list[Row] = []
    evaluations: list[Evaluation] = []
    if held:
        evaluations.append(_of_known(ready, dataset, held))
        called = {number: whose.name for number, whose in held.items()}
        rows += rows_of(evaluations[-1], called.__getitem__, has_val=False)
    if joining:
        evaluations.append(_of_new(ready, dataset, joining))
        first = len(ready.federation.clients)
        rows += rows_of(evaluations[-1], lambda number: joining[number - first].name, new=True)
    notes = [*dataset.notes, *not_tested(dataset, list(held.values()))]
    left_out = {
        "without samples given for tests": [known[n].name for n in known if n not in held],
        "with too few samples": [each.name for each in new if each not in joining],
    }
    for why, names in left_out.items():
        if names:
            clients = f"{count(len(names), 'client')} of {len(known) + len(new):,}"
            notes.append(f"{clients} {why}, left out: {some_of(names)}")
    return Examined.of(rows, ready.federation, evaluations, notes)


def _of_known(ready: _Ready, dataset: Dataset, held: Mapping[int, Whose]) -> Evaluation:
    """Clients of the trial on samples of other data."""
    nothing = torch.zeros(0, dtype=torch.int64)
    clients = list(ready.federation.clients)
    for number, whose in held.items():
        samples = torch.from_numpy(whose.to_test)
        # Every part that is measured has a sample; nobody looks at what it says of this one.
        clients[number] = ClientSplit(train=nothing, val=samples[:1], test=samples)
    trial = ready.trial(replace(ready.federation, dataset=dataset, clients=tuple(clients)))
    manifest = ready.folder.manifest
    return trial.tested(list(held), ready.folder.tensors, manifest.bundle.round)


def _of_new(ready: _Ready, dataset: Dataset, joining: Sequence[Whose]) -> Evaluation:
    """Clients that the trial has never met, each personalised on its own samples first."""
    labels, split = dataset.labels.numpy(), ready.scenario.split
    clients = ready.federation.clients
    new = [
        split_client(
            whose.samples,
            labels[whose.samples],
            split.val,
            split.test,
            numpy_rng(ready.scenario.data_seed, "split", number),
            whose.given,
            whose.name,
        )
        for number, whose in enumerate(joining, len(clients))
    ]
    federation = replace(
        ready.federation,
        dataset=dataset,
        clients=(*clients, *new),
        unseen=frozenset(range(len(clients), len(clients) + len(new))),
    )
    manifest = ready.folder.manifest
    method = type(method_of(manifest)).__name__
    with in_a_line(f"a client that {method} has never met cannot join it"):
        trial = ready.trial(federation)
        return trial.met(ready.folder.server(), manifest.bundle.round)
