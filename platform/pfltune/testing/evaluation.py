"""Evaluations leave no trace, and never need test data."""

from collections.abc import Collection

from pfltune.figures import ADAPTATION_STEPS, BEST_VAL, EVALUATION, TEST, VAL, tells_of_test
from pfltune.testing.broken import Broken
from pfltune.testing.federations import ROUNDS, small_federation
from pfltune.testing.runs import (
    Figures,
    differing,
    other_figures,
    resumed,
    run,
    some,
    state_of,
    straight,
    trial_of,
)
from pfltune.testing.subject import Subject

ACCURACIES = {VAL.name, TEST.name}
RUNNING = {figure.name for figure in (BEST_VAL, EVALUATION, ADAPTATION_STEPS)}
"""Figures about the evaluations made so far: fewer evaluations, other figures."""


def evaluates_without_trace(subject: Subject) -> None:
    """Evaluating twice gives the same and changes nothing"""
    recording = straight(subject)
    trial = resumed(subject, recording.checkpoints[-2])
    same = trial.evaluate() == trial.evaluate()
    changed = differing(state_of(trial), recording.states[-2])
    later = other_figures(run(trial), recording.metrics[-1:])
    if not same or changed or later:
        found = some(changed) if changed else "the next round's figures"
        raise Broken(
            "an evaluation that changes nothing",
            f"that it changed {found if same else 'the evaluation after it'}",
            "work on copies in download(), assemble() and what adapt() trains: make new tensors",
            "assemble",
        )


def trains_alike_however_often_evaluated(subject: Subject) -> None:
    """Evaluating less often does not change what is trained"""
    rarely = run(trial_of(subject, small_federation(evaluate_every=ROUNDS)))
    often = straight(subject).metrics
    told = [name for few in rarely[:-1] for name in few if name in ACCURACIES]
    if told:
        raise Broken("no accuracy in a round without evaluation", some(told), "report none")
    known = [{n: full[n] for n in few} for few, full in zip(rarely[:-1], often, strict=False)]
    last = [without(rarely[-1], RUNNING)], [without(often[-1], RUNNING)]
    figures = other_figures(rarely[:-1], known) or other_figures(*last)
    if figures:
        raise Broken(
            "the same training whether a round is evaluated or not",
            f"other {figures}",
            "let download() and assemble() change nothing, and keep nothing on self",
            "assemble",
        )


def needs_no_test_data(subject: Subject) -> None:
    """Without test data nothing but the test figures is missing"""
    trial = trial_of(subject, small_federation().without_test())
    blind = run(trial, rounds=2)
    full = straight(subject).metrics[:2]
    leaked = [name for seen in blind for name in seen if tells_of_test(name)]
    if leaked or trial.evaluate().test is not None:
        raise Broken("no test figures where no test data were given", some(leaked), "report none")
    known = [{n: v for n, v in of.items() if not tells_of_test(n)} for of in full]
    if figures := other_figures(blind, known):
        raise Broken(
            "the same training with test data and without",
            f"other {figures}",
            "use the client's training samples only",
            "train",
        )


def without(metrics: Figures, names: Collection[str]) -> Figures:
    """The other figures."""
    return {name: value for name, value in metrics.items() if name not in names}
