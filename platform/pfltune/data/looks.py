"""What must be known of all images of a data set before the first of them is decoded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pfltune.data.levels import Levels, levels_of, together
from pfltune.data.pictures import Picture, is_turned, opened, unreadable
from pfltune.errors import UserError

# Two tones, 8 bits, 8 bits with alpha, 32 bits; those of 16 bits have several names.
GRAY_MODES = frozenset({"1", "L", "LA", "I", "F"})
# Of 16 bits per colour Pillow keeps the upper 8: enough where the uppermost of them is used.
UPPERMOST_BIT = 128


@dataclass(frozen=True)
class Look:
    """One image file.

    Attributes:
        gray: one channel (and maybe alpha); palettes count as colour.
        cmyk: four inks.
        alpha: parts may be transparent.
        turned: its EXIF orientation is not upright.
        frames: there are several, as in an animation or a stack of pages.
        width, height: in pixels, as they lie in the file.
        levels: of gray values with more than 8 bits.
        cut: the largest value of what Pillow keeps of colours with 16 bits, their upper 8.
    """

    gray: bool
    cmyk: bool = False
    alpha: bool = False
    turned: bool = False
    frames: bool = False
    width: int = 0
    height: int = 0
    levels: Levels | None = None
    cut: int | None = None


def look_at(picture: Picture) -> Look:
    """Read what the head of an encoded image says, and the pixels where they have 16 bits.

    Raises:
        UserError: it is no image, or its values have no known range.
    """
    try:
        with opened(picture) as image:
            deep = image.mode.startswith("I")
            cut = not deep and any(";16" in str(tile[3]) for tile in image.tile)
            return Look(
                gray=image.mode in GRAY_MODES or deep,
                cmyk=image.mode == "CMYK",
                alpha=image.has_transparency_data,
                turned=is_turned(image),
                levels=levels_of(np.asarray(image)) if deep else None,
                cut=int(np.asarray(image).max()) if cut else None,
                frames=getattr(image, "is_animated", False),
                width=image.width,
                height=image.height,
            )
    except Exception as error:
        raise unreadable(picture, error) from error


@dataclass(frozen=True)
class Looks:
    """All image files of a data set.

    Attributes:
        each: one per file.
    """

    each: tuple[Look, ...]

    @cached_property
    def gray(self) -> bool:
        """Whether all are, so that one channel is enough."""
        return all(look.gray for look in self.each)

    @cached_property
    def levels(self) -> Levels | None:
        """The range of all gray values of more than 8 bits, if there are any."""
        return together(look.levels for look in self.each if look.levels)

    @property
    def sizes(self) -> dict[str, np.ndarray]:
        """How large each is in its file, as columns, see :mod:`pfltune.data.columns`."""
        return {
            "widths": np.array([look.width for look in self.each], np.int32),
            "heights": np.array([look.height for look in self.each], np.int32),
        }

    def check(self) -> None:
        """Refuse colours of 16 bits of which so few are used that Pillow would keep next to none.

        Raises:
            UserError: with the largest that would be left.
        """
        brightest = max((look.cut for look in self.each if look.cut is not None), default=None)
        if brightest is not None and brightest < UPPERMOST_BIT:
            raise UserError(
                "of colours with 16 bits the upper 8 are read, and in this data set these are "
                f"{brightest} at most, of 255; save 8 bits, or use the whole range"
            )

    def notes(self, size: int) -> Iterator[str]:
        """What decoding does to how many images, where it is not to be expected.

        Args:
            size: side in pixels of the squares that they become.
        """
        yield from self._told("gray, repeated in three colours", lambda look: self._odd(look))
        yield from self._told("CMYK, made RGB without colour profiles", lambda look: look.cmyk)
        yield from self._told("turned upright by EXIF orientation", lambda look: look.turned)
        yield from self._told("alpha, transparent parts laid on white", lambda look: look.alpha)
        yield from self._told("several frames, the first is read", lambda look: look.frames)
        if self.levels is not None:
            deep = f"gray of more than 8 bits, {self.levels.told()}"
            yield from self._told(deep, lambda look: look.levels is not None)
        cut = "16 bits per colour, the upper 8 are read"
        yield from self._told(cut, lambda look: look.cut is not None)
        yield from self._told("not square, drawn out to be", lambda look: look.width != look.height)
        larger = f"smaller than {size} pixels, made that large; data.size says how large"
        yield from self._told(larger, lambda look: max(look.width, look.height) < size)

    def _odd(self, look: Look) -> bool:
        return look.gray and not self.gray

    def _told(self, what: str, holds: Callable[[Look], bool]) -> Iterator[str]:
        count = sum(map(holds, self.each))
        if count:
            yield f"{count:,} of {len(self.each):,} images: {what}"
