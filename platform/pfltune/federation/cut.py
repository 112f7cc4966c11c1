"""Where in a model that begins which moves in a phase, found by trying the model out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pfltune import parts
from pfltune.devices import brought_over
from pfltune.errors import UserError
from pfltune.federation.functional import FunctionalModel
from pfltune.isolation import draws
from pfltune.method import Tensors

Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Cut:
    """A module before which nothing moves.

    Attributes:
        module: the first that what moves has a part in.
        rest: the model from there on: its answer to what ``module`` is given.
    """

    module: nn.Module
    rest: Run


def cut_of(function: FunctionalModel, tensors: Tensors, moving: Tensors, x: Tensor) -> Cut | None:
    """The last place of a model before which nothing depends on what moves, if there is any.

    The model is tried out in the mode in which it is, on one image beside others. What a place is
    given must be a matter of the image and of tensors that stand still alone: not of what moves, of
    the other images, of draws or of earlier calls. Nor may the model write anything down. From
    there on it must answer to the last bit as the whole model does.

    Args:
        function: the model.
        tensors: of a client.
        moving: those of them that move.
        x: one image (1, channels, size, size).
    """
    if moving.keys().isdisjoint(function.names):
        return None
    try:
        return _tried_out(function, tensors, moving, x)
    except Exception:  # not made for such images or numbers: nothing is known, so nothing is cut
        return None


def _tried_out(
    function: FunctionalModel, tensors: Tensors, moving: Tensors, x: Tensor
) -> Cut | None:
    model, cuts = function.model, list(_places(function.model))
    # Copies, in case the model writes into what it is given, as into a BatchNorm's statistics.
    tensors = {n: t.detach().clone().requires_grad_(n in moving) for n, t in tensors.items()}
    before = draws(), _written(model, tensors)
    here, elsewhere = torch.cat([x, x.flip(-1)]), torch.cat([x, torch.zeros_like(x)])
    with torch.enable_grad():
        answer, given = function.listening(tensors, here, [cut.module for cut in cuts])
    heard = zip(cuts, given, strict=True)
    still = [(cut, at) for cut, at in heard if at is not None and not at.requires_grad]
    if not still:
        return None
    cut, at = still[0]
    with torch.no_grad():
        # What reads a moving tensor in a way that has no gradient, reads this.
        unknown = {name: torch.full_like(t, torch.nan) for name, t in moving.items()}
        other = function.given(cut.module, {**tensors, **unknown}, elsewhere)
        again = function(tensors, at, cut.rest)
    if (draws(), _written(model, tensors)) != before or other.shape != at.shape:
        return None
    same = torch.stack([_equal(other[0], at[0]), _equal(again, answer)]).all()
    return cut if brought_over([same])[0] else None


def _places(model: Any) -> Iterator[Cut]:
    """Where a model may be cut, the last place first: its head, and what timm's ViTs have."""
    if model._forward_hooks or model._forward_pre_hooks:
        return
    try:
        head = parts.classifier(model)
    except UserError:
        return
    yield Cut(head, head)
    blocks, norm, end = (getattr(model, name, None) for name in ("blocks", "norm", "forward_head"))
    if not isinstance(blocks, nn.Sequential | nn.ModuleList) or norm is None or end is None:
        return
    every = list(blocks)
    for number in range(len(every), 0, -1):
        chain = nn.Sequential(*every[number:], norm)
        yield Cut(chain[0], lambda x, chain=chain: end(chain(x)))  # type: ignore[misc]


def _written(model: nn.Module, tensors: Tensors) -> list[tuple[int, int]]:
    """Tells whether anything that the model keeps or was given was replaced or written into."""
    every = (*model.parameters(), *model.buffers(), *tensors.values())
    return [(id(t), t._version) for t in every]


def _equal(a: Tensor, b: Tensor) -> Tensor:
    return (a == b).all()
