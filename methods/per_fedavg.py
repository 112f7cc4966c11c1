"""A shared initialisation that a few local steps make personal."""

from dataclasses import dataclass

from torch import Tensor

from pfltune.knobs import knob
from pfltune.method import Loss, Method, Phase, Tensors, dot, gradient


@dataclass(frozen=True, kw_only=True)
class PerFedAvg(Method):
    """Per-FedAvg (Fallah et al., NeurIPS 2020, arXiv 2002.07948).

    MAML over clients: w ← w − β·∇f_i(w̃; D′) with w̃ = w − α·∇f_i(w; D) and batches D and D′ drawn
    independently; second derivatives are left out. Everything is shared; before each evaluation
    a client takes one step of rate α on a batch of its training data. Each local step costs two
    passes through the model.

    ``hessian_free`` is the paper's other variant: less β·α·d, where d approaches the Hessian on a
    third batch D″ times v = ∇f_i(w̃; D′), by [∇f_i(w + δ·v; D″) − ∇f_i(w − δ·v; D″)]/(2δ). Such a
    step costs five passes. FedPerfix's public code and PFLlib have the first variant, with halves
    of one batch as D and D′, and take one rate for both steps.
    """

    title = "Per-FedAvg"

    lr: float = knob(0.001, low=1e-4, high=1.0, log=True, doc="rate β of the outer step")
    inner_lr: float = knob(0.001, low=1e-4, high=1.0, log=True, doc="rate α of the inner step")
    hessian_free: bool = knob(False, doc="whether second derivatives are approached")
    delta: float = knob(
        0.001, low=1e-5, high=1.0, log=True, doc="size δ of their step", when={"hessian_free": True}
    )

    @property
    def needs_float32(self) -> bool:
        """Where it lives on small differences of gradients."""
        return self.hessian_free

    def phases(self) -> tuple[Phase, ...]:
        """Two or three batches for each step."""
        return (Phase("all", self.lr, batches=3 if self.hessian_free else 2),)

    def objective(self, loss: Loss, params: Tensors, context: Tensors) -> Tensor:
        """The loss on D′ after an inner step on D, and what adds −α·d to its gradient."""
        inner = gradient(loss, params)
        near = {n: p - self.inner_lr * inner[n] for n, p in params.items()}
        outer = loss(near, batch=1)
        if not self.hessian_free:
            return outer
        curved = dot(params, self._curvature(loss, params, near))
        return outer - self.inner_lr * (curved - curved.detach())

    def adapt(self) -> tuple[Phase, ...]:
        """One step on one batch of training data."""
        return (Phase("all", self.inner_lr, epochs=1, steps=1),)

    def _curvature(self, loss: Loss, params: Tensors, near: Tensors) -> Tensors:
        """The difference quotient d, a constant."""
        v = gradient(lambda tensors: loss(tensors, batch=1), near)

        def moved(by: float) -> Tensors:
            at = {name: p + by * v[name] for name, p in params.items()}
            return gradient(lambda tensors: loss(tensors, batch=2), at)

        ahead, behind = moved(self.delta), moved(-self.delta)
        return {name: (ahead[name] - behind[name]) / (2 * self.delta) for name in params}
