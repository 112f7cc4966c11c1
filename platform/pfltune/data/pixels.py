"""Images in arrays as people save them, made uint8 (samples, channels, height, width)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np

from pfltune.data.arrays import NpzReader
from pfltune.data.levels import Levels, levels_of, together
from pfltune.errors import UserError

# Resizing in floats goes beyond 1 by rounding.
ABOVE_ONE = 1e-3


@dataclass(frozen=True)
class Pixels:
    """The images in some arrays of an .npz file.

    Attributes:
        npz: the file.
        names: of the arrays, in the order in which they are merged.
        channels: "first" or "last", or None where the shape says it.
    """

    npz: NpzReader
    names: tuple[str, ...]
    channels: str | None

    def counts(self) -> list[int]:
        """The number of images in each array.

        Raises:
            UserError: the arrays are no images, or not all of one size and type.
        """
        headers = [self.npz.header(name) for name in self.names]
        for name, header in zip(self.names, headers, strict=True):
            if header.dtype.kind not in "buif":
                raise UserError(f"{self._at(name)} are {header.dtype}; they must be numbers")
            self._axis(name)
            for what, one, other in (
                ("of shape", headers[0].shape[1:], header.shape[1:]),
                ("of type", headers[0].dtype, header.dtype),
            ):
                if one != other:
                    raise UserError(
                        f"{self.npz.path}: {self.names[0]} are {what} {one} each, {name} {other}"
                    )
        return [header.shape[0] for header in headers]

    def chunks(self) -> tuple[Iterator[np.ndarray], tuple[str, ...]]:
        """All images, some at a time, and what is done to them, a line each.

        What is not uint8 is read twice: first for its range.

        Raises:
            UserError: the range is none that has a meaning.
        """
        dtype = self.npz.header(self.names[0]).dtype
        if dtype == np.uint8:
            return self._stored(), ()
        if dtype == np.bool_:
            told = "images are yes and no, which became 255 and 0"
            return (rows.astype(np.uint8) * 255 for rows in self._stored()), (told,)
        if dtype.kind == "f":
            return self._from_fractions(dtype)
        return self._from_integers(dtype)

    def _from_integers(self, dtype: np.dtype) -> tuple[Iterator[np.ndarray], tuple[str, ...]]:
        try:
            levels = together(levels_of(rows) for rows in self._stored() if rows.size)
        except ValueError as error:
            raise UserError(f"{self._at(self.names[0])}: {error}") from error
        if levels is None:
            return self._stored(), ()
        found: Levels = levels
        chunks = (found.eight_bits(rows) for rows in self._stored())
        return chunks, (f"images are {dtype}: {found.told()}",)

    def _from_fractions(self, dtype: np.dtype) -> tuple[Iterator[np.ndarray], tuple[str, ...]]:
        fractions = reduce(_Fractions.and_of, self._stored(), _Fractions())
        if fractions.unit:
            chunks = (
                np.round(np.clip(rows.astype(np.float64), 0, 1) * 255).astype(np.uint8)
                for rows in self._stored()
            )
            return chunks, (f"images are {dtype}: 0 to 1 scaled to 0 to 255, and rounded",)
        if fractions.whole and fractions.low >= 0 and fractions.high <= 255:
            told = f"images are {dtype}, but whole numbers from 0 to 255, kept as they are"
            return (rows.astype(np.uint8) for rows in self._stored()), (told,)
        raise UserError(
            f"{self._at(self.names[0])} are {dtype} from {fractions.low:g} to {fractions.high:g}; "
            "they must be from 0 to 1, or whole numbers from 0 to 255"
        )

    def _stored(self) -> Iterator[np.ndarray]:
        """The images as they are, but with the channels as the second axis."""
        for name in self.names:
            axis = self._axis(name)
            for rows in self.npz.chunks(name):
                yield rows[:, None] if axis is None else np.moveaxis(rows, axis, 1)

    def _axis(self, name: str) -> int | None:
        """The axis of the colour channels; None if there is none."""
        shape = self.npz.header(name).shape
        if len(shape) == 3 and 0 not in shape[1:]:
            return None
        possible = {"first": 1, "last": 3} if len(shape) == 4 and 0 not in shape[1:] else {}
        found = {where: axis for where, axis in possible.items() if shape[axis] in (1, 3)}
        if self.channels is not None:
            found = {w: axis for w, axis in found.items() if w == self.channels}
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            raise UserError(
                f"{self._at(name)} are of shape {shape}, whose channels may be first or last; "
                "say which with data.channels=first or data.channels=last"
            )
        asked = f" and data.channels={self.channels}" if self.channels else ""
        raise UserError(
            f"{self._at(name)} are of shape {shape}; they must be (samples, height, width) or "
            f"(samples, height, width, channels) with 1 or 3 channels{asked}"
        )

    def _at(self, name: str) -> str:
        return f"{self.npz.path}: {name}"


@dataclass(frozen=True)
class _Fractions:
    """What floats are: their range, and whether all are whole."""

    low: float = np.inf
    high: float = -np.inf
    whole: bool = True

    def and_of(self, rows: np.ndarray) -> "_Fractions":
        if not rows.size:
            return self
        return _Fractions(
            float(np.minimum(self.low, rows.min())),  # NaN stays, as it does not in min()
            float(np.maximum(self.high, rows.max())),
            self.whole and bool((rows == np.floor(rows)).all()),
        )

    @property
    def unit(self) -> bool:
        """Whether they are meant to be from 0 to 1."""
        return self.low >= -ABOVE_ONE and self.high <= 1 + ABOVE_ONE
