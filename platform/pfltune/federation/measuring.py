"""From what a client's model answers to the figures of an evaluation."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from pfltune.devices import brought_over
from pfltune.errors import noted
from pfltune.federation.evaluation import Counts, Evaluation, Measured
from pfltune.federation.pooling import Answers, Pooled
from pfltune.metrics import Metric, measures, number


class Row(NamedTuple):
    """What was measured of one client, on the device.

    Attributes:
        numbers: hits in each part, then each metric's number in each.
        tested: its answers to its test samples, where all clients' are looked at together.
    """

    numbers: Tensor
    tested: Answers | None = None


class Measuring:
    """Hits, and the metrics that a scenario names, of one client after the other.

    Args:
        metrics: what is asked beside hits.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = list(zip(metrics, measures(metrics), strict=True))

    @property
    def may_draw(self) -> bool:
        """Whether what is measured may depend on what was before: a metric draws as it likes."""
        return bool(self._metrics)

    def row(self, logits: Tensor, labels: Tensor, sizes: list[int], where: str) -> Row:
        """What one client answers, measured.

        Args:
            logits: float32 (samples, classes).
            labels: int64 (samples,).
            sizes: samples of each part, one part behind the other.
            where: names client and round in an error of a metric's own code.
        """
        hits = torch.stack([part.sum() for part in (logits.argmax(1) == labels).split(sizes)])
        if not self._metrics:
            return Row(hits)
        parts = list(zip(logits.split(sizes), labels.split(sizes), strict=True))
        values = []
        for metric, measure in self._metrics:
            with noted(f"metric {measure.name}, {where}"), torch.inference_mode():
                values += [number(metric.of(*part), labels.device) for part in parts]
        tested = Answers(*parts[1]) if parts[1:] else None
        return Row(torch.cat([hits.double(), torch.stack(values)]), tested)

    def evaluation(
        self, clients: Sequence[int], rows: Sequence[Row], sizes: list[list[int]]
    ) -> Evaluation:
        """The clients' rows together, brought over from the device at once.

        Args:
            clients: their indices.
            rows: of :meth:`row`.
            sizes: samples of each part of each client.

        Raises:
            ValueError: a metric gave an infinite number.
        """
        columns = list(zip(*brought_over([row.numbers for row in rows]), strict=True))
        samples = list(zip(*sizes, strict=True))
        val, *test = (
            Counts(tuple(map(int, found)), of) for found, of in zip(columns, samples, strict=False)
        )
        extras = tuple(
            self._measured(place, clients, columns[len(samples) * (1 + place) :][: len(samples)])
            for place in range(len(self._metrics))
        )
        answers = tuple(row.tested for row in rows if row.tested is not None)
        return Evaluation(tuple(clients), val, test[0] if test else None, extras, answers)

    def together(self, evaluation: Evaluation) -> Evaluation:
        """The same with what all clients' answers are worth together, and without these."""
        pooled = self.pooled(evaluation.answers, apart=True)
        return replace(evaluation, answers=(), pooled=pooled)

    def pooled(self, answers: Sequence[Answers], *, apart: bool = False) -> Pooled | None:
        """What the metrics say of these samples together; None without any, or without metrics.

        Args:
            answers: of each client.
            apart: whether each client's confusion matrix is wanted, too.
        """
        return Pooled.of(answers, self._metrics, apart=apart) if self._metrics else None

    def _measured(
        self, place: int, clients: Sequence[int], parts: list[tuple[float, ...]]
    ) -> Measured:
        _, measure = self._metrics[place]
        for values in parts:
            for client, value in zip(clients, values, strict=True):
                if math.isinf(value):
                    raise ValueError(f"metric {measure.name} of client {client} is {value}")
        return Measured(measure.name, measure.better, parts[0], parts[1] if parts[1:] else None)
