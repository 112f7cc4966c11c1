"""Making the certificate of a comparison from its record and its journal."""

from datetime import datetime

from pfltune.audit.certificate import Certificate, CertifiedTrial
from pfltune.audit.kept import certified, curve
from pfltune.audit.table import table_of
from pfltune.budget import Budget
from pfltune.errors import UserError
from pfltune.figures import EVALUATION_SECONDS, ROUND_SECONDS, TOTAL
from pfltune.plugins import file_of
from pfltune.record import Asked, Record
from pfltune.registry import short_name
from pfltune.report.results import ComparisonResult, ToldTrial
from pfltune.text import plain
from pfltune.trials.spec import complete_knobs
from pfltune.trials.stored import StoredRound
from pfltune.variants import WRAPPED, parsed

CERTIFICATE = "certificate.json"
"""Its name in the folder of its comparison."""


def certificate_of(result: ComparisonResult) -> Certificate:
    """The certificate of a comparison that has ended.

    Raises:
        UserError: it has not, or something of it could not be had again by anybody.
    """
    _see_whole(result)
    record = _public(result.record)
    names = [short_name(method) for method in record.methods]
    rows = sorted(result.methods, key=lambda row: (names.index(row.method), row.place))
    trials = tuple(_certified(record, trial) for row in rows for trial in row.trials)
    issued = datetime.now().astimezone().isoformat(timespec="seconds")
    table = table_of(names, trials, record.goal, result.budget.several)
    return Certificate(issued=issued, record=record, trials=trials, table=table)


def _see_whole(result: ComparisonResult) -> None:
    name = result.name
    if result.damage:
        raise UserError(f"{name} cannot be certified: {result.damage}")
    if result.is_partial or not all(t.ended for m in result.methods for t in m.trials):
        begun = f"pfltune {result.record.command} --resume {name}"
        raise UserError(f"{name} has not ended, so there is nothing to certify; go on: {begun}")
    if result.changes:
        raise UserError(
            f"{name} cannot be certified: it was begun by another program than it was ended with, "
            "and no program has all of its figures; compare anew under another --name"
        )
    if not result.record.scenario.protocol.repeats:
        budget = result.record.scenario.protocol.budget
        raise UserError(
            f"{name} cannot be certified: a budget of seconds, {budget}, ends a trial in another "
            "round each time"
        )
    if not result.record.defaults:
        raise UserError(f"{name} cannot be certified: the pfltune that wrote it kept too little")


def _public(record: Record) -> Record:
    """The record without what touches no figure and the folders of its author."""
    methods = tuple(_without_folder(method) for method in record.methods)
    return record.model_copy(update={"asked": Asked(), "methods": methods})


def _without_folder(method: str) -> str:
    return str(parsed(method).with_parts(_file_alone))


def _file_alone(reference: str) -> str:
    path = file_of(reference)
    if path is None:
        return reference
    # A name with + alone would be read as a method and its wrap.
    here = "./" if WRAPPED in path.name else ""
    return f"{here}{path.name}:{reference.rpartition(':')[2]}"


def _certified(record: Record, trial: ToldTrial) -> CertifiedTrial:
    started, ended = trial.started, trial.ended
    budget = record.budget
    assert ended is not None
    assert isinstance(budget, Budget)
    rounds = [StoredRound(done.round, done.score, done.metrics) for done in trial.rounds]
    return CertifiedTrial(
        method=started.method,
        stage=started.stage,
        index=started.index,
        study=started.study,
        generation=started.generation,
        seed=started.seed,
        knobs=complete_knobs(record, started.method, started.knobs),
        outcome=ended.outcome,
        failure=plain(ended.failure),
        own_fault=ended.own_fault,
        scores=tuple(done.score for done in rounds),
        mb=tuple(done.metrics[TOTAL.name] for done in rounds) if budget.hears_mb else (),
        ahead=_ahead(record, rounds),
        figures=certified(trial.metrics, record.goal),
        curve=curve(rounds, ended.selected),
        seconds=_seconds(rounds),
    )


def _ahead(record: Record, rounds: list[StoredRound]) -> tuple[float, ...]:
    """What brackets heard of a trial's budget; nothing where its rounds say it."""
    if record.scenario.protocol.budget is None:
        return ()
    return tuple(done.standing.ahead for done in rounds)


def _seconds(rounds: list[StoredRound]) -> float:
    names = (ROUND_SECONDS.name, EVALUATION_SECONDS.name)
    return round(sum(done.metrics.get(name, 0.0) for done in rounds for name in names), 1)
