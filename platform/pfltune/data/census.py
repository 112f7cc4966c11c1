"""Who holds how many samples of what: the content of a partition's table and picture."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pfltune.data.dataset import Dataset
from pfltune.data.split import ClientSplit


@dataclass(frozen=True)
class Census:
    """Numbers of samples, counted per client and part.

    Attributes:
        parts: those that the clients have, of train, val and test.
        class_names: one per class.
        domain_names: one per domain; empty if the data set has none.
        by_class: int64 (clients, parts, classes).
        by_domain: int64 (clients, parts, domains).
        client_names: one per client; empty if they have none but their numbers.
    """

    parts: tuple[str, ...]
    class_names: tuple[str, ...]
    domain_names: tuple[str, ...]
    by_class: np.ndarray
    by_domain: np.ndarray
    client_names: tuple[str, ...] = ()

    @property
    def sizes(self) -> np.ndarray:
        """Samples of each part of each client, int64 (clients, parts)."""
        return self.by_class.sum(2)

    def csv(self) -> str:
        """One row per client and part: client, part, samples, one column per domain and class.

        Where clients have names, these stand behind their numbers.
        """
        domains = [f"domain {name}" for name in self.domain_names]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        called = ["name"] if self.client_names else []
        writer.writerow(["client", *called, "part", "samples", *domains, *self.class_names])
        for client, sizes in enumerate(self.sizes):
            name = self.client_names[client : client + 1]
            for p, part in enumerate(self.parts):
                counts = [*self.by_domain[client, p], *self.by_class[client, p]]
                writer.writerow([client, *name, part, sizes[p], *counts])
        return out.getvalue()


def take_census(dataset: Dataset, clients: Sequence[ClientSplit]) -> Census:
    """Count what ``clients`` hold of ``dataset``."""
    splits = [_parts_of(client) for client in clients]
    domains = dataset.domains if dataset.domains is not None else torch.zeros_like(dataset.labels)
    names = tuple(client.name for client in clients)
    return Census(
        tuple(splits[0]),
        dataset.class_names,
        dataset.domain_names,
        _counts(splits, dataset.labels, dataset.classes),
        _counts(splits, domains, len(dataset.domain_names)),
        names if any(names) else (),
    )


def _parts_of(client: ClientSplit) -> dict[str, Tensor]:
    parts = {"train": client.train, "val": client.val, "test": client.test}
    return {name: indices for name, indices in parts.items() if indices is not None}


def _counts(splits: list[dict[str, Tensor]], values: Tensor, kinds: int) -> np.ndarray:
    """How often each value below ``kinds`` occurs, int64 (clients, parts, kinds)."""
    counts = [
        [torch.bincount(values[indices], minlength=kinds)[:kinds] for indices in parts.values()]
        for parts in splits
    ]
    return torch.stack([torch.stack(row) for row in counts]).numpy()
