"""Vision transformers from timm, and where their start weights come from."""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from pfltune.data.images import Images
from pfltune.errors import UserError, unknown
from pfltune.method import Tensors
from pfltune.randomness import isolated, torch_rng
from pfltune.settings import Settings


class Backbone(Settings):
    """A vision transformer by its timm name, with sizes of one's own where they are given."""

    model: str = Field("vit_tiny_patch16_224", description="timm's name of the architecture")
    image_size: int = Field(224, ge=4, description="side of the square input in pixels")
    patch_size: int | None = Field(None, ge=1, description="side of a patch in pixels")
    width: int | None = Field(None, ge=8, description="token width d")
    depth: int | None = Field(None, ge=1, description="number of blocks")
    heads: int | None = Field(None, ge=1, description="attention heads per block")

    def build(self, classes: int, channels: int, seed: int) -> nn.Module:
        """The model with random weights that depend on ``seed`` alone.

        Args:
            classes: outputs of the head.
            channels: colour channels of the input.
            seed: seed of the initialisation.
        """
        import timm

        if self.model not in timm.list_models("*vit*"):
            raise unknown("timm vision transformer", self.model, timm.list_models("vit_*"))
        sizes = {
            "patch_size": self.patch_size,
            "embed_dim": self.width,
            "depth": self.depth,
            "num_heads": self.heads,
        }
        given = {name: size for name, size in sizes.items() if size is not None}
        try:
            with isolated(seed, "backbone"):
                return timm.create_model(
                    self.model,
                    img_size=self.image_size,
                    num_classes=classes,
                    in_chans=channels,
                    **given,
                )
        except (AssertionError, TypeError, ValueError) as error:
            raise UserError(
                f"timm cannot build {self.model} with img_size={self.image_size}, {given}: {error}"
            ) from error


class WarmStart(Settings):
    """Brief central training on samples set aside for it, which no client ever holds."""

    share: float = Field(gt=0, lt=0.9, description="share of the data set that is set aside")
    epochs: int = Field(ge=1, description="passes over that share")
    lr: float = Field(gt=0, description="learning rate of AdamW, falling to zero along a cosine")
    batch_size: int = Field(64, ge=1)
    weight_decay: float = Field(0.05, ge=0)


def warm_start(
    backbone: Backbone, recipe: WarmStart, images: Images, indices: Tensor, classes: int, seed: int
) -> Tensors:
    """Weights after training on ``indices``, the same for the same arguments and thread count.

    Returns the model's ``state_dict``.
    """
    model = backbone.build(classes, images.pixels.shape[1], seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
    )
    steps = recipe.epochs * -(-len(indices) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with isolated(seed, "warm-start"):
        model.train()
        for epoch in range(recipe.epochs):
            rng = torch_rng(seed, "warm-start-order", epoch)
            order = indices[torch.randperm(len(indices), generator=rng)]
            for chosen in order.split(recipe.batch_size):
                x, y = images.batch(chosen)
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
                schedule.step()
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
