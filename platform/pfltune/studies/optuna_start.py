"""The best trials of a study of Optuna's as start points of a search."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pfltune.errors import UserError, unknown
from pfltune.knobs import Knob, Value, meets, written
from pfltune.tracking.optuna_storage import parsed_address, read, shown

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

MOST = 3
"""How many trials of a study are tried first."""


@dataclass(frozen=True)
class StartPoints:
    """Where a search begins.

    Attributes:
        points: values of searched knobs, those of the best trial first.
        left_out: what of the trials is not taken and why, a line each.
    """

    points: tuple[Mapping[str, Value], ...]
    left_out: tuple[str, ...]

    def notes(self) -> tuple[str, ...]:
        """What the user should know of them, a line each."""
        return tuple(f"of the study's best trials, {each}: left out" for each in self.left_out)


def start_points(address: str, searched: Mapping[str, Knob]) -> StartPoints:
    """Those of a study, ``sqlite:///FILE`` or ``sqlite:///FILE#STUDY``.

    Args:
        address: of a storage of Optuna's, and after ``#`` the name of one of its studies, which is
            not needed where it has only one.
        searched: the searched knobs, over what they are searched.

    Raises:
        UserError: there is no such study, it has several objectives, or nothing of it can be taken.
    """
    place, _, name = address.partition("#")
    with read(place) as storage:
        study = _loaded(storage, name, shown(parsed_address(place)))
        found = points_of(best_trials(study, MOST), searched)
    if not found.points:
        why = f": {'; '.join(found.left_out)}" if found.left_out else ", no trial of it is complete"
        raise UserError(f"the study {study.study_name!r} has no start point{why}")
    return found


def best_trials(study: "Study", most: int) -> "list[FrozenTrial]":
    """The best complete trials of a study with one objective, the earlier first among equals.

    Raises:
        UserError: it has several objectives.
    """
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    if len(study.directions) > 1:
        raise UserError(
            f"the study {study.study_name!r} has {len(study.directions)} objectives, so that none "
            "of its trials is the best one"
        )
    sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    finite = [trial for trial in complete if math.isfinite(trial.value or 0.0)]
    return sorted(finite, key=lambda trial: (sign * (trial.value or 0.0), trial.number))[:most]


def points_of(trials: "Sequence[FrozenTrial]", searched: Mapping[str, Knob]) -> StartPoints:
    """What of trials is searched here, each point once."""
    points: list[Mapping[str, Value]] = []
    left_out: dict[str, None] = {}
    for trial in trials:
        point = _taken(trial.params, searched)
        left_out.update(dict.fromkeys(_lost(trial, searched, point)))
        if point and point not in points:
            points.append(point)
    return StartPoints(tuple(points), tuple(left_out))


def _taken(params: Mapping[str, Any], searched: Mapping[str, Knob]) -> dict[str, Value]:
    """What is searched at such values here and has an effect beside the others."""
    point: dict[str, Value] = {}
    for name, knob in searched.items():  # conditions come before what depends on them
        wanted = {other: value for other, value in knob.when.items() if other in searched}
        value = _value(knob, params.get(name))
        if value is not None and all(meets(point.get(n), w) for n, w in wanted.items()):
            point[name] = value
    return point


def _value(knob: Knob, told: object) -> Value | None:
    """A value in the knob's type; None if it is not searched."""
    typed = knob.typed(told)
    return typed if typed is not None and knob.holds(typed) else None


def _lost(
    trial: "FrozenTrial", searched: Mapping[str, Knob], point: Mapping[str, Value]
) -> Iterator[str]:
    for name, value in trial.params.items():
        told = f"{name}={written(value)} of trial {trial.number}"
        if name not in searched:
            yield f"{name} is not searched"
        elif _value(searched[name], value) is None:
            yield f"{told} is not in {searched[name].describe_range()}"
        elif name not in point:
            yield f"{told} has no effect without {searched[name].needs()}"


def _loaded(storage: Any, name: str, where: str) -> "Study":
    import optuna

    names = optuna.get_all_study_names(storage)
    if not names:
        raise UserError(f"there is no study in {where}")
    if not name and len(names) > 1:
        several = ", ".join(f"#{each}" for each in sorted(names))
        raise UserError(f"{where} has several studies; name one at its end: {several}")
    if name and name not in names:
        raise unknown(f"study of {where}", name, names)
    return optuna.load_study(study_name=name or names[0], storage=storage)
