"""A report beside the runs of its comparison in MLflow."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from mlflow.entities import Metric, Run
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS

from pfltune.errors import ForeignExperiment, TrackingError
from pfltune.figures import MB_PER_ROUND, PERSONAL
from pfltune.ownership import see_inside
from pfltune.report.analysis import Analysis
from pfltune.report.description import of_comparison, of_grid, of_method
from pfltune.report.frames import grid_frame, table_frame
from pfltune.report.fronts_shown import hypervolumes
from pfltune.report.grid import GridResult, best_of, mean
from pfltune.report.results import MethodResult
from pfltune.tracking.events import now_ms
from pfltune.tracking.own_store import ARTIFACTS
from pfltune.tracking.runs import (
    COMPARISON_STAGE,
    NOTE_TAG,
    SUMMARY_STAGE,
    own_experiment,
    own_runs,
)
from pfltune.tracking.store import Store, is_bug, reason

TABLE = "table.json"
PATIENCE_S = 120.0
"""How long an MLflow that does not answer is waited for."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 15.0


@dataclass(frozen=True)
class Attachment:
    """What MLflow is told of a comparison that has ended.

    Attributes:
        note: the description of the experiment, in Markdown.
        table: for people who compare in MLflow's pages.
        notes: the description of each method's run, by short name.
        figures: of each method's run, by short name.
    """

    note: str
    table: pd.DataFrame
    notes: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def attach_report(
    results: Path, analysis: Analysis, folder: Path, tell: Callable[[str], object]
) -> None:
    """Put a comparison's report on its own run, and what it says of methods on theirs.

    Nothing is attached while the comparison runs: its runs are somebody else's until then.

    Raises:
        TrackingError: MLflow cannot be written.
    """
    result = analysis.result
    if not result.is_partial:
        told = Attachment(
            of_comparison(analysis),
            table_frame(analysis).reset_index(),
            {method.name: of_method(analysis, method) for method in result.whole},
            {m.name: m.summary() | _of_front(analysis, m) for m in result.whole},
        )
        attach(results, result.name, result.id, told, folder, tell)


def _of_front(analysis: Analysis, method: MethodResult) -> dict[str, float]:
    """The hypervolumes of a method; nothing with one objective."""
    return hypervolumes(analysis.fronts.of(method.name)) if analysis.fronts else {}


def attach_grid(
    results: Path, result: GridResult, folder: Path, tell: Callable[[str], object]
) -> None:
    """Put a grid's report and the figures of each method's best cell on its methods' runs.

    Nothing is attached while the grid runs.

    Raises:
        TrackingError: MLflow cannot be written.
    """
    if not result.is_partial:
        figures = {method: _best_figures(result, method) for method in result.methods}
        told = Attachment(of_grid(result), grid_frame(result), figures=figures)
        attach(results, result.record.name, result.record.id, told, folder, tell)


def attach(
    results: Path,
    name: str,
    comparison: str,
    told: Attachment,
    folder: Path,
    tell: Callable[[str], object],
) -> None:
    """Put descriptions, figures, a table and all files of a folder where they belong in MLflow.

    A store that knows nothing of the comparison is left as it is.

    Args:
        results: the results folder.
        name: of the comparison.
        comparison: its id.
        told: what stands there besides.
        folder: goes with the comparison's own run as ``report``, its pictures as ``figures`` too.
        tell: told in one line when MLflow has to be waited for.

    Raises:
        TrackingError: MLflow cannot be written, or has somebody else's experiment there.
    """
    store = Store(results)
    if not store.exists:
        return
    deadline, wait = time.monotonic() + PATIENCE_S, FIRST_WAIT_S
    while True:
        try:
            _attach(store, name, comparison, told, folder)
            return
        except Exception as error:
            if isinstance(error, ForeignExperiment) or is_bug(error):
                raise
            if time.monotonic() > deadline:
                raise TrackingError(
                    f"the report in {folder} could not be attached in MLflow at {store.address}: "
                    f"{reason(error)}"
                ) from None
            if wait == FIRST_WAIT_S:
                tell(f"MLflow at {store.address} cannot be written ({reason(error)}): waiting")
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT_S)


def _best_figures(result: GridResult, method: str) -> dict[str, float]:
    """Of the best cell of a method; none without a figure."""
    best = best_of([cell for cell in result.cells if cell.method == method])
    if best is None:
        return {}
    goal = result.goal
    tested = {goal.of("test").name: goal.score(mean(best.tests))} if best.tests else {}
    costs = {MB_PER_ROUND.name: best.mb_per_round, PERSONAL.name: best.personal}
    return {goal.of("val").name: goal.score(best.mean), **tested, **costs}


def _attach(store: Store, name: str, comparison: str, told: Attachment, folder: Path) -> None:
    experiment = own_experiment(store, name, comparison)
    if experiment is None or experiment.lifecycle_stage != "active":
        return
    if store.is_own:
        see_inside(store.results / ARTIFACTS / name, store.results)
    for run in own_runs(store, experiment.experiment_id, comparison):
        stage = run.data.tags.get("stage")
        if stage == SUMMARY_STAGE:
            _tell_method(store, run, told)
        elif stage == COMPARISON_STAGE:
            _tell_all(store, run.info.run_id, told, folder)
    store.client.set_experiment_tag(experiment.experiment_id, NOTE_TAG, told.note)


def _tell_method(store: Store, run: Run, told: Attachment) -> None:
    """What is not there yet."""
    method = run.data.tags["method"]
    new = [
        Metric(key, value, now_ms(), 0)
        for key, value in told.figures.get(method, {}).items()
        if run.data.metrics.get(key) != value
    ]
    if new:
        store.client.log_batch(run.info.run_id, metrics=new)
    if method in told.notes:
        store.client.set_tag(run.info.run_id, NOTE_TAG, told.notes[method])


def _tell_all(store: Store, run: str, told: Attachment, folder: Path) -> None:
    """Report, pictures and table; MLflow's own ``log_table`` would append to one that is there."""
    store.client.log_artifacts(run, str(folder), "report")
    for picture in sorted(folder.glob("*.png")):
        store.client.log_artifact(run, str(picture), "figures")
    table = told.table.to_json(orient="split", index=False)
    store.client.log_text(run, table, TABLE)
    store.client.set_tag(
        run, MLFLOW_LOGGED_ARTIFACTS, json.dumps([{"path": TABLE, "type": "table"}])
    )
    store.client.set_tag(run, NOTE_TAG, told.note)
