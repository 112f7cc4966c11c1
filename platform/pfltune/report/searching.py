"""What the search of each method learned, from its search trials alone."""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pfltune.knobs import Value
from pfltune.ranking import Outcome, best_index
from pfltune.report.dimensions import Dimension, dimensions_of, is_range
from pfltune.report.results import MethodResult, SearchedRun

EDGE = 0.02
"""A best value within this share of its range's end is said to lie at the edge."""
FEWEST = 4
"""Trials without which importances are not computed."""


@dataclass(frozen=True)
class Searching:
    """The search of one method.

    Attributes:
        method: whose it is.
        winner: the trial that won, by the rule of the search; None if none has a figure.
        first: the first trial, which has the start values; None if it has no figure.
        best_so_far: score of the winner after each trial, among those that ran all rounds; NaN
            before the first of them.
        round: the last round that every trial with a figure has an score of; 0 for none.
        compared: these trials, with their score after that round.
        importances: of the knobs that all of them have, adding up to 1, the largest first; empty
            for few trials.
        edges: what lies at the end of its range, in words.
        space: the searched knobs by name.
    """

    method: MethodResult
    winner: SearchedRun | None
    first: SearchedRun | None
    best_so_far: tuple[float, ...]
    round: int
    compared: tuple[tuple[SearchedRun, float], ...]
    importances: Mapping[str, float]
    edges: tuple[str, ...]
    space: Mapping[str, Dimension]

    @property
    def gain(self) -> float:
        """Percentage points of the winner over the first trial.

        NaN where they did not run equally far: then their scores do not compare.
        """
        if self.winner is None or self.first is None or self.winner.rounds != self.first.rounds:
            return math.nan
        return 100 * (self.winner.value - self.first.value)

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
    winner = _winner(ran)
    ranges = {name: bounds for name, bounds in space.get("search", {}).items() if is_range(bounds)}
    common, compared = _at_one_round(ran)
    return Searching(
        method=method,
        winner=winner,
        first=next((run for run in ran if run.index == 0), None),
        best_so_far=_running_best(ordered),
        round=common,
        compared=compared,
        importances=_importances(compared, ranges),
        edges=tuple(_edges(winner.knobs, ranges, limits)) if winner else (),
        space=dimensions_of(space, [run.knobs for run in ordered]),
    )


def _winner(ran: Iterable[SearchedRun]) -> SearchedRun | None:
    by_index = {run.index: run for run in ran}
    best = best_index((index, Outcome(run.rounds, run.value)) for index, run in by_index.items())
    return None if best is None else by_index[best]


def _running_best(runs: Sequence[SearchedRun]) -> tuple[float, ...]:
    best, found = math.nan, []
    for run in runs:
        if run.outcome == "finished" and run.curve:
            best = run.value if math.isnan(best) else max(best, run.value)
        found.append(best)
    return tuple(found)


def _at_one_round(ran: Sequence[SearchedRun]) -> tuple[int, tuple[tuple[SearchedRun, float], ...]]:
    """The last round that all trials have, and each with its score there.

    A trial that still runs is left out, lest it hold all others back.
    """
    over = [run for run in ran if run.outcome != "running"]
    curves = [dict(run.curve) for run in over]
    common = max(set.intersection(*map(set, curves)), default=0) if curves else 0
    if not common:
        return 0, ()
    return common, tuple((run, curve[common]) for run, curve in zip(over, curves, strict=True))


def _importances(
    compared: Sequence[tuple[SearchedRun, float]], ranges: Mapping[str, Any]
) -> dict[str, float]:
    """By Optuna (PED-ANOVA, Watanabe et al., IJCAI 2023, arXiv 2304.10255)."""
    import optuna

    runs = [run for run, _ in compared]
    shared = [name for name in ranges if all(name in run.knobs for run in runs)]
    varied = [name for name in shared if len({run.knobs[name] for run in runs}) > 1]
    if len(runs) < FEWEST or len(varied) < 2:
        return {}  # of a single knob the share is 1, whatever it does
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        optuna.trial.create_trial(
            params={name: run.knobs[name] for name in varied},
            distributions={name: distribution(run.knobs[name], ranges[name]) for name in varied},
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


def distribution(value: Value, bounds: Sequence[Any]) -> Any:
    """Optuna's, of a knob that has this value, from its lowest and highest one and its scale."""
    from optuna.distributions import FloatDistribution, IntDistribution

    low, high, log = bounds
    if isinstance(value, int):
        return IntDistribution(int(low), int(high), log=bool(log))
    return FloatDistribution(low, high, log=bool(log))


def _edges(
    knobs: Mapping[str, Value], ranges: Mapping[str, Any], limits: Mapping[str, Sequence[Any]]
) -> Iterable[str]:
    """Best values at an end beyond which the knob could go; at its own limit there is no beyond."""
    for name, (low, high, log) in ranges.items():
        value = knobs.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        place = position(value, low, high, log=bool(log))
        lowest, highest = limits.get(name, (None, None))
        for is_near, word, end, limit in (
            (place < EDGE, "lowest", low, lowest),
            (place > 1 - EDGE, "highest", high, highest),
        ):
            if is_near and end != limit:
                yield f"{name} = {value:g} is the {word} that was searched ({low:g} to {high:g})"


def position(value: float, low: float, high: float, *, log: bool) -> float:
    """Where a value lies in its range, from 0 to 1."""
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)
