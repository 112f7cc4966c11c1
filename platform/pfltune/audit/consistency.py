"""What must hold between the figures of a certificate, without any training."""

import math
from collections import Counter
from collections.abc import Iterator

from pfltune.audit.certificate import Certificate, CertifiedTrial, Row
from pfltune.audit.kept import ROUND, first_of_the_best, names_of
from pfltune.audit.table import table_of
from pfltune.budget import Budget
from pfltune.federation.federation import Rounds
from pfltune.figures import TOTAL
from pfltune.goal import Goal
from pfltune.registry import short_name


def contradictions(certificate: Certificate) -> list[str]:
    """What contradicts itself, in words, a line each; empty if nothing does."""
    rules, hears_mb = certificate.record.scenario.protocol, _budget(certificate).hears_mb
    goal = certificate.record.goal
    twice = [n for n, c in Counter(t.name for t in certificate.trials).items() if c > 1]
    return [
        *(f"{name} stands in it twice" for name in twice),
        *(told for trial in certificate.trials for told in _trial(trial, rules, goal)),
        *(told for trial in certificate.trials for told in _sent(trial, hears_mb)),
        *_table(certificate),
    ]


def _trial(trial: CertifiedTrial, rules: Rounds, goal: Goal) -> Iterator[str]:
    if rules.budget is not None:
        if told := _of_budget(trial):
            yield told
            return
    elif trial.rounds > rules.rounds:
        yield f"{trial.name} has {trial.rounds} rounds of {rules.rounds}"
        return
    if any(after < before for before, after in zip(trial.scores, trial.scores[1:], strict=False)):
        yield f"{trial.name} has scores that fall, and a score is the best so far"
    if trial.outcome == "finished":
        yield from _finished(trial, rules, goal)


def _sent(trial: CertifiedTrial, hears_mb: bool) -> Iterator[str]:
    """What does not hold of the MB that a search heard of."""
    if len(trial.mb) != (trial.rounds if hears_mb else 0):
        yield f"{trial.name} has MB of {len(trial.mb)} rounds, and {trial.rounds} rounds"
    elif trial.mb and not _same(trial.mb[-1], trial.figures.get(TOTAL.name, math.nan)):
        yield f"{trial.name} has sent other MB after its last round than in all"


def _budget(certificate: Certificate) -> Budget:
    budget = certificate.record.budget
    assert isinstance(budget, Budget)
    return budget


def _finished(trial: CertifiedTrial, rules: Rounds, goal: Goal) -> Iterator[str]:
    if rules.budget is None and trial.rounds < rules.rounds:
        yield f"{trial.name} finished after {trial.rounds} rounds of {rules.rounds}"
        return
    evaluated = [n for n in range(1, trial.rounds + 1) if rules.evaluates(n) or _told(trial, n)]
    chosen = first_of_the_best(trial.scores, evaluated)
    if trial.figures.get(ROUND) != chosen:
        told = trial.figures.get(ROUND)
        yield f"{trial.name} chose round {told}, and its scores say round {chosen}"
    val, _ = names_of(goal)
    said = goal.score(trial.figures[val]) if val in trial.figures else goal.nothing
    if not _same(said, trial.score):
        yield f"{trial.name} has another validation {goal.noun} in its chosen round than its score"


def _of_budget(trial: CertifiedTrial) -> str:
    """What contradicts the budget of a trial; empty if nothing does."""
    if len(trial.ahead) != trial.rounds:
        return f"{trial.name} does not say what it spent in each round"
    if any(each > 1 for each in trial.ahead[:-1]):
        return f"{trial.name} went on though its budget was spent"
    if trial.outcome == "finished" and trial.ahead[-1] <= 1:
        return f"{trial.name} finished before its budget was spent"
    return ""


def _told(trial: CertifiedTrial, number: int) -> bool:
    """Whether a trial with a budget said what was ahead of it after a round: it was evaluated."""
    return bool(trial.ahead) and trial.ahead[number - 1] > 0


def _table(certificate: Certificate) -> Iterator[str]:
    methods = [short_name(method) for method in certificate.record.methods]
    several = _budget(certificate).several
    follows = {
        row.method: row
        for row in table_of(methods, certificate.trials, certificate.record.goal, several)
    }
    if [row.method for row in certificate.table] != list(follows):
        yield "the table has other rows than the comparison has methods"
    for row in certificate.table:
        if row.method in follows:
            yield from _row(row, follows[row.method])


def _row(row: Row, follows: Row) -> Iterator[str]:
    if row.seeds != follows.seeds:
        yield f"the table's {row.method} has other seeds than its trials"
    for name in sorted(row.figures.keys() | follows.figures.keys()):
        said, wanted = row.figures.get(name, math.nan), follows.figures.get(name, math.nan)
        if not _same(said, wanted):
            yield f"the table's {row.method} has {name} {said:.6g}, and {wanted:.6g} follows"


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
