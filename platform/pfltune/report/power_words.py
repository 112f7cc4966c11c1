"""How large a difference must be to be told apart, in words and as a table."""

from pfltune.goal import Goal
from pfltune.report.analysis import Analysis
from pfltune.report.power import MOST_SEEDS, Scatter, scatter_of
from pfltune.report.statistics import pairs_of
from pfltune.text import count, listed

POINTS = (1, 2, 3, 5, 10, 20)
"""Differences that are told of, in percentage points or in hundredths of a figure's unit."""


def power(analysis: Analysis) -> str:
    """From which difference on two methods are told apart, and what less would take.

    Empty where nothing was tested, and where intervals are over more than seeds and clients.
    """
    found, pairs = _scatter(analysis), _pairs(analysis)
    if found is None:
        return ""
    goal = analysis.result.goal
    now, least = (100 * found.told_apart(seeds, pairs) for seeds in (found.seeds, None))
    clients = count(found.clients, "client")
    told = [
        f"With {count(found.seeds, 'seed')}, {clients} and {count(pairs, 'pair')} of methods, a "
        f"true difference of some {goal.margin_text(now)}{goal.points} is told apart in 4 of 5 "
        "comparisons."
    ]
    smaller = [points for points in reversed(POINTS) if least < points < now]
    takes = [
        f"{_points(goal, points)} would take {_seeds(found, points, pairs)}" for points in smaller
    ]
    told += [f"{listed(takes)}."] if takes else []
    if float(goal.margin_text(least)):
        other = "more clients or fewer methods" if pairs > 1 else "more clients"
        told.append(
            f"No number of seeds tells less than {goal.margin_text(least)}{goal.points} apart on "
            f"{clients}; "
            f"{other} would."
        )
    return " ".join(told)


def power_lines(analysis: Analysis) -> list[list[str]]:
    """A row for each of some differences with the seeds that it takes, headings first."""
    found, pairs = _scatter(analysis), _pairs(analysis)
    if found is None:
        return []
    families = (pairs, 1) if pairs > 1 else (1,)
    heads = ["true difference", *(_family(each) for each in families)]
    goal = analysis.result.goal
    rows = [[_points(goal, p), *(_seeds(found, p, each) for each in families)] for p in POINTS]
    return [heads, *rows]


def power_note(analysis: Analysis) -> str:
    """What stands in that table; empty where there is none."""
    found = _scatter(analysis)
    if found is None:
        return ""
    return (
        "Seeds of each method with which a typical pair of these methods that truly differs by so "
        f"much is told apart in 4 of 5 comparisons, on {count(found.clients, 'client')} like "
        "these. It follows from how the differences scatter, whatever they are; of "
        f"{count(found.seeds, 'seed')} that is known to an order of magnitude. Settle a number "
        "before you look again: seeds that are added until something is found find what is not "
        "there, unless it is a race (--decide)."
    )


def _scatter(analysis: Analysis) -> Scatter | None:
    return scatter_of(analysis.result.confirmed) if analysis.is_tested else None


def _pairs(analysis: Analysis) -> int:
    return pairs_of(len(analysis.differences) + 1)


def _family(pairs: int) -> str:
    return "one pair by itself" if pairs == 1 else f"all {pairs} pairs together"


def _points(goal: Goal, number: int) -> str:
    return count(number, "point") if goal.points else goal.margin_text(number)


def _seeds(found: Scatter, points: int, pairs: int) -> str:
    seeds = found.seeds_for(points / 100, pairs)
    if seeds is None:
        return "no number of seeds"
    return f"over {MOST_SEEDS} seeds" if seeds > MOST_SEEDS else count(seeds, "seed")
