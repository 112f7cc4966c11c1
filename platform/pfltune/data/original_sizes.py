"""How large images were before a data set made them alike."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pfltune.data.dataset import Dataset
from pfltune.text import count

SHOWN = 5
"""So many of the commonest sizes are told."""


@dataclass(frozen=True)
class Size:
    """Images of one size.

    Attributes:
        width, height: in pixels.
        images: how many there are.
    """

    width: int
    height: int
    images: int


@dataclass(frozen=True)
class OriginalSizes:
    """The sizes of all images, as they lie in their files.

    Attributes:
        different: how many sizes there are.
        smallest, largest: by the number of pixels, then by width.
        commonest: some, the most frequent first, then the smallest.
        side: smallest, median and largest of each image's longer side.
        become: width and height of every image once it is read.
    """

    different: int
    smallest: Size
    largest: Size
    commonest: tuple[Size, ...]
    side: tuple[int, float, int]
    become: tuple[int, int]

    @classmethod
    def of(cls, dataset: Dataset) -> "OriginalSizes":
        """Those of a data set; where nothing was made of another size, the one that it has."""
        height, width = dataset.images.shape[2:]
        if dataset.widths is None or dataset.heights is None:
            sizes = np.array([[width, height]])
            times = np.array([len(dataset.labels)])
        else:
            every = np.stack([dataset.widths.numpy(), dataset.heights.numpy()], axis=1)
            sizes, times = np.unique(every, axis=0, return_counts=True)
        by_pixels = np.lexsort((sizes[:, 0], sizes.astype(np.int64).prod(axis=1)))
        found = [Size(*map(int, (*sizes[place], times[place]))) for place in by_pixels]
        longer = sizes.max(axis=1)
        return cls(
            len(found),
            found[0],
            found[-1],
            tuple(sorted(found, key=lambda size: -size.images)[:SHOWN]),
            (int(longer.min()), float(np.median(np.repeat(longer, times))), int(longer.max())),
            (width, height),
        )

    def lines(self) -> Iterator[str]:
        """What is to be known of them."""
        width, height = self.become
        if self.different == 1:
            same = (self.smallest.width, self.smallest.height) == self.become
            now = "kept" if same else f"made {width}×{height}"
            yield f"original size: {_written(self.smallest)} pixels, {now}"
            return
        low, median, high = self.side
        yield (
            f"original sizes: {self.different:,}, from {_written(self.smallest)} to "
            f"{_written(self.largest)} pixels, all made {width}×{height}; longer side {low:,} to "
            f"{high:,}, median {median:,g}"
        )
        told = ", ".join(f"{_written(s)} ({count(s.images, 'image')})" for s in self.commonest)
        more = self.different - len(self.commonest)
        yield f"commonest: {told}" + (f" and {count(more, 'other size')}" if more else "")


def _written(size: Size) -> str:
    return f"{size.width:,}×{size.height:,}"
