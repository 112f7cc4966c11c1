"""The trial store: whole entries under their keys, one writer after the other, nothing foreign."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from test_trial_spec import BEGUN

from pfltune.errors import UserError
from pfltune.ownership import MARK
from pfltune.record import Computing
from pfltune.seal import sealed, unsealed
from pfltune.search.candidate import Candidate
from pfltune.storage import is_partial
from pfltune.trials.entry import Entry, Origin
from pfltune.trials.kept import KeptTrials
from pfltune.trials.spec import TrialSpec
from pfltune.trials.store import TrialStore
from pfltune.trials.stored import StoredRound, StoredTrial

CPU = Computing(threads=1, device="cpu", precision="float32", cohort=1, deterministic=False)
GPU = CPU.model_copy(update={"device": "cuda"})
SELECTED = {"round": 2, "val": [0.5, 0.75], "test": [], "clients": [0, 1]}


def spec(seed=0, computing=CPU):
    return TrialSpec(
        engine="1", code="2", versions={"torch": "2"}, processor="abacus", data={"clients": "3"},
        test=False, knobs={"lr": 0.1, "epochs": 2, "prefix": "tokens", "flag": True}, settings={},
        seed=seed, computing=computing,
    )  # fmt: skip


def rounds(number, shift=0.0, seconds=1.0):
    return tuple(
        StoredRound(n, n / 7 + shift, {"val/accuracy": n / 7 + shift, "time/round_s": seconds})
        for n in range(1, number + 1)
    )


def trial(number, outcome="reached", **changed):
    selected = SELECTED if outcome == "finished" else None
    return replace(StoredTrial(rounds(number), outcome, "", selected), **changed)


def entry(number=2, outcome="finished", seed=0, computing=CPU, **changed):
    origin = Origin(method="mine", scenario="digits", comparison="", name="", at="2026-11-26")
    kept = trial(number, outcome, **changed)
    return Entry(spec=spec(seed, computing), origin=origin, trial=kept)


def file_of(store, kept):
    return store.folder / f"{kept.spec.key}.json"


@pytest.fixture
def store(tmp_path):
    return TrialStore(tmp_path / "results")


def test_a_trial_comes_back_to_the_last_bit(store):
    odd = {"a/nan": float("nan"), "a/inf": float("-inf"), "a/tiny": 5e-324, "a/third": 1 / 3}
    kept = entry(rounds=(StoredRound(1, 0.1 + 0.2, odd),))
    assert store.find(kept.spec.key) is None
    assert store.put(kept) == "kept"
    found = store.find(kept.spec.key)
    assert repr(found) == repr(kept)
    assert [type(v) for v in found.spec.knobs.values()] == [float, int, str, bool]


FOUND_AND_COME = {
    "the same": (entry(), entry(), "known"),
    "as long in other seconds": (entry(), entry(rounds=rounds(2, seconds=9.0)), "known"),
    "shorter": (entry(), entry(1, "reached"), "known"),
    "longer": (entry(1, "reached"), entry(), "kept"),
    "longer, not at its end": (entry(1, "reached"), entry(2, "reached"), "kept"),
    "failed further on": (entry(1, "reached"), entry(1, "failed"), "kept"),
    "nothing done, failed": (entry(0, "reached"), entry(0, "failed"), "kept"),
    "failed before it was paused": (entry(1, "failed"), entry(1, "reached"), "known"),
    "another figure": (entry(), entry(rounds=rounds(2, shift=1e-16)), "other"),
    "another beginning": (entry(1, "reached"), entry(rounds=rounds(2, shift=1e-9)), "other"),
    "another beginning, shorter": (entry(), entry(1, "reached", rounds=rounds(1, 0.5)), "other"),
    "another client": (entry(), entry(selected={**SELECTED, "val": [0.5, 0.5]}), "other"),
    "failed where it went on": (entry(), entry(1, "failed"), "other"),
    "went on where it failed": (entry(1, "failed"), entry(), "other"),
    "other bits of a GPU": (
        entry(computing=GPU), entry(computing=GPU, rounds=rounds(2, shift=0.1)), "known"
    ),
    "longer on a GPU": (
        entry(1, "reached", computing=GPU), entry(computing=GPU, rounds=rounds(2, 0.1)), "kept"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FOUND_AND_COME)
def test_the_first_stays_unless_the_second_says_the_same_and_more(store, what):
    first, second, answer = FOUND_AND_COME[what]
    assert store.put(first) == "kept"
    before = file_of(store, first).read_bytes()
    assert store.put(second) == answer
    expected = second.to_bytes() if answer == "kept" else before
    assert file_of(store, first).read_bytes() == expected


def test_on_a_gpu_with_repeatable_kernels_other_bits_are_told(store):
    exact = GPU.model_copy(update={"deterministic": True})
    store.put(entry(computing=exact))
    assert store.put(entry(computing=exact, rounds=rounds(2, shift=0.1))) == "other"


def damage(path, kind):
    whole = path.read_bytes()
    content = {
        "empty": b"",
        "torn": whole[:-9],
        "a digit changed": whole.replace(b"0.75", b"0.76"),
        "no digest": json.dumps({"format": 1}).encode(),
        "a list": b"[]",
        "deep": b"[" * 99_999,
        "no text": b"\xff\x00",
        "another trial's": entry(seed=9).to_bytes(),
    }
    path.write_bytes(content[kind])


DAMAGES = (
    "empty", "torn", "a digit changed", "no digest", "a list", "deep", "no text", "another trial's"
)  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGES)
def test_what_is_damaged_is_no_hit_and_is_written_anew(store, kind):
    kept = entry()
    store.put(kept)
    damage(file_of(store, kept), kind)
    assert store.find(kept.spec.key) is None
    assert [each.entry for each in store.listed()] == [None]
    assert store.put(kept) == "kept"
    assert store.find(kept.spec.key) == kept


def test_an_entry_whose_key_was_forged_is_no_hit(store):
    kept, forged = entry(), entry(seed=1)
    store.put(kept)
    content = unsealed(kept.to_bytes()) | {"key": forged.spec.key}
    file_of(store, forged).write_bytes(sealed(content))
    assert store.find(forged.spec.key) is None


def test_an_interrupted_write_leaves_nothing_that_counts(store, monkeypatch):
    store.put(entry(seed=1))
    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        broken.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            store.put(entry())
    assert any(map(is_partial, store.folder.iterdir()))
    assert store.find(entry().spec.key) is None
    assert store.put(entry()) == "kept"
    assert not any(map(is_partial, store.folder.iterdir()))


@pytest.mark.parametrize("theirs", ["notes.txt", "comparison.json", f"{'0' * 32}.json", MARK])
def test_a_folder_of_somebody_else_is_refused_untouched(store, theirs):
    store.folder.mkdir(parents=True)
    (store.folder / theirs).write_text("mine")
    for refused in (store.check, lambda: store.put(entry()), lambda: list(store.listed())):
        with pytest.raises(UserError, match=r"trials .*move it away, or name another"):
            refused()
    assert [path.name for path in store.folder.iterdir()] == [theirs]
    assert (store.folder / theirs).read_text() == "mine"


def test_a_link_and_a_file_are_refused(store, tmp_path):
    store.folder.parent.mkdir()
    (tmp_path / "elsewhere").mkdir()
    store.folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="leads out of"):
        store.put(entry())
    assert not list((tmp_path / "elsewhere").iterdir())
    store.folder.unlink()
    store.folder.write_text("mine")
    with pytest.raises(UserError, match="cannot be used"):
        store.put(entry())


def test_files_of_others_in_our_folder_are_neither_listed_nor_touched(store):
    store.put(entry())
    theirs = store.folder / "notes.json"
    theirs.write_text("mine")
    assert [each.file for each in store.listed()] == [f"{entry().spec.key}.json"]
    assert theirs.read_text() == "mine"


def test_without_a_folder_there_is_nothing(store):
    assert list(store.listed()) == []
    assert not store.check()
    assert not store.folder.parent.exists()


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_trial_store import entry
from pfltune.trials.store import TrialStore

me, results = int(sys.argv[1]), Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
store = TrialStore(results)
for number in range(20):
    store.put(entry(seed=100 * me + number))
    store.put(entry(1 + (number + me) % 9, "reached", seed=7))
"""


@pytest.mark.slow
def test_processes_that_write_at_once_lose_nothing(tmp_path):
    """They make the folder together, too."""
    code = WRITER.format(tests=str(Path(__file__).parent))
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(me), str(tmp_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for me in (1, 2, 3)
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    store = TrialStore(tmp_path)
    seeds = {100 * me + number for me in (1, 2, 3) for number in range(20)}
    assert {each.entry.spec.seed for each in store.listed()} == seeds | {7}
    assert store.find(spec(seed=7).key).trial.round == 9
    assert {path.name for path in tmp_path.iterdir()} == {"trials"}


def test_what_is_trained_afresh_is_trained_once(tmp_path):
    """Two studies that choose the same are one trial, also where nothing from before is taken."""
    kept, fresh = KeptTrials(tmp_path, print), BEGUN.asked.model_copy(update={"fresh": True})
    record = BEGUN.model_copy(update={"asked": fresh})
    confirmed = Candidate("fedavg", "confirm", 0, -1, 3, {"lr": 0.1})
    kept.of(BEGUN).keep(confirmed, trial(2, "finished"))
    assert kept.of(BEGUN).find(confirmed) == trial(2, "finished")
    own = kept.of(record)
    assert own.find(confirmed) is None
    own.keep(confirmed, trial(2, "finished"))
    assert own.find(replace(confirmed, study=1)) == trial(2, "finished")
    assert kept.of(record).find(confirmed) is None, "of another sitting"
