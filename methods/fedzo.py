"""Personal prompts learned from forward passes alone on an 8-bit backbone."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pfltune import parts
from pfltune.knobs import knob
from pfltune.method import (
    LocalWork,
    Loss,
    Method,
    Start,
    Tensors,
    Update,
    found_under,
    not_under,
    put_under,
)

from ._int8 import quantize
from ._prompts import PROMPTS, add_prompts
from ._zeroth_order import descend, estimated_gradient, learner_start

STATE = "zo."


@dataclass(frozen=True, kw_only=True)
class FedZO(Method):
    """ZOODiP's learner (Seo et al., CVPR 2025, arXiv 2503.14868) on a federated vision transformer.

    The backbone is frozen in 8 bits. Each client learns K personal prompts (K × l) by Adam on
    gradients that are estimated from n perturbed forward passes, less the directions in which its
    last τ iterates varied least; they are found anew every τ steps. As in the public code, Adam's
    ε is 1e-3 and the estimate is divided by √((D + n − 1)/n), D the directions that are left of
    K·l. The head is personal and takes SGD steps on its own gradient, which ends at the head's
    input: nothing is propagated back through the backbone, and no byte travels after the broadcast
    of the backbone. Not taken over: the sampling of diffusion timesteps, half precision, and the
    one direction without any variance that the public code projects out as well (which one it is
    depends on rounding).
    """

    title = "FedZO"
    family = "forward only"
    needs_float32 = True  # the losses that it compares differ in the third decimal

    lr: float = knob(0.005, low=1e-4, high=1.0, log=True, doc="Adam's rate for the prompts")
    head_lr: float = knob(0.05, low=1e-4, high=1.0, log=True, doc="SGD's rate for the head")
    prompts: int = knob(1, low=1, high=200, log=True, doc="number of prompts K")
    directions: int = knob(2, low=1, high=64, log=True, doc="perturbed forward passes n per step")
    mu: float = knob(1e-3, low=1e-5, high=0.1, log=True, doc="size μ of a perturbation")
    history: int = knob(128, low=3, high=1024, log=True, doc="iterates τ that span the subspace")
    nu: float = knob(1e-3, low=0.0, high=0.5, doc="share ν of variance that is projected out")
    precision: str = knob("int8", choices=("int8", "float"), doc="weights of the frozen backbone")

    def graft(self, model: nn.Module) -> None:
        """Add prompts, freeze everything else but the head, and quantise what is frozen."""
        parts.freeze(model, but={*add_prompts(model, self.prompts), *parts.head(model)})
        if self.precision == "int8":
            quantize(model)

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """Prompts and head: all that trains."""
        return parts.everything(model)

    def init_client(self, start: Start, client: int) -> Tensors:
        """Prompts and head, Adam's state, no iterates yet, nothing to project out yet."""
        learner = learner_start(start.personal[PROMPTS])
        return {**start.personal, **put_under(STATE, learner)}

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """One step for each batch; nothing goes up."""
        rng = work.generator()
        for loss in work.batches():
            personal = self._step(personal, loss, work.rate, rng)
        return Update(upload={}, personal=personal, weight=work.samples)

    def _step(self, personal: Tensors, loss: Loss, rate: float, rng: torch.Generator) -> Tensors:
        model, learner = not_under(STATE, personal), found_under(STATE, personal)
        prompts = model.pop(PROMPTS)
        base, head = self._head_step(model, prompts, loss, self.head_lr * rate)

        def perturbed(moved: Tensor) -> Tensor:
            return loss({**model, PROMPTS: moved})

        found = estimated_gradient(perturbed, prompts, base, self.directions, self.mu, rng)
        rules = (self.directions, self.lr * rate, self.history, self.nu)
        prompts, learner = descend(learner, prompts, found, *rules)
        return {**head, PROMPTS: prompts, **put_under(STATE, learner)}

    def _head_step(
        self, head: Tensors, prompts: Tensor, loss: Loss, lr: float
    ) -> tuple[Tensor, Tensors]:
        """The loss at the present point, and the head after its step."""
        with torch.enable_grad():
            leaves = {n: t.clone().requires_grad_() for n, t in head.items()}
            base = loss({**leaves, PROMPTS: prompts})
            grads = torch.autograd.grad(base, list(leaves.values()))
        moved = {n: head[n] - lr * g for n, g in zip(head, grads, strict=True)}
        return base.detach(), moved
