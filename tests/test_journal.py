"""The journal: whole events or none, whatever happens to the file."""

import errno
import json
import math
import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfltune.errors import UserError
from pfltune.tracking.events import RoundDone, TrialEnded, TrialStarted, from_json, to_json
from pfltune.tracking.journal import Journal

TEXTS = st.text(max_size=20)
WHOLE = st.integers(-(2**63), 2**63)
FLOATS = st.floats()
ACCURACIES = st.lists(FLOATS, max_size=3)
EVENTS = st.one_of(
    st.builds(
        TrialStarted,
        trial=TEXTS,
        method=TEXTS,
        stage=st.sampled_from(["search", "confirm"]),
        index=WHOLE,
        generation=WHOLE,
        seed=WHOLE,
        knobs=st.dictionaries(TEXTS, st.one_of(WHOLE, FLOATS, TEXTS, st.booleans()), max_size=3),
        time=WHOLE,
    ),
    st.builds(
        RoundDone,
        trial=TEXTS,
        round=WHOLE,
        score=FLOATS,
        metrics=st.dictionaries(TEXTS, FLOATS, max_size=3),
        time=WHOLE,
    ),
    st.builds(
        TrialEnded,
        trial=TEXTS,
        outcome=st.sampled_from(["finished", "stopped early", "failed"]),
        round=WHOLE,
        failure=TEXTS,
        selected=st.one_of(
            st.none(),
            st.fixed_dictionaries(
                {"round": WHOLE, "val": ACCURACIES, "test": ACCURACIES},
                optional={"clients": st.lists(WHOLE, max_size=3)},
            ),
        ),
        time=WHOLE,
    ),
)
STARTED = TrialStarted("fedavg-search-0", "fedavg", "search", 0, 0, 7, {"lr": 0.1}, time=1)
DONE = RoundDone("fedavg-search-0", 1, 0.5, {"val/accuracy": 0.5}, time=2)
ENDED = TrialEnded(
    "fedavg-search-0", "finished", 1, selected={"round": 1, "val": [0.5], "test": []}, time=3
)


def lines(events):
    """Events as text, keys in one order: two NaN are the same then."""
    return [json.dumps(json.loads(to_json(event)), sort_keys=True) for event in events]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "events.jsonl"


@given(EVENTS)
def test_an_event_comes_back_from_its_line_to_the_last_bit(event):
    line = to_json(event)
    assert "\n" not in line
    assert type(from_json(line)) is type(event)
    assert lines([from_json(line)]) == lines([event])


def test_floats_that_are_no_numbers_come_back():
    metrics = {"a": math.inf, "b": -math.inf, "c": 0.1 + 0.2, "d": 5e-324, "e": math.nan}
    back = from_json(to_json(RoundDone("t", 1, math.nan, metrics)))
    assert math.isnan(back.score)
    assert math.isnan(back.metrics.pop("e"))
    assert back.metrics == {"a": math.inf, "b": -math.inf, "c": 0.1 + 0.2, "d": 5e-324}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"event": "Other"}',
        '{"event": ["RoundDone"]}',
        '{"event": "RoundDone", "trial": "a"}',
        to_json(DONE)[:-1],
        json.dumps(json.loads(to_json(DONE)) | {"round": "1"}),
        json.dumps(json.loads(to_json(DONE)) | {"more": 1}),
        json.dumps(json.loads(to_json(ENDED)) | {"outcome": "gone"}),
        json.dumps(json.loads(to_json(ENDED)) | {"selected": {"round": 1, "val": [0.5]}}),
        json.dumps(json.loads(to_json(ENDED)) | {"selected": {"round": 1, "val": 3, "test": []}}),
        json.dumps(json.loads(to_json(STARTED)) | {"stage": "other"}),
        b"\xff",
        b"\0\0\0\0",
    ],
)
def test_anything_else_is_refused(line):
    with pytest.raises(ValueError):  # noqa: PT011
        from_json(line)


@given(events=st.lists(EVENTS, max_size=6), later=EVENTS, data=st.data())
@settings(max_examples=60)
def test_a_journal_cut_anywhere_is_a_prefix_that_can_be_continued(
    tmp_path_factory, events, later, data
):
    path = tmp_path_factory.mktemp("cut") / "events.jsonl"
    journal = Journal(path)
    trials = {event.trial for event in (*events, later)}
    events = [replace(STARTED, trial=trial) for trial in sorted(trials)] + events
    for event in events:
        journal.append(event)
    journal.close()
    content = path.read_bytes()
    first = sum(len(line) + 1 for line in content.split(b"\n")[: len(trials)])
    cut = data.draw(st.integers(first, len(content)))
    path.write_bytes(content[:cut])

    opened = Journal(path)
    whole = content[:cut].count(b"\n")
    assert lines(opened.events) == lines(events[:whole])
    assert path.read_bytes() == content[:cut], "reading alone must not write"
    opened.append(later)
    opened.close()
    assert lines(Journal(path).events) == lines([*events[:whole], later])


def test_observers_are_told_what_is_appended_and_nothing_older(path):
    first = Journal(path)
    first.append(STARTED)
    first.close()
    told = []
    journal = Journal(path)
    journal.observe(told.append)
    journal.append(DONE)
    assert told == [DONE]
    assert journal.events == [STARTED]


def test_an_event_is_in_the_file_at_once(path):
    journal = Journal(path)
    for number, event in enumerate((STARTED, DONE, ENDED), start=1):
        journal.append(event)
        assert len(path.read_bytes().splitlines()) == number


def test_only_starts_and_ends_wait_for_the_disk(path, monkeypatch):
    journal = Journal(path)
    journal.append(STARTED)
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    for event in (DONE, ENDED, DONE, STARTED):
        journal.append(event)
    assert len(synced) == 2
    journal.sync()
    assert len(synced) == 3


def test_a_torn_last_line_goes_before_the_next(path):
    journal = Journal(path)
    journal.append(STARTED)
    journal.close()
    with path.open("ab") as file:
        file.write(to_json(DONE).encode())  # whole but for its end: it was never told to anybody
    journal = Journal(path)
    assert journal.events == [STARTED]
    journal.append(ENDED)
    assert Journal(path).events == [STARTED, ENDED]


def flipped(content):
    place = content.index(b"0.5", content.index(b"\n"))
    return content[:place] + b"0.4" + content[place + 3 :]


def without_second(content):
    first, second, *rest = content.splitlines(keepends=True)
    assert second
    return b"".join([first, *rest])


def swapped(content):
    first, second, third, *rest = content.splitlines(keepends=True)
    return b"".join([first, third, second, *rest])


def torn_within(content):
    lines = content.splitlines(keepends=True)
    return b"".join([lines[0], lines[1][:10] + b"\n", *lines[2:]])


@pytest.fixture
def three(path):
    """A journal of one start, one round and one end, closed."""
    journal = Journal(path, "mine")
    for event in (STARTED, DONE, ENDED):
        journal.append(event)
    journal.close()
    return path


@pytest.mark.parametrize("damaged", [flipped, without_second, swapped, torn_within])
def test_damage_is_named_by_its_line_and_what_stands_before_it_is_kept(three, damaged):
    content = damaged(three.read_bytes())
    three.write_bytes(content)
    journal = Journal(three, "mine")
    assert "events.jsonl, line 2 is damaged (" in journal.damage
    assert "\n" not in journal.damage
    assert journal.events == [STARTED]
    with pytest.raises(UserError, match="line 2"):
        journal.append(DONE)
    assert three.read_bytes() == content, "nothing is written before somebody decides"

    kept = journal.keep_damaged()
    assert kept.read_bytes() == content
    journal.append(DONE)
    journal.append(ENDED)
    assert Journal(three, "mine").events == [STARTED, DONE, ENDED]


def test_another_comparisons_journal_is_not_taken_for_an_empty_one(three):
    content = three.read_bytes()
    journal = Journal(three, "another")
    assert journal.events == []
    with pytest.raises(UserError, match=r"line 1 .*another comparison's journal"):
        journal.keep_damaged()
    assert three.read_bytes() == content


def test_a_round_of_a_trial_that_has_not_begun_is_damage(path):
    journal = Journal(path)
    journal.append(STARTED)
    journal.append(replace(DONE, trial="fedavg-search-1"))
    assert "'fedavg-search-1' has not begun" in Journal(path).damage


def test_a_journal_that_is_a_link_is_neither_read_nor_written(three, tmp_path):
    link = tmp_path / "elsewhere" / "journal.jsonl"
    link.parent.mkdir()
    link.symlink_to(three)
    with pytest.raises(UserError, match="leads out of"):
        Journal(link, "mine")


@pytest.mark.parametrize("event", [DONE, ENDED])
@pytest.mark.parametrize("stuck", [False, True], ids=["", "cannot be cut either"])
def test_a_full_disk_leaves_no_torn_line(path, monkeypatch, event, stuck):
    journal = Journal(path)
    told = []
    journal.observe(told.append)
    journal.append(STARTED)
    write, halves = os.write, iter([True, False])

    def full(descriptor, data):
        if next(halves, False):
            return write(descriptor, data[: len(data) // 2])
        if stuck:
            os.close(descriptor)  # so that truncating fails as well
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            journal.append(event)
    assert told == [STARTED]
    assert Journal(path).events == [STARTED]
    journal.append(event)
    assert Journal(path).events == [STARTED, event]
    assert told == [STARTED, event]


def test_what_the_disk_refused_to_keep_is_not_written(path, monkeypatch):
    journal = Journal(path)
    journal.append(STARTED)

    def broken(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(OSError, match="Input/output"):
            journal.append(ENDED)
    assert Journal(path).events == [STARTED]


def test_an_event_that_is_no_json_changes_nothing(path):
    journal = Journal(path)
    journal.append(STARTED)
    with pytest.raises(TypeError):
        journal.append(replace(DONE, metrics={"val/accuracy": object()}))
    journal.append(DONE)
    assert Journal(path).events == [STARTED, DONE]
