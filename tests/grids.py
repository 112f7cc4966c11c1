"""Grids as they stand in their folder, with figures that a test chooses."""

from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path

import numpy as np
from comparisons import Fake, record_of

from pfltune.record import Grid
from pfltune.tracking.events import MethodEnded, RoundDone, TrialEnded, TrialStarted
from pfltune.tracking.journal import JOURNAL, Journal

METHODS = {"fedperfix": "FedPerfix"}
HELD = {"fedperfix": {"prefix": "tokens"}}
Value = Callable[[str, Mapping, int], float | None]
"""Validation accuracy by method, cell and number of the seed; None for a trial that fails."""


def grid(
    results: Path,
    name: str,
    over: Mapping[str, tuple],
    value: Value,
    *,
    methods: Mapping[str, str] = METHODS,
    seeds: int = 3,
    test: bool = False,
    fixed: Mapping = HELD,
    left: int = 0,
) -> None:
    """Write a grid as a session does; test accuracies are 2 points below the validation's.

    Args:
        results: the results folder.
        name: of the grid.
        over: values by knob.
        value: what each trial comes to.
        methods: titles by short name.
        seeds: of each cell.
        test: whether it is tested.
        fixed: what is held.
        left: how many trials of each method are still to come.
    """
    fakes = {short: Fake(title, np.full((1, 3), 0.5)) for short, title in methods.items()}
    budget = Grid(over=over, seeds=seeds, seed=0, test=test)
    record = record_of(fakes, name, command="grid", budget=budget, fixed=fixed)
    record.write(results / name)
    journal = Journal(results / name / JOURNAL, record.id)
    for short in methods:
        cells = [dict(zip(over, values, strict=True)) for values in product(*over.values())]
        trials = list(product(range(seeds), cells))
        for index, (number, at) in enumerate(trials[: len(trials) - left]):
            for event in _trial(short, index, number, at, value(short, at, number), test, fixed):
                journal.append(event)
        if not left:
            journal.append(MethodEnded(short, {}))
    journal.close()


def _trial(short, index, number, at, accuracy, test, fixed):
    stage = "confirm" if test else "grid"
    trial, knobs = f"{short}-{stage}-{index}", {**fixed.get(short, {}), **at}
    yield TrialStarted(trial, short, stage, index, -1, 100 + number, knobs, 1)
    if accuracy is None:
        yield TrialEnded(trial, "failed", 1, "loss was nan <in> round 1", None, 3)
        return
    metrics = {
        "comm/total_mb": 2.0 * at.get("rank", 1),
        "params/personal": 650.0 + 128 * at.get("prefix_length", 1),
        "val/best_accuracy": accuracy,
    }
    yield RoundDone(trial, 1, accuracy / 2, {**metrics, "val/accuracy": accuracy / 2}, 2)
    done = {**metrics, "comm/total_mb": 2 * metrics["comm/total_mb"], "val/accuracy": accuracy}
    yield RoundDone(trial, 2, accuracy, done, 2)
    val = [accuracy - 0.1, accuracy + 0.1]
    tests = [each - 0.02 for each in val] if test else []
    yield TrialEnded(trial, "finished", 2, "", {"round": 2, "val": val, "test": tests}, 3)
