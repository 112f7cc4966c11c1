"""Going on with what was begun: which folder, and which of its settings a command repeats."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from pfltune.errors import UserError

Record = dict[str, Any]
TOP_LEVEL = ("methods", "fixed", "lr", "seeds", "seed")


def begun(command: str, name: str | None, resume: str | None, results: Path) -> Record | None:
    """The record of the job that a command goes on with; None for a new one.

    Both ``--resume NAME`` and the same command again with its ``--name NAME`` go on with NAME.

    Raises:
        UserError: there is none of that name, or another command began it.
    """
    from pfltune.tuning.claim import checked_name, recorded

    if name and resume and name != resume:
        raise UserError(f"--name {name} and --resume {resume} are two; give one of them")
    chosen = resume or name
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
    try:
        compute = record["hardware"]["compute"]
        known = {
            **record.get("budget", {}),
            **{key: record[key] for key in TOP_LEVEL if key in record},
            "threads": record["hardware"]["threads"],
            "device": compute["device"],
            "precision": compute["precision"],
            "deterministic": compute["deterministic"],
        }
    except (KeyError, TypeError) as error:
        raise UserError(f"comparison.json of this comparison is damaged: {error!r}") from error
    return {
        key: known[key] if key in known and not (given(key) and value != "auto") else value
        for key, value in settings.items()
    }


def given(parameter: str) -> bool:
    """Whether the user gave this parameter to the present command."""
    source = click.get_current_context().get_parameter_source(parameter)
    return source not in (None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
