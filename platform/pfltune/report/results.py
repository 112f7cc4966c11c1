"""What a comparison found, read from the MLflow store and nothing else."""

import json
from ast import literal_eval
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException

from pfltune.errors import UserError, unknown
from pfltune.knobs import Value
from pfltune.text import plain
from pfltune.ties import settled
from pfltune.tracking.store import Store, reason

Curve = list[tuple[int, float]]

CURVES = ("val/accuracy", "test/accuracy", "comm/total_mb")
OBJECTIVE = "val/best_accuracy"
OVER = ("FINISHED", "FAILED")
TEST, VAL = "selected/test_accuracy", "selected/val_accuracy"
# Only with unseen clients, and only since it is counted.
SOMETIMES = ("unseen/test/accuracy", "compute/gflops")


@dataclass(frozen=True)
class ConfirmedRun:
    """One confirmation trial that ran to its end.

    Attributes:
        seed: its seed.
        metrics: the last value of every metric; ``selected/…`` are those of the chosen round.
        curves: (round, value) of ``val/accuracy``, ``test/accuracy`` and ``comm/total_mb``.
        val, test: accuracy of every client in the chosen round, in [0, 1], in the order of
            ``clients``.
        clients: indices of these clients in the partition; empty stands for all, in their order.
    """

    seed: int
    metrics: dict[str, float]
    curves: dict[str, Curve]
    val: tuple[float, ...] = ()
    test: tuple[float, ...] = ()
    clients: tuple[int, ...] = ()

    @property
    def indices(self) -> tuple[int, ...]:
        """The index of each client."""
        return self.clients or tuple(range(len(self.test)))


@dataclass(frozen=True)
class SearchedRun:
    """One search trial; it never saw test data.

    Attributes:
        index: its number within the method's search, in the order of the suggestions.
        generation: number of the generation that it was halved in.
        seed: its seed, the same for all.
        knobs: its configuration; numbers and truth values are no texts.
        outcome: ``finished``, ``stopped early``, ``failed``, or ``running`` without an end so far.
        rounds: how far it came.
        curve: (round, objective), the best mean validation accuracy so far, in [0, 1].
    """

    index: int
    generation: int
    seed: int
    knobs: dict[str, Value]
    outcome: str
    rounds: int
    curve: Curve

    @property
    def value(self) -> float:
        """The objective at its end; NaN if it was never evaluated."""
        return self.curve[-1][1] if self.curve else float("nan")


@dataclass(frozen=True)
class MethodResult:
    """One row of the table. Accuracies are in [0, 1]; MB are 10^6 bytes.

    Attributes:
        name: short name of the method.
        title: how it is written in a paper.
        run_id: its parent run.
        best: the configuration that the search chose.
        runs: the confirmation trials.
        search_trials, failed_trials: number of search trials, and of trials that failed.
        search_steps: local steps that the search spent.
        failures: why trials failed, each reason once.
        searched: the search trials, in the order of the suggestions.
        ended: trials that have ended, of both kinds.
        is_over: whether there is nothing more to come.
    """

    name: str
    title: str
    run_id: str
    best: dict[str, Value]
    runs: tuple[ConfirmedRun, ...]
    search_trials: int
    failed_trials: int
    search_steps: float
    failures: tuple[str, ...]
    searched: tuple[SearchedRun, ...] = ()
    ended: int = 0
    is_over: bool = True

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the confirmation trials, in their order."""
        return tuple(run.seed for run in self.runs)

    def clients(self, seeds: Sequence[int] | None = None) -> np.ndarray:
        """Test accuracy of every client in the chosen round, float64 (seeds, clients).

        Args:
            seeds: those wanted, in the order wanted; default: all.
        """
        by_seed = {run.seed: run.test for run in self.runs}
        wanted = self.seeds if seeds is None else seeds
        return np.array([by_seed[seed] for seed in wanted], dtype=np.float64)

    def mean(self, metric: str) -> float:
        """Mean over seeds; NaN if no confirmation trial ended."""
        values = self.values(metric)
        return float(np.mean(values)) if values else float("nan")

    def std(self, metric: str) -> float:
        """Sample standard deviation over seeds; NaN for fewer than two, which have none."""
        values = self.values(metric)
        return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")

    def values(self, metric: str) -> list[float]:
        """One value per seed."""
        return [run.metrics[metric] for run in self.runs]

    def summary(self) -> dict[str, float]:
        """The figures of the table, under the names that MLflow shows."""
        if not self.runs:
            return {}
        sometimes = {
            name: self.mean(name)
            for name in SOMETIMES
            if all(name in run.metrics for run in self.runs)
        }
        if len(self.runs) > 1:
            sometimes["test/accuracy_std_seeds"] = self.std(TEST)
        return sometimes | {
            "test/accuracy": self.mean(TEST),
            "test/accuracy_std": self.mean("selected/test_accuracy_std"),
            "test/accuracy_worst_decile": self.mean("selected/test_accuracy_worst_decile"),
            "val/accuracy": self.mean(VAL),
            "comm/mb_per_round": self.mean("comm/total_mb") / self.mean("rounds"),
            "comm/total_mb": self.mean("comm/total_mb"),
            "comm/setup_mb": self.mean("comm/setup_mb"),
            "params/shared": self.mean("params/shared"),
            "params/personal": self.mean("params/personal"),
            "train/steps": self.mean("train/steps"),
            "train/adaptation_steps": self.mean("train/adaptation_steps"),
            "time/total_s": self.mean("time/total_s"),
            "memory/peak_mb": self.mean("memory/peak_mb"),
        }


@dataclass(frozen=True)
class ComparisonResult:
    """All methods of a comparison, the best test accuracy first.

    Attributes:
        name: of the comparison.
        experiment: id of its MLflow experiment.
        scenario: its scenario.
        settings: what it ran with, as recorded.
        methods: the rows; those without a finished confirmation trial come last.
    """

    name: str
    experiment: str
    scenario: str
    settings: dict[str, Any]
    methods: tuple[MethodResult, ...]

    @property
    def confirmed(self) -> tuple[MethodResult, ...]:
        """The methods with a figure."""
        return tuple(method for method in self.methods if method.runs)

    @property
    def is_partial(self) -> bool:
        """Whether something is still to come."""
        return not all(method.is_over for method in self.methods)

    @property
    def ended(self) -> int:
        """Trials that have ended."""
        return sum(method.ended for method in self.methods)

    @property
    def planned(self) -> int:
        """Trials of all methods, search and confirmation."""
        budget = self.settings["budget"]
        return len(self.methods) * (budget["trials"] + budget["seeds"])


def find_comparison(store: Store, name: str) -> str:
    """The id of a comparison's MLflow experiment.

    Raises:
        UserError: there is none of that name.
    """
    found = store.client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        there = [each.name for each in store.client.search_experiments() if "scenario" in each.tags]
        if not there:
            raise UserError(f"there is no comparison {name!r}, and none at all in {store.address}")
        raise unknown("comparison", name, there)
    return found.experiment_id


def read_results(store: Store, experiment: str) -> ComparisonResult:
    """Read an experiment's runs, finished or not.

    Raises:
        UserError: it is no comparison, has not begun yet, or lacks a file.
    """
    about = store.client.get_experiment(experiment)
    runs = store.client.search_runs([experiment], max_results=50_000)
    parents = [run for run in runs if run.data.tags.get("phase") == "summary"]
    if not parents:
        raise UserError(f"{about.name!r} is no comparison, or has not begun yet")
    recorded = _artifact(store, parents[0], "comparison.json")
    if "budget" not in recorded:
        command = recorded.get("command", "another command")
        raise UserError(f"{about.name!r} is no comparison: it was run by pfltune {command}")
    children: dict[str, list[Any]] = {parent.info.run_id: [] for parent in parents}
    for run in runs:
        if (owner := run.data.tags.get("mlflow.parentRunId")) in children:
            children[owner].append(run)
    methods = [_method(store, parent, children[parent.info.run_id]) for parent in parents]
    ranked = sorted(methods, key=lambda m: (-settled(m.mean(TEST)), m.name))
    ranked.sort(key=lambda m: not m.runs)
    return ComparisonResult(about.name, experiment, about.tags["scenario"], recorded, tuple(ranked))


def _method(store: Store, parent: Any, children: list[Any]) -> MethodResult:
    ordered = sorted(children, key=lambda run: int(run.data.tags["trial"]))
    searched = [run for run in ordered if run.data.tags["phase"] == "search"]
    failed = [run for run in ordered if run.data.tags.get("outcome") == "failed"]
    confirmed = [
        run
        for run in ordered
        if run.data.tags["phase"] == "confirm" and run.data.tags.get("outcome") == "finished"
    ]
    known = parent if parent.data.params or not confirmed else confirmed[0]
    return MethodResult(
        name=parent.data.tags["method"],
        title=plain(parent.data.tags["title"]),
        run_id=parent.info.run_id,
        best=parsed(known.data.params),
        runs=tuple(_confirmed(store, run) for run in confirmed),
        search_trials=len(searched),
        failed_trials=len(failed),
        search_steps=sum(run.data.metrics.get("train/steps", 0.0) for run in searched),
        failures=tuple(sorted({plain(run.data.tags.get("failure", "unknown")) for run in failed})),
        searched=tuple(_searched(store, run) for run in searched),
        ended=sum("outcome" in run.data.tags for run in ordered),
        is_over=parent.info.status in OVER,
    )


def _confirmed(store: Store, run: Any) -> ConfirmedRun:
    accuracies = _artifact(store, run, "clients.json")
    return ConfirmedRun(
        seed=int(run.data.tags["seed"]),
        metrics=dict(run.data.metrics),
        curves={name: _curve(store, run, name) for name in CURVES},
        val=tuple(accuracies["val"]),
        test=tuple(accuracies["test"]),
    )


def _searched(store: Store, run: Any) -> SearchedRun:
    curve = _curve(store, run, OBJECTIVE)
    return SearchedRun(
        index=int(run.data.tags["trial"]),
        generation=int(run.data.tags["generation"]),
        seed=int(run.data.tags["seed"]),
        knobs=parsed(run.data.params),
        outcome=run.data.tags.get("outcome", "running"),
        rounds=int(run.data.metrics.get("rounds", curve[-1][0] if curve else 0)),
        curve=curve,
    )


def parsed(params: Mapping[str, str]) -> dict[str, Value]:
    """MLflow's texts as the numbers and truth values that they were."""
    return {name: _value(text) for name, text in params.items()}


def _value(text: str) -> Value:
    try:
        value = literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, bool | int | float) else text


def _curve(store: Store, run: Any, metric: str) -> Curve:
    """(round, value) in the order of rounds; nothing is asked for what the run does not have."""
    if metric not in run.data.metrics:
        return []
    points = store.client.get_metric_history(run.info.run_id, metric)
    # A server may keep a point twice that was sent twice.
    return sorted({point.step: point.value for point in points}.items())


def _artifact(store: Store, run: Any, name: str) -> dict[str, Any]:
    """A JSON file of a run."""
    try:
        with TemporaryDirectory() as folder:
            # By the run's own address: by its id, MLflow would look the run up twice more.
            path = download_artifacts(
                artifact_uri=f"{run.info.artifact_uri}/{name}",
                dst_path=folder,
                tracking_uri=store.uri,
            )
            return json.loads(Path(path).read_text())
    except (OSError, ValueError, MlflowException) as error:
        raise UserError(
            f"{name} of run {run.info.run_name} cannot be read from {store.address}: "
            f"{reason(error)}"
        ) from error
