"""What a comparison found, read from the MLflow store and nothing else."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pfltune.tracking.store import Store

Curve = list[tuple[int, float]]


@dataclass(frozen=True)
class ConfirmedRun:
    """One confirmation trial that ran to its end.

    Attributes:
        seed: its seed.
        metrics: the last value of every metric; ``selected/…`` are those of the chosen round.
        curves: (round, value) of ``val/accuracy``, ``test/accuracy`` and ``comm/total_mb``.
    """

    seed: int
    metrics: dict[str, float]
    curves: dict[str, Curve]


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
    """

    name: str
    title: str
    run_id: str
    best: dict[str, str]
    runs: tuple[ConfirmedRun, ...]
    search_trials: int
    failed_trials: int
    search_steps: float
    failures: tuple[str, ...]

    def mean(self, metric: str) -> float:
        """Mean over seeds; NaN if no confirmation trial ended."""
        values = self.values(metric)
        return float(np.mean(values)) if values else float("nan")

    def std(self, metric: str) -> float:
        """Sample standard deviation over seeds; 0 for one seed, NaN for none."""
        values = self.values(metric)
        if len(values) < 2:
            return 0.0 if values else float("nan")
        return float(np.std(values, ddof=1))

    def values(self, metric: str) -> list[float]:
        """One value per seed."""
        return [run.metrics[metric] for run in self.runs]

    def summary(self) -> dict[str, float]:
        """The figures of the table, under the names that MLflow shows."""
        if not self.runs:
            return {}
        unseen = "unseen/test/accuracy"
        met = {unseen: self.mean(unseen)} if unseen in self.runs[0].metrics else {}
        return met | {
            "test/accuracy": self.mean("selected/test_accuracy"),
            "test/accuracy_std_seeds": self.std("selected/test_accuracy"),
            "test/accuracy_std": self.mean("selected/test_accuracy_std"),
            "test/accuracy_worst_decile": self.mean("selected/test_accuracy_worst_decile"),
            "val/accuracy": self.mean("selected/val_accuracy"),
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
        methods: the rows.
    """

    name: str
    experiment: str
    scenario: str
    settings: dict[str, Any]
    methods: tuple[MethodResult, ...]


def read_results(store: Store, experiment: str) -> ComparisonResult:
    """Read an experiment's runs."""
    client = store.client
    about = client.get_experiment(experiment)
    runs = client.search_runs([experiment], max_results=50_000)
    parents = [run for run in runs if run.data.tags.get("phase") == "summary"]
    settings = client.download_artifacts(parents[0].info.run_id, "comparison.json")
    with open(settings) as file:  # noqa: PTH123
        recorded = json.load(file)
    children: dict[str, list[Any]] = {parent.info.run_id: [] for parent in parents}
    for run in runs:
        if (owner := run.data.tags.get("mlflow.parentRunId")) in children:
            children[owner].append(run)
    methods = [_method(client.get_metric_history, p, children[p.info.run_id]) for p in parents]
    ranked = sorted(methods, key=lambda m: (-m.mean("selected/test_accuracy"), m.name))
    ranked.sort(key=lambda m: not m.runs)
    return ComparisonResult(about.name, experiment, about.tags["scenario"], recorded, tuple(ranked))


def _method(history: Callable[[str, str], list], parent: Any, children: list[Any]) -> MethodResult:
    searched = [run for run in children if run.data.tags["phase"] == "search"]
    failed = [run for run in children if run.data.tags.get("outcome") == "failed"]
    confirmed = [
        run
        for run in children
        if run.data.tags["phase"] == "confirm" and "selected/test_accuracy" in run.data.metrics
    ]
    return MethodResult(
        name=parent.data.tags["method"],
        title=parent.data.tags["title"],
        run_id=parent.info.run_id,
        best=dict(parent.data.params),
        runs=tuple(
            _confirmed(history, run)
            for run in sorted(confirmed, key=lambda run: int(run.data.tags["trial"]))
        ),
        search_trials=len(searched),
        failed_trials=len(failed),
        search_steps=sum(run.data.metrics.get("train/steps", 0.0) for run in searched),
        failures=tuple(sorted({run.data.tags.get("failure", "unknown") for run in failed})),
    )


def _confirmed(history: Callable[[str, str], list], run: Any) -> ConfirmedRun:
    curves = {}
    for name in ("val/accuracy", "test/accuracy", "comm/total_mb"):
        points = history(run.info.run_id, name)
        curves[name] = sorted((point.step, point.value) for point in points)
    return ConfirmedRun(int(run.data.tags["seed"]), dict(run.data.metrics), curves)
