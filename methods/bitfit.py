"""Shared biases in a frozen backbone."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from ._frozen import FrozenBackbone


@dataclass(frozen=True, kw_only=True)
class BitFit(FrozenBackbone):
    """BitFit (Ben Zaken et al., ACL 2022, arXiv 2106.10199) under federated averaging.

    All biases of the backbone train, those of attention, MLPs, normalisation and patch embedding
    alike, and a head; the server averages them. So do FedPETuning, which calls it FedBF (Zhang et
    al., Findings of ACL 2023, arXiv 2212.10025), and FedTune (Chen et al. 2022, arXiv 2211.08025),
    which finds it the best of three light ways to tune a ViT.
    """

    title = "BitFit"

    def _tuned(self, model: nn.Module) -> Iterable[str]:
        return [name for name, _ in model.named_parameters() if name.endswith((".bias", "_bias"))]
