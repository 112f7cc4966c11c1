"""Low-rank adapters of which one factor is frozen."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from ._lora import LoRA


@dataclass(frozen=True, kw_only=True)
class FFALoRA(LoRA):
    """FFA-LoRA: federated freeze-A LoRA (Sun et al., ICLR 2024, arXiv 2403.12313).

    A (r × in) stays as it was drawn, the same on every client, and only B (out × r) trains and
    travels. So the server's mean of B gives the exact mean of the products B·A. The seed makes A
    again, so it is never sent.
    """

    title = "FFA-LoRA"
    published_payload = "half of LoRA's"

    def _add(self, layer: nn.Linear) -> Iterable[str]:
        super()._add(layer)
        return ("B",)
