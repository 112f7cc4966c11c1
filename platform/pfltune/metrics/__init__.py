"""What is computed from each client's predictions beside top-1 accuracy."""

from typing import Annotated

from pfltune.metrics.base import Metric, check, measures, number, try_metrics
from pfltune.metrics.built_in import Auroc, BalancedAccuracy, Ece, Loss, MacroF1
from pfltune.plugins import Seam, Section, at_hand

__all__ = [
    "BUILT_IN",
    "SEAM",
    "AnyMetric",
    "BalancedAccuracy",
    "Metric",
    "measures",
    "number",
    "try_metrics",
]

BUILT_IN: dict[str, type[Metric]] = {
    "loss": Loss,
    "balanced_accuracy": BalancedAccuracy,
    "macro_f1": MacroF1,
    "auroc": Auroc,
    "ece": Ece,
}
SEAM = Seam("metric", "pfltune.metrics", Metric, at_hand(BUILT_IN), check)
AnyMetric = Annotated[Metric, Section(SEAM, brief=True)]
