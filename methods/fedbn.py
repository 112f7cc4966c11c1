"""Personal normalisation layers."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from pfltune import parts
from pfltune.method import Method


@dataclass(frozen=True, kw_only=True)
class FedBN(Method):
    """FedBN (Li et al., ICLR 2021, arXiv 2102.07623).

    The normalisation layers stay on the clients, all other layers are averaged. The paper keeps
    batch normalisation; in a vision transformer these are the LayerNorms, as in FedPerfix's tables.
    It is FedSim with v = norm.
    """

    title = "FedBN"
    family = "partial"

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """Every normalisation layer."""
        return parts.norms(model)
