"""Which of the best configurations of a search is chosen, by seeds that it never used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from pfltune.ranking import BY_ROUNDS, Course, Outcome, best_first
from pfltune.search.candidate import Candidate, validation_seed
from pfltune.search.plan import Plan
from pfltune.ties import settled


@dataclass
class Choosing:
    """Deals the trials of one method's finalists and chooses one when all of them have ended.

    They are trained to the end, whatever their figures. With no seeds there is nothing to train,
    and the best of the search is chosen.

    Attributes:
        finalists: search trials of different configurations, the best of the search first.
        seeds: with which each of them is trained again.
        course: of its trials.
    """

    finalists: Sequence[Candidate]
    seeds: Sequence[int]
    course: Course
    dealt: int = 0
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    @classmethod
    def of(
        cls, plan: Plan, method: str, searched: Sequence[Candidate], outcomes: Mapping[int, Outcome]
    ) -> "Choosing":
        """That of a search which is over."""
        own = plan.budget.planned_each(method not in plan.unsearched)
        planned, each = own["choose"], plan.budget.finalist_seeds
        best = different(searched, outcomes, plan.course)[: max(1, planned // each)]
        turns = range(1, each + 1) if planned else ()
        seeds = [validation_seed(plan.seed, turn) for turn in turns]
        return cls(best, seeds, plan.course)

    @classmethod
    def made(cls, plan: Plan, method: str) -> "Choosing | None":
        """A choice that the plan says was made before; None where the method is to be searched."""
        if method not in plan.chosen:
            return None
        knobs, seed = plan.chosen[method][plan.study], validation_seed(plan.seed, 0)
        best = [Candidate(method, "search", 0, 0, seed, knobs, plan.study)] if knobs else []
        return cls(best, (), plan.course)

    @property
    def trials(self) -> int:
        """How many there are in all."""
        return len(self.finalists) * len(self.seeds)

    @property
    def is_dealt(self) -> bool:
        """Whether no trial will come any more."""
        return self.dealt == self.trials

    @property
    def is_made(self) -> bool:
        """Whether all have ended, so that the choice is what it will be."""
        return len(self.outcomes) == self.trials

    def next(self) -> Candidate | None:
        """The next trial, all finalists with one seed after the other; None if none is left."""
        if self.is_dealt:
            return None
        index = self.dealt
        turn, place = divmod(index, len(self.finalists))
        self.dealt += 1
        best, seed = self.finalists[place], self.seeds[turn]
        return Candidate(best.method, "choose", index, -1, seed, best.knobs, best.study)

    def complete(self, index: int, outcome: Outcome) -> None:
        """Hear how one of its trials ended."""
        self.outcomes[index] = outcome

    def chosen(self) -> Candidate | None:
        """The search trial of what is chosen; None until all have ended, or if there is nothing."""
        if not self.is_made or not self.finalists:
            return None
        scores = [self._scores(place) for place in range(len(self.finalists))]
        return self.finalists[choice(scores)]

    def _scores(self, place: int) -> dict[int, float]:
        """Score by seed of a finalist's trials that ran all their rounds."""
        own = range(place, self.trials, len(self.finalists))
        ended = {seed: self.outcomes[n] for seed, n in zip(self.seeds, own, strict=True)}
        return {seed: o.value for seed, o in ended.items() if self.course.is_over(o)}


def different(
    searched: Sequence[Candidate],
    outcomes: Mapping[int, Outcome],
    course: Course = BY_ROUNDS,
) -> tuple[Candidate, ...]:
    """The search trials that did not fail, the best first, of each configuration one."""
    found: dict[object, Candidate] = {}
    for index in best_first(outcomes.items(), course):
        knobs = tuple(sorted(searched[index].knobs.items()))
        found.setdefault(knobs, searched[index])
    return tuple(found.values())


def choice(scores: Sequence[Mapping[int, float]]) -> int:
    """The place of the finalist with the best mean score.

    One of which a trial failed loses to those of which fewer did. The others are compared over the
    seeds that all of them have, since a mean over other seeds is another figure. Ties, and
    finalists without such a seed, go to the one that was better in the search.

    Args:
        scores: by seed, of the trials that ran all their rounds; the best of the search first.
    """
    most = max(map(len, scores))
    left = [place for place, own in enumerate(scores) if len(own) == most]
    shared = sorted(set.intersection(*(set(scores[place]) for place in left)))

    def mean(place: int) -> float:
        return settled(fmean(scores[place][seed] for seed in shared)) if shared else 0.0

    return max(left, key=lambda place: (mean(place), -place))
