"""Shared biases in a frozen backbone."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from ._frozen import FrozenBackbone


@dataclass(frozen=True, kw_only=True)
class BitFit(FrozenBackbone):
    """BitFit (Ben Zaken et al., ACL 2022, arXiv 2106.10199) under federated averaging.

    All biases of the backbone train, those of attention, MLPs, normalisation and patch embedding
    alike, and a head; the server averages them, as in FedPETuning (Zhang et al., Findings of ACL
    2023, arXiv 2212.10025). FedTune (Chen et al. 2022, arXiv 2211.08025) finds that it does best
    where the pretrained transformer is strong.
    """

    title = "BitFit"

    def _tuned(self, model: nn.Module) -> Iterable[str]:
        return [name for name, _ in model.named_parameters() if name.endswith((".bias", "_bias"))]
