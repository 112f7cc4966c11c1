"""Any personal part, trained simultaneously with the shared one."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from pfltune import parts
from pfltune.knobs import knob
from pfltune.method import Method


@dataclass(frozen=True, kw_only=True)
class FedSim(Method):
    """FedSim: partial personalization, simultaneous (Pillutla et al., ICML 2022, arXiv 2204.03809).

    Shared part u and personal part v take every local step together. ``personal`` names v: ``all``,
    ``none``, ``head``, ``norm``, one component of layer names such as ``attn``, ``mlp`` or
    ``pos_embed``, or a layer in full such as ``blocks.3``. FedPer is FedSim with v = head, FedBN
    with v = norm, Vanilla Attention with v = head,attn, Local with v = all, FedAvg with v = none.
    """

    title = "FedSim"
    family = "partial"

    personal: str = knob(
        "head", examples=("head,attn", "blocks.1"), doc="the personal part v, words with commas"
    )

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """What ``personal`` names."""
        return parts.named(model, self.personal)
