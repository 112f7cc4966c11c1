"""The searches of a comparison as studies of Optuna's, for its own tools."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pfltune import figures
from pfltune.errors import UserError
from pfltune.report.dimensions import dimensions_of
from pfltune.report.results import ComparisonResult, MethodResult, ToldTrial
from pfltune.report.searching import distribution
from pfltune.tracking.optuna_storage import parsed_address, shown, written

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

IDENTITY, WHOLE = "pfltune/id", "pfltune/whole"
"""Attributes of a study: the comparison that it is of, and that all of it has been written."""
OF_TRIAL = (figures.TOTAL.name, figures.PERSONAL.name, figures.SHARED.name)
"""Figures of a trial that stand beside its knobs."""


@dataclass(frozen=True)
class StudyContent:
    """A study as it shall be.

    Attributes:
        name: of the study.
        attributes: what is known of the whole search.
        trials: its trials, in the order of the suggestions.
        direction: whether the highest or the lowest value is the best.
    """

    name: str
    attributes: Mapping[str, Any]
    trials: "Sequence[FrozenTrial]"
    direction: str = "maximize"


def studies_of(result: ComparisonResult) -> list[StudyContent]:
    """One study for each search of a method, by what that is called in the comparison.

    Of several searches of one method, all but the first have their number after its name.

    A trial that ran all its rounds is complete, one that was stopped early is pruned, and both have
    the best mean validation figure so far of every evaluated round; the study has its direction.

    Raises:
        UserError: nothing was searched.
    """
    spaces = {name: space.get("search", {}) for name, space in result.record.spaces.items()}
    found = [
        StudyContent(
            name=f"pfltune/{result.name}/{method.name}" + (f"/{number}" if number else ""),
            attributes=_attributes(result, study),
            trials=_trials(study, spaces[method.name]),
            direction=result.goal.direction,
        )
        for method in sorted(result.whole, key=lambda method: method.name)
        if spaces.get(method.name)
        for number, study in enumerate(method.each_study())
    ]
    if not found:
        raise UserError(f"{result.name} has searched nothing, so that there is no study of it")
    return found


def export_studies(result: ComparisonResult, address: str) -> list[StudyContent]:
    """Write the studies of a comparison into a storage of Optuna's; returns them.

    One that is there already as it shall be is left alone.

    Raises:
        UserError: there can be no storage, or another study has one of their names; nothing was
            written.
    """
    studies = studies_of(result)
    with written(address) as storage:
        _write(storage, studies, shown(parsed_address(address)))
    return studies


def _write(storage: Any, studies: Sequence[StudyContent], where: str) -> None:
    """Write all of them or none."""
    missing = [study for study in studies if not _is_there(storage, study, where)]
    made: list[str] = []
    try:
        for study in missing:
            _remove(storage, study.name)  # what an export left that was killed
            made.append(study.name)
            _create(storage, study)
    except BaseException:
        for name in made:
            _remove(storage, name)
        raise


def _create(storage: Any, content: StudyContent) -> None:
    import optuna

    study = optuna.create_study(
        study_name=content.name, storage=storage, direction=content.direction
    )
    for name, value in content.attributes.items():
        study.set_user_attr(name, value)
    study.add_trials(content.trials)
    study.set_user_attr(WHOLE, True)


def _is_there(storage: Any, content: StudyContent, where: str) -> bool:
    """Whether a study has been written as it shall be.

    Raises:
        UserError: another one has its name.
    """
    import optuna

    if content.name not in optuna.get_all_study_names(storage):
        return False
    study = optuna.load_study(study_name=content.name, storage=storage)
    attributes = dict(study.user_attrs)
    is_ours = attributes.get(IDENTITY) == content.attributes[IDENTITY]
    if is_ours and not attributes.pop(WHOLE, False):
        return False
    if is_ours and _same(attributes, study.trials, content):
        return True
    how = "as it was at another time" if is_ours else "of something else"
    raise UserError(
        f"{where} has a study {content.name!r} already, {how}; give another address, or remove it "
        f"with: optuna delete-study --study-name {content.name} --storage {where}"
    )


def _same(
    attributes: Mapping[str, Any], trials: "Iterable[FrozenTrial]", wanted: StudyContent
) -> bool:
    """Whether a study says what it shall say; when a known trial was told again does not count."""
    same_trials = list(map(_said, trials)) == list(map(_said, wanted.trials))
    return same_trials and attributes == _through_json(wanted.attributes)


def _said(trial: "FrozenTrial") -> tuple[Any, ...]:
    told = (trial.params, trial.distributions, trial.intermediate_values)
    return trial.state, trial.values, *told, _through_json(trial.user_attrs)


def _through_json(content: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(content))


def _remove(storage: Any, name: str) -> None:
    import optuna

    if name in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)


def _attributes(result: ComparisonResult, method: MethodResult) -> dict[str, Any]:
    """What is said of a whole search; the identity first."""
    record, searched = result.record, result.record.spaces[method.name]["search"]
    held = {name: v for name, v in method.best.items() if name not in searched}
    chosen = next((run.index for run in method.searched if run.knobs == method.best), None)
    several, goal = len(method.runs) > 1, result.goal
    spread = goal.of_table(figures.TEST_STD_SEEDS)
    known = {
        "scenario": record.scenario.name,
        "rounds": record.scenario.protocol.rounds,
        "title": method.title,
        "chosen": dict(method.best) or None,
        "chosen_trial": chosen,
        "held": held or None,
        "confirm/seeds": len(method.runs) or None,
        f"confirm/{goal.of('val').name}": goal.score(method.val) if method.runs else None,
        f"confirm/{goal.of('test').name}": goal.score(method.test) if method.runs else None,
        f"confirm/{spread.name}": method.score_std() if several else None,
    }
    return {IDENTITY: result.id} | {name: v for name, v in known.items() if v is not None}


def _trials(method: MethodResult, space: Mapping[str, Sequence[Any]]) -> "list[FrozenTrial]":
    searched = [trial for trial in method.trials if trial.started.stage == "search"]
    dimensions = dimensions_of({"search": space}, [trial.started.knobs for trial in searched])
    distributions = {name: distribution(each) for name, each in dimensions.items()}
    again = {each.index: each.values for each in method.finalists}
    return [_trial(told, distributions, again.get(told.started.index, {})) for told in searched]


def _trial(
    told: ToldTrial, distributions: "Mapping[str, BaseDistribution]", again: Mapping[int, float]
) -> "FrozenTrial":
    """A trial as Optuna knows it.

    Args:
        told: the trial.
        distributions: of the searched knobs.
        again: its score by seed, where it was trained again before one was chosen.
    """
    from optuna.trial import FrozenTrial, TrialState

    states = {
        "finished": TrialState.COMPLETE,
        "stopped early": TrialState.PRUNED,
        "failed": TrialState.FAIL,
        "running": TrialState.RUNNING,
    }
    curve = dict(told.curve(told.goal.best.name))
    has_value = told.outcome in ("finished", "stopped early") and curve
    params = {name: v for name, v in told.started.knobs.items() if name in distributions}
    known = states[told.outcome] if has_value or told.outcome != "finished" else TrialState.FAIL
    return FrozenTrial(
        number=told.started.index,
        trial_id=told.started.index,
        state=known,  # a trial without a figure cannot be complete
        value=curve[max(curve)] if has_value else None,
        datetime_start=_time(told.started.time),
        datetime_complete=_time(told.ended.time) if told.ended else None,
        params=params,
        distributions={name: distributions[name] for name in params},
        user_attrs=_about(told, again),
        system_attrs={},
        intermediate_values=curve,
    )


def _about(told: ToldTrial, again: Mapping[int, float]) -> dict[str, Any]:
    metrics = told.metrics
    numbers = {name: metrics[name] for name in OF_TRIAL if name in metrics}
    mean = told.goal.score(sum(again.values()) / len(again)) if again else math.nan
    known = {
        "stage": told.started.stage,
        "generation": told.started.generation,
        "seed": told.started.seed,
        "outcome": told.outcome,
        "rounds": told.ended.round if told.ended else len(told.rounds),
        "failure": told.ended.failure if told.ended else "",
        "choose/seeds": len(again),
        f"choose/{told.goal.best.name}": mean,
        **numbers,
    }
    return {name: value for name, value in known.items() if value == value and value not in ("",)}


def _time(milliseconds: int) -> datetime:
    """In the time of this machine, as Optuna's own trials."""
    return datetime.fromtimestamp(milliseconds / 1000)
