"""What lies between a method and the wire: all that travels passes here and is counted here, once.

A payload goes in as a method sends it and comes out as it is received. What happens to payloads on
their way are :mod:`pfltune.wraps`; the bytes are those that are left after them.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pfltune.devices import brought_over
from pfltune.errors import Diverged
from pfltune.federation.meter import Totals
from pfltune.federation.payload import payload_bytes
from pfltune.method import Tensors, Update, Wrap, found_under, put_under
from pfltune.randomness import torch_rng


@dataclass(frozen=True)
class Channel:
    """Carries the payloads of one round.

    Attributes:
        totals: where their bytes are added up.
        stays: names of the tensors that no client may send.
        wraps: what every upload passes, in this order; downloads those that are for them.
        seed: of the wraps' draws.
        lost: of each payload whether finite numbers became others on the way, on the device.
    """

    totals: Totals
    stays: Collection[str] = ()
    wraps: tuple[Wrap, ...] = ()
    seed: int = 0
    lost: list[Tensor] = field(default_factory=list)

    def to_train(self, payload: Tensors, client: int, round_number: int) -> Tensors:
        """From the server to a client that trains in this round."""
        size, received = self._down(payload, "training", client, round_number)
        self.totals.down += size
        return received

    def to_evaluate(self, payload: Tensors, client: int, round_number: int) -> Tensors:
        """From the server to a client that is only evaluated with it."""
        size, received = self._down(payload, "evaluation", client, round_number)
        self.totals.evaluation_down += size
        return received

    def to_server(
        self, update: Update, down: Tensors, kept: Tensors, client: int, round_number: int
    ) -> tuple[Tensors, Tensors]:
        """From a client that has trained to the server; what arrives, and what the client keeps.

        Args:
            update: what training gave back.
            down: what the client had received.
            kept: what its last upload left here, see :meth:`Wrap.send`.
            client: its index.
            round_number: the round.

        Raises:
            RuntimeError: the method uploads what is to stay on the client.
        """
        personal = sorted(set(self.stays) & set(update.upload))
        if personal:
            raise RuntimeError(
                f"the method uploads personal tensors of client {client}: {personal}"
            )
        wire, kept = self.sent(update, down, kept, client, round_number)
        self.totals.up += payload_bytes(wire)
        return self._received(update.upload, wire, self.wraps, _reference(update, down)), kept

    def sent(
        self, update: Update, down: Tensors, kept: Tensors, client: int, round_number: int
    ) -> tuple[Tensors, Tensors]:
        """What of an upload is on the wire, and what the client keeps; nothing is counted."""
        wire: Tensors = update.upload
        left: Tensors = {}
        if self.wraps:
            rng = torch_rng(self.seed, "wraps/upload", round_number, client)
            reference = _reference(update, down)
            for number, wrap in enumerate(self.wraps):
                own = found_under(f"{number}/", kept)
                wire, own = wrap.send(wire, reference, own, rng)
                left |= put_under(f"{number}/", own)
        return wire, left

    def see_intact(self, of: str) -> None:
        """See that finite numbers have arrived as such.

        Args:
            of: whose they are, in words.

        Raises:
            Diverged: they have not.
        """
        if self.lost and brought_over([torch.stack(self.lost).any()])[0]:
            raise Diverged(
                f"numbers of {of} did not survive the channel: too large for what "
                "wraps it (float16 ends at 65504)"
            )

    def _down(
        self, payload: Tensors, purpose: str, client: int, round_number: int
    ) -> tuple[int, Tensors]:
        """The bytes on the wire, and what arrives."""
        wraps = tuple(wrap for wrap in self.wraps if wrap.both_ways)
        wire = payload
        if wraps:
            rng = torch_rng(self.seed, f"wraps/{purpose}", round_number, client)
            for wrap in wraps:
                wire, _ = wrap.send(wire, {}, {}, rng)
        return payload_bytes(wire), self._received(payload, wire, wraps, {})

    def _received(
        self, payload: Tensors, wire: Tensors, wraps: tuple[Wrap, ...], reference: Tensors
    ) -> Tensors:
        received = wire
        for wrap in reversed(wraps):
            received = wrap.receive(received, reference)
        if wraps and (before := _finite(payload)):
            arrived = _finite(received) or before
            self.lost.append(torch.stack(before).all() & ~torch.stack(arrived).all())
        return received


def _reference(update: Update, down: Tensors) -> Tensors:
    """What both ends have of an upload: what went down, of which a change is none."""
    if not update.change:
        return down
    return {name: torch.zeros_like(tensor) for name, tensor in down.items()}


def _finite(tensors: Tensors) -> list[Tensor]:
    """Of each tensor of numbers whether all of them are finite."""
    return [t.isfinite().all() for t in tensors.values() if t.is_floating_point()]
