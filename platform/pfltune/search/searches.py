"""Which trial comes next: a search per method, dealt out evenly, its finalists, the test."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pfltune.knobs import Value
from pfltune.ranking import Outcome
from pfltune.registry import short_name
from pfltune.search.bracket import Bracket
from pfltune.search.brackets import Brackets
from pfltune.search.candidate import Candidate, confirmation_seed, validation_seed
from pfltune.search.choosing import Choosing
from pfltune.search.feasible import feasible
from pfltune.search.halving import MakeHalving
from pfltune.search.plan import Plan
from pfltune.search.several import by_objective, front_of
from pfltune.search.space import SearchSpace
from pfltune.search.strategy import MakeStrategy, Strategy


@dataclass
class MethodSearch:
    """The search of one method, a state machine over trial indices.

    A generation is suggested from the results of earlier ones only: they are told to the strategy
    in the order of their indices once all of them have ended, so timing cannot change a suggestion.

    Attributes:
        method: reference of the method.
        plan: trials, generations, finalists, seeds.
        space: the method's search space.
        strategy: proposes configurations.
        choosing: decides among the best configurations; None until the search is over.
        front: what is chosen then with several objectives.
    """

    method: str
    plan: Plan
    space: SearchSpace
    strategy: Strategy
    dealt: int = 0
    confirmed: int = 0
    candidates: list[Candidate] = field(default_factory=list)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    choosing: Choosing | None = None
    front: tuple[Candidate, ...] = ()

    def next(self) -> Candidate | None:
        """The next trial, or None while it must wait or when there is none left."""
        if len(self.candidates) < self.trials:
            found = self._suggest()
        else:
            found = (self.choosing and self.choosing.next()) or self._confirm()
        self.dealt += found is not None
        return found

    @property
    def trials(self) -> int:
        """Its search trials."""
        return self.plan.trials(self.method)

    @property
    def exhausted(self) -> bool:
        """Whether no trial will come any more, whatever the running ones give."""
        if self.choosing is None or not self.choosing.is_dealt:
            return False
        if not self.choosing.finalists:
            return True
        return self.confirmed >= self.plan.budget.seeds * max(1, len(self.chosen()))

    def complete(self, index: int, outcome: Outcome) -> None:
        """Take the result of a search trial; a whole generation is passed on."""
        self.outcomes[index] = outcome
        for generation in self.plan.generations(self.method):
            members = range(generation.first, generation.first + generation.size)
            if index in members and all(member in self.outcomes for member in members):
                for member in members:
                    self.strategy.hear(member, self.outcomes[member])
        if len(self.outcomes) == self.trials:
            searched = (self.candidates, feasible(self.plan, self.outcomes))
            self.choosing = Choosing.of(self.plan, self.method, *searched)
            if self.plan.budget.several:
                self.front = front_of(self.plan, *searched)

    def best(self) -> Candidate | None:
        """The search trial of the chosen configuration, of a front the most accurate one's.

        None until something is chosen, or if every search trial failed or sends too much.
        """
        return next(iter(self.chosen()), None)

    def chosen(self) -> tuple[Candidate, ...]:
        """The search trials of all that is chosen: of one configuration, or of a front."""
        if self.plan.budget.several:
            return self.front
        chosen = self.choosing.chosen() if self.choosing else None
        return () if chosen is None else (chosen,)

    def _confirm(self) -> Candidate | None:
        """The next test of a chosen configuration, all with one seed after the other.

        None while there is none, or none is left.
        """
        best, index = self.chosen(), self.confirmed
        if index >= self.plan.budget.seeds * len(best):
            return None
        self.confirmed += 1
        turn, place = divmod(index, len(best))
        seed = confirmation_seed(self.plan.budget.seed, turn)
        return Candidate(self.method, "confirm", index, -1, seed, best[place].knobs)

    def _suggest(self) -> Candidate | None:
        """The next search trial; None while an earlier generation is unfinished."""
        index = len(self.candidates)
        generations = self.plan.generations(self.method)
        number = max(n for n, generation in enumerate(generations) if generation.first <= index)
        if len(self.outcomes) < generations[number].first:
            return None
        knobs = {**self.space.fixed, **self.strategy.propose(index)}
        seed = validation_seed(self.plan.budget.seed, 0)
        candidate = Candidate(self.method, "search", index, number, seed, knobs)
        self.candidates.append(candidate)
        return candidate


class ComparisonDealer:
    """Deals the trials of a comparison: whichever method has been dealt least is served first.

    Args:
        plan: the comparison's schedule.
        spaces: the search space of each method.
        strategy: makes what proposes the configurations of a method.
        halving: makes what decides which trials of a generation go on.
    """

    def __init__(
        self,
        plan: Plan,
        spaces: Mapping[str, SearchSpace],
        strategy: MakeStrategy = by_objective,
        halving: MakeHalving = Bracket.of,
    ) -> None:
        self.brackets = Brackets(plan, halving)
        self.searches = {
            method: MethodSearch(
                method, plan, spaces[method], strategy(method, plan, spaces[method])
            )
            for method in plan.methods
        }

    @property
    def exhausted(self) -> bool:
        """Whether no trial will come any more."""
        return all(search.exhausted for search in self.searches.values())

    def deal(self) -> Candidate | None:
        """The next trial, or None while generations are unfinished or when all is done."""
        for search in sorted(self.searches.values(), key=lambda s: s.dealt):
            candidate = search.next()
            if candidate is not None:
                return candidate
        return None

    def complete(self, candidate: Candidate, outcome: Outcome) -> None:
        """Pass a result that decides something to its method."""
        search = self.searches[candidate.method]
        if candidate.stage == "search":
            search.complete(candidate.index, outcome)
        elif candidate.stage == "choose" and search.choosing:
            search.choosing.complete(candidate.index, outcome)

    def best(self) -> dict[str, Mapping[str, Value] | None]:
        """The winning configuration of each method."""
        winners = {method: search.best() for method, search in self.searches.items()}
        return {short_name(m): winner.knobs if winner else None for m, winner in winners.items()}

    def fronts(self) -> dict[str, tuple[Mapping[str, Value], ...]]:
        """The winning configurations of each method that has several."""
        chosen = {short_name(method): search.chosen() for method, search in self.searches.items()}
        return {m: tuple(c.knobs for c in each) for m, each in chosen.items() if len(each) > 1}
