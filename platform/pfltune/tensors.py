"""Named tensors: what travels, stays and moves, and the arithmetic that methods do with it."""

from collections.abc import Callable

import torch
from torch import Tensor

from pfltune.errors import UserError

Tensors = dict[str, Tensor]
WRITES = "mutate a captured Tensor"
"""What torch says of a function with side effects."""


def put_under(prefix: str, tensors: Tensors) -> Tensors:
    """The tensors with ``prefix`` before each name, so that they lie beside others of that name."""
    return {prefix + name: value for name, value in tensors.items()}


def found_under(prefix: str, tensors: Tensors) -> Tensors:
    """Those whose name begins with ``prefix``, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def not_under(prefix: str, tensors: Tensors) -> Tensors:
    """Those whose name does not begin with ``prefix``."""
    return {name: value for name, value in tensors.items() if not name.startswith(prefix)}


def squared_distance(a: Tensors, b: Tensors) -> Tensor:
    """‖a − b‖² over the tensors named in ``a``; ``b`` may hold more."""
    return torch.stack([(value - b[name]).square().sum() for name, value in a.items()]).sum()


def dot(a: Tensors, b: Tensors) -> Tensor:
    """⟨a, b⟩ over the tensors named in ``a``; ``b`` may hold more."""
    return torch.stack([(value * b[name]).sum() for name, value in a.items()]).sum()


def gradient(loss: Callable[[Tensors], Tensor], at: Tensors) -> Tensors:
    """∇loss at the point ``at``, as constants: nothing is differentiated through them.

    Raises:
        UserError: the loss writes into tensors, as BatchNorm does when it trains.
    """
    here = {name: value.detach() for name, value in at.items()}
    try:
        return torch.func.grad(loss)(here)
    except RuntimeError as error:
        if WRITES not in str(error):
            raise
        raise UserError(
            "gradient() cannot go through what writes into tensors in place, as BatchNorm writes "
            "its statistics when it trains; freeze such layers, or take a backbone without them"
        ) from error
