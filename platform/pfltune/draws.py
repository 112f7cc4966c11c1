"""Draws of clients: one comparison for each of several data seeds, under one name.

Each draw is a comparison with a folder, a record and a journal of its own. What is compared stands
in the record of the first one, which the others follow; the file here says which draws there are.
"""

from pathlib import Path
from typing import Literal
from uuid import uuid4

from pydantic import Field

from pfltune.errors import UserError
from pfltune.ownership import RECORDS, owner_of, recorded, write_record
from pfltune.record import NAME
from pfltune.settings import Settings
from pfltune.storage import open_storage
from pfltune.sweeps import SHOWN, refuse_sweep

DRAWS = RECORDS["draws"]
MOST_DRAWS = 100
SETTING = "data_seed"
"""The setting of a scenario in which its draws differ."""


class Draws(Settings):
    """Which draws of clients a comparison is made on.

    Attributes:
        format: of this file.
        id: random; it stands in all that is written of the draws together.
        name: of its folder.
        first: the data seed of the first draw; each further one has the next number.
        partitions: how many there are.
        tune_each: whether methods are tuned on each draw; otherwise on the first alone, whose
            configurations the others test.
    """

    format: Literal[1] = 1
    id: str = Field(default_factory=lambda: uuid4().hex, pattern="^[0-9a-f]{32}$")
    name: str = Field(pattern=f"^{NAME}$")
    first: int = Field(ge=0)
    partitions: int = Field(ge=2, le=MOST_DRAWS)
    tune_each: bool

    @property
    def owner(self) -> str:
        """As it stands in marks and messages; no others have the same."""
        return owner_of("draws of", self.name, self.id)

    @property
    def seeds(self) -> range:
        """The data seed of each draw."""
        return range(self.first, self.first + self.partitions)

    @property
    def names(self) -> tuple[str, ...]:
        """The comparison on each draw."""
        return tuple(map(self.name_of, self.seeds))

    def name_of(self, seed: int) -> str:
        """The comparison on the draw of a data seed."""
        return f"{self.name}.{label(seed).replace('=', '-')}"

    @property
    def in_words(self) -> str:
        """``3 partitions, tuned on the first``."""
        return f"{self.partitions} partitions, tuned on {'each' if self.tune_each else 'the first'}"

    def write(self, folder: Path) -> None:
        """Put it into the folder of the draws.

        Raises:
            OSError: it cannot be written.
        """
        write_record(folder / DRAWS, self)

    @staticmethod
    def forget(folder: Path) -> None:
        """Have nothing said there."""
        open_storage(str(folder)).remove(DRAWS)


def label(seed: int) -> str:
    """``data_seed=1``: a draw in few words."""
    return f"{SETTING}={seed}"


def read_draws(folder: Path) -> Draws | None:
    """The draws in a folder; None if there are none.

    Raises:
        UserError: the file is damaged.
    """
    return recorded(folder / DRAWS, folder, Draws)


def draws_with(results: Path, name: str) -> Draws | None:
    """The draws of which a comparison is one; None if it is of none."""
    whole, _, _ = name.rpartition(f".{SETTING}-")
    draws = read_draws(results / whole) if whole else None
    return draws if draws is not None and name in draws.names else None


def refuse_several(folder: Path) -> None:
    """See that a folder is neither a sweep's nor of draws, where one comparison is wanted.

    Raises:
        UserError: it is; names comparisons in it.
    """
    refuse_sweep(folder)
    draws = read_draws(folder)
    if draws is not None:
        names = ", ".join(draws.names[:SHOWN])
        more = ", …" if draws.partitions > SHOWN else ""
        raise UserError(
            f"{folder.name} is a comparison over {draws.partitions} partitions; name one of its "
            f"draws: {names}{more}"
        )
