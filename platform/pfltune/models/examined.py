"""What is told of kept models that have been tested: each client's figures, and all together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pfltune.federation.evaluation import Evaluation
from pfltune.federation.federation import Federation
from pfltune.federation.measuring import Measuring
from pfltune.figures import ACCURACY, Measure, or_none
from pfltune.goal import Goal, mean_of
from pfltune.metrics import BUILT_IN, measures

if TYPE_CHECKING:
    import pandas as pd


def with_all_metrics(federation: Federation) -> Federation:
    """The same with every metric of pfltune beside those of its scenario."""
    there = {measure.name for measure in measures(federation.metrics)}
    more = (metric(name=name) for name, metric in BUILT_IN.items() if name not in there)
    return replace(federation, metrics=(*federation.metrics, *more))


@dataclass(frozen=True)
class Row:
    """How one client did.

    Attributes:
        client: its name, or its index where it has none.
        number: its index in the trial; None if it is new.
        val, test: accuracy in [0, 1] on samples of each part; of data that are one part, ``test``.
        samples: how many ``test`` is of.
        figures: of the same samples by the metrics, by name; None where one says nothing of them.
        recorded: what the comparison has for ``test``; None where it has nothing.
        recorded_goal: what it has for the metric that it goes by, where that is not accuracy.
    """

    client: str
    number: int | None
    val: float | None
    test: float
    samples: int
    figures: Mapping[str, float | None]
    recorded: float | None = None
    recorded_goal: float | None = None

    @property
    def new(self) -> bool:
        """Whether it is none of the trial's and was personalised first."""
        return self.number is None


def rows_of(
    found: Evaluation, named: Callable[[int], str], new: bool = False, has_val: bool = True
) -> list[Row]:
    """The clients of an evaluation on test samples, in its order.

    Args:
        found: the evaluation.
        named: what a client is called, by its index.
        new: whether they have been personalised.
        has_val: whether their validation samples are any.
    """
    assert found.on_test is not None
    return [
        Row(
            named(client),
            None if new else client,
            found.val[place] if has_val else None,
            found.on_test.accuracies[place],
            found.on_test.samples[place],
            {each.name: or_none((each.test or ())[place]) for each in found.extras},
        )
        for place, client in enumerate(found.clients)
    ]


@dataclass(frozen=True)
class Examined:
    """Kept models that have been tested.

    Attributes:
        rows: one per client.
        goal: what the comparison goes by.
        metrics: what has been computed beside accuracy.
        pooled: figures of all clients' samples together, accuracy among them, by name.
        notes: what has been left out and what was done to the data, a line each.
    """

    rows: tuple[Row, ...]
    goal: Goal
    metrics: tuple[Measure, ...]
    pooled: Mapping[str, float]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        rows: Sequence[Row],
        federation: Federation,
        found: Sequence[Evaluation],
        notes: Sequence[str] = (),
    ) -> "Examined":
        """What some evaluations of one federation come to.

        Args:
            rows: of all of them.
            federation: with :func:`with_all_metrics`.
            found: the evaluations.
            notes: see the class.
        """
        answers = [answer for evaluation in found for answer in evaluation.answers]
        pooled = Measuring(federation.metrics).pooled(answers)
        assert pooled is not None
        return cls(
            tuple(rows),
            federation.goal,
            measures(federation.metrics),
            pooled.figures,
            tuple(notes),
        )

    def told(self, *notes: str) -> "Examined":
        """The same with more notes."""
        return replace(self, notes=(*self.notes, *notes))

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """All figures: what the comparison goes by, accuracy, then the others."""
        first = (self.goal.measure, ACCURACY)
        return tuple({each.name: each for each in (*first, *self.metrics)}.values())

    @property
    def samples(self) -> int:
        """Of all clients together."""
        return sum(row.samples for row in self.rows)

    def mean(self, measure: Measure) -> float:
        """Over the clients that have a figure; NaN where none has."""
        values = [value_of(row, measure) for row in self.rows]
        return mean_of(Goal(measure), [v for v in values if v is not None])

    def mean_recorded(self, measure: Measure) -> float | None:
        """The same of what was recorded; None unless that is known of every client."""
        known = [self.recorded(row, measure) for row in self.rows]
        found = [value for value in known if value is not None]
        return mean_of(Goal(measure), found) if found and len(found) == len(known) else None

    def recorded(self, row: Row, measure: Measure) -> float | None:
        """What the comparison has for a client's figure; None where it has nothing."""
        if measure.name == ACCURACY.name:
            return row.recorded
        return row.recorded_goal if measure.name == self.goal.name else None

    def frame(self) -> "pd.DataFrame":
        """A row per client, see :func:`pfltune.evaluate_model`."""
        import pandas as pd

        frame = pd.DataFrame([self._plain(row) for row in self.rows]).set_index("client")
        whole = {"samples": "int64", "new": "bool", "number": "Int64"}
        frame = frame.astype({name: whole.get(name, "float64") for name in frame.columns})
        frame.attrs |= {"pooled": dict(self.pooled), "notes": list(self.notes)}
        return frame

    def plain(self) -> dict[str, Any]:
        """As JSON takes it, which has no NaN."""
        means = {m.name: self.mean(m) for m in self.measures}
        return {
            "metric": self.goal.name,
            "clients": [self._plain(row) for row in self.rows],
            "mean": {name: or_none(mean) for name, mean in means.items()},
            "pooled": {"samples": self.samples, **self.pooled},
            "notes": list(self.notes),
        }

    def _plain(self, row: Row) -> dict[str, Any]:
        """A row with the metric that is gone by in front."""
        beside = dict(row.figures)
        first: dict[str, Any] = {"client": row.client}
        if not self.goal.is_accuracy:
            name = self.goal.name
            first |= {name: beside.pop(name), f"recorded_{name}": row.recorded_goal}
        accuracy = {"val": row.val, "test": row.test, "samples": row.samples}
        who = {"new": row.new, "number": row.number}
        return {**first, **accuracy, "recorded": row.recorded, **who, **beside}


def value_of(row: Row, measure: Measure) -> float | None:
    """A client's figure; None where it has none."""
    return row.test if measure.name == ACCURACY.name else row.figures[measure.name]
