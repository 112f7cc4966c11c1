"""What of a method stays on a client, and what a client must be sent once."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pfltune.federation.channel import Channel
from pfltune.federation.federation import Federation
from pfltune.federation.meter import Totals
from pfltune.federation.payload import MB, payload_bytes
from pfltune.federation.roles import Roles
from pfltune.federation.setup import Setup, set_up
from pfltune.method import Method, Tensors


def personal_parameters(method: Method, roles: Roles, down: Tensors, personal: Tensors) -> Tensors:
    """The personal tensors that a client's model consists of, or is made of.

    What else stays on a client, such as the state of an optimizer, is none of its parameters: the
    model that it predicts with does not depend on it.
    """
    own = {name: t for name, t in personal.items() if name in roles.names}
    leaves = {
        name: t.detach().requires_grad_()
        for name, t in personal.items()
        if name not in own and t.is_floating_point()
    }
    with torch.enable_grad():
        model = method.assemble(down, {**personal, **leaves})
        made = [t.sum() for n, t in model.items() if n in roles.names and t.requires_grad]
        if not made:
            return own
        slopes = torch.autograd.grad(made, list(leaves.values()), allow_unused=True)
    moving = zip(leaves, slopes, strict=True)
    return own | {name: personal[name] for name, slope in moving if slope is not None}


@dataclass(frozen=True)
class SentOnce:
    """Start weights that reach clients beside the rounds, since no seed makes them again.

    Attributes:
        first: what each client gets that trains in the first round.
        later: what each of the others gets, who were not there when all downloaded the start.
    """

    first: Tensors
    later: Tensors


def sent_once(method: Method, federation: Federation, seed: int) -> SentOnce:
    """What of the start weights a client must have beside what it downloads.

    That is what is frozen, and what its first state holds that depends on them: personal parts,
    and copies of what is shared. A client of the first round has a copy in its download if it is
    there to the last bit, after all that the payload passes on its way. A copy is sent under the
    name of the start tensor, once, however often it is kept.
    """
    if federation.weights is None:
        return SentOnce({}, {})
    began, made = (
        _set_up(method, each, seed) for each in (federation, replace(federation, weights=None))
    )
    start, bare = began.model.state_dict(), made.model.state_dict()
    frozen = {n: start[n] for n in began.roles.frozen if not _equal(start[n], bare[n])}
    keeps, makes = began.first_state(0), made.first_state(0)
    copies: Tensors = {}
    for own, value in keeps.items():
        if not _equal(value, makes.get(own)) and _like(value, frozen) is None:
            copies[own if own in start else _like(value, start) or own] = value
    channel = Channel(Totals(), wraps=method.wraps(), seed=seed)
    down = channel.to_train(method.download(began.server, 0), 0, 1)
    missing = {name: value for name, value in copies.items() if _like(value, down) is None}
    return SentOnce(frozen | missing, frozen | copies)


def setup_mb(method: Method, federation: Federation, seed: int) -> float:
    """MB of all that is sent once, to all clients together, see :func:`sent_once`."""
    sent = sent_once(method, federation, seed)
    first = len(federation.sampled_clients(1, seed))
    others = len(federation.clients) - first
    return (first * payload_bytes(sent.first) + others * payload_bytes(sent.later)) / MB


def server_mb(server_of: Callable[[int], Tensors], clients: int) -> float:
    """MB of the server's first state with many clients, which is not made.

    It is read off those with one, two and three clients, from which it follows if nothing in it
    grows faster than the number of pairs of clients.

    Args:
        server_of: see :class:`Setup`.
        clients: their number.
    """
    one, two = (_nbytes(server_of(number)) for number in (1, 2))
    if one == two or clients == 1:
        return one / MB
    slope, bend = two - one, _nbytes(server_of(3)) - 2 * two + one
    return (one + (clients - 1) * slope + (clients - 1) * (clients - 2) // 2 * bend) / MB


def _nbytes(tensors: Tensors) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def _set_up(method: Method, federation: Federation, seed: int) -> Setup:
    """As the trial begins, on the CPU and as if there were one client."""
    return set_up(method, federation.build_backbone(seed), 1, seed, torch.device("cpu"))


def _like(value: Tensor, others: Tensors) -> str | None:
    """The name of a tensor of the same values."""
    return next((name for name, other in others.items() if _equal(value, other)), None)


def _equal(a: Tensor, b: Tensor | None) -> bool:
    return b is not None and a.dtype == b.dtype and torch.equal(a, b)
