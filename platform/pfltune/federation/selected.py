"""What is kept of the round that is selected so far, of a trial whose models are wanted."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pfltune.federation.states import PersonalStates
from pfltune.method import Tensors


@dataclass(frozen=True)
class Selected:
    """The state of a federation in one round, beside the server's.

    Attributes:
        round: its number.
        personal: of each client after the round; not to be changed.
        trained: the clients that had trained by then, with the round in which each last did.
        before: the server's state before the round, where clients are evaluated right after their
            training: those that were not sampled predict with it.
        models: what the others predicted with there; None where all clients have the aggregate.
    """

    round: int
    personal: PersonalStates
    trained: Mapping[int, int]
    before: Tensors = field(default_factory=dict)
    models: PersonalStates | None = None

    @property
    def sampled(self) -> list[int]:
        """The clients that predicted with what their training had just given them."""
        if self.models is None:
            return []
        return [client for client, last in sorted(self.trained.items()) if last == self.round]
