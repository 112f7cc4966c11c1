"""Which kept trials the comparisons of a results folder need."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pfltune.record import RECORD, Record, read_record
from pfltune.registry import short_name
from pfltune.tracking.events import Event, MethodEnded, TrialStarted
from pfltune.tracking.journal import Journal
from pfltune.trials.entry import Entry
from pfltune.trials.spec import TrialSpec
from pfltune.trials.store import Listed, TrialStore

JOURNALS = "journal*.jsonl"


@dataclass(frozen=True)
class Needs:
    """What must stay.

    Attributes:
        comparisons: ids of those that are there.
        keys: of all their trials.
        commons: keys of what the trials of those have in common that have not come to their end,
            and so may still look for any of them.
    """

    comparisons: frozenset[str]
    keys: frozenset[str]
    commons: frozenset[str]

    @classmethod
    def of(cls, results: Path) -> "Needs":
        """What the comparisons in a results folder need.

        Raises:
            UserError: a record or a journal cannot be read, so that nobody knows.
        """
        found = [_needs(folder, record) for folder, record in _comparisons(results)]
        return cls(
            frozenset().union(*(each.comparisons for each in found)),
            frozenset().union(*(each.keys for each in found)),
            frozenset().union(*(each.commons for each in found)),
        )

    def has(self, entry: Entry) -> bool:
        """Whether a trial is needed."""
        return (
            entry.origin.comparison in self.comparisons
            or entry.spec.key in self.keys
            or entry.spec.common.key in self.commons
        )


def trials_of(folder: Path, record: Record) -> frozenset[str]:
    """The keys of all trials that a comparison's journals tell of."""
    return _needs(folder, record).keys


def unneeded(results: Path) -> list[Listed]:
    """The files of kept trials that no comparison needs, damaged ones among them.

    Raises:
        UserError: something cannot be read.
    """
    listed = list(TrialStore(results).listed())
    needs = Needs.of(results)
    return [each for each in listed if each.entry is None or not needs.has(each.entry)]


def remove(results: Path, agreed: list[Listed]) -> list[Listed]:
    """Remove files of kept trials, unless they have come to be needed; returns those removed.

    Raises:
        UserError: something cannot be read.
        OSError: they cannot be removed.
    """
    names = {each.file for each in agreed}
    with TrialStore(results).alone() as place:
        gone = [each for each in unneeded(results) if each.file in names]
        for each in gone:
            place.remove(each.file)
    return gone


def _comparisons(results: Path) -> Iterator[tuple[Path, Record]]:
    for path in sorted([*results.glob(f"*/{RECORD}"), *results.glob(f"*/*/{RECORD}")]):
        record = read_record(path.parent)
        if record is not None:
            yield path.parent, record


def _needs(folder: Path, record: Record) -> Needs:
    if not record.defaults:  # of a pfltune that kept no trials
        return Needs(frozenset({record.id}), frozenset(), frozenset())
    events = {
        path.name: Journal(path, record.seal_of(path.name)).events for path in folder.glob(JOURNALS)
    }
    started = [e for each in events.values() for e in each if isinstance(e, TrialStarted)]
    keys = {TrialSpec.of(record, e.stage, e.method, e.knobs, e.seed).key for e in started}
    over = _ended(events.get(record.journal, [])) >= set(map(short_name, record.methods))
    to_come = () if over else record.methods
    commons = {TrialSpec.of(record, "confirm", m, {}, 0).common.key for m in to_come}
    return Needs(frozenset({record.id}), frozenset(keys), frozenset(commons))


def _ended(events: list[Event]) -> set[str]:
    return {event.method for event in events if isinstance(event, MethodEnded)}
