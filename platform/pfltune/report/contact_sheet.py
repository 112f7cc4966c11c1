"""Some images of each class of a data set, as a picture."""

import warnings
from io import BytesIO

import numpy as np
from matplotlib.figure import Figure

from pfltune.data.dataset import Dataset
from pfltune.data.names import on_one_line
from pfltune.report.canvas import styled

# Of a class, and classes; more would be too small to be seen.
IMAGES, CLASSES = 10, 40
WHITE = 255
CELL = 0.5  # inches of an image with its gap
NAMES, TITLE, EDGE = 1.6, 0.35, 0.1  # inches beside, above and around the images
LONGEST_NAME, LONGEST_TITLE = 24, 80
DPI = 150


def contact_sheet(dataset: Dataset) -> bytes:
    """A PNG with a row for each class, its images spread evenly over those that there are.

    Of more than ``CLASSES`` classes the first are shown, and the title says so.
    """
    with styled():
        figure = _drawn(dataset)
    file = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # drawn as a box
        figure.savefig(file, dpi=DPI, format="png")
    return file.getvalue()


def _drawn(dataset: Dataset) -> Figure:
    shown = min(dataset.classes, CLASSES)
    labels = dataset.labels.numpy()
    members = [np.flatnonzero(labels == number) for number in range(shown)]
    width, height = NAMES + IMAGES * CELL + EDGE, TITLE + shown * CELL + EDGE
    figure = Figure(figsize=(width, height))
    more = f", the first {shown} of {dataset.classes} classes" if shown < dataset.classes else ""
    title = on_one_line(f"{dataset.name}{more}", LONGEST_TITLE)
    figure.text(EDGE / width, 1 - EDGE / height, title, va="top", parse_math=False)
    box = (NAMES / width, EDGE / height, IMAGES * CELL / width, shown * CELL / height)
    axes = figure.add_axes(box)
    axes.imshow(sheet(dataset, members), aspect="auto", extent=(0, IMAGES, shown, 0))
    axes.set_axis_off()
    for row, its in enumerate(members):
        name = on_one_line(dataset.class_names[row], LONGEST_NAME)
        middle = (EDGE + (shown - row - 0.5) * CELL) / height
        text = f"{name}\n{len(its):,}"
        figure.text(EDGE / width, middle, text, va="center", parse_math=False)
    return figure


def sheet(dataset: Dataset, members: list[np.ndarray]) -> np.ndarray:
    """Images in rows on white, uint8 (height, width, 3).

    Args:
        dataset: has them.
        members: indices of the samples of each row.
    """
    height, width = (side + max(1, side // 16) for side in dataset.images.shape[2:])
    canvas = np.full((len(members) * height, IMAGES * width, 3), WHITE, np.uint8)
    for row, its in enumerate(members):
        for column, sample in enumerate(spread(its, IMAGES)):
            image = dataset.images[int(sample)].numpy().transpose(1, 2, 0)
            place = canvas[row * height :, column * width :]
            place[: image.shape[0], : image.shape[1]] = image
    return canvas


def spread(members: np.ndarray, most: int) -> np.ndarray:
    """At most so many of ``members``, evenly from the first to the last."""
    if len(members) <= most:
        return members
    return members[np.linspace(0, len(members) - 1, most).round().astype(int)]
