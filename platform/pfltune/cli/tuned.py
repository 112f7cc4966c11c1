"""What the search of one method found, in a terminal."""

import shlex
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from pfltune.cli.again import again
from pfltune.cli.tables import fitting, wide_enough
from pfltune.figures import or_none
from pfltune.report.learned import Tried
from pfltune.report.tuning.advice import advice
from pfltune.report.tuning.sentence import sentences
from pfltune.report.tuning.table import (
    ENDED,
    MB,
    PERSONAL,
    TrialColumn,
    best_ten,
    figure_columns,
    folded,
    name_of,
    table_note,
)
from pfltune.report.tuning.tuned import Tuned
from pfltune.text import plain

LEAST_WANTED = (PERSONAL, MB)
"""The first to go where there is no room."""
KNOBS = 26
"""Characters that the knobs of a trial have in a line at the least."""


def print_tuned(console: Console, tuned: Tuned, asked: Path, scenario: str | None = None) -> None:
    """The answer, the best ten, and the commands that go on.

    Args:
        console: where to.
        tuned: what was found.
        asked: the results folder as it was named.
        scenario: as it was named; default: its name.
    """
    for line in sentences(tuned):
        console.print(plain(line), highlight=False)
    for reason in tuned.method.failures:
        console.print(f"failed: {plain(reason)}", highlight=False)
    if tuned.method.searched:
        wide = wide_enough(console)
        wide.print(ten_table(tuned, _fitting(tuned, wide.width)))
        wide.print(table_note(tuned), highlight=False)
    for head, command in commands(tuned, asked, scenario):
        console.print(f"{head}{command}", soft_wrap=True, highlight=False)


def _fitting(tuned: Tuned, width: int) -> list[TrialColumn]:
    """The columns that leave room for the knobs of a trial, or those that must be."""
    every = [column for column in figure_columns(tuned) if column is not ENDED]
    return fitting(every, LEAST_WANTED, partial(ten_table, tuned), width, wraps=True)


def ten_table(tuned: Tuned, columns: Sequence[TrialColumn]) -> Table:
    """The best ten, with all searched knobs in one column."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("trial", no_wrap=True)
    longest = max(len(folded(entry, tuned)) for entry in best_ten(tuned))
    table.add_column("searched knobs", min_width=min(longest, KNOBS))
    for column in columns:
        head = column.title.replace(" ", "\n")
        table.add_column(head, justify="right", vertical="bottom", no_wrap=True)
    for entry in best_ten(tuned):
        name = name_of(entry).replace(" chosen", " *")
        table.add_row(name, folded(entry, tuned), *(column.text(entry) for column in columns))
    return table


def commands(tuned: Tuned, asked: Path, scenario: str | None) -> Iterator[tuple[str, str]]:
    """What trains the winner again, and what to try next."""
    elsewhere = "" if asked == Path("results") else f" --results {shlex.quote(str(asked))}"
    named = scenario or tuned.result.scenario
    if tuned.method.runs and (command := again(tuned.result, tuned.method, named)):
        yield "Again:  ", command
    if (step := advice(tuned)) is not None:
        yield "Next:   ", step.command + elsewhere


def facts(tuned: Tuned) -> dict[str, Any]:
    """The same for scripts."""
    learned = tuned.learned
    step = advice(tuned)
    return {
        "sentences": list(sentences(tuned)),
        "chosen": dict(tuned.method.best) or None,
        "values": {} if learned.chosen is None else _by_seed(learned.chosen),
        "fall": or_none(learned.fall),
        "equals": [{**_tried(each.tried), "why": each.why} for each in learned.equals],
        "cheapest_mb": _index(learned.cheapest_mb),
        "cheapest_personal": _index(learned.cheapest_personal),
        "ranges": {
            each.knob: list(each.values) or [each.low, each.high] for each in learned.ranges
        },
        "trials": [
            {
                "index": run.index,
                "knobs": dict(run.knobs),
                "outcome": run.outcome,
                "rounds": run.rounds,
                "score": or_none(run.value),
            }
            for run in tuned.method.searched
        ],
        "next": step.command if step else None,
    }


def _tried(found: Tried) -> dict[str, Any]:
    return {
        "index": found.index,
        "knobs": dict(found.knobs),
        "values": _by_seed(found),
        "mean": or_none(found.mean),
        "standard_error": or_none(found.standard_error),
    }


def _by_seed(found: Tried) -> dict[str, float]:
    return {str(seed): value for seed, value in found.values.items()}


def _index(found: Tried | None) -> int | None:
    return None if found is None else found.index
