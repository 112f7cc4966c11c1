"""What every backbone has in common: how a trial's model is made, and its start weights."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field, field_validator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from pfltune import parts
from pfltune.data.home import own_path
from pfltune.errors import UserError
from pfltune.method import Tensors
from pfltune.plugins import Plugin, running
from pfltune.randomness import isolated
from pfltune.sources import code_digest


class Backbone(Plugin):
    """The model that clients train; a subclass makes it, and may have settings of its own."""

    noun = "backbone"
    key = "name"
    hooks = ("create",)
    sources: ClassVar[tuple[str, ...]] = ("random", "warm-start")
    """What ``weights`` may be beside a file."""

    name: str = Field(description="timm, or FILE.py:CLASS")
    weights: str = Field(
        "random", description="random, pretrained, warm-start, or the path of a .safetensors file"
    )
    image_size: int = Field(224, ge=4, description="side of the square input in pixels")

    @field_validator("weights")
    @classmethod
    def _known_weights(cls, weights: str) -> str:
        if weights not in cls.sources and not weights.endswith(".safetensors"):
            choices = ", ".join(cls.sources)
            raise ValueError(
                f"{weights!r} is not possible; choose from: {choices}, FILE.safetensors"
            )
        return weights

    def create(self, classes: int, channels: int) -> nn.Module:
        """The model: images (batch, channels, image_size, image_size) to logits (batch, classes).

        Start weights are drawn from torch's global generator, which is seeded. ``get_classifier()``
        of the model gives its head, for methods that keep the head on the client; ``blocks`` its
        transformer blocks, for those that add to these.

        Args:
            classes: outputs of the head.
            channels: colour channels of the input.
        """
        raise NotImplementedError

    def build(self, classes: int, channels: int, seed: int) -> nn.Module:
        """The model with random weights that depend on ``seed`` alone.

        Args:
            classes: outputs of the head.
            channels: colour channels of the input.
            seed: seed of the initialisation.

        Raises:
            UserError: there is no such model, or not in these sizes.
        """
        with running(self, seed), isolated(seed, "backbone"):
            return self.create(classes, channels)

    def try_out(self, classes: int, channels: int, seed: int) -> nn.Module:
        """The same, of which it is known that it classifies an image.

        Raises:
            UserError: it does not.
        """
        model = self.build(classes, channels, seed)
        if self.is_strangers:
            with running(self), torch.no_grad():
                self._check_answer(model, classes, channels)
        return model

    def stored_weights(self, classes: int, channels: int) -> Tensors | None:
        """The weights of a file, fitted to this backbone; None for random and warm-started ones.

        A head for other classes is left out, so that it begins as each seed draws it.

        Raises:
            UserError: the file is not there, or belongs to another backbone.
        """
        if self.weights in self.sources:
            return None
        return self._from_file(own_path(self.weights), classes, channels)

    def identity(self) -> dict[str, Any]:
        """What its models follow from beside their start weights, as plain data."""
        settings = self.by_content()
        del settings["weights"]
        return {**settings, "code": code_digest(type(self))} if self.is_strangers else settings

    def _from_file(self, path: Path, classes: int, channels: int) -> Tensors:
        weights = read_weights(path)
        model = self.build(classes, channels, seed=0)
        head = check_names(path, self.called, model, weights)
        state = model.state_dict()
        if any(name in weights and weights[name].shape != state[name].shape for name in head):
            weights = {name: t for name, t in weights.items() if name not in head}
        wrong = sorted(name for name, t in weights.items() if t.shape != state[name].shape)
        if wrong:
            raise UserError(
                f"{path} does not fit {self.called}: {wrong[0]} is {tuple(weights[wrong[0]].shape)}"
                f", not {tuple(state[wrong[0]].shape)}"
            )
        return weights

    def _check_answer(self, model: object, classes: int, channels: int) -> None:
        if not isinstance(model, nn.Module):
            raise UserError(f"{self.called}: create() gives {type(model).__name__}, no nn.Module")
        answer = model.eval()(torch.zeros(2, channels, self.image_size, self.image_size))
        if not isinstance(answer, torch.Tensor) or tuple(answer.shape) != (2, classes):
            told = getattr(answer, "shape", type(answer).__name__)
            told = tuple(told) if isinstance(told, torch.Size) else told
            raise UserError(
                f"{self.called}: its answer to 2 images of {classes} classes is {told}, it must "
                f"be logits of shape {(2, classes)}"
            )


def read_weights(path: Path) -> Tensors:
    """The tensors of a .safetensors file.

    Raises:
        UserError: it is none.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read as safetensors: {error}") from error


def check_names(path: Path, whose: str, model: nn.Module, found: Collection[str]) -> set[str]:
    """See that a file holds the model's tensors, maybe without the head; returns the head's names.

    Raises:
        UserError: it holds others.
    """
    head, expected = set(parts.head(model)), set(model.state_dict())
    wrong = sorted((expected - head - set(found)) | (set(found) - expected))
    if wrong:
        raise UserError(
            f"{path} is not of {whose}: {len(wrong)} names differ, {wrong[0]} among them"
        )
    return head


def body(model: nn.Module) -> Tensors:
    """All tensors but the head's."""
    head = parts.head(model)
    return {name: t for name, t in model.state_dict().items() if name not in head}
