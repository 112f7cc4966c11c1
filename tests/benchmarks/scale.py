"""How a comparison grows with its clients, trials and methods: its driver, MLflow and its report.

All of it is what `pfltune compare` does, but for training: figures of trials are drawn at random
where training would take hours, in the shape that a real round has. Ray Tune's part is played in
this process. CPU time, not wall time; exponents b of cost ≈ a·xᵇ by least squares on logarithms.
"""

import gc
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from unittest.mock import patch

import fresh
import numpy as np
import torch
from grounds import TINY
from grounds import federation as ground
from rows import Row

sys.path.append(str(Path(__file__).parents[1]))
from inline import trained_inline

from pfltune import compare, jobs
from pfltune.federation.compute import Compute
from pfltune.federation.evaluation import Counts, Evaluation, Selection
from pfltune.federation.federation import Federation
from pfltune.federation.memory import held_mb, peak_mb, reset_peak
from pfltune.federation.trial import FederatedTrial, RoundReport
from pfltune.method import Method
from pfltune.registry import make_method
from pfltune.running import session
from pfltune.running.sittings import Sittings
from pfltune.tracking.mirror import Mirror

NAME = "scale"
SAMPLES = 6
"""Of a client; two of them validate and two test."""
ROUNDS = 4
NOTHING = torch.device("cpu")
STAGES = ("opening", "driver", "mirror", "report")
FIGURES = (*(f"{stage} s" for stage in STAGES), "driver MB", "report MB", "journal MB", "page MB")


@dataclass(frozen=True)
class Size:
    """Of a comparison: its clients, its search trials of each method, and its methods."""

    clients: int = 20
    trials: int = 3
    methods: int = 4


AXES = {
    "clients": [Size(clients=n, methods=3) for n in (600, 1_200, 2_500, 5_000, 10_000)],
    "trials": [Size(trials=n) for n in (32, 63, 125, 250)],
    "methods": [Size(methods=n) for n in (6, 12, 25, 50)],
}
SEEDS = 3
LEAST = 1e-3
"""Seconds or MB that are told apart from nothing."""


class Drawn:
    """Stands in for a federated trial: what it tells and nothing that it is told from.

    Attributes:
        template: the figures of a real round.
        footprints: what a real trial says of its size.
        seconds: of CPU time that drawing has taken.
    """

    template: ClassVar[dict[str, float]] = {}
    footprints: ClassVar[dict[str, float]] = {}
    seconds: ClassVar[float] = 0.0

    def __init__(
        self, method: Method, federation: Federation, seed: int, compute: Compute, keeps: bool
    ) -> None:
        self.federation, self.round, self.selected = federation, 0, None
        self.selection = Selection(goal=federation.goal)
        self._rng = np.random.default_rng([seed, *repr(method).encode()])
        self._skill = self._rng.uniform(0.5, 0.9, len(federation.seen))

    @property
    def finished(self) -> bool:
        """As a federated trial's."""
        return self.round == self.federation.protocol.rounds

    def step(self) -> RoundReport:
        """A round's figures; it is evaluated where the protocol says."""
        began = time.thread_time()
        self.round += 1
        told = dict(self.template)
        if self.round % self.federation.protocol.evaluate_every == 0 or self.finished:
            told |= self._evaluated().metrics()
            told[self.federation.goal.best.name] = self.selection.score
        Drawn.seconds += time.thread_time() - began
        return RoundReport(self.round, told)

    def footprint(self) -> dict[str, float]:
        """As a federated trial's."""
        return self.footprints

    def of_nobody(self) -> None:
        """Nothing: nobody asks."""

    def _evaluated(self) -> Evaluation:
        clients = self.federation.clients
        sizes = [tuple(len(clients[c].val) for c in self.federation.seen)]
        if clients[0].test is not None:
            sizes.append(tuple(len(clients[c].test) for c in self.federation.seen))
        val, *test = (
            Counts(tuple(map(int, self._rng.binomial(each, self._skill))), each) for each in sizes
        )
        found = Evaluation(tuple(self.federation.seen), val, test[0] if test else None)
        self.selection = self.selection.better(self.round, found)
        return found


class Remembered:
    """Stands in for checkpoints: nothing of a drawn trial is on a disk."""

    trials: ClassVar[dict[str, tuple[Drawn, list[dict[str, Any]]]]] = {}

    def __init__(self, storage: Any) -> None:
        self.round, self._key = 0, repr(storage)

    def load(self, trial: Drawn) -> list[dict[str, Any]]:
        """The rounds of a trial that was paused, which is there again."""
        before, history = self.trials.pop(self._key, (trial, []))
        vars(trial).update(vars(before))
        self.round = trial.round
        return history

    def save(self, trial: Drawn, history: list[dict[str, Any]]) -> None:
        """Keep a trial that is paused."""
        self.trials[self._key] = trial, history
        self.round = trial.round


def scale(quick: bool) -> list[Row]:
    """Exponents of time and memory of each part along each axis."""
    if quick:
        few = [Size(clients=n, trials=2, methods=2) for n in (5, 10)]
        return [*exponents("clients", few, [measured(*astuple(size), warm=False) for size in few])]
    rows: list[Row] = []
    for axis, sizes in AXES.items():
        rows += exponents(axis, sizes, [fresh.call(measured, *astuple(size)) for size in sizes])
    return rows


def exponents(axis: str, sizes: Sequence[Size], found: Sequence[dict[str, float]]) -> Iterator[Row]:
    """A row for each figure that was found at each size."""
    counts = [getattr(size, axis) for size in sizes]
    for figure in FIGURES:
        values = [each[figure] for each in found]
        slope, _ = np.polyfit(np.log(counts), np.log(np.maximum(values, LEAST)), 1)
        ends = f"{values[0]:.3g} at {counts[0]:,}, {values[-1]:.3g} at {counts[-1]:,}"
        yield Row(NAME, f"{figure} against {axis}", float(slope), "exponent", "≤ 1.05", ends)


def measured(clients: int, trials: int, methods: int, warm: bool = True) -> dict[str, float]:
    """CPU seconds and MB of each part; a small comparison loads and makes what is made once."""
    _take_template()
    with TemporaryDirectory() as folder, _drawn_trials():
        results = Path(folder)
        if warm:
            _compare(results, "small", Size(clients=10, trials=2, methods=2))
        gc.collect()
        with _clocks() as spent:
            _compare(results, "whole", Size(clients, trials, methods))
        there = results / "whole"
        spent["journal MB"] = (there / "journal.jsonl").stat().st_size / 1e6
        spent["page MB"] = (there / "report" / "report.html").stat().st_size / 1e6
    return {name: spent[name] for name in FIGURES}


def _compare(results: Path, name: str, size: Size) -> None:
    file = _images(results, size.clients)
    compare(
        [f"fedprox[mu={0.001 * (n + 1):.3f}]" for n in range(size.methods)],
        scenario="digits",
        overrides={
            "data.name": f"npz:{file}",
            "partition": {"kind": "iid", "clients": size.clients},
            "split": {"val": 1 / 3, "test": 1 / 3},
            "backbone.weights": "random",
            "protocol.rounds": ROUNDS,
        },
        trials=size.trials,
        seeds=SEEDS,
        results=results,
        name=name,
        device="cpu",
        precision="float32",
    )


def _images(results: Path, clients: int) -> Path:
    file = results / f"{clients}.npz"
    rng = np.random.default_rng(0)
    samples = SAMPLES * clients
    images = rng.integers(0, 256, (samples, 8, 8), dtype=np.uint8)
    np.savez(file, images=images, labels=np.arange(samples) % 10)
    return file


def _take_template() -> None:
    trial = FederatedTrial(make_method("fedprox", {}), ground(TINY), 0, Compute(threads=1))
    evaluated = ("val/", "test/")
    figures = trial.step().metrics.items()
    Drawn.template = {name: v for name, v in figures if not name.startswith(evaluated)}
    Drawn.footprints = trial.footprint()


@contextmanager
def _drawn_trials() -> Iterator[None]:
    trainable = "pfltune.running.trainable"
    with (
        trained_inline(),
        patch(f"{trainable}.FederatedTrial", Drawn),
        patch(f"{trainable}.Checkpoints", Remembered),
    ):
        yield


@contextmanager
def _clocks() -> Iterator[dict[str, float]]:
    """CPU seconds and peaks of memory by part, filled in as they end."""
    spent: dict[str, float] = defaultdict(float)
    add, train, work, report = Sittings.add, session.run_trials, Mirror._work, jobs.reported

    def opened(*given: Any) -> None:
        began = time.thread_time()
        add(*given)
        spent["opening s"] += time.thread_time() - began

    def trained(*given: Any) -> None:
        began, drawn = time.thread_time(), Drawn.seconds
        train(*given)
        spent["driver s"] += time.thread_time() - began - (Drawn.seconds - drawn)

    def mirrored(mirror: Mirror) -> None:
        began = time.thread_time()
        work(mirror)
        spent["mirror s"] += time.thread_time() - began

    def reported(*given: Any) -> Any:
        spent["driver MB"] = peak_mb(NOTHING) - before
        held = held_mb(NOTHING)
        reset_peak(NOTHING)
        began = time.thread_time()
        found = report(*given)
        spent["report s"] += time.thread_time() - began
        spent["report MB"] = peak_mb(NOTHING) - held
        return found

    with (
        patch.object(Sittings, "add", opened),
        patch.object(session, "run_trials", trained),
        patch.object(Mirror, "_work", mirrored),
        patch.object(jobs, "reported", reported),
    ):
        before = held_mb(NOTHING)
        reset_peak(NOTHING)
        yield spent


if __name__ == "__main__":
    for row in scale(quick=False):
        print(row)
