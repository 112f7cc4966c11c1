"""All data sets by name, and those in files of one's own."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pfltune.data import published
from pfltune.data.cache import cached, in_memory
from pfltune.data.dataset import Dataset, digits
from pfltune.data.folders import Above, image_folders
from pfltune.data.home import data_root, own_path
from pfltune.data.npz import Npz
from pfltune.data.selection import Selected
from pfltune.data.settings import SEAM, Data, DataSource
from pfltune.data.source import Chunk, Decoded, Source
from pfltune.data.strangers import from_code
from pfltune.errors import UserError, unknown

DOWNLOADS: dict[str, Callable[[str], Source]] = {
    "cifar10": published.cifar,
    "cifar100": published.cifar,
    "svhn": published.svhn,
    "fashionmnist": published.fashionmnist,
    "emnist": published.emnist,
}
# Whose page has the images; none of these can be downloaded reliably without a person.
PLACED = {
    "officehome": "Office-Home (Venkateswara et al., CVPR 2017), from the page of its author "
    "Hemanth Venkateswara",
    "officecaltech10": "Office-Caltech10 (Gong et al., CVPR 2012), from the page of its author "
    "Boqing Gong",
    "domainnet": "DomainNet (Peng et al., ICCV 2019), from its page at Boston University",
    "pacs": "PACS (Li et al., ICCV 2017), from the page of its author Da Li",
}


def load_dataset(data: Data | DataSource, image_size: int) -> Dataset:
    """The data set of a scenario: memory maps of the cache, but for small ones.

    Args:
        data: which one.
        image_size: side in pixels at which image folders are decoded unless ``data.size`` says.

    Raises:
        UserError: unknown name, class, domain or size; files that are missing or bad.
    """
    if isinstance(data, DataSource):
        if data.name in _own_names():
            raise UserError(f"data set {data.name!r} of another package has the name of pfltune's")
        return from_code(data)
    if data.channels is not None and not data.name.startswith("npz:"):
        raise UserError(
            f"channels={data.channels} has no effect on data set {data.name!r}; it is for npz:PATH"
        )
    if data.name == "digits":
        return in_memory(data.name, _one_size(data, _Digits()))
    return cached(data.name, _source(data, image_size))


def available_datasets() -> tuple[str, ...]:
    """What ``name`` may be."""
    return (*_own_names(), *SEAM.names(), *(f"{kind}:PATH" for kind in READERS))


def _own_names() -> tuple[str, ...]:
    medical = [name for name, why_not in published.medmnist_sets().items() if not why_not]
    return ("digits", *DOWNLOADS, *medical, *PLACED)


class _Digits:
    """scikit-learn's digits as a source."""

    def identity(self) -> dict[str, Any]:
        return {"builtin": "digits"}

    def notes(self) -> tuple[str, ...]:
        return ()

    def decode(self) -> Decoded:
        whole = digits()
        return Decoded(whole.class_names, [Chunk(whole.images.numpy(), whole.labels.numpy())])


def _source(data: Data, image_size: int) -> Source:
    kind, colon, path = data.name.partition(":")
    if colon and kind in READERS:
        return _in_files(data, kind, path, image_size)
    if data.name in DOWNLOADS:
        return _one_size(data, DOWNLOADS[data.name](data.name))
    if data.name in PLACED:
        return _placed(data, image_size)
    if data.name in published.medmnist_sets():
        return _selected(data, published.medmnist(data.name, data.size))
    raise unknown("data set", data.name, available_datasets())


def _in_files(data: Data, kind: str, text: str, image_size: int) -> Source:
    if not text or "\0" in text:
        raise UserError(f"data set {data.name!r} needs a path, as in {kind}:PATH")
    return READERS[kind](data, text, image_size)


def _in_folders(data: Data, path: str, image_size: int, above: Above | None = None) -> Source:
    return _folders(data, own_path(path), image_size, above)


def _placed(data: Data, image_size: int) -> Source:
    root = data_root() / data.name
    if not root.is_dir():
        raise UserError(
            f"data set {data.name!r} is not at {root}: put there, as domain/class/image, the "
            f"images of {PLACED[data.name]}; digits needs no files"
        )
    return _folders(data, root, image_size, "domain")


def _folders(data: Data, root: Path, image_size: int, above: Above | None) -> Source:
    if data.domains and above != "domain":
        raise UserError(f"domains={list(data.domains)}: {data.name!r} has none; see domains:PATH")
    return image_folders(
        root,
        data.size or image_size,
        above=above,
        classes=data.classes,
        domains=data.domains,
    )


def _in_array_file(data: Data, path: str, _: int) -> Source:
    return _one_size(data, Npz(own_path(path), data.channels))


def _one_size(data: Data, source: Source) -> Source:
    if data.size is not None:
        raise UserError(
            f"size={data.size} has no effect on data set {data.name!r}, whose images have one "
            "size; leave it out (the model's image size is backbone.image_size)"
        )
    return _selected(data, source)


def _selected(data: Data, source: Source) -> Source:
    chosen = data.classes is not None or data.domains is not None
    return Selected(source, data.classes, data.domains) if chosen else source


READERS: dict[str, Callable[[Data, str, int], Source]] = {
    "folder": _in_folders,
    "domains": partial(_in_folders, above="domain"),
    "clients": partial(_in_folders, above="client"),
    "npz": _in_array_file,
}
"""What reads data of one's own by the word before the colon, given what stands behind it and the
backbone's image size."""
