"""Synchronous successive halving of one generation; knows nothing of Ray."""

from dataclasses import dataclass, field

from pfltune.ranking import Standing
from pfltune.search.halving import Verdict
from pfltune.search.plan import Generation, Plan


@dataclass
class Bracket:
    """The halving of one generation, a pure function of what its trials have reached.

    Nothing in it depends on the order in which that became known, so a bracket is rebuilt after an
    interruption by telling it everything again.

    Attributes:
        size: number of trials of the generation.
        rungs: where it is halved, ascending, see :attr:`Standing.ahead`.
        plan: says how many survive.
        members: indices of the trials that exist.
        there: how each trial stood when it came to a rung, by rung.
        gone: trials that will reach no further rung.
        over: trials that would send more than they may, by the round that showed it.
    """

    size: int
    rungs: list[float]
    plan: Plan
    members: set[int] = field(default_factory=set)
    there: dict[float, dict[int, Standing]] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    over: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan, generation: Generation) -> "Bracket":
        """The halving of a generation at its plan's rungs."""
        return cls(generation.size, plan.rungs(generation.size), plan)

    def add(self, index: int) -> None:
        """A trial of the generation exists."""
        self.members.add(index)

    def reach(self, index: int, standing: Standing) -> None:
        """A trial has done a round and stands so."""
        if not self.plan.fits(standing):
            self.over[index] = min(standing.round, self.over.get(index, standing.round))
        for rung in self.rungs:
            if standing.ahead > rung:
                there = self.there.setdefault(rung, {})
                before = there.get(index, standing)
                there[index] = min(before, standing, key=lambda each: each.round)

    def leave(self, index: int) -> None:
        """A trial has ended."""
        self.gone.add(index)

    def verdict(self, index: int) -> Verdict:
        """Whether a trial trains on, waits for others at its rung, or has lost there.

        One that would send more than it may is stopped at once.
        """
        if index in self.over:
            return "stop"
        for level, rung in enumerate(self.rungs, start=1):
            if index not in self.there.get(rung, {}):
                return "go on"
            survivors = self.survivors(level)
            if survivors is None:
                return "wait"
            if index not in survivors:
                return "stop"
        return "go on"

    def survivors(self, level: int) -> list[int] | None:
        """Who goes on beyond the first ``level`` rungs, the best first; None while undecided.

        Ties go to the earlier trial. One that ends before a rung, or sends too much by then, leaves
        it to the others; one that ends after it has been there keeps its place, so that timing
        decides nothing.
        """
        if len(self.members) < self.size:
            return None
        running = sorted(self.members)
        for rung in self.rungs[:level]:
            there = self.there.get(rung, {})
            ended = self.gone | self.over.keys()
            if any(index not in there and index not in ended for index in running):
                return None
            arrived = {n: there[n] for n in running if n in there and self._fitted(n, there[n])}
            running = self.plan.ranked(arrived)[: self.plan.survivors(len(arrived))]
        return running

    def _fitted(self, index: int, standing: Standing) -> bool:
        """Whether nothing showed up to there that a trial would send too much."""
        return standing.round < self.over.get(index, standing.round + 1)
