"""Vision transformers from timm, and where their start weights come from."""

import logging
import re
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from pfltune import parts
from pfltune.data.home import own_path
from pfltune.errors import UserError, unknown
from pfltune.method import Tensors
from pfltune.randomness import isolated
from pfltune.settings import Settings

WEIGHTS = ("random", "pretrained", "warm-start")
TRANSFORMERS = ["*vit*", "*deit*", "beit*", "cait*", "eva*", "swin*", "xcit*"]


class Backbone(Settings):
    """A vision transformer by its timm name, with sizes of one's own where they are given."""

    model: str = Field("vit_tiny_patch16_224", description="timm's name of the architecture")
    weights: str = Field(
        "random", description="random, pretrained, warm-start, or the path of a .safetensors file"
    )
    image_size: int = Field(224, ge=4, description="side of the square input in pixels")
    patch_size: int | None = Field(None, ge=1, description="side of a patch in pixels")
    width: int | None = Field(None, ge=8, description="token width d")
    depth: int | None = Field(None, ge=1, description="number of blocks")
    heads: int | None = Field(None, ge=1, description="attention heads per block")

    @field_validator("model")
    @classmethod
    def _timms_own_name(cls, model: str) -> str:
        """The hub's pages say hf-hub:timm/NAME and timm/NAME."""
        return re.sub(r"^(hf[-_]hub:)?timm/", "", model)

    @field_validator("weights")
    @classmethod
    def _known_weights(cls, weights: str) -> str:
        if weights not in WEIGHTS and not weights.endswith(".safetensors"):
            raise ValueError(
                f"{weights!r} is not possible; choose from: {', '.join(WEIGHTS)}, FILE.safetensors"
            )
        return weights

    def build(self, classes: int, channels: int, seed: int) -> nn.Module:
        """The model with random weights that depend on ``seed`` alone.

        Args:
            classes: outputs of the head.
            channels: colour channels of the input.
            seed: seed of the initialisation.

        Raises:
            UserError: timm has no such model, or not in these sizes.
        """
        with isolated(seed, "backbone"):
            return self._create(classes, channels)

    def stored_weights(self, classes: int, channels: int) -> Tensors | None:
        """Pretrained weights or those of a file, fitted to this backbone; None for the others.

        timm resamples position embeddings and patch embeddings to the sizes asked for, and adapts
        the first layer to the channels. A head for other classes is left out, so that it begins as
        each seed draws it.

        Raises:
            UserError: the file or the download is not there, or belongs to another backbone.
        """
        if self.weights in ("random", "warm-start"):
            return None
        if self.weights == "pretrained":
            return self._pretrained(classes, channels)
        return self._from_file(own_path(self.weights), classes, channels)

    def _pretrained(self, classes: int, channels: int) -> Tensors:
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of every retry
        try:
            model = self._create(classes, channels, pretrained=True)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"the pretrained weights of {self.model} are not here and cannot be downloaded "
                f"({type(error).__name__}); give weights: FILE.safetensors, or use weights: random"
            ) from error
        return _body(model)

    def _from_file(self, path: Path, classes: int, channels: int) -> Tensors:
        try:
            shapes = {name: t.shape for name, t in load_file(path).items()}
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path} cannot be read as safetensors: {error}") from error
        bare = self._create(classes, channels)
        head = set(parts.head(bare))
        expected = bare.state_dict().keys()
        wrong = sorted((expected - head - shapes.keys()) | (shapes.keys() - expected))
        if wrong:
            raise UserError(
                f"{path} is not of {self.model}: {len(wrong)} names differ, {wrong[0]} among them"
            )
        outputs = [shapes[name][0] for name in head if name in shapes]
        overlay = {"file": str(path), "num_classes": outputs[0] if outputs else 0}
        try:
            model = self._create(classes, channels, pretrained=True, pretrained_cfg_overlay=overlay)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path} does not fit {self.model}: {reason[:300]}") from error
        return model.state_dict() if outputs == [classes] * len(head) else _body(model)

    def _create(self, classes: int, channels: int, **options: Any) -> nn.Module:
        import timm

        _check_name(self.model)
        sizes = {
            "patch_size": self.patch_size,
            "embed_dim": self.width,
            "depth": self.depth,
            "num_heads": self.heads,
        }
        given = {name: size for name, size in sizes.items() if size is not None}
        try:
            model: nn.Module = timm.create_model(
                self.model,
                img_size=self.image_size,
                num_classes=classes,
                in_chans=channels,
                **given,
                **options,
            )
        # Each architecture has its own way to stumble over sizes that it was not made for.
        except (AssertionError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"timm cannot build {self.model} with img_size={self.image_size}, {given}: {reason}"
            ) from error
        self._check_patches(model)
        return model

    def _check_patches(self, model: nn.Module) -> None:
        """Refuse patches that are larger than the image."""
        patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
        side = max(patch) if isinstance(patch, tuple) else patch
        if isinstance(side, int) and side > self.image_size:
            raise UserError(
                f"backbone.image_size={self.image_size} is smaller than one patch of {self.model}, "
                f"{side} pixels; set backbone.patch_size to {self.image_size // 2} or less, or "
                "raise backbone.image_size"
            )


@cache
def _check_name(model: str) -> None:
    import timm

    architecture = model.split(".")[0]
    tagged = model != architecture and model not in timm.list_pretrained()
    if tagged or architecture not in timm.list_models(TRANSFORMERS):
        names = timm.list_pretrained("vit_*") if tagged else timm.list_models("vit_*")
        raise unknown("timm vision transformer", model, names)


def _body(model: nn.Module) -> Tensors:
    """All tensors but the head's."""
    head = parts.head(model)
    return {name: t for name, t in model.state_dict().items() if name not in head}
