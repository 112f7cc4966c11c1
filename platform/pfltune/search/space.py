"""Search spaces: what the search may vary and the points that it tries first."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from pfltune.errors import UserError, unknown
from pfltune.federation.searched_settings import is_setting
from pfltune.knobs import Knob, Value, knobs_of, meets, written
from pfltune.method import Method
from pfltune.registry import all_held, find_method, short_name
from pfltune.settings import read_yaml, validated
from pfltune.space_file import Dimension, Point, SpaceFile
from pfltune.variants import parsed
from pfltune.wrapped import made_of
from pfltune.wraps.base import Wrap


@dataclass(frozen=True)
class SearchSpace:
    """The searched dimensions of one method, checked against its knobs.

    Calling it with an Optuna trial suggests a configuration, knob by knob. Only dimensions that can
    have an effect are in it.

    Attributes:
        dimensions: searched knobs; one with conditions comes after what it depends on.
        start: the points to try first, in their order, each with all that applies beside it.
        knobs: all that there are, searched or not, as the method declares them.
        fixed: knobs that the user holds at one value.
        papers: values of a paper or of its authors' code, as they are written there.
        offered: the dimensions, and those that have no effect beside what is held and searched.
    """

    dimensions: tuple[Knob, ...]
    start: tuple[Point, ...]
    knobs: Mapping[str, Knob]
    fixed: Mapping[str, Value] = field(default_factory=dict)
    papers: tuple[Point, ...] = ()
    offered: tuple[Knob, ...] = ()

    @classmethod
    def of(
        cls,
        knobs: Mapping[str, Knob],
        dimensions: Iterable[Knob],
        start: Iterable[Mapping[str, Value]],
        fixed: Mapping[str, Value] | None = None,
        papers: Iterable[Point] = (),
    ) -> "SearchSpace":
        """A space over some knobs; the others keep their defaults, or what they are held at.

        What a start point leaves out has its default, or what of the search is nearest to that.
        """
        ordered = tuple(sorted(dimensions, key=lambda knob: _depth(knob, knobs)))
        bare = cls(ordered, (), knobs, fixed or {}, tuple(papers), ordered)
        able = replace(bare, dimensions=tuple(filter(bare.can_apply, ordered)))
        points: list[Point] = []
        for point in map(able.completed, start):
            if point and point not in points:
                points.append(point)
        return replace(able, start=tuple(points))

    def __call__(self, trial: Any) -> None:
        """Suggest every dimension that applies beside those suggested before it."""
        chosen = self.unsearched
        for dimension in self.dimensions:
            if dimension.applies(chosen):
                chosen[dimension.name] = _suggest(trial, dimension)

    @property
    def searched(self) -> dict[str, Knob]:
        """The dimensions by name."""
        return {dimension.name: dimension for dimension in self.dimensions}

    @property
    def unsearched(self) -> dict[str, Value]:
        """The values of all other knobs."""
        free = self.searched
        defaults = {name: knob.default for name, knob in self.knobs.items() if name not in free}
        return {**defaults, **self.fixed}

    @property
    def published(self) -> tuple[Point, ...]:
        """The start points at which a trial has a paper's values, and no other ones."""
        papers = [self._effective(paper) for paper in self.papers]
        return tuple(p for p in self.start if self._effective({**self.fixed, **p}) in papers)

    def can_apply(self, knob: Knob) -> bool:
        """Whether the search can meet what a knob needs: by what it tries, holds or leaves."""
        return all(self._can_be(self.knobs[name], wanted) for name, wanted in knob.when.items())

    def completed(self, point: Mapping[str, Value]) -> Point:
        """A point with all that applies beside it and nothing else."""
        values, found = self.unsearched, {}
        for each in self.dimensions:
            if each.applies(values):
                value = point[each.name] if each.name in point else nearest(each, each.default)
                values[each.name] = found[each.name] = value
        return found

    def extremes(self) -> Iterator[Point]:
        """Points at the ends of what may change a model's shape: whole numbers, and each choice.

        One knob after the other, beside what it has an effect with; the others at their defaults.
        """
        for dimension in self.dimensions:
            ends = () if dimension.type is float else (dimension.low or 0, dimension.high or 0)
            for value in dimension.choices or map(int, ends):
                point = self.at(dimension, value)
                if point is not None and not is_setting(dimension.name):
                    yield point

    def at(self, dimension: Knob, value: Value) -> Point | None:
        """A value beside what it has an effect with, the rest at its defaults; None if nowhere."""
        point = {**self.fixed, **_needed(dimension, self.searched)}
        applies = dimension.applies({**self.unsearched, **point})
        return {**point, dimension.name: value} if applies else None

    def varied(self) -> Iterator[Knob]:
        """The dimensions with their conditions on each other; those on what is held are met."""
        for each in self.dimensions:
            yield replace(each, when={n: v for n, v in each.when.items() if n in self.searched})

    def recorded(self) -> dict[str, Any]:
        """As plain data, for the record."""
        ranges = {d.name: d.choices or [d.low, d.high, d.log] for d in self.dimensions}
        return {"search": ranges, "start": list(self.start), "published": list(self.published)}

    def hold(self, fixed: Mapping[str, Value]) -> "SearchSpace":
        """The space with some knobs held; start points keep what still applies, once each.

        Raises:
            UserError: a held knob has an effect only beside values that the search may leave.
        """
        free = tuple(d for d in self.offered if d.name not in fixed)
        for held in (knob for name, knob in self.knobs.items() if name in fixed):
            loose = {name: value for name, value in held.when.items() if name not in fixed}
            if loose.keys() & {d.name for d in free}:
                needs = replace(held, when=loose).needs()
                raise UserError(f"{held.name} can be held only together with {needs}")
        return SearchSpace.of(self.knobs, free, self.start, fixed, self.papers)

    def over(
        self, asked: Iterable[Knob], beside: Mapping[str, Knob] | None = None
    ) -> "SearchSpace":
        """The space with these dimensions in place of its own of the same names, or beside them.

        Start points outside of them are dropped; of points that all are, the first one is moved to
        what is nearest to it.

        Args:
            asked: the dimensions.
            beside: knobs that are none of the method's, on which theirs may depend.
        """
        named = {dimension.name: dimension for dimension in asked}
        inside = [point for point in self.start if _lies_in(point, named)]
        moved = [{n: _moved(named.get(n), v) for n, v in p.items()} for p in self.start[:1]]
        needed = {name for knob in named.values() for name in knob.when}
        company = {name: knob for name, knob in (beside or {}).items() if name in needed}
        knobs = {**company, **named, **self.knobs}
        dimensions = {**{d.name: d for d in self.offered}, **named}.values()
        return SearchSpace.of(knobs, dimensions, inside or moved, self.fixed, self.papers)

    def beginning(self, points: Iterable[Mapping[str, object]], name: str) -> "SearchSpace":
        """The space with these start points before its own, each checked as one of a YAML is.

        Raises:
            UserError: a point that it does not search.
        """
        first = [_checked_start(self, point, name) for point in points]
        parts = (self.knobs, self.offered, (*first, *self.start), self.fixed, self.papers)
        return SearchSpace.of(*parts)

    def _effective(self, values: Mapping[str, Value]) -> Point:
        """All values of a trial that have an effect, where the others have their defaults."""
        whole = {name: knob.default for name, knob in self.knobs.items()} | dict(values)
        return {name: v for name, v in whole.items() if self.knobs[name].applies(whole)}

    def _can_be(self, knob: Knob, wanted: Value) -> bool:
        dimension = self.searched.get(knob.name)
        if dimension is None:
            return meets(self.unsearched[knob.name], wanted)
        return dimension.meeting(wanted) is not None and self.can_apply(dimension)


def nearest(knob: Knob, value: Value) -> Value:
    """What of a dimension is nearest to a value; of choices that are no numbers the first."""
    if knob.holds(value):
        return value
    if isinstance(value, str | bool) or knob.type not in (int, float):
        return (knob.choices or (value,))[0]
    if knob.choices is not None:
        return min(knob.choices, key=lambda each: abs(float(each) - value))
    ends = (knob.low, knob.high)
    return knob.type(min((e for e in ends if e is not None), key=lambda each: abs(each - value)))


def _moved(dimension: Knob | None, value: Value) -> Value:
    return value if dimension is None else nearest(dimension, value)


def _lies_in(point: Mapping[str, Value], dimensions: Mapping[str, Knob]) -> bool:
    return all(d.holds(point[name]) for name, d in dimensions.items() if name in point)


def load_space(reference: str) -> SearchSpace:
    """The search space of a method: its YAML, or its parent's, or its knobs over their own ranges.

    What the reference holds is not searched.

    The YAML is looked for in ``pfltune.search_spaces``, then beside the method's module. What a
    method without one inherits as it was is searched as in its parent; a knob that it declares
    itself, over its own range.

    Raises:
        UserError: the file does not fit the method's knobs.
    """
    base = parsed(reference).base
    return _space_of(find_method(base), short_name(base)).hold(all_held(reference, {}))


def _space_of(cls: type[Method], name: str) -> SearchSpace:
    if made_of(cls).wraps:
        return _wrapped_space(cls, name)
    path = _space_file(cls)
    if path is not None:
        return check_space(validated(SpaceFile, read_yaml(path), str(path.name)), cls, name)
    parent = next(base for base in cls.__mro__[1:] if issubclass(base, Method))
    return _whole_space(cls) if parent is Method else _inherited(cls, parent)


def _wrapped_space(cls: type[Method], name: str) -> SearchSpace:
    """The method's own space with those of its wraps; each start point with each of theirs.

    No paper's values are among them: it did not wrap the method.
    """
    made, knobs = made_of(cls), knobs_of(cls)
    own = _space_of(made.method, name)
    dimensions, points = list(own.offered), [dict(point) for point in own.start or ({},)]
    for wrap in made.wraps:
        content = _space_of_wrap(wrap.cls)
        for key, each in content.search.items():
            if wrap.knob(key) not in knobs:
                raise unknown(f"knob of {wrap.short} in its search space", key, knobs_of(wrap.cls))
            meant = each.model_copy(update={"when": wrap.renamed(each.when)})
            where = f"search space of {wrap.short}"
            dimensions.append(narrowed(knobs[wrap.knob(key)], meant, where))
        theirs = [*map(wrap.renamed, (*content.published, *content.start))] or [{}]
        points = [{**point, **start} for point in points for start in theirs]
    bare = SearchSpace.of(knobs, dimensions, ())
    return SearchSpace.of(knobs, dimensions, [_checked_start(bare, p, name) for p in points])


def _space_of_wrap(cls: type[Wrap]) -> SpaceFile:
    """The YAML beside its file that has its name in lower case, or all that has a range."""
    path = Path(inspect.getfile(cls)).with_name(f"{cls.__name__.lower()}.yaml")
    if path.is_file():
        return validated(SpaceFile, read_yaml(path), path.name)
    ranges = {name: knob for name, knob in knobs_of(cls).items() if _searchable(knob)}
    return SpaceFile(search={n: Dimension(when=dict(knob.when)) for n, knob in ranges.items()})


def _whole_space(cls: type[Method]) -> SearchSpace:
    """All knobs that have a range or choices, the defaults first."""
    knobs = knobs_of(cls)
    return SearchSpace.of(knobs, filter(_searchable, knobs.values()), [{}])


def _inherited(cls: type[Method], parent: type[Method]) -> SearchSpace:
    above, theirs = _space_of(parent, parent.__name__), knobs_of(parent)
    searched = {dimension.name: dimension for dimension in above.offered}
    same = {name for name, knob in knobs_of(cls).items() if knob.alike(theirs.get(name))}
    dimensions = [
        replace(searched[name], when=knob.when) if name in same else knob
        for name, knob in knobs_of(cls).items()
        if (name in searched if name in same else _searchable(knob))
    ]
    points = [{n: v for n, v in point.items() if n in same} for point in above.start or ({},)]
    return SearchSpace.of(knobs_of(cls), dimensions, points)


def _searchable(knob: Knob) -> bool:
    return len(knob.choices or ()) > 1 or None not in (knob.low, knob.high)


def check_space(content: SpaceFile, cls: type[Method], name: str) -> SearchSpace:
    """A file's content as a space of ``cls``, every dimension and start point checked."""
    knobs = knobs_of(cls)
    for key in content.search:
        if key not in knobs:
            raise unknown(f"knob of {name} in its search space", key, knobs)
    where = f"search space of {name}"
    dimensions = [narrowed(knobs[key], each, where) for key, each in content.search.items()]
    space = SearchSpace.of(knobs, dimensions, ())
    for each in dimensions:
        if each.name not in space.searched:
            raise UserError(f"{where}: {each.name} has no effect; it needs {each.needs()}")
    papers, start = (
        [_checked_start(space, point, name) for point in points]
        for points in (content.published, content.start)
    )
    return SearchSpace.of(knobs, dimensions, [*papers, *start], papers=papers)


def narrowed(knob: Knob, dimension: Dimension, where: str) -> Knob:
    """A knob over the part of its values that a dimension names.

    Args:
        knob: as its method declares it.
        dimension: what is searched of it.
        where: what says so, for a message.

    Raises:
        UserError: that is no part of it, or nothing to search.
    """
    if dict(knob.when) != dimension.when:
        raise UserError(
            f"{where}: {knob.name} must say when: {dict(knob.when)}, "
            f"as the method does, not {dimension.when}"
        )
    if dimension.choices is not None or knob.choices is not None:
        return _choosing(knob, dimension, where)
    low = knob.low if dimension.low is None else dimension.low
    high = knob.high if dimension.high is None else dimension.high
    for bound in (low, high):
        if bound is not None:
            knob.check(bound, where)
    if low is None or high is None or low >= high:
        raise UserError(f"{where}: {knob.name} needs low < high, not {low}, {high}")
    log = knob.log if dimension.log is None else dimension.log
    if log and low <= 0:
        raise UserError(f"{where}: {knob.name} has log: true, so low must be above 0, not {low}")
    return replace(knob, low=low, high=high, log=log)


def _choosing(knob: Knob, dimension: Dimension, where: str) -> Knob:
    bounds = [bound for bound in (dimension.low, dimension.high) if bound is not None]
    if bounds and knob.choices is not None:
        knob.check(bounds[0], where)
        told = ", ".join(map(written, knob.choices))
        raise UserError(f"{where}: {knob.name} has choices, not a range; give some of {told}")
    if bounds or dimension.log is not None:
        raise UserError(f"{where}: {knob.name} has choices, so that it has neither range nor log")
    offered = knob.choices if dimension.choices is None else dimension.choices
    choices = tuple(knob.check(each, where) for each in offered or ())
    if len(set(choices)) < max(2, len(choices)):
        raise UserError(
            f"{where}: {knob.name} needs at least two different choices, not {list(choices)}"
        )
    return replace(knob, choices=choices)


def _checked_start(space: SearchSpace, point: Mapping[str, object], name: str) -> Point:
    """A start point in the types of its knobs; what is held as it says is left out.

    Raises:
        UserError: it names what is not searched, a value outside, or one without an effect.
    """
    own = {key: v for key, v in point.items() if not _is_held(space, key, v)}
    for key in own:
        if key not in space.knobs:
            raise unknown(f"knob of {name} in its start point", key, space.knobs)
        space.knobs[key].check(own[key], f"start point of {name}")
        if key not in space.searched:
            raise UserError(f"search space of {name}: start point names {key}, not searched")
    found = {key: space.searched[key].check(v, f"start point of {name}") for key, v in own.items()}
    whole = {**space.unsearched, **{n: d.default for n, d in space.searched.items()}, **found}
    for key in found:
        if not space.searched[key].applies(whole):
            needs = space.searched[key].needs()
            raise UserError(f"{name}: {key}={found[key]!r} has no effect; it needs {needs}")
    return found


def _is_held(space: SearchSpace, name: str, value: object) -> bool:
    return name in space.fixed and space.knobs[name].typed(value) == space.fixed[name]


def _depth(knob: Knob, knobs: Mapping[str, Knob]) -> int:
    """How many conditions stand above a knob."""
    return max((1 + _depth(knobs[name], knobs) for name in knob.when), default=0)


def _needed(knob: Knob, searched: Mapping[str, Knob]) -> dict[str, Value]:
    """The values of other searched knobs beside which a knob has an effect, theirs included."""
    needed: dict[str, Value] = {}
    for name, wanted in knob.when.items():
        value = searched[name].meeting(wanted) if name in searched else None
        if value is not None:
            needed |= {name: value, **_needed(searched[name], searched)}
    return needed


def _suggest(trial: Any, knob: Knob) -> Value:
    if knob.choices is not None:
        return trial.suggest_categorical(knob.name, knob.choices)
    if knob.type is int:
        assert knob.low is not None
        assert knob.high is not None
        return trial.suggest_int(knob.name, int(knob.low), int(knob.high), log=knob.log)
    return trial.suggest_float(knob.name, knob.low, knob.high, log=knob.log)


def _space_file(cls: type[Method]) -> Path | None:
    package, _, module = cls.__module__.rpartition(".")
    built_in = files("pfltune.search_spaces").joinpath(f"{module}.yaml")
    if package == "pfltune.methods" and built_in.is_file():
        with as_file(built_in) as path:
            return Path(path)
    beside = Path(inspect.getfile(cls)).with_suffix(".yaml")
    return beside if beside.is_file() else None
