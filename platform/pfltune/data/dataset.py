"""A data set: uint8 images and labels in memory, one copy for everybody."""

import hashlib
import warnings
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pfltune.data.columns import COLUMNS
from pfltune.errors import UserError


@dataclass(frozen=True)
class Dataset:
    """Images and labels.

    Attributes:
        name: how the data set is called in scenarios and reports.
        images: uint8 of shape (samples, channels, height, width).
        labels: int64 of shape (samples,), values in [0, number of classes).
        class_names: one per class.
        domains: int64 of shape (samples,), where each sample comes from; None if there is one only.
        domain_names: one per domain.
        notes: what was left out, or done to the samples before they were these, a line each.
        clients: int64 of shape (samples,), whose each sample is, -1 for nobody's; None if nobody
            says.
        client_names: one per client.
        splits: uint8 of shape (samples,), the part that each sample is given for: 0 train, 1 val,
            2 test, 255 where nobody says; None if nothing is given.
        widths, heights: int32 of shape (samples,), pixels of each sample in its own file; None
            where nothing was made of another size.
    """

    name: str
    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    domains: Tensor | None = None
    domain_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    clients: Tensor | None = None
    client_names: tuple[str, ...] = ()
    splits: Tensor | None = None
    widths: Tensor | None = None
    heights: Tensor | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise UserError(
                f"data set {self.name!r}: images must be uint8 (samples, channels, height, width), "
                f"not {self.images.dtype} {tuple(self.images.shape)}"
            )
        if self.labels.shape != self.images.shape[:1]:
            raise UserError(
                f"data set {self.name!r}: {len(self.images)} images but "
                f"labels of shape {tuple(self.labels.shape)}"
            )
        if int(self.labels.min()) < 0 or int(self.labels.max()) >= self.classes:
            raise UserError(
                f"data set {self.name!r}: labels run from {int(self.labels.min())} to "
                f"{int(self.labels.max())}, but there are {self.classes} classes"
            )
        for name in COLUMNS:
            column = getattr(self, name)
            if column is not None and column.shape != self.labels.shape:
                raise UserError(
                    f"data set {self.name!r}: {len(self.images)} images but "
                    f"{name} of shape {tuple(column.shape)}"
                )

    def __getstate__(self) -> dict[str, Any]:
        """Tensors as arrays: Ray keeps these once per machine, and all processes read that copy."""
        state = dict(self.__dict__)
        return {n: v.numpy() if isinstance(v, Tensor) else v for n, v in state.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            tensor = read_only(value) if isinstance(value, np.ndarray) else value
            object.__setattr__(self, name, tensor)

    @cached_property
    def digest(self) -> str:
        """Of images, labels and names of classes; the same for the same samples in one order."""
        found = hashlib.blake2b(
            "\0".join(self.class_names).encode(errors="surrogatepass"), digest_size=16
        )
        for tensor in (self.images, self.labels):
            found.update(f"\0{tuple(tensor.shape)}".encode())
            found.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
        return found.hexdigest()

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def channels(self) -> int:
        """Number of colour channels."""
        return self.images.shape[1]


def read_only(array: np.ndarray) -> Tensor:
    """A tensor on the memory of ``array``, which nobody may write to (memory maps, Ray's store)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def digits() -> Dataset:
    """1,797 real handwritten digits of 8×8 pixels, shipped inside scikit-learn's wheel.

    Read from the file that ``sklearn.datasets.load_digits`` reads, of 64 grey values from 0 to 16
    and the label in each line: importing sklearn takes longer than some trials.
    """
    spec = find_spec("sklearn")
    assert spec is not None  # a dependency
    assert spec.origin is not None
    table = np.loadtxt(Path(spec.origin).parent / "datasets/data/digits.csv.gz", delimiter=",")
    grey = torch.from_numpy(table[:, :-1].reshape(-1, 1, 8, 8)).mul(255 / 16).round()
    labels = torch.from_numpy(table[:, -1]).long()
    return Dataset("digits", grey.to(torch.uint8), labels, tuple(map(str, range(10))))
