"""Any personal part, trained in turns with the shared one."""

from dataclasses import dataclass

from pfltune.knobs import knob
from pfltune.method import Phase

from .fedsim import FedSim


@dataclass(frozen=True, kw_only=True)
class FedAlt(FedSim):
    """FedAlt: partial personalization, alternating (Pillutla et al., ICML 2022, arXiv 2204.03809).

    A client first trains its personal part v with the shared part u fixed, then u with v fixed for
    the scenario's local epochs. FedRep is FedAlt with v = head.
    """

    title = "FedAlt"

    personal_epochs: int = knob(1, low=1, high=10, log=True, doc="epochs on v before those on u")

    def phases(self) -> tuple[Phase, ...]:
        """Personal part, then shared part."""
        return (Phase("personal", self.lr, self.personal_epochs), Phase("shared", self.lr))
