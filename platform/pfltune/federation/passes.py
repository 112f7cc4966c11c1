"""How much of a client's training samples a phase reads."""

from pfltune.federation.federation import Rounds
from pfltune.method import Phase


def epochs_of(phase: Phase, protocol: Rounds) -> int:
    """Passes over the client's samples, unless its steps end before."""
    return protocol.local_epochs if phase.epochs is None else phase.epochs


def samples_of(phase: Phase, held: int) -> int:
    """So many of ``held`` samples are read in an epoch."""
    return max(1, round(phase.share * held))


def reads_again(phase: Phase, protocol: Rounds, held: int) -> bool:
    """Whether more is read than ``held`` samples once."""
    of_epochs = epochs_of(phase, protocol) * samples_of(phase, held)
    of_steps = of_epochs if phase.steps is None else phase.steps * protocol.batch_size
    return phase.batches * min(of_epochs, of_steps) > held
