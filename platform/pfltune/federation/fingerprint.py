"""What tells one federation from another, down to the last pixel and weight."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from pfltune.data.split import ClientSplit
from pfltune.federation.federation import Federation
from pfltune.federation.searched_settings import NAMES as SEARCHED_SETTINGS
from pfltune.goal import ACCURACY

CLIENTS, SEARCHED = "clients", "clients without test"


def fingerprint(federation: Federation) -> dict[str, str]:
    """Digests of images, labels, clients, start weights, and of all else that a trial follows.

    Two federations with the same digests and searched settings give the same trials. Where the
    start weights were read from is none of it: they are there themselves. The clients are there a
    second time, as a search trial is given them, see :func:`given_in`.
    """
    data, weights = federation.dataset, federation.weights or {}
    parts: dict[str, Iterable[Tensor]] = {
        "images": [data.images],
        "labels": [data.labels],
        CLIENTS: _indices(federation.clients),
        SEARCHED: _indices(federation.without_test().clients),
        "start weights": [weights[name] for name in sorted(weights)],
    }
    found = {name: _digest(tensors) for name, tensors in parts.items()}
    return {**found, "rules": hashlib.blake2b(_rules(federation), digest_size=16).hexdigest()}


def given_in(test: bool, data: Mapping[str, str]) -> dict[str, str]:
    """The digests of what a trial is given.

    Args:
        test: whether it is given test indices.
        data: what :func:`fingerprint` found.
    """
    given = {name: found for name, found in data.items() if name not in (CLIENTS, SEARCHED)}
    return given | {CLIENTS: data[CLIENTS if test else SEARCHED]}


def _indices(clients: Iterable[ClientSplit]) -> Iterator[Tensor]:
    for client in clients:
        yield from (p for p in (client.train, client.val, client.test) if p is not None)


def _rules(federation: Federation) -> bytes:
    """Protocol, preprocessing, architecture, classes, metrics, and who is never trained with.

    Settings that a search may vary are none of it: they differ between trials of one federation.
    """
    rules = {
        "protocol": _protocol(federation),
        "preprocessing": federation.preprocessing.model_dump(),
        "backbone": {n: v for n, v in federation.backbone.by_content().items() if n != "weights"},
        "classes": federation.dataset.classes,
        "unseen": sorted(federation.unseen),
        "metrics": [metric.by_content() for metric in federation.metrics],
    }
    return json.dumps(rules, sort_keys=True).encode()


def _protocol(federation: Federation) -> dict[str, Any]:
    protocol = federation.protocol
    found = {**protocol.model_dump(), "sampler": protocol.sampler.by_content()}
    if protocol.budget is None:
        del found["budget"]  # as before there were any
    if protocol.metric == ACCURACY.name:
        del found["metric"]  # likewise
    return {name: value for name, value in found.items() if name not in SEARCHED_SETTINGS}


def _digest(tensors: Iterable[Tensor]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        found.update(f"{tuple(tensor.shape)} {tensor.dtype};".encode())
        values = tensor.detach().cpu().contiguous().view(-1)
        found.update(values.view(torch.uint8).numpy().data)
    return found.hexdigest()
