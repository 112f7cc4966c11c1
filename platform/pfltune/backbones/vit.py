"""Vision transformers from timm, with their own start weights where they are asked for."""

import logging
import re
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator
from torch import nn

from pfltune.backbones.base import Backbone, body, check_names, read_weights
from pfltune.errors import UserError, unknown
from pfltune.method import Tensors

TRANSFORMERS = ["*vit*", "*deit*", "beit*", "cait*", "eva*", "swin*", "xcit*"]


class TimmBackbone(Backbone):
    """A vision transformer by its timm name, with sizes of one's own where they are given."""

    sources: ClassVar[tuple[str, ...]] = ("random", "pretrained", "warm-start")
    name: Literal["timm"] = Field("timm", description="or FILE.py:CLASS, with its own settings")
    model: str = Field("vit_tiny_patch16_224", description="timm's name of the architecture")
    patch_size: int | None = Field(None, ge=1, description="side of a patch in pixels")
    width: int | None = Field(None, ge=8, description="token width d")
    depth: int | None = Field(None, ge=1, description="number of blocks")
    heads: int | None = Field(None, ge=1, description="attention heads per block")

    @field_validator("model")
    @classmethod
    def _timms_own_name(cls, model: str) -> str:
        """The hub's pages say hf-hub:timm/NAME and timm/NAME."""
        return re.sub(r"^(hf[-_]hub:)?timm/", "", model)

    def stored_weights(self, classes: int, channels: int) -> Tensors | None:
        """Pretrained weights or those of a file, fitted to this backbone; None for the others.

        timm resamples position embeddings and patch embeddings to the sizes asked for, and adapts
        the first layer to the channels. A head for other classes is left out, so that it begins as
        each seed draws it.

        Raises:
            UserError: the file or the download is not there, or belongs to another backbone.
        """
        if self.weights == "pretrained":
            return self._pretrained(classes, channels)
        return super().stored_weights(classes, channels)

    def _pretrained(self, classes: int, channels: int) -> Tensors:
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of every retry
        try:
            model = self.create(classes, channels, pretrained=True)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"the pretrained weights of {self.model} are not here and cannot be downloaded "
                f"({type(error).__name__}); give weights: FILE.safetensors, or use weights: random"
            ) from error
        return body(model)

    def _from_file(self, path: Path, classes: int, channels: int) -> Tensors:
        shapes = {name: t.shape for name, t in read_weights(path).items()}
        head = check_names(path, self.model, self.create(classes, channels), shapes)
        outputs = [shapes[name][0] for name in head if name in shapes]
        overlay = {"file": str(path), "num_classes": outputs[0] if outputs else 0}
        try:
            model = self.create(classes, channels, pretrained=True, pretrained_cfg_overlay=overlay)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path} does not fit {self.model}: {reason[:300]}") from error
        return model.state_dict() if outputs == [classes] * len(head) else body(model)

    def create(self, classes: int, channels: int, **options: Any) -> nn.Module:
        """See :meth:`Backbone.create`; ``options`` are timm's own.

        Raises:
            UserError: timm has no such model, or not in these sizes.
        """
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
