"""How trials outlive their processes, and how long they may take."""

from dataclasses import dataclass
from pathlib import Path

from pfltune.record import Asked
from pfltune.stages import KeepModels


@dataclass(frozen=True)
class TrialOptions:
    """Settings that do not touch a trial's figures.

    Attributes:
        checkpoints: folder or address of the trials' checkpoints, the same from every machine.
        seconds: a checkpoint is written after the first round that ends so long after the last.
        rounds: and after so many rounds.
        limit_s: seconds that the rounds of a trial may take in all.
        models: of which confirmation trials the models are kept.
    """

    checkpoints: str
    seconds: float = 30.0
    rounds: float = float("inf")
    limit_s: float = float("inf")
    models: KeepModels = "none"

    @classmethod
    def of(cls, asked: Asked, folder: Path) -> "TrialOptions":
        """What the options of a comparison say.

        Args:
            asked: they.
            folder: the comparison's own; elsewhere checkpoints lie in a folder of its name.
        """
        place = asked.checkpoints or str(folder.parent)
        own = f"{place.rstrip('/')}/{folder.name}/checkpoints"
        return cls(
            checkpoints=own if "://" in own else str(Path(own).resolve()),
            seconds=asked.checkpoint_seconds,
            rounds=asked.checkpoint_rounds or float("inf"),
            limit_s=asked.trial_limit or float("inf"),
            models=asked.keep_models,
        )
