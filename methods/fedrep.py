"""A personal head and a shared body, trained one after the other."""

from dataclasses import dataclass

from pfltune.knobs import knob
from pfltune.method import Phase

from .fedper import FedPer


@dataclass(frozen=True, kw_only=True)
class FedRep(FedPer):
    """Exploiting shared representations (Collins et al., ICML 2021, arXiv 2102.07078).

    Each round the client first trains its head with the body frozen, then the body with the head
    frozen. It is FedAlt with v = head (Pillutla et al., ICML 2022).
    """

    title = "FedRep"

    head_epochs: int = knob(2, low=1, high=10, doc="epochs of head training before the body's")

    def phases(self) -> tuple[Phase, ...]:
        """Head, then body."""
        return (Phase("personal", self.lr, self.head_epochs), Phase("shared", self.lr))
