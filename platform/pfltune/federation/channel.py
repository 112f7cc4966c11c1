"""What lies between a method and the wire: all that travels passes here and is counted here, once.

A payload goes in as it is sent and comes out as it is received. What is to happen to payloads on
their way belongs here, and nowhere else.
"""

from collections.abc import Collection
from dataclasses import dataclass

from pfltune.federation.meter import Totals
from pfltune.federation.payload import MB, payload_bytes
from pfltune.method import Tensors


@dataclass(frozen=True)
class Channel:
    """Carries the payloads of one trial.

    Attributes:
        totals: where their bytes are added up.
        stays: names of the tensors that no client may send.
    """

    totals: Totals
    stays: Collection[str] = ()

    def to_train(self, payload: Tensors) -> Tensors:
        """From the server to a client that trains in this round."""
        self.totals.down += payload_bytes(payload)
        return payload

    def to_evaluate(self, payload: Tensors) -> Tensors:
        """From the server to a client that is only evaluated with it."""
        self.totals.evaluation_down += payload_bytes(payload)
        return payload

    def to_server(self, payload: Tensors, client: int) -> Tensors:
        """From a client that has trained to the server.

        Raises:
            RuntimeError: the method uploads what is to stay on the client.
        """
        kept = sorted(set(self.stays) & set(payload))
        if kept:
            raise RuntimeError(f"the method uploads personal tensors of client {client}: {kept}")
        self.totals.up += payload_bytes(payload)
        return payload


def broadcast_mb(payload: Tensors, clients: int) -> float:
    """MB of what every client is sent once, before the first round."""
    return payload_bytes(payload) * clients / MB
