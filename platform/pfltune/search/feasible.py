"""Trials that send more than they may: never chosen, and told to Optuna as such."""

from collections.abc import Mapping

from optuna.trial import Trial

from pfltune.ranking import Outcome
from pfltune.search.plan import Plan

CONSTRAINT = "max_mb"
"""Its name in a study of Optuna's: above 0, the trial sends more than it may."""


def feasible(plan: Plan, outcomes: Mapping[int, Outcome]) -> dict[int, Outcome]:
    """The outcomes of the trials that send no more than they may."""
    return {index: outcome for index, outcome in outcomes.items() if plan.fits(outcome)}


def constrain(trial: Trial, plan: Plan, outcome: Outcome) -> None:
    """Tell Optuna by what share a trial sends more than it may; nothing where it may send all.

    TPE ranks what breaks a constraint behind all else, by how much it does.
    """
    if plan.budget.max_mb is not None:
        excess = plan.budget.excess(outcome.round, outcome.mb, plan.protocol.rounds)
        trial.set_constraint(CONSTRAINT, 0.0 if plan.fits(outcome) else excess)
