"""A personal model mixed with the shared one."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pfltune.figures import of_method
from pfltune.knobs import knob
from pfltune.method import (
    LocalWork,
    Loss,
    Method,
    Start,
    Tensors,
    Update,
    dot,
    gradient,
    not_under,
)

ALPHA = "apfl.alpha"
OWN = "apfl."
RATE = "rate"
PULL = 0.02
"""What pulls a learned α to zero where ``mixing=round``."""


@dataclass(frozen=True, kw_only=True)
class APFL(Method):
    """APFL: adaptive personalized federated learning (Deng et al. 2020, arXiv 2003.13461).

    A client predicts with v̄ = α·v + (1 − α)·w. On each batch w takes its own SGD step, and v that
    of f_i(v̄) with the gradient α·∇f_i(v̄), both from where they were before the batch. A learned α
    follows ⟨v − w, ∇f_i(v̄)⟩; where it leaves [0, 1] the bound is mixed in its place, and kept after
    the round. Each step costs two passes through the model. With α = 0 it predicts as FedAvg.

    ``mixing=round`` is what FedPerfix's public code and PFLlib do: v trains by itself, with the
    gradient ∇f_i(v), and becomes α·v + (1 − α)·w at the end of the round, by which the client
    predicts. A learned α goes down the slope ⟨v − w, α·∇f_i(v) + (1 − α)·∇f_i(w)⟩ + 0.02·α after
    each step of v and w, within [0, 1]; that costs two passes more. FedTorch, by the paper's
    authors, mixes what two models say and not their weights, which is not here.
    """

    title = "APFL"

    own_figures = (of_method("alpha", "mixing weight α, mean over the clients of the round"),)

    alpha: float = knob(0.25, low=0.0, high=1.0, doc="share α of the personal model at the start")
    learn_alpha: bool = knob(False, doc="whether each client learns its α")
    mixing: str = knob("step", choices=("step", "round"), doc="when v and w are mixed")

    def init_client(self, start: Start, client: int) -> Tensors:
        """α, and the personal model v, which begins where the shared one does."""
        floats = {n: t for n, t in start.shared.items() if t.is_floating_point()}
        alpha = next(iter(floats.values())).new_full((), self.alpha)
        return {ALPHA: alpha, **{OWN + n: t for n, t in floats.items()}}

    def assemble(self, down: Tensors, personal: Tensors) -> Tensors:
        """The mixed model v̄ predicts; with ``mixing=round`` v, the start model before training."""
        if self.mixing == "round":
            return {n: personal.get(OWN + n, w) for n, w in down.items()}
        return {n: self._mixed(w, personal, n) for n, w in down.items()}

    def objective(self, loss: Loss, params: Tensors, context: Tensors) -> Tensor:
        """f_i(w) + f_i(v̄) with w fixed in v̄: its gradients are the two steps of the paper."""
        w = not_under(OWN, params)
        if self.mixing == "round":
            return self._apart(loss, w, params, context[RATE])
        fixed = {n: p.detach() for n, p in w.items()}
        return loss(w) + loss({n: self._mixed(p, params, n) for n, p in fixed.items()})

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """Both models together; a learned α is put back into [0, 1]."""
        rate = {RATE: torch.full_like(personal[ALPHA], work.rate)}
        trained = work.fit({**down, **personal}, self.phases(), self.objective, context=rate)
        w, own = not_under(OWN, trained), {name: trained[name] for name in personal}
        own[ALPHA] = own[ALPHA].clamp(0.0, 1.0)
        if self.mixing == "round":
            own |= {OWN + n: self._mixed(t, own, n) for n, t in w.items() if OWN + n in own}
        return Update(w, own, work.samples)

    def figures(self, upload: Tensors, personal: Tensors) -> Tensors:
        """Where α has gone."""
        return {"alpha": personal[ALPHA]}

    def _apart(self, loss: Loss, w: Tensors, params: Tensors, rate: Tensor) -> Tensor:
        """f_i(w) + f_i(v), and for a learned α what takes it to where the public code does."""
        v, alpha = {name: params[OWN + name] for name in w}, params[ALPHA]
        both = loss(w) + loss(v)
        if not self.learn_alpha:
            return both
        of_w, of_v, lr = gradient(loss, w), gradient(loss, v), self.lr * rate
        apart = {n: v[n] - lr * of_v[n] - (w[n] - lr * of_w[n]) for n in w}
        slope = dot(apart, {n: torch.lerp(of_w[n], of_v[n], alpha) for n in w}) + PULL * alpha
        way = (alpha - (alpha - lr * slope).clamp(0.0, 1.0)).detach() / lr
        return both + way * (alpha - alpha.detach())

    def _mixed(self, w: Tensor, personal: Tensors, name: str) -> Tensor:
        if OWN + name not in personal:  # whole numbers, such as BatchNorm's count of batches
            return w
        alpha = personal[ALPHA]
        inside = alpha.detach().clamp(0.0, 1.0)
        if self.learn_alpha:
            inside = inside + alpha - alpha.detach()  # the value of one, the gradient of the other
        return torch.lerp(w, personal[OWN + name], inside)
