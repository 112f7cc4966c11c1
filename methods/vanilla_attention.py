"""Personal self-attention without any addition to the model."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from pfltune import parts
from pfltune.method import Method


@dataclass(frozen=True, kw_only=True)
class VanillaAttention(Method):
    """Vanilla Attention, FedPerfix's own baseline (Sun et al., ICCV 2023, arXiv 2308.09160).

    The self-attention layers and the head are personal, everything else is shared. It is FedSim
    with v = head,attn.
    """

    title = "Vanilla Attention"
    family = "partial"
    published_payload = "66 %"

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """Attention of every block, and the head."""
        return parts.named(model, "head,attn")
