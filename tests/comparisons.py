"""Comparisons as they stand in their folder and in MLflow, with figures that a test chooses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from pfltune.budget import Budget
from pfltune.program import Program
from pfltune.record import RECORD, Computing, Record
from pfltune.scenario import load_scenario
from pfltune.tracking.events import MethodEnded, RoundDone, TrialEnded, TrialStarted
from pfltune.tracking.journal import JOURNAL, Journal
from pfltune.tracking.mirror import Mirror
from pfltune.tracking.store import Store

SEARCH_SEED = 7


@dataclass(frozen=True)
class Fake:
    """A method with the figures it shall have.

    Attributes:
        title: how it is written.
        test: accuracy of each client at the chosen (last) round, (seeds, clients).
        up_mb: MB up of a round; as many come down.
        searched: score of each search trial.
        failed: how many search trials more fail.
        val_shift: what validation accuracies are above the test accuracies.
        measured: by name of a metric, what a client's number is of its accuracy.
    """

    title: str
    test: np.ndarray
    up_mb: float = 1.0
    searched: tuple[float, ...] = (0.3, 0.5)
    failed: int = 0
    val_shift: float = 0.02
    measured: Mapping[str, float] = field(default_factory=dict)
    knobs: Mapping[str, object] = field(default_factory=lambda: {"lr": 0.1, "prefix": "tokens"})


def record_of(methods: Mapping[str, "Fake"], name: str, *, rounds: int = 4, **changed) -> Record:
    """The record of a comparison of these methods on digits; ``changed`` are parts that differ."""
    one = next(iter(methods.values()))
    trials, seeds = max(len(one.searched) + one.failed, 1), len(one.test)
    overrides = [f"protocol.rounds={rounds}", "protocol.sampled_clients=4"]
    ground = load_scenario("digits", overrides)
    parts = {
        "command": "compare",
        "name": name,
        "scenario": ground.model_copy(update={"title": "Handwritten digits & more"}),
        "methods": tuple(methods),
        "titles": {short: fake.title for short, fake in methods.items()},
        "budget": Budget(trials=trials, generation=min(2, trials), eta=2, seeds=seeds),
        "computing": Computing(
            threads=1, device="cpu", precision="float32", cohort=1, deterministic=False
        ),
        "program": Program(source={}, files={}, versions={}, processor="a processor"),
        "data": {"clients": "0123"},
    }
    return Record.model_validate({**parts, **changed})


def budgeted(methods: Iterable[str], *, trials: int, seeds: int, rounds: int = 4) -> Record:
    """The record of a comparison of methods that have no figures yet."""
    none = Fake("", np.zeros((seeds, 1)), searched=(0.5,) * trials)
    return record_of({name: none for name in methods}, "one", rounds=rounds)


def record(
    store: Store,
    name: str,
    methods: Mapping[str, Fake],
    *,
    scenario: str = "digits",
    rounds: int = 4,
    over: bool = True,
    leave_out: Iterable[str] = (),
    mirrored: bool = True,
    **changed,
) -> Record:
    """Write a comparison as a session does; returns its record.

    Args:
        store: where MLflow is told of it; its folder is in the results beside.
        name: of the comparison.
        methods: by short name.
        scenario: its name.
        rounds: of every trial that does not fail; every second one is evaluated.
        over: whether all methods have ended.
        leave_out: names of trials that have begun and not ended.
        mirrored: whether MLflow is told at all.
        changed: parts of the record that differ.
    """
    made = record_of(methods, name, rounds=rounds)
    ground = made.scenario.model_copy(update={"name": scenario})
    data = {"clients": "0123" if scenario == "digits" else scenario}
    made = made.model_copy(update={"scenario": ground, "data": data, **changed})
    folder = store.results / name
    made.write(folder)
    journal = Journal(folder / JOURNAL, made.id)
    for short, fake in methods.items():
        for event in _events(short, fake, rounds, set(leave_out)):
            journal.append(event)
        if over:
            journal.append(MethodEnded(short, dict(fake.knobs) if len(fake.test) else None))
    journal.close()
    if mirrored:
        mirror = Mirror(
            store,
            name,
            made.id,
            {"scenario": scenario},
            made.titles,
            {RECORD: made.text()},
            (),
            lambda text: None,
        )
        for event in Journal(folder / JOURNAL, made.id).events:
            mirror.put(event)
        mirror.close(600)
    return made


def _events(short: str, fake: Fake, rounds: int, unfinished: set[str]):
    clock = count(1_000)
    for index, value in enumerate(fake.searched):
        trial = f"{short}-search-{index}"
        generation = index // 2
        knobs = {**fake.knobs, "lr": 0.1 * (index + 1)}
        yield TrialStarted(
            trial, short, "search", index, generation, SEARCH_SEED, knobs, next(clock)
        )
        flat = np.full(3, value)
        for step in range(1, rounds + 1):
            yield _round(trial, step, rounds, flat, None, fake, next(clock))
        if trial not in unfinished:
            selected = {"round": rounds, "val": flat.tolist(), "test": []}
            yield TrialEnded(trial, "finished", rounds, "", selected, next(clock))
    for index in range(len(fake.searched), len(fake.searched) + fake.failed):
        trial = f"{short}-search-{index}"
        yield TrialStarted(
            trial, short, "search", index, index // 2, SEARCH_SEED, {"lr": 9.0}, next(clock)
        )
        yield TrialEnded(trial, "failed", 1, "loss was nan <in> round 1", None, next(clock))
    for index, test in enumerate(fake.test):
        trial = f"{short}-confirm-{index}"
        yield TrialStarted(
            trial, short, "confirm", index, -1, 100 + index, dict(fake.knobs), next(clock)
        )
        val = np.asarray(test) + fake.val_shift
        for step in range(1, rounds + 1):
            yield _round(trial, step, rounds, val, np.asarray(test), fake, next(clock))
        if trial not in unfinished:
            selected = {"round": rounds, "val": val.tolist(), "test": list(map(float, test))}
            if fake.measured:
                selected["metrics"] = [
                    {
                        "name": name,
                        "better": "low",
                        "val": (share * val).tolist(),
                        "test": (share * np.asarray(test)).tolist(),
                    }
                    for name, share in fake.measured.items()
                ]
            yield TrialEnded(trial, "finished", rounds, "", selected, next(clock))


def _round(trial, step, rounds, val, test, fake, at):
    """Accuracy rises with the square root of the round; bytes and steps with the round."""
    share = np.sqrt(step / rounds)
    metrics = {
        "comm/up_mb_per_round": fake.up_mb,
        "comm/down_mb_per_round": fake.up_mb,
        "comm/total_mb": 2 * fake.up_mb * step,
        "comm/setup_mb": 0.0,
        "params/shared": 1000.0 * fake.up_mb,
        "params/personal": 10.0,
        "train/total_steps": 12.0 * step,
        "train/total_adaptation_steps": 0.0,
        "time/total_s": 1.5,
        "memory/peak_mb": 100.0,
        "compute/gflops": 0.125,
    }
    if step % 2 == 0:
        metrics |= {"val/accuracy": share * val.mean(), "val/best_accuracy": share * val.mean()}
        if test is not None:
            metrics["test/accuracy"] = share * test.mean()
    return RoundDone(trial, step, float(val.mean()), metrics, at)
