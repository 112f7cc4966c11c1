"""From options with several values to a sweep and its comparisons."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pfltune.errors import UserError
from pfltune.record import Record, read_record
from pfltune.running.folder_lock import checked_name
from pfltune.scenario import Scenario
from pfltune.studies import begin
from pfltune.studies.comparison import Comparison
from pfltune.studies.options import DEFAULTS, override_texts, results_folder
from pfltune.sweeps import Cell, Sweep, cells_of, read_sweep

OF_EACH_CELL = ("resume", "name", "scenario", "overrides")
"""Options that each cell has its own of."""


def sweep_of(command: Literal["compare", "tune"], given: Mapping[str, Any]) -> Sweep | None:
    """The sweep that options ask for, new or to go on; None where they ask for one comparison.

    Raises:
        UserError: what has that name is no sweep, or another one.
    """
    name = given.get("resume") or given.get("name") or f"sweep-{datetime.now():%Y%m%d-%H%M%S}"
    folder = results_folder(given) / checked_name(name)
    wanted, known = _cells(name, given), read_sweep(folder)
    if known is not None:
        _see_same(known, command, given, wanted)
        return known
    if wanted and (given.get("resume") or read_record(folder)):
        raise UserError(f"{name} is no sweep, so that no setting of it can have several values")
    return Sweep(name=name, command=command, cells=wanted) if wanted else None


def jobs_of(sweep: Sweep, given: Mapping[str, Any]) -> tuple[list[Comparison], dict[str, str]]:
    """The comparisons of a sweep, and why others cannot begin, by name.

    Args:
        sweep: which cells there are.
        given: the options that were given; what they leave open is as in a cell that has begun.
    """
    results = results_folder(given)
    records = {cell.name: read_record(results / cell.name) for cell in sweep.cells}
    like = next((record for record in records.values() if record), None)
    jobs: list[Comparison] = []
    failures: dict[str, str] = {}
    for cell in sweep.cells:
        try:
            own = _given(cell, given, records[cell.name])
            if like is None and "resume" in given:
                raise UserError(f"nothing of {sweep.name} has begun; give its command as it was")
            jobs.append(begin.comparison(sweep.command, own, sweep.name, like))
        except UserError as error:
            failures[cell.name] = str(error)
    return jobs, failures


def swept_texts(overrides: Mapping[str, Any] | Sequence[str]) -> list[str]:
    """Overrides as the command line writes them; a list in a mapping is several values."""
    if not isinstance(overrides, Mapping):
        return list(overrides)
    several = {k: v if isinstance(v, list | tuple) else [v] for k, v in overrides.items()}
    return [f"{key}={','.join(map(json.dumps, values))}" for key, values in several.items()]


def _see_same(
    known: Sweep, command: str, given: Mapping[str, Any], wanted: tuple[Cell, ...]
) -> None:
    """See that options which go on with a sweep ask for the same one."""
    if known.command != command:
        raise UserError(f"{known.name} was begun by another command: pfltune {known.command}")
    if _is_asked(given) and wanted != known.cells:
        cells = "; ".join(f"{key}={','.join(values)}" for key, values in known.swept.items())
        raise UserError(
            f"{known.name} is a sweep over {cells}; resume it as that, or choose another --name"
        )


def _is_asked(given: Mapping[str, Any]) -> bool:
    """Whether the options say by themselves which cells there are."""
    return "resume" not in given or "scenario" in given or "overrides" in given


def _given(cell: Cell, given: Mapping[str, Any], record: Record | None) -> dict[str, Any]:
    """The options of one cell."""
    rest = {key: value for key, value in given.items() if key not in OF_EACH_CELL}
    if record is not None:
        return {**rest, "resume": cell.name}
    if cell.names_files and not _is_asked(given):
        raise UserError(
            f"{cell.name} has not begun, and what it names in a file may hold code, which only the "
            "sweep's record asks for: give --scenario and -o again, as they were"
        )
    own = {"name": cell.name, "scenario": cell.scenario, "overrides": list(cell.overrides)}
    return {**rest, **own}


def _cells(name: str, given: Mapping[str, Any]) -> tuple[Cell, ...]:
    scenario = given.get("scenario", DEFAULTS["scenario"])
    named = scenario.name if isinstance(scenario, Scenario) else str(scenario)
    cells = cells_of(name, named, override_texts(given.get("overrides", ())))
    if cells and isinstance(scenario, Scenario):
        raise UserError("a sweep is over a scenario's name or file, not over a Scenario object")
    return tuple(cell.model_copy(update={"scenario": _absolute(cell.scenario)}) for cell in cells)


def _absolute(scenario: str) -> str:
    """A scenario's file by its absolute path: a sweep may go on in another folder."""
    return str(Path(scenario).resolve()) if scenario.endswith((".yaml", ".yml")) else scenario
