"""A trial's state after a round, kept to the last bit: safetensors and JSON, no pickle."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from pfltune.federation.evaluation import Counts, Evaluation, Measured, Selection
from pfltune.federation.meter import Totals
from pfltune.federation.pooling import Pooled
from pfltune.federation.selected import Selected
from pfltune.federation.states import PersonalStates
from pfltune.federation.trial import FederatedTrial
from pfltune.federation.trial_budget import Spending
from pfltune.method import Tensors
from pfltune.seal import digest, sealed, unsealed
from pfltune.storage import Storage

log = logging.getLogger(__name__)

History = list[dict[str, Any]]
OURS = re.compile(r"round-\d{8}\.json|(server|selected|before|(client|model)-\d+)-\d+\.safetensors")
"""The names of a checkpoint's files; nothing else is ever removed."""
DAMAGE = (FileNotFoundError, LookupError, TypeError, ValueError, AttributeError, SafetensorError)


class Checkpoints:
    """The checkpoints of one trial, in a storage of its own.

    A checkpoint is a manifest and the files that it names: the server's state, where need be that
    of the selected round, and one file for each client that training has changed. Its state is
    determined by the client and the round in which it last trained. Both are in the name of its
    file, so it is written once, and a checkpoint costs what has changed since the last. Where a
    trial keeps its selected round, clients' files of that round are among them. The
    manifest is written last, so that an interrupted save leaves the checkpoint before it; the two
    newest are kept, for the case that one is damaged.

    Args:
        storage: where they are; what else may lie there is left alone.

    Attributes:
        round: that of the newest checkpoint saved or loaded; 0 if there is none.
    """

    def __init__(self, storage: Storage) -> None:
        self.round = 0
        self._storage = storage
        self._newest: dict[str, str] = {}

    def save(self, trial: FederatedTrial, history: History) -> None:
        """Write what a trial of the same arguments needs to go on after this round.

        Args:
            trial: the trial, between two rounds; nothing is written twice for one round.
            history: anything in JSON that is to come back beside it.

        Raises:
            OSError: the storage cannot be written; the checkpoint before this one is still there.
        """
        manifest = _manifest(trial.round)
        if manifest in self._newest:
            return
        files = {_server(trial.round): self._written(_server(trial.round), trial.server)}
        kept = trial.selected
        for name, state in _states(trial.personal, trial.trained):
            files[name] = self._newest.get(name) or self._written(name, state())
        for name, state in _states_of_selected(trial):
            if name not in files:
                files[name] = self._newest.get(name) or self._written(name, state())
        content = {
            "round": trial.round,
            "totals": asdict(trial.totals),
            "selection": _plain(trial.selection),
            "spending": asdict(trial.spending),
            "history": history,
            "files": files,
            "clients": trial.trained,
            **({} if kept is None else {"selected clients": kept.trained}),
        }
        self._storage.write(manifest, sealed(content))
        previous, self._newest = self._newest, {manifest: "", **files}
        self.round = trial.round
        for name in self._names():
            if name not in previous and name not in self._newest:
                self._storage.remove(name)

    def remove(self) -> None:
        """Remove all checkpoints, and their place if nothing else is in it.

        Raises:
            OSError: the storage cannot be written.
        """
        for name in reversed(self._names()):  # manifests before what they name
            self._storage.remove(name)
        self._storage.remove_if_empty()

    def load(self, trial: FederatedTrial) -> History:
        """Put a freshly made trial of the same arguments into the newest state that is intact.

        Returns:
            The history that was saved with it. ``[]``, and the trial as it was, if there is none.

        Raises:
            OSError: the storage cannot be read, which says nothing about what is in it.
        """
        found = (name for name in self._names() if name.startswith("round-"))
        for name in sorted(found, reverse=True):
            try:
                return self._restore(trial, name)
            except DAMAGE as error:
                log.warning("the checkpoint %s cannot be used: %r", name, error)
        return []

    def _names(self) -> list[str]:
        order = {"client": 0, "model": 0, "before": 1, "selected": 1, "server": 2, "round": 3}
        ours = filter(OURS.fullmatch, self._storage.names())
        return sorted(ours, key=lambda name: order[name.partition("-")[0]])

    def _restore(self, trial: FederatedTrial, manifest: str) -> History:
        content = unsealed(self._storage.read(manifest))
        reached, files = content["round"], content["files"]
        history = [dict(entry) for entry in content["history"]]
        totals, selection = Totals(**content["totals"]), _selection(content["selection"], trial)
        spending = Spending(**content.get("spending", {}))
        trained = {int(client): round_ for client, round_ in content["clients"].items()}
        server = self._tensors(_server(reached), files, trial)
        of_server = _selected(selection.round)
        selected = self._tensors(of_server, files, trial) if of_server in files else {}
        personal = self._personal(trained, files, trial)
        kept = self._kept(content, selection.round, trial, (trained, personal))
        # Everything is there and intact; only now the trial is changed.
        trial.round, trial.totals, trial.selection = reached, totals, selection
        trial.server, trial.personal, trial.trained = server, personal, trained
        trial.spending = spending
        trial.selected_server, trial.selected = selected, kept
        self.round, self._newest = reached, {manifest: "", **files}
        return history

    def _personal(
        self, trained: dict[int, int], files: dict[str, str], trial: FederatedTrial
    ) -> PersonalStates:
        """The states of all clients, of whom these had trained."""
        personal = trial.personal.as_at_first()
        for client, round_ in trained.items():
            if (name := _client(client, round_)) in files:
                personal[client] = self._tensors(name, files, trial)
        return personal

    def _kept(
        self,
        content: dict[str, Any],
        number: int,
        trial: FederatedTrial,
        now: tuple[Mapping[int, int], PersonalStates],
    ) -> Selected | None:
        """What is kept of the selected round; None where nobody asks, or nobody asked before.

        Clients who have not trained since have their state once, as it is now.
        """
        if not trial.keeps or "selected clients" not in content:
            return None
        files = content["files"]
        trained = {int(client): last for client, last in content["selected clients"].items()}
        since, newest = now
        earlier = {client: last for client, last in trained.items() if since[client] != last}
        personal = self._personal(earlier, files, trial)
        for client in trained.keys() - earlier.keys():
            if not newest.is_as_at_first(client):
                personal[client] = newest.whole(client)
        if _before(number) not in files:
            return Selected(number, personal, trained)
        before, models = self._tensors(_before(number), files, trial), trial.no_states()
        for client, last in trained.items():
            if last == number:
                models[client] = self._tensors(_model(client, number), files, trial)
        return Selected(number, personal, trained, before, models)

    def _written(self, name: str, state: Tensors) -> str:
        """Write a file; returns its digest."""
        # Copies, since two tensors may share memory, which safetensors cannot express.
        data = save({n: t.to("cpu", copy=True).contiguous() for n, t in state.items()})
        self._storage.write(name, data)
        return digest(data)

    def _tensors(self, name: str, files: dict[str, str], trial: FederatedTrial) -> Tensors:
        data = self._storage.read(name)
        if digest(data) != files[name]:
            raise ValueError(f"{name} is not what was written")
        # Copies into memory that torch has aligned: the last bits may depend on it.
        return {n: t.to(trial.device, copy=True) for n, t in load(data).items()}


def _manifest(number: int) -> str:
    return f"round-{number:08d}.json"


def _server(number: int) -> str:
    return f"server-{number}.safetensors"


def _client(client: int, number: int) -> str:
    return f"client-{client}-{number}.safetensors"


def _selected(number: int) -> str:
    return f"selected-{number}.safetensors"


def _before(number: int) -> str:
    return f"before-{number}.safetensors"


def _model(client: int, number: int) -> str:
    return f"model-{client}-{number}.safetensors"


Named = tuple[str, Callable[[], Tensors]]
"""The name of a file, and what makes its content."""


def _states(personal: PersonalStates, trained: Mapping[int, int]) -> Iterator[Named]:
    """The file of each client that training has changed."""
    for client, last in sorted(trained.items()):
        if not personal.is_as_at_first(client):
            yield _client(client, last), partial(personal.whole, client)


def _states_of_selected(trial: FederatedTrial) -> Iterator[Named]:
    """The files of the selected round, as far as it is kept."""
    number, kept = trial.selection.round, trial.selected
    if trial.selected_server:
        yield _selected(number), lambda: trial.selected_server
    if kept is None:
        return
    yield from _states(kept.personal, kept.trained)
    if kept.models is not None:
        before, models = kept.before, kept.models
        yield _before(number), lambda: before
        for client in kept.sampled:
            yield _model(client, number), partial(models.__getitem__, client)


def _plain(selection: Selection) -> dict[str, Any]:
    """As JSON takes it; what it goes by is the trial's."""
    evaluation = selection.evaluation
    found = asdict(replace(evaluation, answers=(), pooled=None))
    del found["answers"], found["pooled"]
    pooled = {} if evaluation.pooled is None else {"pooled": evaluation.pooled.plain()}
    return {"round": selection.round, "evaluation": {**found, **pooled}}


def _selection(content: dict[str, Any], trial: FederatedTrial) -> Selection:
    found = content["evaluation"]
    test = None if found["on_test"] is None else _counts(found["on_test"])
    extras = tuple(map(_measured, found["extras"]))
    parts = (_counts(found["on_val"]), test, extras)
    pooled = Pooled.from_plain(found.get("pooled"))
    evaluation = Evaluation(tuple(found["clients"]), *parts, pooled=pooled)
    return Selection(content["round"], evaluation, trial.federation.goal)


def _counts(content: dict[str, Any]) -> Counts:
    return Counts(tuple(content["hits"]), tuple(content["samples"]))


def _measured(content: dict[str, Any]) -> Measured:
    test = None if content["test"] is None else tuple(content["test"])
    return Measured(content["name"], content["better"], tuple(content["val"]), test)
