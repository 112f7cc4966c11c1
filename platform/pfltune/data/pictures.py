"""One image file as uint8 pixels."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pfltune.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

# Two tones, 8 bits, 8 bits with alpha, 32 bits; those of 16 bits have several names.
GRAY_MODES = frozenset({"1", "L", "LA", "I", "F"})


def is_gray(path: Path) -> bool:
    """Whether an image has one channel (and maybe alpha); palettes count as colour.

    Raises:
        UserError: the file is no image.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.mode in GRAY_MODES or image.mode.startswith("I;16")
    except Exception as error:
        raise unreadable(path, error) from error


def decode_image(path: Path, size: int, *, gray: bool) -> np.ndarray:
    """An image file as uint8 (channels, size, size), 1 channel if ``gray`` and else 3.

    Whatever the file holds, palettes, CMYK or 16 bits, becomes 8 bits of gray or RGB; transparent
    parts lie on white. The image is then resized, whatever its shape, by Pillow's bicubic filter,
    which antialiases. Rotation marks of cameras (EXIF) are not applied, as in torchvision.

    Raises:
        UserError: the file cannot be read as an image.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            plain = _eight_bits(image).convert("L" if gray else "RGB")
            pixels = np.asarray(plain.resize((size, size), Image.Resampling.BICUBIC))
    except Exception as error:
        raise unreadable(path, error) from error
    return pixels[None] if gray else pixels.transpose(2, 0, 1)


def unreadable(path: Path, error: Exception) -> UserError:
    """The error for a file that is no image: Pillow's formats raise almost anything on damage."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{path} cannot be read as an image: {reason}")


def _eight_bits(image: "Image") -> "Image":
    """Without alpha, and without the modes that Pillow cuts off at 255 when it converts them."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("pixels are fractions of unknown range; save 8 or 16 bits")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("pixels need more than 16 bits; save 8 or 16 bits")
        return Image.fromarray(np.round(values / 257).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return white
    return image
