"""The size of what travels, as safetensors writes it."""

from functools import lru_cache

import torch
from safetensors.torch import save

from pfltune.method import Tensors

MB = 1e6


def payload_bytes(tensors: Tensors) -> int:
    """Bytes of the payload serialised as safetensors, header included; nothing to send is 0.

    The size depends only on names, types and shapes, so each kind of payload is serialised once.
    """
    return _serialised(tuple((n, t.dtype, tuple(t.shape)) for n, t in sorted(tensors.items())))


@lru_cache(maxsize=1024)
def _serialised(kinds: tuple[tuple[str, torch.dtype, tuple[int, ...]], ...]) -> int:
    if not kinds:
        return 0
    return len(save({name: torch.zeros(shape, dtype=dtype) for name, dtype, shape in kinds}))
