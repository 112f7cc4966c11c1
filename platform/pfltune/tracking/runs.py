"""A comparison's runs in MLflow: one of its own, one for each method, below it one for each trial.

Everything here may be done again, by this process after an error whose effect is unknown or by the
next one. A run is found by its tag. A point carries the time of its event, and of two that are
equal MLflow's SQL store keeps one. A run's status is set last: one that has ended is whole.

A trial that was stopped early is KILLED, which a page of MLflow shows by its sign: so FINISHED are
those that ran all rounds, and a filter for them leaves figures of equal rounds. An interruption
leaves KILLED runs too, until the comparison goes on; those have no tag ``outcome``.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.entities import Dataset, DatasetInput, Metric, Param, Run, RunTag

from pfltune.errors import ForeignExperiment
from pfltune.figures import SELECTED, best_at
from pfltune.front import letter_of
from pfltune.goal import ACCURACY, Goal
from pfltune.text import in_short
from pfltune.tracking.endings import final_figures
from pfltune.tracking.events import MethodEnded, RoundDone, TrialEnded, TrialStarted
from pfltune.tracking.journal import JOURNAL
from pfltune.tracking.own_store import ARTIFACTS, COMPARISON_TAG
from pfltune.tracking.store import Store
from pfltune.tracking.system import SystemMetrics
from pfltune.tracking.views import PLAIN, Views

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

TRIAL_TAG = "pfltune.trial"
SITTING_TAG = "pfltune.sitting"
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"
"""What MLflow shows as the description of an experiment or a run, in Markdown."""
STATUS = {"finished": "FINISHED", "stopped early": "KILLED", "failed": "FAILED"}
"""Of a trial's run by the trial's outcome."""
WHOLE = ("FINISHED", "FAILED")
SUMMARY_STAGE = "summary"
"""Of a method's run."""
COMPARISON_STAGE = "comparison"
"""Of the comparison's own run."""
ALL = "all methods"
"""The comparison's own run; with its space, the name is no method's and no trial's."""
OURS = "pfltune."
"""What the tags of a comparison, and of what it belongs to, begin with."""
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
        artifacts: texts on the comparison's own run, by file name.
        files: attached to it.
        data: what every run was given; None if nothing is to be said of it.
        sitting: what the methods' runs are of; those of an earlier one, which ended with other
            configurations perhaps, are replaced.
        note: the description of experiment and methods until there is a report.
        system: watches this machine on the comparison's own run; None if nobody asked for it.
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
        note: str = "",
        system: SystemMetrics | None = None,
        views: Views = PLAIN,
    ) -> None:
        self._store = store
        self._views = views
        self._sitting = sitting
        self._note = {NOTE_TAG: note} if note else {}
        self._system = system
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
        self._whole: dict[str, str] = {}  # and how it has ended
        self._points: dict[str, set[tuple[str, int]]] = {}
        self.experiment = ""

    @property
    def client(self) -> "MlflowClient":
        """Of the store."""
        return self._store.client

    @property
    def comparison(self) -> str:
        """The comparison's id."""
        return self._comparison

    @property
    def dataset(self) -> Dataset | None:
        """What every run was given, if anything is said of it."""
        return self._inputs[0].dataset if self._inputs else None

    def number_of(self, name: str) -> str:
        """MLflow's id of the run of a trial or method that has been written."""
        return self._ids[name]

    def open(self) -> Iterator[str]:
        """Find or make the experiment, its own run and the methods', whose names it gives.

        Nothing if that is done. Only who goes through all of it has all opened.
        """
        if self._found is None:
            self._look_up()
        if not self._is_open(ALL):
            self._open_own()
            yield ALL
        for method, title in self._parents.items():
            if not self._is_open(method):
                self._open_method(method, title)
                yield method
        if self._system and not self.is_whole(ALL):
            self._system.watch(self._ids[ALL])

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
        wanted = {param.key: param.value for param in _params(_asked(started))}
        tags = known.data.tags
        is_same = known.data.params in ({}, wanted) and tags.get("seed") == str(started.seed)
        is_same_end = (
            ended is None or name not in self._whole or tags.get("outcome") == ended.outcome
        )
        if not is_same or not is_same_end:
            self._drop(name)

    def start(self, event: TrialStarted) -> bool:
        """Open the run of a trial below its method's; whether it was not open."""
        if self._is_ready(event.trial):
            return False
        tags = {**_place(event), PARENT_TAG: self._ids[event.method]}
        run = self._run(event.trial, tags, event.time)
        self._log(run, params=_params(_asked(event)))
        self._ready.add(event.trial)
        return True

    def log(self, name: str, metrics: Sequence[Metric]) -> None:
        """Write points of an open trial or method, those that are not there yet."""
        there = self._points.setdefault(name, set())
        new = [metric for metric in metrics if (metric.key, metric.step) not in there]
        for first in range(0, len(new), MAX_BATCH):
            batch = new[first : first + MAX_BATCH]
            self._log(self._ids[name], metrics=batch)
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
        self._terminate(event.trial, STATUS[event.outcome], event.time)

    def end_method(self, event: MethodEnded) -> None:
        """Close a method's run with its best configuration, and with that of each of its studies.

        All configurations of a front stand beside it, too.

        With the last method's, the comparison's own is closed.
        """
        if not self.is_whole(event.method):
            self._end_method(event)
        if self._parents.keys() <= self._whole.keys() and not self.is_whole(ALL):
            self._stop_watching()
            ended = {self._whole[name] for name in self._parents}
            self._terminate(ALL, "FAILED" if ended == {"FAILED"} else "FINISHED")

    def _end_method(self, event: MethodEnded) -> None:
        run, best = self._ids[event.method], event.best
        tags = [
            RunTag(f"study {number} chose", in_short(chosen or {}) or "nothing")
            for number, chosen in enumerate(event.chosen)
        ]
        if tags:
            self._log(run, tags=tags)
        if best is not None:
            text = json.dumps(dict(best), indent=2) + "\n"
            self._store.client.log_text(run, text, "best.json")
            self._log(run, params=_params(best))
        if event.front:
            told = {letter_of(place): dict(knobs) for place, knobs in enumerate(event.front)}
            self._store.client.log_text(run, json.dumps(told, indent=2) + "\n", "front.json")
        self._terminate(event.method, "FINISHED" if best is not None else "FAILED")

    def kill(self) -> None:
        """Mark every run that has not ended as killed."""
        self._stop_watching()
        self._look_up()
        for run in (self._found or {}).values():
            if run.info.status == "RUNNING":
                self._store.client.set_terminated(run.info.run_id, "KILLED")

    def check(self) -> None:
        """Leave one run of each, at the end: a request that is sent again may make a second."""
        self._look_up()

    def _is_ready(self, name: str) -> bool:
        return name in self._ready and name in self._ids

    def _is_open(self, name: str) -> bool:
        return self.is_whole(name) or self._is_ready(name)

    def _open_own(self) -> None:
        tags = {"stage": COMPARISON_STAGE, SITTING_TAG: self._sitting, **self._note}
        run = self._run(ALL, tags, None)
        for name, text in self._artifacts.items():
            self._store.client.log_text(run, text, name)
        for file in self._files:
            self._store.client.log_artifact(run, str(file))
        for tag, text in self._note.items():
            self._store.client.set_experiment_tag(self.experiment, tag, text)
        self._ready.add(ALL)

    def _open_method(self, method: str, title: str) -> None:
        place = {"method": method, "stage": SUMMARY_STAGE}
        tags = {**place, "title": title, SITTING_TAG: self._sitting, **self._note}
        run = self._run(method, tags, None)
        self._adopt(method)
        self._log(run, params=_params(place))
        self._ready.add(method)

    def _stop_watching(self) -> None:
        if self._system:
            self._system.stop()
            self._system = None

    def _terminate(self, name: str, status: str, time: int | None = None) -> None:
        self._store.client.set_terminated(self._ids[name], status, end_time=time)
        self._whole[name] = status

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
        self._whole = {name: run.info.status for name, run in found.items() if _is_whole(run)}
        self._found = found
        for name in {ALL, *self._parents} & found.keys():
            if found[name].data.tags.get(SITTING_TAG, JOURNAL) != self._sitting:
                self._drop(name)

    def _drop(self, name: str) -> None:
        """Have MLflow mark a run as deleted, and know it no more."""
        assert self._found is not None
        self._store.client.delete_run(self._found.pop(name).info.run_id)
        self._ids.pop(name, None)
        self._points.pop(name, None)
        self._whole.pop(name, None)
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
                **{key: text for key, text in self._tags.items() if key.startswith(OURS)},
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


def round_metrics(
    event: RoundDone, rungs: Collection[int] = (), goal: Goal = ACCURACY
) -> list[Metric]:
    """The points of a round; what stands at a rung is told by itself, too, to be compared there."""
    best = event.metrics.get(goal.best.name)
    at_rung = {}
    if event.round in rungs and best is not None:
        at_rung = {best_at(goal.best, event.round).name: best}
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


def _place(event: TrialStarted) -> dict[str, str]:
    """What a trial is, beside its configuration; a first study is not named."""
    study = {"study": str(event.study)} if event.study else {}
    return study | {
        "method": event.method,
        "stage": event.stage,
        "seed": str(event.seed),
        "trial": str(event.index),
        "generation": str(event.generation),
    }


def _asked(event: TrialStarted) -> dict[str, Any]:
    """All that charts and filters go by; a knob of the same name is what its method calls so."""
    return {**_place(event), **event.knobs}


def _is_whole(run: Run) -> bool:
    """Whether nothing of it is missing: one that an interruption killed has no outcome."""
    status = run.info.status
    return status in WHOLE or status == STATUS.get(run.data.tags.get("outcome", ""))


def _params(values: Mapping[str, Any]) -> list[Param]:
    return [Param(key, str(value)[:MAX_PARAM]) for key, value in values.items()]


def _worth(run: Run) -> tuple[bool, int, str]:
    """Orders runs of the same trial; the last is the one to keep."""
    return (_is_whole(run), len(run.data.metrics), run.info.run_id)
