"""Checking a certificate: what contradicts itself, what does not follow, what does not repeat."""

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pfltune.audit.bounds import bound
from pfltune.audit.certificate import Certificate, CertifiedTrial, Row, read_certificate
from pfltune.audit.checks import TrialCheck, checked
from pfltune.audit.conditions import Conditions, conditions_of
from pfltune.audit.consistency import contradictions
from pfltune.audit.draw import chosen, drawn
from pfltune.audit.kept import names_of
from pfltune.audit.redeal import redealt
from pfltune.audit.table import SPREAD
from pfltune.budget import Budget
from pfltune.errors import UserError
from pfltune.figures import TOTAL
from pfltune.goal import Goal
from pfltune.registry import short_name
from pfltune.text import count, plain

SEEDS = 2**32


@dataclass(frozen=True)
class Verdict:
    """What a check of a certificate came to.

    Attributes:
        name: of the comparison.
        exact: whether figures had to come again to the last bit, or within bounds.
        differences: what is another here than where it was made, in words.
        faults: what was found without training, in words.
        seed: with which the same trials are drawn again.
        trials: of the certificate.
        checks: of the trials that were trained again.
    """

    name: str
    exact: bool
    differences: tuple[str, ...]
    faults: tuple[str, ...]
    seed: int
    trials: int
    checks: tuple[TrialCheck, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against the certificate."""
        return not self.faults and not any(check.answer == "differs" for check in self.checks)

    @property
    def line(self) -> str:
        """For people."""
        told = [check for check in self.checks if check.answer != "not checked"]
        wrong = sum(check.answer == "differs" for check in told)
        if not self.holds:
            faults = f"{count(len(self.faults), 'fault')} without training"
            return f"{self.name} does not hold: {faults}, {wrong} of {len(told)} trials differ"
        how = "bit for bit" if self.exact else "within bounds"
        return f"{self.name} holds: {len(told)} of {count(self.trials, 'trial')} again, {how}"

    def to_dict(self) -> dict[str, Any]:
        """For scripts."""
        return {"holds": self.holds, **asdict(self)}


def verified(
    path: Path,
    tell: Callable[[str], object],
    *,
    sample: int = 5,
    seed: int | None = None,
    trials: Sequence[str] = (),
    methods: Sequence[str] = (),
    overrides: Sequence[str] = (),
    accept_new_code: bool = False,
) -> Verdict:
    """Check a certificate, see :func:`pfltune.verify`."""
    certificate = read_certificate(path, overrides)
    _see_possible(certificate)
    number = secrets.randbelow(SEEDS) if seed is None else seed
    picked = chosen(certificate.trials, trials) or drawn(certificate.trials, sample, number)
    for line in _stated(certificate):
        tell(line)
    conditions = conditions_of(certificate.record, methods, accept_new_code)
    for line in _conditions(conditions):
        tell(line)
    faults = [*contradictions(certificate), *redealt(certificate, conditions)]
    tell("Without training: " + (count(len(faults), "fault") if faults else "no fault"))
    for fault in faults:
        tell(f"  {plain(fault)}")
    tell(_announced(picked, number, certificate))
    checks = []
    for trial in picked:
        checks.append(checked(trial, conditions))
        tell(checks[-1].line)
    verdict = Verdict(
        plain(certificate.record.name),
        conditions.exact,
        conditions.differences,
        tuple(map(plain, faults)),
        number,
        len(certificate.trials),
        tuple(checks),
    )
    tell(verdict.line)
    return verdict


def _see_possible(certificate: Certificate) -> None:
    """See that a certificate can be checked at all.

    Raises:
        UserError: it is of something else, or of methods that it does not know.
    """
    record = certificate.record
    names = set(map(short_name, record.methods))
    if not isinstance(record.budget, Budget):
        raise UserError(f"{record.name} is no comparison: it was run by pfltune {record.command}")
    others = {trial.method for trial in certificate.trials} - names
    unknown = sorted(others | (names - record.defaults.keys()))
    if unknown:
        told = ", ".join(map(plain, unknown))
        raise UserError(
            f"the certificate does not say enough of {told}: it was not made by pfltune"
        )


def _stated(certificate: Certificate) -> list[str]:
    record = certificate.record
    where = f"{plain(record.name)} on {plain(record.scenario.name)}"
    head = f"{where}: {count(len(certificate.trials), 'trial')}, issued {certificate.issued[:16]}"
    rows = (
        f"  {_row(row, _studies(row, certificate), record.goal)}" for row in _ranked(certificate)
    )
    return [plain(head), "It states:", *rows]


def _ranked(certificate: Certificate) -> list[Row]:
    goal = certificate.record.goal
    _, test = names_of(goal)
    return sorted(
        certificate.table,
        key=lambda row: -goal.score(row.figures[test]) if test in row.figures else math.inf,
    )


def _studies(row: Row, certificate: Certificate) -> int:
    """Of how many independent searches a row's runs are; a configuration of a front is of one."""
    runs = [t for t in certificate.trials if t.stage == "confirm" and t.outcome == "finished"]
    return len({run.study for run in runs if run.method == row.method and run.seed in row.seeds})


def _row(row: Row, studies: int, goal: Goal) -> str:
    _, test = names_of(goal)
    if test not in row.figures:
        return f"{plain(row.method)}: no trial of its confirmation ran to its end"
    spread = f" ± {goal.spread(row.figures[SPREAD])}" if SPREAD in row.figures else ""
    figure = f"test {goal.noun} {goal.measure.text(row.figures[test])}{spread}{goal.unit}"
    sent = row.figures.get(TOTAL.name, 0.0)
    of = f"{count(studies, 'study')} with " if studies > 1 else ""
    return f"{plain(row.method)}: {figure}, {sent:.2f} MB, {of}{count(len(row.seeds), 'seed')}"


def _conditions(conditions: Conditions) -> list[str]:
    differences = [f"Another here: {told}" for told in conditions.differences]
    unsaid = [] if conditions.suggests else ["Suggestions of the search are taken as they are"]
    if conditions.exact:
        return [
            *differences,
            *unsaid,
            "Code, versions, data and processor are its own: bit for bit",
        ]
    val, test = (100 * bound(conditions.federation, part) for part in ("val", "test"))
    bounds = f"validation accuracy ± {val:.2f} points, test accuracy ± {test:.2f}, counts equal"
    return [*differences, *unsaid, f"Data are its own; within bounds: {bounds}"]


def _announced(picked: Sequence[CertifiedTrial], seed: int, certificate: Certificate) -> str:
    seconds = sum(trial.seconds for trial in picked)
    every = count(len(certificate.trials), "trial")
    return f"Training {len(picked)} of {every} again (--seed {seed}): some {seconds:.0f} s there"
