"""Every knob does something, and nothing where it says so."""

import dataclasses
from functools import cache
from typing import Any

import torch

from pfltune.federation.trial import FederatedTrial
from pfltune.knobs import knobs_of
from pfltune.method import Method, Tensors
from pfltune.testing.broken import Broken
from pfltune.testing.federations import small_federation
from pfltune.testing.runs import differing, repeatable, state_of
from pfltune.testing.subject import Change, numbers


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
    return bool(differing(_observed(a), _observed(b)))


@cache
def _observed(method: Method) -> Tensors:
    """All that two rounds of a method leave behind, as named tensors.

    The state, the tensors with which each client predicts (which shows what only adapt() does),
    and the figures that are reported.
    """
    trial = FederatedTrial(method, small_federation(), seed=0)
    seen: Tensors = {}
    answers = trial._trainer.answers

    def spy(tensors: Tensors, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.update({f"{len(seen)}/{name}": t.clone() for name, t in tensors.items()})
        return answers(tensors, indices)

    trial._trainer.answers = spy  # type: ignore[method-assign]
    figures = [repeatable(trial.step().metrics) for _ in range(2)]
    numbers = {f"{r}/{n}": torch.tensor(v) for r, f in enumerate(figures) for n, v in f.items()}
    return {**seen, **state_of(trial), **numbers}
