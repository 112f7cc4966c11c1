"""``pfltune trials`` and ``clean``: what is kept is shown, and only what nobody needs goes."""

import json

import pytest
from click.testing import CliRunner
from comparisons import Fake, record
from test_trial_store import CPU, entry, file_of, trial

from pfltune.cli.app import root
from pfltune.program import ENGINE, Program
from pfltune.tracking.events import TrialStarted
from pfltune.tracking.journal import JOURNAL, Journal
from pfltune.tracking.store import Store
from pfltune.trials.entry import Entry, Origin
from pfltune.trials.spec import TrialSpec
from pfltune.trials.store import TrialStore

DATA = ("images", "labels", "clients", "clients without test", "start weights", "rules")
BEGUN = {
    "program": Program(
        source={ENGINE: "1", "mine": "2"}, files={}, versions={"torch": "2"}, processor="abacus"
    ),
    "data": {name: name for name in DATA},
    "defaults": {"mine": {"lr": 0.01, "prefix": "adapter"}},
    "computing": CPU,
}


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PFLTUNE_RESULTS", raising=False)
    return tmp_path / "results"


def comparison(results, name, over=True):
    mine = Fake("Mine", [[0.5, 0.75]])
    return record(Store(results), name, {"mine": mine}, over=over, mirrored=False, **BEGUN)


def kept_for(results, made, seed=1, comparison="gone", name="gone"):
    """A trial on a comparison's ground that another comparison, which is gone, has trained."""
    origin = Origin(method="mine", scenario="digits", comparison=comparison, name=name, at="2026")
    spec = TrialSpec.of(made, "confirm", "mine", {"lr": 0.5}, seed)
    kept = Entry(spec=spec, origin=origin, trial=trial(2, "finished"))
    TrialStore(results).put(kept)
    return kept


def call(*arguments):
    return CliRunner().invoke(root, arguments, catch_exceptions=True)


def test_trials_are_listed_within_80_columns(results):
    assert call("trials").output == "0 trials, 0 MB\n"
    made = comparison(results, "a-comparison-with-a-long-name-20261126-101112")
    kept_for(results, made, comparison=made.id, name=made.name)
    TrialStore(results).put(entry(0, "failed", seed=2**31))
    shown = call("trials").output
    assert max(map(len, shown.splitlines())) <= 80
    for word in ("mine", "lr=0.5", "2 trials", "failed", "pfltune"):
        assert word in shown


def test_those_of_one_comparison_are_its_own_and_those_it_reused(results):
    made = comparison(results, "one")
    own = kept_for(results, made, seed=1, comparison=made.id)
    reused, other = (kept_for(results, made, seed=seed) for seed in (2, 3))
    journal = Journal(results / "one" / JOURNAL, made.id)
    knobs = dict(reused.spec.knobs)
    journal.append(TrialStarted("mine-confirm-7", "mine", "confirm", 7, -1, 2, knobs, reused=True))
    listed = json.loads(call("trials", "one", "--json").output)["trials"]
    assert {row["key"] for row in listed} == {own.spec.key, reused.spec.key}
    everything = json.loads(call("trials", "--json").output)["trials"]
    assert {row["key"] for row in everything} > {other.spec.key}
    assert call("trials", "two").exception is not None


def test_clean_removes_what_no_comparison_needs_and_nothing_else(results):
    made = comparison(results, "one")
    needed = kept_for(results, made, seed=1, comparison=made.id)
    gone, alone, damaged = kept_for(results, made, seed=2), entry(seed=5), entry(seed=6)
    store = TrialStore(results)
    for each in (alone, damaged):
        store.put(each)
    file_of(store, damaged).write_bytes(b"{")
    theirs = store.folder / "notes.json"
    theirs.write_text("mine")
    answer = call("clean", "--yes")
    assert answer.exit_code == 0
    assert "Removed: 3 trials" in answer.output
    assert [each.entry for each in store.listed()] == [needed]
    assert not file_of(store, gone).exists()
    assert theirs.read_text() == "mine"
    assert "Nothing to remove" in call("clean").output


def test_a_comparison_that_has_not_ended_keeps_all_that_it_may_look_for(results):
    made = comparison(results, "one", over=False)
    kept_for(results, made, seed=99)
    TrialStore(results).put(entry())
    assert "Removed: 1 trial," in call("clean", "--yes").output
    assert len(list(TrialStore(results).listed())) == 1


def test_clean_asks_and_refuses_where_nobody_can_be_asked(results, monkeypatch):
    TrialStore(results).put(entry())
    refused = call("clean")
    assert "give --yes" in str(refused.exception)
    monkeypatch.setattr("pfltune.cli.clean._somebody_is_there", lambda: True)
    asked = CliRunner().invoke(root, ["clean"], input="n\n")
    assert "Nothing was removed" in asked.output
    assert not TrialStore(results).is_empty
    assert "Removed" in CliRunner().invoke(root, ["clean"], input="y\n").output
    assert TrialStore(results).is_empty


def test_clean_removes_nothing_where_it_cannot_know(results):
    comparison(results, "one")
    (results / "one" / "comparison.json").write_text("{")
    TrialStore(results).put(entry())
    assert "is damaged" in str(call("clean", "--yes").exception)
    assert not TrialStore(results).is_empty
