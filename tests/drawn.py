"""Comparisons over draws of clients as they stand in their folders, with figures of a test."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from comparisons import Fake, record

from pfltune.draws import Draws
from pfltune.tracking.store import Store

Tables = Mapping[str, Sequence[np.ndarray | None]]
"""Test accuracies (seeds, clients) of each method on each draw; None where it has not confirmed."""


def draws(
    results: Path, tables: Tables, *, first: int = 4, tune_each: bool = False, **changed
) -> Draws:
    """Write the draws ``d`` as a session does; returns their record.

    Args:
        results: the results folder.
        tables: by short name.
        first: data seed of the first.
        tune_each: whether each has a search of its own.
        changed: as of :func:`comparisons.record`.
    """
    count = len(next(iter(tables.values())))
    made = Draws(name="d", first=first, partitions=count, tune_each=tune_each)
    made.write(results / made.name)
    for place, seed in enumerate(made.seeds):
        there = {short: own[place] for short, own in tables.items()}
        methods = {
            short: Fake(
                short.title(),
                np.empty((0, 1)) if own is None else own,
                searched=(0.3, 0.5) if tune_each or seed == first else (),
            )
            for short, own in there.items()
        }
        name = made.name_of(seed)
        written = record(Store(results), name, methods, mirrored=False, **changed)
        settings = written.scenario.model_copy(update={"data_seed": seed})
        written.model_copy(update={"scenario": settings}).write(results / name)
    return made
