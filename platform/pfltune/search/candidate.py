"""The identity of a trial: everything that its figures depend on beside the federation."""

import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any

from pfltune.knobs import Value
from pfltune.randomness import derive
from pfltune.registry import short_name
from pfltune.stages import Stage, sees_test, trial_name

# What the search maximises: the best mean validation score so far, before the first evaluation and
# after a failure no good one. Not a figure of the trial, so its name is none that MLflow is told.
SCORE = "score"
_OTHER = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST = 60


@dataclass(frozen=True)
class Candidate:
    """One trial of a comparison.

    Attributes:
        method: reference of the method.
        stage: what it is for, see :mod:`pfltune.stages`.
        index: number of the trial within its method and stage.
        generation: number of its generation; -1 outside the search.
        seed: seed of the federated trial.
        knobs: the configuration, with what the user holds fixed.
        study: which of the independent searches of its method it is of.
    """

    method: str
    stage: Stage
    index: int
    generation: int
    seed: int
    knobs: Mapping[str, Value]
    study: int = 0

    @property
    def name(self) -> str:
        """Unique within the comparison; also of its folder and of its run."""
        return trial_name(short_name(self.method), self.stage, self.index, self.study)

    @property
    def content(self) -> Hashable:
        """What its figures depend on: trials with the same are one."""
        tested = sees_test(self.stage)
        return self.method, tested, self.seed, tuple(sorted(self.knobs.items()))

    @property
    def folder(self) -> str:
        """Name of the folder of its checkpoints."""
        return checkpoint_folder(self.name, self.seed, self.knobs)

    def to_config(self) -> dict[str, Any]:
        """As Ray Tune carries it."""
        return asdict(self) | {"knobs": dict(self.knobs)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Candidate":
        """The inverse of :meth:`to_config`."""
        return cls(**{name: config[name] for name in cls.__dataclass_fields__})


def checkpoint_folder(trial: str, seed: int, knobs: Mapping[str, Value]) -> str:
    """Name of the folder of a trial's checkpoints, of characters that every disk and store takes.

    Another trial under the same name, of a comparison that was asked for more, has another one.
    """
    said = json.dumps([trial, seed, sorted(knobs.items())])
    number = blake2b(said.encode(), digest_size=6).hexdigest()
    return f"{_OTHER.sub('-', trial)[:_LONGEST]}-{number}"


def study_seed(comparison_seed: int, study: int) -> int:
    """What all seeds of one of several independent searches are derived from.

    The first has that of the comparison: it is the search that there would be without the others.
    """
    return derive(comparison_seed, "study", study) % 2**31 if study else comparison_seed


def validation_seed(comparison_seed: int, index: int) -> int:
    """A seed of trials that are compared on validation data, the same for every method.

    All search trials have the one of index 0: they differ by configuration only. What is trained
    again before it is chosen has those from 1 on, and a grid those from 0 on, so that it shares its
    trials with a search.
    """
    name = ("search",) if index == 0 else ("validation", index)
    return derive(comparison_seed, *name) % 2**31


def confirmation_seed(comparison_seed: int, index: int) -> int:
    """A seed that the search never used, the same for every method."""
    return derive(comparison_seed, "confirmation", index) % 2**31
