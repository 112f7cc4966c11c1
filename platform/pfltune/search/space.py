"""Search spaces: what the search may vary and the points that it tries first."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from pydantic import Field

from pfltune.errors import UserError, unknown
from pfltune.knobs import Knob, Value, checked_values, knobs_of
from pfltune.method import Method
from pfltune.registry import all_held, find_method, short_name
from pfltune.settings import Settings, read_yaml, validated
from pfltune.variants import parsed


class Dimension(Settings):
    """One searched knob; what is left out is the knob's own."""

    low: float | None = None
    high: float | None = None
    log: bool | None = None
    choices: tuple[Value, ...] | None = None
    when: dict[str, Value] = Field(default_factory=dict)


class SpaceFile(Settings):
    """The content of a search space's YAML."""

    search: dict[str, Dimension]
    start: tuple[dict[str, Value], ...] = ()


@dataclass(frozen=True)
class SearchSpace:
    """The searched dimensions of one method, checked against its knobs.

    Calling it with an Optuna trial suggests a configuration, knob by knob.

    Attributes:
        dimensions: searched knobs; one with conditions comes after what it depends on.
        start: the points to try first, the published values.
        defaults: the values of the knobs that are not searched.
        fixed: knobs that the user holds at one value.
    """

    dimensions: tuple[Knob, ...]
    start: tuple[dict[str, Value], ...]
    defaults: Mapping[str, Value]
    fixed: Mapping[str, Value]

    @classmethod
    def of(
        cls, owner: type[Method], dimensions: Iterable[Knob], start: Iterable[dict[str, Value]]
    ) -> "SearchSpace":
        """A space over some of a method's knobs; the others keep their defaults."""
        ordered = tuple(sorted(dimensions, key=lambda knob: _depth(knob, knobs_of(owner))))
        searched = {knob.name for knob in ordered}
        rest = {k.name: k.default for k in knobs_of(owner).values() if k.name not in searched}
        return cls(ordered, tuple(start), rest, {})

    def __call__(self, trial: Any) -> None:
        """Suggest every dimension that applies beside those suggested before it."""
        chosen = {**self.defaults, **self.fixed}
        for dimension in self.dimensions:
            if dimension.applies(chosen):
                chosen[dimension.name] = _suggest(trial, dimension)

    def extremes(self) -> Iterator[dict[str, Value]]:
        """Points at the ends of what may change a model's shape: whole numbers, and each choice.

        One knob after the other, beside what it has an effect with; the others at their defaults.
        """
        knobs = {dimension.name: dimension for dimension in self.dimensions}
        for dimension in self.dimensions:
            if dimension.type is float and not dimension.choices:
                continue
            needed = _needed(dimension, knobs)
            point = {**self.fixed, **needed}
            for value in dimension.choices or map(int, (dimension.low or 0, dimension.high or 0)):
                if dimension.applies({**self.defaults, **point}):
                    yield {**point, dimension.name: value}

    def recorded(self) -> dict[str, Any]:
        """As plain data, for the record."""
        ranges = {d.name: d.choices or [d.low, d.high, d.log] for d in self.dimensions}
        return {"search": ranges, "start": list(self.start)}

    def hold(self, fixed: Mapping[str, Value]) -> "SearchSpace":
        """The space with some knobs held; start points keep what still applies, once each.

        Raises:
            UserError: a held knob has an effect only beside values that the search may leave.
        """
        free = self._left(fixed)
        for held in (d for d in self.dimensions if d.name in fixed):
            loose = {name: value for name, value in held.when.items() if name not in fixed}
            if loose.keys() & {d.name for d in free}:
                needs = replace(held, when=loose).needs()
                raise UserError(f"{held.name} can be held only together with {needs}")
        kept: list[dict[str, Value]] = []
        for point in self.start:
            whole = {**self.defaults, **point, **fixed}
            rest = {d.name: point[d.name] for d in free if d.name in point and d.applies(whole)}
            if rest and rest not in kept:
                kept.append(rest)
        return SearchSpace(free, tuple(kept), self.defaults, fixed)

    def _left(self, fixed: Mapping[str, Value]) -> tuple[Knob, ...]:
        """What is still searched beside held knobs: what they rule out is not."""
        left: list[Knob] = []
        known = {**self.defaults, **fixed}
        for dimension in self.dimensions:  # conditions come before what depends on them
            searched = {each.name for each in left}
            settled = {n: v for n, v in dimension.when.items() if n not in searched}
            if dimension.name not in fixed and replace(dimension, when=settled).applies(known):
                left.append(dimension)
        return tuple(left)


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
    path = _space_file(cls)
    if path is not None:
        return check_space(validated(SpaceFile, read_yaml(path), str(path.name)), cls, name)
    parent = next(base for base in cls.__mro__[1:] if issubclass(base, Method))
    return _whole_space(cls) if parent is Method else _inherited(cls, parent)


def _whole_space(cls: type[Method]) -> SearchSpace:
    """All knobs that have a range or choices, the defaults first."""
    dimensions = [knob for knob in knobs_of(cls).values() if _searchable(knob)]
    return SearchSpace.of(cls, dimensions, [_default_point(cls, dimensions)])


def _inherited(cls: type[Method], parent: type[Method]) -> SearchSpace:
    above, theirs = _space_of(parent, parent.__name__), knobs_of(parent)
    searched = {dimension.name: dimension for dimension in above.dimensions}
    same = {name for name, knob in knobs_of(cls).items() if knob.alike(theirs.get(name))}
    dimensions = [
        replace(searched[name], when=knob.when) if name in same else knob
        for name, knob in knobs_of(cls).items()
        if (name in searched if name in same else _searchable(knob))
    ]
    points = [
        _default_point(cls, dimensions, {n: v for n, v in point.items() if n in same})
        for point in above.start or ({},)
    ]
    return SearchSpace.of(cls, dimensions, points)


def _searchable(knob: Knob) -> bool:
    return len(knob.choices or ()) > 1 or None not in (knob.low, knob.high)


def _default_point(
    cls: type[Method], dimensions: Iterable[Knob], given: Mapping[str, Value] | None = None
) -> dict[str, Value]:
    """What is searched at ``given`` values, or else at its default, as far as it has an effect."""
    values = {knob.name: knob.default for knob in knobs_of(cls).values()} | dict(given or {})
    return {d.name: values[d.name] for d in dimensions if d.applies(values)}


def check_space(content: SpaceFile, cls: type[Method], name: str) -> SearchSpace:
    """A file's content as a space of ``cls``, every dimension and start point checked."""
    knobs = knobs_of(cls)
    dimensions = []
    for key, dimension in content.search.items():
        if key not in knobs:
            raise unknown(f"knob of {name} in its search space", key, knobs)
        dimensions.append(_narrowed(knobs[key], dimension, name))
    start = [checked_values(cls, name, point) for point in content.start]
    space = SearchSpace.of(cls, dimensions, start)
    for point in start:
        _check_start(space, point, name)
    return space


def _narrowed(knob: Knob, dimension: Dimension, name: str) -> Knob:
    if dict(knob.when) != dimension.when:
        raise UserError(
            f"search space of {name}: {knob.name} must say when: {dict(knob.when)}, "
            f"as the method does, not {dimension.when}"
        )
    low = knob.low if dimension.low is None else dimension.low
    high = knob.high if dimension.high is None else dimension.high
    for bound in (low, high):
        if bound is not None:
            knob.check(bound, f"search space of {name}")
    offered = knob.choices if dimension.choices is None else dimension.choices
    choices = offered and tuple(knob.check(each, f"search space of {name}") for each in offered)
    if choices is not None and len(set(choices)) < max(2, len(choices)):
        raise UserError(
            f"search space of {name}: {knob.name} needs at least two different choices, "
            f"not {list(choices)}"
        )
    if choices is None and (low is None or high is None or low >= high):
        raise UserError(f"search space of {name}: {knob.name} needs low < high, not {low}, {high}")
    log = knob.log if dimension.log is None else dimension.log
    if log and low is not None and low <= 0:
        raise UserError(
            f"search space of {name}: {knob.name} has log: true, so low must be above 0, not {low}"
        )
    return replace(knob, low=low, high=high, log=log, choices=choices)


def _check_start(space: SearchSpace, point: Mapping[str, Value], name: str) -> None:
    searched = {d.name: d for d in space.dimensions}
    for key, value in point.items():
        if key not in searched:
            raise UserError(f"search space of {name}: start point names {key}, not searched")
        searched[key].check(value, f"start point of {name}")


def _depth(knob: Knob, knobs: Mapping[str, Knob]) -> int:
    """How many conditions stand above a knob."""
    return max((1 + _depth(knobs[name], knobs) for name in knob.when), default=0)


def _needed(knob: Knob, searched: Mapping[str, Knob]) -> dict[str, Value]:
    """The values of other searched knobs beside which a knob has an effect, theirs included."""
    needed: dict[str, Value] = {}
    for name, value in knob.when.items():
        if name in searched:
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
