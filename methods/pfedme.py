"""Personal models near a shared one that follows their Moreau envelopes."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from pfltune.knobs import knob
from pfltune.method import (
    LocalWork,
    Loss,
    Method,
    Optimizer,
    Phase,
    ServerWork,
    Start,
    Tensors,
    Update,
    found_under,
    gradient,
    not_under,
    put_under,
    squared_distance,
    weighted_mean,
)

OWN = "personal."
"""Before the names of the personal model θ."""

RATE = "rate"


@dataclass(frozen=True, kw_only=True)
class PFedMe(Method):
    """pFedMe: Moreau envelopes (Dinh et al., NeurIPS 2020, arXiv 2006.08848).

    On each batch a client takes K steps of rate η_p down f_i(θ) + (λ/2)·‖θ − w‖², then one step
    w ← w − η·λ·(w − θ) along the gradient of the envelope. As in the public code θ goes on from
    batch to batch, and begins each round at the w that was downloaded. The server takes
    w ← (1 − β)·w + β·(mean of the clients' w), by samples as the public code has it. A client
    predicts with the θ of its last round. Both steps are those of plain SGD, whatever the
    scenario's optimizer; a schedule scales both rates. A local step costs K + 1 passes.

    With one step a round, K = 1 and β = 1 it is FedAvg at the rate η·λ·η_p; with K ≥ 2 and
    η_p = 1/λ it approaches FedAvg at the rate η as λ grows.
    """

    title = "pFedMe"

    lr: float = knob(0.01, low=1e-4, high=1.0, log=True, doc="rate η of the shared model")
    personal_lr: float = knob(0.05, low=1e-4, high=1.0, log=True, doc="rate η_p of θ")
    lam: float = knob(15.0, low=0.0, high=1000.0, doc="weight λ of the pull between θ and w")
    inner_steps: int = knob(5, low=1, high=50, log=True, doc="steps K of θ on each batch")
    beta: float = knob(1.0, low=0.0, high=4.0, doc="share β of the clients' mean on the server")

    def phases(self) -> tuple[Phase, ...]:
        """Steps that the objective has computed, so plain ones."""
        return (Phase("all", self.lr, optimizer=Optimizer()),)

    def init_client(self, start: Start, client: int) -> Tensors:
        """The personal model begins where the shared one does."""
        return put_under(OWN, start.moving())

    def assemble(self, down: Tensors, personal: Tensors) -> Tensors:
        """The personal model predicts."""
        return {**down, **found_under(OWN, personal)}

    def objective(self, loss: Loss, params: Tensors, context: Tensors) -> Tensor:
        """A function whose gradients are the paper's two steps, with θ⁺ the θ after K steps.

        The envelope f_i(θ⁺) + (λ/2)·‖w − θ⁺‖² for w; for θ what brings it to θ⁺ in one step.
        """
        w = not_under(OWN, params)
        theta = {name: params[OWN + name] for name in w}
        near = self._personal(loss, w, theta, context[RATE])
        envelope = loss(near) + self.lam / 2 * squared_distance(w, near)
        return envelope + squared_distance(theta, near) / (2 * self.lr * context[RATE])

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """Both models together."""
        begin = {OWN + n: down[n] for n in found_under(OWN, personal)}
        rate = next(iter(begin.values())).new_full((), work.rate)
        both = work.fit({**down, **begin}, self.phases(), self.objective, context={RATE: rate})
        own = {name: both[name] for name in begin}
        return Update({name: both[name] for name in down}, own, work.samples)

    def aggregate(self, server: Tensors, uploads: Iterable[Update], work: ServerWork) -> Tensors:
        """Towards the mean of the clients' w, or past it where β > 1."""
        mean = weighted_mean(uploads, otherwise=server)
        return {
            name: torch.lerp(server[name], value, self.beta) if value.is_floating_point() else value
            for name, value in mean.items()
        }

    def _personal(self, loss: Loss, w: Tensors, theta: Tensors, rate: Tensor) -> Tensors:
        """θ after K steps, as a constant."""
        for _ in range(self.inner_steps):
            slope = gradient(loss, theta)
            theta = {
                n: (t - rate * self.personal_lr * (slope[n] + self.lam * (t - w[n]))).detach()
                for n, t in theta.items()
            }
        return theta
