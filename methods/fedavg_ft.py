"""Federated averaging whose model each client fine-tunes before it is evaluated."""

from dataclasses import dataclass

from pfltune.knobs import knob
from pfltune.method import Phase

from .fedavg import FedAvg


@dataclass(frozen=True, kw_only=True)
class FedAvgFT(FedAvg):
    """FedAvg-FT, as pFL-Bench names it (Chen et al., NeurIPS 2022, arXiv 2206.03655).

    Rounds are FedAvg's. Before each evaluation a client trains the whole shared model on its own
    training data, and throws the result away afterwards. That this rivals most personalized methods
    is found by FedBench (Matsuda et al. 2022, arXiv 2206.13190), and why by Collins et al. (NeurIPS
    2022, arXiv 2205.13692).
    """

    title = "FedAvg-FT"
    published_payload = ""

    finetune_epochs: int = knob(1, low=1, high=50, log=True, doc="epochs before an evaluation")
    finetune_lr: float = knob(0.01, low=1e-4, high=1.0, log=True, doc="learning rate of these")

    def adapt(self) -> tuple[Phase, ...]:
        """Everything, at a rate of its own."""
        return (Phase("all", self.finetune_lr, self.finetune_epochs),)
