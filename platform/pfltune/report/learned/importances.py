"""How much of the score each knob decides, and how sure that is.

A knob's share is its total Sobol index: of the variance of the predicted score over the whole
space, the part that is gone once all other knobs are held. Where knobs act together, shares add up
to more than 1.
"""

from collections.abc import Sequence

import numpy as np

from pfltune.randomness import numpy_rng
from pfltune.report.learned.coding import evenly
from pfltune.report.learned.found import Importance
from pfltune.report.learned.process import Process
from pfltune.report.learned.surrogate import Surrogate

POINTS, DRAWS = 64, 100
INTERVAL = (0.025, 0.975)
SURE = 0.9
"""How often one knob must be the most important for the trials to say so."""


def importances_of(surrogate: Surrogate) -> tuple[tuple[Importance, ...], str]:
    """Of each knob, the largest first, and what is to be said of how sure that is.

    The interval is over responses drawn from what the surrogate holds possible after the trials. It
    is widened by how much a share moves with the trials that the surrogate is fitted to.
    """
    if len(surrogate.knobs) < 2:
        return (), ""  # of a single knob the share is 1, whatever it does
    shares = _widened(sobol(surrogate.process), surrogate.without)
    found = [
        Importance(knob, float(np.mean(column)), *map(float, np.quantile(column, INTERVAL)))
        for knob, column in zip(surrogate.knobs, shares.T, strict=True)
    ]
    ranked = sorted(found, key=lambda each: (-each.share, each.knob))
    note = "" if _is_sure(shares) else f"{len(surrogate.tried)} trials say little"
    return tuple(ranked), note


def _widened(shares: np.ndarray, without: Sequence[Process]) -> np.ndarray:
    """The draws, further from their mean by the jackknife's variance over parts left out."""
    centre = shares.mean(0)
    means = np.array([sobol(process).mean(0) for process in without])
    moved = (len(means) - 1) * means.var(0)
    factor = np.sqrt(1 + moved / shares.var(0).clip(min=1e-12))
    return (centre + factor * (shares - centre)).clip(0.0, 1.0)


def _is_sure(shares: np.ndarray) -> bool:
    """Whether one knob is the most important in nearly all draws."""
    return bool(np.bincount(shares.argmax(1)).max() >= SURE * len(shares))


def sobol(process: Process) -> np.ndarray:
    """Total indices of responses drawn from the process, (draws, knobs), by Jansen's estimator."""
    coding = process.coding
    rng = numpy_rng(0, "importances")
    first, second = np.hsplit(evenly(POINTS, 2 * len(coding.dimensions)), 2)
    mixed = [_exchanged(first, second, number) for number in range(len(coding.dimensions))]
    places = coding.spread(np.concatenate([first, *mixed]))
    drawn = _responses(process, places, rng).reshape(DRAWS, len(mixed) + 1, POINTS)
    variance = drawn[:, 0].var(1, keepdims=True)
    total = ((drawn[:, :1] - drawn[:, 1:]) ** 2).mean(2) / 2 / variance.clip(min=1e-12)
    return total.clip(max=1.0)  # the few points may make it more


def _exchanged(first: np.ndarray, second: np.ndarray, number: int) -> np.ndarray:
    changed = first.copy()
    changed[:, number] = second[:, number]
    return changed


def _responses(process: Process, places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Drawn from what is possible after the trials, (draws, configurations)."""
    values, vectors = np.linalg.eigh(process.covariance(places))
    root = vectors * np.sqrt(values.clip(min=0.0))
    return process.mean(places) + rng.standard_normal((DRAWS, len(places))) @ root.T
