"""From uint8 images in memory to what the model reads, in batches, on the device."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Images:
    """A data set on one device, read by sample index.

    Attributes:
        pixels: uint8 (samples, channels, height, width).
        labels: int64 (samples,).
        size: side of the square image that the model takes.
    """

    pixels: Tensor
    labels: Tensor
    size: int

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Float images (batch, channels, size, size) in [-1, 1] (mean ½, std ½), and labels."""
        chosen = self.pixels[indices].to(torch.float32).div_(127.5).sub_(1.0)
        if chosen.shape[-2:] != (self.size, self.size):
            shape = (self.size, self.size)
            chosen = F.interpolate(chosen, shape, mode="bilinear", antialias=True)
        return chosen, self.labels[indices]
