"""Going on with what was begun: which folder, and which of its settings a command repeats."""

from pathlib import Path
from typing import Any, Literal

import click
from click.core import ParameterSource
from pydantic import BaseModel, Field

from pfltune.cli.options import MOST_THREADS
from pfltune.errors import UserError

Record = dict[str, Any]


class _Compute(BaseModel):
    device: str
    precision: Literal["float32", "bfloat16"]
    deterministic: bool = False


class _Hardware(BaseModel):
    threads: int = Field(ge=1, le=MOST_THREADS)
    compute: _Compute


class _Repeated(BaseModel):
    """What a command repeats of a record; the rest of it is compared, not used."""

    hardware: _Hardware
    budget: dict[str, Any] = {}
    methods: list[str] = Field([], min_length=1)
    fixed: dict[str, dict[str, int | float | str | bool]] = {}
    lr: float = 0.0
    seeds: int = Field(1, ge=1)
    seed: int = Field(0, ge=0)


def begun(command: str, name: str | None, resume: str | None, results: Path) -> Record | None:
    """The record of the job that a command goes on with; None for a new one.

    Both ``--resume NAME`` and the same command again with its ``--name NAME`` go on with NAME.

    Raises:
        UserError: there is none of that name, or another command began it.
    """
    from pfltune.tuning.claim import checked_name, recorded

    if name is not None and resume is not None and name != resume:
        raise UserError(f"--name {name} and --resume {resume} are two; give one of them")
    chosen = name if resume is None else resume
    if chosen is None:
        return None
    record = recorded(results / checked_name(chosen))
    if resume and record is None:
        there = sorted(path.parent.name for path in results.glob("*/comparison.json"))
        raise UserError(
            f"there is nothing named {resume!r} in {results} to resume; "
            f"there is: {', '.join(there) or 'nothing at all'}"
        )
    if record and record.get("command") != command:
        began = record.get("command")
        raise UserError(f"{chosen} was begun by another command: pfltune {began} --resume {chosen}")
    return record


def repeated(settings: dict[str, Any], record: Record | None) -> dict[str, Any]:
    """The settings of a command; those that were not given are the record's.

    ``--precision auto`` is whatever it was found to be.

    Raises:
        UserError: the record is damaged.
    """
    if record is None:
        return settings
    from pfltune.settings import validated

    whole = validated(_Repeated, record, "comparison.json of this comparison is damaged")
    found = whole.model_dump(exclude_unset=True)
    hardware, budget = found.pop("hardware"), found.pop("budget", {})
    known = {**budget, **found, "threads": hardware["threads"], **hardware["compute"]}
    return {
        key: known[key] if key in known and not (given(key) and value != "auto") else value
        for key, value in settings.items()
    }


def given(parameter: str) -> bool:
    """Whether the user gave this parameter to the present command."""
    source = click.get_current_context().get_parameter_source(parameter)
    return source not in (None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
