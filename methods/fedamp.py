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

OWN = "fedamp."
HEARD, FAR = "fedamp.heard", "fedamp.distances"


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
        """The model of each client (N × its shape), all the same, and none of them heard of.

        Beside them stand their squared distances (N × N).
        """
        count = start.clients
        models = {n: torch.stack([t] * count) for n, t in start.shared.items()}
        some = next(t for t in models.values() if t.is_floating_point())
        heard = some.new_zeros(count, dtype=torch.uint8)
        return {**models, HEARD: heard, FAR: some.new_zeros(count, count)}

    def init_client(self, start: Start, client: int) -> Tensors:
        """The client's own model begins where all do."""
        return dict(start.shared)

    def download(self, server: Tensors, client: int) -> Tensors:
        """The client's cloud model u_i."""
        weights = self._attention(server[FAR][client], server[HEARD], client)
        return {
            name: torch.tensordot(weights, w, dims=1) if w.is_floating_point() else w[client]
            for name, w in not_under(OWN, server).items()
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
        """The new models take their places, and their distances to all others are taken."""
        new, sent = {name: value.clone() for name, value in server.items()}, []
        for update in uploads:
            sent.append(update.client)
            new[HEARD][update.client] = 1
            for name, value in update.upload.items():
                new[name][update.client] = value
        for client in sent:
            far = _distances(not_under(OWN, new), client)
            new[FAR][client] = far
            new[FAR][:, client] = far
        return new

    def _attention(self, far: Tensor, heard: Tensor, client: int) -> Tensor:
        """The weights of all clients' models in a client's cloud model (N,)."""
        xi = heard * self.alpha / self.sigma * torch.exp(-far / self.sigma)
        xi[client] = 0.0
        xi = xi / xi.sum().clamp_min(1.0)
        xi[client] = 1.0 - xi.sum()
        return xi


def _distances(models: Tensors, client: int) -> Tensor:
    """‖w_j − w_i‖² of a client's model i to that of each client j (N,)."""
    ordered = (w for _, w in sorted(models.items()))  # a checkpoint has an order of its own
    floats = [w for w in ordered if w.is_floating_point()]
    return torch.stack([(w - w[client]).square().flatten(1).sum(dim=1) for w in floats]).sum(dim=0)
