"""From uint8 images in memory to what the model reads, in batches, on the device."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from pfltune.devices import moved
from pfltune.errors import UserError
from pfltune.settings import Settings

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Preprocessing(Settings):
    """What happens to a batch between memory and model, in this order."""

    rgb: bool = Field(False, description="repeat the one channel of gray images three times")
    augment: tuple[Literal["crop", "flip", "randaugment"], ...] = Field(
        (), description="of training batches: random crop after padding, flip, RandAugment"
    )
    crop_padding: int = Field(4, ge=1, description="pixels on each side before a random crop")
    normalise: Literal["half", "imagenet"] = Field(
        "half", description="mean and std: 0.5 and 0.5, or those of ImageNet's channels"
    )

    def channels(self, stored: int) -> int:
        """Colour channels that the model reads, of ``stored`` ones.

        Raises:
            UserError: the statistics of ImageNet's three colours are for one channel.
        """
        count = 3 if self.rgb else stored
        if self.normalise == "imagenet" and count != 3:
            raise UserError(
                f"preprocessing.normalise=imagenet needs 3 channels, the images have {count}; "
                "set preprocessing.rgb=true or normalise=half"
            )
        return count


@dataclass(frozen=True)
class Images:
    """A data set on one device, read by sample index.

    Attributes:
        pixels: uint8 (samples, channels, height, width).
        labels: int64 (samples,).
        size: side of the square image that the model takes.
        preprocessing: what happens to a batch.
    """

    pixels: Tensor
    labels: Tensor
    size: int
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    def batch(self, indices: Tensor, *, training: bool = False) -> tuple[Tensor, Tensor]:
        """Float images (batch, channels, size, size), about in [-1, 1], and labels.

        Augmentations of ``training`` draw from torch's global generator.
        """
        return self.ready(self.pixels[indices], training=training), self.labels[indices]

    def ready(self, chosen: Tensor, *, training: bool = False) -> Tensor:
        """The same of uint8 images (batch, channels, height, width), its own or others."""
        if self.preprocessing.rgb and chosen.shape[1] == 1:
            chosen = chosen.expand(-1, 3, -1, -1)
        if training:
            chosen = self._augmented(chosen)
        x = self._normalised(chosen.to(torch.float32))
        if x.shape[-2:] != (self.size, self.size):
            x = F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True)
        return x

    def _augmented(self, x: Tensor) -> Tensor:
        for kind in self.preprocessing.augment:
            if kind == "crop":
                x = _random_crop(x, self.preprocessing.crop_padding)
            elif kind == "flip":
                flipped = moved(torch.rand(len(x)), x.device) < 0.5
                x = torch.where(flipped.view(-1, 1, 1, 1), x.flip(-1), x)
            else:
                x = _rand_augment(x)
        return x

    def _normalised(self, x: Tensor) -> Tensor:
        if self.preprocessing.normalise == "half":
            return x.div_(127.5).sub_(1.0)
        mean, std = self._statistics
        return x.div_(255.0).sub_(mean).div_(std)

    @cached_property
    def _statistics(self) -> Tensor:
        """ImageNet's mean and std (2, 3, 1, 1), brought to the device once."""
        both = torch.tensor([IMAGENET_MEAN, IMAGENET_STD], device=self.pixels.device)
        return both.view(2, 3, 1, 1)


def _random_crop(x: Tensor, padding: int) -> Tensor:
    """Every image (height, width) from a place of its own in its padded self."""
    count, _, height, width = x.shape
    padded = F.pad(x, [padding] * 4)
    top, left = moved(torch.randint(0, 2 * padding + 1, (2, count, 1)), x.device)
    rows = top + torch.arange(height, device=x.device)
    columns = left + torch.arange(width, device=x.device)
    image = torch.arange(count, device=x.device).view(-1, 1, 1)
    return padded.movedim(1, -1)[image, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def _rand_augment(x: Tensor) -> Tensor:
    """Two random operations of strength 9 on the whole batch (Cubuk et al., arXiv 1909.13719)."""
    from torchvision.transforms.v2 import RandAugment

    augmented: Tensor = RandAugment()(x.contiguous())
    return augmented
