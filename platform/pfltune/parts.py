"""Naming the parts of a model: which tensors are the head, the attention, the normalisation.

Each function returns exact names as they stand in ``model.state_dict()``.
"""

from collections.abc import Collection
from typing import Any

from torch import nn

from pfltune.errors import UserError, unknown

NORMS = (
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.modules.batchnorm._NormBase,
)


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


def norms(model: nn.Module) -> tuple[str, ...]:
    """The normalisation layers, of whatever kind; in a ViT these are LayerNorms.

    Torch's own and what is derived of them, and whatever else is called a norm. Only tensors of
    the layer itself: a head or a convolution may contain a normalisation and be named after it.
    """
    layers = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, NORMS) or "norm" in type(module).__name__.lower()
    ]
    own = {
        f"{name}.{tensor}" if name else tensor
        for name, module in layers
        for tensor, _ in (
            *module.named_parameters(recurse=False),
            *module.named_buffers(recurse=False),
        )
    }
    return tuple(name for name in model.state_dict() if name in own)


def named(model: nn.Module, words: str) -> tuple[str, ...]:
    """The parts that a text such as ``head,attn,blocks.3`` names, in the model's order.

    A word is ``all``, ``none``, ``head``, ``norm`` (every normalisation layer), the dotted name of
    a layer or tensor, or one component of such names: ``attn`` is the self-attention of all blocks.

    Raises:
        UserError: a word that names nothing; what there is in the model is listed.
    """
    special = {"all": everything, "none": _nothing, "head": head, "norm": norms}
    found: set[str] = set()
    for word in words.replace(" ", "").split(","):
        if word in special:
            chosen = special[word](model)
        else:
            chosen = tuple(name for name in model.state_dict() if f".{word}." in f".{name}.")
        if not chosen and word != "none":
            raise unknown("part of the model", word, {*special, *_components(model)})
        found |= set(chosen)
    return tuple(name for name in model.state_dict() if name in found)


def blocks(
    model: nn.Module, last: int | None = None, asked: str = "blocks"
) -> dict[str, nn.Module]:
    """The transformer blocks by name, all or the ``last`` ones; ``asked`` is the knob that says so.

    Raises:
        UserError: the model has fewer, or no list of blocks.
    """
    every: Any = getattr(model, "blocks", None)
    if not isinstance(every, nn.Sequential | nn.ModuleList):
        raise UserError(
            f"{type(model).__name__} has no plain list of blocks, as windowed backbones have none"
        )
    count = len(every) if last is None else last
    if count > len(every):
        raise UserError(
            f"{asked}={count} is more than the model's blocks; possible: 0 to {len(every)}"
        )
    return {f"blocks.{i}": every[i] for i in range(len(every) - count, len(every))}


def head(model: nn.Module) -> tuple[str, ...]:
    """The classification head, as timm's ``get_classifier`` names it."""
    return under(model, *_classifiers(model))


def classifier(model: nn.Module) -> nn.Module:
    """The one layer that reads features and answers logits.

    Raises:
        UserError: there is none, or more than one.
    """
    names = _classifiers(model)
    if len(names) > 1:
        raise UserError(
            f"{type(model).__name__} has several heads, {', '.join(names)}, so there are no "
            "features that one head reads"
        )
    return model.get_submodule(names[0])


def freeze(model: nn.Module, *, but: Collection[str] = ()) -> None:
    """Freeze every parameter except those named in ``but``: they never move and never travel."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in but)


def _classifiers(model: nn.Module) -> list[str]:
    find: Any = getattr(model, "get_classifier", lambda: None)
    found = find()
    classifiers = found if isinstance(found, tuple) else (found,)  # DeiT's distilled has two
    names = [name for name, m in model.named_modules() if name and any(m is c for c in classifiers)]
    if not names:
        raise UserError(
            f"{type(model).__name__} has no classification head that timm's get_classifier() names"
        )
    return names


def _nothing(_: nn.Module) -> tuple[str, ...]:
    return ()


def _components(model: nn.Module) -> set[str]:
    """The words of the model's own names, numbers left out."""
    words = {word for name in model.state_dict() for word in name.split(".")}
    return {word for word in words if not word.isdigit()}


def _within(name: str, owner: str) -> bool:
    return name == owner or name.startswith(f"{owner}.")
