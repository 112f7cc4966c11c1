"""All data sets by name, and those in files of one's own."""

from collections.abc import Callable
from typing import Any

from pfltune.data import published
from pfltune.data.asked import one_size, see_settings, selected
from pfltune.data.cache import cached, in_memory
from pfltune.data.dataset import Dataset, digits
from pfltune.data.own_files import READERS, in_files
from pfltune.data.placed import PLACED, placed
from pfltune.data.present import only_present
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


def load_dataset(data: Data | DataSource, image_size: int) -> Dataset:
    """The data set of a scenario: memory maps of the cache, but for small ones.

    Clients and domains without samples are no part of it, which its notes tell.

    Args:
        data: which one.
        image_size: side in pixels at which image files are decoded unless ``data.size`` says.

    Raises:
        UserError: unknown name, class, domain or size; files that are missing or bad.
    """
    return only_present(_read(data, image_size))


def _read(data: Data | DataSource, image_size: int) -> Dataset:
    if isinstance(data, DataSource):
        if data.name in _own_names():
            raise UserError(f"data set {data.name!r} of another package has the name of pfltune's")
        return from_code(data)
    see_settings(data)
    if data.name == "digits":
        return in_memory(data.name, one_size(data, _Digits()))
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
    own = in_files(data, image_size)
    if own is not None:
        return own
    if data.name in DOWNLOADS:
        return one_size(data, DOWNLOADS[data.name](data.name))
    if data.name in PLACED:
        return placed(data, image_size)
    if data.name in published.medmnist_sets():
        return selected(data, published.medmnist(data.name, data.size))
    raise unknown("data set", data.name, available_datasets())
