"""What a grid says in sentences."""

from collections.abc import Callable, Iterator, Sequence

from pfltune import figures
from pfltune.goal import Goal
from pfltune.knobs import Value, written
from pfltune.report.columns import with_spread
from pfltune.report.grid import (
    GridCell,
    GridResult,
    best_of,
    label_of,
    mean,
    standard_error,
)
from pfltune.report.statistics import ALPHA
from pfltune.text import count, plain

MOST_NAMED = 6
FEWEST_FOR_EDGE = 3
"""Values of a knob whose first or last one is an edge."""


def finding(result: GridResult) -> str:
    """The best cell, which others are as good, and the cheapest of these."""
    return " ".join(_sentences(result))


def of_seeds(goal: Goal, scores: Sequence[float]) -> str:
    """``84.12 ± 0.51``: mean ± standard error; of one value no spread."""
    return with_spread(goal, mean(scores), standard_error(scores))


def validated(cell: GridCell) -> str:
    """The validation figure of a cell that has one, or what it lacks."""
    return of_seeds(cell.goal, list(cell.values.values())) if cell.values else cell.state


def _with_unit(cell: GridCell) -> str:
    return validated(cell) + cell.goal.unit


def named(result: GridResult, cell: GridCell) -> str:
    """A cell as it is called where several methods may be there."""
    several = len(result.methods) > 1
    return f"{cell.title} with {cell.label}" if several else cell.label


def status(result: GridResult) -> str:
    """How far a grid is that has not ended; empty if it has."""
    if not result.is_partial:
        return ""
    ended = sum(trial.ended is not None for trial in result.trials)
    planned = sum(cell.planned for cell in result.cells)
    return f"partial: {ended} of {planned} trials have ended"


def held_note(result: GridResult) -> str:
    """What every cell of a method has in common; empty if nothing is held."""
    texts = [
        f"{result.methods[method]}: {label_of(held)}"
        for method, held in result.record.fixed.items()
        if held
    ]
    return f"Held: {'; '.join(texts)}." if texts else ""


def origin_note(result: GridResult) -> str:
    """That not all is of one program, or that the journal is damaged."""
    sentences = [
        f"Not all trials were made by one program: from {plain(change.at)} on, "
        f"{plain('; '.join(change.differences))}."
        for change in result.record.changes
    ]
    if result.damage:
        sentences.append(f"{plain(result.damage)}; what stands before it is shown.")
    return " ".join(sentences)


def accuracy_note(result: GridResult) -> str:
    """What a figure is, and what was tested how."""
    if not result.shown:
        return ""
    seeds, noun = count(result.budget.seeds, "seed"), result.goal.noun
    spread = f"mean ± standard error over {seeds}" if result.budget.seeds > 1 else "of one seed"
    sentences = [
        f"Validation {noun} is the best mean over clients of a trial, {spread}, the same for "
        "every cell; a cell is best by it alone."
    ]
    if result.budget.test:
        sentences.append(f"Test {noun} is read at the round chosen on validation.")
    tested = [gap for _, gap in result.gaps if gap.is_tested]
    if tested:
        sentences.append(
            "Difference: to the best cell, seed by seed. t-test with the scatter that all cells "
            "have together, or with the pair's own where that is larger; p after Holm's correction "
            f"for {count(len(result.gaps), 'comparison')}. Not told apart (p ≥ {ALPHA}) is not the "
            "same: more seeds may tell."
        )
    return " ".join(sentences)


def edges(result: GridResult) -> list[str]:
    """Knobs whose lowest or highest value the best cell has, where a wider grid could go on."""
    best = result.best
    if best is None:
        return []
    limits = result.record.limits.get(best.method, {})
    return [
        f"The best {knob}, {written(best.at[knob])}, is the {end} of the grid: a wider one may "
        "hold a better cell, and trains only what is new."
        for knob, values in result.over.items()
        if best.at[knob] not in limits.get(knob, ()) and (end := _end(values, best.at[knob]))
    ]


def _sentences(result: GridResult) -> Iterator[str]:
    best = result.best
    if best is None:
        yield _nothing(result)
        return
    yield _first(result, best)
    if best.tests:
        goal = result.goal
        tested = of_seeds(goal, best.tests) + goal.unit
        yield f"Its test {goal.noun}, at the rounds chosen on validation: {tested}."
    yield from _others(result)
    yield from _best_of_each(result, best)
    if lost := [cell for cell in result.cells if cell.failures]:
        yield f"Trials of {count(len(lost), 'cell')} failed."


def _nothing(result: GridResult) -> str:
    reasons = sorted({reason for cell in result.cells for reason in cell.failures})
    if not reasons:
        return "No trial has ended."
    return f"No cell has a figure: {'; '.join(reasons)}."


def _first(result: GridResult, best: GridCell) -> str:
    seeds = len(best.values)
    over = f"mean ± standard error over {seeds} seeds" if seeds > 1 else "one seed"
    many = len(result.cells) > 1
    of = f"The best of {len(result.cells):,} cells" if many else "The only cell"
    figure = f"{_with_unit(best)} validation {result.goal.noun}"
    return f"{of} is {named(result, best)}: {figure} ({over})."


def _others(result: GridResult) -> Iterator[str]:
    """What is as good as the best, and the cheapest of all these."""
    tested = [cell for cell, gap in result.gaps if gap.is_tested]
    if not result.gaps:
        return
    if not tested:
        yield "With one seed each, nothing can be said of which others are as good."
        return
    if (fewer := len(result.gaps) - len(tested)) > 0:
        yield f"{count(fewer, 'cell')} had too few seeds to be held against it."
    equals = result.equals
    if not equals:
        each = f"Each of the {len(tested):,} others" if len(tested) > 1 else "The other"
        yield f"{each} is told apart from it (p < {ALPHA})."
        return
    some = [named(result, cell) for cell in equals]
    listed = "; ".join(some) if len(some) <= MOST_NAMED else f"{len(some)}, marked in the table"
    yield f"Of the {count(len(tested), 'other')}, not told apart from it: {listed}."
    yield _cheap(result, equals, "MB per round", figures.MB_PER_ROUND.text, _mb)
    yield _cheap(result, equals, "personal parameters", figures.PERSONAL.text, _personal)


def _cheap(
    result: GridResult,
    equals: Sequence[GridCell],
    unit: str,
    text: Callable[[float], str],
    cost: Callable[[GridCell], float],
) -> str:
    """The cheapest of the best one and its equals, as one reads it."""
    assert result.best is not None
    cell = result.cheapest(cost) or result.best
    if len({text(cost(each)) for each in (result.best, *equals)}) == 1:
        return f"All of these have {text(cost(cell))} {unit}."
    who = (
        "the best itself" if cell is result.best else f"{named(result, cell)} ({_with_unit(cell)})"
    )
    return f"Fewest {unit} of these: {who}, {text(cost(cell))}."


def _best_of_each(result: GridResult, best: GridCell) -> Iterator[str]:
    """The best cell of each further method."""
    for method in result.methods:
        own = best_of([cell for cell in result.cells if cell.method == method])
        if own is not None and method != best.method:
            yield f"The best of {own.title} is {own.label}: {_with_unit(own)}."


def _end(values: Sequence[Value], value: Value) -> str:
    """``lowest`` or ``highest`` where a number is one of several and stands at their end."""
    if len(values) < FEWEST_FOR_EDGE or any(isinstance(v, bool | str) for v in values):
        return ""
    numbers = sorted(float(each) for each in values)
    return "lowest" if value == numbers[0] else "highest" if value == numbers[-1] else ""


def _mb(cell: GridCell) -> float:
    return cell.mb_per_round


def _personal(cell: GridCell) -> float:
    return cell.personal
