"""What tells one ground from another, down to the last pixel and weight."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

from pfltune.federation.ground import Federation


def fingerprint(federation: Federation) -> dict[str, str]:
    """Digests of images, labels, clients and start weights.

    Two grounds with the same digests give the same trials.
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
    return {name: _digest(tensors) for name, tensors in parts.items()}


def _digest(tensors: Iterable[Tensor]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        found.update(f"{tuple(tensor.shape)} {tensor.dtype};".encode())
        values = tensor.detach().cpu().contiguous().view(-1)
        found.update(values.view(torch.uint8).numpy().data)
    return found.hexdigest()
