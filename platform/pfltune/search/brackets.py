"""Which trials of a comparison go on, by the halving of each generation."""

from collections.abc import Mapping

from pfltune.ranking import Standing
from pfltune.search.bracket import Bracket
from pfltune.search.candidate import Candidate
from pfltune.search.halving import Halving, MakeHalving, Verdict
from pfltune.search.plan import Plan


class Brackets:
    """The halving of every generation of every search; what is not searched is never halved.

    Args:
        plan: the generations.
        halving: makes what decides on each.
    """

    def __init__(self, plan: Plan, halving: MakeHalving = Bracket.of) -> None:
        self._plan = plan
        self._make = halving
        self._made: dict[tuple[str, int, int], Halving] = {}
        self._rungs = plan.all_rungs()
        self._there: dict[str, dict[float, Standing]] = {}

    def enter(self, candidate: Candidate) -> None:
        """A trial exists."""
        if candidate.stage == "search":
            self._bracket(candidate).add(candidate.index)

    def reach(self, candidate: Candidate, standing: Standing) -> None:
        """A trial has done a round and stands so."""
        if candidate.stage == "search":
            self._bracket(candidate).reach(candidate.index, standing)
            self._note(candidate.name, standing)

    def leave(self, candidate: Candidate) -> None:
        """A trial has ended, in whatever way."""
        if candidate.stage == "search":
            self._bracket(candidate).leave(candidate.index)

    def verdict(self, candidate: Candidate) -> Verdict:
        """Whether a trial trains on, waits for others, or is stopped."""
        if candidate.stage != "search":
            return "go on"
        return self._bracket(candidate).verdict(candidate.index)

    def scores(self, candidate: Candidate) -> Mapping[float, float]:
        """The score of a trial at each rung that it has come to."""
        there = self._there.get(candidate.name, {})
        return {rung: standing.score for rung, standing in sorted(there.items())}

    def _note(self, trial: str, standing: Standing) -> None:
        for rung in self._rungs:
            if standing.ahead > rung:
                there = self._there.setdefault(trial, {})
                first = min(there.get(rung, standing), standing, key=lambda each: each.round)
                there[rung] = first

    def _bracket(self, candidate: Candidate) -> Halving:
        key = (candidate.method, candidate.study, candidate.generation)
        if key not in self._made:
            generation = self._plan.generations(candidate.method)[candidate.generation]
            self._made[key] = self._make(self._plan, generation)
        return self._made[key]
