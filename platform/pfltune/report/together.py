"""Comparisons on the same data and seeds as if they had been one, and rows that are left out."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pfltune.budget import Budget
from pfltune.errors import UserError, unknown
from pfltune.figures import repeats
from pfltune.knobs import written
from pfltune.program import ENGINE, Program
from pfltune.record import Record
from pfltune.registry import short_name
from pfltune.report.results import (
    ComparisonResult,
    ConfirmedRun,
    MethodResult,
    ranked,
)
from pfltune.stages import Stage

WORDS = {"name", "title", "about", "published"}
"""Parts of a scenario that say what it is and decide nothing."""


def without(results: Sequence[ComparisonResult], names: Collection[str]) -> list[ComparisonResult]:
    """The results without the rows of some methods, by short name or title in any case of letters.

    Raises:
        UserError: nobody has such a method, or nothing is left of a comparison.
    """
    known = {method.name: method.title for result in results for method in result.methods}
    for name in names:
        if not any(_is_named(name, short, title) for short, title in known.items()):
            raise unknown("method to leave out", name, known)
    return [_without(result, names) for result in results] if names else list(results)


def why_apart(results: Sequence[ComparisonResult]) -> str | None:
    """What keeps comparisons on the same data from one table; None if nothing does.

    Empty if their data differ, where nobody expects one.
    """
    first = results[0].record
    for other in (result.record for result in results[1:]):
        if first.data != other.data or _data(first) != _data(other):
            return ""
    for other in (result.record for result in results[1:]):
        for what, one, two in _conditions(first, other):
            if one != two:
                return f"{first.name} has {what} {one} and {other.name} {two}"
    return None


def together(results: Sequence[ComparisonResult]) -> ComparisonResult:
    """One result with the methods of all, each once.

    Args:
        results: of comparisons that nothing keeps apart.

    Raises:
        UserError: a method has other figures in one of them than in another.
    """
    origins: dict[str, list[ComparisonResult]] = {}
    rows: dict[str, MethodResult] = {}
    for result in results:
        for method in result.methods:
            if method.name in rows:
                _check_equal(origins[method.name][0], result, rows[method.name], method)
            rows.setdefault(method.name, method)
            origins.setdefault(method.name, []).append(result)
    first = results[0]
    budgets = {name: of[0].budget for name, of in origins.items()}
    said = [_sources(rows, origins), _budgets(results), *_programs(results)]
    remarks = [*said, *(remark for result in results for remark in result.remarks)]
    return ComparisonResult(
        name="+".join(result.name for result in results),
        id=first.id,
        scenario=first.scenario,
        record=_merged([result.record for result in results]),
        methods=ranked(rows.values()),
        changes=tuple(change for result in results for change in result.changes),
        damage="; ".join(result.damage for result in results if result.damage),
        budgets=budgets,
        remarks=tuple(dict.fromkeys(filter(None, remarks))),
        measures=first.measures,
    )


def _is_named(wanted: str, name: str, title: str) -> bool:
    spelled = {wanted.lower()}
    with suppress(UserError):  # a title may have brackets that hold no knobs
        spelled.add(short_name(wanted).lower())
    return bool(spelled & {name.lower(), title.lower()})


def _without(result: ComparisonResult, names: Collection[str]) -> ComparisonResult:
    gone = [m for m in result.methods if any(_is_named(n, m.name, m.title) for n in names)]
    kept = tuple(method for method in result.methods if method not in gone)
    if not kept:
        raise UserError(f"nothing is left of {result.name} without {', '.join(names)}")
    if not gone:
        return result
    titles = ", ".join(method.title for method in gone)
    remark = f"Left out as asked: {titles}. Ranks, tests and corrections are of the others alone."
    return replace(result, methods=kept, remarks=(*result.remarks, remark))


def _data(record: Record) -> Mapping[str, Any]:
    return record.scenario.model_dump(mode="json", exclude={*WORDS, "protocol"})


def _conditions(one: Record, other: Record) -> Iterator[tuple[str, Any, Any]]:
    """What two comparisons must have in common to be one, in words."""
    for name, value in one.scenario.protocol.model_dump().items():
        yield f"protocol.{name}", value, other.scenario.protocol.model_dump()[name]
    for name, value in one.computing.model_dump().items():
        yield name, value, other.computing.model_dump()[name]
    assert isinstance(one.budget, Budget)
    assert isinstance(other.budget, Budget)
    yield "the seed", one.budget.seed, other.budget.seed
    yield "a number of confirmation seeds of", one.budget.seeds, other.budget.seeds
    yield "a number of studies of", one.budget.studies, other.budget.studies
    yield "the sampler", one.budget.sampler, other.budget.sampler
    yield "decided with further seeds:", one.budget.decide, other.budget.decide


def _check_equal(
    one: ComparisonResult, other: ComparisonResult, mine: MethodResult, theirs: MethodResult
) -> None:
    """See that a method that is in both has the same figures.

    Raises:
        UserError: it has not; says in what they differ.
    """
    why = _difference(mine, theirs)
    if why:
        raise UserError(
            f"{mine.name} is in {one.name} and in {other.name} with other figures: {why}; "
            f"one table can be made --without {mine.name}"
        )


def _difference(mine: MethodResult, theirs: MethodResult) -> str:
    """The first thing in which two rows differ, in words; empty if they are equal."""
    for knob in sorted(mine.best.keys() | theirs.best.keys()):
        one, two = (written(each.best.get(knob, "not set")) for each in (mine, theirs))
        if one != two:
            return f"{knob} was chosen as {one} in the one and {two} in the other"
    if mine.seeds != theirs.seeds:
        return f"{len(mine.runs)} and {len(theirs.runs)} of the confirmation seeds have ended"
    for run, again in zip(mine.runs, theirs.runs, strict=True):
        goal = run.goal
        tests = [goal.scale * each.score("test") for each in (run, again)]
        if tests[0] != tests[1]:
            told = " and ".join(f"{each:.4f}{goal.unit}" for each in tests)
            return f"test {goal.noun} with seed {run.seed} is {told}"
        if _figures(run) != _figures(again):
            return f"the rounds with seed {run.seed} went another way"
    return ""


def _figures(run: ConfirmedRun) -> tuple[object, ...]:
    metrics = {name: v for name, v in run.metrics.items() if repeats(name)}
    return metrics, run.curves, run.val, run.test, run.indices


def _merged(records: Sequence[Record]) -> Record:
    """The first record with what the others say of their methods."""
    update: dict[str, Any] = {"name": "+".join(record.name for record in records)}
    for part in ("titles", "fixed", "tuned", "spaces", "limits"):
        update[part] = {k: v for each in reversed(records) for k, v in getattr(each, part).items()}
    update["methods"] = tuple(dict.fromkeys(m for record in records for m in record.methods))
    return records[0].model_copy(update=update)


def _sources(
    rows: Mapping[str, MethodResult], origins: Mapping[str, Sequence[ComparisonResult]]
) -> str:
    """Where each row comes from, in a sentence."""
    by_origin: dict[str, list[str]] = {}
    for name, results in origins.items():
        place = " and ".join(result.name for result in results)
        by_origin.setdefault(place, []).append(rows[name].title)
    told = [f"{', '.join(titles)} from {place}" for place, titles in by_origin.items()]
    return f"One table of several comparisons: {'; '.join(told)}."


def _budgets(results: Sequence[ComparisonResult]) -> str:
    """That methods were searched with different budgets; empty if they were not."""
    stage: Stage
    searched = {(result.budget.generations, result.budget.eta) for result in results}
    if len(searched) > 1:
        stage, what = "search", "search trials per method"
    elif len({result.budget.planned_each()["choose"] for result in results}) > 1:
        stage, what = "choose", "trials of finalists per method"
    else:
        return ""
    told = [f"{result.name} {result.budget.planned_each()[stage]}" for result in results]
    return f"Budgets differ, which favours those with more: {what} are {', '.join(told)}."


def _programs(results: Sequence[ComparisonResult]) -> Iterator[str]:
    """What another program it was that made the others, one sentence for each."""
    first = results[0].record.program
    for result in results[1:]:
        other = result.record.program
        shared = first.source.keys() & other.source.keys() | {ENGINE}
        one, two = (_of_some(each, shared) for each in (first, other))
        if found := one.changes(two):
            yield (
                f"{result.name} was made by another program than {results[0].name}: "
                f"{'; '.join(found)}."
            )


def _of_some(program: Program, names: Collection[str]) -> Program:
    source = {name: digest for name, digest in program.source.items() if name in names}
    return program.model_copy(update={"source": source})
