"""On a GPU a method waits for nothing, and what goes there and back does not grow."""

from pfltune.federation.compute import Compute
from pfltune.federation.trial import FederatedTrial
from pfltune.testing.broken import Broken
from pfltune.testing.federations import Sizes, small_federation
from pfltune.testing.stand_in import STAND_IN, Guard, Transfers, guarded, stand_in
from pfltune.testing.subject import Subject

CLIENTS = (Sizes(5, 3, 4), Sizes(9, 4, 3))
MOST_RECEIVED = 3
"""What a round brings over: losses, figures of the method's own, the evaluation."""


def keeps_to_the_device(subject: Subject) -> str | None:
    """On a GPU nothing waits for it, nor is mixed with the CPU"""
    for cohort in (1, len(CLIENTS)):
        try:
            first, second = transfers(subject, cohort)
        except NotImplementedError as error:
            return f"torch cannot say: {str(error).partition(':')[0]}"
        if max(first.received, second.received) > MOST_RECEIVED or second.sent > first.sent:
            raise Broken(
                f"at most {MOST_RECEIVED} waits in a round, and no more transfers in the second "
                "round than in the first",
                f"{first} and {second}",
                "bring numbers over in figures() only, and keep tensors on the device",
                "train",
            )
    return None


def transfers(subject: Subject, cohort: int) -> list[Transfers]:
    """What went to a device and back in each of two rounds in which all clients train."""
    federation = small_federation(CLIENTS, rounds=2)
    with stand_in() as counted:
        compute = Compute(device=STAND_IN, cohort=cohort)
        trial = FederatedTrial(guarded(subject.make()), federation, 0, compute)
        return [_of_a_round(trial, counted) for _ in range(2)]


def _of_a_round(trial: FederatedTrial, counted: Transfers) -> Transfers:
    sent, received = counted.sent, counted.received
    with Guard():
        trial.step()
    return Transfers(counted.sent - sent, counted.received - received)
