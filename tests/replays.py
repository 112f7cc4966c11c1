"""Replays of claims as they stand in their folders, with figures that a test chooses."""

from collections.abc import Mapping

import numpy as np
from comparisons import Fake, record, record_of

from pfltune.claim_file import Claim
from pfltune.layers import LAYERS
from pfltune.record import Sensitivity
from pfltune.replays import Part, Replay
from pfltune.tracking.events import RoundDone, TrialEnded, TrialStarted
from pfltune.tracking.journal import JOURNAL, Journal
from pfltune.tracking.store import Store

CLAIM = {
    "name": "heads",
    "title": "A personal head is worth having",
    "paper": "On heads",
    "citation": "Somebody, 2026",
    "methods": ["fedper", "fedavg", "local"],
    "orderings": ["fedper > fedavg, local", "fedper < fedavg in comm/total_mb"],
    "published": {"source": "Table 1", "accuracy": {"fedper": 60.0, "fedavg": 50.5}},
    "scales": {"tiny": {"footings": {"draws": 2, "sensitivity": {"seeds": 2}}}},
}
SEEDS, CLIENTS = 5, 12


def claim(**changed) -> Claim:
    """A claim on three methods."""
    return Claim.model_validate({**CLAIM, **changed})


def accuracies(mean: float, spread: float = 0.02, seed: int = 0) -> np.ndarray:
    """Of each client with each seed: a mean and what seed, client and both do to it."""
    rng = np.random.default_rng(seed)
    parts = (rng.normal(size=shape) for shape in ((SEEDS, 1), (1, CLIENTS), (SEEDS, CLIENTS)))
    return np.clip(mean + spread * sum(parts) / 3, 0, 1)


def replay(found: Claim, footings: tuple[str, ...] = ("trials",), name: str = "r") -> Replay:
    """The replay of a claim at its first scale."""
    commands = {"sensitivity": "sensitivity"}
    parts = tuple(
        Part(
            name=f"{name}.{footing}",
            footing=footing,
            command=commands.get(footing, "compare"),
            options={},
        )
        for footing in footings
    )
    return Replay(name=name, claim=found, scale=next(iter(found.scales)), parts=parts)


def compared(store: Store, name: str, means: Mapping[str, float], **changed) -> None:
    """Write the comparison of a part: methods by their mean test accuracy."""
    methods = {
        method: Fake(method.title(), accuracies(mean, seed=place), up_mb=1.0 + place)
        for place, (method, mean) in enumerate(means.items())
    }
    record(store, name, methods, mirrored=False, **changed)


def studied(store: Store, name: str, means: Mapping[str, float]) -> None:
    """Write the sensitivity study of a part: layers by their mean test accuracy."""
    nothing = Fake("Sensitivity", np.zeros((SEEDS, 1)))
    budget = Sensitivity(lr=0.03, seeds=SEEDS, seed=0)
    made = record_of({"fedsim": nothing}, name).model_copy(
        update={"command": "sensitivity", "budget": budget}
    )
    folder = store.results / name
    made.write(folder)
    journal = Journal(folder / JOURNAL, made.id)
    for place, layer in enumerate(LAYERS):
        for seed, test in enumerate(accuracies(means.get(layer, 0.3), seed=place)):
            trial = f"{layer}-{seed}"
            knobs = {"lr": 0.03, "personal": layer}
            journal.append(TrialStarted(trial, "fedsim", "confirm", seed, -1, 100 + seed, knobs, 1))
            figures = {"test/accuracy": float(test.mean()), "comm/total_mb": 1.0}
            journal.append(RoundDone(trial, 1, float(test.mean()), figures, 2))
            chosen = {"round": 1, "val": test.tolist(), "test": test.tolist()}
            journal.append(TrialEnded(trial, "finished", 1, "", chosen, 3))
    journal.close()
