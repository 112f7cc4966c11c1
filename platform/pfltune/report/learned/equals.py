"""Which configurations are not told apart from the chosen one.

All that are truly as good as the chosen one are named together with a probability of 90 % or more
(``RATE``; tests/test_plateau.py holds it by simulation), half of the rest allowed to each of two
ways of telling apart:

* Finalists, which were trained with the same fresh seeds, are compared by seed. The test is
  Tukey's of a table of configurations × seeds (seeds are its blocks), which allows for the chosen
  one being the best of them; of two finalists it is the paired t-test.
* All others have one seed, and most have fewer rounds. They are compared by what the surrogate
  predicts of both at the last round, with a band that holds for all of them at once. So without a
  surrogate none of them is named.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats

from pfltune.goal import ACCURACY, Goal
from pfltune.randomness import numpy_rng
from pfltune.report.learned.found import Equal, Tried
from pfltune.report.learned.surrogate import Surrogate
from pfltune.ties import settled

RATE = 0.9
"""The probability with which all that are truly as good as the chosen one are named."""
ALPHA = (1 - RATE) / 2
DRAWS = 4_000


def equals_of(
    chosen: Tried, others: Sequence[Tried], surrogate: Surrogate | None, goal: Goal = ACCURACY
) -> tuple[Equal, ...]:
    """Those of the others that are not told apart, finalists first, then by what is predicted."""
    finalists = [each for each in others if chosen.values and each.values]
    rest = [] if surrogate is None else [each for each in others if not each.values]
    return (*_paired(chosen, finalists), *_predicted(chosen, rest, surrogate, goal))


def paired_p(table: np.ndarray) -> np.ndarray:
    """p-value of the difference between each row and the first, by Tukey's range test.

    Args:
        table: scores, (configurations, seeds), at least two of each. Seeds shift whole columns.
    """
    rows, seeds = table.shape
    means = table.mean(1)
    rest = settled(table - means[:, None] - table.mean(0) + table.mean())
    freedom = (rows - 1) * (seeds - 1)
    error = np.sqrt((rest**2).sum() / freedom / seeds)
    apart = np.abs(settled(means - means[0]))
    if error == 0:
        return np.where(apart > 0, 0.0, 1.0)
    return stats.studentized_range.sf(apart / error, rows, freedom)


def _paired(chosen: Tried, finalists: Sequence[Tried]) -> Iterable[Equal]:
    """Over the seeds that all of them have."""
    if not finalists:
        return
    seeds = sorted(set.intersection(*(set(each.values) for each in (chosen, *finalists))))
    ranked = sorted(finalists, key=lambda each: (-settled(each.mean), each.index))
    if len(seeds) < 2:
        yield from (Equal(each, "one common seed tells nothing apart") for each in ranked)
        return
    table = np.array([[each.values[seed] for seed in seeds] for each in (chosen, *ranked)])
    for each, p in zip(ranked, paired_p(table)[1:], strict=True):
        if p > ALPHA:
            yield Equal(each, f"paired over {len(seeds)} seeds, p = {p:.2f}")


def _predicted(
    chosen: Tried, others: Sequence[Tried], surrogate: Surrogate | None, goal: Goal
) -> Iterable[Equal]:
    if surrogate is None or not others:
        return
    below, margin = margins(surrogate, [chosen, *others])
    for number in np.argsort(settled(below), kind="stable"):
        if below[number] <= margin[number]:
            both = (goal.margin_text(each[number]) for each in (below, margin))
            told = " ± ".join(both) + goal.points
            way = "below" if (below[number] >= 0) != goal.is_minimised else "above"
            yield Equal(others[number], f"by the model: {told} {way}")


def margins(surrogate: Surrogate, tried: Sequence[Tried]) -> tuple[np.ndarray, np.ndarray]:
    """How far each hundredfold score is predicted below the first, and how sure that is.

    All true differences are at least the predicted ones less their margins, together with a
    probability of 1 - ALPHA.
    """
    process = surrogate.process
    places = process.coding.places([each.knobs for each in tried])
    mean, covariance = process.mean(places), process.covariance(places)
    contrast = np.column_stack([np.ones(len(tried) - 1), -np.eye(len(tried) - 1)])
    errors = contrast @ covariance @ contrast.T
    deviation = np.sqrt(np.diag(errors).clip(min=1e-12))
    return contrast @ mean, _simultaneous(errors, deviation) * deviation


def _simultaneous(errors: np.ndarray, deviation: np.ndarray) -> float:
    """The quantile of the greatest of correlated errors, each in its standard deviations."""
    values, vectors = np.linalg.eigh(errors)
    root = vectors * np.sqrt(values.clip(min=0.0))
    normal = numpy_rng(0, "equals").standard_normal((DRAWS, len(errors)))
    return float(np.quantile((normal @ root.T / deviation).max(1), 1 - ALPHA))
