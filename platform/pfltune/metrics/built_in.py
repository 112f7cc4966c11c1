"""The metrics that have a name.

Each is over what a client has: of the classes that none of its samples is of, no recall, no F1 and
no ranking says anything about it.
"""

from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from pfltune.devices import as_arrays
from pfltune.figures import Better
from pfltune.metrics.base import Metric

BINS = 15
"""Of confidence, of equal width, as in Guo et al. 2017."""


class Share(Metric):
    """A number from 0 to 1, told in percent."""

    unit = "share"
    factor = 100
    form = "{:.2f}"
    better: ClassVar[Better] = "high"


class BalancedAccuracy(Share):
    """Mean recall over the classes that a client has."""

    name: Literal["balanced_accuracy"] = "balanced_accuracy"
    words = "mean recall over the classes that a client has"
    heading = "balanced accuracy %"

    def of(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Every class counts as much as any other, however many samples it has."""
        hits = (logits.argmax(dim=1) == labels).double()
        none = hits.new_zeros(logits.shape[1])
        samples = none.index_add(0, labels, torch.ones_like(hits))
        recalls = none.index_add(0, labels, hits) / samples.clamp(min=1)
        return recalls.sum() / (samples > 0).sum()


class Loss(Metric):
    """Mean cross-entropy in nats."""

    name: Literal["loss"] = "loss"
    words = "mean cross-entropy in nats"
    heading = "loss"
    unit = "nats"
    form = "{:.3f}"
    better = "low"

    def of(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of float64 softmax, so that a sure mistake is large and never infinite."""
        return cross_entropy(logits.double(), labels)


class MacroF1(Share):
    """Mean F1 over the classes that a client has."""

    name: Literal["macro_f1"] = "macro_f1"
    words = "mean F1 over the classes that a client has"
    heading = "macro F1 %"

    def of(self, logits: Tensor, labels: Tensor) -> float:
        """Predictions of a class that the client lacks are mistakes in those that it has."""
        from sklearn.metrics import f1_score  # a second, which a trial without it need not wait

        right, said = as_arrays(labels, logits.argmax(dim=1))
        had = np.unique(right)
        return float(f1_score(right, said, labels=had, average="macro", zero_division=0))


class Auroc(Share):
    """Mean one-vs-rest AUROC over the classes that a client has; of two classes, of the second."""

    name: Literal["auroc"] = "auroc"
    words = (
        "area under the ROC curve, one-vs-rest, mean over the classes that a client has; nothing "
        "of a client with a single one"
    )
    heading = "AUROC %"

    def of(self, logits: Tensor, labels: Tensor) -> float:
        """NaN where all samples are of one class: there is nothing that one could be told from."""
        from sklearn.metrics import roc_auc_score

        right, shares = as_arrays(labels, logits.double().softmax(dim=1))
        had = np.unique(right)
        if len(had) < 2:
            return float("nan")
        asked = had if shares.shape[1] > 2 else had[1:]
        return float(roc_auc_score(right[:, None] == asked, shares[:, asked]))


class Ece(Share):
    """Expected calibration error of the predicted class, over 15 bins of confidence."""

    name: Literal["ece"] = "ece"
    words = (
        "expected calibration error: mean distance of confidence and accuracy over 15 bins of "
        "confidence (Guo et al. 2017)"
    )
    heading = "ECE %"
    better: ClassVar[Better] = "low"

    def of(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Σ |Bₘ|/n · |acc(Bₘ) − conf(Bₘ)|; a confidence on an edge is of the bin below."""
        sure, said = logits.double().softmax(dim=1).max(dim=1)
        bins = (sure * BINS).ceil().long().clamp(1, BINS) - 1
        apart = (said == labels).double() - sure
        return sure.new_zeros(BINS).index_add(0, bins, apart).abs().sum() / len(labels)
