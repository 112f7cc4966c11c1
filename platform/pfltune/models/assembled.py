"""A client's model as a module: the backbone, what its method adds, the client's tensors."""

from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from pfltune.backbones import AnyBackbone
from pfltune.backbones.base import Backbone
from pfltune.data.images import Images, Preprocessing
from pfltune.errors import UserError
from pfltune.federation.searched_settings import without_settings
from pfltune.isolation import contained
from pfltune.method import Method, Tensors
from pfltune.models.kept import KeptModel
from pfltune.randomness import isolated
from pfltune.registry import make_method


class Classifier(nn.Module):
    """uint8 images (batch, channels, height, width) to logits, float32 (batch, classes).

    Args:
        model: takes what the preprocessing makes of them.
        preprocessing: colours and normalisation.
        size: side of the square that the model takes; others are resized.
    """

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, size: int) -> None:
        super().__init__()
        self.model = model
        self.preprocessing = preprocessing
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        none = images.new_zeros(0)
        ready = Images(none, none, self.size, self.preprocessing).ready(images)
        logits: Tensor = self.model(ready)
        return logits.float()


def backbone_of(manifest: KeptModel) -> Backbone:
    """The backbone of a manifest, whose file of code has been compared.

    Raises:
        UserError: there is none like that here.
    """
    recorded = manifest.scenario.backbone
    raw = {**recorded.model_dump(), recorded.key: recorded.reference}
    try:
        found: Backbone = TypeAdapter(AnyBackbone).validate_python(raw)
    except ValidationError as error:
        first = error.errors()[0]["msg"]
        raise UserError(f"the backbone of {manifest.trial}: {first}") from error
    return found


def method_of(manifest: KeptModel) -> Method:
    """The method with the trial's knobs, whose file of code has been compared.

    Raises:
        UserError: there is none like that here.
    """
    return make_method(manifest.method, without_settings(manifest.knobs))


def classes_and_channels(manifest: KeptModel) -> tuple[int, int]:
    """Outputs of the model's head, and the colours that it reads."""
    bundle, preprocessing = manifest.bundle, manifest.scenario.preprocessing
    return len(bundle.class_names), preprocessing.channels(bundle.image[0])


def bare_model(manifest: KeptModel) -> nn.Module:
    """The backbone without anything of the method's, as the trial found it."""
    return backbone_of(manifest).build(*classes_and_channels(manifest), manifest.seed)


def grafted_model(manifest: KeptModel) -> nn.Module:
    """The backbone with what the method adds, as the trial began with it."""
    model, method = bare_model(manifest), method_of(manifest)
    with contained(type(method).__name__), isolated(manifest.seed, "graft"):
        method.graft(model)
    return model


def model_of(manifest: KeptModel, tensors: Tensors) -> nn.Module:
    """The model of a client, to be asked: nothing of it moves any more.

    Args:
        manifest: what it is; the code that it needs has been compared.
        tensors: all that the model is made of, by name; others mean nothing to it.

    Raises:
        UserError: they are another model's.
    """
    _see_size(manifest, tensors)
    model = grafted_model(manifest)
    state = model.state_dict()
    if missing := sorted(state.keys() - tensors.keys()):
        raise UserError(f"{manifest.trial} lacks {len(missing)} tensors, {missing[0]} among them")
    others = [n for n, own in state.items() if not _alike(tensors[n], own)]
    fixed = bare_model(manifest).state_dict() if others else {}
    for name in others:
        found, own = tensors[name], state[name]
        if name in fixed or found.dtype != own.dtype or not _is_part(found, own):
            raise UserError(
                f"{manifest.trial}: {name} is {found.dtype} {tuple(found.shape)}, the model has "
                f"{own.dtype} {tuple(own.shape)} there"
            )
        _replaced(model, name, found)
    model.load_state_dict({name: tensors[name] for name in state})
    return model.eval().requires_grad_(False)


def _alike(found: Tensor, own: Tensor) -> bool:
    return (found.shape, found.dtype) == (own.shape, own.dtype)


def _is_part(found: Tensor, own: Tensor) -> bool:
    """Whether a tensor of the method's own is one of fewer rows or columns, as of a lower rank."""
    return found.dim() == own.dim() and all(
        0 < a <= b for a, b in zip(found.shape, own.shape, strict=True)
    )


def _replaced(model: nn.Module, name: str, found: Tensor) -> None:
    """Make room for a tensor of another size."""
    owner, _, leaf = name.rpartition(".")
    module = model.get_submodule(owner)
    if leaf in module._parameters:
        setattr(module, leaf, nn.Parameter(torch.empty_like(found), requires_grad=False))
    else:
        setattr(module, leaf, torch.empty_like(found))


def classifier_of(manifest: KeptModel, tensors: Tensors) -> Classifier:
    """The same with its preprocessing, see :class:`Classifier`."""
    scenario = manifest.scenario
    model = model_of(manifest, tensors)
    return Classifier(model, scenario.preprocessing, scenario.backbone.image_size).eval()


def is_plain(manifest: KeptModel) -> bool:
    """Whether the method leaves the backbone what it is: modules, tensors, and what they do."""
    bare, grafted = bare_model(manifest), grafted_model(manifest)
    return _anatomy(bare) == _anatomy(grafted)


def _anatomy(model: nn.Module) -> list[tuple[Any, ...]]:
    """Of each module its name, its kind, its tensors, and whether it was given something to do."""
    hooks = ("_forward_hooks", "_forward_pre_hooks")
    return [
        (
            *(name, type(module), [*module._parameters], [*module._buffers]),
            *(bool(getattr(module, hook)) for hook in hooks),
            *("forward" in vars(module), module.extra_repr()),
        )
        for name, module in model.named_modules()
    ]


def _see_size(manifest: KeptModel, tensors: Tensors) -> None:
    """See that a file holds a model of the size that it says, before there is one.

    On torch's device ``meta`` tensors have a shape and take no memory. A backbone of the user's own
    code need not know it.
    """
    backbone = backbone_of(manifest)
    if backbone.is_strangers:
        return
    try:
        with torch.device("meta"):
            bare = backbone.create(*classes_and_channels(manifest))
    except RuntimeError:  # an architecture that reads values while it is made
        return
    # Numbers and not bytes: a method may keep weights that stand still in fewer bits.
    needed = sum(t.numel() for t in bare.state_dict().values())
    there = sum(t.numel() for t in tensors.values())
    if there < needed:
        raise UserError(
            f"{manifest.trial} says that its model has {needed:,} numbers, and there are {there:,}"
        )
