"""Seconds of `pfltune report` for a large comparison, and how large its page is."""

import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from pairs import taking_turns
from rows import Row
from start_up import process

from pfltune.registry import available_methods, title_of
from pfltune.tracking.store import Store

sys.path.append(str(Path(__file__).parents[1]))
from comparisons import Fake, record

NAME = "report"
CLIENTS, SEEDS = 64, 5


def report_writing(quick: bool) -> list[Row]:
    """A comparison of 20 methods with 25 trials each, read from the store and written."""
    methods, trials, rounds = (2, 4, 4) if quick else (20, 20, 50)
    case = f"{methods} methods, {methods * (trials + SEEDS)} runs, {CLIENTS} clients"
    with TemporaryDirectory() as folder:
        results = Path(folder)
        record(Store(results), "large", _figures(methods, trials), rounds=rounds)
        programme = str(Path(sys.executable).parent / "pfltune")
        call = process([programme, "report", "large", "--results", folder], 0)
        (seconds,) = taking_turns([call], 1 if quick else 3, warm_ups=0)
        size = (results / "large" / "report" / "report.html").stat().st_size
    spread = f"{min(seconds):.1f} to {max(seconds):.1f}"
    return [
        Row(NAME, case, median(seconds), "s", "≤ 15", spread),
        Row(NAME, f"{case}: report.html", size / 1e6, "MB", "≤ 3"),
    ]


def _figures(methods: int, trials: int) -> dict[str, Fake]:
    """Accuracies that differ by method, client and seed."""
    rng = np.random.default_rng(0)
    clients = rng.uniform(0.5, 0.9, CLIENTS)
    return {
        name: Fake(
            title_of(cls),
            np.clip(clients + rng.normal(0, 0.03) + rng.normal(0, 0.03, (SEEDS, CLIENTS)), 0, 1),
            up_mb=float(rng.uniform(0, 5)),
            searched=tuple(rng.uniform(0.4, 0.7, trials)),
        )
        for name, cls in list(available_methods().items())[:methods]
    }
