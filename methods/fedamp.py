"""A cloud model for each client, made of all clients' models by how near they are."""

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
    not_under,
    squared_distance,
)

HEARD = "fedamp.heard"


@dataclass(frozen=True, kw_only=True)
class FedAMP(Method):
    """FedAMP: attentive message passing (Huang et al., AAAI 2021, arXiv 2007.03797).

    The server keeps the last model w_j of every client. Client i receives its cloud model
    u_i = (1 − Σ_j ξ_ij)·w_i + Σ_j ξ_ij·w_j with ξ_ij = α·exp(−‖w_i − w_j‖²/σ)/σ over all other
    clients that have sent one, trains from there on f_i(w) + λ/(2α)·‖w − u_i‖², sends the result
    and predicts with it. Only with a small α are these weights of a mean; where the ξ of a client
    add up to more than one, they are divided by their sum.
    """

    title = "FedAMP"

    alpha: float = knob(1.0, low=1e-3, high=1e5, log=True, doc="step α of the message passing")
    sigma: float = knob(1.0, low=1e-3, high=1e6, log=True, doc="squared distance σ of attention")
    lam: float = knob(1.0, low=0.0, high=10.0, doc="λ of the pull λ/(2α) towards the cloud model")

    def init_server(self, start: Start) -> Tensors:
        """The model of each client (N × its shape), all the same, and none of them heard of."""
        models = {n: torch.stack([t] * start.clients) for n, t in start.shared.items()}
        some = next(iter(models.values()))
        return {**models, HEARD: some.new_zeros(start.clients, dtype=torch.uint8)}

    def init_client(self, start: Start, client: int) -> Tensors:
        """The client's own model begins where all do."""
        return dict(start.shared)

    def download(self, server: Tensors, client: int) -> Tensors:
        """The client's cloud model u_i."""
        models = not_under(HEARD, server)
        weights = self._attention(models, server[HEARD], client)
        return {
            name: torch.tensordot(weights, w, dims=1) if w.is_floating_point() else w[client]
            for name, w in models.items()
        }

    def assemble(self, down: Tensors, personal: Tensors) -> Tensors:
        """The client's own model predicts."""
        return personal

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """The own model, from the cloud model on and held near it."""
        trained = work.fit(down, self.phases(), self.objective, context=down)
        return Update(trained, trained, work.samples)

    def objective(self, loss: Loss, params: Tensors, context: Tensors) -> Tensor:
        """The loss, and the pull towards the cloud model."""
        return loss(params) + self.lam / (2 * self.alpha) * squared_distance(params, context)

    def aggregate(self, server: Tensors, uploads: Iterable[Update], work: ServerWork) -> Tensors:
        """The new models take their places."""
        new = {name: value.clone() for name, value in server.items()}
        for update in uploads:
            new[HEARD][update.client] = 1
            for name, value in update.upload.items():
                new[name][update.client] = value
        return new

    def _attention(self, models: Tensors, heard: Tensor, client: int) -> Tensor:
        """The weights of all clients' models in a client's cloud model (N,)."""
        floats = [w for w in models.values() if w.is_floating_point()]
        far = torch.stack([(w - w[client]).square().flatten(1).sum(dim=1) for w in floats])
        xi = heard * self.alpha / self.sigma * torch.exp(-far.sum(dim=0) / self.sigma)
        xi[client] = 0.0
        xi = xi / xi.sum().clamp_min(1.0)
        xi[client] = 1.0 - xi.sum()
        return xi
