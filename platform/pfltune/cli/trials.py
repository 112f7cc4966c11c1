"""``pfltune trials``."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from pfltune.cli import options
from pfltune.knobs import Value, written
from pfltune.text import count, plain

if TYPE_CHECKING:
    from pfltune.trials.entry import Entry
    from pfltune.trials.store import Listed

MB = 1e6
HOW = {"finished": "", "reached": " so far", "failed": " failed"}


@click.command(
    epilog=options.examples(
        "pfltune trials", "pfltune trials digits-20261121-064956", "pfltune trials --json"
    )
)
@click.argument("name", required=False)
@options.results
@options.as_json
def command(name: str | None, results: Path, as_json: bool) -> None:
    """List the trials that are kept, or those of the comparison NAME.

    Each is kept with all that its figures depend on: code, versions, processor, data, knobs, seed.
    Whatever asks for the same trial again is given it: a comparison, tune, sensitivity or run.
    """
    listed = _listed(results, name)
    whole = [(each.entry, each.size) for each in listed if each.entry]
    damaged = [each.file for each in listed if not each.entry]
    if as_json:
        found = {"trials": [_row(*each) for each in whole], "damaged": damaged}
        click.echo(json.dumps(found, indent=2))
        return
    console = Console(markup=False, highlight=False)
    if whole:
        console.print(_table([entry for entry, _ in whole]))
    console.print(f"{count(len(whole), 'trial')}, {sum(size for _, size in whole) / MB:.3g} MB")
    if damaged:
        text = f"{count(len(damaged), 'file')} more cannot be read, and counts for nothing"
        console.print(f"{text}: `pfltune clean` removes what is damaged", soft_wrap=True)


def _listed(results: Path, name: str | None) -> "list[Listed]":
    from pfltune.report.results import find_record
    from pfltune.trials.needs import trials_of
    from pfltune.trials.store import TrialStore

    listed = list(TrialStore(results).listed())
    if name is None:
        return listed
    record = find_record(results, name)
    keys = trials_of(results / name, record)
    entries = ((each, each.entry) for each in listed)
    return [
        each
        for each, entry in entries
        if entry and (entry.spec.key in keys or entry.origin.comparison == record.id)
    ]


def _row(entry: "Entry", size: int) -> dict[str, Any]:
    """For scripts."""
    spec, origin, trial = entry.spec, entry.origin, entry.trial
    return {
        "key": spec.key,
        "method": origin.method,
        "stage": spec.stage,
        "knobs": dict(spec.knobs),
        "seed": spec.seed,
        "scenario": origin.scenario,
        "outcome": trial.outcome,
        "round": trial.round,
        "score": trial.rounds[-1].score if trial.rounds else None,
        "failure": trial.failure,
        "comparison": origin.comparison,
        "name": origin.name,
        "at": origin.at,
        "bytes": size,
    }


def _table(entries: "Sequence[Entry]") -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for head in ("key", "method", "stage", "knobs", "seed"):
        table.add_column(head, overflow="fold")
    for head in ("rounds", "val %"):
        table.add_column(head, justify="right", overflow="fold")
    table.add_column("scenario, by whom, when", overflow="fold")
    for entry in sorted(entries, key=_order):
        table.add_row(*map(plain, _cells(entry)))
    return table


def _short(value: Value) -> str:
    """A knob's value in four digits."""
    return f"{value:.4g}" if isinstance(value, float) else written(value)


def _order(entry: "Entry") -> tuple[str, str, str, str]:
    return (entry.origin.scenario, entry.origin.method, entry.spec.stage, entry.origin.at)


def _cells(entry: "Entry") -> tuple[str, ...]:
    spec, origin, trial = entry.spec, entry.origin, entry.trial
    knobs = " ".join(f"{name}={_short(value)}" for name, value in spec.knobs.items())
    score = f"{100 * trial.rounds[-1].score:.2f}" if trial.rounds else ""
    return (
        spec.key[:8],
        origin.method,
        spec.stage,
        knobs,
        str(spec.seed),
        f"{trial.round}{HOW[trial.outcome]}",
        score,
        f"{origin.scenario}, {origin.told}, {origin.at[:10]}",
    )
