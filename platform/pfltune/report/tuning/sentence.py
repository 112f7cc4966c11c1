"""What a search of one method found, in sentences: the answer first."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from pfltune import figures
from pfltune.goal import Goal
from pfltune.knobs import Value
from pfltune.report.columns import PLUS_MINUS, mean_test
from pfltune.report.dimensions import Dimension
from pfltune.report.gains import control_gain
from pfltune.report.learned import Equal, KnobRange, Tried
from pfltune.report.tuning.entries import Entry, sorted_entries, stood
from pfltune.report.tuning.gained import seeds_of
from pfltune.report.tuning.repeated import agreement
from pfltune.report.tuning.tuned import Tuned
from pfltune.report.tuning.words import over, shown
from pfltune.text import count

MB_NAMES = (figures.MB_PER_ROUND.name, figures.TOTAL.name)
MOST_NAMED = 3
ORDINALS = {1: "the ", 2: "the second ", 3: "the third "}


def sentence(tuned: Tuned) -> str:
    """What was chosen, and what it is worth."""
    return " ".join(filter(None, (chosen(tuned), worth(tuned))))


def sentences(tuned: Tuned) -> tuple[str, ...]:
    """All that is to be known of the result, what matters most first."""
    parts = (sentence, gain, fall, repeated, as_good, cheapest, ranges, early)
    return tuple(told for part in parts if (told := part(tuned)))


def chosen(tuned: Tuned) -> str:
    """The chosen values, those that were searched first."""
    method = tuned.method
    if not method.best:
        why = f": {method.unfit}" if method.unfit else "" if method.is_over else " yet"
        return f"{method.title}: nothing is chosen{why}."
    searched = {k: v for k, v in method.best.items() if k in tuned.space}
    rest = {k: v for k, v in method.best.items() if k not in tuned.space}
    if not searched:
        return f"{method.title}: {knobs(rest)}."
    held = f" (held: {knobs(rest)})" if rest else ""
    return f"{method.title}: {knobs(searched)}{held}."


def worth(tuned: Tuned) -> str:
    """The test figure with fresh seeds, and MB."""
    method, goal = tuned.method, tuned.goal
    if not method.best:
        return ""
    if not method.runs:
        return "Not tested with fresh seeds" + ("." if method.is_over else " yet.")
    seeds = count(len(method.runs), "seed")
    over = f"over {seeds}" if len(method.runs) > 1 else "with 1 seed"
    per_round, total = (f"{method.summary()[name]:,.3g} MB" for name in MB_NAMES)
    return (
        f"Test {goal.noun} {mean_test(method)}{goal.unit} {over} that the search never used; "
        f"{per_round} per round, {total} in all."
    )


def repeated(tuned: Tuned) -> str:
    """What the studies chose, and what tuning gives whichever of them one had run."""
    told = agreement(tuned.studies)
    whole = tuned.result.methods[0]
    if not told or len(whole.studies) < 2:
        return told
    over = f"{count(len(whole.studies), 'study')} × {count(len(whole.seeds), 'seed')}"
    goal = tuned.goal
    return f"{told} Test {goal.noun} {mean_test(whole)}{goal.unit} over {over}."


def gain(tuned: Tuned) -> str:
    """How far it is above the published values, where both were trained equally far."""
    control = control_gain(tuned.method)
    if control and tuned.method.best:
        began = "the published values" if tuned.starts_published else "the start values"
        if control.is_start:
            return f"These are {began}."
        return f"{_apart(tuned, control.mean)} {began} on test data, over {seeds_of(control)}."
    found = [each for each in sorted_entries(tuned.method) if each.run.rounds]
    best = next((each for each in found if each.is_chosen), None)
    first = next((each for each in found if each.run.index == 0), None)
    if not tuned.starts_published or best is None or first is None:
        return ""
    if best.run.index == first.run.index:
        return "These are the published values: nothing that was tried did better."
    fresh = _paired(best, first)
    if len(fresh):
        over = count(len(fresh), "fresh validation seed")
        return f"{_apart(tuned, float(fresh.mean()))} the published values, over {over}."
    if best.run.reached != first.run.reached or not best.run.course or not first.run.course:
        return ""
    apart = best.run.value - first.run.value
    both = tuned.after(first.run.course[-1][0])
    return f"{_apart(tuned, apart)} the published values in the search, both {both}."


def fall(tuned: Tuned) -> str:
    """The chosen one in the search, and with validation seeds that it was not found by."""
    best = next((each for each in sorted_entries(tuned.method) if each.is_chosen), None)
    if best is None or not best.run.curve:
        return ""
    goal = tuned.goal
    value = goal.shortly(best.run.value) + goal.unit
    told = f"Validation {goal.noun} {value} in the search, {_rank(tuned, best)}"
    if best.fresh.size:
        seeds = count(best.fresh.size, "fresh seed")
        error = plus_minus(goal, best.mean, best.standard_error)
        return f"{told}; {error}{goal.unit} over {seeds} of validation{_drop(tuned)}."
    if tuned.method.runs:
        seeds = count(len(tuned.method.runs), "fresh seed")
        again = plus_minus(goal, tuned.method.val, tuned.method.score_std("val"))
        return f"{told}; {again}{goal.unit} over the {seeds} that it was tested with."
    return f"{told}."


def as_good(tuned: Tuned) -> str:
    """What is not told apart from the chosen one."""
    learned = tuned.learned
    if learned.chosen is None:
        return ""
    if not learned.equals:
        others = [each for each in tuned.method.finalists if each.values]
        if len(others) < 2:
            return "Whether others are as good is not known: none was trained with the same seeds."
        return "No other is as good, as far as it was tried."
    named = [f"{tried(tuned, each.tried)} ({each.why})" for each in learned.equals[:MOST_NAMED]]
    more = len(learned.equals) - len(named)
    rest = f"; and {more} more" if more else ""
    return f"Not told apart from it: {'; '.join(named)}{rest}."


def cheapest(tuned: Tuned) -> str:
    """Which of those that are as good costs least."""
    learned = tuned.learned
    if learned.chosen is None:
        return ""
    costs = (
        ("in MB", learned.cheapest_mb, "mb", "{:,.3g} MB"),
        ("in personal parameters", learned.cheapest_personal, "personal", "{:,.0f}"),
    )
    parts = (_cheaper(learned.chosen, learned.equals, *cost) for cost in costs)
    told = [part for part in parts if part]
    return f"The cheapest of them: {'; '.join(told)}." if told else ""


def ranges(tuned: Tuned) -> str:
    """Per knob what is within a standard error of the best."""
    found = tuned.learned.ranges
    whole = [each.knob for each in found if _is_whole(each, tuned.search.space[each.knob])]
    told = [f"{each.knob} {_range(each)}" for each in found if each.knob not in whole]
    told += [f"all that was searched of {', '.join(whole)}"] if whole else []
    if not told:
        return ""
    return f"Within one standard error of the best, over all others: {'; '.join(told)}."


def early(tuned: Tuned) -> str:
    """How many trials were stopped early, and how many failed."""
    tried = tuned.method.search_trials
    stopped = tuned.search.counted("stopped early")
    failed = tuned.search.counted("failed")
    parts = [f"{stopped} of {count(tried, 'trial')} were stopped early" if stopped else ""]
    parts += over(tuned.method)
    parts += [f"{failed} of {count(tried, 'trial')} failed" if failed else ""]
    told = ", ".join(part for part in parts if part)
    return f"{told}." if told else ""


def knobs(values: Mapping[str, Value]) -> str:
    """``lr = 0.1, prefix_length = 8``."""
    return ", ".join(f"{name} = {shown(value)}" for name, value in values.items())


def tried(tuned: Tuned, found: Tried) -> str:
    """A configuration by its number, with what of it was searched."""
    varied = {name: value for name, value in found.knobs.items() if name in tuned.knobs}
    return f"#{found.index}, {knobs(varied)}" if varied else f"#{found.index}"


def plus_minus(goal: Goal, mean: float, spread: float) -> str:
    """As :meth:`Goal.shortly`; without a spread where there is none."""
    if math.isnan(spread):
        return goal.shortly(mean)
    return f"{goal.shortly(mean)}{PLUS_MINUS}{_size(goal, goal.scale * spread)}"


def _size(goal: Goal, figure: float) -> str:
    return f"{abs(figure):.1f}" if goal.unit else goal.written_as(abs(figure))


def _rank(tuned: Tuned, best: Entry) -> str:
    """Its place among those that came as far; simply of all, where none is above it anywhere."""
    value = best.run.value
    if len(tuned.shown) < 2:
        return "the only trial"
    if stood(value, (run.value for run in tuned.shown)) == 1:
        return f"the {tuned.goal.highest} of {len(tuned.method.searched)}"
    place = stood(value, (run.value for run in tuned.full))
    named = f"{ORDINALS[place]}{tuned.goal.highest}" if place in ORDINALS else f"number {place}"
    return f"{named} of {len(tuned.full)} that came as far"


def _paired(best: Entry, first: Entry) -> np.ndarray:
    """Differences with each fresh seed that both were trained with, as shares."""
    if best.finalist is None or first.finalist is None:
        return np.array([])
    ours, theirs = best.finalist.values, first.finalist.values
    return np.array([ours[seed] - theirs[seed] for seed in ours if seed in theirs])


def _apart(tuned: Tuned, difference: float) -> str:
    """How far a figure is above or below another, from a difference of scores."""
    goal = tuned.goal
    way = "above" if goal.scale * difference > 0 else "below"
    apart = _size(goal, goal.scale * difference)
    return f"{apart}{goal.points} {way}" if float(apart) else "As good as"


def _drop(tuned: Tuned) -> str:
    """How much worse it is with fresh seeds than the search saw."""
    goal, points = tuned.goal, tuned.learned.fall
    if math.isnan(points) or float(goal.margin_text(points)) == 0:
        return ""
    way = "lower" if (points > 0) != goal.is_minimised else "higher"
    return f", {goal.margin_text(points)}{goal.points} {way}"


def _cheaper(
    best: Tried, equals: Sequence[Equal], what: str, least: Tried | None, field: str, pattern: str
) -> str:
    """Nothing where all cost the same."""
    ours = pattern.format(getattr(best, field))
    if least is None or {pattern.format(getattr(each.tried, field)) for each in equals} == {ours}:
        return ""
    if least.index == best.index:
        return f"{what} the chosen one"
    return f"{what} #{least.index} ({pattern.format(getattr(least, field))} instead of {ours})"


def _range(found: KnobRange) -> str:
    if found.values:
        *most, last = map(shown, found.values)
        return f"{', '.join(most)} or {last}" if most else last
    low, high = shown(found.low), shown(found.high)
    return low if low == high else f"{low} to {high}"


def _is_whole(found: KnobRange, searched: Dimension) -> bool:
    if found.values:
        return set(found.values) == set(searched.choices)
    return found.low <= searched.low and found.high >= searched.high
