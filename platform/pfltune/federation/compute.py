"""How a trial's arithmetic is done: device, precision, clients at once."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

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
    """

    device: str = "cpu"
    precision: Precision = "float32"
    cohort: int = 1
    state_mb: float = 4096.0
    deterministic: bool = False

    def prepare(self) -> None:
        """Set what torch has for the whole process only."""
        if self.deterministic:
            # cuBLAS repeats itself only with a workspace of its own, chosen before its first call.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """Forward passes inside the block have this precision."""
        with ExitStack() as stack:
            if self.precision == "bfloat16":
                stack.enter_context(torch.autocast(self.device, torch.bfloat16))
                if self.device == "cpu":
                    # The backward pass of the fused attention takes longer in bfloat16 on a CPU
                    # than all the rest; the plain one would compute in float32 if it were let.
                    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
                    stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            yield
