"""Methods over several scenarios: interquartile means, improvement, performance profiles.

The definitions are those of rliable (Agarwal et al. 2021, arXiv 2108.13264): a run is a seed of the
confirmation, with several searches of a method one of each, and a task is a scenario. Intervals are
by the stratified bootstrap, which draws runs within each scenario; they are about these scenarios,
and with few runs too narrow, so that nothing is called different by them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import stats

from pfltune.goal import Goal
from pfltune.report.canvas import Drawing, canvas, legend
from pfltune.report.styles import Style
from pfltune.ties import settled

FEWEST_SCENARIOS = 2
RESAMPLES = 1_999
CUT = 0.25
MARKS = 8  # on a curve
ENDS = (0.025, 0.975)


@dataclass(frozen=True)
class Estimate:
    """A figure with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Aggregates:
    """What is said of methods over all scenarios together.

    Attributes:
        scores: test scores by short name of a method, (runs, scenarios); as many runs
            of each in each scenario, which is the fewest that any has.
        first: the method that the others are held against.
        iqm: interquartile mean of all scores of a method, of the middle half of them.
        improvement: probability that a run of a method has a better figure than one of
            ``first`` in the same scenario, ties half, mean over scenarios; not of ``first`` itself.
    """

    scores: Mapping[str, np.ndarray]
    first: str
    iqm: Mapping[str, Estimate]
    improvement: Mapping[str, Estimate]

    @property
    def runs(self) -> int:
        """Of each method in each scenario."""
        return len(self.scores[self.first])

    @property
    def scenarios(self) -> int:
        """How many there are."""
        return self.scores[self.first].shape[1]


def aggregate(found: Mapping[str, Sequence[Sequence[float]]]) -> Aggregates | None:
    """Put scenarios together.

    Args:
        found: test scores of each run in each scenario, by method, the one first that the
            others are held against.

    Returns:
        None with fewer than two scenarios, or without a method.
    """
    if not found or len(next(iter(found.values()))) < FEWEST_SCENARIOS:
        return None
    runs = min(len(each) for scenarios in found.values() for each in scenarios)
    scores = {
        name: settled(np.array([each[:runs] for each in scenarios]).T)
        for name, scenarios in found.items()
    }
    first, *others = scores
    drawn = {name: _drawn(each, place) for place, (name, each) in enumerate(scores.items())}
    return Aggregates(
        scores,
        first,
        {
            name: _estimate(interquartile_mean(each), interquartile_mean(drawn[name]))
            for name, each in scores.items()
        },
        {
            name: _estimate(
                improvement(scores[name], scores[first]), improvement(drawn[name], drawn[first])
            )
            for name in others
        },
    )


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """Mean of what is left without the lowest and the highest quarter, each rounded down.

    Args:
        scores: (…, runs, scenarios).

    Returns:
        (…).
    """
    flat = scores.reshape(*scores.shape[:-2], -1)
    return np.asarray(stats.trim_mean(flat, CUT, axis=-1))


def improvement(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Share of pairs of a run each in which the first is higher; equals count half.

    Within each scenario this is Mann and Whitney's U by the number of pairs.

    Args:
        scores: (…, runs, scenarios).
        others: (…, other runs, scenarios).

    Returns:
        Its mean over scenarios, (…).
    """
    signs = np.sign(scores[..., :, None, :] - others[..., None, :, :])
    return np.asarray((1 + signs.mean((-3, -2, -1))) / 2)


def profile(scores: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Share of all runs in all scenarios with a score above each of ``levels``."""
    return np.asarray((scores[..., None] > levels).mean((-3, -2)))


def profiles_figure(
    found: Aggregates, titles: Mapping[str, str], styles: Mapping[str, Style], goal: Goal
) -> Drawing:
    """The performance profile of each method.

    Args:
        found: of at least one method.
        titles, styles: of the methods by short name.
        goal: what the scores are of.
    """
    beyond = "below" if goal.is_minimised else "above"
    figure, axes = canvas(goal.axis("test", " τ"), f"share of runs {beyond} τ")
    every = np.concatenate([each.ravel() for each in found.scores.values()])
    # A step falls where a figure is reached: just before it the run still counts.
    levels = np.unique(np.concatenate([[max(every.min() - 0.01, goal.limits[0])], every]))
    for name, scores in found.scores.items():
        style = styles[name]
        axes.step(
            goal.scale * levels,
            profile(scores, levels),
            where="post",
            label=titles[name],
            color=style.colour,
            linestyle=style.line,
            marker=style.marker,
            markersize=4,
            markevery=max(1, len(levels) // MARKS),
        )
    legend(figure, axes)
    caption = (
        f"Performance profiles: the share of runs, {found.runs} in each of "
        f"{found.scenarios} scenarios, whose test {goal.noun} is {beyond} τ. A curve above "
        "another is "
        "better at that level (Agarwal et al. 2021)."
    )
    return Drawing("performance-profiles", caption, figure)


def _drawn(scores: np.ndarray, place: int) -> np.ndarray:
    """Runs drawn with replacement within each scenario, (resamples, runs, scenarios)."""
    rng = np.random.default_rng(place)
    chosen = rng.integers(len(scores), size=(RESAMPLES, *scores.shape))
    take = partial(np.take_along_axis, axis=1)
    return np.asarray(take(np.broadcast_to(scores, chosen.shape), chosen))


def _estimate(value: np.ndarray, drawn: np.ndarray) -> Estimate:
    low, high = np.quantile(drawn, ENDS)
    return Estimate(float(value), float(low), float(high))
