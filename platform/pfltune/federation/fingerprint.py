"""What tells one federation from another, down to the last pixel and weight."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from pfltune.federation.federation import Federation


def fingerprint(federation: Federation) -> dict[str, str]:
    """Digests of images, labels, clients, start weights, and of all else that a trial follows.

    Two federations with the same digests give the same trials. Where the start weights were read
    from is none of it: they are there themselves.
    """
    data, weights = federation.dataset, federation.weights or {}
    parts: dict[str, Iterable[Tensor]] = {
        "images": [data.images],
        "labels": [data.labels],
        "clients": (
            part
            for client in federation.clients
            for part in (client.train, client.val, client.test)
            if part is not None
        ),
        "start weights": [weights[name] for name in sorted(weights)],
    }
    found = {name: _digest(tensors) for name, tensors in parts.items()}
    return {**found, "rules": hashlib.blake2b(_rules(federation), digest_size=16).hexdigest()}


def _rules(federation: Federation) -> bytes:
    """Protocol, preprocessing, architecture, number of classes, and who is never trained with."""
    rules = {
        "protocol": _protocol(federation),
        "preprocessing": federation.preprocessing.model_dump(),
        "backbone": {n: v for n, v in federation.backbone.by_content().items() if n != "weights"},
        "classes": federation.dataset.classes,
        "unseen": sorted(federation.unseen),
    }
    return json.dumps(rules, sort_keys=True).encode()


def _protocol(federation: Federation) -> dict[str, Any]:
    protocol = federation.protocol
    return {**protocol.model_dump(), "sampler": protocol.sampler.by_content()}


def _digest(tensors: Iterable[Tensor]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        found.update(f"{tuple(tensor.shape)} {tensor.dtype};".encode())
        values = tensor.detach().cpu().contiguous().view(-1)
        found.update(values.view(torch.uint8).numpy().data)
    return found.hexdigest()
