"""Self-contained HTML pages: no other file, no network, a few lines of JavaScript that sort."""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from pfltune.front import letter_of
from pfltune.goal import MINUS
from pfltune.report import fronts_shown, racing, words
from pfltune.report.analysis import Analysis
from pfltune.report.canvas import Drawing
from pfltune.report.columns import (
    NO_FIGURE,
    Column,
    cells,
    resource_columns,
    result_columns,
    within_columns,
)
from pfltune.report.latex import result_table
from pfltune.report.power_words import power_lines, power_note
from pfltune.report.results import MethodResult
from pfltune.report.searching import Searching
from pfltune.report.spending import NOUNS, SPENT
from pfltune.report.styles import Style
from pfltune.report.tuning import words as search_words
from pfltune.report.tuning.effort import effort_lines, effort_note
from pfltune.report.tuning.gained import gain_cell, gain_lines, gain_note, no_footing
from pfltune.report.tuning.repeated import repeated

NO_COLOUR = "transparent"


@dataclass(frozen=True)
class Cell:
    """A cell of a sortable table; ``sort`` is empty where it stays below."""

    text: str
    sort: str
    is_best: bool


@dataclass(frozen=True)
class Row:
    """A row of a method or a trial; the colour is that of the figures.

    ``sort`` is what the title sorts by, itself by default.
    """

    title: str
    colour: str
    cells: Sequence[Cell]
    sort: str = ""


@dataclass(frozen=True)
class Grid:
    """A sortable table."""

    heads: Sequence[str]
    rows: Sequence[Row]


@dataclass(frozen=True)
class Search:
    """A row of the table of the search; every cell in words."""

    title: str
    cells: Sequence[str]
    importances: str
    chosen: str
    remarks: Sequence[str]


@dataclass(frozen=True)
class Picture:
    """A figure as base64 of its PNG; in place of it, ``instead`` says what is drawn."""

    name: str
    caption: str
    image: str
    instead: str
    is_wide: bool


def comparison_page(analysis: Analysis, folder: Path, drawings: Iterable[Drawing]) -> str:
    """The page of one comparison; its figures are read from ``folder``."""
    result = analysis.result
    searches = [each for method in result.whole for each in analysis.studies[method.name]]
    whole = {method.name: method for method in result.whole}
    leading = analysis.searches[result.whole[0].name]
    alone = len(whole) == 1
    rows = {name: [r for r in result.methods if r.method == name] for name in whole}
    colours = {m.title: analysis.styles[m.name].colour for m in (*result.methods, *result.whole)}

    def sortable(columns: Sequence[Column]) -> Grid:
        return grid(columns, result.methods, analysis.styles)

    return rendered(
        "comparison.html.j2",
        title=result.name,
        result=result,
        unit=result.goal.unit,
        budget_note=search_words.budget_note(result),
        start=words.start_weights(result),
        status=words.status(result),
        origin_note=words.origin_note(result),
        reuse_note=words.reuse_note(result.trials),
        alone=alone,
        finding=search_words.finding(leading) if alone else words.finding(analysis),
        results=sortable(result_columns(analysis)),
        resources=sortable(resource_columns(analysis)),
        accuracy_note=f"{words.accuracy_note([result])} {words.spread_note(result)}",
        test_note=words.test_note(analysis),
        power=plain_grid(power_lines(analysis), {}),
        power_note=power_note(analysis),
        bold_note="" if alone else words.bold_note([result]),
        race_heads=racing.HEADS[result.race.decide] if result.race else (),
        race_rows=[line.cells for line in racing.lines(result)],
        tuning_note=" ".join(
            filter(None, (search_words.tuning_note(result.goal), no_footing(searches)))
        ),
        agreements=repeated(analysis),
        gains=plain_grid(gain_lines(analysis), colours),
        gain_note=gain_note(analysis),
        efforts=plain_grid(effort_lines(analysis), colours),
        effort_note=effort_note(analysis),
        communication_note=words.communication_note(analysis),
        fronts=plain_grid(fronts_shown.lines(analysis.fronts), colours),
        fronts_note=fronts_shown.note(result, analysis.fronts),
        trial_budget_note=words.trial_budget_note(result),
        spendings=spendings(analysis),
        within_note=words.within_note(analysis),
        figures=pictures(folder, drawings),
        searches=[
            _search(each, rows[name], f", study {number}" if len(studies) > 1 else "")
            for name, studies in analysis.studies.items()
            for number, each in enumerate(studies)
        ],
        latex=result_table(analysis),
    )


def rendered(template: str, **content: Any) -> str:
    """A page of this package's templates; whatever strangers say is escaped."""
    environment = Environment(
        loader=PackageLoader("pfltune.report", "."),
        autoescape=select_autoescape(["j2"]),
        undefined=StrictUndefined,
    )
    return environment.get_template(template).render(**content)


def grid(
    columns: Sequence[Column], methods: Sequence[MethodResult], styles: dict[str, Style]
) -> Grid:
    """A row per method."""
    best = [column.winners(methods) for column in columns]
    rows = [
        Row(
            method.title,
            styles[method.name].colour,
            [
                Cell(text, _sort(column, method), method.name in names)
                for column, text, names in zip(columns, cells(method, columns), best, strict=True)
            ],
        )
        for method in methods
    ]
    return Grid(["method", *(column.title for column in columns)], rows)


def spendings(analysis: Analysis) -> list[tuple[str, Grid]]:
    """Test figures within budgets of each kind that anybody spent: what it is of, and a table."""
    found = {NOUNS[figure]: within_columns(analysis, figure) for figure in SPENT}
    methods = analysis.result.confirmed
    return [(of, grid(own, methods, analysis.styles)) for of, own in found.items() if own]


def pictures(folder: Path, drawings: Iterable[Drawing]) -> list[Picture]:
    """The PNGs that the drawings have been written to."""
    return [
        Picture(
            drawing.name,
            drawing.caption,
            base64.b64encode((folder / f"{drawing.name}.png").read_bytes()).decode(),
            drawing.instead,
            drawing.is_wide,
        )
        for drawing in drawings
    ]


def plain_grid(lines: Sequence[Sequence[str]], colours: Mapping[str, str]) -> Grid | None:
    """A table of texts, its headings first; None where there is no line.

    Args:
        lines: of the table.
        colours: by the first cell of a line.
    """
    if not lines:
        return None
    heads, *rows = lines
    shown = [
        Row(
            first,
            colours.get(first, NO_COLOUR),
            [Cell(text, _number(text), is_best=False) for text in rest],
        )
        for first, *rest in rows
    ]
    return Grid(heads, shown)


def _number(text: str) -> str:
    """What a cell sorts by: the number that it begins with."""
    found = text.replace(MINUS, "-").split()
    try:
        return repr(float(found[0].replace(",", ""))) if found else ""
    except ValueError:
        return ""


def _search(search: Searching, rows: Sequence[MethodResult], study: str) -> Search:
    """A row of the table of the search.

    Args:
        search: of a method.
        rows: of the method, in the table of results.
        study: which of several studies it is, behind its title.
    """
    method = search.method
    edges = [
        f"At the edge: {edge.words}; a wider range may hold a better one." for edge in search.edges
    ]
    shares = [f"{knob} {share:.0%}" for knob, share in search.importances.items()]
    return Search(
        title=method.title + study,
        cells=(
            f"{method.search_trials:,}",
            f"{search.counted('stopped early'):,}",
            f"{method.failed_trials:,}",
            f"{method.search_steps:,.0f}",
            search_words.first_value(search),
            search_words.winner_value(search),
            gain_cell(search),
            search_words.figure(method.goal, method.val),
            search_words.figure(method.goal, method.test),
        ),
        importances=", ".join(shares) or NO_FIGURE,
        chosen=_chosen(method, rows) if method.best else NO_FIGURE,
        remarks=[
            *edges,
            *search_words.over(method),
            *(f"failed: {reason}" for reason in method.failures),
        ],
    )


def _chosen(method: MethodResult, rows: Sequence[MethodResult]) -> str:
    """What a search chose, or of a method with several rows the configuration of each."""
    if len(rows) == 1:
        return search_words.configuration(method)
    ordered = sorted(rows, key=lambda row: row.place)
    return "; ".join(f"({letter_of(r.place)}) {search_words.configuration(r)}" for r in ordered)


def _sort(column: Column, method: MethodResult) -> str:
    value = column.value(method) if method.runs else math.nan
    return "" if math.isnan(value) else repr(value)
