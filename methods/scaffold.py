"""Federated averaging whose local steps are corrected for the drift of each client."""

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
)

from ._participation import mean_and_count

CONTROL = "control."
"""Before the names of c on the server and on its way, and of cᵢ on a client."""


@dataclass(frozen=True, kw_only=True)
class SCAFFOLD(Method):
    """SCAFFOLD, option II (Karimireddy et al., ICML 2020, arXiv 1910.06378).

    A client takes K steps y ← y − η·(∇f_i(y) − cᵢ + c) from the server's x and keeps
    cᵢ⁺ = cᵢ − c + (x − y)/(K·η). It sends y, and what c would be if it were by itself:
    c + cᵢ⁺ − cᵢ = (x − y)/(K·η), the mean of its corrected gradients. The server takes
    x ← x + η_g·(mean of y − x) and c ← c + |S|/N·(mean of the latter − c); clients count alike, as
    in the paper. Bytes each way: twice FedAvg's. Whatever does not train is averaged.

    (x − y)/(K·η) is a mean of gradients only if the steps were those of plain SGD: a momentum or
    AdamW is refused. Weight decay becomes part of f_i; a schedule of the rate is divided out.
    """

    title = "SCAFFOLD"
    published_payload = "200 %"
    needs_plain_sgd = True

    server_lr: float = knob(1.0, low=1e-3, high=10.0, log=True, doc="rate η_g of the server's step")

    def init_server(self, start: Start) -> Tensors:
        """The model, and c = 0."""
        return {**start.shared, **self.init_client(start, 0)}

    def init_client(self, start: Start, client: int) -> Tensors:
        """cᵢ = 0."""
        return put_under(CONTROL, {n: torch.zeros_like(t) for n, t in start.moving().items()})

    def assemble(self, down: Tensors, personal: Tensors) -> Tensors:
        """The server's model predicts."""
        return not_under(CONTROL, down)

    def objective(self, loss: Loss, params: Tensors, context: Tensors) -> Tensor:
        """f_i(y) + ⟨c − cᵢ, y⟩, whose gradient is the corrected one."""
        return loss(params) + dot(params, context)

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """Corrected local steps, then both control variates."""
        x, c = not_under(CONTROL, down), found_under(CONTROL, down)
        drift = {name: c[name] - own for name, own in found_under(CONTROL, personal).items()}
        y = work.fit(x, self.phases(), self.objective, context=drift)
        way = work.steps * self.lr * work.rate
        slope = {name: (x[name] - y[name]) / way for name in drift}
        kept = {name: slope[name] - drift[name] for name in drift}
        upload = {**y, **put_under(CONTROL, slope)}
        return Update(upload, put_under(CONTROL, kept), weight=1.0)

    def aggregate(self, server: Tensors, uploads: Iterable[Update], work: ServerWork) -> Tensors:
        """A step of x towards the clients' models, and of c by the share of clients."""
        mean, count = mean_and_count(uploads, otherwise=server)
        c, share = found_under(CONTROL, server), count / work.clients
        x = {name: server[name] + self.server_lr * (mean[name] - server[name]) for name in c}
        c = {name: value + share * (mean[CONTROL + name] - value) for name, value in c.items()}
        return {**mean, **x, **put_under(CONTROL, c)}
