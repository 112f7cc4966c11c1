"""A report beside the runs of its comparison in MLflow."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from mlflow.entities import Metric

from pfltune.errors import ForeignExperiment, TrackingError
from pfltune.figures import MB_PER_ROUND, PERSONAL, TEST, VAL
from pfltune.ownership import see_inside
from pfltune.report.grid import GridResult, best_of, mean
from pfltune.report.results import ComparisonResult
from pfltune.tracking.events import now_ms
from pfltune.tracking.own_store import ARTIFACTS
from pfltune.tracking.runs import own_experiment, own_runs
from pfltune.tracking.store import Store, is_bug, reason

PATIENCE_S = 120.0
"""How long an MLflow that does not answer is waited for."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 15.0


def attach_report(
    results: Path, result: ComparisonResult, folder: Path, tell: Callable[[str], object]
) -> None:
    """Put a comparison's report and the figures of its table on its methods' runs.

    Nothing is attached while the comparison runs: its runs are somebody else's until then.

    Raises:
        TrackingError: MLflow cannot be written.
    """
    if not result.is_partial:
        figures = {method.name: method.summary() for method in result.methods}
        attach(results, result.name, result.id, figures, folder, tell)


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
        attach(results, result.record.name, result.record.id, figures, folder, tell)


def attach(
    results: Path,
    name: str,
    comparison: str,
    figures: Mapping[str, Mapping[str, float]],
    folder: Path,
    tell: Callable[[str], object],
) -> None:
    """Put figures and all files of a folder on the runs of methods, what is not there yet.

    A store that knows nothing of the comparison is left as it is.

    Args:
        results: the results folder.
        name: of the comparison.
        comparison: its id.
        figures: by short name of the method.
        folder: goes with each run, as ``report``.
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
            _attach(store, name, comparison, figures, folder)
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
    tested = {TEST.name: mean(best.tests)} if best.tests else {}
    costs = {MB_PER_ROUND.name: best.mb_per_round, PERSONAL.name: best.personal}
    return {VAL.name: best.mean, **tested, **costs}


def _attach(
    store: Store,
    name: str,
    comparison: str,
    figures: Mapping[str, Mapping[str, float]],
    folder: Path,
) -> None:
    experiment = own_experiment(store, name, comparison)
    if experiment is None or experiment.lifecycle_stage != "active":
        return
    if store.is_own:
        see_inside(store.results / ARTIFACTS / name, store.results)
    for run in own_runs(store, experiment.experiment_id, comparison, "tags.stage = 'summary'"):
        there = run.data.metrics
        new = [
            Metric(key, value, now_ms(), 0)
            for key, value in figures.get(run.data.tags["method"], {}).items()
            if there.get(key) != value
        ]
        if new:
            store.client.log_batch(run.info.run_id, metrics=new)
        store.client.log_artifacts(run.info.run_id, str(folder), "report")
