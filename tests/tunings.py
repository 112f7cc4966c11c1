"""Searches of one method as they stand in their folder, with figures that a test chooses."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import comparisons
import numpy as np

from pfltune.budget import Budget
from pfltune.federation.trial_budget import budget_of
from pfltune.record import Record
from pfltune.tracking.events import MethodEnded, RoundDone, TrialEnded, TrialStarted
from pfltune.tracking.journal import JOURNAL, Journal

ROUNDS = 6
SPACE = {
    "lr": [0.001, 1.0, True],
    "prefix_length": [1, 32, True],
    "learn_alpha": [True, False],
}
CHOOSE_SEED, TEST_SEED = 50, 100
FRESH = (0.60, 0.62, 0.61), (0.61, 0.60, 0.61)


@dataclass(frozen=True)
class Trial:
    """A search trial with the scores it shall have, round by round; fewer than all: it stopped.

    Attributes:
        knobs: its configuration.
        scores: its best validation accuracy so far after each round.
        fresh: its score with each fresh seed, if it is trained again.
        personal: its personal parameters.
        mb: MB of a round.
        outcome: how it ended.
    """

    knobs: dict
    scores: Sequence[float]
    fresh: Sequence[float] = ()
    personal: float = 100.0
    mb: float = 2.0
    outcome: str = ""

    @property
    def ended(self) -> str:
        return self.outcome or ("finished" if len(self.scores) == ROUNDS else "stopped early")


@dataclass(frozen=True)
class Tuning:
    """The search of a method.

    Attributes:
        trials: in the order of the suggestions.
        best: the number of the chosen one; None for none.
        test: test accuracy with each seed of the confirmation.
        over: whether it has ended.
        budget_mb: MB that each trial may send; 0 where rounds end it.
    """

    trials: Sequence[Trial]
    best: int | None
    test: Sequence[float] = ()
    over: bool = True
    published: Sequence[dict] = ()
    title: str = "FedPerfix"
    space: dict = field(default_factory=lambda: dict(SPACE))
    fixed: dict = field(default_factory=dict)
    budget_mb: float = 0.0


def rising(last: float, rounds: int = ROUNDS) -> tuple[float, ...]:
    """Scores of a trial that would have ``last`` after all rounds, as far as it goes."""
    return tuple(last * (0.5 + 0.5 * step / ROUNDS) for step in range(1, rounds + 1))


def grown(trials: int = 12, stopped: int = 6, noise: float = 0.0) -> list[Trial]:
    """Trials whose score is best about lr = 0.03 and does not care for the prefix's length."""
    rng = np.random.default_rng(0)
    found = []
    for index in range(trials):
        lr = float(10 ** (-3 + 3 * ((index * 5) % trials) / (trials - 1)))
        knobs = {
            "lr": lr,
            "prefix_length": int(2 ** (index % 6)),
            "learn_alpha": index % 2 == 0,
            "prefix": "tokens",
        }
        value = 0.7 - 0.1 * (np.log10(lr) + 1.5) ** 2 + noise * rng.standard_normal()
        found.append((value, knobs))
    order = sorted(range(trials), key=lambda i: -found[i][0])
    early = set(order[trials - stopped :])
    return [
        Trial(
            knobs,
            rising(value, 2 if index in early else ROUNDS),
            personal=100.0 * knobs["prefix_length"],
        )
        for index, (value, knobs) in enumerate(found)
    ]


def chosen() -> Tuning:
    """Twelve trials, half of them stopped early, the best two trained again, the first chosen."""
    trials = grown()
    full = [index for index, trial in enumerate(trials) if len(trial.scores) == ROUNDS]
    first, second = sorted(full, key=lambda index: -trials[index].scores[-1])[:2]
    for index, fresh in zip((first, second), FRESH, strict=True):
        trials[index] = replace(trials[index], fresh=fresh)
    return Tuning(trials, first, test=(0.66, 0.64, 0.65))


def write(results: Path, name: str, tuning: Tuning, method: str = "fedperfix") -> Record:
    """Write the folder of a tuning; returns its record."""
    fake = comparisons.Fake(tuning.title, np.zeros((max(len(tuning.test), 1), 4)))
    record = comparisons.record_of(
        {method: fake},
        name,
        rounds=ROUNDS,
        command="tune",
        budget=Budget(
            trials=len(tuning.trials),
            generation=min(4, len(tuning.trials)),
            eta=2,
            seeds=max(len(tuning.test), 1),
        ),
        spaces={method: {"search": tuning.space, "published": list(tuning.published)}},
        limits={method: {"lr": (0.0, None), "prefix_length": (1, None)}},
        fixed={method: tuning.fixed},
    )
    if tuning.budget_mb:
        rules = {"budget": budget_of(f"{tuning.budget_mb}MB")}
        protocol = record.scenario.protocol.model_copy(update=rules)
        scenario = record.scenario.model_copy(update={"protocol": protocol})
        record = record.model_copy(update={"scenario": scenario})
    folder = results / name
    folder.mkdir(parents=True)
    record.write(folder)
    journal = Journal(folder / JOURNAL, record.id)
    for event in _events(method, tuning):
        journal.append(_spending(event, tuning.budget_mb))
    journal.close()
    return record


def _spending(event, budget_mb: float):
    """The event with what a round says of a budget, all rounds costing alike."""
    if not (budget_mb and isinstance(event, RoundDone)):
        return event
    spent = event.metrics["comm/total_mb"]
    ahead = spent * (1 + 1 / event.round)
    told = {"budget/spent": spent / budget_mb, "budget/ahead": ahead / budget_mb}
    return replace(event, metrics={**event.metrics, **told})


def _events(method: str, tuning: Tuning):
    clock = count(1_000)
    for index, trial in enumerate(tuning.trials):
        name = f"{method}-search-{index}"
        yield from _trial(name, method, "search", index, index // 4, 7, trial, trial.scores, clock)
    numbers = count()
    for trial in tuning.trials:
        for place, value in enumerate(trial.fresh):
            number = next(numbers)
            name, seed = f"{method}-choose-{number}", CHOOSE_SEED + place
            whole = Trial(trial.knobs, rising(value), personal=trial.personal, mb=trial.mb)
            yield from _trial(name, method, "choose", number, -1, seed, whole, whole.scores, clock)
    best = None if tuning.best is None else tuning.trials[tuning.best]
    for index, value in enumerate(tuning.test):
        name = f"{method}-confirm-{index}"
        yield from _trial(
            name, method, "confirm", index, -1, TEST_SEED + index, best, rising(value), clock, value
        )
    if tuning.over:
        yield MethodEnded(method, None if best is None else dict(best.knobs))


def _trial(name, method, stage, index, generation, seed, trial, scores, clock, test=None):
    yield TrialStarted(name, method, stage, index, generation, seed, dict(trial.knobs), next(clock))
    for step, score in enumerate(scores, start=1):
        metrics = {
            "comm/up_mb_per_round": trial.mb / 2,
            "comm/down_mb_per_round": trial.mb / 2,
            "comm/total_mb": trial.mb * step,
            "comm/setup_mb": 0.0,
            "params/shared": 1000.0,
            "params/personal": trial.personal,
            "train/total_steps": 12.0 * step,
            "train/total_adaptation_steps": 0.0,
            "time/total_s": 1.5,
            "memory/peak_mb": 100.0,
            "val/accuracy": score,
            "val/best_accuracy": score,
        }
        if test is not None:
            metrics["test/accuracy"] = test
        yield RoundDone(name, step, score, metrics, next(clock))
    ended = "finished" if stage != "search" else trial.ended
    if ended == "running":
        return
    clients = [] if test is None else [test - 0.05, test - 0.01, test + 0.01, test + 0.05]
    selected = {"round": len(scores), "val": [scores[-1]] * 4 if scores else [], "test": clients}
    failure = "loss was nan <in> round 1" if ended == "failed" else ""
    yield TrialEnded(
        name, ended, len(scores), failure, None if ended == "failed" else selected, next(clock)
    )
