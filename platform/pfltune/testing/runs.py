"""Trials of a subject, and what they leave behind."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import torch

from pfltune.federation.checkpoint import Checkpoints
from pfltune.federation.compute import Compute
from pfltune.federation.federation import Federation
from pfltune.federation.trial import FederatedTrial
from pfltune.figures import repeats
from pfltune.method import Method, Tensors, Wrap
from pfltune.testing.federations import small_federation
from pfltune.testing.subject import Subject

Figures = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Tap(Wrap):
    """Notes what is on the wire after all other wraps.

    Attributes:
        wires: where.
    """

    wires: list[Tensors] = field(default_factory=list, compare=False)

    def send(
        self, payload: Tensors, reference: Tensors, state: Tensors, rng: torch.Generator
    ) -> tuple[Tensors, Tensors]:
        """The payload as it is."""
        self.wires.append(payload)
        return payload, {}

    def receive(self, wire: Tensors, reference: Tensors) -> Tensors:
        """The wire as it is."""
        return wire


class Sent(NamedTuple):
    """What one client received and returned in one round."""

    down: Tensors
    upload: Tensors
    personal: Tensors


class Memory:
    """A storage (see :class:`pfltune.storage.Storage`) that is gone with the process."""

    def __init__(self, held: Mapping[str, bytes] | None = None) -> None:
        self._held = dict(held or {})

    def copy(self) -> "Memory":
        """Another with the same content."""
        return Memory(self._held)

    def write(self, name: str, data: bytes) -> None:
        """Keep ``data`` under ``name``."""
        self._held[name] = data

    def read(self, name: str) -> bytes:
        """What is under ``name``.

        Raises:
            FileNotFoundError: nothing is.
        """
        if name not in self._held:
            raise FileNotFoundError(name)
        return self._held[name]

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._held)

    def remove(self, name: str) -> None:
        """Forget what is under ``name``."""
        self._held.pop(name, None)

    def is_empty(self) -> bool:
        """Whether nothing is kept."""
        return not self._held

    def remove_if_empty(self) -> None:
        """Nothing: there is no folder."""


class Recording(NamedTuple):
    """A straight run: everything that another run of the same arguments must repeat.

    Attributes:
        metrics: the repeatable figures of each round.
        sent: of each round, one :class:`Sent` per client.
        wires: of each round, where the method is wrapped, what was on the wire: down and up of each
            client in turn, then down to each that was evaluated.
        states: server and clients after each round.
        checkpoints: the checkpoint after each round.
        moved: the tensors of the model, as graft() left it, that the run has written into.
    """

    metrics: list[Figures]
    sent: list[list[Sent]]
    wires: list[list[Tensors]]
    states: list[Tensors]
    checkpoints: list[Memory]
    moved: list[str]


def trial_of(
    subject: Subject, federation: Federation | None = None, cohort: int = 1
) -> FederatedTrial:
    """A new trial with seed 0, on the small federation if no other is given."""
    compute = Compute(cohort=cohort)
    return FederatedTrial(subject.make(), federation or small_federation(), 0, compute)


def resumed(subject: Subject, checkpoint: Memory) -> FederatedTrial:
    """A new trial that goes on after a checkpoint."""
    trial = trial_of(subject)
    Checkpoints(checkpoint.copy()).load(trial)
    return trial


@cache
def straight(subject: Subject) -> Recording:
    """The recording of a subject's straight run, made once."""
    method, sent = tapped(subject.make())
    method, wires = tapped_wires(method)
    trial = FederatedTrial(method, small_federation(), 0)
    recording = Recording([], [], [], [], [], [])
    model = trial._trainer.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for report in trial.run():
        checkpoint = Memory()
        Checkpoints(checkpoint).save(trial, [])
        recording.metrics.append(repeatable(report.metrics))
        recording.sent.append(sent.copy())
        recording.wires.append(wires.copy())
        recording.states.append(state_of(trial))
        recording.checkpoints.append(checkpoint)
        sent.clear()
        wires.clear()
    recording.moved.extend(differing(before, model.state_dict()))
    return recording


def run(trial: FederatedTrial, rounds: int | None = None) -> list[Figures]:
    """The repeatable figures of so many rounds, or of all that remain."""
    todo = trial.federation.protocol.rounds - trial.round if rounds is None else rounds
    return [repeatable(trial.step().metrics) for _ in range(todo)]


def tapped(method: Method) -> tuple[Method, list[Sent]]:
    """The same method, and the list in which it will note what goes into and out of training."""
    sent: list[Sent] = []

    hook: Any = type(method).train

    def train(self: Method, work: Any, down: Tensors, personal: Tensors) -> Any:
        update = hook(self, work, down, personal)
        sent.append(Sent(down, update.upload, update.personal))
        return update

    return with_hooks(method, train=train), sent


def tapped_wires(method: Method) -> tuple[Method, list[Tensors]]:
    """The same method, and the list in which it will note what is on the wire, if it is wrapped."""
    own, tap = method.wraps(), Tap()
    if not own:
        return method, tap.wires
    return with_hooks(method, wraps=lambda _: (*own, tap)), tap.wires


def with_hooks(method: Method, **hooks: Any) -> Method:
    """A copy of a method, of a class of the same name below its own that has these hooks."""
    same = copy.copy(method)
    namespace = {"__module__": type(method).__module__, **hooks}
    object.__setattr__(same, "__class__", type(type(method).__name__, (type(method),), namespace))
    return same


def state_of(trial: FederatedTrial) -> Tensors:
    """Copies of the server's and all clients' tensors, in one dictionary."""
    state = {f"server/{name}": tensor.clone() for name, tensor in trial.server.items()}
    for client in range(len(trial.personal)):
        whole = trial.personal.whole(client)
        state |= {f"client{client}/{name}": t.clone() for name, t in whole.items()}
    return state


def differing(a: Tensors, b: Tensors) -> list[str]:
    """The names of the tensors that are not the same to the last bit."""
    return sorted(
        name
        for name in a.keys() | b.keys()
        if name not in a
        or name not in b
        or a[name].dtype != b[name].dtype
        or not torch.equal(a[name], b[name])
    )


def repeatable(metrics: Figures) -> Figures:
    """The figures that a second run must repeat: all but seconds and memory."""
    return {name: v for name, v in metrics.items() if repeats(name)}


def other_figures(found: list[Figures], expected: list[Figures]) -> str:
    """The first round and the figures in it that are not as expected; empty if all are."""
    for number, (ours, theirs) in enumerate(zip(found, expected, strict=True), start=1):
        names = [n for n in sorted(ours.keys() | theirs.keys()) if ours.get(n) != theirs.get(n)]
        if names:
            return f"{some(names)} of round {number} of {len(expected)}"
    return ""


def some(names: Iterable[str]) -> str:
    """Names in a line; of many, the first."""
    first, *rest = [*names]
    return ", ".join([first, *rest[:2]]) + (f" and {len(rest) - 2} more" if len(rest) > 2 else "")
