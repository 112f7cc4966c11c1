"""A shared body trained against a head that never moves."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from pfltune import parts
from pfltune.knobs import knob
from pfltune.method import Method, Phase


@dataclass(frozen=True, kw_only=True)
class FedBABU(Method):
    """FedBABU: body aggregation and body update (Oh et al., ICLR 2022, arXiv 2106.06042).

    All clients keep the head at its common initialisation and train the body only, which is
    averaged. Before each evaluation a client fine-tunes its head on its training data; the result
    is used for that evaluation alone. Since the head never moves, it does not travel.
    """

    title = "FedBABU"
    family = "partial"

    finetune_epochs: int = knob(5, low=1, high=50, log=True, doc="epochs of the head alone")

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """The head, the same on every client."""
        return parts.head(model)

    def phases(self) -> tuple[Phase, ...]:
        """The body only."""
        return (Phase("shared", self.lr),)

    def adapt(self) -> tuple[Phase, ...]:
        """The head only."""
        return (Phase("personal", self.lr, self.finetune_epochs),)
