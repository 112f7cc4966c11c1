"""What a certificate keeps of a trial's figures, and the digest of all of them."""

import json
from collections.abc import Iterable, Mapping, Sequence

from pfltune import figures
from pfltune.goal import ACCURACY, Goal
from pfltune.seal import digest
from pfltune.tracking.events import Selected
from pfltune.trials.agreement import repeating
from pfltune.trials.stored import StoredRound

ROUND = figures.CHOSEN.name
ACCURACIES = (figures.SELECTED_VAL.name, figures.SELECTED_TEST.name)
"""Which every trial has, whatever it goes by."""
COUNTED = tuple(
    figure.name
    for figure in (
        *(figures.TOTAL, figures.SETUP, figures.SHARED, figures.PERSONAL),
        *(figures.STEPS, figures.ADAPTATION_STEPS),
    )
)
"""Figures that are counts: the same on every processor."""


def names_of(goal: Goal) -> tuple[str, str]:
    """Of the validation and the test figure of the chosen round, by which it is judged."""
    return goal.selected("val").name, goal.selected("test").name


def certified_names(goal: Goal) -> tuple[str, ...]:
    """The figures of a trial's end that stand in the table, or decide about it.

    Where accuracy does not decide it is there beside what does.
    """
    of_each = (
        name
        for each in dict.fromkeys((goal, ACCURACY))
        for name in (
            *names_of(each),
            *(each.selected("test", ending).name for ending in (figures.STD, figures.WORST)),
            each.unseen.name,
        )
    )
    return (figures.ROUNDS.name, ROUND, *of_each, *COUNTED)


def curve(rounds: Iterable[StoredRound], selected: Selected | None) -> str:
    """The digest of all that repeats in a trial: no seconds, no memory.

    Args:
        rounds: all of them.
        selected: the chosen round, with the accuracy of each client; None unless it finished.
    """
    told = [[each.round, repr(float(each.score)), repeating(each.metrics)] for each in rounds]
    return digest(json.dumps([told, selected], sort_keys=True).encode())


def certified(metrics: Mapping[str, float], goal: Goal) -> dict[str, float]:
    """What the certificate says of the figures of a trial's end."""
    return {name: float(metrics[name]) for name in certified_names(goal) if name in metrics}


def first_of_the_best(scores: Sequence[float], evaluated: Iterable[int]) -> int | None:
    """The round that is chosen on validation: the earliest with the score of the end.

    None where no evaluated round has it, which can be in what somebody has forged only.

    Args:
        scores: after each round.
        evaluated: the rounds that are evaluated.
    """
    return next((number for number in evaluated if scores[number - 1] == scores[-1]), None)
