"""What ``fedperfix@NAME`` holds: the configuration that the search of a method chose in NAME.

It is looked up once, when something is begun; from then on the record has the values, so that going
on with it does not need NAME any more.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pfltune.budget import Budget, why_none
from pfltune.draws import refuse_several
from pfltune.errors import UserError, unknown
from pfltune.federation.searched_settings import without_settings
from pfltune.front import fronted, letter_of
from pfltune.knobs import Value, checked_values, defaults_of, knobs_of
from pfltune.record import RECORD, Record, Tuned, flat, read_record
from pfltune.registry import canonical, find_method, short_name
from pfltune.replays import refuse_replay
from pfltune.running.folder_lock import checked_name
from pfltune.scenario import Scenario
from pfltune.text import in_short
from pfltune.tracking.events import MethodEnded, TrialStarted
from pfltune.tracking.journal import Journal
from pfltune.variants import Reference, parsed

WORDS = ("name", "title", "about", "published")
"""Parts of a scenario that move no figure."""
SHOWN = 3
OF_FRONT = ":"
"""What stands between NAME and the letter of a configuration of a front: ``fedperfix@NAME:b``."""


@dataclass(frozen=True)
class Chosen:
    """All values of a method, and whose search chose them.

    Attributes:
        values: of every knob that has an effect.
        origin: the search.
    """

    values: Mapping[str, Value]
    origin: Tuned


def chosen(
    reference: str,
    results: Path,
    given: Mapping[str, object] | None = None,
    scenario: Scenario | None = None,
) -> Chosen:
    """What a reference with ``@NAME`` stands for.

    Settings of the scenario that were searched in NAME are no values of the method: where they are
    others here, the scenario is another one.

    Args:
        reference: of a method, tuned elsewhere.
        results: the results folder, which NAME is in.
        given: knobs that are held at another value, beside those in the reference's brackets.
        scenario: on which it is wanted; None for none in particular.

    Raises:
        UserError: NAME or its method is not there, its search has not ended or chose nothing, or
            the method cannot hold these values.
    """
    known = parsed(canonical(reference))
    name, _, letter = known.tuned_in.partition(OF_FRONT)
    record = _record(name, results)
    method = _method_in(record, known)
    origin, best = _choice(record, short_name(method), results / record.name, letter)
    there = record.scenario.under(best)
    origin = origin.model_copy(update={"differs": _differs(there, scenario)})
    every = without_settings({**record.defaults.get(origin.method, {}), **best})
    return Chosen(_whole(reference, every, {**known.held, **(given or {})}), origin)


def all_chosen(
    references: Iterable[str],
    results: Path,
    fixed: Mapping[str, Mapping[str, Value]],
    scenario: Scenario,
    before: Record | None,
) -> dict[str, Chosen]:
    """The same for those of several methods that are tuned elsewhere, by short name.

    Args:
        references: of the methods, others too.
        results: the results folder.
        fixed: knobs that the user holds, by short name.
        scenario: on which they are wanted.
        before: the record of what goes on, if something does; what it has is not looked up again.

    Raises:
        UserError: see :func:`chosen`.
    """
    found = {}
    for reference in filter(_is_tuned, map(canonical, references)):
        name = short_name(reference)
        given = fixed.get(name, {})
        if before is not None and name in before.tuned:
            found[name] = Chosen({**before.fixed[name], **given}, before.tuned[name])
        else:
            found[name] = chosen(reference, results, given, scenario)
    return found


def values_of(
    reference: str,
    results: Path,
    given: Mapping[str, Any],
    scenario: Scenario | None = None,
    warn: Callable[[str], object] = print,
) -> Mapping[str, Any]:
    """The knobs that are given, and with ``@NAME`` all others as they were chosen there.

    Args:
        reference: of any method.
        results: the results folder.
        given: knobs that are held.
        scenario: on which it is wanted; None for none in particular.
        warn: is told if they were chosen on another scenario.

    Raises:
        UserError: see :func:`chosen`.
    """
    if not _is_tuned(reference):
        return given
    found = chosen(reference, results, given, scenario)
    for warning in warnings({short_name(reference): found.origin}):
        warn(warning)
    return found.values


def warnings(tuned: Mapping[str, Tuned]) -> Iterator[str]:
    """Which methods have values that were chosen on another scenario, a line each."""
    for method, origin in tuned.items():
        if origin.differs:
            yield f"{method}: {origin.name} chose it on another scenario: {origin.differs}"


def _is_tuned(reference: str) -> bool:
    return bool(parsed(reference).tuned_in)


def _record(name: str, results: Path) -> Record:
    refuse_several(results / checked_name(name))
    refuse_replay(results / checked_name(name))
    record = read_record(results / name)
    if record is None:
        there = sorted(path.parent.name for path in results.glob(f"*/{RECORD}"))
        if not there:
            raise UserError(f"there is no comparison {name!r}, and none at all in {results}")
        raise unknown("comparison", name, there)
    if record.command not in ("compare", "tune"):
        raise UserError(
            f"{name} has chosen no configuration of a method: it was run by pfltune "
            f"{record.command}"
        )
    return record


def _method_in(record: Record, known: Reference) -> str:
    """The method of a record that a reference means: the very same, or the only one of its kind.

    One that was not wrapped there in any way is the method without wraps.

    Raises:
        UserError: there is none, or several.
    """
    exact = known.there.name
    names = {short_name(method): method for method in record.methods}
    alike = [name for name, method in names.items() if parsed(method).base_name == known.base_name]
    if known.wraps and not alike:
        return _method_in(record, replace(known, base=known.method))
    if exact not in names and not known.searched and len(alike) == 1:
        exact = alike[0]
    if exact in record.tuned:
        origin = record.tuned[exact]
        raise UserError(
            f"{record.name} took its values of {known.base_name} from another search: write "
            f"{origin.method}@{origin.name}"
        )
    if exact in names:
        return names[exact]
    if alike:
        offered = " or ".join(f"{name}@{record.name}" for name in alike if "@" not in name)
        raise UserError(f"{record.name} has no {exact}; write {offered}")
    raise unknown(f"method of {record.name}", exact, names)


def _choice(
    record: Record, method: str, folder: Path, letter: str
) -> tuple[Tuned, Mapping[str, Value]]:
    """The search of a method, and what it chose.

    Args:
        record: of the search.
        method: its short name there.
        folder: of the search.
        letter: of a configuration of its front; empty for the only one.

    Raises:
        UserError: it has not ended, every trial failed, or it chose several and none is named.
    """
    events = Journal(folder / record.journal, record.seal).events
    started = [e for e in events if isinstance(e, TrialStarted) and e.method == method]
    searched = sum(event.stage == "search" for event in started)
    origin = Tuned(name=record.name, id=record.id, method=method, trials=searched)
    # What is tested has been chosen, also while the method still has trials to come; of several
    # studies only their end says which of them chose best, and of a front how many there are.
    fronts = isinstance(record.budget, Budget) and record.budget.several
    confirmed = fronted(started, lambda event: event) if fronts else ()
    found = {letter_of(place): own[0].knobs for place, own in enumerate(confirmed)}
    if letter in found:
        return origin, found[letter]
    if letter or len(found) > 1:
        raise UserError(_which(record.name, method, letter, found))
    several = fronts or (isinstance(record.budget, Budget) and record.budget.studies > 1)
    for event in started:
        if event.stage == "confirm" and not several:
            return origin, event.knobs
    ends = [e for e in events if isinstance(e, MethodEnded) and e.method == method]
    if not ends:
        raise UserError(
            f"the search of {method} in {record.name} has not ended; go on with it: pfltune "
            f"{record.command} --resume {record.name}"
        )
    if ends[-1].best is None:
        raise UserError(f"{record.name} has chosen nothing for {method}: {why_none(record.budget)}")
    return origin, ends[-1].best


def _which(name: str, method: str, letter: str, found: Mapping[str, Mapping[str, Value]]) -> str:
    """Why a configuration of a front must be named, or cannot be."""
    offered = "; ".join(
        f"{method}@{name}{OF_FRONT}{each} ({in_short(knobs)})" for each, knobs in found.items()
    )
    if not found:
        return f"{name} has no front of {method}, so that there is no {OF_FRONT}{letter}"
    why = f"has no configuration {letter}" if letter else f"chose {len(found)} configurations"
    return f"{name} {why} of {method}, its front: write {offered}"


def _whole(
    reference: str, there: Mapping[str, Value], here: Mapping[str, object]
) -> dict[str, Value]:
    """All values that have an effect; what is said here goes before what was chosen there."""
    cls, name = find_method(reference), short_name(reference)
    knobs = knobs_of(cls)
    typed = {knob: knobs[knob].check(v, name) if knob in knobs else v for knob, v in here.items()}
    every = {**defaults_of(cls), **there, **typed}
    wanted = {
        knob: value
        for knob, value in every.items()
        if knob in here or knob not in knobs or knobs[knob].applies(every)
    }
    return checked_values(cls, name, wanted)


def _differs(there: Scenario, here: Scenario | None) -> str:
    """In what a scenario is another, in words; empty if it is not."""
    if here is None:
        return ""
    one, other = (dict(flat(_content(scenario))) for scenario in (there, here))
    changed = [key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)]
    told = [f"{key} was {one.get(key)}, is {other.get(key)}" for key in changed[:SHOWN]]
    more = [f"and {len(changed) - SHOWN} more"] if len(changed) > SHOWN else []
    return "; ".join(told + more)


def _content(scenario: Scenario) -> dict[str, Any]:
    return {key: value for key, value in scenario.by_content().items() if key not in WORDS}
