"""Seeds derived from (seed, purpose, indices), never from a global generator.

Two draws with different purposes, rounds or clients are independent of each other and of the
order in which they are made. This is what makes resuming, reordering and parallel runs exact.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import torch


def derive(seed: int, purpose: str, *indices: int) -> int:
    """A seed in [0, 2**63) that depends on every argument, the same on every machine."""
    key = "/".join([str(seed), purpose, *map(str, indices)])
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1


def numpy_rng(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """A fresh numpy generator for one purpose."""
    return np.random.default_rng(derive(seed, purpose, *indices))


def torch_rng(seed: int, purpose: str, *indices: int) -> torch.Generator:
    """A fresh CPU generator of torch for one purpose."""
    return torch.Generator().manual_seed(derive(seed, purpose, *indices))


@contextmanager
def isolated(seed: int, purpose: str, *indices: int) -> Iterator[None]:
    """Seed torch's global generators inside the block and give them back untouched.

    For code that cannot be handed a generator: the default initialisation of layers, dropout.
    """
    gpus = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    chosen = derive(seed, purpose, *indices)
    with torch.random.fork_rng(gpus):
        # torch.manual_seed would note a stack trace for every kind of device that is not there.
        torch.default_generator.manual_seed(chosen)
        if gpus:
            torch.cuda.manual_seed_all(chosen)
        yield


class Interrupted:
    """An isolated stretch of draws that is entered and left many times, and goes on each time.

    Args:
        begin: opens the stretch, see :func:`isolated`.
    """

    def __init__(self, begin: Callable[[], AbstractContextManager[None]]) -> None:
        self._begin = begin
        self._state: torch.Tensor | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """A part of the stretch, on the CPU's generator."""
        with self._begin():
            if self._state is not None:
                torch.set_rng_state(self._state)
            yield
            self._state = torch.get_rng_state()
