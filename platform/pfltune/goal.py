"""What a comparison goes by: the figure that rounds, searches and tables are ranked by.

A *score* is a number of which more is better: the figure itself, or of one that is minimised the
figure with the other sign. Selection, halving, samplers, races and statistics know scores alone, so
that a direction is decided in one place; figures, tables and axes show the figure as it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import exp, inf, isnan, nan
from statistics import fmean
from typing import Any, overload

import numpy as np

from pfltune import figures
from pfltune.errors import unknown
from pfltune.figures import Figure, Measure, Part
from pfltune.ties import exact_mean

MINUS = "−"
LOWEST = -1e9
"""The score of a trial of which nothing is known yet, where 0 would be a good one; finite, since
certificates and samplers hold no infinite numbers."""
PERCENT = " %"


@dataclass(frozen=True)
class Goal:
    """A figure of clients that is maximised or minimised.

    Attributes:
        measure: the figure; it has a direction.
    """

    measure: Measure

    @property
    def name(self) -> str:
        """As in ``protocol.metric``."""
        return self.measure.name

    @property
    def is_accuracy(self) -> bool:
        """Whether it is what is gone by unless something else is asked for."""
        return self.name == figures.ACCURACY.name

    @property
    def is_minimised(self) -> bool:
        """Whether the lowest figure is the best."""
        return self.measure.better == "low"

    @property
    def direction(self) -> str:
        """As Optuna names it."""
        return "minimize" if self.is_minimised else "maximize"

    @property
    def highest(self) -> str:
        """``highest`` or ``lowest``: which figure is the best."""
        return "lowest" if self.is_minimised else "highest"

    @property
    def nothing(self) -> float:
        """The score of a trial before its first evaluation, and of one that failed."""
        return 0.0 if self._is_share and not self.is_minimised else LOWEST

    def is_nothing(self, score: float, metrics: Mapping[str, float]) -> bool:
        """Whether a round's score stands for no figure at all.

        Args:
            score: of the trial after the round.
            metrics: its figures there.
        """
        if self.is_accuracy:
            return False
        return score <= LOWEST or (score == self.nothing and self.best.name not in metrics)

    @property
    def limits(self) -> tuple[float, float]:
        """Between which scores lie."""
        if not self._is_share:
            return (-inf, inf)
        return (-1.0, 0.0) if self.is_minimised else (0.0, 1.0)

    @overload
    def score(self, figure: float) -> float: ...
    @overload
    def score(self, figure: np.ndarray) -> np.ndarray: ...
    def score(self, figure: float | np.ndarray) -> float | np.ndarray:
        """The score that a figure is worth, and the other way round."""
        return -figure if self.is_minimised else figure

    def covered(self, score: float) -> float:
        """The score as a share of the best there can be, for areas below a front.

        Of what is minimised e⁻ᶠ, so of a cross-entropy the probability of the right class.
        """
        return exp(score) if self.is_minimised else score

    @cached_property
    def scale(self) -> float:
        """What a score, or a difference of two, is multiplied by to be drawn or written."""
        return -self.measure.factor if self.is_minimised else self.measure.factor

    @property
    def of_hundredfold(self) -> float:
        """The same of a hundredfold score, which a surrogate is fitted to."""
        return self.scale / 100

    def margin_text(self, hundredfold: float) -> str:
        """How far hundredfold scores are apart: of a share in points with one digit."""
        apart = abs(self.of_hundredfold * hundredfold)
        return f"{apart:.1f}" if self._is_share else self.written_as(apart)

    def text(self, score: float) -> str:
        """The figure as people read it."""
        return self.written_as(self.scale * score)

    def shortly(self, score: float) -> str:
        """In percent with one digit, or as it is written."""
        return f"{self.scale * score:.1f}" if self._is_share else self.text(score)

    def exactly(self, score: float) -> str:
        """With four digits that say something, and its unit."""
        return f"{self.scale * score:.4g}{self.unit}"

    def spread(self, deviation: float) -> str:
        """A standard deviation or a margin of scores."""
        return self.measure.form.format(abs(self.scale) * deviation)

    def span(self, low: float, high: float) -> tuple[float, float]:
        """The ends of an interval of scores as figures to be written, the lower first."""
        ends = self.scale * low, self.scale * high
        return (ends[1], ends[0]) if self.is_minimised else ends

    def written_as(self, figure: float) -> str:
        """A figure in the unit that it is shown in, as of :meth:`span`."""
        return self.measure.form.format(figure + 0.0)  # no minus before a 0

    def target_text(self, score: float) -> str:
        """A figure that is to be reached: percent with one digit, others as they are written."""
        return f"{self.scale * score:.1f} %" if self._is_share else self.text(score)

    def signed(self, difference: float) -> str:
        """A difference of scores as one of figures, with its sign; what rounds to 0 has none."""
        return self.written(self.scale * difference)

    def written(self, apart: float) -> str:
        """The same of a difference in the figure's own unit."""
        size, none = (self.measure.form.format(abs(each)) for each in (apart, 0.0))
        if size == none:
            return none
        return f"{MINUS if apart < 0 else '+'}{size}"

    @property
    def noun(self) -> str:
        """``accuracy``; behind ``test`` and ``validation``."""
        if self.is_accuracy:
            return "accuracy"
        return (self.measure.heading or self.name.replace("_", " ")).removesuffix(PERCENT)

    @property
    def unit(self) -> str:
        """Behind a figure in a sentence: `` %``, or nothing."""
        return PERCENT if self._is_share else ""

    @property
    def points(self) -> str:
        """Behind a difference in a sentence: `` points``, or nothing."""
        return " points" if self._is_share else ""

    @property
    def apart(self) -> str:
        """What differences are in: ``percentage points``, or the figure's own unit."""
        return "percentage points" if self._is_share else self.measure.unit or "its own unit"

    def heading(self, part: str = "test") -> str:
        """Of a column: ``test accuracy %``."""
        return f"{part} {self.noun}{self.unit}"

    def axis(self, part: str, of: str = "") -> str:
        """Of an axis: ``test accuracy of a client, %``."""
        return f"{part} {self.noun}{of}{',' + self.unit if self.unit else ''}"

    def of(self, part: Part, ending: str = "") -> Figure:
        """In an evaluated round."""
        return self._all[figures.on(part, self.name + ending)]

    def selected(self, part: Part, ending: str = "") -> Figure:
        """In the round that was chosen on validation."""
        return self._all[figures.selected(part, self.name + ending)]

    @cached_property
    def unseen(self) -> Figure:
        """Over the clients that never trained with the others, in the same round."""
        return self._all[figures.unseen(figures.on("test", self.name))]

    @cached_property
    def best(self) -> Figure:
        """The best validation figure so far, which a search goes by."""
        if self.is_accuracy:
            return figures.BEST_VAL
        does = "minimises" if self.is_minimised else "maximises"
        words = f"best mean validation {self.noun} so far, which the search {does}"
        return self._like(figures.BEST_VAL, f"val/best_{self.name}", words)

    @cached_property
    def search_best(self) -> Figure:
        """The best of the search trials so far."""
        if self.is_accuracy:
            return figures.SEARCH_BEST
        name = f"search/best_{self.name}"
        return self._like(figures.SEARCH_BEST, name, figures.SEARCH_BEST.words)

    def of_table(self, known: Figure) -> Figure:
        """A figure of the table that is told of accuracy, in the same unit, told of this one."""
        if self.is_accuracy:
            return known
        made = self._like(
            known,
            known.name.replace(figures.ACCURACY.name, self.name),
            known.words.replace(figures.ACCURACY.name, self.noun),
        )
        in_percent = known.heading.endswith(PERCENT)
        heading = known.heading.removesuffix(PERCENT) + (self.unit if in_percent else "")
        is_spread = known.better == "low"
        return replace(made, heading=heading, better="low" if is_spread else made.better)

    def named(self, known: Figure) -> Figure:
        """A figure that is made of accuracies in a unit of its own, made of this one."""
        name = known.name.replace(figures.ACCURACY.name, self.name)
        return replace(known, name=name, words=known.words.replace("accuracies", f"{self.noun}s"))

    def _like(self, known: Figure, name: str, words: str) -> Figure:
        measure = self.measure
        return replace(
            known,
            name=name,
            words=words,
            unit=measure.unit,
            factor=measure.factor,
            form=measure.form,
            better=measure.better,
        )

    @property
    def _is_share(self) -> bool:
        return self.measure.unit == "share" and self.measure.factor == 100

    @cached_property
    def _all(self) -> Mapping[str, Figure]:
        return {figure.name: figure for figure in self.measure.figures()}


ACCURACY = Goal(figures.ACCURACY)


def goal_of(name: str, measures: Iterable[Measure]) -> Goal:
    """What is gone by.

    Args:
        name: as in ``protocol.metric``.
        measures: what is computed beside accuracy.

    Raises:
        UserError: it is none of them, or has no direction.
    """
    known = {each.name: each for each in (figures.ACCURACY, *measures) if each.better}
    if name not in known:
        raise unknown("metric", name, known)
    return ACCURACY if name == ACCURACY.name else Goal(known[name])


def mean_of(goal: Goal, values: Sequence[float]) -> float:
    """Over the clients that have a value; NaN where none has.

    Accuracies are shares of few samples, whose mean is rounded once, so that ties are ties.
    """
    if goal.is_accuracy:
        return exact_mean(values) if values else nan
    found = [value for value in values if not isnan(value)]
    return fmean(found) if found else nan


TESTED = ("test", "metrics", "metric")
"""What of a chosen round the mean score of its tests is made of."""


def figures_of(selected: Mapping[str, Any], part: Part) -> Sequence[float]:
    """What each client has in the chosen round of the figure that the trial went by.

    Args:
        selected: see :class:`pfltune.tracking.events.Selected`.
        part: of its samples.
    """
    name = selected.get("metric", ACCURACY.name)
    if name == ACCURACY.name:
        return list(selected.get(part, ()))
    return next(list(each[part]) for each in selected["metrics"] if each["name"] == name)


def tested(selected: Mapping[str, Any] | None) -> float:
    """The mean score over clients of the tests in the chosen round; NaN where there are none."""
    return mean_score(selected, "test") if selected else nan


def mean_score(selected: Mapping[str, Any], part: Part) -> float:
    """The mean score over clients in the chosen round; NaN where no client has a figure.

    Args:
        selected, part: as of :func:`figures_of`.
    """
    name, goal = selected.get("metric", ACCURACY.name), ACCURACY
    for each in selected.get("metrics", ()):
        if each["name"] == name:
            goal = Goal(Measure(name, "", better=each["better"]))
    return goal.score(mean_of(goal, figures_of(selected, part)))
