"""The size of what travels, as safetensors writes it."""

import json
from functools import lru_cache
from math import prod

import torch
from safetensors.torch import save

from pfltune.method import Tensors

MB = 1e6
Kind = tuple[str, torch.dtype, tuple[int, ...]]


def payload_bytes(tensors: Tensors) -> int:
    """Bytes of the payload serialised as safetensors, header included; nothing to send is 0.

    The size depends only on names, types and shapes, so each kind of payload is worked out once.
    """
    return _serialised(tuple((n, t.dtype, tuple(t.shape)) for n, t in sorted(tensors.items())))


@lru_cache(maxsize=1024)
def _serialised(kinds: tuple[Kind, ...]) -> int:
    """8 bytes of length, the header in JSON padded to a multiple of 8, the data.

    safetensors itself writes the header, for tensors without data: it knows its order of the
    tensors. Only shapes and offsets are filled in, so that no copy of a large model is made.
    """
    if not kinds:
        return 0
    empty = save({name: torch.empty(0, dtype=dtype) for name, dtype, _ in kinds})
    header = json.loads(empty[8:])
    shapes = {name: shape for name, _, shape in kinds}
    sizes = {name: prod(shape) * dtype.itemsize for name, dtype, shape in kinds}
    end = 0
    for name, entry in header.items():
        begin, end = end, end + sizes[name]
        entry |= {"shape": shapes[name], "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return 8 + -(-len(text) // 8) * 8 + end
