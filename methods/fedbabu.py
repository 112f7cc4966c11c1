"""A shared body trained against a head that never moves."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from torch import nn

from pfltune import parts
from pfltune.knobs import knob
from pfltune.method import Method, Phase

from ._sgd import own_sgd


@dataclass(frozen=True, kw_only=True)
class FedBABU(Method):
    """FedBABU: body aggregation and body update (Oh et al., ICLR 2022, arXiv 2106.06042).

    All clients keep the head at its common initialisation and train the body only, which is
    averaged. Before each evaluation a client fine-tunes its head on its training data; the result
    is used for that evaluation alone. Since the head never moves, it does not travel.

    The paper compares fine-tuning of the head with that of the whole model (``finetune=all``). The
    latter is what PFLlib does, for some epochs, and FedPerfix's public code, on one batch
    (``finetune_steps=1``). The authors' code trains with momentum 0.9.
    """

    title = "FedBABU"
    family = "partial"

    finetune: str = knob("head", choices=("head", "all"), doc="what is fine-tuned")
    finetune_epochs: int = knob(5, low=1, high=50, log=True, doc="epochs of fine-tuning")
    finetune_steps: int = knob(0, low=0, high=1000, doc="batches that end it; 0 for whole epochs")
    momentum: float = knob(0.0, low=0.0, high=0.99, doc="of its own SGD; 0: as the scenario says")

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """The head, the same on every client."""
        return parts.head(model)

    def phases(self) -> tuple[Phase, ...]:
        """The body only."""
        return (Phase("shared", self.lr, optimizer=own_sgd(self.momentum)),)

    def adapt(self) -> tuple[Phase, ...]:
        """The head, alone or with the body."""
        ends, sgd = self.finetune_steps or None, own_sgd(self.momentum)
        tuned = Phase("personal", self.lr, self.finetune_epochs, steps=ends, optimizer=sgd)
        return (tuned if self.finetune == "head" else replace(tuned, part="all"),)
