"""What to try next, with the command that does it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pfltune.knobs import Value
from pfltune.report.dimensions import is_number
from pfltune.report.searching import Edge
from pfltune.report.tuning.commands import ground, held, line, method_word, searched
from pfltune.report.tuning.tuned import Tuned
from pfltune.report.tuning.words import shown
from pfltune.space_file import AS_METHODS_SAY

STEP = 3.0
"""By what a logarithmic knob is varied: about half a decade."""
FEW_PER_KNOB = 5
"""Search trials per searched knob below which more trials say most."""


@dataclass(frozen=True)
class Advice:
    """A next step.

    Attributes:
        why: in a sentence.
        command: that does it.
    """

    why: str
    command: str


def advice(tuned: Tuned) -> Advice | None:
    """The step that promises most; None while nothing is chosen."""
    if not tuned.method.best or tuned.result.is_partial:
        return None
    for step in (_wider, _more, _around):
        if (found := step(tuned)) is not None:
            return found
    return _against_others(tuned)


def _wider(tuned: Tuned) -> Advice | None:
    """Beyond the end of a range at which the best value lies."""
    if not tuned.search.edges:
        return None
    edges = tuned.search.edges
    wider = [word for edge in edges for word in ("--search", f"{edge.knob}={_beyond(edge)}")]
    kept = {name: told for name, told in _asked(tuned).items() if name not in _knobs_of(edges)}
    why = f"{'; '.join(edge.words for edge in edges)}: a wider range may hold a better value."
    return Advice(why, _tune(tuned, [*searched(kept), *wider]))


def _more(tuned: Tuned) -> Advice | None:
    trials = len(tuned.method.searched)
    few = FEW_PER_KNOB * len(tuned.knobs)
    if trials >= few and tuned.learned.surrogate is not None:
        return None
    why = (
        f"{trials} trials over {len(tuned.knobs)} knobs say little."
        if trials < few
        else "The trials do not say yet how the knobs act."
    )
    return Advice(why, line("extend", tuned.result.name, "--trials", str(2 * trials)))


def _around(tuned: Tuned) -> Advice | None:
    """A grid with seeds over what is not told apart."""
    knobs = tuned.pair or tuned.knobs[:1]
    rest = {name: value for name, value in tuned.method.best.items() if name not in knobs}
    there = ground(tuned.result.record, knobs=rest)
    if not knobs or there is None or not tuned.learned.equals:
        return None
    over = [word for knob in knobs for word in ("--over", f"{knob}={_neighbours(tuned, knob)}")]
    words = ["grid", _method(tuned), *there, *_held_shortly(rest), *over, "--seeds", "3"]
    return Advice("Several configurations are as good: a grid with seeds says more.", line(*words))


def _against_others(tuned: Tuned) -> Advice | None:
    there = ground(tuned.result.record)
    if there is None:
        return None
    methods = f"{_method(tuned)}@{tuned.result.name},fedavg,local"
    why = "How good that is, other methods with the same budget say."
    return Advice(why, line("compare", "--methods", methods, *there))


def _asked(tuned: Tuned) -> Mapping[str, Any]:
    """What is searched, if it was said and is not as the method says."""
    return {} if tuned.result.record.space_options == AS_METHODS_SAY else tuned.space


def _knobs_of(edges: Sequence[Edge]) -> set[str]:
    return {edge.knob for edge in edges}


def _tune(tuned: Tuned, more: Sequence[str]) -> str:
    there = ground(tuned.result.record) or []
    trials = ["--trials", str(tuned.result.budget.trials)]
    return line("tune", _method(tuned), *there, *held(tuned.held), *more, *trials)


def _method(tuned: Tuned) -> str:
    return method_word(tuned.result.record, tuned.method.name)


def _held_shortly(values: Mapping[str, Value]) -> list[str]:
    return held({name: shown(value) for name, value in values.items()})


def _beyond(edge: Edge) -> str:
    """A range, or choices, about a value at an end: as far inwards as it can say, and outwards."""
    if len(edge.searched) > 2:
        return ",".join(map(shown, _continued(edge)))
    low, high = _around_end(edge)
    kept = [_rounded(each, edge.value) for each in _within((low, high), edge)]
    return ":".join([*map(shown, kept), *(["log"] if edge.log else [])])


def _around_end(edge: Edge) -> tuple[float, float]:
    if edge.log:
        return edge.value / STEP, edge.value * STEP
    width = (max(edge.searched) - min(edge.searched)) / 2
    inwards, outwards = width / 2, width
    if edge.end == "lowest":
        inwards, outwards = outwards, inwards
    return edge.value - inwards, edge.value + outwards


def _continued(edge: Edge) -> list[float]:
    """The two choices at an end and the one that would come next."""
    ordered = sorted(edge.searched)
    near, end = ordered[-2:] if edge.end == "highest" else (ordered[1], ordered[0])
    further = end * end / near if near * end > 0 else 2 * end - near
    (allowed,) = _within([further], edge)
    return sorted({near, end, _rounded(allowed, edge.value)})


def _within(values: Sequence[float], edge: Edge) -> list[float]:
    if edge.limit is None:
        return list(values)
    clip = max if edge.end == "lowest" else min
    return [clip(each, edge.limit) for each in values]


def _neighbours(tuned: Tuned, knob: str) -> str:
    """The best value of a knob between two others, or all choices of one without an order."""
    value, searched = tuned.method.best.get(knob), tuned.space.get(knob, ())
    if not is_number(value):
        return ",".join(shown(each) for each in searched)
    low, high = tuned.result.record.limits.get(tuned.method.name, {}).get(knob, (None, None))
    about = (value / STEP, value, value * STEP) if value else (-1, 0, 1)
    kept = (_rounded(min(max(x, _or(low, x)), _or(high, x)), value) for x in about)
    return ",".join(shown(each) for each in sorted(set(kept)))


def _or(value: float | None, instead: float) -> float:
    return instead if value is None else value


def _rounded(number: float, like: Value) -> float:
    """As a knob of that type takes it, with one digit."""
    return round(number) if isinstance(like, int) else float(f"{number:.1g}")
