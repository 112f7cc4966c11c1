"""One encoded image as uint8 pixels."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pfltune.data.levels import Levels, levels_of
from pfltune.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

TURNED = range(2, 9)


@dataclass(frozen=True)
class Stored:
    """An encoded image inside another file, such as a table.

    Attributes:
        where: its place, for errors.
        content: its bytes.
    """

    where: str
    content: bytes

    def __str__(self) -> str:
        return self.where


Picture = Path | Stored
"""An encoded image: a file, or bytes in one."""


def opened(picture: Picture) -> "ImageFile":
    """The image behind its head; the pixels are read when they are needed."""
    from PIL import Image

    return Image.open(BytesIO(picture.content) if isinstance(picture, Stored) else picture)


def decode_image(
    picture: Picture, size: int, *, gray: bool, levels: Levels | None = None
) -> np.ndarray:
    """An encoded image as uint8 (channels, size, size), 1 channel if ``gray`` and else 3.

    Whatever the file holds, palettes, CMYK or 16 bits, becomes 8 bits of gray or RGB, without
    colour profiles; transparent parts lie on white. It is turned as its EXIF orientation says, so
    that it is what a person sees, and then resized, whatever its shape, by Pillow's bicubic filter,
    which antialiases. Of several frames it is the first.

    Args:
        picture: the image.
        size: side in pixels.
        gray: all images of the data set are gray.
        levels: the range that gray values of more than 8 bits have in the data set.

    Raises:
        UserError: it cannot be read as an image.
    """
    from PIL import Image

    try:
        with opened(picture) as image:
            plain = _eight_bits(_upright(image), levels).convert("L" if gray else "RGB")
            pixels = np.asarray(plain.resize((size, size), Image.Resampling.BICUBIC))
    except Exception as error:
        raise unreadable(picture, error) from error
    return pixels[None] if gray else pixels.transpose(2, 0, 1)


def unreadable(picture: Picture, error: Exception) -> UserError:
    """The error for what is no image: Pillow's formats raise almost anything on damage."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{picture} cannot be read as an image: {reason}")


def is_turned(image: "Image") -> bool:
    """Whether the EXIF orientation of an image is not upright."""
    from PIL import ExifTags

    if image.format == "PNG":  # whose EXIF may follow its pixels, and these must be whole
        image.load()
    try:
        return image.getexif().get(ExifTags.Base.Orientation) in TURNED
    except Exception:  # damaged EXIF on an image that is whole
        return False


def _upright(image: "Image") -> "Image":
    from PIL import ImageOps

    return ImageOps.exif_transpose(image) if is_turned(image) else image


def _eight_bits(image: "Image", levels: Levels | None) -> "Image":
    """Without alpha, and without the modes that Pillow cuts off at 255 when it converts them."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("pixels are fractions of unknown range; save 8 or 16 bits")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        return Image.fromarray((levels or levels_of(values)).eight_bits(values))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return white
    return image
