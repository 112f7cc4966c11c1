"""A shared initialisation that a few local steps make personal."""

from dataclasses import dataclass

from torch import Tensor

from pfltune.knobs import knob
from pfltune.method import Loss, Method, Phase, Tensors, gradient


@dataclass(frozen=True, kw_only=True)
class PerFedAvg(Method):
    """Per-FedAvg, first-order variant (Fallah et al., NeurIPS 2020, arXiv 2002.07948).

    MAML over clients: w ← w − β·∇f_i(w − α·∇f_i(w; D); D′) with batches D and D′ drawn
    independently, the second derivatives left out. Everything is shared; before each evaluation
    a client takes one step of rate α on a batch of its training data. Each local step costs two
    passes through the model.
    """

    title = "Per-FedAvg"

    lr: float = knob(0.001, low=1e-4, high=1.0, log=True, doc="rate β of the outer step")
    inner_lr: float = knob(0.001, low=1e-4, high=1.0, log=True, doc="rate α of the inner step")

    def phases(self) -> tuple[Phase, ...]:
        """Two batches for each step."""
        return (Phase("all", self.lr, batches=2),)

    def objective(self, loss: Loss, params: Tensors, context: Tensors) -> Tensor:
        """The loss on D′ after an inner step on D."""
        inner = gradient(loss, params)
        return loss({n: p - self.inner_lr * inner[n] for n, p in params.items()}, batch=1)

    def adapt(self) -> tuple[Phase, ...]:
        """One step on one batch of training data."""
        return (Phase("all", self.inner_lr, epochs=1, steps=1),)
