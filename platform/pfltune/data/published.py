"""Data sets that torchvision and MedMNIST know where to find, all their splits merged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pfltune.data.downloads import RemoteFile, fetch
from pfltune.data.formats import (
    cifar_chunks,
    cifar_names,
    emnist_chunks,
    fashion_chunks,
    svhn_chunks,
)
from pfltune.data.npz import decode_npz
from pfltune.data.source import Decoded
from pfltune.errors import UserError


@dataclass(frozen=True)
class Published:
    """A data set in files of known content.

    Attributes:
        name: of the data set, and of its folder below ``downloads``.
        files: what is downloaded.
        read: from the paths of these files, in this order, to samples.
    """

    name: str
    files: tuple[RemoteFile, ...]
    read: Callable[[Sequence[Path]], Decoded]

    def identity(self) -> dict[str, Any]:
        """The published checksums: what is decoded already needs no download."""
        return {"published": self.name, "md5": [file.md5 for file in self.files]}

    def notes(self) -> tuple[str, ...]:
        """None: all of it is read."""
        return ()

    def decode(self) -> Decoded:
        """Fetch the files and begin to read them."""
        return self.read(fetch(self.name, self.files))


def cifar(name: str) -> Published:
    """CIFAR-10 or CIFAR-100 (its 100 fine classes), train and then test."""
    from torchvision import datasets

    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    meta = f"{kind.base_folder}/{kind.meta['filename']}"
    batches = [f"{kind.base_folder}/{batch}" for batch, _ in kind.train_list + kind.test_list]

    def read(paths: Sequence[Path]) -> Decoded:
        names = cifar_names(paths[0], meta, kind.meta["key"])
        return Decoded(names, cifar_chunks(paths[0], batches))

    return Published(name, (RemoteFile(kind.filename, kind.url, kind.tgz_md5),), read)


def svhn(name: str) -> Published:
    """SVHN's cropped digits, train and then test, without the extra ones."""
    from torchvision.datasets import SVHN

    splits = [SVHN.split_list[split] for split in ("train", "test")]
    files = tuple(RemoteFile(file, url, md5) for url, file, md5 in splits)
    class_names = tuple(str(digit) for digit in range(10))
    return Published(name, files, lambda paths: Decoded(class_names, svhn_chunks(paths)))


def fashionmnist(name: str) -> Published:
    """Fashion-MNIST, train and then test."""
    from torchvision.datasets import FashionMNIST

    mirror = FashionMNIST.mirrors[0]
    files = tuple(RemoteFile(file, mirror + file, md5) for file, md5 in FashionMNIST.resources)
    class_names = tuple(FashionMNIST.classes)
    return Published(name, files, lambda paths: Decoded(class_names, fashion_chunks(paths)))


def emnist(name: str) -> Published:
    """The balanced split of EMNIST, train and then test; images lie transposed, as published."""
    from torchvision.datasets import EMNIST

    files = (RemoteFile(Path(EMNIST.url).name, EMNIST.url, EMNIST.md5),)
    class_names = tuple(EMNIST.classes_split_dict["balanced"])
    return Published(
        name, files, lambda paths: Decoded(class_names, emnist_chunks(paths[0], "balanced"))
    )


def medmnist_sets() -> dict[str, str]:
    """All MedMNIST sets by name, and why one cannot be used: empty for those that can."""
    from medmnist import INFO

    return {name: _unfit(info) for name, info in INFO.items()}


def medmnist(name: str, size: int | None) -> Published:
    """A 2-D MedMNIST set of side ``size`` (28 by default), train, validation and then test.

    Raises:
        UserError: the set has three dimensions or several labels per image, or not this size.
    """
    from medmnist import INFO

    info = INFO[name]
    if _unfit(info):
        raise UserError(f"data set {name!r} cannot be used: {_unfit(info)}")
    suffixes = {28: "", **{side: f"_{side}" for side in (64, 128, 224) if f"MD5_{side}" in info}}
    if size is not None and size not in suffixes:
        choices = ", ".join(map(str, suffixes))
        raise UserError(f"data set {name!r} has no size={size}; choose from: {choices}")
    suffix = suffixes[size or 28]
    file = RemoteFile(f"{name}{suffix}.npz", info[f"url{suffix}"], info[f"MD5{suffix}"])
    class_names = tuple(info["label"][str(number)] for number in range(len(info["label"])))

    def read(paths: Sequence[Path]) -> Decoded:
        decoded = decode_npz(paths[0], class_names)
        merged = (replace(chunk, splits=None) for chunk in decoded.chunks)
        return replace(decoded, notes=(), chunks=merged)  # as of every set here

    return Published(name, (file,), read)


def _unfit(info: dict[str, Any]) -> str:
    if "3D" in info["python_class"]:
        return "it has volumes, and only MedMNIST's 2-D sets have images"
    if "multi-label" in info["task"]:
        return "its images have several labels each, and methods here learn one"
    return ""
