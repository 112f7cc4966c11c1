"""Every knob does something, and nothing where it says so."""

import dataclasses
from functools import cache
from typing import Any
from unittest.mock import patch

import torch

from pfltune.federation.trial import FederatedTrial
from pfltune.knobs import knobs_of
from pfltune.method import Method, Tensors
from pfltune.testing.broken import Broken
from pfltune.testing.federations import small_federation
from pfltune.testing.runs import differing, repeatable, state_of
from pfltune.testing.subject import Change, numbers

OBSERVED_ROUNDS = 2


def has_an_effect(change: Change) -> None:
    """Changing any knob changes the result"""
    subject, knob, value = change
    if _differ(subject.make(), subject.make(**{knob: value})) or _matters_somewhere(change):
        return
    raise Broken(
        f"another result with {knob}={value}",
        "the same tensors, predictions and costs",
        "nothing reads the knob: use it, remove it, or say with knob(..., when={...}) beside which "
        "values it has an effect",
    )


def has_no_effect_elsewhere(change: Change) -> None:
    """A knob that does not apply changes nothing"""
    default = change.subject.make()
    other: dict[str, Any] = {change.knob: change.value}
    if _differ(default, dataclasses.replace(default, **other)):
        raise Broken(
            f"no effect of {change.knob} where its when= does not hold",
            f"another result with {change.knob}={change.value}",
            "correct the when= of the knob",
        )


def _matters_somewhere(change: Change) -> bool:
    """Whether another number of the knob matters beside the lowest value of another knob.

    For what shows only in a long run, such as a window that two rounds do not fill.
    """
    subject, name, _ = change
    knobs = knobs_of(subject.cls)
    beside = [k for k in knobs.values() if k.type is int and k.low is not None and k.name != name]
    values = numbers(knobs[name]) if knobs[name].type is not str else []
    return any(
        _differ(subject.make(**base), subject.make(**base, **{name: value}))
        for base in ({k.name: int(k.low or 0)} for k in beside)
        for value in values
    )


def _differ(a: Method, b: Method) -> bool:
    """Whether they leave other things behind; the second round is run where the first is alike."""
    ours, theirs = _observed(a), _observed(b)
    return any(differing(ours.after(n), theirs.after(n)) for n in range(1, OBSERVED_ROUNDS + 1))


class _Observed:
    """What the first rounds of a method leave behind, which are run when they are asked for."""

    def __init__(self, method: Method) -> None:
        self._trial = FederatedTrial(method, small_federation(), seed=0)
        self._found: list[Tensors] = []

    def after(self, number: int) -> Tensors:
        """All that can be seen after round ``number``, as named tensors.

        The state, the tensors with which each client predicts (which shows what only adapt() does),
        and the figures that are reported.
        """
        while len(self._found) < number:
            self._found.append(self._next())
        return self._found[number - 1]

    def _next(self) -> Tensors:
        seen: Tensors = {}
        trial, trainer = self._trial, self._trial._trainer
        answers = trainer.answers

        def spy(tensors: Tensors, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            seen.update({f"{len(seen)}/{name}": t.clone() for name, t in tensors.items()})
            return answers(tensors, indices)

        with patch.object(trainer, "answers", spy):
            figures = repeatable(trial.step().metrics)
        return {**seen, **state_of(trial), **{n: torch.tensor(v) for n, v in figures.items()}}


@cache
def _observed(method: Method) -> _Observed:
    return _Observed(method)
