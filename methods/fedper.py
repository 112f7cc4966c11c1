"""A personal classification head, trained together with the shared body."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from pfltune import parts
from pfltune.method import Method


@dataclass(frozen=True, kw_only=True)
class FedPer(Method):
    """Federated learning with personalization layers (Arivazhagan et al. 2019, arXiv 1912.00818).

    The head is personal; body and head take every local step together. FedPerfix's public code
    calls this algorithm "FedRep". It is FedSim with v = head (Pillutla et al., ICML 2022).
    """

    title = "FedPer"
    family = "partial"

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """The classification head."""
        return parts.head(model)
