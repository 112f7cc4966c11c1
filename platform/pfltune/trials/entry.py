"""What stands in the file of a kept trial."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from pfltune.seal import sealed, unsealed
from pfltune.settings import Settings
from pfltune.trials.spec import TrialSpec
from pfltune.trials.stored import StoredTrial


class Origin(Settings):
    """Where a trial was trained, for people; no part of its key.

    Attributes:
        method: short name of the method.
        scenario: name of the scenario.
        comparison: id of the comparison; empty for a trial of ``pfltune run``.
        name: of that comparison.
        at: when it was kept, as ISO 8601.
    """

    method: str
    scenario: str
    comparison: str
    name: str
    at: str

    @property
    def told(self) -> str:
        """The name of the comparison, or the command."""
        return self.name or "pfltune run"


class Entry(BaseModel):
    """A trial as it is kept; its figures may be NaN or infinite.

    Attributes:
        format: of the file.
        spec: what its figures depend on.
        origin: where it was trained.
        trial: how it went.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    spec: TrialSpec
    origin: Origin
    trial: StoredTrial

    def to_bytes(self) -> bytes:
        """As JSON with its key and the digest of itself."""
        return sealed({"key": self.spec.key, **self.model_dump()})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Entry":
        """The inverse of :meth:`to_bytes`.

        Raises:
            ValueError: it is anything else, or not what was written.
        """
        try:
            content = unsealed(data)
            key = content.pop("key", None)
            entry = cls.model_validate(content)
        except RecursionError as error:
            raise ValueError("it is no kept trial") from error
        if key != entry.spec.key:
            raise ValueError("its key is not that of its specification")
        return entry
