"""Federated averaging whose local objectives are bent until their minima agree."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from pfltune.knobs import knob
from pfltune.method import (
    LocalWork,
    Loss,
    Method,
    ServerWork,
    Start,
    Tensors,
    Update,
    dot,
    found_under,
    not_under,
    put_under,
    squared_distance,
)

from ._participation import mean_and_count

SLOPE = "slope."
"""Before the names of ∇Lᵢ on a client, and of h on the server."""


@dataclass(frozen=True, kw_only=True)
class FedDyn(Method):
    """FedDyn: dynamic regularization (Acar et al., ICLR 2021, arXiv 2111.04263).

    From the server's θ a client descends Lᵢ(θᵢ) − ⟨∇Lᵢ, θᵢ⟩ + (α/2)·‖θᵢ − θ‖², where ∇Lᵢ is its
    gradient at the end of its last round, which it takes to be ∇Lᵢ ← ∇Lᵢ − α·(θᵢ − θ): so it is at
    a minimum. The server keeps h ← h − α/N·Σ (θᵢ − θ) and sends (mean of θᵢ) − h/α. Clients count
    alike, as in the paper; the public code divides α by the client's share of samples, and reports
    the mean of all clients' last models beside θ. Bytes each way: FedAvg's.
    """

    title = "FedDyn"

    alpha: float = knob(0.01, low=1e-4, high=1.0, log=True, doc="strength α of the regularizer")

    def init_server(self, start: Start) -> Tensors:
        """The model, and h = 0."""
        return {**start.shared, **self.init_client(start, 0)}

    def init_client(self, start: Start, client: int) -> Tensors:
        """∇Lᵢ = 0."""
        return put_under(SLOPE, {n: torch.zeros_like(t) for n, t in start.moving().items()})

    def download(self, server: Tensors, client: int) -> Tensors:
        """The model alone."""
        return not_under(SLOPE, server)

    def assemble(self, down: Tensors, personal: Tensors) -> Tensors:
        """The server's model predicts."""
        return down

    def objective(self, loss: Loss, params: Tensors, context: Tensors) -> Tensor:
        """The loss, bent by the last gradient and held near the server's model."""
        pull = self.alpha / 2 * squared_distance(params, context)
        return loss(params) - dot(params, found_under(SLOPE, context)) + pull

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """Local descent, and the gradient at its end."""
        trained = work.fit(down, self.phases(), self.objective, context={**down, **personal})
        slope = {
            name: before - self.alpha * (trained[name] - down[name])
            for name, before in found_under(SLOPE, personal).items()
        }
        return Update(trained, put_under(SLOPE, slope), weight=1.0)

    def aggregate(self, server: Tensors, uploads: Iterable[Update], work: ServerWork) -> Tensors:
        """h, and the mean of the models less h/α."""
        mean, count = mean_and_count(uploads, otherwise=not_under(SLOPE, server))
        if not count:
            return server
        share = count / work.clients
        h = {
            name: before - self.alpha * share * (mean[name] - server[name])
            for name, before in found_under(SLOPE, server).items()
        }
        moved = {name: mean[name] - value / self.alpha for name, value in h.items()}
        return {**mean, **moved, **put_under(SLOPE, h)}
