"""Federated averaging with momentum on the server."""

from dataclasses import dataclass

from pfltune.knobs import knob
from pfltune.method import Tensors, found_under, put_under

from ._server_optimizers import MOMENTUM, ServerOptimizer


@dataclass(frozen=True, kw_only=True)
class FedAvgM(ServerOptimizer):
    """FedAvgM (Hsu et al. 2019, arXiv 1909.06335), with the server's rate of arXiv 2003.00295.

    The server keeps v ← β·v + Δ with the mean change Δ of the clients, and x ← x + η·v. The
    momentum does not travel. With β = 0 and η = 1 it is FedAvg.
    """

    title = "FedAvgM"

    momentum: float = knob(0.9, low=0.0, high=0.999, doc="momentum β of the server")

    def _next_state(self, server: Tensors, change: Tensors) -> Tensors:
        """The momentum."""
        before = found_under(MOMENTUM, server)
        return put_under(MOMENTUM, {n: self.momentum * before[n] + d for n, d in change.items()})
