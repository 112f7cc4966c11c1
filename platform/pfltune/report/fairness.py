"""How evenly a figure is spread over clients, beside its standard deviation and worst decile.

Of a figure of n clients that is nowhere below 0, mean over seeds as those are.
"""

from collections.abc import Callable

import numpy as np

from pfltune import figures
from pfltune.report.results import MethodResult


def gini(values: np.ndarray) -> float:
    """Σᵢⱼ |xᵢ − xⱼ| / (2n² x̄) (Gini 1912): 0 where all are alike, near 1 where one has all.

    Args:
        values: float64 (clients,). NaN without any, where all are 0 or where one is below 0.
    """
    if not _can_be_shared(values):
        return float("nan")
    places = np.arange(1, len(values) + 1)
    shares = (places * np.sort(values)).sum() / values.sum()
    return float(max(0.0, (2 * shares - len(values) - 1) / len(values)))


def jain(values: np.ndarray) -> float:
    """(Σxᵢ)² / (n Σxᵢ²) (Jain, Chiu & Hawe 1984): 1 where all are alike, 1/n where one has all.

    Args:
        values: as of :func:`gini`.
    """
    if not _can_be_shared(values):
        return float("nan")
    return float(values.sum() ** 2 / (len(values) * (values**2).sum()))


INDICES = {figures.TEST_GINI: gini, figures.TEST_JAIN: jain}


def over_runs(method: MethodResult, index: Callable[[np.ndarray], float]) -> float:
    """An index of the clients' test figures, mean over studies and seeds."""
    found = [index(run.goal.score(np.array(run.test, dtype=np.float64))) for run in method.runs]
    return float(np.mean(found)) if found else float("nan")


def _can_be_shared(values: np.ndarray) -> bool:
    return bool(len(values)) and bool((values >= 0).all()) and bool(values.sum() > 0)
