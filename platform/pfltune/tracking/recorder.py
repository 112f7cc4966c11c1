"""Writing a comparison into MLflow: one experiment, a parent run per method, a child per trial."""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunTag

from pfltune.federation.evaluation import summary
from pfltune.tracking.store import Store

METRIC_FAMILIES = ("val/", "test/", "comm/", "time/", "memory/", "train/", "params/", "unseen/")
MAX_TAG = 5000
FLUSH_SECONDS = 2.0
MAX_BATCH = 1000  # metrics in one request, by MLflow's REST interface


class Recorder:
    """The runs of one comparison.

    Args:
        store: where to write.
        experiment: the experiment's id.
        tags: on every run: scenario, versions, revision.
    """

    def __init__(self, store: Store, experiment: str, tags: Mapping[str, str]) -> None:
        self._client = store.client
        self._experiment = experiment
        self._tags = dict(tags)
        self._pending: dict[str, list[Metric]] = {}
        self._flushed: dict[str, float] = {}
        self.parents: dict[str, str] = {}

    def start_method(
        self, method: str, title: str, artifacts: Mapping[str, str], files: Iterable[Path] = ()
    ) -> None:
        """Open the parent run of a method, with text artifacts by file name, and with files."""
        run = self._start(method, {"method": method, "title": title, "phase": "summary"})
        self.parents[method] = run
        for name, text in artifacts.items():
            self._client.log_text(run, text, name)
        for file in files:
            self._client.log_artifact(run, str(file))

    def start_trial(
        self, method: str, name: str, tags: Mapping[str, str], knobs: Mapping[str, Any]
    ) -> str:
        """Open the run of a trial below its method's; returns the run's id."""
        parent = {"mlflow.parentRunId": self.parents[method]}
        run = self._start(name, {"method": method, **tags, **parent})
        params = [Param(key, str(value)) for key, value in knobs.items()]
        self._client.log_batch(run, params=params)
        return run

    def log_round(self, run: str, round_number: int, result: Mapping[str, Any]) -> None:
        """The metrics of one round; everything that is no metric of ours is left out.

        Rounds that follow each other quickly are written together, some seconds' worth at a time.
        """
        ours = {name: value for name, value in result.items() if name.startswith(METRIC_FAMILIES)}
        self._pending.setdefault(run, []).extend(_metrics(ours, round_number))
        if time.monotonic() - self._flushed.get(run, 0.0) > FLUSH_SECONDS:
            self._flush(run)

    def end_trial(
        self,
        run: str,
        outcome: str,
        rounds: int,
        selected: Mapping[str, Any] | None = None,
        failure: str = "",
    ) -> None:
        """Close a trial's run.

        Args:
            run: the run's id.
            outcome: ``finished``, ``stopped early`` or ``failed``.
            rounds: how far the trial came.
            selected: round chosen on validation and the accuracies of all clients there.
            failure: why it failed.
        """
        self._pending.setdefault(run, []).extend(_metrics({"rounds": float(rounds)}, rounds))
        if selected is not None:
            self._log_selected(run, selected)
        tags = {"outcome": outcome} | ({"failure": failure[:MAX_TAG]} if failure else {})
        self._flush(run, tags)
        self._client.set_terminated(run, "FAILED" if outcome == "failed" else "FINISHED")

    def end_method(self, method: str, best: Mapping[str, Any] | None) -> None:
        """Close a method's parent run with its best configuration; None if every trial failed."""
        run = self.parents[method]
        if best is not None:
            self._client.log_text(run, json.dumps(dict(best), indent=2) + "\n", "best.json")
            params = [Param(key, str(value)) for key, value in best.items()]
            self._client.log_batch(run, params=params)
        self._client.set_terminated(run, "FINISHED" if best is not None else "FAILED")

    def end_all(self, status: str) -> None:
        """Close whatever is still running, after an interruption."""
        for run in self._client.search_runs([self._experiment], "status = 'RUNNING'"):
            self._client.set_terminated(run.info.run_id, status)

    def _start(self, name: str, tags: Mapping[str, str]) -> str:
        created = self._client.create_run(
            self._experiment, run_name=name, tags={**self._tags, **tags}
        )
        return created.info.run_id

    def _flush(self, run: str, tags: Mapping[str, str] | None = None) -> None:
        metrics = self._pending.pop(run, [])
        for first in range(0, len(metrics), MAX_BATCH):
            self._client.log_batch(run, metrics=metrics[first : first + MAX_BATCH])
        if tags:
            self._client.log_batch(run, tags=[RunTag(key, value) for key, value in tags.items()])
        self._flushed[run] = time.monotonic()

    def _log_selected(self, run: str, selected: Mapping[str, Any]) -> None:
        metrics = {"selected/round": float(selected["round"])}
        for part in ("val", "test"):
            if selected[part]:
                figures = summary(tuple(selected[part]))
                metrics |= {f"selected/{part}_{name}": value for name, value in figures.items()}
        self._pending.setdefault(run, []).extend(_metrics(metrics, int(selected["round"])))
        self._client.log_text(run, json.dumps(dict(selected)), "clients.json")


def _metrics(values: Mapping[str, float], step: int) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(name, float(value), now, step) for name, value in values.items()]
