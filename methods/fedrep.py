"""A personal head and a shared body, trained one after the other."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pfltune.knobs import knob
from pfltune.method import Loss, Phase, Tensors

from ._sgd import own_sgd
from .fedper import FedPer


@dataclass(frozen=True, kw_only=True)
class FedRep(FedPer):
    """Exploiting shared representations (Collins et al., ICML 2021, arXiv 2102.07078).

    Each round the client first trains its head with the body frozen, then the body with the head
    frozen. It is FedAlt with v = head (Pillutla et al., ICML 2022). The authors' code has momentum
    0.5 and, on everything but biases, weight decay 1e-4.
    """

    title = "FedRep"

    head_epochs: int = knob(2, low=1, high=10, doc="epochs of head training before the body's")
    momentum: float = knob(0.0, low=0.0, high=0.99, doc="of its own SGD; 0: as the scenario says")
    weight_decay: float = knob(0.0, low=0.0, high=0.1, doc="L2 coefficient, not of biases")

    def phases(self) -> tuple[Phase, ...]:
        """Head, then body."""
        sgd = own_sgd(self.momentum)
        return (
            Phase("personal", self.lr, self.head_epochs, optimizer=sgd),
            Phase("shared", self.lr, optimizer=sgd),
        )

    def objective(self, loss: Loss, params: Tensors, context: Tensors) -> Tensor:
        """The loss, and what pulls the weights to zero."""
        if not self.weight_decay:
            return loss(params)
        weights = [p.square().sum() for name, p in params.items() if not name.endswith("bias")]
        return loss(params) + self.weight_decay / 2 * torch.stack(weights).sum()
