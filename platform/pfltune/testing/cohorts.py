"""Clients that train at once end as they do one after the other, and what keeps them from it."""

from functools import cache

import torch
from torch import Tensor

from pfltune.federation.federation import Federation
from pfltune.federation.hindrance import Hindrance
from pfltune.federation.trial import FederatedTrial
from pfltune.figures import LOSS
from pfltune.testing.broken import Broken
from pfltune.testing.federations import small_federation
from pfltune.testing.runs import Figures, other_figures, run, state_of, trial_of
from pfltune.testing.subject import Subject
from pfltune.wrapped import made_of

TOLERANCE = 1e-5
ROUNDED = 2e-5
"""On average, where a wrap rounds what travels or leaves some of it out: of two numbers that differ
in their last bit, one may then be rounded up, or sent, and the other not. The first round's losses
are from before that."""
AT_ONCE = 3


def trains_at_once_as_one_by_one(subject: Subject) -> None:
    """Clients that train at once end as they do one after the other"""
    alone = trial_of(subject, _federation())
    expected, (together, found) = run(alone), _at_once(subject)
    is_wrapped = bool(made_of(subject.cls).wraps)
    distance = _farther_on_average if is_wrapped else _farther
    far = distance(state_of(together), state_of(alone))
    figures = other_figures([_no_loss(f) for f in found], [_no_loss(f) for f in expected])
    losses = [*zip(found, expected, strict=True)][: 1 if is_wrapped else None]
    moved = any(abs(a[LOSS.name] - b[LOSS.name]) >= TOLERANCE for a, b in losses)
    if far or figures or moved:
        raise Broken(
            "tensors and figures of clients one by one, up to rounding",
            f"other {far or figures or 'losses'}",
            "let objective() be a pure function of its tensors, take means over images by "
            "loss.batch().mean() alone, and draw only from work.generator()",
            "objective",
        )


def hindrances_of(subject: Subject) -> list[Hindrance]:
    """What keeps a subject's clients from training at once; nothing where they do."""
    return _at_once(subject)[0].hindrances


@cache
def _at_once(subject: Subject) -> tuple[FederatedTrial, list[Figures]]:
    trial = trial_of(subject, _federation(), cohort=AT_ONCE)
    return trial, run(trial)


def _federation() -> Federation:
    return small_federation(sampled_clients=AT_ONCE, rounds=2)


def _farther(found: dict[str, Tensor], expected: dict[str, Tensor]) -> str:
    """A tensor that is farther away than rounding explains, with its distance; empty if none is."""
    for name in sorted(expected.keys() | found.keys()):
        if name not in found or name not in expected:
            return name
        if not expected[name].numel():
            continue
        far = float(_distances(found[name], expected[name]).max())
        if not far < TOLERANCE:
            return f"{name} ({far:.1e} away)"
    return ""


def _farther_on_average(found: dict[str, Tensor], expected: dict[str, Tensor]) -> str:
    """The same of all numbers together, which a few that are far away do not move."""
    missing = sorted(expected.keys() ^ found.keys())
    if missing:
        return missing[0]
    away = [_distances(found[name], tensor).flatten() for name, tensor in expected.items()]
    far = float(torch.cat(away).mean())
    return "" if far < ROUNDED else f"tensors ({far:.1e} away on average)"


def _distances(found: Tensor, expected: Tensor) -> Tensor:
    return (found.double() - expected.double()).abs()


def _no_loss(figures: Figures) -> Figures:
    return {name: value for name, value in figures.items() if name != LOSS.name}
