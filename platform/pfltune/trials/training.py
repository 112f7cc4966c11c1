"""What a trial is made of, and what is kept of it while it is trained."""

from collections.abc import Mapping
from typing import cast

from pfltune.federation.federation import Federation
from pfltune.federation.searched_settings import under, without_settings
from pfltune.federation.trial import FederatedTrial, RoundReport
from pfltune.knobs import Value
from pfltune.method import Method
from pfltune.registry import make_method
from pfltune.tracking.events import PooledDict, Selected
from pfltune.trials.stored import StoredRound


def configured_as(
    reference: str, knobs: Mapping[str, Value], federation: Federation
) -> tuple[Method, Federation]:
    """The method and the federation of a trial with these knobs, settings among them.

    Raises:
        UserError: the method cannot be made with them.
    """
    return make_method(reference, without_settings(knobs)), under(federation, knobs)


def round_of(trial: FederatedTrial, report: RoundReport) -> StoredRound:
    """The newest round of a trial, which has given this report."""
    return StoredRound(report.round, trial.selection.score, told_of(trial, report))


def told_of(trial: FederatedTrial, report: RoundReport) -> dict[str, float]:
    """The figures of the newest round.

    With the first and the last one comes what travels, stays and is computed, see
    :meth:`FederatedTrial.footprint`: a trial that is stopped early has it too.
    """
    is_due = trial.round == 1 or trial.finished
    return {**report.metrics, **(trial.footprint() if is_due else {})}


def selected_of(trial: FederatedTrial) -> Selected:
    """The round of a finished trial that was chosen on validation."""
    chosen, evaluation = trial.selection, trial.selection.evaluation
    samples = {"val": list(evaluation.on_val.samples)}
    if evaluation.on_test is not None:
        samples["test"] = list(evaluation.on_test.samples)
    selected: Selected = {
        "round": chosen.round,
        "clients": list(evaluation.clients),
        "val": list(evaluation.val),
        "test": list(evaluation.test or ()),
        "samples": samples,
    }
    if evaluation.extras:
        selected["metrics"] = [
            {
                "name": each.name,
                "better": each.better,
                "val": list(each.val),
                "test": list(each.test or ()),
            }
            for each in evaluation.extras
        ]
    if evaluation.pooled is not None:
        selected["pooled"] = cast(PooledDict, evaluation.pooled.plain())
    if (of_nobody := trial.of_nobody()) is not None:
        selected["global"] = cast(PooledDict, of_nobody.plain())
    if not (goal := chosen.goal).is_accuracy:
        selected["metric"] = goal.name
    return selected
