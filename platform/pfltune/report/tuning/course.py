"""The best so far by trial, beside what chance alone would have made of the same trials."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom

from pfltune.goal import Goal
from pfltune.report.canvas import Drawing, canvas, legend, whole_numbers
from pfltune.report.tuning.tuned import Tuned

BAND = 0.15
LOW, HIGH = 0.1, 0.9
"""Quantiles of the band."""


@dataclass(frozen=True)
class Control:
    """The best so far of trials in random order, after each of them.

    Attributes:
        mean: over the orders in which there is one.
        low, high: its quantiles over all of these.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def control(values: list[float], trials: int) -> Control:
    """The same trials in random order, exactly.

    Among the first k of n trials, the best is the j-th lowest of m values with the probability
    that k trials drawn at random hold it and none above it. Trials without a value count as below
    all; an order that has none of the m so far is left out.

    Args:
        values: of the trials that ran all rounds.
        trials: how many there were in all, those included.
    """
    ordered = np.sort(np.array(values, dtype=np.float64))
    lower = trials - len(ordered) + np.arange(len(ordered) + 1)  # below or at each, none first
    rows = [_after(ordered, lower, trials, drawn) for drawn in range(1, trials + 1)]
    return Control(*np.array(rows).T)


def _after(
    ordered: np.ndarray, lower: np.ndarray, trials: int, drawn: int
) -> tuple[float, float, float]:
    """Mean and quantiles of the best of ``drawn`` trials."""
    below = hypergeom.pmf(drawn, trials, lower, drawn)  # that all drawn are among the lower ones
    below = np.where(lower < drawn, 0.0, below)
    shares = np.diff(below) / (1 - below[0])
    places = np.cumsum(shares)
    low, high = ordered[np.minimum(np.searchsorted(places, (LOW, HIGH)), len(ordered) - 1)]
    return float(shares @ ordered), float(low), float(high)


def best_so_far(tuned: Tuned) -> Drawing | None:
    """Best validation figure of whole trials; None for fewer than two of them."""
    reached = np.array(tuned.search.best_so_far)
    full = [run.value for run in tuned.method.searched if run.outcome == "finished" and run.curve]
    if len(full) < 2 or len(set(full)) < 2:
        return None
    goal = tuned.goal
    figure, axes = canvas("search trials", f"best {goal.axis('validation', ' so far')}")
    trials = np.arange(1, len(reached) + 1)
    by_chance = control(full, len(reached))
    axes.plot(
        trials, goal.scale * by_chance.mean, color="0.45", linestyle="--", label="in random order"
    )
    band = {"color": "0.45", "alpha": BAND, "linewidth": 0, "label": "8 in 10 orders"}
    ends = (goal.scale * by_chance.low, goal.scale * by_chance.high)
    axes.fill_between(trials, *ends, **band)
    label = tuned.method.title
    look = {"label": label, "markersize": 4, **tuned.style.curve}
    axes.step(trials, goal.scale * reached, where="post", **look)
    whole_numbers(axes.xaxis)
    legend(figure, axes)
    return Drawing("tuning-best-so-far", _caption(goal, len(full), len(reached)), figure)


def _caption(goal: Goal, full: int, trials: int) -> str:
    of = "" if full == trials else f" of {trials}"
    return (
        f"Best validation {goal.noun} so far, among the {full}{of} trials that ran all rounds. "
        "Dashed: what it would be on average had the same configurations come in random order, "
        "worked out exactly. That is no random search of its own: it says whether good ones came "
        "early, not whether random ones would have been as good."
    )
