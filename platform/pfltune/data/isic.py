"""Fed-ISIC2019 as FLamby's scripts lay it out: skin lesions by the centre that took the picture.

Ogier du Terrail et al., FLamby, NeurIPS 2022, arXiv 2210.04620; of the images of ISIC 2019 those
whose centre is known. Its table train_test_split has the columns image, target, center, fold and
fold2; the latter is the split that each centre's own test is made of, as in train_0 or test_5.
"""

from pathlib import Path

import numpy as np

from pfltune.data.columns import part_of
from pfltune.data.listed import Listed, see_files
from pfltune.data.names import on_one_line
from pfltune.data.table import Table, Wanted, read_table
from pfltune.errors import UserError

CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")
CENTRES = (
    "BCN",
    "HAM_vidir_molemax",
    "HAM_vidir_modern",
    "HAM_rosendahl",
    "MSK",
    "HAM_vienna_dias",
)
TABLES = ("train_test_split", "train_test_split.csv")
# As resize_images.py writes them, or as they are published.
IMAGES = ("ISIC_2019_Training_Input_preprocessed", "ISIC_2019_Training_Input")
COLUMNS = ("image", "target", "center", "fold2")


def fed_isic2019(root: Path, size: int) -> Listed:
    """The images of Fed-ISIC2019 in a folder: 8 classes, 6 clients, train and test as given.

    Args:
        root: has FLamby's train_test_split and one of the folders of images.
        size: side in pixels at which images are decoded.

    Raises:
        UserError: something of it is missing or not like that.
    """
    table = read_table(
        _first(root, TABLES), {name: Wanted(name, must=True) for name in COLUMNS}, suffix=".csv"
    )
    folder = _first(root, IMAGES)
    files = [folder / f"{name}.jpg" for name in table.filled("image")]
    see_files(table, files, range(len(files)))
    return Listed(
        files=tuple(files),
        columns={
            "labels": _numbers(table, "target", len(CLASSES)),
            "clients": _numbers(table, "center", len(CENTRES)),
            "splits": _parts(table),
        },
        class_names=CLASSES,
        domain_names=(),
        client_names=CENTRES,
        size=size,
        told=(f"images of {folder.name}",),
    )


def _first(root: Path, names: tuple[str, ...]) -> Path:
    found = next((root / name for name in names if (root / name).exists()), None)
    if found is None:
        raise UserError(
            f"{root} has no {names[0]}; FLamby's scripts make it, see fed_isic2019 in its datasets"
        )
    return found


def _numbers(table: Table, name: str, kinds: int) -> np.ndarray:
    known = {str(number): number for number in range(kinds)}
    texts = table.filled(name)
    for place, text in enumerate(texts):
        if text not in known:
            raise UserError(
                f"{table.at(place)}: {name} is {on_one_line(text)}; it must be from 0 to "
                f"{kinds - 1}"
            )
    return np.array([known[text] for text in texts], dtype=np.int64)


def _parts(table: Table) -> np.ndarray:
    """The given split of each row: what stands before the centre in fold2."""
    texts = table.filled("fold2")
    parts = [part_of(text.partition("_")[0]) for text in texts]
    if None in parts:
        place = parts.index(None)
        raise UserError(
            f"{table.at(place)}: fold2 is {on_one_line(texts[place])}; it must be as train_0"
        )
    return np.array(parts, dtype=np.uint8)
