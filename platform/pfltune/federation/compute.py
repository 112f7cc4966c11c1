"""How a trial's arithmetic is done: device, precision, clients at once."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from pfltune.federation.attention import PlainAttention

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Compute:
    """The same for every method of a comparison, and recorded: it moves the last bits.

    Attributes:
        device: ``cpu`` or ``cuda``.
        precision: of forward and backward passes; weights, their mean and all that travels are
            float32 in any case.
        cohort: clients that train at once, with stacked tensors; 1 for one after the other.
        state_mb: personal states kept in memory, in MB (10^6 bytes); the rest is kept in files.
        deterministic: repeat a trial to the last bit on a GPU too, with slower kernels where need
            be; on a CPU it is so anyway.
        threads: of torch on the CPU.
    """

    device: str = "cpu"
    precision: Precision = "float32"
    cohort: int = 1
    state_mb: float = 4096.0
    deterministic: bool = False
    threads: int = 1

    def process(self) -> dict[str, Any]:
        """What torch has for the whole process only, see :func:`pfltune.isolation.contained`."""
        return {
            "threads": self.threads,
            "deterministic algorithms": (self.deterministic, False),
            # The plain attention would compute in float32 if it were let.
            "half precision in attention": self._plain_attention,
        }

    def prepare(self) -> None:
        """Set what must stand in the environment before a GPU is first used."""
        if self.deterministic:
            # cuBLAS repeats itself only with a workspace of its own, chosen before its first call.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """Forward passes inside the block have this precision."""
        with ExitStack() as stack:
            if self.precision == "bfloat16":
                stack.enter_context(torch.autocast(self.device, torch.bfloat16))
                if self._plain_attention:
                    # The backward pass of the fused attention takes longer in bfloat16 on a CPU
                    # than all the rest.
                    stack.enter_context(sdpa_kernel(SDPBackend.MATH))
                    stack.enter_context(PlainAttention())
            yield

    @property
    def _plain_attention(self) -> bool:
        return self.precision == "bfloat16" and self.device == "cpu"
