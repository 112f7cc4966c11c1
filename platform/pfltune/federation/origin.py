"""Whose tensors a client predicts with: the server's, its own, or such as were made of them."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from pfltune.method import Tensors

Places = Mapping[int, str]


class Origin(NamedTuple):
    """A model that is made of the very tensors of one side.

    Attributes:
        whose: they are.
        names: of each of the model's tensors, there and here.
    """

    whose: Literal["server", "client"]
    names: tuple[tuple[str, str], ...]


def apart(server: Tensors) -> Tensors:
    """The same tensors as objects that nobody else has, so that it shows where they have gone."""
    return {name: tensor.detach() for name, tensor in server.items()}


def places(tensors: Tensors) -> Places:
    """Under which name each tensor is found, by its ``id``."""
    return {id(tensor): name for name, tensor in tensors.items()}


def origin_of(model: Tensors, server: Places, own: Tensors) -> Origin | None:
    """Whose a client's tensors are; None where they are of both sides, or were made anew.

    Args:
        model: what the client predicts with.
        server: where the server's tensors are, of :func:`apart`, from which it has downloaded.
        own: its personal state.
    """
    return _all_of(model, "server", server) or _all_of(model, "client", places(own))


def _all_of(model: Tensors, whose: Literal["server", "client"], known: Places) -> Origin | None:
    if not all(id(tensor) in known for tensor in model.values()):
        return None
    return Origin(whose, tuple((name, known[id(tensor)]) for name, tensor in model.items()))
