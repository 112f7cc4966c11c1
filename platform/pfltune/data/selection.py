"""Some classes or domains of a data set, in an order of one's own."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pfltune.data.source import Chunk, Decoded, Source
from pfltune.errors import UserError, unknown


@dataclass(frozen=True)
class Selected:
    """Those samples of a source whose class and domain are asked for.

    Clients keep their numbers; those of whom no sample is left go where the data set is whole, see
    :mod:`pfltune.data.present`.

    Attributes:
        source: where the samples come from.
        classes, domains: names, in the order in which they shall count; None takes all.
    """

    source: Source
    classes: tuple[str, ...] | None
    domains: tuple[str, ...] | None

    def identity(self) -> dict[str, Any]:
        """The source's, and what is selected."""
        return {**self.source.identity(), "classes": self.classes, "domains": self.domains}

    def notes(self) -> tuple[str, ...]:
        """The source's."""
        return self.source.notes()

    def decode(self) -> Decoded:
        """Read the source and drop what is not selected."""
        whole = self.source.decode()
        if self.domains and not whole.domain_names:
            raise UserError(f"domains={list(self.domains)}: this data set has no domains")
        classes = renumbered(whole.class_names, self.classes, "class")
        domains = renumbered(whole.domain_names, self.domains, "domain")
        return replace(
            whole,
            class_names=self.classes or whole.class_names,
            domain_names=self.domains or whole.domain_names,
            chunks=_kept(whole.chunks, classes, domains),
        )


def choose(known: tuple[str, ...], chosen: tuple[str, ...] | None, kind: str) -> tuple[str, ...]:
    """What is chosen of ``known``: all by default.

    Raises:
        UserError: one of ``chosen`` is not known.
    """
    for name in chosen or ():
        if name not in known:
            raise unknown(kind, name, known)
    return chosen or known


def renumbered(known: tuple[str, ...], chosen: tuple[str, ...] | None, kind: str) -> np.ndarray:
    """The new number of each of ``known``, or -1 if it is dropped."""
    place = {name: number for number, name in enumerate(choose(known, chosen, kind))}
    return np.array([place.get(name, -1) for name in known], dtype=np.int64)


def _kept(
    chunks: Iterable[Chunk], class_numbers: np.ndarray, domain_numbers: np.ndarray
) -> Iterator[Chunk]:
    for chunk in chunks:
        columns = chunk.columns
        columns["labels"] = class_numbers[chunk.labels]
        kept = columns["labels"] >= 0
        if chunk.domains is not None:
            columns["domains"] = domain_numbers[chunk.domains]
            kept &= columns["domains"] >= 0
        yield Chunk(chunk.images[kept], **{name: column[kept] for name, column in columns.items()})
