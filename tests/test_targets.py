"""Where figures are written to: what is not ours is refused, and damage is told of."""

import numpy as np
import pytest
from comparisons import Fake, record

from pfltune.ownership import RECORDS
from pfltune.record import RECORD
from pfltune.report.results import read_results
from pfltune.tracking.journal import JOURNAL
from pfltune.tracking.store import Store

METHODS = {
    "fedavg": Fake("FedAvg", np.array([[0.5, 0.6], [0.7, 0.6]]), searched=()),
    "local": Fake("Local", np.array([[0.4, 0.5], [0.5, 0.5]]), searched=()),
}


@pytest.fixture
def results(tmp_path):
    """Two comparisons."""
    place = tmp_path / "results"
    for name in ("mine", "theirs"):
        record(Store(place), name, METHODS, mirrored=False)
    return place


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "command",
    [
        ("export", "mine", "--tensorboard"),
        ("report", "mine", "--out"),
        ("report", "mine", "mine", "--out"),
        ("leaderboard", "--out"),
    ],
)
@pytest.mark.parametrize("below", ["", "/report", "/new/deeper"])
def test_the_folder_of_another_comparison_is_no_target(results, called, command, below):
    before = files(results)
    target = f"{results}/theirs{below}"
    code, _, err = called(*command, target, "--results", str(results))
    assert (code, err.count("\n")) == (2, 1)
    assert f"{target} is" in err
    assert "the folder of the comparison theirs; nothing is touched: name another folder" in err
    assert files(results) == before
    assert not (results / "theirs" / "new").exists()


def test_what_is_known_by_its_file_is_known_under_the_name_that_it_has():
    from pfltune.draws import DRAWS
    from pfltune.replays import REPLAY
    from pfltune.sweeps import SWEEP

    assert set(RECORDS.values()) == {RECORD, SWEEP, DRAWS, REPLAY}


@pytest.mark.parametrize(
    "command",
    [("leaderboard", "--out"), ("report", "mine", "--out"), ("partition", "digits", "--out")],
)
def test_a_file_where_a_folder_is_meant_is_one_line(results, called, command, tmp_path):
    (tmp_path / "page.html").write_text("mine")
    target = str(tmp_path / "page.html")
    code, _, err = called(*command, target, "--results", str(results))
    assert (code, err.count("\n")) == (2, 1)
    assert f"{target} is a file, where a folder is meant; name another folder with --out" in err
    assert (tmp_path / "page.html").read_text() == "mine"


@pytest.mark.parametrize("command", [("leaderboard",), ("report", "mine")])
def test_a_place_that_cannot_be_written_is_named_without_a_number(results, called, command):
    code, _, err = called(*command, "--out", "/proc/nowhere", "--results", str(results))
    assert (code, err.count("\n")) == (2, 1)
    assert "Errno" not in err
    assert "No such file or directory: /proc/nowhere); name another folder with --out" in err


def test_a_leaderboard_says_which_journals_are_damaged(results, called):
    with (results / "mine" / JOURNAL).open("ab") as file:
        file.write(b"garbage\n")
    damage = read_results(results, "mine").damage
    assert "is damaged" in damage
    code, _, err = called("leaderboard", "--results", str(results))
    assert (code, err.count("\n")) == (1, 1)
    assert f"{damage}; the page has what stands before it" in err
    page = (results / "leaderboard" / "leaderboard.html").read_text()
    assert f"{damage}; what stands before it is shown." in page
    assert "FedAvg" in page


def test_a_leaderboard_says_which_comparisons_it_leaves_out(results, called):
    (results / "mine" / JOURNAL).write_bytes(b"garbage\n")
    code, _, err = called("leaderboard", "--results", str(results))
    assert (code, err.count("\n")) == (0, 1)
    assert err.startswith("Left out: mine: ")
    (results / "theirs" / JOURNAL).write_bytes(b"garbage\n")
    code, _, err = called("leaderboard", "--results", str(results))
    assert (code, err.count("\n")) == (2, 1)
    assert "no comparison" in err
    assert "line 1 is damaged" in err


@pytest.mark.thorough
def test_a_report_leaves_no_file_of_an_earlier_one(results, called, tmp_path):
    """Of other figures: what the new one does not have would be taken for a part of it."""
    where = ["--out", str(tmp_path / "out"), "--results", str(results)]
    assert called("report", "mine", *where)[0] == 0
    stale = {path.name for path in (tmp_path / "out").iterdir()}
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert called("report", "mine", "--without", "local", *where)[0] == 0
    left = {path.name for path in (tmp_path / "out").iterdir()}
    gone = {"paired-clients.png", "paired-clients.pdf", "paired-clients.svg"}
    assert gone <= stale - left, stale - left
    assert "notes.txt" in left
