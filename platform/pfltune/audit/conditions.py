"""What certified trials are trained on again: methods, program and data, held against theirs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from pfltune.budget import Budget
from pfltune.errors import UserError, unknown
from pfltune.federation.compute import Compute
from pfltune.federation.federation import Federation
from pfltune.federation.fingerprint import fingerprint
from pfltune.plugins import is_file
from pfltune.program import SUGGESTING, Program, file_digest, files_of, method_digest
from pfltune.record import Record
from pfltune.registry import short_name
from pfltune.search.samplers import SAMPLERS
from pfltune.text import plain
from pfltune.variants import Reference, parsed

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Conditions:
    """What trials are trained on here.

    Attributes:
        references: of the methods, by short name.
        federation: of a confirmation.
        compute: how trials compute.
        differences: what is another than where the certificate was made, in words.
        exact: whether figures must come again to the last bit.
        suggests: whether the search must suggest the same again.
    """

    references: Mapping[str, str]
    federation: Federation
    compute: Compute
    differences: tuple[str, ...]
    exact: bool
    suggests: bool


def conditions_of(
    record: Record, named: Sequence[str] = (), accept_new_code: bool = False
) -> Conditions:
    """Build a certificate's scenario and see that methods, program and data are its own.

    Args:
        record: of the certificate.
        named: methods as whoever checks it names them; no other file is run.
        accept_new_code: check within bounds although code of pfltune or of a method has changed.

    Raises:
        UserError: a method is not there, or code or data are another.
    """
    references = _references(record, named, accept_new_code)
    device: Device = "cuda" if record.computing.device == "cuda" and _has_gpu() else "cpu"
    now = Program.of(tuple(references.values()), device, record.scenario.strangers())
    _see_code(record, now, accept_new_code)
    told = record.program.changes(now)
    same = not _moving(record.program, now) and device == record.computing.device
    repeats = device == "cpu" or record.computing.deterministic
    if not repeats:
        told.append("figures of this GPU do not repeat to the last bit without --deterministic")
    federation = record.scenario.build(record.computing.threads)
    told += _data(record, federation, same)
    wanted = record.computing.model_dump() | {"device": device}
    return Conditions(
        references=references,
        federation=federation,
        compute=Compute(**wanted),
        differences=tuple(map(plain, told)),
        exact=same and repeats,
        suggests=not _code(record.program, now)
        and _optuna(record.program) == _optuna(now)
        and (same or _computes_little(record)),
    )


def _references(record: Record, named: Sequence[str], accept: bool) -> dict[str, str]:
    """How each method is found here, by short name; a variant as what it is a variant of."""
    own = {short_name(method): method for method in named}
    wanted = {short_name(method): parsed(method) for method in record.methods}
    bases = {Reference(each.base).name for each in wanted.values()}
    for name in own.keys() - bases:
        raise unknown("method of the certificate", name, bases)
    found = {}
    for name, each in wanted.items():
        base = own.get(Reference(each.base).name)
        if base is None:
            base = _installed(record.program, name, each.base)
        else:
            _see_file(record.program, name, base, accept)
        found[name] = str(replace(each, base=base))
    return found


def _see_file(program: Program, name: str, method: str, accept: bool) -> None:
    """See that a method's file is the certified one, before any of it is run."""
    for key, path in files_of(name, method):
        known = program.files.get(key)
        if known is None or accept:
            continue
        try:
            found = file_digest(path)
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from error
        if found != known:
            raise UserError(
                f"{path} is not the file that the certificate was made with, and is not run: "
                "--accept-new-code runs it, and checks within bounds"
            )


def _installed(program: Program, name: str, method: str) -> str:
    """A method that was not named here, if it is installed; ``method`` is no variant."""
    if not any(map(is_file, parsed(method).parts)):
        return method
    installed = Reference(method).name
    try:
        if method_digest(installed) == program.source.get(name):
            return installed
    except UserError:
        pass  # there is none of that name
    copy = plain(str(parsed(method).with_parts(_yours)))
    raise UserError(
        f"the method {plain(name)} is code of whoever wrote the certificate, and is not run: read "
        f"its file, then name your copy with --methods {copy}"
    )


def _yours(part: str) -> str:
    return f"path/to/{part}" if is_file(part) else part


def _has_gpu() -> bool:
    return torch.cuda.is_available()


def _see_code(record: Record, now: Program, accept: bool) -> None:
    code = _code(record.program, now)
    if code and not accept:
        its = plain(record.program.versions.get("pfltune", "unknown"))
        raise UserError(
            f"the code of {', '.join(map(plain, code))} is another here than in the certificate, "
            f"which pfltune {its} wrote: check it with that code, or give --accept-new-code to "
            "check it within bounds"
        )


def _code(before: Program, now: Program) -> list[str]:
    """Whose code is another."""
    theirs, ours = ({**program.source, **program.plugins} for program in (before, now))
    return [name for name in sorted(ours) if theirs.get(name) != ours[name]]


def _moving(before: Program, now: Program) -> bool:
    """Whether something is another that can move the last bits of a figure."""
    moved = _numeric(before) != _numeric(now) or before.processor != now.processor
    return moved or bool(_code(before, now))


def _numeric(program: Program) -> dict[str, str]:
    return {n: v for n, v in program.versions.items() if n not in SUGGESTING}


def _computes_little(record: Record) -> bool:
    """Whether what suggests makes the same of the same on any machine: a fitted model does not."""
    return not (isinstance(record.budget, Budget) and SAMPLERS[record.budget.sampler].whole)


def _optuna(program: Program) -> str | None:
    return program.versions.get("optuna")


def _data(record: Record, federation: Federation, same: bool) -> list[str]:
    """What is another about the data and may be.

    Raises:
        UserError: it may not.
    """
    found = fingerprint(federation)
    names = sorted(found.keys() | record.data.keys())
    others = [name for name in names if found.get(name) != record.data.get(name)]
    made_here = record.scenario.backbone.weights == "warm-start"
    if others == ["start weights"] and made_here and not same:
        return ["the start weights were trained anew, on another processor or version"]
    if others:
        raise UserError(
            f"{', '.join(map(plain, others))} are not those of the certificate: that would be "
            "another experiment (-o data.name=… says where the data are)"
        )
    return []
