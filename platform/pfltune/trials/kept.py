"""The kept trials as a comparison uses them: looked for before one is trained, kept at its end."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pfltune.errors import UserError
from pfltune.knobs import Value
from pfltune.record import Record
from pfltune.registry import short_name
from pfltune.stages import Stage
from pfltune.trials.entry import Entry, Origin
from pfltune.trials.spec import TrialSpec
from pfltune.trials.store import TrialStore
from pfltune.trials.stored import StoredTrial


class Trial(Protocol):
    """What tells a trial from the others of its comparison."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def method(self) -> str:
        """Reference of its method."""

    @property
    def stage(self) -> Stage:
        """What it is for."""

    @property
    def seed(self) -> int:
        """Of the federated trial."""

    @property
    def knobs(self) -> Mapping[str, Value]:
        """Those that are not as by default."""


class KeptTrials:
    """The trials of a results folder, for all comparisons in it.

    Args:
        results: the results folder.
        warn: tells the user that a trial has other figures than before.

    Raises:
        UserError: where they would be kept is something of somebody else.
    """

    def __init__(self, results: Path, warn: Callable[[str], object]) -> None:
        self._store = TrialStore(results)
        self._warn = warn
        self._store.check()

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be found."""
        return self._store.is_empty

    def of(self, record: Record) -> "TrialsOfOne":
        """The same for one comparison."""
        return TrialsOfOne(self._store, record, self._warn)


class TrialsOfOne:
    """What a comparison finds of its trials and keeps of them.

    Args:
        store: of the results folder.
        record: of the comparison; one that was asked for ``fresh`` finds nothing but what it has
            trained in this sitting, and one whose trials are ended by the clock neither finds nor
            keeps any.
        warn: see :class:`KeptTrials`.
    """

    def __init__(self, store: TrialStore, record: Record, warn: Callable[[str], object]) -> None:
        self._store = store
        self._record = record
        self._warn = warn
        self._trained: dict[str, StoredTrial] = {}

    def find(self, candidate: Trial) -> StoredTrial | None:
        """How far the same trial was trained, wherever that was."""
        if not self._record.scenario.protocol.repeats:
            return None
        key = self._spec(candidate).key
        if self._record.asked.fresh:
            return self._trained.get(key)
        found = self._store.find(key)
        return found.trial if found else None

    def keep(self, candidate: Trial, trial: StoredTrial) -> None:
        """Keep a trial, and see that it has the figures of one that is there.

        Raises:
            OSError: it cannot be written.
        """
        if not self._record.scenario.protocol.repeats:
            return
        origin = Origin(
            method=short_name(candidate.method),
            scenario=self._record.scenario.name,
            comparison=self._record.id,
            name=self._record.name,
            at=datetime.now().astimezone().isoformat(timespec="seconds"),
        )
        entry = Entry(spec=self._spec(candidate), origin=origin, trial=trial)
        told = keep(self._store, entry, candidate.name)
        if self._record.asked.fresh:
            self._trained[entry.spec.key] = trial
        if told:
            self._warn(told)

    def _spec(self, candidate: Trial) -> TrialSpec:
        what = (candidate.stage, candidate.method, candidate.knobs, candidate.seed)
        return TrialSpec.of(self._record, *what)


def keep(store: TrialStore, entry: Entry, name: str) -> str:
    """Keep a trial; returns what the user must hear of it, or nothing.

    Args:
        store: where.
        entry: the trial.
        name: of the trial, for people.

    Raises:
        OSError: it cannot be written.
    """
    try:
        answer = store.put(entry)
    except UserError as error:  # the folder became somebody else's meanwhile
        raise OSError(str(error)) from error
    if answer != "other":
        return ""
    there = store.find(entry.spec.key)
    before = f", for {there.origin.told} at {there.origin.at}" if there else ""
    return (
        f"{name} was trained before{before}, to other figures, though all that they depend on is "
        f"the same; what was kept stays ({entry.spec.key}.json in {store.folder}). Find out which "
        "is right before you trust either: a method that draws from a generator of its own, or a "
        "machine with a fault"
    )
