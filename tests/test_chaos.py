"""Comparisons that are killed at any moment, in every way, and end as if nobody had."""

import hashlib
from pathlib import Path

import pytest
from chaos.disturb import (
    PATIENCE_S,
    PFLTUNE,
    Kind,
    Running,
    disturbed,
)
from chaos.outcome import (
    Differences,
    assert_whole,
    differences,
    outcome_of,
    shown_table,
    statuses,
)
from chaos.reference import NAME, OPTIONS
from inline import command

pytestmark = [pytest.mark.slow]

SEED, KILLS = 0, 6
"""Every kind but a single Ctrl-C, which has a test of its own, and every phase."""
CODES = {
    Kind.DRIVER: -9,
    Kind.EVERYTHING: -9,
    Kind.CTRL_C: 130,
    Kind.CTRL_C_TWICE: 130,
    Kind.SIGTERM: 130,
    Kind.RAY: 1,
}


def contents(folder: Path) -> dict[str, str]:
    """All files in a folder, with digests of what is in them."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_undisturbed_comparison_is_whole(reference):
    assert_whole(reference.outcome)
    assert not differences(reference.outcome, reference.outcome)
    assert len(reference.outcome.runs) == 1 + 2 * (1 + 4 + 2)
    assert len(reference.outcome.table) == 4


def test_a_disturbed_comparison_ends_as_the_undisturbed_one(reference, tmp_path):
    story = disturbed(tmp_path, OPTIONS, NAME, reference.plan(SEED, KILLS))
    assert story.ended, f"{story}\n{story.sittings[-1].errors}"
    assert sum(story.survived.values()) >= KILLS - 1, "the last one may come too late"
    outcome = outcome_of(tmp_path / "results", NAME)
    assert_whole(outcome)
    assert differences(outcome, reference.outcome) == Differences(), str(story)
    shown = shown_table(story.sittings[-1].output)
    assert shown == shown_table(reference.output)
    for sitting in story.sittings[:-1]:
        last = sitting.done[-1]
        within = not last.phase.is_report
        assert not sitting.hung, str(story)
        assert not within or sitting.code == CODES[last.kind], f"{story}\n{sitting.errors}"
        assert "Traceback" not in sitting.errors, sitting.errors


def test_a_finished_comparison_is_shown_again_without_running_a_trial(reference):
    folder = reference.folder
    journal = folder / "results" / NAME / "journal.jsonl"
    before = journal.read_bytes()
    again = command(folder, "compare", "--resume", NAME)
    assert again.returncode == 0, again.stderr
    assert "side by side" not in again.stdout, "no trial was left"
    assert shown_table(again.stdout) == shown_table(reference.output)
    assert journal.read_bytes() == before
    assert differences(outcome_of(folder / "results", NAME), reference.outcome) == Differences()


def test_another_configuration_is_refused_and_changes_nothing(reference):
    before = contents(reference.folder / "results")
    refused = command(reference.folder, "compare", "--resume", NAME, "--trials", "5")
    assert refused.returncode == 2, refused.stdout
    assert "budget.generations was [2, 2], would be [2, 2, 1]" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert contents(reference.folder / "results") == before


def test_resuming_what_is_not_there_names_what_is(reference, called, monkeypatch):
    before = contents(reference.folder / "results")
    monkeypatch.chdir(reference.folder)
    code, _, errors = called("compare", "--resume", "nonsense")
    assert code == 2
    assert "nothing named 'nonsense'" in errors
    assert errors.endswith(f"there is: {NAME}\n")
    assert errors.count("\n") == 1
    assert contents(reference.folder / "results") == before


ENDLESS = ["-o", "protocol.rounds=10000"]
"""It cannot end while a second command starts, however busy the machine is."""


def test_one_process_at_a_time_and_ctrl_c_leaves_no_run_open(tmp_path):
    words, results = [*OPTIONS, *ENDLESS, "--name", "busy"], tmp_path / "results"
    (tmp_path / "second").mkdir()
    with Running(tmp_path, [PFLTUNE, "compare", *words]) as first:
        assert first.until("side by side", 3, results / "busy"), first.ended().errors
        second = command(tmp_path / "second", "compare", *words, "--results", str(results))
        first.interrupt()
        sitting = first.ended(PATIENCE_S)
    assert second.returncode == 2, second.stdout
    assert f"busy is being run: process {first.process.pid} of " in second.stderr
    assert second.stderr.count("\n") == 1
    assert sitting.code == 130, sitting.errors
    assert "Go on with: pfltune compare --resume busy\n" in sitting.output
    assert "Traceback" not in sitting.errors
    assert not sitting.left_over
    found = statuses(results, "busy")
    assert found.keys() <= {"KILLED", "FINISHED"}
    assert found["KILLED"] >= 2, "both methods' runs, at least"


def test_ctrl_c_while_the_report_is_written_says_how_it_is_written_after_all(reference):
    with Running(reference.folder, [PFLTUNE, "compare", "--resume", NAME]) as running:
        assert running.until("Writing the report", 0, reference.folder / "results" / NAME)
        running.interrupt()
        sitting = running.ended(PATIENCE_S)
    assert sitting.code == 130, f"{sitting.output}{sitting.errors}"
    assert f"Go on with: pfltune compare --resume {NAME}\n" in sitting.output
    assert sitting.errors == "\npfltune: interrupted\n"
