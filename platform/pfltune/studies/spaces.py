"""The search space of each method of a job: its own, with what is asked for, held to the backbone.

What is asked for has the names of the command line, see :class:`pfltune.space_file.SpaceOptions`:
``KNOB`` is for every method that can search it, ``METHOD.KNOB`` for one, and
``protocol.local_epochs`` and the like are settings of the scenario.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pfltune.errors import UserError, unknown
from pfltune.federation.federation import Rounds
from pfltune.federation.searched_settings import SECTION, is_setting, setting_knobs
from pfltune.knobs import ABOVE_0, Knob, Value, knobs_of, written
from pfltune.registry import all_held, find_method, make_method, short_name
from pfltune.scenario import Scenario
from pfltune.search.space import SearchSpace, check_space, load_space, narrowed, nearest
from pfltune.search.space_text import dimension_of, search_hint, specified
from pfltune.settings import read_yaml, validated
from pfltune.space_file import Dimension, Point, SpaceFile, SpaceOptions
from pfltune.variants import parsed

OF_PLAIN_SGD = tuple(f"{SECTION}.optimizer.{name}" for name in ("kind", "momentum"))
"""Settings of which plain SGD has one value."""

BATCH_SIZE = f"{SECTION}.batch_size"


@dataclass(frozen=True)
class Asked:
    """One ``--search``.

    Attributes:
        name: as it was given.
        method: whose it is; empty for all that can search it.
        knob: which knob or setting.
        dimension: over what.
    """

    name: str
    method: str
    knob: str
    dimension: Dimension

    @classmethod
    def of(cls, name: str, dimension: Dimension) -> "Asked":
        """``fedrep.protocol.batch_size`` in its parts."""
        method, found, setting = f".{name}".rpartition(f".{SECTION}.")
        if found:
            return cls(name, method[1:], f"{SECTION}.{setting}", dimension)
        method, _, knob = name.rpartition(".")
        return cls(name, method, knob, dimension)


def space_options(options: Mapping[str, Any], methods: Sequence[str]) -> SpaceOptions:
    """What options say of search spaces.

    Args:
        options: ``search``, ``space`` and ``start`` of a job, each of which may be empty.
        methods: short names of the job's methods.

    Raises:
        UserError: it cannot be read.
    """
    start = tuple(dict(point) for point in options["start"] or ())
    spaces = _files(options["space"], methods) if options["space"] else {}
    search = _dimensions(options["search"] or {})
    return validated(SpaceOptions, {"search": search, "spaces": spaces, "start": start}, "--start")


def held_of(reference: str, fixed: Mapping[str, object]) -> dict[str, Value]:
    """What a method holds and is held at, see :func:`pfltune.registry.all_held`.

    Raises:
        UserError: it cannot be; of several values it says how they are searched.
    """
    try:
        return all_held(reference, fixed)
    except UserError as error:
        knobs = knobs_of(find_method(reference))
        hints = [search_hint(knobs[name], value) for name, value in fixed.items() if name in knobs]
        if hint := next(filter(None, hints), ""):
            raise UserError(f"{error}; to search: {hint}") from None
        raise


def asked_spaces(
    held: Mapping[str, Mapping[str, Value]],
    protocol: Rounds,
    options: SpaceOptions,
    clients: int | None = None,
) -> dict[str, SearchSpace]:
    """The search space of each method.

    Args:
        held: knobs that are held at one value, by reference.
        protocol: the scenario's.
        options: what is asked for.
        clients: how many train; the most that can be sampled.

    Raises:
        UserError: something that is asked for is not possible, or no method can do it.
    """
    settings = setting_knobs(protocol, clients)
    asked = _asked(options)
    for each in asked:
        _see_target(each, held, settings)
    spaces = {method: _base(method, options) for method in held}
    for method, space in spaces.items():
        named = {e.knob: e for e in asked if _takes(method, e, held[method], settings)}
        over = [_over(method, each, settings) for each in named.values()]
        spaces[method] = space.over(over, settings).hold(held[method])
        _see_plain(method, spaces[method])
    for each in asked:
        _see_searched(each, spaces)
    return _begun(spaces, options.start)


def _see_plain(method: str, space: SearchSpace) -> None:
    """See that the optimizer of a method is not searched that needs plain SGD.

    Raises:
        UserError: it is.
    """
    searched = [d.name for d in space.dimensions if d.name in OF_PLAIN_SGD]
    points = [space.fixed, *space.extremes()]
    if searched and any(make_method(method, point).needs_plain_sgd for point in points):
        raise UserError(
            f"{short_name(method)} reads gradients off the steps of plain SGD, so "
            f"{searched[0]} cannot be searched for it; others search it by their names, as in "
            f"fedavg.{searched[0]}=…"
        )


def lost_points(spaces: Mapping[str, SearchSpace], options: SpaceOptions) -> tuple[str, ...]:
    """Which start points of methods lie outside of what is asked for, a line each."""
    told = []
    for method, space in spaces.items():
        start = _base(method, options).start
        lost = [found for found in (_outside(point, space) for point in start) if found]
        for number, found in enumerate(lost):
            at = {name: nearest(space.searched[name], value) for name, value in found.items()}
            moves = number == 0 and len(lost) == len(start)
            end = f"it is moved to {_told(at)}" if moves else "it is left out"
            line = f"{short_name(method)}: the start point with {_told(found)} is not searched"
            told.append(f"{line}: {end}")
    return tuple(told)


def fitted(
    spaces: Mapping[str, SearchSpace], scenario: Scenario, options: SpaceOptions
) -> tuple[dict[str, SearchSpace], tuple[str, ...]]:
    """The spaces without what the backbone cannot hold of ranges that nobody chose, and what went.

    A range that a method declares is meant for any backbone; one that somebody wrote is not changed
    and is refused before the first trial, see :meth:`Job.firsts`.
    """
    found, told = dict(spaces), []
    chosen = {each.knob for each in _asked(options)}
    for method, space in spaces.items():
        for dimension in space.dimensions:
            if dimension.name in chosen or short_name(method) in options.spaces:
                continue
            highest = _highest(method, space, dimension, scenario)
            if highest is not None:
                found[method] = found[method].over([replace(dimension, high=highest)])
                told.append(
                    f"{short_name(method)}: {dimension.name} is searched from {dimension.low} to "
                    f"{highest}, since the backbone cannot hold {dimension.high}"
                )
    return found, tuple(told)


def _dimensions(search: Mapping[str, Any] | Sequence[str]) -> dict[str, Dimension]:
    if isinstance(search, Mapping):
        return {name: specified(name, spec) for name, spec in search.items()}
    found: dict[str, Dimension] = {}
    for text in search:
        name, dimension = dimension_of(text)
        if name in found:
            raise UserError(f"--search names {name} twice")
        found[name] = dimension
    return found


def _files(space: str | Path | Mapping[str, Any], methods: Sequence[str]) -> dict[str, SpaceFile]:
    """One space for the only method, or spaces by short name."""
    where = "space" if isinstance(space, Mapping) else str(space)
    content = space if isinstance(space, Mapping) else read_yaml(Path(space))
    if "search" in content:
        if len(methods) > 1:
            raise UserError(
                f"{where} holds one search space, and there are {len(methods)} methods: put each "
                f"below its method, {', '.join(methods)}"
            )
        content = {methods[0]: content}
    for name in content:
        if name not in methods:
            raise unknown(f"method of {where}", name, methods)
    return {name: validated(SpaceFile, each, f"{where}, {name}") for name, each in content.items()}


def largest(scenario: Scenario, spaces: Mapping[str, SearchSpace]) -> Scenario:
    """The scenario with the largest batches that are searched, by which room is measured."""
    found = (space.searched.get(BATCH_SIZE) for space in spaces.values())
    sizes = [size for knob in found if knob for size in knob.choices or (knob.high or 1,)]
    return with_batches(scenario, {BATCH_SIZE: sizes})


def with_batches(scenario: Scenario, varied: Mapping[str, Sequence[Value]]) -> Scenario:
    """The scenario with the largest batches among values of settings that are varied."""
    sizes = map(int, varied.get(BATCH_SIZE, ()))
    changed = {"batch_size": max(sizes, default=scenario.protocol.batch_size)}
    return scenario.model_copy(update={"protocol": scenario.protocol.model_copy(update=changed)})


def _asked(options: SpaceOptions) -> list[Asked]:
    """What is to be searched; what is for one method comes last, and so holds."""
    found = [Asked.of(name, dimension) for name, dimension in options.search.items()]
    return sorted(found, key=lambda each: bool(each.method))


def _base(method: str, options: SpaceOptions) -> SearchSpace:
    """A method's space before anything is held."""
    given = options.spaces.get(short_name(method))
    if given is None:
        return load_space(parsed(method).base)
    return check_space(given, find_method(method), short_name(method))


def _see_target(
    asked: Asked, held: Mapping[str, Mapping[str, Value]], settings: Mapping[str, Knob]
) -> None:
    """See that there is what is to be searched.

    Raises:
        UserError: there is no such method, setting or knob.
    """
    if asked.method.partition(".")[0] in Scenario.model_fields or is_setting(asked.knob):
        if asked.knob not in settings:
            raise UserError(
                f"--search {asked.name}: of the scenario {', '.join(settings)} can be searched; "
                "-o changes the others, and compares several values of one"
            )
        if not asked.method:
            return
    names = {short_name(method): method for method in held}
    if asked.method and asked.method not in names:
        raise unknown(f"method in --search {asked.name}", asked.method, names)
    of = [names[asked.method]] if asked.method else list(held)
    knobs = {name for method in of for name in knobs_of(find_method(method))}
    if not is_setting(asked.knob) and asked.knob not in knobs:
        whose = asked.method or ", ".join(names)
        raise unknown(f"knob of {whose} in --search", asked.knob, knobs)


def _takes(
    method: str, asked: Asked, held: Mapping[str, Value], settings: Mapping[str, Knob]
) -> bool:
    """Whether a method has the knob, free to be searched."""
    is_meant = asked.method in ("", short_name(method))
    known = knobs_of(find_method(method)).keys() | settings.keys()
    return is_meant and asked.knob in known and asked.knob not in held


def _over(method: str, asked: Asked, settings: Mapping[str, Knob]) -> Knob:
    knob = {**knobs_of(find_method(method)), **settings}[asked.knob]
    given = asked.dimension.model_copy(update={"when": asked.dimension.when or dict(knob.when)})
    return narrowed(knob, given, f"--search {asked.name}: {short_name(method)}")


def _see_searched(asked: Asked, spaces: Mapping[str, SearchSpace]) -> None:
    """See that some method searches what is asked for.

    Raises:
        UserError: none does; says why not.
    """
    meant = {m: s for m, s in spaces.items() if asked.method in ("", short_name(m))}
    if any(asked.knob in space.searched for space in meant.values()):
        return
    space = next(space for space in meant.values() if asked.knob in space.knobs)
    if asked.knob in space.fixed:
        held = f"{asked.knob}={written(space.fixed[asked.knob])}"
        raise UserError(f"--search {asked.name}: {held} is held, so that it cannot be searched")
    knob, flag = space.knobs[asked.knob], "-o" if is_setting(asked.knob) else "--set"
    values = {name: "…" if wanted == ABOVE_0 else wanted for name, wanted in knob.when.items()}
    flags = " ".join(f"{flag} {name}={written(value)}" for name, value in values.items())
    raise UserError(
        f"--search {asked.name}: it has no effect beside what is held and searched; it needs "
        f"{knob.needs()}: give {flags}"
    )


def _begun(spaces: Mapping[str, SearchSpace], start: Sequence[Point]) -> dict[str, SearchSpace]:
    """The spaces with start points, each in all methods that search what it names."""
    first = next(iter(spaces))  # says what is wrong with a point that no method takes
    own: dict[str, list[Point]] = {method: [] for method in spaces}
    for point in start:
        able = [m for m, s in spaces.items() if point.keys() <= s.searched.keys() | s.fixed.keys()]
        for method in able or [first]:
            own[method].append(point)
    return {m: space.beginning(own[m], short_name(m)) for m, space in spaces.items()}


def _outside(point: Point, space: SearchSpace) -> Point:
    """What of a start point is searched elsewhere."""
    free = space.searched
    return {n: value for n, value in point.items() if n in free and not free[n].holds(value)}


def _told(values: Mapping[str, Value]) -> str:
    return ", ".join(f"{name}={written(value)}" for name, value in values.items())


def _highest(method: str, space: SearchSpace, dimension: Knob, scenario: Scenario) -> int | None:
    """The highest value that fits a backbone; None where all do, none, or somebody chose the range.

    Found by halving: what holds a value holds smaller ones.
    """
    declared = space.knobs[dimension.name]
    if dimension.type is not int or dimension != declared or dimension.choices is not None:
        return None
    low, high = int(dimension.low or 0), int(dimension.high or 0)
    if _fits(method, space, dimension, high, scenario) or not _fits(
        method, space, dimension, low, scenario
    ):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        fits = _fits(method, space, dimension, middle, scenario)
        low, high = (middle, high) if fits else (low, middle)
    return low if low > int(dimension.low or 0) else None


def _fits(method: str, space: SearchSpace, dimension: Knob, value: int, scenario: Scenario) -> bool:
    point = space.at(dimension, value)
    try:
        scenario.check([] if point is None else [make_method(method, point)])
    except UserError:
        return False
    return True
