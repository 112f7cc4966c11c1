"""What a comparison came to, as its table and MLflow have it, and how two of them differ."""

import csv
from collections import Counter
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from pfltune.tracking.runs import COMPARISON_STAGE, STATUS, SUMMARY_STAGE

CLOCKS = ("time/", "memory/")
"""Metrics that no two runs share."""
IDENTITY = ("method", "stage", "generation", "trial", "seed")
Points = list[tuple[int, float]]
Row = dict[str, str]


@dataclass(frozen=True)
class Run:
    """An active run in MLflow.

    Attributes:
        tags: those that say which trial it is, and its outcome and failure.
        status: RUNNING, FINISHED, FAILED or KILLED.
        params: its knobs.
        points: (step, value) of every metric that a second run must repeat, as often as they are.
        measured: steps of the others, of which only these must agree.
        parent: the name of the run that it is below.
    """

    tags: dict[str, str]
    status: str
    params: dict[str, str]
    points: dict[str, Points]
    measured: dict[str, list[int]]
    parent: str | None


@dataclass(frozen=True)
class Outcome:
    """A comparison, all but measured seconds and memory.

    Attributes:
        table: rows of table.csv.
        runs: (name, run), as many as MLflow has of each name, sorted.
    """

    table: list[Row]
    runs: list[tuple[str, Run]]

    @cached_property
    def named(self) -> dict[str, Run]:
        """One run of each name."""
        return dict(self.runs)


@dataclass(frozen=True)
class Differences:
    """How many things are wrong with a comparison; nothing at all if it is as it should be.

    Attributes:
        lost: names of runs that it lacks, or that no undisturbed one has.
        duplicated: names that two active runs share.
        open: names of runs that are RUNNING, or KILLED but for those that were stopped early.
        missing: points that it lacks.
        duplicated_points: points of the same metric and step.
        other: names of runs of which anything else differs.
        table: names of the rows that differ.
    """

    lost: tuple[str, ...] = ()
    duplicated: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    duplicated_points: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    table: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))


def outcome_of(results: Path, name: str) -> Outcome:
    """Read what a comparison has left."""
    return Outcome(table_of(results / name), runs_of(results, name))


def table_of(folder: Path) -> list[Row]:
    """The rows of a report, without what was measured."""
    with (folder / "report" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not k.startswith(CLOCKS)} for row in rows]


def shown_table(output: str) -> list[list[str]]:
    """The rows that a command printed last, without the seconds in the last column."""
    rows = [line.split() for line in output.rpartition("─")[2].splitlines()[1:]]
    return [row[:-1] for row in rows[: rows.index([])]]


def runs_of(results: Path, name: str) -> list[tuple[str, Run]]:
    """All active runs of a comparison's experiment."""
    client = MlflowClient(tracking_uri=f"sqlite:///{results.resolve()}/mlflow.db")
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return []
    found = client.search_runs(
        [experiment.experiment_id], run_view_type=ViewType.ACTIVE_ONLY, max_results=5000
    )
    names = {run.info.run_id: run.info.run_name for run in found}
    runs = []
    for run in found:
        histories = {
            metric: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, metric)]
            for metric in run.data.metrics
        }
        kept = (*IDENTITY, "outcome", "failure")
        content = Run(
            tags={key: run.data.tags[key] for key in kept if key in run.data.tags},
            status=run.info.status,
            params=run.data.params,
            points={m: sorted(h) for m, h in histories.items() if not m.startswith(CLOCKS)},
            measured={
                m: sorted(step for step, _ in h)
                for m, h in histories.items()
                if m.startswith(CLOCKS)
            },
            parent=names.get(run.data.tags.get("mlflow.parentRunId", "")),
        )
        runs.append((names[run.info.run_id], content))
    return sorted(runs, key=lambda entry: entry[0])


def statuses(results: Path, name: str) -> Counter[str]:
    """How many runs there are of each status."""
    return Counter(run.status for _, run in runs_of(results, name))


def differences(found: Outcome, wanted: Outcome) -> Differences:
    """How ``found`` differs from the undisturbed comparison."""
    names = Counter(name for name, _ in found.runs)
    mine, right = found.named, wanted.named
    both = sorted(mine.keys() & right.keys())
    return Differences(
        lost=tuple(sorted(mine.keys() ^ right.keys())),
        duplicated=tuple(sorted(name for name, count in names.items() if count > 1)),
        open=tuple(n for n, run in found.runs if run.status not in _ended(run)),
        missing=tuple(f"{n}: {p}" for n in both for p in _steps(right[n]) - _steps(mine[n])),
        duplicated_points=tuple(
            f"{name}: {point}"
            for name, run in found.runs
            for point, count in _steps(run).items()
            if count > 1
        ),
        other=tuple(name for name in both if mine[name] != right[name]),
        table=tuple(_rows(found) ^ _rows(wanted)),
    )


def assert_whole(outcome: Outcome) -> None:
    """See that each trial has one run, below its method's, whole and ended."""
    names = [name for name, _ in outcome.runs]
    assert len(names) == len(set(names)), f"two runs of one trial: {names}"
    for name, run in outcome.runs:
        is_parent = run.tags["stage"] in (SUMMARY_STAGE, COMPARISON_STAGE)
        assert run.status in _ended(run), (name, run.status)
        assert run.parent == (None if is_parent else run.tags["method"]), name
        twice = [point for point, count in _steps(run).items() if count > 1]
        assert not twice, (name, twice)
        if not is_parent:
            reached = int(run.points["rounds"][0][1])
            assert [step for step, _ in run.points["comm/up_mb_per_round"]] == list(
                range(1, reached + 1)
            )


def _ended(run: Run) -> tuple[str, ...]:
    """The statuses that a run may end with."""
    if run.tags["stage"] in (SUMMARY_STAGE, COMPARISON_STAGE):
        return ("FINISHED",)
    return (STATUS.get(run.tags.get("outcome", ""), "an outcome"),)


def _steps(run: Run) -> Counter[tuple[str, int]]:
    """How often a run has each (metric, step)."""
    known = {name: [step for step, _ in points] for name, points in run.points.items()}
    return Counter((m, step) for m, steps in {**known, **run.measured}.items() for step in steps)


def _rows(outcome: Outcome) -> set[str]:
    return {", ".join(f"{k}={v}" for k, v in row.items()) for row in outcome.table}
