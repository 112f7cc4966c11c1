"""What is known of one method's trials while they run."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from pfltune.goal import ACCURACY, Goal
from pfltune.knobs import Value
from pfltune.ranking import BY_ROUNDS, Course, Outcome, best_index
from pfltune.stages import Stage
from pfltune.text import in_short


@dataclass
class MethodProgress:
    """What is known of one method's trials.

    Attributes:
        planned: how many there are of each stage, as far as that is known.
        begun: those that have begun.
        ended: those that have ended, stopped early and failed included.
        stopped: search trials that were stopped early at a rung.
        failed: trials of all stages that failed.
        bests: validation score of the search's best trial so far after each of its rounds.
        rounds: the round that each running trial has reached.
        searched: how far each search trial has come, by its study and index.
        knobs: of each search trial, without those that are held.
        chosen: those of what is tested; None before.
        spent: the share of its budget that each running trial has spent, if it has one.
        course: of its trials.
        done: rounds or budgets of a trial that its trials have run through, by stage.
        saved: how many fewer these are, or will be, than was planned.
        goal: what the search goes by.
    """

    planned: dict[Stage, int]
    begun: Counter[Stage] = field(default_factory=Counter)
    ended: Counter[Stage] = field(default_factory=Counter)
    stopped: int = 0
    failed: int = 0
    bests: list[float] = field(default_factory=list)
    rounds: dict[str, int] = field(default_factory=dict)
    searched: dict[tuple[int, int], Outcome] = field(default_factory=dict)
    knobs: dict[tuple[int, int], Mapping[str, Value]] = field(default_factory=dict)
    chosen: Mapping[str, Value] | None = None
    spent: dict[str, float] = field(default_factory=dict)
    course: Course = BY_ROUNDS
    done: defaultdict[Stage, float] = field(default_factory=lambda: defaultdict(float))
    saved: defaultdict[Stage, float] = field(default_factory=lambda: defaultdict(float))
    goal: Goal = ACCURACY
    _leader: tuple[int, int] | None = field(default=None, init=False)

    def hear(self, place: tuple[int, int], outcome: Outcome | None) -> None:
        """How far a search trial has come; None if it cannot be chosen.

        The best of all is not looked for in every round of each: only where it was this one.
        """
        if outcome is None:
            self.searched.pop(place, None)
        else:
            self.searched[place] = outcome
        rivals = self.searched.keys() & {self._leader, place}
        among = self.searched if self._leader == place else rivals
        self._leader = best_index(((each, self.searched[each]) for each in among), self.course)

    @property
    def best(self) -> float:
        """Validation score of the best search trial so far; as :attr:`Goal.nothing` without."""
        return self.goal.nothing if self._leader is None else self.searched[self._leader].value

    @property
    def best_text(self) -> str:
        """The same as people read it; a dash where a figure that is not accuracy has none yet."""
        is_none = self.best == self.goal.nothing and not self.goal.is_accuracy
        return "–" if is_none else self.goal.shortly(self.best)

    @property
    def values(self) -> str:
        """What is tested, or else what was best in the search so far; empty where nothing is."""
        known = self._leader is not None and self.best != self.goal.nothing
        found = self.knobs[self._leader] if self._leader is not None and known else {}
        return in_short(self.chosen or found)

    @property
    def best_words(self) -> str:
        """``best 55.1: lr=0.031 prefix_length=8``, with the figure in the search so far."""
        head = "chosen" if self.chosen else f"best {self.best_text}"
        return f"{head}: {self.values}" if self.values else head

    @property
    def stages(self) -> str:
        """``search 5/8, choose 0/9, confirm 0/1``."""
        shown = (f"{stage} {self.of(stage)}" for stage, number in self.planned.items() if number)
        return ", ".join(shown)

    @property
    def whole(self) -> str:
        """The same of all stages together: ``5/18``."""
        return f"{self.ended.total()}/{sum(self.planned.values())}"

    def of(self, stage: Stage) -> str:
        """``5/8``: trials of a stage that have ended, of all."""
        return f"{self.ended[stage]}/{self.planned[stage]}"

    def settle(self, stage: Stage) -> int:
        """A stage has all its trials; returns how many fewer these are than could have been."""
        fewer = self.planned[stage] - self.begun[stage]
        self.planned[stage] -= fewer
        return fewer
