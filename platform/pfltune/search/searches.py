"""Which trial comes next: one Optuna study per method, dealt out evenly, then confirmation."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import optuna
from ray.tune.search.optuna import OptunaSearch

from pfltune.knobs import Value
from pfltune.randomness import derive
from pfltune.ranking import Outcome, best_index
from pfltune.registry import short_name
from pfltune.search.candidate import SCORE, Candidate, confirmation_seed, search_seed
from pfltune.search.plan import Plan
from pfltune.search.space import SearchSpace


@dataclass
class MethodSearch:
    """The search of one method, a state machine over trial indices.

    A generation is suggested from the results of earlier ones only: they are told to Optuna in
    the order of their indices once all of them have ended, so timing cannot change a suggestion.

    Attributes:
        method: reference of the method.
        plan: trials, generations, seeds.
        space: the method's search space.
    """

    method: str
    plan: Plan
    space: SearchSpace
    dealt: int = 0
    confirmed: int = 0
    candidates: list[Candidate] = field(default_factory=list)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        budget, name = self.plan.budget, short_name(self.method)
        # By its name, not by its file's path: elsewhere the same file is suggested the same. And by
        # the first generation alone: those that are added later change nothing before them.
        sampler = optuna.samplers.TPESampler(
            seed=derive(budget.seed, f"optuna/{name}") % 2**32,
            n_startup_trials=min(budget.generations[0], 10),
            constant_liar=True,
        )
        self._optuna = OptunaSearch(
            space=self.space,
            metric=SCORE,
            mode="max",
            points_to_evaluate=[dict(point) for point in self.space.start],
            sampler=sampler,
            study_name=f"pfltune/{name}",
        )

    def next(self) -> Candidate | None:
        """The next trial, or None while it must wait or when there is none left."""
        budget = self.plan.budget
        if len(self.candidates) < self.trials:
            number = self.plan.generation_of(len(self.candidates), self.method)
            if len(self.outcomes) < self.plan.generations(self.method)[number].first:
                return None
            return self._suggest(number)
        best = self.best()
        if best is None or self.confirmed >= budget.seeds:
            return None
        self.confirmed += 1
        self.dealt += 1
        index = self.confirmed - 1
        seed = confirmation_seed(budget.seed, index)
        return Candidate(self.method, "confirm", index, -1, seed, best.knobs)

    @property
    def trials(self) -> int:
        """Its search trials."""
        return self.plan.trials(self.method)

    @property
    def exhausted(self) -> bool:
        """Whether no trial will come any more, whatever the running ones give."""
        searched = len(self.outcomes) == self.trials
        return searched and (self.best() is None or self.confirmed >= self.plan.budget.seeds)

    def complete(self, index: int, outcome: Outcome) -> None:
        """Take the result of a search trial; a whole generation is passed on to Optuna."""
        self.outcomes[index] = outcome
        for generation in self.plan.generations(self.method):
            members = range(generation.first, generation.first + generation.size)
            if index in members and all(member in self.outcomes for member in members):
                for member in members:
                    result = {SCORE: self.outcomes[member].value}
                    self._optuna.on_trial_complete(str(member), result=result)

    def best(self) -> Candidate | None:
        """The best search trial; None until the search is over, or if every trial failed."""
        if len(self.outcomes) < self.trials:
            return None
        index = best_index(self.outcomes.items())
        return None if index is None else self.candidates[index]

    def _suggest(self, generation: int) -> Candidate:
        index = len(self.candidates)
        knobs: Mapping[str, Value] = self._optuna.suggest(str(index)) or {}
        seed = search_seed(self.plan.budget.seed)
        candidate = Candidate(
            self.method, "search", index, generation, seed, {**self.space.fixed, **knobs}
        )
        self.candidates.append(candidate)
        self.dealt += 1
        return candidate


class ComparisonDealer:
    """Deals the trials of a comparison: whichever method has been dealt least is served first.

    Args:
        plan: the comparison's schedule.
        spaces: the search space of each method.
    """

    def __init__(self, plan: Plan, spaces: Mapping[str, SearchSpace]) -> None:
        self.searches = {m: MethodSearch(m, plan, spaces[m]) for m in plan.methods}

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
        """Pass the result of a search trial to its method."""
        if candidate.stage == "search":
            self.searches[candidate.method].complete(candidate.index, outcome)

    def best(self) -> dict[str, Mapping[str, Value] | None]:
        """The winning configuration of each method."""
        winners = {method: search.best() for method, search in self.searches.items()}
        return {short_name(m): winner.knobs if winner else None for m, winner in winners.items()}
