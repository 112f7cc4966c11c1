"""A local start between the shared model and the client's own last one, weighed by element."""

from dataclasses import dataclass
from statistics import pstdev

import torch
from torch import Tensor

from pfltune import parts
from pfltune.errors import UserError
from pfltune.knobs import knob
from pfltune.method import (
    LocalWork,
    Loss,
    Method,
    Phase,
    Start,
    Tensors,
    Update,
    brought_over,
    found_under,
    put_under,
)

OWN, WEIGHT, EPOCHS = "fedala.own.", "fedala.weight.", "fedala.epochs"
WINDOW, SPREAD, LONGEST = 10, 0.1, 100


@dataclass(frozen=True, kw_only=True)
class FedALA(Method):
    """FedALA: adaptive local aggregation (Zhang et al., AAAI 2023, arXiv 2212.01197).

    Local training begins at θ + (w − θ)·W in the top layers and at the downloaded w below; θ is the
    client's last local model and W, a weight in [0, 1] for each element, starts at one. From the
    second round on W first takes steps W ← clip(W − η·∇·(w − θ)) on a share of the training data, ∇
    the loss's gradient at the mixture: one epoch, but the first time as many as it takes until the
    last ten losses spread by less than 0.1. The public code sets no bound to these, here it is a
    hundred. With all weights at one (η = 0) it is FedAvg.
    """

    title = "FedALA"

    top: str = knob(
        "head", examples=("head,norm", "head,blocks.1"), doc="the layers with weights, with commas"
    )
    eta: float = knob(1.0, low=0.0, high=10.0, doc="rate η of the weights")
    share: float = knob(0.8, low=0.05, high=1.0, doc="of the training data, for the weights")

    def init_client(self, start: Start, client: int) -> Tensors:
        """Weights of one, and the top of the model that all begin with.

        Raises:
            UserError: nothing that trains is named.
        """
        named, moving = parts.named(start.model, self.top), start.moving()
        top = {name: moving[name] for name in named if name in moving}
        if not top:
            raise UserError(f"FedALA: top={self.top!r} names nothing that trains")
        ones = {name: torch.ones_like(value) for name, value in top.items()}
        return {**put_under(OWN, top), **put_under(WEIGHT, ones)}

    def assemble(self, down: Tensors, personal: Tensors) -> Tensors:
        """The mixture predicts."""
        return {**down, **_mixed(down, personal)}

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """The weights, then the model from the mixture on."""
        start = down
        if work.round > 1:
            personal = self._weighed(work, down, personal)
            start = self.assemble(down, personal)
        trained = work.fit(start, self.phases(), self.objective)
        own = {name: trained[name] for name in found_under(OWN, personal)}
        return Update(trained, {**personal, **put_under(OWN, own)}, work.samples)

    def _weighed(self, work: LocalWork, down: Tensors, personal: Tensors) -> Tensors:
        """The client's state with new weights, and how many epochs the first ones took."""
        epoch = Phase("all", self.eta, epochs=1, share=self.share)
        last: list[float] = []
        for _ in range(1 if EPOCHS in personal else LONGEST):
            for loss in work.batches(epoch):
                value, personal = self._stepped(loss, down, personal)
            last += brought_over([value])
            if len(last) > WINDOW and pstdev(last[-WINDOW:]) < SPREAD:
                break
        taken = torch.full((), len(last), dtype=torch.int32, device=value.device)
        return {EPOCHS: taken, **personal}

    def _stepped(self, loss: Loss, down: Tensors, personal: Tensors) -> tuple[Tensor, Tensors]:
        """The loss of the mixture, and the client's state after one step of the weights."""
        with torch.enable_grad():
            mixed = {n: t.requires_grad_() for n, t in _mixed(down, personal).items()}
            value = loss({**down, **mixed})
            slopes = torch.autograd.grad(value, list(mixed.values()))
        weights = {
            n: personal[WEIGHT + n] - self.eta * slope * (down[n] - personal[OWN + n])
            for n, slope in zip(mixed, slopes, strict=True)
        }
        clipped = {name: weight.clamp(0.0, 1.0) for name, weight in weights.items()}
        return value.detach(), {**personal, **put_under(WEIGHT, clipped)}


def _mixed(down: Tensors, personal: Tensors) -> Tensors:
    """The top of the mixture; where a weight is one, exactly what was downloaded."""
    own, weights = found_under(OWN, personal), found_under(WEIGHT, personal)
    return {name: torch.lerp(value, down[name], weights[name]) for name, value in own.items()}
