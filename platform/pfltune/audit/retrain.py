"""A certified trial trained again, and what came of it."""

import math
from dataclasses import dataclass

import torch

from pfltune.audit.certificate import CertifiedTrial
from pfltune.audit.conditions import Conditions
from pfltune.audit.kept import certified, curve
from pfltune.errors import Diverged, told
from pfltune.federation.federation import Federation
from pfltune.federation.trial import FederatedTrial
from pfltune.goal import ACCURACY, Goal
from pfltune.knobs import knobs_of
from pfltune.method import Method
from pfltune.registry import find_method
from pfltune.stages import sees_test
from pfltune.text import plain
from pfltune.tracking.endings import final_figures
from pfltune.tracking.events import Selected, TrialEnded
from pfltune.trials.stored import StoredRound
from pfltune.trials.training import configured_as, round_of, selected_of


@dataclass(frozen=True)
class Retrained:
    """A trial as it went here.

    Attributes:
        rounds: as many as were trained.
        selected: the chosen round; None unless it finished.
        failure: why it failed; empty if it did not.
        goal: what it went by.
    """

    rounds: tuple[StoredRound, ...]
    selected: Selected | None = None
    failure: str = ""
    goal: Goal = ACCURACY

    @property
    def scores(self) -> tuple[float, ...]:
        """After each round."""
        return tuple(done.score for done in self.rounds)

    @property
    def curve(self) -> str:
        """As it would stand in a certificate."""
        return curve(self.rounds, self.selected)

    @property
    def figures(self) -> dict[str, float]:
        """As they would stand in a certificate."""
        last: dict[str, float] = {}
        for done in self.rounds:
            last |= done.metrics
        ended = TrialEnded("", "finished", len(self.rounds), selected=self.selected)
        return certified(last | final_figures(ended), self.goal)


def retrained(trial: CertifiedTrial, conditions: Conditions) -> Retrained:
    """Train a trial as far as the certificate says; where it should fail, on until it does.

    Raises:
        UserError: its method cannot be made with its knobs.
        OSError, MemoryError: this machine cannot train it.
    """
    federation = conditions.federation
    if not sees_test(trial.stage):
        federation = federation.without_test()
    method, federation = _configured(trial, conditions, federation)
    most = math.inf if trial.outcome == "failed" else trial.rounds
    done: list[StoredRound] = []
    goal = federation.goal
    try:
        training = FederatedTrial(method, federation, trial.seed, conditions.compute)
        while training.round < most and not training.finished:
            done.append(round_of(training, training.step()))
    except (OSError, MemoryError, torch.OutOfMemoryError):
        raise
    except Diverged as error:
        return Retrained(tuple(done), failure=str(error), goal=goal)
    except Exception as error:  # of the method's own code
        return Retrained(tuple(done), failure=plain(told(error)), goal=goal)
    selected = selected_of(training) if training.finished else None
    return Retrained(tuple(done), selected, goal=goal)


def _configured(
    trial: CertifiedTrial, conditions: Conditions, federation: Federation
) -> tuple[Method, Federation]:
    reference = conditions.references[trial.method]
    knobs = knobs_of(find_method(reference))
    own = {
        name: value
        for name, value in trial.knobs.items()
        if name not in knobs or knobs[name].applies(trial.knobs)
    }
    return configured_as(reference, own, federation)
