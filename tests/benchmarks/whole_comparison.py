"""Where the CPU time of a whole `pfltune compare` goes: training and evaluation, or all else.

Trials count their own CPU seconds (`time/total_cpu_s`). Those of everything that the command
starts, Ray included, are read from /proc; its processes are known by a variable in their
environment. Evaluations are told in seconds of wall time: of a trial's CPU time they are given the
share that they have of the seconds of its rounds.
"""

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from rows import Row

from pfltune import figures

NAME = "whole comparison"
MARK = "PFLTUNE_BENCHMARK"
QUICK = ["--methods", "fedavg,local", "--trials", "1", "--seeds", "1", "-o", "protocol.rounds=2"]
DRIVER = "driver: Tune, Optuna, MLflow, report, warm start"
TICKS = os.sysconf("SC_CLK_TCK")


def whole_comparison(quick: bool) -> list[Row]:
    """The share of training, what the rest is, and what a trial costs beside its rounds."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        used = cpu_seconds(["compare", "--results", folder, *(QUICK if quick else [])])
        wall = time.perf_counter() - began
        trials = spent_by_trials(Path(folder))
    trained, whole = sum(trial.cpu for trial in trials), sum(used.values())
    share = 100 * trained / whole
    beside = (whole - trained) / len(trials)
    still = [trial for trial in trials if not trial.adapts]
    tested = 100 * sum(t.evaluation for t in still) / sum(t.cpu for t in still)
    adapted = 100 * sum(trial.evaluation for trial in trials) / trained
    rows = [
        Row(NAME, "CPU time in training and evaluation", share, "%", "≥ 85"),
        Row(NAME, "CPU time in evaluation, without methods that adapt", tested, "%", "≤ 10"),
        Row(NAME, "CPU time in evaluation and adaptation, all methods", adapted, "%"),
        Row(NAME, "CPU time of all processes", whole, "s", spread=f"{wall:.0f} s of wall time"),
        Row(NAME, "beside training, per trial, every start included", beside, "s", "≤ 1"),
    ]
    workers = used.pop("workers", 0.0)
    rows.append(Row(NAME, "workers beside training: start, checkpoints", workers - trained, "s"))
    return rows + [Row(NAME, kind, seconds, "s") for kind, seconds in sorted(used.items())]


def cpu_seconds(
    arguments: list[str], watch: Callable[[int, dict[str, float]], object] = lambda *_: None
) -> dict[str, float]:
    """CPU seconds of a pfltune command by kind of process.

    Args:
        arguments: of the command.
        watch: told of the driver's process and these seconds so far, some three times a second.
    """
    mark = uuid.uuid4().hex
    command = [str(Path(sys.executable).with_name("pfltune")), *arguments]
    seen: dict[int, tuple[str, float]] = {}
    running = subprocess.Popen(
        command, env=os.environ | {MARK: mark}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while running.poll() is None:
        for folder in Path("/proc").glob("[0-9]*"):
            found = _used(folder, f"{MARK}={mark}".encode())
            if found is not None:
                seen[int(folder.name)] = found
        watch(running.pid, _by_kind(seen))
        time.sleep(0.3)
    if running.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {running.returncode}")
    return _by_kind(seen)


def _by_kind(seen: Mapping[int, tuple[str, float]]) -> dict[str, float]:
    by_kind: defaultdict[str, float] = defaultdict(float)
    for kind, seconds in seen.values():
        by_kind[kind] += seconds
    return dict(by_kind)


@dataclass(frozen=True)
class Spent:
    """CPU seconds of a trial.

    Attributes:
        cpu: in all.
        evaluation: in evaluations, with the adaptation before them.
        adapts: whether there is any.
    """

    cpu: float
    evaluation: float
    adapts: bool


def spent_by_trials(results: Path) -> list[Spent]:
    """What each trial of the only comparison in ``results`` counted."""
    # Not by mlflow.set_tracking_uri(), which all that this process does later would follow.
    client = MlflowClient(f"sqlite:///{next(results.glob('*.db'))}")
    experiments = [each.experiment_id for each in client.search_experiments()]
    found = client.search_runs(experiments, max_results=10_000)
    return [_spent(client, run) for run in found if figures.CPU_SECONDS.name in run.data.metrics]


def _spent(client: MlflowClient, run: Run) -> Spent:
    cpu = run.data.metrics[figures.CPU_SECONDS.name]
    training, evaluation = (
        sum(told.value for told in client.get_metric_history(run.info.run_id, figure.name))
        for figure in (figures.ROUND_SECONDS, figures.EVALUATION_SECONDS)
    )
    adapts = run.data.metrics.get(figures.ADAPTATION_STEPS.name, 0) > 0
    return Spent(cpu, cpu * evaluation / (training + evaluation), adapts)


def _used(folder: Path, mark: bytes) -> tuple[str, float] | None:
    """Kind and CPU seconds of a process of the command, or None for any other."""
    try:
        if mark not in (folder / "environ").read_bytes():
            return None
        words = (folder / "cmdline").read_text().replace("\0", " ")
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended, or is somebody else's
        return None
    return _kind(words), (int(fields[11]) + int(fields[12])) / TICKS


def _kind(words: str) -> str:
    if "pfltune compare" in words:
        return DRIVER
    if "ray::" in words or "default_worker.py" in words:
        return "workers"
    return "Ray's own processes"


if __name__ == "__main__":
    for row in whole_comparison(quick=True):
        print(row)
