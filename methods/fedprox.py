"""Federated averaging with a proximal term."""

from dataclasses import dataclass

from torch import Tensor

from pfltune.knobs import knob
from pfltune.method import Loss, Method, Tensors, squared_distance


@dataclass(frozen=True, kw_only=True)
class FedProx(Method):
    """FedProx (Li et al., MLSys 2020, arXiv 1812.06127).

    FedAvg whose local objective is f_i(w) + (μ/2)·‖w − w_server‖². With μ = 0 it is FedAvg.
    """

    title = "FedProx"

    mu: float = knob(0.01, low=0.0, high=10.0, doc="weight μ of the proximal term")

    def objective(self, loss: Loss, params: Tensors, context: Tensors) -> Tensor:
        """The loss, and the pull towards the model that was downloaded."""
        return loss(params) + self.mu / 2 * squared_distance(params, context)
