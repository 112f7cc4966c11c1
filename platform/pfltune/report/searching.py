"""What the search of each method learned, from its search trials alone."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pfltune.knobs import Value
from pfltune.report.results import MethodResult, SearchedRun

EDGE = 0.02
"""A best value within this share of its range's end is said to lie at the edge."""
FEWEST = 4
"""Trials without which importances are not computed."""


@dataclass(frozen=True)
class Gain:
    """How much tuning was worth: the winner against the published values.

    Both are read after the same number of rounds, the most that both came to, since the published
    values may have been stopped early.

    Attributes:
        published: objective of the first trial, in [0, 1].
        best: objective of the winner.
        round: after which both are read.
    """

    published: float
    best: float
    round: int

    @property
    def points(self) -> float:
        """Percentage points of validation accuracy."""
        return 100 * (self.best - self.published)


@dataclass(frozen=True)
class Searching:
    """The search of one method.

    Attributes:
        method: whose it is.
        best_so_far: best objective after each trial, in the order of the suggestions.
        gain: over the published values; None without a winner or a first trial.
        importances: of the knobs that every trial has, adding up to 1, the largest first; empty for
            few trials.
        edges: what lies at the end of its range, in words.
    """

    method: MethodResult
    best_so_far: tuple[float, ...]
    gain: Gain | None
    importances: Mapping[str, float]
    edges: tuple[str, ...]


def search_of(method: MethodResult, space: Mapping[str, Any]) -> Searching:
    """What the search of a method learned.

    Args:
        method: with its search trials.
        space: its part of ``spaces`` in comparison.json: under ``search`` the choices of each knob,
            or lowest and highest value and whether it is logarithmic.
    """
    ran = [run for run in method.searched if run.curve and run.outcome != "failed"]
    winner = max(ran, key=lambda run: (run.rounds, run.value, -run.index), default=None)
    ranges = {name: bounds for name, bounds in space.get("search", {}).items() if _is_range(bounds)}
    return Searching(
        method=method,
        best_so_far=_running_best(method.searched),
        gain=_gain(ran, winner),
        importances=_importances(ran, ranges),
        edges=tuple(_edges(winner.knobs, ranges)) if winner else (),
    )


def _running_best(runs: Sequence[SearchedRun]) -> tuple[float, ...]:
    best, found = 0.0, []
    for run in sorted(runs, key=lambda run: run.index):
        value = run.value if run.outcome != "failed" else math.nan
        best = max(best, 0.0 if math.isnan(value) else value)
        found.append(best)
    return tuple(found)


def _gain(ran: Sequence[SearchedRun], winner: SearchedRun | None) -> Gain | None:
    first = next((run for run in ran if run.index == 0), None)
    if first is None or winner is None:
        return None
    one, other = dict(first.curve), dict(winner.curve)
    shared = max(one.keys() & other.keys(), default=None)
    return None if shared is None else Gain(one[shared], other[shared], shared)


def _importances(ran: Sequence[SearchedRun], ranges: Mapping[str, Any]) -> dict[str, float]:
    """By Optuna (PED-ANOVA, Watanabe et al., IJCAI 2023, arXiv 2304.10255)."""
    import optuna

    shared = [name for name in ranges if all(name in run.knobs for run in ran)]
    varied = [name for name in shared if len({run.knobs[name] for run in ran}) > 1]
    if len(ran) < FEWEST or not varied:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        optuna.trial.create_trial(
            params={name: run.knobs[name] for name in varied},
            distributions={name: _distribution(run.knobs[name], ranges[name]) for name in varied},
            value=run.value,
        )
        for run in ran
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Optuna warns where the trials do not suffice
        try:
            found = optuna.importance.get_param_importances(study)
        except (UserWarning, ValueError):
            return {}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _distribution(value: Value, bounds: Sequence[Any]) -> Any:
    from optuna.distributions import FloatDistribution, IntDistribution

    low, high, log = bounds
    if isinstance(value, int):
        return IntDistribution(int(low), int(high), log=bool(log))
    return FloatDistribution(low, high, log=bool(log))


def _edges(knobs: Mapping[str, Value], ranges: Mapping[str, Any]) -> list[str]:
    found = []
    for name, (low, high, log) in ranges.items():
        value = knobs.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        place = position(value, low, high, log=bool(log))
        if place < EDGE or place > 1 - EDGE:
            end = "lowest" if place < EDGE else "highest"
            found.append(f"{name} = {value:g} is the {end} that was searched ({low:g} to {high:g})")
    return found


def position(value: float, low: float, high: float, *, log: bool) -> float:
    """Where a value lies in its range, from 0 to 1."""
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)


def _is_range(bounds: Sequence[Any]) -> bool:
    numbers = [b for b in bounds[:2] if isinstance(b, int | float) and not isinstance(b, bool)]
    return len(bounds) == 3 and len(numbers) == 2 and isinstance(bounds[2], bool)
