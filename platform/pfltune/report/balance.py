"""Runs of several studies with the same seeds: which of them count, and how far they scatter."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

Cell = tuple[int, int]
"""The study of a run, and its seed."""


def balanced(cells: Iterable[Cell]) -> list[Cell]:
    """The runs of all studies with the seeds that every study has, so that no study weighs more.

    Where no seed is shared, the study with the most runs stands alone, the first of several. The
    order is that of the studies, then that of the seeds in the first of them.
    """
    seeds: dict[int, list[int]] = {}
    for study, seed in cells:
        seeds.setdefault(study, []).append(seed)
    if not seeds:
        return []
    shared = set.intersection(*map(set, seeds.values()))
    if not shared:
        most = max(seeds, key=lambda study: (len(seeds[study]), -study))
        return [(most, seed) for seed in seeds[most]]
    ordered = [seed for seed in seeds[min(seeds)] if seed in shared]
    return [(study, seed) for study in sorted(seeds) for seed in ordered]


def spread(values: Sequence[Sequence[float]] | np.ndarray) -> float:
    """How far runs of different studies with different seeds lie apart, as a standard deviation.

    The root of half the mean squared difference of all pairs of runs that share neither study nor
    seed. Its square estimates what studies, seeds and both together contribute, without bias; of
    one study it is the sample variance over seeds, of one seed that over studies. The variance of
    all runs taken together would be too small: runs of one study are alike, and so are those with
    one seed.

    Args:
        values: of each study, one for each seed.

    Returns:
        NaN for a single run.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.size < 2:
        return math.nan
    if 1 in table.shape:
        return float(np.std(table, ddof=1))
    study, seed = (place.ravel() for place in np.indices(table.shape))
    apart = np.subtract.outer(table.ravel(), table.ravel())
    unlike = (study[:, None] != study) & (seed[:, None] != seed)
    return float(np.sqrt(np.mean(np.square(apart[unlike])) / 2))
