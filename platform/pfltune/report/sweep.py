"""The report of a sweep: the methods cell by cell, and the test figure over what was swept."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from pfltune.errors import UserError
from pfltune.ownership import published, see_inside
from pfltune.report import words
from pfltune.report.aggregates_table import aggregate_columns, aggregate_note
from pfltune.report.analysis import Analysis, analyse
from pfltune.report.canvas import HEIGHT, Drawing, dress, outside_legend, panels, place_ticks
from pfltune.report.columns import result_columns
from pfltune.report.figures import written
from pfltune.report.page import Grid, grid, pictures, rendered
from pfltune.report.results import ComparisonResult, MethodResult, read_results
from pfltune.report.side_by_side import (
    Scenarios,
    csv_table,
    latex_table,
    markdown_table,
    profiles,
    scenario_columns,
    side_by_side,
)
from pfltune.report.words import INSTEAD
from pfltune.sweeps import Cell, Sweep, label_of, short_keys
from pfltune.text import plain

RANK_NOTE = (
    "Average ranks are over the cells. These share data, so they are no independent samples, and "
    "the ranks are not tested."
)
PANE = 3.4  # inches, width of one of several panels
MOST_PANELS = 12
PANELS_IN_A_ROW = 3


@dataclass(frozen=True)
class SweepResult:
    """The cells of a sweep that have begun, and why the others have not.

    Attributes:
        sweep: its record.
        cells: those with a journal, in the order of the sweep.
        table: their comparisons side by side.
        missing: the others, each with a reason in one line.
    """

    sweep: Sweep
    cells: tuple[Cell, ...]
    table: Scenarios
    missing: Mapping[str, str]

    @property
    def analyses(self) -> tuple[Analysis, ...]:
        """One for each cell."""
        return self.table.analyses


@dataclass(frozen=True)
class Section:
    """A cell on the page."""

    label: str
    name: str
    title: str
    status: str
    finding: str
    results: Grid


def read_sweep_result(
    results: Path,
    sweep: Sweep,
    failures: Mapping[str, str] | None = None,
    reference: str | None = None,
    target: float | None = None,
) -> SweepResult:
    """What the cells of a sweep have found so far.

    Args:
        results: the results folder.
        sweep: its record.
        failures: why cells could not run, by name, where that is known.
        reference, target: see :func:`pfltune.report.analysis.analyse`.

    Raises:
        UserError: no cell has begun, or a cell has no such reference.
    """
    missing = dict(failures or {})
    read: list[tuple[Cell, ComparisonResult]] = []
    for cell in sweep.cells:
        try:
            read.append((cell, read_results(results, cell.name)))
        except UserError as error:
            missing.setdefault(cell.name, str(error))
    if not read:
        first = next(iter(missing.values()))
        raise UserError(f"no cell of {sweep.name} has begun: {first}")
    cells, found = zip(*read, strict=True)
    analyses = [analyse(result, reference, target) for result in found]
    table = side_by_side(analyses, [cell.label for cell in cells])
    named = (cell.name for cell in sweep.cells if cell.name in missing)
    return SweepResult(sweep, cells, table, {name: missing[name] for name in named})


def write_sweep(found: SweepResult, results: Path, out: Path | None = None) -> Path:
    """Write tables, figures and page of a sweep; returns the folder.

    Args:
        found: what its cells found.
        results: the results folder.
        out: where to write; None for ``report`` in the sweep's folder.

    Raises:
        UserError: the folder holds somebody else's files.
        OSError: it cannot be written.
    """
    folder = out or results / found.sweep.name / "report"
    if out is None:
        see_inside(folder, results)
    with published(folder, found.sweep.owner, INSTEAD) as draft:
        _write(found, draft)
    return folder


def _write(found: SweepResult, folder: Path) -> None:
    drawings = written(
        [
            ("accuracy-over-settings", lambda: over_settings(found)),
            ("performance-profiles", lambda: profiles(found.table)),
        ],
        folder,
    )
    texts = {
        "table.md": markdown_table(found.table, RANK_NOTE),
        "table.tex": latex_table(found.table, RANK_NOTE),
        "table.csv": csv_table(found.table),
        "report.html": _page(found, folder, drawings),
    }
    for name, content in texts.items():
        (folder / name).write_text(content, encoding="utf-8")


def over_settings(found: SweepResult) -> Drawing | None:
    """The test figure over one swept setting, a panel for each choice of the others.

    None where no method has a figure, with more panels than one can look at, and where cells go by
    figures that have no axis in common.
    """
    along = _along(found.sweep)
    others = {key: values for key, values in found.sweep.swept.items() if key != along}
    choices = [dict(zip(others, values, strict=True)) for values in product(*others.values())]
    shown = [method for method in found.table.methods if method.runs]
    if not (shown and found.table.are_alike) or len(choices) > MOST_PANELS:
        return None
    columns = min(len(choices), PANELS_IN_A_ROW)
    rows = -(-len(choices) // columns)
    size = (PANE * columns + 2.0, HEIGHT if rows == 1 else 2.8 * rows)
    figure, axes = panels(rows, columns, size, sharey=True)
    for place, pane in enumerate(axes.flat):
        if place < len(choices):
            _draw(pane, found, along, choices[place], shown)
        else:
            pane.set_visible(False)
    outside_legend(figure, axes.flat)
    caption = (
        f"Test {found.table.goal.noun} over {along}, mean over clients and seeds; bars are ± the "
        "standard deviation over seeds."
    )
    return Drawing("accuracy-over-settings", caption, figure)


def _draw(
    pane: Any,
    found: SweepResult,
    along: str,
    chosen: Mapping[str, str],
    methods: Sequence[MethodResult],
) -> None:
    values = found.sweep.swept[along]
    places = _places(values)
    for method in methods:
        points = list(_points(found, along, chosen, method))
        pane.errorbar(
            [places[value] for value, _, _ in points],
            [mean for _, mean, _ in points],
            yerr=[np.nan_to_num(std) for _, _, std in points],
            label=found.table.titles[method.name],
            capsize=3,
            elinewidth=1,
            markersize=5,
            **found.table.styles[method.name].curve,
        )
    label = short_keys(found.sweep.swept)[list(found.sweep.swept).index(along)]
    first = pane.get_subplotspec().is_first_col()
    dress(pane, label, found.table.goal.axis("test") if first else "")
    pane.set_title(plain(label_of(chosen)))
    place_ticks(pane, "x", places.values(), [plain(value) for value in values])


def _points(
    found: SweepResult, along: str, chosen: Mapping[str, str], method: MethodResult
) -> Iterator[tuple[str, float, float]]:
    """Value of the setting, mean test figure and spread as they are shown, where there are any."""
    for place, cell in enumerate(found.cells):
        if any(cell.at[key] != value for key, value in chosen.items()):
            continue
        there = found.table.found(place, method)
        if there is not None:
            scale = there.goal.scale
            yield cell.at[along], scale * there.test, abs(scale) * there.score_std()


def _along(sweep: Sweep) -> str:
    """The swept setting that the axis shows: the last one of numbers, or else the last one."""
    keys = list(sweep.swept)
    return next((key for key in reversed(keys) if _numbers(sweep.swept[key])), keys[-1])


def _places(values: Sequence[str]) -> dict[str, float]:
    """Where each value stands on the axis: numbers where they are, others one after the other."""
    if _numbers(values):
        return {value: float(value) for value in values}
    return {value: float(place) for place, value in enumerate(values)}


def _numbers(values: Sequence[str]) -> bool:
    try:
        return len({float(value) for value in values}) == len(values)
    except ValueError:
        return False


def _page(found: SweepResult, folder: Path, drawings: Sequence[Drawing]) -> str:
    results = [analysis.result for analysis in found.analyses]
    return rendered(
        "sweep.html.j2",
        title=found.sweep.name,
        swept=[(key, ", ".join(values)) for key, values in found.sweep.swept.items()],
        missing=[(name, plain(reason)) for name, reason in found.missing.items()],
        results=grid(scenario_columns(found.table), found.table.methods, found.table.styles),
        accuracy_note=f"{words.accuracy_note(results)} {words.bold_note(results)}",
        rank_note=RANK_NOTE,
        together=grid(
            aggregate_columns(found.table.aggregates, found.table.titles, found.table.goal),
            found.table.methods,
            found.table.styles,
        ),
        together_note=aggregate_note(found.table.aggregates, found.table.titles, found.table.goal),
        figures=pictures(folder, drawings),
        sections=list(_sections(found)),
        latex=latex_table(found.table, RANK_NOTE),
    )


def _sections(found: SweepResult) -> Iterator[Section]:
    for cell, analysis in zip(found.cells, found.analyses, strict=True):
        result = analysis.result
        yield Section(
            label=cell.label,
            name=cell.name,
            title=result.record.scenario.title,
            status=words.status(result),
            finding=words.finding(analysis),
            results=grid(result_columns(analysis), result.methods, analysis.styles),
        )
