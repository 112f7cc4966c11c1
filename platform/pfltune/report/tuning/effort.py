"""What the best of n trials is worth, as a table and a figure of all methods."""

from collections.abc import Iterator, Mapping

import numpy as np

from pfltune import figures
from pfltune.report.analysis import Analysis
from pfltune.report.canvas import Drawing, canvas, legend, whole_numbers
from pfltune.report.expected_best import ExpectedBest
from pfltune.report.moments import short
from pfltune.report.tuning.words import SAMPLER_WORDS
from pfltune.text import count

BAND = 0.12
SHOWN = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024)
"""Numbers of trials that a table has a column for; of all others there is a CSV."""


def effort_lines(analysis: Analysis) -> list[list[str]]:
    """A row per method with the best after some numbers of trials, in percent, headings first.

    Empty where no method has two trials.
    """
    found = _shown(analysis)
    if not found:
        return []
    rules = analysis.result.record.scenario.protocol
    most = max(len(each.mean) for each in found.values())
    numbers = [n for n in SHOWN if n < most] + [most]
    rows = [
        [title, *(_at(each, number) for number in numbers), short(each.round, rules)]
        for title, each in ((analysis.titles[name], each) for name, each in found.items())
    ]
    read = "read after round" if rules.budget is None else "read at, of the budget"
    return [["method", *(count(number, "trial") for number in numbers), read], *rows]


EFFORT_HEADS = ("method", "trials", figures.VAL.name, "lowest", "highest", "round", "studies")


def effort_rows(analysis: Analysis) -> Iterator[tuple[str | int | float, ...]]:
    """Of each method and n: mean, lowest and highest study in [0, 1]; round and studies."""
    for name, each in _shown(analysis).items():
        values = zip(each.mean.tolist(), each.low.tolist(), each.high.tolist(), strict=True)
        for place, three in enumerate(values):
            yield name, place + 1, *three, each.round, each.studies


def effort_note(analysis: Analysis) -> str:
    """What the numbers are, and what they rest on."""
    found = list(_shown(analysis).values())
    if not found:
        return ""
    budget = analysis.result.budget
    by_rounds = analysis.result.record.scenario.protocol.budget is None
    where = "round" if by_rounds else "share of the budget"
    first = found[0]
    told = (
        "The highest validation accuracy of the first n search trials, all of them read after the "
        f"last {where} that each came to: what went further is not read later, since halving let "
        "only the best go on. "
    )
    if first.drawn > 1:
        told += (
            "After the start values these are independent draws, so it is the mean over all "
            "subsets of n of them, drawn without replacement (Tang et al. 2020): with replacement "
            "(Dodge et al. 2019) it would be too low."
        )
    else:
        told += (
            f"{SAMPLER_WORDS[budget.sampler][:1].upper()}{SAMPLER_WORDS[budget.sampler][1:]} "
            "suggests each trial after those before it, so that no other order can be made of them"
        )
        told += (
            "." if first.studies > 1 else ": this is the order of one search, and no expectation."
        )
    if first.studies > 1:
        told += f" Mean over {count(first.studies, 'study')}."
    failed = sum(each.failed for each in found)
    return told + (" Failed trials count as 0." if failed else "")


def best_after(analysis: Analysis) -> Drawing | None:
    """The best validation accuracy after n trials; None where no method has two."""
    found = _shown(analysis)
    if not found:
        return None
    figure, axes = canvas("search trials", "best validation accuracy, %")
    for name, each in found.items():
        style, trials = analysis.styles[name], np.arange(1, len(each.mean) + 1)
        title = analysis.titles[name]
        axes.plot(trials, 100 * each.mean, label=title, markersize=4, **style.curve)
        if each.studies > 1:
            band = (100 * each.low, 100 * each.high)
            axes.fill_between(trials, *band, color=style.colour, alpha=BAND, linewidth=0)
    whole_numbers(axes.xaxis)
    legend(figure, axes)
    bands = "Bands from the lowest study to the highest."
    several = any(each.studies > 1 for each in found.values())
    caption = f"{effort_note(analysis)}{f' {bands}' if several else ''}"
    return Drawing("best-after-n-trials", caption, figure)


def _shown(analysis: Analysis) -> Mapping[str, ExpectedBest]:
    return {name: each for name, each in analysis.efforts.items() if len(each.mean) > 1}


def _at(each: ExpectedBest, number: int) -> str:
    return f"{100 * each.mean[number - 1]:.2f}" if number <= len(each.mean) else "–"
