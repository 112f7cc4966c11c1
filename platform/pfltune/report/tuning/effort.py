"""What the best of n trials is worth, as a table and a figure of all methods."""

from collections.abc import Iterator, Mapping

import numpy as np

from pfltune.budget import Budget, SamplerName
from pfltune.goal import Goal
from pfltune.report.analysis import Analysis
from pfltune.report.canvas import Drawing, canvas, legend, whole_numbers
from pfltune.report.expected_best import ExpectedBest
from pfltune.report.moments import short
from pfltune.report.tuning.words import SAMPLER_WORDS
from pfltune.text import count

ADAPTIVE: tuple[SamplerName, ...] = ("tpe", "gp", "cmaes")
"""Samplers that learn from trials."""
BAND = 0.12
SHOWN = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024)
"""Numbers of trials that a table has a column for; of all others there is a CSV."""


def effort_lines(analysis: Analysis) -> list[list[str]]:
    """A row per method with the best after some numbers of trials, headings first.

    Empty where no method has two trials.
    """
    found = _shown(analysis)
    if not found:
        return []
    rules, goal = analysis.result.record.scenario.protocol, analysis.result.goal
    most = max(len(each.mean) for each in found.values())
    numbers = [n for n in SHOWN if n < most] + [most]
    rows = [
        [title, *(_at(each, number, goal) for number in numbers), short(each.round, rules)]
        for title, each in ((analysis.titles[name], each) for name, each in found.items())
    ]
    read = "read after round" if rules.budget is None else "read at, of the budget"
    return [["method", *(count(number, "trial") for number in numbers), read], *rows]


def effort_heads(analysis: Analysis) -> tuple[str, ...]:
    """Of :func:`effort_rows`."""
    val = analysis.result.goal.of("val").name
    return ("method", "trials", val, "lowest", "highest", "round", "studies")


def effort_rows(analysis: Analysis) -> Iterator[tuple[str | int | float, ...]]:
    """Of each method and n: mean, lowest and highest study; round and studies."""
    goal = analysis.result.goal
    for name, each in _shown(analysis).items():
        ends = (each.high, each.low) if goal.is_minimised else (each.low, each.high)
        values = zip(*(goal.score(n).tolist() for n in (each.mean, *ends)), strict=True)
        for place, three in enumerate(values):
            yield name, place + 1, *three, each.round, each.studies


def effort_note(analysis: Analysis) -> str:
    """What the numbers are, and what they rest on."""
    found = list(_shown(analysis).values())
    if not found:
        return ""
    budget, goal = analysis.result.budget, analysis.result.goal
    by_rounds = analysis.result.record.scenario.protocol.budget is None
    where = "round" if by_rounds else "share of the budget"
    first = found[0]
    told = [
        f"The {goal.highest} validation {goal.noun} of the first n search trials, all of a "
        "method read after "
        f"the last {where} that each of them came to"
        + (
            ": what went further is not read later, since halving let only the best go on."
            if budget.halving
            else "."
        ),
        _order(budget, first),
        f"Mean over {count(first.studies, 'study')}." if first.studies > 1 else "",
        f"Trials that failed count as {'the worst' if goal.nothing else '0'}"
        + (", as do those that would send more than they may." if budget.max_mb else ".")
        if any(each.failed for each in found)
        else "",
    ]
    return " ".join(filter(None, told))


def _order(budget: Budget, found: ExpectedBest) -> str:
    """What else the trials could have come in, which is what an expectation is over."""
    if found.drawn > 1:
        return (
            "After the start values these are independent draws, so it is the mean over all "
            "subsets of n of them, drawn without replacement (Tang et al. 2020): with replacement "
            "(Dodge et al. 2019) it would be too low."
        )
    one = "" if found.studies > 1 else " This is the order of one search, and no expectation."
    if budget.sampler in ADAPTIVE:
        name = SAMPLER_WORDS[budget.sampler]
        return (
            f"{name[:1].upper()}{name[1:]} suggests trials after those that it has seen, so that "
            f"no other order can be made of them.{one}"
        )
    return one.strip()


def best_after(analysis: Analysis) -> Drawing | None:
    """The best validation figure after n trials; None where no method has two."""
    found, goal = _shown(analysis), analysis.result.goal
    if not found:
        return None
    figure, axes = canvas("search trials", f"best {goal.axis('validation')}")
    for name, each in found.items():
        style, trials = analysis.styles[name], np.arange(1, len(each.mean) + 1)
        title = analysis.titles[name]
        axes.plot(trials, goal.scale * each.mean, label=title, markersize=4, **style.curve)
        if each.studies > 1:
            band = (goal.scale * each.low, goal.scale * each.high)
            axes.fill_between(trials, *band, color=style.colour, alpha=BAND, linewidth=0)
    whole_numbers(axes.xaxis)
    legend(figure, axes)
    bands = "Bands from the lowest study to the highest."
    several = any(each.studies > 1 for each in found.values())
    caption = f"{effort_note(analysis)}{f' {bands}' if several else ''}"
    return Drawing("best-after-n-trials", caption, figure)


def _shown(analysis: Analysis) -> Mapping[str, ExpectedBest]:
    return {name: each for name, each in analysis.efforts.items() if len(each.mean) > 1}


def _at(each: ExpectedBest, number: int, goal: Goal) -> str:
    return goal.text(each.mean[number - 1]) if number <= len(each.mean) else "–"
