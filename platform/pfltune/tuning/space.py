"""Search spaces: what the search may vary and the points that it tries first."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from pydantic import Field

from pfltune.errors import UserError, unknown
from pfltune.knobs import Knob, Value, checked_values, knobs_of
from pfltune.method import Method
from pfltune.registry import find_method, short_name
from pfltune.settings import Settings, read_yaml, validated


class Dimension(Settings):
    """One searched knob; what is left out is the knob's own."""

    low: float | None = None
    high: float | None = None
    log: bool | None = None
    choices: tuple[str, ...] | None = None
    when: dict[str, str] = Field(default_factory=dict)


class SpaceFile(Settings):
    """The content of a search space's YAML."""

    search: dict[str, Dimension]
    start: tuple[dict[str, Value], ...] = ()


@dataclass(frozen=True)
class SearchSpace:
    """The searched dimensions of one method, checked against its knobs.

    Calling it with an Optuna trial suggests a configuration (define-by-run); it is a plain
    dataclass because OptunaSearch pickles the function that it is given.

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

    def settings(self) -> dict[str, Any]:
        """As plain data, for the record."""
        ranges = {d.name: d.choices or [d.low, d.high, d.log] for d in self.dimensions}
        return {"search": ranges, "start": list(self.start)}

    def hold(self, fixed: Mapping[str, Value]) -> "SearchSpace":
        """The space with some knobs held; start points keep what still applies, once each.

        Raises:
            UserError: a held knob has an effect only beside values that the search may leave.
        """
        free = tuple(d for d in self.dimensions if d.name not in fixed)
        for held in (d for d in self.dimensions if d.name in fixed):
            loose = {name: value for name, value in held.when.items() if name not in fixed}
            if loose.keys() & {d.name for d in free}:
                needs = " and ".join(f"{name}={value}" for name, value in loose.items())
                raise UserError(f"{held.name} can be held only together with {needs}")
        kept: list[dict[str, Value]] = []
        for point in self.start:
            whole = {**self.defaults, **point, **fixed}
            rest = {d.name: point[d.name] for d in free if d.name in point and d.applies(whole)}
            if rest and rest not in kept:
                kept.append(rest)
        return SearchSpace(free, tuple(kept), self.defaults, fixed)


def load_space(reference: str) -> SearchSpace:
    """The search space of a method: its YAML, or all its knobs over their own ranges.

    The YAML is looked for in ``pfltune.search_spaces``, then beside the method's module.

    Raises:
        UserError: the file does not fit the method's knobs.
    """
    cls, name = find_method(reference), short_name(reference)
    path = _space_file(cls, name)
    if path is None:
        knobs = knobs_of(cls)
        dimensions = [k for k in knobs.values() if k.choices or None not in (k.low, k.high)]
        defaults: dict[str, Value] = {k.name: k.default for k in knobs.values()}
        start = {d.name: d.default for d in dimensions if d.applies(defaults)}
        return SearchSpace.of(cls, dimensions, [start])
    return check_space(validated(SpaceFile, read_yaml(path), str(path.name)), cls, name)


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
    for choice in dimension.choices or ():
        knob.check(choice, f"search space of {name}")
    if knob.choices is None and (low is None or high is None or low >= high):
        raise UserError(f"search space of {name}: {knob.name} needs low < high, not {low}, {high}")
    log = knob.log if dimension.log is None else dimension.log
    if log and low is not None and low <= 0:
        raise UserError(
            f"search space of {name}: {knob.name} has log: true, so low must be above 0, not {low}"
        )
    return replace(knob, low=low, high=high, log=log, choices=dimension.choices or knob.choices)


def _check_start(space: SearchSpace, point: Mapping[str, Value], name: str) -> None:
    searched = {d.name: d for d in space.dimensions}
    for key, value in point.items():
        if key not in searched:
            raise UserError(f"search space of {name}: start point names {key}, not searched")
        searched[key].check(value, f"start point of {name}")


def _depth(knob: Knob, knobs: Mapping[str, Knob]) -> int:
    """How many conditions stand above a knob."""
    return max((1 + _depth(knobs[name], knobs) for name in knob.when), default=0)


def _suggest(trial: Any, knob: Knob) -> Value:
    if knob.choices is not None:
        return trial.suggest_categorical(knob.name, knob.choices)
    if knob.type is int:
        assert knob.low is not None
        assert knob.high is not None
        return trial.suggest_int(knob.name, int(knob.low), int(knob.high), log=knob.log)
    return trial.suggest_float(knob.name, knob.low, knob.high, log=knob.log)


def _space_file(cls: type[Method], name: str) -> Path | None:
    built_in = files("pfltune.search_spaces").joinpath(f"{name}.yaml")
    if built_in.is_file():
        with as_file(built_in) as path:
            return Path(path)
    beside = Path(inspect.getfile(cls)).with_suffix(".yaml")
    return beside if beside.is_file() else None
