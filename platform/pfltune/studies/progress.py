"""How far a job is, told in lines: where there is no terminal, and in Python."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan

from pfltune.figures import SPENT
from pfltune.goal import ACCURACY, Goal, tested
from pfltune.knobs import written
from pfltune.ranking import Outcome, Standing
from pfltune.registry import short_name
from pfltune.search.plan import Plan
from pfltune.studies.method_progress import MethodProgress
from pfltune.text import count
from pfltune.tracking.events import Event, MethodEnded, RoundDone, TrialEnded, TrialStarted

SECONDS_BETWEEN_LINES = 15.0
FEWEST_ROUNDS = 10
"""Rounds without which the time left is not estimated."""
MOST_CELLS = 6
"""Of a sweep, in a line."""


class Clock:
    """How long it takes, and how much longer.

    The time left is counted from the end of this session's first round: before it, processes start,
    torch and timm are imported and data read, none of which comes again.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first: tuple[float, float] | None = None
        self._ticks = 0

    def tick(self, done: float) -> None:
        """So much is done now, a round more."""
        self._ticks += 1
        if self._first is None:
            self._first = (time.monotonic(), done)

    def text(self, done: float, total: float, at_most: bool = False, budgets: bool = False) -> str:
        """``1:15 elapsed, 1:26 left, 207 of 444 rounds``.

        Args:
            done, total: in rounds, or in what trials may spend.
            at_most: whether there may be fewer than ``total``; then both are told as bounds.
            budgets: whether they are budgets, of which ``3.25 of 12 trial budgets`` is told.
        """
        now = time.monotonic()
        left = self._left(now, done, total)
        up_to = "up to " if at_most else ""
        rest = "" if left is None else f"{up_to}{_minutes(left)} left, "
        of = f"{done:.2f} of {up_to}{total:.4g} trial budgets"
        told = of if budgets else f"{done:.0f} of {up_to}{count(round(total), 'round')}"
        return f"{_minutes(now - self._began)} elapsed, {rest}{told}"

    def _left(self, now: float, done: float, total: float) -> float | None:
        """Seconds that the rest will take; None while that would be a guess."""
        if self._first is None:
            return None
        since, before = self._first
        timed = done - before
        enough = self._ticks > FEWEST_ROUNDS and timed > 0
        return (now - since) * (total - done) / timed if enough else None


class Lines:
    """Says now and then where something stands."""

    seconds_between = SECONDS_BETWEEN_LINES

    def start(self) -> None:
        """Show where it stands, and time from here on."""

    def close(self) -> None:
        """Tell the last state."""

    def _show(self) -> None:
        """Tell the state."""


class ComparisonLines(Lines):
    """Follows the journal and says now and then where the comparison stands.

    Args:
        plan: how much there is to do.
        tell: takes a line.
        goal: what the searches go by.
    """

    def __init__(self, plan: Plan, tell: Callable[[str], object], goal: Goal = ACCURACY) -> None:
        self._plan = plan
        self._tell = tell
        self._methods = {
            short_name(m): MethodProgress(plan.planned(m), course=plan.course, goal=goal)
            for m in plan.methods
        }
        self._searches = {
            short_name(m): plan.budget.studies * plan.search_rounds(m) for m in plan.methods
        }
        self._held = {short_name(method): set(held) for method, held in plan.fixed.items()}
        self._trials: dict[str, TrialStarted] = {}
        self.rounds_done = 0.0
        self._rounds_saved = 0.0
        self.clock = Clock()
        self._last_shown = time.monotonic()
        self._shown = False

    def apply(self, event: Event) -> None:
        """Count a trial, a round or an end."""
        if isinstance(event, TrialStarted):
            self._count_start(event)
        elif isinstance(event, RoundDone):
            self._count_round(event)
        elif isinstance(event, TrialEnded):
            self._count_end(event)
        elif isinstance(event, MethodEnded):
            progress = self._methods[event.method]
            fewer = progress.settle("choose") + progress.settle("confirm")
            self._rounds_saved += fewer * self._plan.course.whole
        if self._shown and time.monotonic() - self._last_shown >= self.seconds_between:
            self._last_shown = time.monotonic()
            self._show()

    def start(self) -> None:
        """Show what there is, and time from here on."""
        self._shown = True
        self.clock = Clock()

    def close(self) -> None:
        """Tell the last state, also after an interruption."""
        self._show()

    def _count_start(self, event: TrialStarted) -> None:
        self._trials[event.trial] = event
        progress, held = self._methods[event.method], self._held.get(event.method, set())
        progress.begun[event.stage] += 1
        knobs = {name: value for name, value in event.knobs.items() if name not in held}
        if event.stage == "search":
            progress.knobs[event.study, event.index] = knobs
        elif event.stage == "confirm" and progress.chosen is None:
            progress.chosen = knobs
            if self._plan.budget.studies == 1:
                self._rounds_saved += progress.settle("choose") * self._plan.course.whole

    def _count_round(self, event: RoundDone) -> None:
        progress = self._of(event.trial)
        progress.rounds[event.trial] = event.round
        trial, spent = self._trials[event.trial], event.metrics.get(SPENT.name)
        done = 1 if spent is None else spent - progress.spent.get(event.trial, 0.0)
        self.rounds_done += done
        progress.done[trial.stage] += done
        if spent is not None:
            progress.spent[event.trial] = spent
        if self._shown:
            self.clock.tick(self.rounds_done)
        if trial.stage == "search":
            outcome = Outcome.of(Standing.of(event.round, event.score, event.metrics))
            fits = self._plan.fits(outcome)
            progress.hear((trial.study, trial.index), outcome if fits else None)
            progress.bests.append(progress.best)

    def _count_end(self, event: TrialEnded) -> None:
        progress, trial = self._of(event.trial), self._trials[event.trial]
        progress.rounds.pop(event.trial, None)
        reached = progress.spent.pop(event.trial, float(event.round))
        failed = event.outcome == "failed"
        progress.failed += failed
        if failed or trial.stage != "search":
            # It failed, or what is left of its budget is too little for a round.
            progress.saved[trial.stage] += self._plan.course.whole - reached
        if failed and trial.stage == "search":
            progress.hear((trial.study, trial.index), None)
        progress.ended[trial.stage] += 1
        if progress.ended["search"] == progress.planned["search"]:
            # What halving, limits and budgets have left of the search is known by now.
            progress.saved["search"] = self._searches[trial.method] - progress.done["search"]
        progress.stopped += event.outcome == "stopped early"

    def _of(self, trial: str) -> MethodProgress:
        return self._methods[self._trials[trial].method]

    def _show(self) -> None:
        self._tell(self._line())

    def _line(self) -> str:
        if len(self._methods) == 1:
            ((name, state),) = self._methods.items()
            return f"{self._clock()} | {name} {state.stages} | {state.best_words}"
        states = (
            f"{name} {state.whole} best {state.best_text}" for name, state in self._methods.items()
        )
        return f"{self._clock()} | " + " | ".join(states)

    def _clock(self) -> str:
        return self.clock.text(self.rounds_done, self.rounds, self.is_open, self.budgets)

    @property
    def is_open(self) -> bool:
        """Whether there may be fewer rounds, since it is not known when something is decided."""
        return self._plan.budget.decide is not None

    @property
    def budgets(self) -> bool:
        """Whether trials have a budget, in which rounds are told then."""
        return self._plan.protocol.budget is not None

    @property
    def rounds(self) -> float:
        """Rounds in all, as far as that is known by now; or budgets of a trial."""
        saved = sum(sum(each.saved.values()) for each in self._methods.values())
        return max(self._plan.total_rounds() - self._rounds_saved - saved, self.rounds_done)

    @property
    def ended(self) -> int:
        """Trials that have ended."""
        return sum(state.ended.total() for state in self._methods.values())


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


@dataclass
class CellProgress:
    """A cell of a sweep, whose events also count for the sweep.

    Attributes:
        lines: counts for the cell.
        sweep: shows all cells.
    """

    lines: ComparisonLines
    sweep: "SweepLines"

    def apply(self, event: Event) -> None:
        """Count a trial, a round or an end."""
        self.lines.apply(event)
        self.sweep.heard(event)

    def start(self) -> None:
        """Show all cells from now on."""
        self.sweep.start()

    def close(self) -> None:
        """Tell the last state, once for all cells."""
        self.sweep.close()


class SweepLines(Lines):
    """Says now and then where the cells of a sweep stand.

    Args:
        plans: of the cells, by what they are called.
        tell: takes a line.
    """

    def __init__(self, plans: Mapping[str, Plan], tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._plans = plans
        self.cells = {
            label: CellProgress(ComparisonLines(plan, lambda _: None), self)
            for label, plan in plans.items()
        }
        self.clock = Clock()
        self._last_shown = time.monotonic()
        self._shown = False

    def heard(self, event: Event) -> None:
        """Something happened in a cell, which has counted it."""
        if not self._shown:
            return
        if isinstance(event, RoundDone):
            self.clock.tick(self._rounds()[0])
        if time.monotonic() - self._last_shown >= self.seconds_between:
            self._last_shown = time.monotonic()
            self._show()

    def start(self) -> None:
        """Show where the cells stand, and time from here on."""
        if not self._shown:
            self._shown = True
            self.clock = Clock()

    def close(self) -> None:
        """Tell the last state, the first time."""
        if self._shown:
            self._shown = False
            self._show()

    def trials(self) -> dict[str, str]:
        """``20/66`` by cell: trials that have ended, of all."""
        return {
            label: f"{cell.lines.ended}/{self._plans[label].total_trials()}"
            for label, cell in self.cells.items()
        }

    def time(self) -> str:
        """The clock, for all cells together."""
        budgets = all(cell.lines.budgets for cell in self.cells.values())
        is_open = any(plan.budget.decide is not None for plan in self._plans.values())
        return self.clock.text(*self._rounds(), is_open, budgets)

    def _show(self) -> None:
        shown = [f"{label} {trials}" for label, trials in self.trials().items()]
        more = f" | … {len(shown) - MOST_CELLS} more" if len(shown) > MOST_CELLS else ""
        self._tell(f"{self.time()} | {' | '.join(shown[:MOST_CELLS])}{more}")

    def _rounds(self) -> tuple[float, float]:
        each = [cell.lines for cell in self.cells.values()]
        return sum(lines.rounds_done for lines in each), sum(lines.rounds for lines in each)


class CellLines:
    """One line for each trial of a grid or study that has ended.

    What was known when it began is counted and not told.

    Args:
        plan: what there is to do.
        told: knobs in which its cells differ.
        tell: takes a line.
        goal: what is told of a trial.
    """

    def __init__(
        self,
        plan: Plan,
        told: Sequence[str],
        tell: Callable[[str], object],
        goal: Goal = ACCURACY,
    ) -> None:
        self._goal = goal
        self._told = told
        self._tell = tell
        self._several = len(plan.methods) > 1
        self._total = plan.budget.seeds * len(plan.methods)
        self._rounds = self._total * plan.course.whole
        self._budgets = plan.protocol.budget is not None
        self._spent: dict[str, float] = {}
        self._trials: dict[str, TrialStarted] = {}
        self._scores: dict[str, float] = {}
        self._ended, self._done = 0, 0.0
        self._clock = Clock()
        self._shown = False

    def apply(self, event: Event) -> None:
        """Say how a trial ended."""
        if isinstance(event, TrialStarted):
            self._trials[event.trial] = event
        elif isinstance(event, RoundDone):
            self._count(event)
        elif isinstance(event, TrialEnded):
            self._ended += 1
            if self._shown:
                self._tell(self._line(event))

    def start(self) -> None:
        """Tell from here on."""
        self._shown = True
        self._clock = Clock()

    def close(self) -> None:
        """Every line stays."""

    def _count(self, event: RoundDone) -> None:
        spent = event.metrics.get(SPENT.name)
        self._done += 1 if spent is None else spent - self._spent.get(event.trial, 0.0)
        if spent is not None:
            self._spent[event.trial] = spent
        self._scores[event.trial] = event.score
        if self._shown:
            self._clock.tick(self._done)

    def _line(self, event: TrialEnded) -> str:
        trial = self._trials[event.trial]
        cell = " ".join(f"{name}={written(trial.knobs[name])}" for name in self._told)
        of = f"{trial.method} " if self._several else ""
        time = self._clock.text(self._done, self._rounds, budgets=self._budgets)
        return f"{self._ended:3d} of {self._total}  {of}{cell:24} {self._outcome(event)} | {time}"

    def _outcome(self, event: TrialEnded) -> str:
        if event.outcome == "failed":
            return f"failed: {event.failure}"
        goal, test = self._goal, tested(event.selected)
        if not isnan(test):
            return f"test {goal.text(test)}{goal.unit}"
        return f"val {goal.text(self._scores[event.trial])}{goal.unit}"
