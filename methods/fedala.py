"""A local start between the shared model and the client's own last one, weighed by element."""

import math
from dataclasses import dataclass

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

OWN, WEIGHT, TIMES = "fedala.own.", "fedala.weight.", "fedala.times"
WINDOW, SPREAD, LONGEST = 10, 0.1, 100


@dataclass(frozen=True, kw_only=True)
class FedALA(Method):
    """FedALA: adaptive local aggregation (Zhang et al., AAAI 2023, arXiv 2212.01197).

    Local training begins at θ + (w − θ)·W in the top layers and at the downloaded w below; θ is the
    client's last local model and W, a weight in [0, 1] for each element, starts at one. Before that
    W takes steps W ← clip(W − η·∇·(w − θ)) on a share of the training data, ∇ the loss's gradient
    at the mixture: one epoch, and the first time as many as it takes until the last ten losses
    spread by less than 0.1, at most a hundred. With all weights at one (η = 0) it is FedAvg.
    """

    title = "FedALA"

    top: str = knob(
        "head", examples=("head,norm", "head,blocks.1"), doc="the layers with weights, with commas"
    )
    eta: float = knob(1.0, low=0.0, high=10.0, doc="rate η of the weights")
    share: float = knob(0.8, low=0.05, high=1.0, doc="of the training data, for the weights")

    def init_client(self, start: Start, client: int) -> Tensors:
        """Weights of one, and the top of a local model that there has not been yet.

        Raises:
            UserError: nothing that trains is named.
        """
        named = parts.named(start.model, self.top)
        top = {n: start.shared[n] for n in named if n in start.shared}
        top = {n: t for n, t in top.items() if t.is_floating_point()}
        if not top:
            raise UserError(f"FedALA: top={self.top!r} names nothing that trains")
        ones = {name: torch.ones_like(value) for name, value in top.items()}
        times = next(iter(top.values())).new_zeros((), dtype=torch.int32)
        return {**put_under(OWN, top), **put_under(WEIGHT, ones), TIMES: times}

    def assemble(self, down: Tensors, personal: Tensors) -> Tensors:
        """The mixture predicts."""
        return {**down, **_mixed(down, personal)}

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """The weights, then the model from the mixture on."""
        start, [times] = down, brought_over([personal[TIMES]])
        if times:
            personal = self._weighed(work, down, personal, LONGEST if times == 1 else 1)
            start = self.assemble(down, personal)
        trained = work.fit(start, self.phases(), self.objective)
        own = {name: trained[name] for name in found_under(OWN, personal)}
        kept = {**personal, **put_under(OWN, own), TIMES: personal[TIMES] + 1}
        return Update(trained, kept, work.samples)

    def _weighed(self, work: LocalWork, down: Tensors, personal: Tensors, epochs: int) -> Tensors:
        """The client's state with new weights, after so many epochs or when the loss settles."""
        last: list[float] = []
        for _ in range(epochs):
            for loss in work.batches(Phase("all", self.eta, epochs=1, share=self.share)):
                value, personal = self._stepped(loss, down, personal)
            last += brought_over([value])
            if len(last) > WINDOW and _spread(last[-WINDOW:]) < SPREAD:
                break
        return personal

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


def _spread(values: list[float]) -> float:
    """Their standard deviation, as of all that there are."""
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
