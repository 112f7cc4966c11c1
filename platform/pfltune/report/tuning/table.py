"""Tables of what was tried: columns that page, terminal, notebook and Markdown share."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pfltune.goal import Goal
from pfltune.report.columns import NO_FIGURE, with_spread
from pfltune.report.tuning.entries import Entry, entries, mb_per_round, personal, sorted_entries
from pfltune.report.tuning.tuned import Tuned
from pfltune.report.tuning.words import figure, shown
from pfltune.text import count

TEN = 10


@dataclass(frozen=True)
class TrialColumn:
    """A column of a table of trials.

    Attributes:
        title: its heading.
        text: a trial's cell.
        value: what sorts; NaN and empty stay below.
    """

    title: str
    text: Callable[[Entry], str]
    value: Callable[[Entry], float | str]


def best_ten(tuned: Tuned) -> tuple[Entry, ...]:
    """The chosen configuration and the nine after it."""
    return sorted_entries(tuned.method)[:TEN]


def knob_columns(tuned: Tuned) -> tuple[TrialColumn, ...]:
    """A column per searched knob."""
    return tuple(map(_knob, tuned.knobs))


def figure_columns(tuned: Tuned) -> tuple[TrialColumn, ...]:
    """What the search saw, what fresh seeds say, what it costs; columns without a figure go."""
    again = any(each.finalist is not None for each in entries(tuned.method))
    fresh = (_fresh_column(tuned.goal),) if again else ()
    return (_score_column(tuned.goal), ROUND, *fresh, MB, PERSONAL, ENDED)


def trial_columns(tuned: Tuned) -> tuple[TrialColumn, ...]:
    """Of the table of all trials."""
    return (*knob_columns(tuned), GENERATION, *figure_columns(tuned))


def ten_columns(tuned: Tuned) -> tuple[TrialColumn, ...]:
    """Of the table of the best ten."""
    return (*knob_columns(tuned), *figure_columns(tuned))


def name_of(entry: Entry) -> str:
    """As a table calls it."""
    return f"#{entry.run.index}" + (" chosen" if entry.is_chosen else "")


def folded(entry: Entry, tuned: Tuned) -> str:
    """Its searched knobs in one cell."""
    found = ((name, entry.run.knobs.get(name)) for name in tuned.knobs)
    return " ".join(f"{name}={shown(value)}" for name, value in found if value is not None)


def table_note(tuned: Tuned) -> str:
    """How the table of the best ten is to be read."""
    several = len({each.run.rounds for each in best_ten(tuned)}) > 1
    best = f"best validation {tuned.goal.noun} so far"
    parts = [f"Score: {best}, mean over clients, with the search's seed"]
    parts[0] += ", after the round that stands beside it" if several else ""
    if tuned.method.finalists:
        seeds = max(len(each.values) for each in tuned.method.finalists)
        parts.append(
            f"Fresh seeds: the same after the last round, mean ± standard error over "
            f"{count(seeds, 'seed')} that the search had not"
        )
    if several:
        parts.append("What came further stands first; values of different rounds are no equals")
    held = {name: value for name, value in tuned.method.best.items() if name not in tuned.knobs}
    if held:
        same = ", ".join(f"{name} = {shown(value)}" for name, value in held.items())
        parts.append(f"The same in all: {same}")
    return f"{'. '.join(parts)}."


def _knob(name: str) -> TrialColumn:
    def text(entry: Entry) -> str:
        return shown(entry.run.knobs[name]) if name in entry.run.knobs else NO_FIGURE

    def value(entry: Entry) -> float | str:
        found = entry.run.knobs.get(name, "")
        return found if isinstance(found, int | float) else str(found)

    return TrialColumn(name, text, value)


def _fresh_column(goal: Goal) -> TrialColumn:
    def text(entry: Entry) -> str:
        if math.isnan(entry.mean):
            return NO_FIGURE
        return with_spread(goal, entry.mean, entry.standard_error)

    return TrialColumn(f"fresh seeds{goal.unit}", text, lambda entry: entry.mean)


def _score_column(goal: Goal) -> TrialColumn:
    def value(entry: Entry) -> float:
        """Further rounds sort above: a value after fewer is no equal."""
        score = entry.run.value
        return math.nan if math.isnan(score) else entry.run.rounds + _within_one(score)

    return TrialColumn(f"score{goal.unit}", lambda entry: figure(goal, entry.run.value), value)


def _within_one(score: float) -> float:
    """In the order of scores, less than 1 apart; of a share half of it."""
    return score / 2 if abs(score) <= 1 else math.copysign(1 - 0.5 / abs(score), score)


def _number(of: Callable[..., float], pattern: str) -> Callable[[Entry], str]:
    def text(entry: Entry) -> str:
        value = of(entry.run)
        return NO_FIGURE if math.isnan(value) else pattern.format(value)

    return text


ROUND = TrialColumn(
    "after round", lambda entry: f"{entry.run.rounds:,}", lambda entry: entry.run.rounds
)
MB = TrialColumn(
    "MB per round", _number(mb_per_round, "{:,.3f}"), lambda entry: mb_per_round(entry.run)
)
PERSONAL = TrialColumn(
    "personal parameters", _number(personal, "{:,.0f}"), lambda entry: personal(entry.run)
)
ENDED = TrialColumn(
    "ended",
    lambda entry: "ran to the end" if entry.run.outcome == "finished" else entry.run.outcome,
    lambda entry: entry.run.outcome,
)
GENERATION = TrialColumn(
    "generation", lambda entry: f"{entry.run.generation}", lambda entry: entry.run.generation
)


def lines(columns: Sequence[TrialColumn], found: Sequence[Entry]) -> list[list[str]]:
    """A table in words, its headings first."""
    heads = ["trial", *(column.title for column in columns)]
    return [heads, *([name_of(e), *(column.text(e) for column in columns)] for e in found)]
