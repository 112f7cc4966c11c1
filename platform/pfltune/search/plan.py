"""What a comparison will run: the same for every method, known before the first trial starts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from pfltune.budget import Budget
from pfltune.dominance import ranked
from pfltune.federation.federation import Rounds
from pfltune.knobs import Value
from pfltune.ranking import Course, Outcome, Standing, share
from pfltune.search.candidate import study_seed
from pfltune.stages import Stage


@dataclass(frozen=True)
class Generation:
    """One synchronous bracket: the trials that are suggested and halved together.

    Attributes:
        first: index of its first trial within the method.
        size: number of trials.
    """

    first: int
    size: int


@dataclass(frozen=True)
class Plan:
    """A comparison's schedule.

    Attributes:
        methods: references of the methods, in the order of the table.
        budget: trials, generations, finalists and seeds of each.
        protocol: rounds and evaluations.
        fixed: knobs that the user holds at one value, by method.
        unsearched: methods without a free knob; all their search trials would be the same one.
        chosen: configurations that are tested without a search, by method: those that the searches
            of another comparison have chosen, one for each study; None where every trial failed.
        study: of which of the independent searches it is.
    """

    methods: tuple[str, ...]
    budget: Budget
    protocol: Rounds
    fixed: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    unsearched: frozenset[str] = frozenset()
    chosen: Mapping[str, Sequence[Mapping[str, Value] | None]] = field(default_factory=dict)
    study: int = 0

    def of_study(self, study: int) -> "Plan":
        """The schedule of one of the independent searches."""
        return replace(self, study=study)

    @property
    def seed(self) -> int:
        """What the seeds of its study are derived from; those of confirmations are not."""
        return study_seed(self.budget.seed, self.study)

    def trials(self, method: str | None = None) -> int:
        """Search trials of a method; of one that has something to search if none is named."""
        if self._is_chosen(method):
            return 0
        return 1 if method in self.unsearched else self.budget.trials

    def generations(self, method: str | None = None) -> list[Generation]:
        """The generations of a method that is searched, in turn."""
        sizes = (1,) if method in self.unsearched else self.budget.generations
        firsts = accumulate(sizes, initial=0)
        return [Generation(first, size) for first, size in zip(firsts, sizes, strict=False)]

    @property
    def course(self) -> Course:
        """What a trial runs through."""
        return self.protocol.course(self.budget.eta)

    def rungs(self, size: int) -> list[float]:
        """Where a generation of ``size`` trials is halved, ascending: see :attr:`Standing.ahead`.

        R·η⁻ᵏ for as many k as leave a survivor (Jamieson & Talwalkar 2016, arXiv 1502.07943), R
        the rounds, moved up to the next evaluated one. Of trials with a budget R is 1, the whole
        of it, and they are halved after the first evaluation from there on. None without
        halving.
        """
        if not self.budget.halving:
            return []
        rounds, every = self.protocol.rounds, self.protocol.evaluate_every
        levels = range(1, int(math.log(size, self.budget.eta) + 1e-9) + 1)
        if self.protocol.budget is not None:
            return sorted(share(self.budget.eta, level) for level in levels)
        found = set()
        for level in levels:
            rung = math.ceil(rounds / self.budget.eta**level / every) * every
            if rung < rounds:
                found.add(rung)
        return sorted(found)

    def all_rungs(self) -> tuple[float, ...]:
        """The rungs of all generations, ascending; whatever does not fail reaches the first."""
        sizes = set(self.budget.generations)
        return tuple(sorted({rung for size in sizes for rung in self.rungs(size)}))

    def rung_rounds(self) -> tuple[int, ...]:
        """The rounds that are rungs, ascending; none of trials with a budget, whose rounds differ.

        Whatever does not fail reaches the first.
        """
        return () if self.protocol.budget is not None else tuple(map(int, self.all_rungs()))

    def survivors(self, running: int) -> int:
        """How many of ``running`` trials go on beyond a rung.

        With several objectives no fewer than the configurations of a front that are confirmed: one
        trial is no front.
        """
        least = self.budget.front if self.budget.several else 1
        return max(min(least, running), running // self.budget.eta)

    def ranked(self, standings: Mapping[int, Standing]) -> list[int]:
        """Trials that are at one rung, the best first: by score, or with several objectives fronts.

        Ties go to the earlier trial.
        """
        if self.budget.several:
            return ranked({index: (each.score, each.mb) for index, each in standings.items()})
        return sorted(standings, key=lambda index: (-standings[index].score, index))

    def fits(self, trial: Standing | Outcome) -> bool:
        """Whether a trial sends no more than it may, see :meth:`Budget.fits`."""
        return self.budget.fits(trial.round, trial.mb, self.protocol.rounds)

    def search_rounds(self, method: str | None = None) -> float:
        """Rounds that one search of a method takes if no trial fails; or budgets of a trial."""
        total: float = 0
        for generation in [] if self._is_chosen(method) else self.generations(method):
            running = generation.size
            reached: float = 0
            for rung in [*self.rungs(generation.size), self.course.whole]:
                total += running * (rung - reached)
                running, reached = self.survivors(running), rung
        return total

    def planned(self, method: str | None = None) -> dict[Stage, int]:
        """Trials of a method by stage, as many as there can be."""
        return self.budget.planned(method not in self.unsearched, self._is_chosen(method))

    def planned_each(self, method: str | None = None) -> dict[Stage, int]:
        """The same of each of its studies; what they share is not among it."""
        return self.budget.planned_each(method not in self.unsearched, self._is_chosen(method))

    def total_rounds(self) -> float:
        """Rounds of all methods and stages, as many as there can be; or budgets of a trial."""
        return sum(self._rounds(method) for method in self.methods)

    def total_trials(self) -> int:
        """Trials of all methods and stages, as many as there can be."""
        return sum(sum(self.planned(method).values()) for method in self.methods)

    def _is_chosen(self, method: str | None) -> bool:
        """Whether a method is not searched but tested at once; all of them if none is named."""
        return self.chosen.keys() >= ({method} if method else set(self.methods))

    def _rounds(self, method: str) -> float:
        planned = self.planned(method)
        whole = sum(planned.values()) - planned["search"]
        searches = self.budget.studies * self.search_rounds(method)
        return searches + whole * self.course.whole
