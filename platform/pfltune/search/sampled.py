"""A search strategy that asks one of Optuna's samplers."""

from collections.abc import Mapping
from typing import ClassVar

import optuna
from optuna.trial import Trial, TrialState

from pfltune.knobs import Value
from pfltune.randomness import derive
from pfltune.ranking import Outcome
from pfltune.registry import short_name
from pfltune.search.feasible import constrain
from pfltune.search.plan import Plan
from pfltune.search.samplers import SAMPLERS
from pfltune.search.space import SearchSpace


class Sampled:
    """Proposes the space's start points, then what the budget's sampler makes of the trials so far.

    A trial that did all its rounds is told to Optuna as complete. One that was stopped early is
    told as pruned, with its score at each rung where it was: TPE ranks it behind all complete
    ones, by how far it came, then by its score there, so that a high score of an early round is not
    taken for one of the last. A failed trial is told as pruned without a score, which TPE ranks
    last of all and so keeps away from; one told as failed it would forget, and one told as complete
    with a low score it would rank before everything that was stopped early.

    Args:
        method: reference of the method.
        plan: its trials; the random ones of the start are those of its first generation.
        space: what is searched.

    Attributes:
        directions: of the values that a trial is told with, as Optuna names them.
    """

    directions: ClassVar[tuple[str, ...]] = ("maximize",)

    def __init__(self, method: str, plan: Plan, space: SearchSpace) -> None:
        # By its name, not by its file's path: elsewhere the same file is suggested the same.
        name = short_name(method)
        seed = derive(plan.seed, f"optuna/{name}") % 2**32
        startup = min(plan.generations(method)[0].size, 10)
        self._plan = plan
        self._course = plan.course
        self._space = space
        self._asked: dict[int, Trial] = {}
        self.study = optuna.create_study(
            study_name=f"pfltune/{name}",
            directions=self.directions,
            sampler=SAMPLERS[plan.budget.sampler].make(seed, startup),
        )
        for point in space.start:
            self.study.enqueue_trial(dict(point))

    def propose(self, index: int) -> dict[str, Value]:
        """The searched knobs of the trial with this index."""
        self._asked[index] = trial = self.study.ask()
        self._space(trial)
        return dict(trial.params)

    def hear(self, index: int, outcome: Outcome, rungs: Mapping[float, float]) -> None:
        """Learn how a trial went."""
        trial = self._asked.pop(index)
        constrain(trial, self._plan, outcome)
        if outcome.round:
            course = self._course
            told = {course.step(rung): score for rung, score in rungs.items()}
            for step, score in (told or {course.reached(outcome): outcome.value}).items():
                trial.report(score, step)
        if self._course.is_over(outcome):
            self.study.tell(trial, outcome.value)
        else:
            self.study.tell(trial, state=TrialState.PRUNED)
