"""Naming the parts of a model: which tensors are the head, the attention, the normalisation.

Each function returns exact names as they stand in ``model.state_dict()``.
"""

from collections.abc import Collection
from typing import Any

from torch import nn

from pfltune.errors import UserError, unknown


def everything(model: nn.Module) -> tuple[str, ...]:
    """All parameters and buffers of the model that are not frozen."""
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    return tuple(name for name in model.state_dict() if name not in frozen)


def under(model: nn.Module, *prefixes: str) -> tuple[str, ...]:
    """The tensors of the submodules or parameters named by ``prefixes``.

    Raises:
        UserError: a prefix under which the model has nothing; the real ones are listed.
    """
    names = tuple(model.state_dict())
    for prefix in prefixes:
        if not any(_within(name, prefix) for name in names):
            tops = {name.split(".")[0] for name in names}
            raise unknown("part of the model", prefix, tops)
    return tuple(name for name in names if any(_within(name, prefix) for prefix in prefixes))


def of_type(model: nn.Module, *types: type[nn.Module]) -> tuple[str, ...]:
    """The tensors that belong to modules of the given types."""
    owners = [name for name, module in model.named_modules() if isinstance(module, types)]
    return tuple(n for n in model.state_dict() if any(_within(n, owner) for owner in owners))


def head(model: nn.Module) -> tuple[str, ...]:
    """The classification head, as timm's ``get_classifier`` names it."""
    find: Any = getattr(model, "get_classifier", lambda: None)
    classifier = find()
    for name, module in model.named_modules():
        if name and module is classifier:
            return under(model, name)
    raise UserError(
        f"{type(model).__name__} has no classification head that timm's get_classifier() names"
    )


def freeze(model: nn.Module, *, but: Collection[str] = ()) -> None:
    """Freeze every parameter except those named in ``but``: they never move and never travel."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in but)


def _within(name: str, owner: str) -> bool:
    return name == owner or name.startswith(f"{owner}.")
