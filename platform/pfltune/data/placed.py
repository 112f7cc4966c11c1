"""Public data sets that nobody can download without a person: put below the data root by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pfltune.data.asked import one_size, selected
from pfltune.data.femnist import Femnist
from pfltune.data.home import data_root
from pfltune.data.isic import fed_isic2019
from pfltune.data.own_files import in_folders
from pfltune.data.settings import Data
from pfltune.data.source import Source
from pfltune.errors import UserError

# Whose page has the images.
DOMAINS = {
    "officehome": "Office-Home (Venkateswara et al., CVPR 2017), from the page of its author "
    "Hemanth Venkateswara",
    "officecaltech10": "Office-Caltech10 (Gong et al., CVPR 2012), from the page of its author "
    "Boqing Gong",
    "domainnet": "DomainNet (Peng et al., ICCV 2019), from its page at Boston University",
    "pacs": "PACS (Li et al., ICCV 2017), from the page of its author Da Li",
}


class Layout(NamedTuple):
    """A data set in the layout of those who made it.

    Attributes:
        what: is to be put into its folder.
        read: makes a source of what is there, given the folder and the backbone's image size.
    """

    what: str
    read: Callable[[Data, Path, int], Source]


def placed(data: Data, image_size: int) -> Source:
    """One of these data sets, in the folder of its name.

    Raises:
        UserError: there is no such folder, or what is in it is not laid out as it must be.
    """
    layout = PLACED[data.name]
    root = data_root() / data.name
    if not root.is_dir():
        raise UserError(
            f"data set {data.name!r} is not at {root}: put there, {layout.what}; digits needs no "
            "files"
        )
    return layout.read(data, root, image_size)


def _domains(data: Data, root: Path, image_size: int) -> Source:
    return in_folders(data, root, image_size, "domain")


def _femnist(data: Data, root: Path, _: int) -> Source:
    return one_size(data, Femnist(root))


def _fed_isic2019(data: Data, root: Path, image_size: int) -> Source:
    return selected(data, fed_isic2019(root, data.size or image_size))


PLACED = {
    **{
        name: Layout(f"as domain/class/image, the images of {images}", _domains)
        for name, images in DOMAINS.items()
    },
    "femnist": Layout(
        "as LEAF's scripts write it, what is in its data/femnist/data (Caldas et al., arXiv "
        "1812.01097)",
        _femnist,
    ),
    "fed_isic2019": Layout(
        "as FLamby's scripts write them, train_test_split and the folder "
        "ISIC_2019_Training_Input_preprocessed (Ogier du Terrail et al., arXiv 2210.04620)",
        _fed_isic2019,
    ),
}
