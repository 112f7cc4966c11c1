"""The page of the search of one method: the answer first, then the best, the pictures, and all."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.colors import Normalize, to_hex

from pfltune.report import words
from pfltune.report.canvas import Drawing
from pfltune.report.columns import resource_columns, result_columns
from pfltune.report.latex import result_table
from pfltune.report.page import Cell, Grid, Row, grid, pictures, plain_grid, rendered, spendings
from pfltune.report.tuning.advice import advice
from pfltune.report.tuning.contour import COLOURS
from pfltune.report.tuning.effort import effort_lines, effort_note
from pfltune.report.tuning.entries import Entry, entries
from pfltune.report.tuning.figures import CONFIRMATION_NAMES
from pfltune.report.tuning.repeated import study_lines
from pfltune.report.tuning.sentence import sentence, sentences
from pfltune.report.tuning.table import (
    TrialColumn,
    best_ten,
    name_of,
    table_note,
    ten_columns,
    trial_columns,
)
from pfltune.report.tuning.tuned import Tuned
from pfltune.report.tuning.words import budget_note, score_note

UNEQUAL = "#d9dde2"
"""Of a trial that was not read at the last round, which no colour of a score would be fair to."""


def tuning_page(tuned: Tuned, folder: Path, drawings: Iterable[Drawing]) -> str:
    """The page; its pictures are read from ``folder``."""
    result, analysis = tuned.result, tuned.analysis
    shown = pictures(folder, drawings)
    return rendered(
        "tuning.html.j2",
        title=result.name,
        result=result,
        start=words.start_weights(result),
        status=words.status(result),
        origin_note=words.origin_note(result),
        reuse_note=words.reuse_note(result.trials),
        answer=sentence(tuned),
        more=sentences(tuned)[1:],
        failures=tuned.method.failures,
        advice=advice(tuned),
        ten=trial_grid(tuned, ten_columns(tuned), best_ten(tuned)),
        ten_note=table_note(tuned),
        search_figures=[each for each in shown if each.name not in CONFIRMATION_NAMES],
        confirmation_figures=[each for each in shown if each.name in CONFIRMATION_NAMES],
        results=grid(result_columns(analysis), result.methods, analysis.styles),
        resources=grid(resource_columns(analysis), result.methods, analysis.styles),
        accuracy_note=f"{words.accuracy_note([result])} {words.spread_note(result)}",
        communication_note=words.communication_note(analysis),
        trial_budget_note=words.trial_budget_note(result),
        spendings=spendings(analysis),
        within_note=words.within_note(analysis),
        trials=trial_grid(tuned, trial_columns(tuned), entries(tuned.method)),
        budget_note=budget_note(result),
        score_note=score_note(result.goal),
        studies=plain_grid(study_lines(tuned.studies), {}),
        efforts=plain_grid(effort_lines(analysis), {}),
        effort_note=effort_note(analysis),
        importances=importance_grid(tuned),
        importance_note=tuned.learned.importance_note,
        latex=result_table(analysis) if result.confirmed else "",
    )


def trial_grid(tuned: Tuned, columns: Sequence[TrialColumn], found: Sequence[Entry]) -> Grid:
    """A row per trial, with the colour that its score has in the pictures."""
    colour = _colours(tuned)
    rows = [
        Row(
            name_of(entry),
            colour(entry),
            [Cell(c.text(entry), _sort(c.value(entry)), entry.is_chosen) for c in columns],
            f"{entry.run.index}",
        )
        for entry in found
    ]
    return Grid(["trial", *(column.title for column in columns)], rows)


def importance_grid(tuned: Tuned) -> Grid:
    """A row per knob; none where importances are not known."""
    rows = [
        Row(
            each.knob,
            tuned.style.colour,
            [
                Cell(f"{each.share:.0%}", repr(each.share), is_best=False),
                Cell(f"{each.low:.0%} – {each.high:.0%}", repr(each.low), is_best=False),
            ],
        )
        for each in tuned.learned.importances
    ]
    return Grid(["knob", "share", "95 % interval"], rows)


def _colours(tuned: Tuned) -> Callable[[Entry], str]:
    values = [tuned.goal.scale * run.value for run in tuned.full]
    norm = Normalize(min(values), max(values)) if len(set(values)) > 1 else None
    scale = mpl.colormaps[COLOURS]

    def colour(entry: Entry) -> str:
        if norm is None or entry.run not in tuned.full:
            return UNEQUAL
        return to_hex(scale(norm(tuned.goal.scale * entry.run.value)))

    return colour


def _sort(value: float | str) -> str:
    return "" if isinstance(value, float) and math.isnan(value) else str(value)
