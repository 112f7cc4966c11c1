"""Low-rank adapters of which one factor is shared."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from pfltune.knobs import knob

from ._frozen import HEADS
from ._lora import B, LoRA


@dataclass(frozen=True, kw_only=True)
class FedSALoRA(LoRA):
    """FedSA-LoRA: selective aggregation (Guo et al., ICLR 2025, arXiv 2410.01463).

    Both factors of every adapter train, and only A (r × in), which is found to learn what is
    general, is averaged; B (out × r) stays. In the public code the classifier stays, too, which is
    ``head=personal``. Bytes each way: r·in floats for each adapter.
    """

    title = "FedSA-LoRA"

    head: str = knob("personal", choices=HEADS, doc="whether the head is averaged or stays")

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """Every B, and the head if it stays."""
        mine = [name for name in model.state_dict() if name.endswith(B)]
        return (*mine, *super().personal_part(model))
