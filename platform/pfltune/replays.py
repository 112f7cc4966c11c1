"""Claims as they are replayed: one job for each footing, under one name.

Each is a comparison or a sensitivity study with a folder, a record and a journal of its own, which
can be reported, resumed and extended by itself. The replay's own folder says which there are.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from pydantic import Field

from pfltune.claim_file import Claim, Footing
from pfltune.errors import UserError
from pfltune.ownership import RECORDS, owner_of, recorded, write_record
from pfltune.record import NAME
from pfltune.settings import Settings

REPLAY = RECORDS["claim"]


class Part(Settings):
    """What is run on one footing.

    Attributes:
        name: of the job.
        footing: what is equal in it.
        command: that makes it.
        options: with which it begins.
    """

    name: str = Field(pattern=f"^{NAME}$")
    footing: Footing
    command: Literal["compare", "sensitivity"]
    options: Mapping[str, Any]

    @property
    def names_files(self) -> bool:
        """Whether it names files: there may be code in them."""
        return ".py:" in str(self.options) or ".yaml" in str(self.options)


class Replay(Settings):
    """All parts of a replay.

    Attributes:
        format: of this file.
        id: random; it stands in all that the replay writes itself.
        name: of its folder.
        claim: what is replayed, as it was when this began.
        scale: how large.
        parts: one for each footing, in the order in which they are run.
    """

    format: Literal[1] = 1
    id: str = Field(default_factory=lambda: uuid4().hex, pattern="^[0-9a-f]{32}$")
    name: str = Field(pattern=f"^{NAME}$")
    claim: Claim
    scale: str
    parts: tuple[Part, ...] = Field(min_length=1)

    @property
    def owner(self) -> str:
        """As it stands in marks and messages; no other replay has the same."""
        return owner_of("claim", self.name, self.id)

    def same_as(self, other: "Replay") -> bool:
        """Whether both ask for the same."""
        return self.model_copy(update={"id": other.id}) == other

    def write(self, folder: Path) -> None:
        """Put it into the replay's folder.

        Raises:
            OSError: it cannot be written.
        """
        write_record(folder / REPLAY, self)


def read_replay(folder: Path) -> Replay | None:
    """The replay in a folder; None if there is none.

    Raises:
        UserError: it is damaged.
    """
    return recorded(folder / REPLAY, folder, Replay)


def refuse_replay(folder: Path) -> None:
    """See that a folder is no replay's, where one comparison is wanted.

    Raises:
        UserError: it is; names its parts.
    """
    replay = read_replay(folder)
    if replay is not None:
        parts = ", ".join(part.name for part in replay.parts)
        raise UserError(
            f"{folder.name} is a claim that is replayed; name one of its parts: {parts}"
        )
