"""A search and a grid as MLflow has them: early stops, knobs that exclude each other, seeds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count

import comparisons
import numpy as np

from pfltune.knobs import Knob
from pfltune.record import Record
from pfltune.stages import Stage
from pfltune.tracking.events import MethodEnded, RoundDone, TrialEnded, TrialStarted
from pfltune.tracking.mirror import Mirror
from pfltune.tracking.store import Store
from pfltune.tracking.views import Views

METHOD = "alpha"
ROUNDS, RUNG = 9, 3
LR = Knob("lr", float, 0.1, "rate", low=0.001, high=1.0, log=True)
PREFIX = Knob("prefix", str, "tokens", "kind", choices=("tokens", "adapter"))
LENGTH = Knob("prefix_length", int, 4, "tokens", low=1, high=32, when={"prefix": "tokens"})
BOTTLENECK = Knob("bottleneck", int, 4, "width", low=4, high=64, when={"prefix": "adapter"})
SPACE = (LR, PREFIX, LENGTH, BOTTLENECK)


@dataclass(frozen=True)
class Tried:
    """A trial: what it was given, and the accuracy that it had in its last round."""

    knobs: Mapping[str, object]
    accuracy: float
    reached: int = ROUNDS
    seed: int = 7


SEARCH = [
    Tried({"lr": 0.03, "prefix": "tokens", "prefix_length": 4}, 0.60),
    Tried({"lr": 0.01, "prefix": "tokens", "prefix_length": 8}, 0.70),
    Tried({"lr": 0.10, "prefix": "tokens", "prefix_length": 16}, 0.90, RUNG),
    Tried({"lr": 0.30, "prefix": "tokens", "prefix_length": 2}, 0.20, RUNG),
    Tried({"lr": 0.05, "prefix": "adapter", "bottleneck": 8}, 0.30, RUNG),
    Tried({"lr": 0.02, "prefix": "adapter", "bottleneck": 32}, 0.25, RUNG),
]
"""One that was stopped early had more than those that went on have now."""
GRID = [
    Tried({"lr": lr, "prefix_length": length}, 0.3 + lr + length / 100 + seed / 1000, seed=seed)
    for length in (1, 4, 16)
    for lr in (0.01, 0.1)
    for seed in (0, 1)
]


def write(
    store: Store, name: str, command: str, views: Views, stage: Stage, tried: Iterable[Tried]
) -> Record:
    """Put trials of one method into MLflow, and a record beside; returns it."""
    fakes = {METHOD: comparisons.Fake("Alpha", np.zeros((1, 1)))}
    record = comparisons.record_of(fakes, name, rounds=ROUNDS, command=command)
    record.write(store.results / name)
    parents = dict(record.titles)
    mirror = Mirror(
        store, name, record.id, {"scenario": "digits"}, parents, {}, (), print, views=views
    )
    for event in _events(stage, tried):
        mirror.put(event)
    mirror.close(600)
    return record


def _events(stage: Stage, tried: Iterable[Tried]):
    clock = count(1_000)
    for index, each in enumerate(tried):
        trial = f"{METHOD}-{stage}-{index}"
        knobs = dict(each.knobs)
        yield TrialStarted(trial, METHOD, stage, index, 0, each.seed, knobs, next(clock))
        for step in range(1, each.reached + 1):
            accuracy = each.accuracy * step / each.reached
            told = {"val/accuracy": accuracy, "val/best_accuracy": accuracy}
            metrics = {**told, "comm/total_mb": 2.0 * step}
            yield RoundDone(trial, step, accuracy, metrics, next(clock))
        if each.reached == ROUNDS:
            selected = {"round": ROUNDS, "val": [each.accuracy] * 3, "test": []}
            yield TrialEnded(trial, "finished", ROUNDS, "", selected, next(clock))
        else:
            yield TrialEnded(trial, "stopped early", each.reached, "", None, next(clock))
    yield MethodEnded(METHOD, dict(knobs), next(clock))
