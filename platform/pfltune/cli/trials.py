"""``pfltune trials``."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from pfltune.cli import options
from pfltune.figures import ACCURACY
from pfltune.knobs import Value, written
from pfltune.text import count, plain

if TYPE_CHECKING:
    from pfltune.trials.entry import Entry
    from pfltune.trials.store import Listed
    from pfltune.trials.stored import StoredTrial

MB = 1e6
WIDEST = 16
"""Characters of a name that is cut off; --json has all of it, seed and time too."""
VAL, BEST = "val/", "val/best_"
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
    Whatever asks for the same trial again is given it: a comparison, tune, grid,
    sensitivity or run.
    """
    listed = _listed(results, name)
    whole = [(each.entry, each.size) for each in listed if each.entry]
    damaged = [each.file for each in listed if not each.entry]
    if as_json:
        found = {"trials": [_row(*each) for each in whole], "damaged": damaged}
        click.echo(json.dumps(found, indent=2))
        return
    console = Console(markup=False, highlight=False)
    for table in _tables(entry for entry, _ in whole):
        console.print(table)
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
        "sees": _sees(spec.test),
        "knobs": {**spec.knobs, **spec.settings},
        "seed": spec.seed,
        "scenario": origin.scenario,
        "outcome": trial.outcome,
        "round": trial.round,
        **_best(trial),
        "failure": trial.failure,
        "comparison": origin.comparison,
        "name": origin.name,
        "at": origin.at,
        "bytes": size,
    }


def _tables(entries: "Iterable[Entry]") -> Iterator[Table]:
    """One for each scenario and method, so that knobs have room in a narrow terminal."""
    for (scenario, method), found in groupby(sorted(entries, key=_order), _group):
        members = list(found)
        varied = _varied(members)
        title = plain(f"{scenario}, {method}")
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1))
        table.add_column("key", no_wrap=True)
        table.add_column("sees", no_wrap=True)
        for head in ("rounds", "val %"):
            table.add_column(head, justify="right", no_wrap=True)
        table.add_column("by", no_wrap=True, overflow="ellipsis", max_width=WIDEST)
        table.add_column("knobs", overflow="fold")
        for entry in members:
            table.add_row(*map(plain, _cells(entry, varied)))
        yield table


def _short(value: Value) -> str:
    """A knob's value in four digits."""
    return f"{value:.4g}" if isinstance(value, float) else written(value)


def _sees(test: bool) -> str:
    """What a trial was given beside training data: its figures are of that."""
    return "test" if test else "validation"


def _order(entry: "Entry") -> tuple[str, str, str, str]:
    return (entry.origin.scenario, entry.origin.method, _sees(entry.spec.test), entry.origin.at)


def _group(entry: "Entry") -> tuple[str, str]:
    return (entry.origin.scenario, entry.origin.method)


def _varied(entries: "Iterable[Entry]") -> list[str]:
    """The settings of the scenario in which some of the trials differ."""
    each = [dict(entry.spec.settings) for entry in entries]
    return [name for name in each[0] if len({found.get(name) for found in each}) > 1]


def _best(trial: "StoredTrial") -> dict[str, Any]:
    """The best validation figure, and what it is of where that is not accuracy."""
    last = {name: value for done in trial.rounds for name, value in done.metrics.items()}
    # A metric may itself be called best_something: then nothing is the best of val/something.
    told = {k: v for k, v in last.items() if k.startswith(BEST) and k.replace(BEST, VAL) in last}
    if not told:
        return {"score": None}
    if BEST + ACCURACY.name in told:
        return {"score": trial.rounds[-1].score}
    ((name, figure),) = told.items()
    return {"score": figure, "metric": name.removeprefix(BEST)}


def _shown(best: Mapping[str, Any]) -> tuple[float | str, ...]:
    if "metric" in best:
        return best["score"], best["metric"]
    return (100 * best["score"],)


def _cells(entry: "Entry", varied: Sequence[str]) -> tuple[str, ...]:
    """A row of the table, with these settings beside its knobs."""
    spec, origin, trial = entry.spec, entry.origin, entry.trial
    shown = {**spec.knobs, **{name: v for name, v in spec.settings.items() if name in varied}}
    knobs = " ".join(f"{name}={_short(value)}" for name, value in shown.items())
    best = _best(trial)
    shown_as = "{:.4g} {}" if "metric" in best else "{:.2f}"
    score = shown_as.format(*_shown(best)) if best["score"] is not None else ""
    return (
        spec.key[:8],
        _sees(spec.test),
        f"{trial.round}{HOW[trial.outcome]}",
        score,
        origin.told,
        knobs,
    )
