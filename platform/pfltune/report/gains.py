"""What a search gained over what it began with, on one footing or not at all.

Accuracies are in [0, 1].
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pfltune.report.balance import spread
from pfltune.report.choosing import chosen_finalist
from pfltune.report.results import MethodResult, SearchedRun
from pfltune.report.searching import Searching
from pfltune.ties import settled

Footing = Literal["test", "validation", "search"]
"""``test``: both were tested with the same fresh seeds; ``validation``: both were finalists, with
the same fresh validation seeds; ``search``: both came equally far in the search, with its one seed,
of which the one is the best of all trials, so that the gain is too high."""


@dataclass(frozen=True)
class Gain:
    """The chosen configuration minus the one of the first trial.

    Attributes:
        differences: one for each study and seed, (studies, seeds).
        footing: what they are of.
        is_start: whether the first trial's configuration was chosen, everywhere.
    """

    differences: np.ndarray
    footing: Footing
    is_start: bool

    @property
    def mean(self) -> float:
        """Over studies and seeds."""
        return float(settled(float(self.differences.mean())))

    @property
    def std(self) -> float:
        """Of a single one, see :func:`spread`; NaN of one."""
        return spread(self.differences)

    @property
    def seeds(self) -> int:
        """With which both were trained."""
        return int(self.differences.shape[1])

    @property
    def studies(self) -> int:
        """That chose something."""
        return int(self.differences.shape[0])

    @property
    def above(self) -> int:
        """In how many of studies × seeds the chosen one is ahead."""
        return int((settled(self.differences) > 0).sum())


def control_gain(method: MethodResult) -> Gain | None:
    """That of all studies together, by tests with the same fresh seeds.

    None without a control, or before a seed of it has ended.
    """
    controls = {run.seed: run for run in method.controls}
    seeds = [seed for seed in method.seeds if seed in controls]
    if not seeds:
        return None
    start = np.array([np.mean(controls[seed].test) for seed in seeds])
    chosen = method.crossed(seeds).mean(2)
    began = method.controls[0].knobs
    each = method.chosen or (method.best,)
    return Gain(chosen - start, "test", all(knobs == began for knobs in each))


def gain_of(search: Searching) -> Gain | None:
    """That of one study on the best footing that there is; None where there is none."""
    found = control_gain(search.method)
    if found is not None or search.winner is None or search.first is None:
        return found
    return _validated(search.method, search.first) or _searched(search.winner, search.first)


def _validated(method: MethodResult, first: SearchedRun) -> Gain | None:
    chosen = chosen_finalist(method)
    start = next((each for each in method.finalists if each.knobs == first.knobs), None)
    if chosen is None or start is None:
        return None
    seeds = [seed for seed in chosen.values if seed in start.values]
    if not seeds:
        return None
    apart = [chosen.values[seed] - start.values[seed] for seed in seeds]
    return Gain(np.array([apart]), "validation", chosen is start)


def _searched(winner: SearchedRun, first: SearchedRun) -> Gain | None:
    if winner.reached != first.reached:
        return None
    return Gain(np.array([[winner.value - first.value]]), "search", winner.knobs == first.knobs)
