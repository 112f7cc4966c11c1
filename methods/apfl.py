"""A personal model mixed with the shared one."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pfltune.figures import of_method
from pfltune.knobs import knob
from pfltune.method import LocalWork, Loss, Method, Start, Tensors, Update

ALPHA = "apfl.alpha"
OWN = "apfl."


@dataclass(frozen=True, kw_only=True)
class APFL(Method):
    """APFL: adaptive personalized federated learning (Deng et al. 2020, arXiv 2003.13461).

    A client predicts with v̄ = α·v + (1 − α)·w. On each batch w takes its own SGD step, and v that
    of f_i(v̄) with the gradient α·∇f_i(v̄), both from where they were before the batch. A learned α
    follows ⟨v − w, ∇f_i(v̄)⟩; where it leaves [0, 1] the bound is mixed in its place, and kept after
    the round. Each step costs two passes through the model. With α = 0 it predicts as FedAvg.
    """

    title = "APFL"

    own_figures = (of_method("alpha", "mixing weight α, mean over the clients of the round"),)

    alpha: float = knob(0.25, low=0.0, high=1.0, doc="share α of the personal model at the start")
    learn_alpha: bool = knob(False, doc="whether each client learns its α")

    def init_client(self, start: Start, client: int) -> Tensors:
        """α, and the personal model v, which begins where the shared one does."""
        floats = {n: t for n, t in start.shared.items() if t.is_floating_point()}
        alpha = next(iter(floats.values())).new_full((), self.alpha)
        return {ALPHA: alpha, **{OWN + n: t for n, t in floats.items()}}

    def assemble(self, down: Tensors, personal: Tensors) -> Tensors:
        """The mixed model v̄ predicts."""
        return {n: self._mixed(w, personal, n) for n, w in down.items()}

    def objective(self, loss: Loss, params: Tensors, context: Tensors) -> Tensor:
        """f_i(w) + f_i(v̄) with w fixed in v̄: its gradients are the two steps of the paper."""
        w = {n: p for n, p in params.items() if not n.startswith(OWN)}
        fixed = {n: p.detach() for n, p in w.items()}
        return loss(w) + loss({n: self._mixed(p, params, n) for n, p in fixed.items()})

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """Both models together; a learned α is put back into [0, 1]."""
        update = super().train(work, down, personal)
        update.personal[ALPHA].clamp_(0.0, 1.0)
        return update

    def figures(self, upload: Tensors, personal: Tensors) -> Tensors:
        """Where α has gone."""
        return {"alpha": personal[ALPHA]}

    def _mixed(self, w: Tensor, personal: Tensors, name: str) -> Tensor:
        if OWN + name not in personal:  # whole numbers, such as BatchNorm's count of batches
            return w
        alpha = personal[ALPHA]
        inside = alpha.detach().clamp(0.0, 1.0)
        if self.learn_alpha:
            inside = inside + alpha - alpha.detach()  # the value of one, the gradient of the other
        return torch.lerp(w, personal[OWN + name], inside)
