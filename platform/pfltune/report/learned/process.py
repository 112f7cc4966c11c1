"""A Gaussian process over configurations, rounds and seeds, by scikit-learn.

A score is a curve over rounds that all configurations share, plus what the knobs do, plus what
belongs to one trial alone (another seed would have given another) or to one seed alone, plus noise.
Only the first two are predicted. The third and fourth make one trial with one seed count for what
it is: not for as many observations as it has rounds.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from threadpoolctl import threadpool_limits

from pfltune.report.learned.coding import Coding
from pfltune.report.learned.observed import SEARCH, Row

FAR, NEAR = 1e5, 1e-3
"""Length scales along which everything is alike, and along which all that differs is unlike."""
KNOBS, ROUNDS = (0.25, 5.0), (0.3, 5.0)
"""Those that are possible, of ranges of length 1 and in doublings of rounds."""
LASTING = 3.0
"""Doublings of rounds over which a trial keeps what belongs to it alone."""
Scale = float | tuple[float, float]
Theta = np.ndarray


@dataclass(frozen=True, eq=False)
class Process:
    """A fitted Gaussian process.

    Attributes:
        coding: of configurations.
        last: the round that it predicts, or the share of a budget.
        inputs: what it was fitted to, (rows, columns).
        signal: covariance of what is predicted, a kernel of scikit-learn.
        cholesky: of the covariance of all rows, lower, (rows, rows).
        weights: of the rows, (rows,).
        centre, scale: of the scores, in percent.
        theta: the hyperparameters, as scikit-learn orders them.
    """

    coding: Coding
    last: float
    inputs: np.ndarray
    signal: Any
    cholesky: np.ndarray
    weights: np.ndarray
    centre: float
    scale: float
    theta: Theta

    def mean(self, places: np.ndarray, after: float | None = None) -> np.ndarray:
        """The predicted score in percent, by default at the last round, (configurations,)."""
        across = self.signal(self._inputs(places, after), self.inputs)
        return self.centre + self.scale * (across @ self.weights)

    def covariance(self, places: np.ndarray) -> np.ndarray:
        """How sure that is, in percent squared, (configurations, configurations)."""
        inputs = self._inputs(places)
        known = solve_triangular(self.cholesky, self.signal(self.inputs, inputs), lower=True)
        return self.scale**2 * (self.signal(inputs) - known.T @ known)

    def deviation(self, places: np.ndarray) -> np.ndarray:
        """Its standard deviation, in percent, (configurations,)."""
        inputs = self._inputs(places)
        known = solve_triangular(self.cholesky, self.signal(self.inputs, inputs), lower=True)
        variance = self.signal.diag(inputs) - (known**2).sum(0)
        return self.scale * np.sqrt(variance.clip(min=0.0))

    def likeness(self, places: np.ndarray, others: np.ndarray) -> np.ndarray:
        """How alike each configuration is to the likest of others, (configurations,)."""
        return self.signal.k2(self._inputs(places), self._inputs(others)).max(1)

    @property
    def prior_deviation(self) -> float:
        """How unsure it would be of what the knobs do without any trial, in percent."""
        return self.scale * float(np.sqrt(self.signal.k2.k1.constant_value))

    def _inputs(self, places: np.ndarray, after: float | None = None) -> np.ndarray:
        place = _round(self.last if after is None else after, self.last)
        columns = self.coding.columns(places)
        return np.column_stack(
            [columns, np.full(len(columns), place), np.full(len(columns), SEARCH)]
        )


def fit(
    rows: Sequence[Row], coding: Coding, last: float, begin: Theta | None = None, tries: int = 1
) -> Process:
    """Fit to rows by marginal likelihood; the same on any number of threads.

    Args:
        rows: at least two, of different scores.
        coding: of their configurations.
        last: the round to predict.
        begin: hyperparameters to start from.
        tries: how many other starts are tried, too.
    """
    from sklearn.gaussian_process import GaussianProcessRegressor

    inputs = _rows(rows, coding, last)
    scores = np.array([row.score for row in rows])
    centre, scale = float(scores.mean()), _spread(rows)
    kernel = _kernel(inputs.shape[1] - 2)
    kernel = kernel if begin is None else kernel.clone_with_theta(begin)
    model = GaussianProcessRegressor(kernel, n_restarts_optimizer=tries, random_state=0)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a length scale at its bound is no news
        model.fit(inputs, (scores - centre) / scale)
    fitted = model.kernel_
    return Process(
        coding, last, inputs, fitted.k1, model.L_, model.alpha_, centre, scale, fitted.theta
    )


def _rows(rows: Sequence[Row], coding: Coding, last: float) -> np.ndarray:
    columns = coding.columns(coding.places([row.knobs for row in rows]))
    rounds = [_round(row.round, last) for row in rows]
    return np.column_stack([columns, rounds, [row.seed for row in rows]])


def _round(number: float, last: float) -> float:
    """Where a round or a share stands: 0 for the last, -1 for half as far."""
    return float(np.log2(number / last))


def _spread(rows: Sequence[Row]) -> float:
    """By how much scores after the same round differ."""
    rounds = np.array([row.round for row in rows])
    scores = np.array([row.score for row in rows])
    apart = [scores[rounds == each] - scores[rounds == each].mean() for each in set(rounds)]
    return float(np.sqrt(np.mean(np.concatenate(apart) ** 2))) or 1.0


def _kernel(columns: int) -> Any:
    """The covariance, what is predicted first; inputs are columns of knobs, round and seed."""
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

    def along(knobs: Scale, rounds: Scale, seeds: Scale) -> dict[str, Any]:
        scales = [*[knobs] * columns, rounds, seeds]
        bounds = np.array([each if isinstance(each, tuple) else (each, each) for each in scales])
        is_free = any(isinstance(each, tuple) for each in scales)
        middle = np.sqrt(bounds.prod(1))
        return {"length_scale": middle, "length_scale_bounds": bounds if is_free else "fixed"}

    curve = ConstantKernel(3.0, (1e-2, 1e4)) * RBF(**along(FAR, ROUNDS, FAR))
    knobs = ConstantKernel(1.0, (1e-2, 30.0)) * Matern(**along(KNOBS, ROUNDS, FAR), nu=2.5)
    trial = ConstantKernel(0.1, (1e-3, 3.0)) * RBF(**along(NEAR, LASTING, NEAR))
    seed = ConstantKernel(0.1, (1e-3, 3.0)) * RBF(**along(FAR, FAR, NEAR))
    return (curve + knobs) + (trial + seed + WhiteKernel(0.01, (1e-4, 1.0)))
