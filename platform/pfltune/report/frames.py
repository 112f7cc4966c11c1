"""What was found as pandas DataFrames, every figure with all its digits.

Accuracies are in [0, 1], MB are 10^6 bytes; names of figures are those of MLflow and of the CSV
files beside the report.
"""

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd

from pfltune import figures
from pfltune.federation.trial_budget import budget_of
from pfltune.goal import ACCURACY
from pfltune.report.analysis import Analysis
from pfltune.report.fronts_shown import front_rows
from pfltune.report.grid import GridResult
from pfltune.report.grid_table import summary_rows
from pfltune.report.racing import RACE
from pfltune.report.racing import rows as race_rows
from pfltune.report.results import ComparisonResult, ToldTrial
from pfltune.report.sensitivity import NAMES, Cells
from pfltune.report.spending import in_figure, within
from pfltune.report.spending import rows as within_rows
from pfltune.report.spreadsheet import summary_row
from pfltune.report.sweep import SweepResult
from pfltune.report.tuning.effort import effort_heads, effort_rows
from pfltune.report.tuning.repeated import study_rows
from pfltune.tracking.events import Selected

TRIAL = ("trial", "method", "stage", "study", "index", "seed")


def table_frame(analysis: Analysis) -> pd.DataFrame:
    """A row per method, the best test figure first; NaN where a method has no figure.

    The figures are those of the report's tables and of ``summary.csv``.
    """
    rows = [
        {"method": method.name, "title": method.title}
        | (summary_row(analysis, method) if method.runs else {"seeds": 0})
        for method in analysis.result.methods
    ]
    numbers = [{k: float("nan") if v is None else v for k, v in row.items()} for row in rows]
    return pd.DataFrame(numbers).set_index("method")


def fronts_frame(analysis: Analysis) -> pd.DataFrame:
    """A row per search trial of a front's method and per confirmed configuration."""
    return pd.DataFrame(front_rows(analysis.fronts) if analysis.fronts else [])


def within_frame(result: ComparisonResult) -> pd.DataFrame:
    """A row per method, figure that adds up and budget of it, as in ``within.csv``."""
    return pd.DataFrame(list(within_rows(result)))


def within_series(result: ComparisonResult, budget: str) -> pd.Series:
    """Test figure within a budget, by method; NaN where a seed has no evaluated round within it.

    Raises:
        UserError: it is no budget.
    """
    wanted = budget_of(budget)
    spent = (wanted.figure, in_figure(wanted))
    score = result.goal.score
    values = {method.name: score(within(method, *spent).mean) for method in result.confirmed}
    return pd.Series(values, name=str(wanted), dtype=float)


def race_frame(result: ComparisonResult) -> pd.DataFrame:
    """A row per hypothesis of a race, of which ``course`` is a tuple; none without a race."""
    found = [
        {**row, "course": tuple(map(float, str(row["course"]).split()))}
        for row in race_rows(result)
    ]
    return pd.DataFrame(found, columns=RACE)


def studies_frame(analysis: Analysis) -> pd.DataFrame:
    """A row per method and study: what it chose, and what that is worth; as ``studies.csv``."""
    rows = [
        row
        for method in analysis.result.whole
        for row in study_rows(method, analysis.studies[method.name])
    ]
    return pd.DataFrame(rows)


def efforts_frame(analysis: Analysis) -> pd.DataFrame:
    """A row per method and number of trials, as ``best-after.csv``."""
    return pd.DataFrame(effort_rows(analysis), columns=list(effort_heads(analysis)))


def sweep_frame(found: SweepResult) -> pd.DataFrame:
    """A row per cell and method: where the cell stands, and the method's figures there."""
    frames = []
    for cell, analysis in zip(found.cells, found.analyses, strict=True):
        frame = table_frame(analysis).reset_index()
        for place, (key, value) in enumerate(cell.at.items()):
            frame.insert(place, key, value)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def draws_frame(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """A row per method of a comparison over draws; NaN where it has no figure."""
    return pd.DataFrame(list(rows)).set_index("method")


def trials_frame(trials: Iterable[ToldTrial]) -> pd.DataFrame:
    """A row per trial: what it was, how it ended, its knobs and the last value of each figure."""
    rows = [
        _trial(trial)
        | {
            "generation": trial.started.generation,
            "outcome": trial.outcome,
            "failure": trial.ended.failure if trial.ended else "",
            "rounds_done": trial.rounds[-1].round if trial.rounds else 0,
        }
        | {f"knobs/{name}": value for name, value in trial.started.knobs.items()}
        | trial.metrics
        for trial in trials
    ]
    more = ("generation", "outcome", "failure", "rounds_done")
    return _frame(rows, (*TRIAL, *more))


def curves_frame(trials: Iterable[ToldTrial]) -> pd.DataFrame:
    """A row per trial and round; NaN for figures of rounds without an evaluation."""
    rows = [
        _trial(trial) | {"round": done.round} | done.metrics
        for trial in trials
        for done in trial.rounds
    ]
    return _frame(rows, (*TRIAL, "round"))


def clients_frame(trials: Iterable[ToldTrial]) -> pd.DataFrame:
    """A row per confirmation trial that has ended and client: figures of the chosen round."""
    rows = [
        _trial(trial) | {"client": client, **figures_of}
        for trial in trials
        if trial.started.stage == "confirm" and trial.ended and trial.ended.selected
        for client, figures_of in _clients(trial.ended.selected)
    ]
    return _frame(rows, (*TRIAL, "client", "val_accuracy", "test_accuracy"))


def cells_frame(cells: Cells) -> pd.DataFrame:
    """A row per personal part of a sensitivity study, in the order of its table."""
    both = [part for name in NAMES for part in (name, f"{name},head") if part in cells]
    goal = next((cell.goal for cell in cells.values()), ACCURACY)
    test, spread = goal.of("test"), goal.of_table(figures.TEST_STD_SEEDS)
    rows = [
        {
            "personal": part,
            "seeds": len(cells[part].scores),
            test.name: goal.score(cells[part].mean),
            spread.name: cells[part].std,
            figures.MB_PER_ROUND.name: cells[part].mb_per_round,
        }
        for part in both
    ]
    names = (test, spread, figures.MB_PER_ROUND)
    heads = ("personal", "seeds", *(figure.name for figure in names))
    return pd.DataFrame(rows, columns=list(heads)).set_index("personal")


def grid_frame(result: GridResult) -> pd.DataFrame:
    """A row per cell of a grid: where it stands, and its figures; NaN where it has none."""
    return pd.DataFrame(summary_rows(result)).replace({None: float("nan")})


def _trial(trial: ToldTrial) -> dict[str, object]:
    return {name: getattr(trial.started, name) for name in TRIAL}


def _clients(selected: Selected) -> Iterator[tuple[int, dict[str, float]]]:
    """The number of each client, and its figures by name."""
    clients = selected.get("clients") or range(len(selected["test"]))
    columns = {"val_accuracy": selected["val"], "test_accuracy": selected["test"]}
    for each in selected.get("metrics", ()):
        columns |= {f"{part}_{each['name']}": each[part] for part in figures.PARTS}
    for place, client in enumerate(clients):
        yield client, {name: values[place] for name, values in columns.items()}


def _frame(rows: list[dict[str, object]], heads: Iterable[str]) -> pd.DataFrame:
    """With the columns of ``heads`` first, also where there is no row."""
    names = dict.fromkeys([*heads, *(name for row in rows for name in row)])
    return pd.DataFrame(rows, columns=list(names))
