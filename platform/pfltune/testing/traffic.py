"""What travels is counted, and what is personal or frozen does not travel."""

import torch
from safetensors.torch import save
from torch import Tensor

from pfltune.federation.trial import FederatedTrial
from pfltune.figures import DOWN, EVALUATION, TOTAL, UP
from pfltune.isolation import restored
from pfltune.method import Tensors
from pfltune.testing.broken import Broken
from pfltune.testing.federations import small_federation
from pfltune.testing.runs import (
    Sent,
    differing,
    some,
    straight,
    tapped,
    tapped_wires,
    trial_of,
)
from pfltune.testing.subject import Subject


def counts_what_travels(subject: Subject) -> None:
    """The bytes counted are those of the tensors that travelled"""
    recording, total = straight(subject), 0
    for number, (metrics, sent, wires) in enumerate(
        zip(recording.metrics, recording.sent, recording.wires, strict=True), start=1
    ):
        down, up = (sum(map(serialised, way)) for way in _ways(sent, wires))
        total += down + up
        counted = tuple(round(metrics[figure.name] * 1e6) for figure in (DOWN, UP, TOTAL))
        clients = small_federation().protocol.sampled_clients
        if counted != (down, up, total) or len(sent) != clients:
            raise Broken(
                f"{clients} calls of train() in round {number} that are handed {counted[0]} bytes "
                f"and return {counted[1]}, as counted",
                f"{len(sent)} calls, {down} bytes and {up}",
                "let all that a client gets come out of download(), and all that it returns be in "
                "Update.upload",
                "download",
            )


def counts_what_evaluation_needs(subject: Subject) -> None:
    """An evaluation counts what all clients would download for it"""
    method, wires = tapped_wires(subject.make())
    trial = FederatedTrial(method, small_federation(), 0)
    metrics = trial.step().metrics
    clients = range(len(trial.federation.clients))
    with restored(subject.name):
        sent = [trial.method.download(trial.server, client) for client in clients]
    needed = sum(map(serialised, wires[-len(clients) :] if wires else sent))
    counted = round(metrics[EVALUATION.name] * 1e6)
    if counted != needed:
        raise Broken(
            f"{counted} bytes, as the evaluation has counted",
            f"downloads of {needed} bytes",
            "let download() depend on its arguments alone",
            "download",
        )


def uploads_nothing_personal(subject: Subject) -> None:
    """No personal tensor is ever uploaded"""
    personal, noise, sent = _first_round(subject, noisy=True)
    _, _, otherwise = _first_round(subject, noisy=False)
    for client, one, other in zip(noise, sent, otherwise, strict=True):
        leaks = sorted(personal & one.upload.keys())
        for name, tensor in one.upload.items():
            hidden = [
                p
                for p, value in one.personal.items()
                if discloses(tensor, value)
                and _follows(tensor, other.upload[name], noise[client].get(p))
            ]
            leaks += [f"{p} under the name {name}" for p in hidden]
        if leaks:
            raise Broken(
                "uploads without anything personal",
                f"the personal {some(leaks)}",
                "put only shared tensors into Update.upload, or do not name them in "
                "personal_part()",
                "train",
            )


def trains_what_it_sends(subject: Subject) -> None:
    """What travels down and up is trained on the way"""
    trained = trial_of(subject).roles.trainable
    sent = [s for of_round in straight(subject).sent for s in of_round]
    idle = [
        name
        for name in sorted(trained & sent[0].down.keys() & sent[0].upload.keys())
        if all(torch.equal(s.down[name], s.upload[name]) for s in sent)
    ]
    if idle:
        raise Broken(
            "shared tensors that training moves",
            f"{some(idle)} sent back as they came",
            "freeze them in graft(), so that they cost no bytes, or let phases() train them",
            "phases",
        )


def keeps_frozen_tensors_home(subject: Subject) -> None:
    """Frozen tensors are the backbone's own, and never travel"""
    trial = trial_of(subject)
    frozen = set(trial.roles.frozen)
    bare = trial.federation.build_backbone(seed=0).state_dict()
    grafted = trial._trainer.model.state_dict()
    kept = frozen & bare.keys()
    changed = differing({n: bare[n] for n in kept}, {n: grafted[n] for n in kept})
    if changed:
        raise Broken(
            "frozen weights as they were in the backbone",
            f"other values of {some(changed)}",
            "add modules of your own instead of writing into frozen ones",
            "graft",
        )
    for sent in (s for of_round in straight(subject).sent for s in of_round):
        if named := sorted(frozen & _all_names(sent)):
            raise Broken(
                "frozen tensors in no payload and in no client's state",
                some(named),
                "leave them out: every client has them from the first broadcast on",
                "download",
            )


def leaves_the_model_alone(subject: Subject) -> None:
    """The model that all clients share, and all that is frozen, never move"""
    if moved := straight(subject).moved:
        raise Broken(
            "a model that stays as graft() left it",
            f"that training wrote into {some(moved)}",
            "train only through work.fit(), which hands back new tensors, and keep no model",
            "train",
        )


def _ways(sent: list[Sent], wires: list[Tensors]) -> tuple[list[Tensors], list[Tensors]]:
    """What travelled down and up in a round."""
    if wires:
        trained = wires[: 2 * len(sent)]
        return trained[::2], trained[1::2]
    return [each.down for each in sent], [each.upload for each in sent]


def serialised(tensors: Tensors) -> int:
    """Bytes of a payload as a file; nothing to send is no file."""
    return len(save(tensors)) if tensors else 0


def discloses(tensor: Tensor, personal: Tensor) -> bool:
    """Whether both hold the same values, and these are not just a constant."""
    return torch.equal(tensor, personal) and len(personal.unique()) > 1


def _first_round(subject: Subject, noisy: bool) -> tuple[set[str], dict[int, Tensors], list[Sent]]:
    """The personal names of a trial, the noise in its clients' states, and what they sent.

    With noise every client that trains holds something of its own before, so that leaks show.
    """
    method, sent = tapped(subject.make())
    trial = FederatedTrial(method, small_federation(), 0)
    noise = {client: _noise(trial, client) for client in sorted(trial.sampled_clients(1))}
    for client, added in noise.items() if noisy else ():
        personal = trial.personal[client]
        trial.personal[client] = personal | {n: personal[n] + t for n, t in added.items()}
    trial.step()
    return set(trial.roles.personal), noise, sent


def _noise(trial: FederatedTrial, client: int) -> Tensors:
    rng = torch.Generator().manual_seed(client)
    floats = {n: t for n, t in trial.personal[client].items() if t.is_floating_point()}
    return {n: torch.rand(t.shape, generator=rng) for n, t in floats.items()}


def _follows(tensor: Tensor, otherwise: Tensor, noise: Tensor | None) -> bool:
    """Whether what is sent carries what the client had of its own before.

    It is another without that noise. If not, the client merely keeps a copy of what it sends.
    """
    if noise is None:
        return True
    return bool((tensor.float() - otherwise.float()).norm() > noise.norm() / 2)


def _all_names(sent: Sent) -> set[str]:
    return sent.down.keys() | sent.upload.keys() | sent.personal.keys()
