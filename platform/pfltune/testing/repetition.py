"""A trial is a pure function of its arguments: repeated, resumed, reordered."""

from unittest.mock import patch

from pfltune.federation.trial import FederatedTrial
from pfltune.figures import STEPS, VAL
from pfltune.testing.broken import Broken
from pfltune.testing.federations import ROUNDS, small_federation
from pfltune.testing.runs import (
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


def trains(subject: Subject) -> None:
    """A trial runs to its end on finite numbers, and is evaluated"""
    last = straight(subject).metrics[-1]
    if not last[STEPS.name] or VAL.name not in last:
        raise Broken(
            "local steps in each round",
            "none",
            "train through work.fit(), or over work.batches()",
            "train",
        )


def repeats_itself(subject: Subject) -> None:
    """A trial that is started twice gives the same bits"""
    again = trial_of(subject)
    figures = other_figures(run(again), straight(subject).metrics)
    changed = differing(state_of(again), straight(subject).states[-1])
    if figures or changed:
        raise Broken(
            "the same figures and tensors with the same seed",
            f"other {figures or some(changed)}",
            "something depends on the process, the clock, a generator of its own or the order of a "
            "set: draw from start.rng or work.generator(), and keep nothing on self",
        )


def resumes(subject: Subject) -> None:
    """A run resumed after any round equals the straight one bit for bit"""
    recording = straight(subject)
    for after in range(1, ROUNDS):
        trial = resumed(subject, recording.checkpoints[after - 1])
        figures = other_figures(run(trial), recording.metrics[after:])
        changed = differing(state_of(trial), recording.states[-1])
        if figures or changed:
            raise Broken(
                f"after a stop in round {after}, what the run without a stop gives",
                f"other {figures or some(changed)}",
                "keep every state in the server's and clients' tensors, nothing on self or in the "
                "module, and draw from start.rng or work.generator(), not from a generator of "
                "your own",
                "train" if "train" in vars(subject.cls) else "aggregate",
            )


def has_no_order_of_clients(subject: Subject) -> None:
    """The order in which sampled clients are named does not matter"""
    everybody = small_federation(sampled_clients=4)
    forwards, backwards = trial_of(subject, everybody), trial_of(subject, everybody)
    expected = run(forwards, rounds=2)
    sampled = FederatedTrial.sampled_clients
    with patch.object(
        FederatedTrial, "sampled_clients", lambda self, number: sampled(self, number)[::-1]
    ):
        figures = other_figures(run(backwards, rounds=2), expected)
    changed = differing(state_of(backwards), state_of(forwards))
    if figures or changed:
        raise Broken(
            "the same figures and tensors in whatever order clients are sampled",
            f"other {figures or some(changed)}",
            "let nothing of one client be left for the next one",
            "train",
        )
