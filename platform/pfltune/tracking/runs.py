"""A comparison's runs in MLflow: a parent run for each method, a child for each trial.

Everything here may be done again, by this process after an error whose effect is unknown or by the
next one. A run is found by its tag. A point carries the time of its event, and of two that are
equal MLflow's SQL store keeps one. A run's status is set last: one that has ended is whole.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import DatasetInput, Metric, Param, Run, RunTag

from pfltune.errors import ForeignExperiment
from pfltune.figures import BEST_VAL, SELECTED, best_val_at
from pfltune.tracking.endings import final_figures
from pfltune.tracking.events import RoundDone, TrialEnded, TrialStarted
from pfltune.tracking.journal import JOURNAL
from pfltune.tracking.own_store import ARTIFACTS, COMPARISON_TAG
from pfltune.tracking.store import Store
from pfltune.tracking.views import PLAIN, Views

TRIAL_TAG = "pfltune.trial"
SITTING_TAG = "pfltune.sitting"
PARENT_TAG = "mlflow.parentRunId"
WHOLE = ("FINISHED", "FAILED")
SUMMARY_STAGE = "summary"
MAX_TAG = 5000
MAX_PARAM = 6000
MAX_BATCH = 1000  # metrics in one request, by MLflow's REST interface
PAGE = 1000


class Runs:
    """The runs of one comparison; for one thread.

    Args:
        store: where to write.
        experiment: the experiment's name.
        comparison: the comparison's id.
        tags: on every run: scenario, versions, revision.
        parents: title of each method by its short name.
        artifacts: texts on each parent, by file name.
        files: attached to each parent.
        data: what every run was given; None if nothing is to be said of it.
        sitting: what the methods' runs are of; those of an earlier one, which ended with other
            configurations perhaps, are replaced.
        views: what the pages show at once.
    """

    def __init__(
        self,
        store: Store,
        experiment: str,
        comparison: str,
        tags: Mapping[str, str],
        parents: Mapping[str, str],
        artifacts: Mapping[str, str],
        files: Iterable[Path],
        data: DatasetInput | None = None,
        sitting: str = JOURNAL,
        views: Views = PLAIN,
    ) -> None:
        self._store = store
        self._views = views
        self._sitting = sitting
        self._name = experiment
        self._comparison = comparison
        self._tags = {**tags, COMPARISON_TAG: comparison}
        self._parents = dict(parents)
        self._artifacts = dict(artifacts)
        self._files = tuple(files)
        self._inputs = [data] if data else []
        self._found: dict[str, Run] | None = None
        self._ids: dict[str, str] = {}
        self._ready: set[str] = set()
        self._whole: set[str] = set()
        self._points: dict[str, set[tuple[str, int]]] = {}
        self.experiment = ""

    def open(self) -> None:
        """Find or make the experiment and the methods' runs; nothing if that is done."""
        if self._found is None:
            self._look_up()
        for method, title in self._parents.items():
            if method in self._whole or self._is_ready(method):
                continue
            tags = {"method": method, "title": title, "stage": SUMMARY_STAGE}
            run = self._run(method, {**tags, SITTING_TAG: self._sitting}, None)
            self._adopt(method)
            for name, text in self._artifacts.items():
                self._store.client.log_text(run, text, name)
            for file in self._files:
                self._store.client.log_artifact(run, str(file))
            self._ready.add(method)

    def forget(self) -> None:
        """Look all runs up again before the next is made: one may be there without an answer."""
        self._found = None

    def is_whole(self, name: str) -> bool:
        """Whether there is nothing left to write of a trial or method."""
        return name in self._whole

    def drop_other(self, started: TrialStarted, ended: TrialEnded | None) -> None:
        """Delete the run of a trial's name if it is of another trial, or of another end of it.

        A comparison that was asked for more may confirm another configuration under the name.
        """
        name = started.trial
        known = (self._found or {}).get(name)
        if known is None or self._ids.get(name) != known.info.run_id:
            return
        wanted = {param.key: param.value for param in _params_of(started)}
        tags = known.data.tags
        is_same = known.data.params in ({}, wanted) and tags.get("seed") == str(started.seed)
        is_same_end = (
            ended is None or name not in self._whole or tags.get("outcome") == ended.outcome
        )
        if not is_same or not is_same_end:
            self._drop(name)

    def start(self, event: TrialStarted) -> None:
        """Open the run of a trial below its method's."""
        if self._is_ready(event.trial):
            return
        tags = {
            "method": event.method,
            "stage": event.stage,
            "seed": str(event.seed),
            "trial": str(event.index),
            "generation": str(event.generation),
            PARENT_TAG: self._ids[event.method],
        }
        run = self._run(event.trial, tags, event.time)
        self._log(run, params=_params_of(event))
        self._ready.add(event.trial)

    def log(self, trial: str, metrics: Sequence[Metric]) -> None:
        """Write points of a trial that has been started, those that are not there yet."""
        there = self._points.setdefault(trial, set())
        new = [metric for metric in metrics if (metric.key, metric.step) not in there]
        for first in range(0, len(new), MAX_BATCH):
            batch = new[first : first + MAX_BATCH]
            self._log(self._ids[trial], metrics=batch)
            there.update((metric.key, metric.step) for metric in batch)

    def end(self, event: TrialEnded) -> None:
        """Close the run of a trial whose rounds are all written."""
        run = self._ids[event.trial]
        self.log(event.trial, _final_metrics(event))
        if event.selected is not None:
            self._store.client.log_text(run, json.dumps(event.selected), "clients.json")
        failure = {"failure": event.failure[:MAX_TAG]} if event.failure else {}
        tags = {"outcome": event.outcome, **failure}
        self._log(run, tags=[RunTag(key, value) for key, value in tags.items()])
        status = "FAILED" if event.outcome == "failed" else "FINISHED"
        self._store.client.set_terminated(run, status, end_time=event.time)
        self._whole.add(event.trial)

    def end_method(self, method: str, best: Mapping[str, Any] | None) -> None:
        """Close a method's run with its best configuration; None if every trial failed."""
        if self.is_whole(method):
            return
        run = self._ids[method]
        if best is not None:
            text = json.dumps(dict(best), indent=2) + "\n"
            self._store.client.log_text(run, text, "best.json")
            self._log(run, params=_params(best))
        self._store.client.set_terminated(run, "FINISHED" if best is not None else "FAILED")
        self._whole.add(method)

    def kill(self) -> None:
        """Mark every run that has not ended as killed."""
        self._look_up()
        for run in (self._found or {}).values():
            if run.info.status == "RUNNING":
                self._store.client.set_terminated(run.info.run_id, "KILLED")

    def check(self) -> None:
        """Leave one run of each, at the end: a request that is sent again may make a second."""
        self._look_up()

    def _is_ready(self, name: str) -> bool:
        return name in self._ready and name in self._ids

    def _look_up(self) -> None:
        self._found = None
        self.experiment = self._get_or_create_experiment()
        found: dict[str, Run] = {}
        for run in sorted(own_runs(self._store, self.experiment, self._comparison), key=_worth):
            name = run.data.tags.get(TRIAL_TAG)
            if name in found:
                self._store.client.delete_run(found[name].info.run_id)
            if name is not None:
                found[name] = run
        self._ids = {name: run.info.run_id for name, run in found.items()}
        self._points.clear()
        self._whole = {name for name, run in found.items() if run.info.status in WHOLE}
        self._found = found
        for method in self._parents.keys() & found.keys():
            if found[method].data.tags.get(SITTING_TAG, JOURNAL) != self._sitting:
                self._drop(method)

    def _drop(self, name: str) -> None:
        """Have MLflow mark a run as deleted, and know it no more."""
        assert self._found is not None
        self._store.client.delete_run(self._found.pop(name).info.run_id)
        self._ids.pop(name, None)
        self._points.pop(name, None)
        self._whole.discard(name)
        self._ready.discard(name)

    def _adopt(self, method: str) -> None:
        """Put trials that stand below another run of a method below its present one."""
        for name, run in (self._found or {}).items():
            tags = run.data.tags
            is_trial = tags.get("method") == method and tags.get("stage") != SUMMARY_STAGE
            if is_trial and name in self._ids and tags.get(PARENT_TAG) != self._ids[method]:
                self._store.client.set_tag(run.info.run_id, PARENT_TAG, self._ids[method])

    def _get_or_create_experiment(self) -> str:
        client = self._store.client
        known = own_experiment(self._store, self._name, self._comparison)
        if known is not None:
            if known.lifecycle_stage != "active":
                client.restore_experiment(known.experiment_id)
            for key, value in self._views.tags().items():
                if known.tags.get(key) != value:
                    client.set_experiment_tag(known.experiment_id, key, value)
            return known.experiment_id
        own = self._store.results / ARTIFACTS / self._name
        return client.create_experiment(
            self._name,
            artifact_location=own.as_uri() if self._store.is_sqlite else None,
            tags={
                "scenario": self._tags["scenario"],
                COMPARISON_TAG: self._comparison,
                **self._views.tags(),
            },
        )

    def _run(self, name: str, tags: Mapping[str, str], start_time: int | None) -> str:
        """The id of a run that goes on, or of a new one."""
        client = self._store.client
        known = (self._found or {}).get(name)
        if known is None:
            made = client.create_run(
                self.experiment,
                start_time=start_time,
                run_name=name,
                tags={**self._tags, **tags, TRIAL_TAG: name},
            )
            self._ids[name] = made.info.run_id
        else:
            self._points[name] = self._points_of(known)
            if known.info.status != "RUNNING":
                client.update_run(known.info.run_id, status="RUNNING")
        if self._inputs:
            client.log_inputs(self._ids[name], self._inputs)
        return self._ids[name]

    def _points_of(self, run: Run) -> set[tuple[str, int]]:
        """Metric and step of all that a run has: the journal may have lost rounds that it told."""
        client, number = self._store.client, run.info.run_id
        return {
            (name, point.step)
            for name in run.data.metrics
            for point in client.get_metric_history(number, name)
        }

    def _log(
        self,
        run: str,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[RunTag] = (),
    ) -> None:
        self._store.client.log_batch(run, metrics, params, tags, synchronous=True)


def own_experiment(store: Store, name: str, comparison: str) -> Any | None:
    """The experiment of a comparison, active or deleted; None if there is none yet.

    Raises:
        ForeignExperiment: there is one of that name that is not this comparison's.
    """
    found = store.client.get_experiment_by_name(name)
    if found is None or found.tags.get(COMPARISON_TAG) == comparison:
        return found
    what = "an experiment" if found.lifecycle_stage == "active" else "a deleted experiment"
    raise ForeignExperiment(
        f"{store.address} has {what} {name!r} that is not this comparison's, and it "
        "is left alone; choose another --name, or another store with MLFLOW_TRACKING_URI"
    )


def own_runs(store: Store, experiment: str, comparison: str, which: str = "") -> Iterator[Run]:
    """The runs of a comparison, or those that a filter of MLflow's leaves."""
    wanted = f"tags.`{COMPARISON_TAG}` = '{comparison}'" + (f" AND {which}" if which else "")
    token = None
    while True:
        page = store.client.search_runs([experiment], wanted, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def round_metrics(event: RoundDone, rungs: Collection[int] = ()) -> list[Metric]:
    """The points of a round; what stands at a rung is told by itself, too, to be compared there."""
    best = event.metrics.get(BEST_VAL.name)
    at_rung = {}
    if event.round in rungs and best is not None:
        at_rung = {best_val_at(event.round).name: best}
    return _metrics({**event.metrics, **at_rung}, event.time, event.round)


def _final_metrics(event: TrialEnded) -> list[Metric]:
    """Those of the chosen round stand at that round."""
    chosen = int(event.selected["round"]) if event.selected else event.round
    return [
        Metric(name, value, event.time, chosen if name.startswith(SELECTED) else event.round)
        for name, value in final_figures(event).items()
    ]


def _metrics(values: Mapping[str, float], time: int, step: int) -> list[Metric]:
    return [Metric(name, float(value), time, step) for name, value in values.items()]


def _params_of(event: TrialStarted) -> list[Param]:
    """What MLflow can filter, group and draw a trial by: its configuration, and what it is for."""
    told = ("method", "stage", "seed", "generation")
    purpose = {name: getattr(event, name) for name in told}
    return _params({**purpose, "trial": event.index, **event.knobs})


def _params(values: Mapping[str, Any]) -> list[Param]:
    return [Param(key, str(value)[:MAX_PARAM]) for key, value in values.items()]


def _worth(run: Run) -> tuple[bool, int, str]:
    """Orders runs of the same trial; the last is the one to keep."""
    return (run.info.status in WHOLE, len(run.data.metrics), run.info.run_id)
