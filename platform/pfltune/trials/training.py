"""What is kept of a trial while it is trained."""

from pfltune.federation.trial import FederatedTrial, RoundReport
from pfltune.tracking.events import Selected
from pfltune.trials.stored import StoredRound


def round_of(trial: FederatedTrial, report: RoundReport) -> StoredRound:
    """The newest round of a trial, which has given this report.

    With the last one comes what travels, stays and is computed, see
    :meth:`FederatedTrial.footprint`.
    """
    footprint = trial.footprint() if trial.finished else {}
    return StoredRound(report.round, trial.selection.accuracy, {**report.metrics, **footprint})


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
    return selected
