"""On a GPU a method waits for nothing, and what goes there and back does not grow."""

from dataclasses import replace

from pfltune.federation.compute import Compute
from pfltune.federation.trial import FederatedTrial
from pfltune.testing.broken import Broken
from pfltune.testing.federations import Sizes, small_federation
from pfltune.testing.stand_in import STAND_IN, Guard, Transfers, guarded, stand_in
from pfltune.testing.subject import Subject

CLIENTS = (Sizes(5, 3, 4), Sizes(9, 4, 3))
ROUNDS = 3
OF_A_ROUND = 3
"""Waits of the engine: for losses, figures of the method's own, an evaluation."""
OF_A_STEP = 2
"""Waits that a method may have beside these, for each local step."""


def keeps_to_the_device(subject: Subject) -> str | None:
    """On a GPU nothing waits for it, nor is mixed with the CPU"""
    for cohort in (1, len(CLIENTS)):
        try:
            rounds = transfers(subject, cohort)
        except NotImplementedError as error:
            return f"torch cannot say: {str(error).partition(':')[0]}"
        *_, before, last = (counted for counted, _ in rounds)
        many = any(c.received > OF_A_ROUND + OF_A_STEP * steps for c, steps in rounds)
        if many or last.sent > before.sent or last.received > before.received:
            raise Broken(
                f"at most {OF_A_ROUND} waits in a round and {OF_A_STEP} for each local step, and "
                "no more transfers from round to round",
                f"{before} and then {last}",
                "keep tensors on the device, and bring together what must come over",
                "train",
            )
    return None


def transfers(subject: Subject, cohort: int) -> list[tuple[Transfers, int]]:
    """What went to a device and back in each round of a trial, and its local steps.

    All clients train in each round.
    """
    federation = small_federation(CLIENTS, rounds=ROUNDS)
    with stand_in() as counted:
        compute = Compute(device=STAND_IN, cohort=cohort)
        trial = FederatedTrial(guarded(subject.make()), federation, 0, compute)
        return [_of_a_round(trial, counted) for _ in range(ROUNDS)]


def _of_a_round(trial: FederatedTrial, counted: Transfers) -> tuple[Transfers, int]:
    before, steps = replace(counted), trial.totals.steps
    with Guard():
        trial.step()
    return counted.since(before), trial.totals.steps - steps
