"""A personal model beside the shared one, held near it."""

from dataclasses import dataclass

from torch import Tensor

from pfltune.knobs import knob
from pfltune.method import LocalWork, Loss, Method, Start, Tensors, Update, squared_distance


@dataclass(frozen=True, kw_only=True)
class Ditto(Method):
    """Ditto (Li et al., ICML 2021, arXiv 2012.04221).

    The shared model w is trained as in FedAvg. Beside it each client trains a personal model v on
    f_i(v) + (λ/2)·‖v − w‖² with w as it was downloaded, and predicts with v. Both models meet the
    same batches, so a client takes twice the local steps of FedAvg. With λ = 0, v is Local's model.
    """

    title = "Ditto"

    lam: float = knob(0.1, low=0.0, high=10.0, doc="weight λ of the pull towards the shared model")

    def init_client(self, start: Start, client: int) -> Tensors:
        """The personal model begins where the shared one does."""
        return dict(start.shared)

    def assemble(self, down: Tensors, personal: Tensors) -> Tensors:
        """The personal model predicts."""
        return personal

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """Both models, one after the other."""
        w = work.fit(down, self.phases())
        v = work.fit(personal, self.phases(), self.objective, context=down)
        return Update(upload=w, personal=v, weight=work.samples)

    def objective(self, loss: Loss, params: Tensors, context: Tensors) -> Tensor:
        """The personal model's loss, and its pull towards the shared model."""
        return loss(params) + self.lam / 2 * squared_distance(params, context)
