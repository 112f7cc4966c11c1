"""Search spaces: what the search may vary and the points that it tries first."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pfltune.errors import UserError, unknown
from pfltune.knobs import Knob, Value, checked_values, knobs_of
from pfltune.method import Method
from pfltune.registry import find_method, short_name
from pfltune.scenario import read_yaml, validated


class Dimension(BaseModel):
    """One searched knob; what is left out is the knob's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float | None = None
    high: float | None = None
    log: bool | None = None
    choices: tuple[str, ...] | None = None
    when: dict[str, str] = Field(default_factory=dict)


class SpaceFile(BaseModel):
    """The content of a search space's YAML."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    search: dict[str, Dimension]
    start: tuple[dict[str, Value], ...] = ()


@dataclass(frozen=True)
class SearchSpace:
    """The searched dimensions of one method, checked against its knobs.

    Calling it with an Optuna trial suggests a configuration (define-by-run); it is a plain
    dataclass because OptunaSearch pickles the function that it is given.

    Attributes:
        dimensions: searched knobs in order; one with conditions comes after what it depends on.
        start: the points to try first, the published values.
        fixed: knobs that the user holds at one value.
    """

    dimensions: tuple[Knob, ...]
    start: tuple[dict[str, Value], ...]
    fixed: Mapping[str, Value]

    def __call__(self, trial: Any) -> None:
        """Suggest every dimension that applies beside those suggested before it."""
        chosen = dict(self.fixed)
        for dimension in self.dimensions:
            if dimension.applies(chosen):
                chosen[dimension.name] = _suggest(trial, dimension)

    def hold(self, fixed: Mapping[str, Value]) -> "SearchSpace":
        """The space with some knobs held; start points keep what still applies, once each."""
        free = tuple(d for d in self.dimensions if d.name not in fixed)
        kept: list[dict[str, Value]] = []
        for point in self.start:
            whole = {**point, **fixed}
            rest = {d.name: point[d.name] for d in free if d.name in point and d.applies(whole)}
            if rest and rest not in kept:
                kept.append(rest)
        return SearchSpace(free, tuple(kept), fixed)


def load_space(reference: str) -> SearchSpace:
    """The search space of a method: its YAML, or all its knobs over their own ranges.

    The YAML is looked for in ``pfltune.search_spaces``, then beside the method's module.

    Raises:
        UserError: the file does not fit the method's knobs.
    """
    cls, name = find_method(reference), short_name(reference)
    path = _space_file(cls, name)
    if path is None:
        dimensions = tuple(k for k in knobs_of(cls).values() if k.choices or k.high is not None)
        defaults: dict[str, Value] = {d.name: d.default for d in dimensions}
        start = {d.name: d.default for d in dimensions if d.applies(defaults)}
        return SearchSpace(dimensions, (start,), {})
    return check_space(validated(SpaceFile, read_yaml(path), str(path.name)), cls, name)


def check_space(content: SpaceFile, cls: type[Method], name: str) -> SearchSpace:
    """A file's content as a space of ``cls``, every dimension and start point checked."""
    knobs = knobs_of(cls)
    dimensions = []
    for key, dimension in content.search.items():
        if key not in knobs:
            raise unknown(f"knob of {name} in its search space", key, knobs)
        dimensions.append(_narrowed(knobs[key], dimension, name))
    space = SearchSpace(tuple(dimensions), content.start, {})
    for point in content.start:
        checked_values(cls, name, point)
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
    return Knob(
        name=knob.name,
        type=knob.type,
        default=knob.default,
        doc=knob.doc,
        low=low,
        high=high,
        log=knob.log if dimension.log is None else dimension.log,
        choices=dimension.choices or knob.choices,
        when=knob.when,
    )


def _check_start(space: SearchSpace, point: Mapping[str, Value], name: str) -> None:
    searched = {d.name: d for d in space.dimensions}
    for key, value in point.items():
        if key not in searched:
            raise UserError(f"search space of {name}: start point names {key}, not searched")
        searched[key].check(value, f"start point of {name}")


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
