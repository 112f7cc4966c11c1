"""Going on with what was begun: which folder, and which of its settings a job repeats.

Options are plain data here: a name that is not in ``given`` was not given.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from pfltune.budget import Budget
from pfltune.draws import refuse_several
from pfltune.errors import UserError
from pfltune.plugins import Plugin
from pfltune.program import file_digest, files_of
from pfltune.record import RECORD, Record, read_record
from pfltune.registry import short_name
from pfltune.replays import refuse_replay
from pfltune.running.folder_lock import checked_name

HERE = "local"
"""As an address of Ray: this machine alone."""


def begun(command: str, given: Mapping[str, Any], results: Path) -> Record | None:
    """The record of the job that a command goes on with; None for a new one.

    Both ``resume`` and the same command again with its ``name`` go on with what has that name.

    Raises:
        UserError: there is none of that name, or another command began it.
    """
    name, resume = given.get("name"), given.get("resume")
    if name is not None and resume is not None and name != resume:
        raise UserError(f"--name {name} and --resume {resume} are two; give one of them")
    chosen = name if resume is None else resume
    if chosen is None:
        return None
    refuse_several(results / checked_name(chosen))
    refuse_replay(results / checked_name(chosen))
    record = known(chosen, results) if resume else read_record(results / checked_name(chosen))
    if record and record.command != command:
        raise UserError(
            f"{chosen} was begun by another command: pfltune {record.command} --resume {chosen}"
        )
    return record


def known(name: str, results: Path) -> Record:
    """The record of what is named so.

    Raises:
        UserError: there is nothing of that name.
    """
    refuse_several(results / checked_name(name))
    refuse_replay(results / checked_name(name))
    record = read_record(results / name)
    if record is None:
        there = sorted(path.parent.name for path in results.glob(f"*/{RECORD}"))
        raise UserError(
            f"there is nothing named {name!r} in {results} to go on with; "
            f"there is: {', '.join(there) or 'nothing at all'}"
        )
    return record


def completed(
    given: Mapping[str, Any], record: Record | None, defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """All options of a job; those that were not given are the record's, or the defaults.

    ``precision=auto`` is whatever it was found to be. What is given and differs is seen when the
    new record is held against the old one.
    """
    if record is None:
        return {**defaults, **given}
    known = _options(record)
    found = {**defaults, **{key: known[key] for key in known if key in defaults}, **given}
    if found["precision"] == "auto":
        found["precision"] = known["precision"]
    if "ray_address" in given and "workers" not in given and given["ray_address"] != HERE:
        found["workers"] = None  # a cluster has as many as it has room for
    return found


def _options(record: Record) -> dict[str, Any]:
    """What a record says of options."""
    budget = record.budget
    search = (
        {"trials": budget.trials, "generation": budget.generations}
        if isinstance(budget, Budget)
        else {}
    )
    return {
        **budget.model_dump(exclude={"generations"}),
        **search,
        **record.computing.model_dump(exclude={"cohort"}),
        **record.asked.model_dump(),
        "methods": list(record.methods),
        "search": record.space_options.search,
        "space": record.space_options.spaces,
        "start": record.space_options.start,
        "fixed": {method: dict(held) for method, held in record.fixed.items()},
    }


def see_files(given: Mapping[str, Any], record: Record | None) -> None:
    """See that files of code which only the record names are what they were; runs none of them.

    Raises:
        UserError: a file is not there, or another one is.
    """
    if record is None:
        return
    methods = () if "methods" in given else record.methods
    brought = () if "scenario" in given else record.scenario.strangers()
    check_files(record, methods, brought, bool(given.get("accept_new_code")))


def check_files(
    record: Record, methods: Collection[str], brought: Iterable[Plugin], accept_new_code: bool
) -> None:
    """The same for some methods of a record and what strangers brought into its scenario.

    Args:
        record: of the job.
        methods: references; those that do not stand in the record are not looked at.
        brought: plugins of its scenario.
        accept_new_code: whether another file may be there.

    Raises:
        UserError: a file is not there, or another one is.
    """
    again = f"its method: --methods {','.join(record.methods)}"
    named = {short_name(m): (m, again) for m in record.methods if m in methods}
    named |= {p.called: (p.reference, "the scenario: --scenario FILE") for p in brought}
    for name, (reference, named_by) in named.items():
        _check_file(record, name, reference, named_by, accept_new_code)


def _check_file(
    record: Record, name: str, reference: str, again: str, accept_new_code: bool
) -> None:
    for key, path in files_of(name, reference):
        if not path.is_file():
            raise UserError(f"the file of {key} is not at {path} any more; name it with {again}")
        if file_digest(path) != record.program.files.get(key) and not accept_new_code:
            raise UserError(
                f"{path} is not the file that {record.name} began with; it is not run. "
                "Restore it, or give --accept-new-code, which the report will say"
            )
