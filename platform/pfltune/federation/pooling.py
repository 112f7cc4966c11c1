"""What is said of all clients' test samples together, as if they were one client's."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pfltune.devices import as_arrays
from pfltune.errors import noted
from pfltune.figures import ACCURACY, Measure
from pfltune.metrics import Metric, number

Cell = tuple[int, int, int]
"""The right class, the one that was predicted, and how often."""


class Answers(NamedTuple):
    """What a model says to samples, and what is right, on the device.

    Attributes:
        logits: float32 (samples, classes).
        labels: int64 (samples,).
    """

    logits: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Pooled:
    """Figures of the test samples of all clients together.

    Attributes:
        samples: how many there are.
        figures: by name of accuracy or a metric; those that say nothing are missing.
        confusion: the cells of the confusion matrix in which any sample is, by row and column.
        by_client: the same of each client, in the order of the answers, where these were asked for.
    """

    samples: int
    figures: Mapping[str, float] = field(default_factory=dict)
    confusion: tuple[Cell, ...] = ()
    by_client: tuple[tuple[Cell, ...], ...] = ()

    @classmethod
    def of(
        cls,
        answers: Iterable[Answers],
        metrics: Sequence[tuple[Metric, Measure]],
        where: str = "all clients together",
        *,
        apart: bool = False,
    ) -> "Pooled | None":
        """The figures of some clients' answers; None without a sample.

        Args:
            answers: of each client.
            metrics: what is asked beside accuracy.
            where: named in an error of a metric's own code.
            apart: whether each client's confusion matrix is wanted, too.
        """
        parts = list(answers)
        if not any(len(each.labels) for each in parts):
            return None
        logits, labels = (torch.cat(each) for each in zip(*parts, strict=True))
        found = {ACCURACY.name: (logits.argmax(dim=1) == labels).double().mean()}
        for metric, measure in metrics:
            with noted(f"metric {measure.name}, {where}"), torch.inference_mode():
                found[measure.name] = number(metric.of(logits, labels), labels.device)
        (values,) = as_arrays(torch.stack(list(found.values())))
        said = {n: float(v) for n, v in zip(found, values, strict=True) if np.isfinite(v)}
        right, predicted = as_arrays(labels, logits.argmax(dim=1))
        ends = np.cumsum([len(each.labels) for each in parts])[:-1] if apart else None
        split = (
            ()
            if ends is None
            else zip(np.split(right, ends), np.split(predicted, ends), strict=True)
        )
        each = tuple(_counted(*of) for of in split)
        return cls(len(labels), said, _counted(right, predicted), each)

    @classmethod
    def from_plain(cls, content: Mapping[str, Any] | None) -> "Pooled | None":
        """The inverse of :meth:`plain`."""
        if content is None:
            return None
        confusion, *by_client = (
            tuple(tuple(cell) for cell in cells)
            for cells in (content["confusion"], *content.get("by_client", ()))
        )
        return cls(content["samples"], dict(content["figures"]), confusion, tuple(by_client))

    def plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        cells, *by_client = (
            [list(cell) for cell in cells] for cells in (self.confusion, *self.by_client)
        )
        found = {"samples": self.samples, "figures": dict(self.figures), "confusion": cells}
        return found | ({"by_client": by_client} if by_client else {})


def _counted(right: np.ndarray, predicted: np.ndarray) -> tuple[Cell, ...]:
    pairs, times = np.unique(np.stack([right, predicted]), axis=1, return_counts=True)
    return tuple((int(r), int(p), int(n)) for (r, p), n in zip(pairs.T, times, strict=True))
