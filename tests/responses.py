"""Searches of a response that is known: where it is best, and how far that reaches."""

import math
from dataclasses import dataclass

import numpy as np

from pfltune.report.results import Finalist, MethodResult, SearchedRun

ROUNDS = 16
SPACE = {"search": {"lr": [0.001, 1.0, True], "prefix_length": [1, 32, True]}}
FLAT_LR = (0.01, 0.1)
FLAT_LENGTH = 4
BEST = 75.0


def truth(lr: float, prefix_length: float, after: int = ROUNDS) -> float:
    """The score in percent: flat in the middle of log lr, and from a length of 4 on."""
    low, high = np.log10(FLAT_LR)
    place = np.log10(lr)
    outside = max(low - place, place - high, 0.0)
    short = max(np.log2(FLAT_LENGTH / prefix_length), 0.0)
    lost = 14 * outside**2 + 2.5 * short
    return (BEST - lost) * (1 - 0.8 * 0.5 ** (after / 3)) / (1 - 0.8 * 0.5 ** (ROUNDS / 3))


@dataclass(frozen=True)
class Noise:
    """Standard deviations, in percentage points.

    Attributes:
        trial: of a trial with a seed, lasting over its rounds.
        round: of each round by itself.
        seed: of what a seed does to all trials at once.
    """

    trial: float = 0.8
    round: float = 0.2
    seed: float = 1.0


def searched(
    seed: int,
    *,
    generations: int = 3,
    size: int = 8,
    eta: int = 2,
    finalists: int = 3,
    seeds: int = 3,
    noise: Noise = Noise(),
    truth=truth,
) -> MethodResult:
    """A search at random with successive halving, and its finalists trained with fresh seeds."""
    rng = np.random.default_rng(seed)
    runs = []
    for generation in range(generations):
        trials = [_curve(_knobs(rng), rng, noise, truth) for _ in range(size)]
        reached = _halved([curve for _, curve in trials], eta)
        for (knobs, curve), last in zip(trials, reached, strict=True):
            shown = [(number, value) for number, value in enumerate(curve, 1) if number <= last]
            outcome = "finished" if last == ROUNDS else "stopped early"
            runs.append(
                SearchedRun(
                    len(runs), generation, 0, knobs, outcome, last, shown, _costs(knobs, last)
                )
            )
    best = sorted(runs, key=lambda run: (-run.rounds, -run.value, run.index))[:finalists]
    shifts = rng.normal(0, noise.seed, seeds)
    told = tuple(
        Finalist(
            run.index,
            run.knobs,
            {
                number + 1: (truth(**run.knobs) + shift + _noise(rng, noise)) / 100
                for number, shift in enumerate(shifts)
            },
        )
        for run in best
    )
    chosen = max(told, key=lambda each: np.mean(list(each.values.values()))) if seeds else best[0]
    return MethodResult(
        "one", "One", dict(chosen.knobs), (), len(runs), 0, 0.0, (), tuple(runs), told
    )


def _costs(knobs, rounds) -> dict[str, float]:
    length = knobs["prefix_length"]
    return {"comm/total_mb": 0.1 * rounds * (5 + length), "params/personal": 64.0 * length}


def _knobs(rng) -> dict[str, float]:
    return {
        "lr": float(10 ** rng.uniform(-3, 0)),
        "prefix_length": int(np.floor(2 ** rng.uniform(0, 5.04))),
    }


def _noise(rng, noise: Noise) -> float:
    return rng.normal(0, np.hypot(noise.trial, noise.round))


def _curve(knobs, rng, noise: Noise, truth):
    own = rng.normal(0, noise.trial)
    raw = [
        truth(**knobs, after=number) + own + rng.normal(0, noise.round)
        for number in range(1, ROUNDS + 1)
    ]
    return knobs, np.maximum.accumulate(raw) / 100


def _halved(curves, eta: int) -> list[int]:
    """How far each trial of a generation comes."""
    running, reached = list(range(len(curves))), [ROUNDS] * len(curves)
    levels = int(math.log(len(curves), eta) + 1e-9)
    for rung in sorted(math.ceil(ROUNDS / eta**level) for level in range(1, levels + 1)):
        ranked = sorted(running, key=lambda index: (-curves[index][rung - 1], index))
        running = ranked[: max(1, len(ranked) // eta)]
        for lost in ranked[len(running) :]:
            reached[lost] = rung
    return reached
