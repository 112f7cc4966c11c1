"""A frozen backbone of which the head alone is trained."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from ._frozen import FrozenBackbone


@dataclass(frozen=True, kw_only=True)
class LinearProbe(FrozenBackbone):
    """Linear probe, the head-tuning of Legate et al. (NeurIPS 2023, arXiv 2306.03937).

    The backbone stays as it was pretrained, and the head trains alone. By default the head is
    shared and averaged, as there, and as FedPEFT (Sun et al. 2022, arXiv 2210.01708) shares all
    that it tunes; bytes each way: classes × (l + 1) numbers. With ``head=personal`` it stays, and
    no byte travels: what FedVPT and pFedPG are without their prompts.
    """

    title = "Linear probe"

    def _tuned(self, model: nn.Module) -> Iterable[str]:
        """Nothing else."""
        return ()
