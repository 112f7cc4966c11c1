"""Cells that are all trained with every seed: what a sensitivity study and a grid have alike."""

from abc import abstractmethod
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pfltune.budget import Budget
from pfltune.federation.federation import Federation, Rounds
from pfltune.knobs import Value
from pfltune.ranking import Outcome, best_place
from pfltune.registry import short_name
from pfltune.running.job import Job
from pfltune.search.brackets import Brackets
from pfltune.search.candidate import Candidate
from pfltune.search.plan import Plan
from pfltune.stages import Stage, sees_test

Configurations = Mapping[str, Sequence[Mapping[str, Value]]]
"""The cells of each method, by its reference."""


@dataclass(frozen=True, kw_only=True)
class CellsJob(Job):
    """A job that trains each of its cells with each of its seeds."""

    @property
    @abstractmethod
    def stage(self) -> Stage:
        """What its trials are for."""

    @property
    @abstractmethod
    def cells(self) -> Configurations:
        """What is trained, as many cells for each method."""

    @property
    @abstractmethod
    def seeds(self) -> Sequence[int]:
        """What each cell is trained with."""

    @property
    @abstractmethod
    def told(self) -> Sequence[str]:
        """The knobs in which cells differ."""

    def first_trials(self) -> dict[str, Mapping[str, Value]]:
        """The first cell of each method."""
        return {method: cells[0] for method, cells in self.cells.items()}

    def trial_seeds(self) -> Sequence[int]:
        """Those of each cell."""
        return self.seeds

    def federations(self, federation: Federation) -> dict[Stage, Federation]:
        """With test indices only where its trials test."""
        return {self.stage: federation if sees_test(self.stage) else federation.without_test()}

    def dealer(self) -> "CellsDealer":
        """The trials, all cells with one seed after the other."""
        return CellsDealer(self.plan, self.stage, self.cells, self.seeds)


def cells_plan(
    methods: tuple[str, ...],
    trials: int,
    seed: int,
    protocol: Rounds,
    fixed: Mapping[str, Mapping[str, Value]],
) -> Plan:
    """No search; so many trials of each method, none of which is halved."""
    return Plan(methods, Budget(generations=(1,), seeds=trials, seed=seed), protocol, fixed)


class CellsDealer:
    """Deals every cell with every seed, whatever comes of them.

    All cells have their first seed before any has its second, so that a picture of them is soon
    whole; methods take turns.

    Args:
        plan: what there is to do.
        stage: of the trials.
        cells: the configurations of each method.
        seeds: of each cell.
    """

    def __init__(
        self, plan: Plan, stage: Stage, cells: Configurations, seeds: Sequence[int]
    ) -> None:
        self.brackets = Brackets(plan)
        self._cells = cells
        self._left = deque(_candidates(stage, cells, seeds))
        self._scores: dict[tuple[str, int], list[float]] = defaultdict(list)

    @property
    def exhausted(self) -> bool:
        """Whether all have been dealt."""
        return not self._left

    def deal(self) -> Candidate | None:
        """The next trial."""
        return self._left.popleft() if self._left else None

    def complete(self, candidate: Candidate, outcome: Outcome) -> None:
        """Note the score of a trial that has not failed."""
        if outcome.round:
            place = candidate.index % len(self._cells[candidate.method])
            self._scores[candidate.method, place].append(outcome.value)

    def best(self) -> dict[str, Mapping[str, Value] | None]:
        """The best cell of each method on validation data, see :func:`best_place`."""
        return {short_name(method): self._best(method) for method in self._cells}

    def fronts(self) -> dict[str, Sequence[Mapping[str, Value]]]:
        """Nothing: one cell is the best."""
        return {}

    def chosen(self) -> dict[str, list[Mapping[str, Value] | None]]:
        """Nothing: cells are no search."""
        return {}

    def choices(self) -> dict[str, list[Mapping[str, Value] | None]]:
        """Nothing, for the same reason."""
        return {}

    def _best(self, method: str) -> Mapping[str, Value] | None:
        cells = self._cells[method]
        place = best_place([self._scores[method, place] for place in range(len(cells))])
        return None if place is None else cells[place]


def _candidates(stage: Stage, cells: Configurations, seeds: Sequence[int]) -> Iterator[Candidate]:
    for number, seed in enumerate(seeds):
        for place, alike in enumerate(zip(*cells.values(), strict=True)):
            for method, knobs in zip(cells, alike, strict=True):
                index = number * len(cells[method]) + place
                yield Candidate(method, stage, index, generation=-1, seed=seed, knobs=knobs)
