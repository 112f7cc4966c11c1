"""The one table of a comparison over draws: its columns, and the formats it is written in."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pfltune import figures
from pfltune.goal import Goal
from pfltune.report import draws_words
from pfltune.report.columns import (
    NO_FIGURE,
    Column,
    bare_p,
    cells,
    difference_text,
    mean_test,
    p_value,
)
from pfltune.report.draws import Against, DrawsResult
from pfltune.report.latex import Tabular, escaped, label, table_rows
from pfltune.report.markdown import escaped as in_markdown
from pfltune.report.markdown import markdown
from pfltune.report.results import ConfirmedRun, MethodResult
from pfltune.report.spreadsheet import cell_text, digits, ends_of, places_of, text
from pfltune.text import plain
from pfltune.ties import settled

OVER_DRAWS, OVER_SEEDS = "± draws", "± seeds"
TESTED = "test, all pairs together"


def rows(found: DrawsResult) -> tuple[MethodResult, ...]:
    """Who stands in each row, in whose name columns look its figures up."""
    by_name = {method.name: method for method in found.table.methods}
    return tuple(by_name[method.name] for method in found.methods)


def columns(found: DrawsResult) -> tuple[Column, ...]:
    """Tests over draws and seeds, differences to the reference in words, then each draw."""
    difference = _difference_column(found, "95 %, all pairs together")
    compared = (difference, _verdict_column(found)) if found.against else ()
    return (*_together(found), *compared, *_draws(found, mean_test))


def paper_columns(found: DrawsResult) -> tuple[Column, ...]:
    """The same with the bare p."""
    compared = (_difference_column(found, "95 %"), _p_column(found)) if found.against else ()
    return (*_together(found), *compared, *_draws(found, mean_test))


def terminal_columns(found: DrawsResult) -> tuple[Column, ...]:
    """The same in few characters: means without intervals and spreads."""
    first, *others = _together(found)
    compared = (_mean_column(found), _p_column(found)) if found.against else ()
    draws = zip(_draws(found, _mean_text), found.seeds, strict=True)
    each = (replace(column, title=f"draw {seed}") for column, seed in draws)
    return (replace(first, title=f"mean{found.goal.unit}"), *others, *compared, *each)


def _together(found: DrawsResult) -> tuple[Column, ...]:
    return (_test(found), _over_draws(found), _over_seeds(found), _won(found))


def _test(found: DrawsResult) -> Column:
    def text_of(method: MethodResult) -> str:
        drawn = found.by_name[method.name]
        part = "" if drawn.is_whole else f" ({len(drawn.shown)} of {len(drawn.found)})"
        return found.goal.text(drawn.test) + part

    def value(method: MethodResult) -> float:
        """Only means over all draws are compared."""
        drawn = found.by_name[method.name]
        return found.goal.score(settled(drawn.test)) if drawn.is_whole else np.nan

    better = found.goal.measure.better
    return Column(found.goal.heading(), text_of, value, better, found.leaders)


def _over_draws(found: DrawsResult) -> Column:
    return _spread(found, OVER_DRAWS, lambda method: found.by_name[method.name].std_draws)


def _over_seeds(found: DrawsResult) -> Column:
    return _spread(found, OVER_SEEDS, lambda method: found.by_name[method.name].std_seeds)


def _spread(found: DrawsResult, title: str, value: Any) -> Column:
    def text_of(method: MethodResult) -> str:
        return NO_FIGURE if np.isnan(value(method)) else found.goal.spread(value(method))

    return Column(title, text_of, value)


def _won(found: DrawsResult) -> Column:
    def text_of(method: MethodResult) -> str:
        return str(found.by_name[method.name].wins)

    return Column(
        f"won of {len(found.seeds)}",
        text_of,
        lambda method: float(found.by_name[method.name].wins),
        "high",
    )


def _difference_column(found: DrawsResult, of_interval: str) -> Column:
    title = f"difference to {_title(found)}"
    if any(not each.untested for each in found.against.values()):
        title += f" ({of_interval})"
    return Column(title, lambda m: _difference(found, m), lambda m: _mean(found, m))


def _mean_column(found: DrawsResult) -> Column:
    def text_of(method: MethodResult) -> str:
        mean = _mean(found, method)
        return NO_FIGURE if np.isnan(mean) else found.goal.signed(mean)

    return Column(f"minus {_title(found)}", text_of, lambda method: _mean(found, method))


def _verdict_column(found: DrawsResult) -> Column:
    return Column(TESTED, lambda m: _tested(found, m), lambda m: _number(found, m))


def _p_column(found: DrawsResult) -> Column:
    return Column("p", lambda m: _p(found, m), lambda m: _number(found, m))


def _title(found: DrawsResult) -> str:
    return found.reference.title if found.reference else ""


def _difference(found: DrawsResult, method: MethodResult) -> str:
    against = found.against.get(method.name)
    if against is None:
        return draws_words.REFERENCE if method.name == _reference(found) else NO_FIGURE
    if np.isnan(against.mean):
        return NO_FIGURE
    if against.untested:
        return found.goal.signed(against.mean)
    return difference_text(found.goal, against)


def _mean(found: DrawsResult, method: MethodResult) -> float:
    against = found.against.get(method.name)
    if against is None:
        return 0.0 if method.name == _reference(found) else np.nan
    return against.mean


def _tested(found: DrawsResult, method: MethodResult) -> str:
    against = found.against.get(method.name)
    if against is None:
        return NO_FIGURE
    return against.verdict if against.untested else f"{against.verdict}, {p_value(against.p)}"


def _p(found: DrawsResult, method: MethodResult) -> str:
    number = _number(found, method)
    return NO_FIGURE if np.isnan(number) else bare_p(number)


def _number(found: DrawsResult, method: MethodResult) -> float:
    against = found.against.get(method.name)
    return against.p if against else np.nan


def _reference(found: DrawsResult) -> str:
    return found.reference.name if found.reference else ""


def _mean_text(method: MethodResult) -> str:
    return method.goal.text(method.test)


def _draws(found: DrawsResult, shown: Callable[[MethodResult], str]) -> Iterator[Column]:
    for place, name in enumerate(found.labels):
        yield _draw(found, place, name, shown)


def _draw(
    found: DrawsResult, place: int, name: str, shown: Callable[[MethodResult], str]
) -> Column:
    def there(method: MethodResult) -> MethodResult | None:
        return found.by_name[method.name].found[place]

    def text_of(method: MethodResult) -> str:
        own = there(method)
        return shown(own) if own else NO_FIGURE

    def value(method: MethodResult) -> float:
        own = there(method)
        return found.goal.score(settled(own.test)) if own else np.nan

    better, leaders = found.goal.measure.better, found.analyses[place].leaders
    return Column(f"{name}{found.goal.unit}", text_of, value, better, leaders)


def markdown_table(found: DrawsResult) -> str:
    """The table and what it needs to be understood."""
    shown = columns(found)
    heads = ["method", *(column.title for column in shown)]
    lines = [[found.by_name[m.name].title, *cells(m, shown)] for m in rows(found)]
    return f"{markdown([heads, *lines])}\n{in_markdown(' '.join(draws_words.notes(found)))}\n"


def latex_table(found: DrawsResult) -> str:
    """The table for a paper."""
    shown = paper_columns(found)
    heads = ["method", *(escaped(column.title) for column in shown)]
    scenario = escaped(found.results[0].scenario)
    caption = f"Test {found.goal.noun} on {scenario} over {len(found.seeds)} draws of clients."
    note = escaped(" ".join(draws_words.notes(found)))
    titled = table_rows(shown, rows(found))
    for row, method in zip(titled, found.methods, strict=True):
        row[0] = escaped(method.title)
    return str(Tabular(heads, titled, caption, note, label(found.draws.name)))


def csv_summary(found: DrawsResult) -> str:
    """One row per method, unrounded; what a method has no figure of is empty."""
    lines = list(summary_rows(found))
    heads = list(dict.fromkeys(name for line in lines for name in line))
    return text(heads, [[cell_text(line.get(name)) for name in heads] for line in lines])


def summary_rows(found: DrawsResult) -> Iterator[dict[str, Any]]:
    """What is said of each method, all figures as they are; NaN where there is none."""
    goal = found.goal
    test = goal.of("test").name
    for method in found.methods:
        if not method.shown:
            yield {"method": method.name, "title": plain(method.title), "partitions": 0}
            continue
        yield {
            "method": method.name,
            "title": plain(method.title),
            "partitions": len(method.shown),
            "seeds": len(method.seeds),
            test: goal.score(method.test),
            f"{test}_std_partitions": method.std_draws,
            goal.of_table(figures.TEST_STD_SEEDS).name: method.std_seeds,
            goal.of("val").name: goal.score(method.val),
            figures.TOTAL.name: method.mean(figures.TOTAL.name),
            "won": method.wins,
            **_compared(goal, found.against.get(method.name)),
            "reference": _reference(found),
            **{
                f"{test}@{name}": goal.score(mean)
                for name, mean in zip(found.labels, method.means, strict=True)
            },
        }


def _compared(goal: Goal, against: Against | None) -> dict[str, Any]:
    nothing = float("nan")
    if against is None:
        ends = ("difference_low", "difference_high")
        names = ("difference", *ends, "draws_agreeing", "p_all_pairs", "p")
        return dict.fromkeys(names, nothing) | {"verdict": ""}
    low, high = ends_of(goal, against.interval)
    return {
        "difference": goal.score(against.mean),
        "difference_low": low,
        "difference_high": high,
        "draws_agreeing": float(against.draws_agreeing),
        "p_all_pairs": against.p,
        "p": against.raw_p,
        "verdict": against.verdict,
    }


def csv_table(found: DrawsResult) -> str:
    """One row per method, draw and seed; of several studies, one for each."""
    runs = list(_runs(found))
    places = places_of(run for *_, run in runs)
    metrics = sorted({name for *_, run in runs for name in run.metrics})
    lines = [
        [name, seed, *(getattr(run, place) for place in places), *_digits(run, metrics)]
        for name, seed, run in runs
    ]
    return text(["method", "data_seed", *places, *metrics], lines)


def csv_clients(found: DrawsResult) -> str:
    """One row per method, draw, seed and client: its figures in the chosen round."""
    runs = list(_runs(found))
    places = places_of(run for *_, run in runs)
    lines = [
        [name, seed, *(getattr(run, place) for place in places), client, digits(val), digits(test)]
        for name, seed, run in runs
        for client, val, test in zip(*_figures(run), strict=True)
    ]
    heads = ("client", *(f"{part}_{found.goal.name}" for part in figures.PARTS))
    return text(["method", "data_seed", *places, *heads], lines)


def _digits(run: ConfirmedRun, metrics: Sequence[str]) -> Iterator[str]:
    return (digits(run.metrics.get(metric)) for metric in metrics)


def _figures(run: ConfirmedRun) -> tuple[Sequence[float], ...]:
    both = ([run.goal.score(score) for score in each] for each in (run.val, run.test))
    return (run.indices, *both)


def _runs(found: DrawsResult) -> Iterator[tuple[str, int, ConfirmedRun]]:
    for method in found.methods:
        for seed, there in zip(found.seeds, method.found, strict=True):
            for run in there.runs if there else ():
                yield method.name, seed, run
