"""A race as far as its figures go: who needs a further seed, and what is decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pfltune.racing.best import BestOf
from pfltune.racing.closed import THRESHOLD
from pfltune.racing.contest import Contest
from pfltune.racing.order import OrderOf
from pfltune.racing.question import Question

Decide = Literal["best", "order"]
CONTESTS: Mapping[Decide, type[BestOf] | type[OrderOf]] = {"best": BestOf, "order": OrderOf}
MOST_FAILURES = 2
"""Failed trials after which a method leaves the race."""
Figures = Mapping[str, Sequence[float | None]]
"""Test score by method and number of the seed; None where its trial failed."""


@dataclass(frozen=True)
class Race:
    """How a race stands.

    Attributes:
        decide: what is asked.
        most: seeds that it may take.
        methods: that take part, in the order of the table.
        questions: the hypotheses, in the order of the methods.
        seeds: that were weighed.
        runners: the methods whose figure of the next seed is wanted; none where it is over.
        withdrawn: the methods that left it, each after so many seeds.
        is_decided: whether the question has its whole answer.
        leader: who has the highest mean of those that may be the best; None of an order.
    """

    decide: Decide
    most: int
    methods: tuple[str, ...]
    questions: tuple[Question, ...]
    seeds: int
    runners: tuple[str, ...]
    withdrawn: Mapping[str, int]
    is_decided: bool
    leader: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether no further seed is wanted."""
        return not self.runners

    @property
    def left(self) -> tuple[str, ...]:
        """The methods that may be the best, where that is asked."""
        states = ("open", "given up")
        return tuple(question.of[0] for question in self.questions if question.state in states)


def race(decide: Decide, most: int, figures: Figures) -> Race:
    """Go through the seeds in their order as far as the figures of all who run are known.

    Args:
        decide: what is asked.
        most: seeds that it may take.
        figures: of each method that takes part, as many as are known.
    """
    contest: Contest = CONTESTS[decide](list(figures))
    withdrawn: dict[str, int] = {}
    seeds = 0
    while (runners := contest.runners()) and seeds < most:
        if any(len(figures[method]) <= seeds for method in runners):
            break
        found = {method: figures[method][seeds] for method in runners}
        contest.weigh({method: figure for method, figure in found.items() if figure is not None})
        seeds += 1
        for method in runners:
            if list(figures[method][:seeds]).count(None) >= MOST_FAILURES:
                contest.withdraw(method)
                withdrawn[method] = seeds
        contest.settle(most - seeds)
    contest.look_ahead()
    return Race(
        decide,
        most,
        tuple(figures),
        tuple(contest.questions),
        seeds,
        tuple(contest.runners()) if seeds < most else (),
        withdrawn,
        contest.is_decided,
        contest.leader,
    )


def fewest_seeds(decide: Decide, methods: int) -> int:
    """Seeds that can decide anything at the least: if all agree, by far.

    A wealth doubles at most with a seed, and twice the threshold is needed: for the best, since
    what is left has lost all; for an order, since half the money is on the other side. Among three
    and more, the first seed only says on whom to bet.
    """
    doublings = next(n for n in range(64) if 2.0**n > 2 * THRESHOLD)
    return doublings + (decide == "best" and methods > 2)
