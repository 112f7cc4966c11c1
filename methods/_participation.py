"""Means over the clients that took part, for methods whose server needs to know how many did."""

from collections.abc import Iterable, Iterator

from pfltune.method import Tensors, Update, weighted_mean


def mean_and_count(uploads: Iterable[Update], otherwise: Tensors) -> tuple[Tensors, int]:
    """The mean of the uploads by their weights, and their number; they are consumed once."""
    count = 0

    def counted() -> Iterator[Update]:
        nonlocal count
        for count, update in enumerate(uploads, start=1):  # noqa: B007
            yield update

    return weighted_mean(counted(), otherwise), count
