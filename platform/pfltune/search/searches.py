"""Which trial comes next: searches of each method, dealt out evenly, finalists, the tests."""

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from pfltune.knobs import Value
from pfltune.ranking import Outcome
from pfltune.registry import short_name
from pfltune.search.bracket import Bracket
from pfltune.search.brackets import Brackets
from pfltune.search.candidate import Candidate, confirmation_seed, validation_seed
from pfltune.search.choosing import Choosing, choice
from pfltune.search.control import Control
from pfltune.search.feasible import feasible
from pfltune.search.halving import MakeHalving
from pfltune.search.plan import Plan
from pfltune.search.racing import Racing
from pfltune.search.several import by_objective, front_of
from pfltune.search.space import SearchSpace
from pfltune.search.strategy import MakeStrategy, Strategy
from pfltune.stages import sees_test


@dataclass
class MethodSearch:
    """One search of one method, a state machine over trial indices.

    A generation is suggested from the results of earlier ones only: they are told to the strategy
    in the order of their indices once all of them have ended, so timing cannot change a suggestion.

    Attributes:
        method: reference of the method.
        plan: trials, generations, finalists, seeds, and which of the method's studies it is.
        space: the method's search space.
        strategy: proposes configurations.
        choosing: decides among the best configurations; None until the search is over. One that
            was chosen before the search began leaves nothing to search.
        front: what is chosen then with several objectives.
        tested: score at the end of each confirmation trial that did not fail, by its index.
        seeds: confirmation seeds that may be dealt by now.
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
    tested: dict[int, float] = field(default_factory=dict)
    seeds: int = 0
    _rungs: dict[int, Mapping[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.seeds = self.plan.budget.seeds

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
    def has_chosen(self) -> bool:
        """Whether :meth:`best` is what it will be."""
        return self.choosing is not None and self.choosing.is_made

    @property
    def exhausted(self) -> bool:
        """Whether no trial will come any more, whatever the running ones give."""
        if self.choosing is None or not self.choosing.is_dealt:
            return False
        if not self.choosing.finalists:
            return True
        return self.confirmed >= self.seeds * max(1, len(self.chosen()))

    def complete(
        self, index: int, outcome: Outcome, rungs: Mapping[float, float] | None = None
    ) -> None:
        """Take the result of a search trial; a whole generation is passed on.

        Args:
            index: of the trial.
            outcome: how it ended.
            rungs: its score at each rung that it came to.
        """
        self.outcomes[index] = outcome
        self._rungs[index] = rungs or {}
        for generation in self.plan.generations(self.method):
            members = range(generation.first, generation.first + generation.size)
            if index in members and all(member in self.outcomes for member in members):
                for member in members:
                    self.strategy.hear(member, self.outcomes[member], self._rungs[member])
        if len(self.outcomes) == self.trials:
            searched = (self.candidates, feasible(self.plan, self.outcomes))
            self.choosing = Choosing.of(self.plan, self.method, *searched)
            if self.plan.budget.several:
                self.front = front_of(self.plan, *searched)

    @property
    def is_settled(self) -> bool:
        """Whether it is known what is tested, if anything."""
        if self.choosing is None:
            return False
        return not self.choosing.finalists or self.choosing.chosen() is not None

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
        if index >= self.seeds * len(best):
            return None
        self.confirmed += 1
        turn, place = divmod(index, len(best))
        seed, knobs = confirmation_seed(self.plan.budget.seed, turn), best[place].knobs
        return Candidate(self.method, "confirm", index, -1, seed, knobs, self.plan.study)

    def _suggest(self) -> Candidate | None:
        """The next search trial; None while an earlier generation is unfinished."""
        index = len(self.candidates)
        generations = self.plan.generations(self.method)
        number = max(n for n, generation in enumerate(generations) if generation.first <= index)
        if len(self.outcomes) < generations[number].first:
            return None
        knobs = {**self.space.fixed, **self.strategy.propose(index)}
        seed, study = validation_seed(self.plan.seed, 0), self.plan.study
        candidate = Candidate(self.method, "search", index, number, seed, knobs, study)
        self.candidates.append(candidate)
        return candidate


class ComparisonDealer:
    """Deals the trials of a comparison: whichever search has been dealt least is served first.

    Two studies may choose the same, and one may choose what the search began with: the tests of
    both are the same trial. It is trained once: who comes second is held back until the first has
    ended, and is then found among the finished trials.

    Args:
        plan: the comparison's schedule.
        spaces: the search space of each method.
        strategy: makes what proposes the configurations of a search.
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
        self._racing = Racing(plan)
        plans = [plan.of_study(study) for study in range(plan.budget.studies)]
        self.studies = {
            (method, own.study): MethodSearch(
                method,
                own,
                spaces[method],
                strategy(method, own, spaces[method]),
                choosing=Choosing.made(own, method),
            )
            for own in plans
            for method in plan.methods
        }
        self._controls = Control.of(plan, spaces)
        self._testing: set[Hashable] = set()
        self._held: list[Candidate] = []

    @property
    def searches(self) -> dict[str, MethodSearch]:
        """The first search of each method, which is the only one unless there are more studies."""
        return {method: search for (method, study), search in self.studies.items() if not study}

    @property
    def exhausted(self) -> bool:
        """Whether no trial will come any more."""
        exhausted = not self._held and all(each.exhausted for each in self._sources())
        return exhausted and self._racing.is_over

    def deal(self) -> Candidate | None:
        """The next trial, or None while generations are unfinished or when all is done."""
        for held in self._held:
            if held.content not in self._testing:
                self._held.remove(held)
                return self._given(held)
        while (candidate := self._next()) is not None:
            if candidate.content not in self._testing:
                return self._given(candidate)
            self._held.append(candidate)
        return None

    def complete(self, candidate: Candidate, outcome: Outcome) -> None:
        """Pass a result that decides something to its search."""
        self._testing.discard(candidate.content)
        search = self.studies[candidate.method, candidate.study]
        if candidate.stage == "search":
            search.complete(candidate.index, outcome, self.brackets.scores(candidate))
        elif candidate.stage == "choose" and search.choosing:
            search.choosing.complete(candidate.index, outcome)
        elif candidate.stage == "confirm" and outcome.round:
            search.tested[candidate.index] = outcome.value
        self._race(candidate, outcome)

    def best(self) -> dict[str, Mapping[str, Value] | None]:
        """The winning configuration of each method.

        Of several studies that of the one which did best on validation data with the seeds of the
        confirmation, which all of them share; the earlier among equals.
        """
        return {short_name(method): _knobs(self._leading(method)) for method in self.searches}

    def chosen(self) -> dict[str, list[Mapping[str, Value] | None]]:
        """What each of several studies chose, in their order; None if every trial failed."""
        return {method: each for method, each in self._choices().items() if len(each) > 1}

    def choices(self) -> dict[str, list[Mapping[str, Value] | None]] | None:
        """The same of every method, also with a single study; None before all have chosen."""
        is_over = all(search.has_chosen for search in self.studies.values())
        return self._choices() if is_over else None

    def _choices(self) -> dict[str, list[Mapping[str, Value] | None]]:
        return {
            short_name(method): [_knobs(search.best()) for search in self._of(method)]
            for method in self.searches
        }

    def _sources(self) -> list[MethodSearch | Control]:
        return [*self.studies.values(), *self._controls.values()]

    def _next(self) -> Candidate | None:
        for source in sorted(self._sources(), key=lambda each: each.dealt):
            candidate = source.next()
            if candidate is not None:
                return candidate
        return None

    def _race(self, candidate: Candidate, outcome: Outcome) -> None:
        """Pass a test to the race, which may want more of them; without one all is fixed."""
        if not self._racing.is_wanted:
            return
        if candidate.stage == "confirm":
            self._racing.hear(candidate, outcome)
        if all(search.is_settled for search in self.studies.values()):
            tested = Counter(method for (method, _), s in self.studies.items() if s.best())
            self._racing.begin(tested)
        for (method, _), search in self.studies.items():
            search.seeds = self._racing.seeds(method)

    def fronts(self) -> dict[str, tuple[Mapping[str, Value], ...]]:
        """The winning configurations of each method that has several."""
        chosen = {short_name(method): search.chosen() for method, search in self.searches.items()}
        return {m: tuple(c.knobs for c in each) for m, each in chosen.items() if len(each) > 1}

    def _given(self, candidate: Candidate) -> Candidate:
        if sees_test(candidate.stage):
            self._testing.add(candidate.content)
        return candidate

    def _of(self, method: str) -> list[MethodSearch]:
        return [search for (name, _), search in self.studies.items() if name == method]

    def _leading(self, method: str) -> Candidate | None:
        """The search trial of what is chosen; None if every study failed."""
        able = [search for search in self._of(method) if search.best() is not None]
        return able[choice([search.tested for search in able])].best() if able else None


def _knobs(candidate: Candidate | None) -> Mapping[str, Value] | None:
    return None if candidate is None else candidate.knobs
