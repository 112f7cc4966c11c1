"""What the search of each method learned, from its search trials alone."""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pfltune.knobs import Value
from pfltune.ranking import best_first
from pfltune.report.choosing import chosen_finalist, outcomes
from pfltune.report.dimensions import Dimension, dimensions_of, is_number
from pfltune.report.results import MethodResult, SearchedRun

EDGE = 0.02
"""A best value within this share of its range's end is said to lie at the edge."""
FEWEST = 4
"""Trials without which importances are not computed."""


@dataclass(frozen=True)
class Edge:
    """A best value at an end of what was searched, beyond which the knob could go.

    Attributes:
        knob: its name.
        value: the best one.
        end: at which end it lies.
        searched: the ends of what was searched, or all of the numbers that were.
        log: whether it stands on a logarithmic scale.
        limit: how far the knob can go at this end; None for as far as one likes.
    """

    knob: str
    value: float
    end: Literal["lowest", "highest"]
    searched: tuple[float, ...]
    log: bool
    limit: float | None

    @property
    def words(self) -> str:
        """In a sentence."""
        ends = f"{min(self.searched):g} to {max(self.searched):g}"
        return f"{self.knob} = {self.value:.4g} is the {self.end} that was searched ({ends})"


@dataclass(frozen=True)
class Searching:
    """The search of one method.

    Attributes:
        method: whose it is.
        winner: the trial of the configuration that was chosen; before one is, or where the search
            alone chooses, the best by its rule. None if none has a figure.
        first: the first trial, which has the start values; None if it has no figure.
        best_so_far: highest score after each trial, among those that ran all rounds; NaN
            before the first of them.
        round: the last round, or share of a budget, that every trial with a figure has a score of;
            0 for none.
        compared: these trials, with their score after that round.
        importances: of the knobs that all of them have, adding up to 1, the largest first; empty
            for few trials.
        edges: what of the best values lies at the end of its range.
        space: the searched knobs by name.
    """

    method: MethodResult
    winner: SearchedRun | None
    first: SearchedRun | None
    best_so_far: tuple[float, ...]
    round: float
    compared: tuple[tuple[SearchedRun, float], ...]
    importances: Mapping[str, float]
    edges: tuple[Edge, ...]
    space: Mapping[str, Dimension]

    def counted(self, outcome: str) -> int:
        """The number of trials that ended so."""
        return sum(run.outcome == outcome for run in self.method.searched)


def search_of(
    method: MethodResult, space: Mapping[str, Any], limits: Mapping[str, Sequence[Any]]
) -> Searching:
    """What the search of a method learned.

    Args:
        method: with its search trials.
        space: its part of ``spaces`` in comparison.json: under ``search`` the choices of each knob,
            or lowest and highest value and whether it is logarithmic.
        limits: its part of ``limits``: the lowest and highest value that each knob can have.
    """
    ordered = sorted(method.searched, key=lambda run: run.index)
    ran = [run for run in ordered if run.curve and run.outcome != "failed"]
    winner = _winner(method, ran)
    dimensions = dimensions_of(space, [run.knobs for run in ordered])
    best = method.best or (winner.knobs if winner else {})
    common, compared = _at_one_round(ran)
    return Searching(
        method=method,
        winner=winner,
        first=next((run for run in ran if run.index == 0), None),
        best_so_far=_running_best(ordered),
        round=common,
        compared=compared,
        importances=_importances(compared, dimensions.values()),
        edges=tuple(_edges(best, dimensions, limits)),
        space=dimensions,
    )


def _winner(method: MethodResult, ran: Iterable[SearchedRun]) -> SearchedRun | None:
    by_index = {run.index: run for run in ran}
    if chosen := chosen_finalist(method):
        return by_index[chosen.index]
    order = best_first(outcomes(ran), method.course)
    # Of a front, the most accurate that none dominates need not be the first of equals.
    own = (n for n in order if by_index[n].knobs == method.best)
    best = next(own, next(iter(order), None))
    return None if best is None else by_index[best]


def _running_best(runs: Sequence[SearchedRun]) -> tuple[float, ...]:
    best, found = math.nan, []
    for run in runs:
        if run.outcome == "finished" and run.curve and run.fits:
            best = run.value if math.isnan(best) else max(best, run.value)
        found.append(best)
    return tuple(found)


def _at_one_round(
    ran: Sequence[SearchedRun],
) -> tuple[float, tuple[tuple[SearchedRun, float], ...]]:
    """The last round or share of a budget that all trials have, and each with its score there.

    A trial that still runs is left out, lest it hold all others back; so is one that would send
    more than it may, which is stopped at once.
    """
    over = [run for run in ran if run.outcome != "running" and run.fits]
    curves = [dict(run.course) for run in over]
    common = max(set.intersection(*map(set, curves)), default=0) if curves else 0
    if not common:
        return 0, ()
    return common, tuple((run, curve[common]) for run, curve in zip(over, curves, strict=True))


def _importances(
    compared: Sequence[tuple[SearchedRun, float]], dimensions: Iterable[Dimension]
) -> dict[str, float]:
    """By Optuna (PED-ANOVA, Watanabe et al., IJCAI 2023, arXiv 2304.10255)."""
    import optuna

    runs = [run for run, _ in compared]
    shared = [each for each in dimensions if all(each.name in run.knobs for run in runs)]
    varied = [each for each in shared if len({run.knobs[each.name] for run in runs}) > 1]
    if len(runs) < FEWEST or len(varied) < 2:
        return {}  # of a single knob the share is 1, whatever it does
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        optuna.trial.create_trial(
            params={each.name: run.knobs[each.name] for each in varied},
            distributions={each.name: distribution(each) for each in varied},
            value=value,
        )
        for run, value in compared
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Optuna warns where the trials do not suffice
        try:
            found = optuna.importance.get_param_importances(study)
        except (UserWarning, ValueError):
            return {}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def distribution(knob: Dimension) -> Any:
    """Optuna's, of a searched knob."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if knob.choices:
        return CategoricalDistribution(knob.choices)
    if knob.whole:
        return IntDistribution(int(knob.low), int(knob.high), log=knob.log)
    return FloatDistribution(knob.low, knob.high, log=knob.log)


def _edges(
    knobs: Mapping[str, Value],
    space: Mapping[str, Dimension],
    limits: Mapping[str, Sequence[Any]],
) -> Iterable[Edge]:
    """Best values at an end beyond which the knob could go; at its own limit there is no beyond."""
    for name, searched in space.items():
        value = knobs.get(name)
        if not is_number(value) or not searched.is_number:
            continue
        ends = tuple(filter(is_number, searched.choices)) or (searched.low, searched.high)
        lowest, highest = limits.get(name, (None, None))
        place = searched.place(value)
        if place < EDGE and min(ends) != lowest:
            yield Edge(name, value, "lowest", ends, searched.log, lowest)
        if place > 1 - EDGE and max(ends) != highest:
            yield Edge(name, value, "highest", ends, searched.log, highest)
