"""Going on with what was begun: which folder, and which of its settings a command repeats."""

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from pfltune.errors import UserError

if TYPE_CHECKING:
    from pfltune.record import Record

OTHER_NAMES = {"methods": ("methods", "method"), "fixed": ("knobs",)}
"""Settings that commands take under other names than the record's."""
HERE = "local"
"""As an address of Ray: this machine alone."""


def begun(command: str, settings: dict[str, Any]) -> "Record | None":
    """The record of the job that a command goes on with; None for a new one.

    Both ``--resume NAME`` and the same command again with its ``--name NAME`` go on with NAME.

    Raises:
        UserError: there is none of that name, or another command began it.
    """
    from pfltune.record import RECORD, read_record
    from pfltune.running.folder_lock import checked_name

    name, resume, results = settings["name"], settings["resume"], settings["results"]
    if name is not None and resume is not None and name != resume:
        raise UserError(f"--name {name} and --resume {resume} are two; give one of them")
    chosen = name if resume is None else resume
    if chosen is None:
        return None
    record = read_record(results / checked_name(chosen))
    if resume and record is None:
        there = sorted(path.parent.name for path in results.glob(f"*/{RECORD}"))
        raise UserError(
            f"there is nothing named {resume!r} in {results} to resume; "
            f"there is: {', '.join(there) or 'nothing at all'}"
        )
    if record and record.command != command:
        raise UserError(
            f"{chosen} was begun by another command: pfltune {record.command} --resume {chosen}"
        )
    return record


def repeated(settings: dict[str, Any], record: "Record | None") -> dict[str, Any]:
    """The settings of a command; those that were not given are the record's.

    ``--precision auto`` is whatever it was found to be. What is given and differs is seen when the
    new record is held against the old one.
    """
    if record is None:
        return settings
    known = {
        **record.budget.model_dump(),
        **record.computing.model_dump(exclude={"cohort"}),
        **record.asked.model_dump(),
        "methods": list(record.methods),
        "fixed": {method: dict(held) for method, held in record.fixed.items()},
    }
    measured = settings.get("precision") == "auto"
    found = {
        key: known[key] if key in known and not given(key) else value
        for key, value in settings.items()
    } | ({"precision": known["precision"]} if measured else {})
    if given("ray_address") and not given("workers"):  # a cluster has as many as it has room for
        found["workers"] = None if settings["ray_address"] != HERE else found["workers"]
    return found


def see_files(record: "Record | None", accept_new_code: bool) -> None:
    """See that files of code which only the record names are what they were; runs none of them.

    Raises:
        UserError: a file is not there, or another one is.
    """
    if record is None:
        return
    from pfltune.registry import short_name

    named: dict[str, tuple[str, str]] = {}
    if not given("methods"):
        again = f"its method: --methods {','.join(record.methods)}"
        named |= {short_name(method): (method, again) for method in record.methods}
    if not given("scenario"):
        brought = record.scenario.strangers()
        named |= {p.called: (p.reference, "the scenario: --scenario FILE") for p in brought}
    for name, (reference, again) in named.items():
        _see_file(record, name, reference, again, accept_new_code)


def _see_file(
    record: "Record", name: str, reference: str, again: str, accept_new_code: bool
) -> None:
    from pfltune.program import file_digest, file_of

    path = file_of(reference)
    if path is None:
        return
    if not path.is_file():
        raise UserError(f"the file of {name} is not at {path} any more; name it with {again}")
    if file_digest(path) != record.program.files.get(name) and not accept_new_code:
        raise UserError(
            f"{path} is not the file that {record.name} began with; it is not run. "
            "Restore it, or give --accept-new-code, which the report will say"
        )


def given(setting: str) -> bool:
    """Whether the user gave this setting to the present command."""
    context = click.get_current_context()
    not_given = (None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
    names = OTHER_NAMES.get(setting, (setting,))
    return any(context.get_parameter_source(name) not in not_given for name in names)
