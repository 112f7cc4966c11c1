"""Files of others outlive every command: one that succeeds, one that fails, one interrupted."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PFLTUNE = str(Path(sys.executable).with_name("pfltune"))
QUICK = ["-o", "protocol.rounds=2", "-o", "backbone.weights=random"]
COMPARE = ["compare", "--methods", "local", "--trials", "1", "--seeds", "1", *QUICK]
CRASHES = """
from pfltune import Method


class Crashes(Method):
    def train(self, work, down, personal):
        raise RuntimeError("on purpose")
"""
ENDLESS = ["-o", "protocol.rounds=100000"]
NAMES = (
    "notes.txt", "journal.jsonl", ".journal.partial", "table.csv", "round-1.json", "f/deep.txt",
)  # fmt: skip

PLANTED = (
    "results", "results/artifacts", "results/artifacts/mine", "results/theirs",
    "results/partitions", "elsewhere", "elsewhere/mine", "data", "data/cache",
    "data/compute", "data/warm-starts", "data/downloads", "report", "out",
)  # fmt: skip


@pytest.fixture
def place(tmp_path):
    """A folder for everything, with files of somebody else wherever pfltune may write."""
    for folder in PLANTED:
        for name in NAMES:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{folder}/{name}, not yours")
    (tmp_path / "crashes.py").write_text(CRASHES)
    return tmp_path


def environment(place):
    return {**os.environ, "PFLTUNE_DATA": str(place / "data")}


@pytest.fixture
def call(place, called, inline, monkeypatch):
    """``call(*arguments)``: exit code, output and errors of a command in a folder of others."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("PFLTUNE_DATA", str(place / "data"))
    return called


def harmed(place):
    """Files of others that are gone or not what they were."""
    found = []
    for root in place.iterdir():
        if root.is_dir():
            found += [path for path in root.rglob("*") if path.is_file()]
    kept = {
        str(path.relative_to(place))
        for path in found
        if path.name in {Path(name).name for name in NAMES}
        and path.read_bytes() == f"{path.relative_to(place)}, not yours".encode()
    }
    folders = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_dir()}
    wanted = {f"{folder}/{name}" for folder in PLANTED for name in NAMES}
    return sorted(wanted - kept), folders


def test_all_commands_leave_what_is_not_theirs(place, call):
    commands = [
        ([*COMPARE, "--name", "mine", "--checkpoints", "elsewhere"], 0),
        (["compare", "--resume", "mine"], 0),
        ([*COMPARE, "--name", "theirs"], 2),
        ([*COMPARE, "--name", "again", "--checkpoints", "results"], 0),
        (["compare", "--methods", "crashes.py:Crashes", "--trials", "1", *QUICK], 1),
        (["report", "mine"], 0),
        (["report", "mine", "again"], 0),
        (["report", "mine", "--out", "report"], 2),
        (["partition", "digits", "--out", "out"], 0),
        (["run", "local", *QUICK], 0),
    ]
    for arguments, code in commands:
        found, *said = call(*arguments)
        assert found == code, (arguments, *said)
        lost, folders = harmed(place)
        assert lost == [], arguments
        assert "elsewhere/mine/checkpoints" not in folders, "what is ours goes in the end"
    assert (place / "results" / "again" / "journal.jsonl").exists()


def test_an_interrupted_one_does_too_and_goes_on(place):
    line = [PFLTUNE, *COMPARE, *ENDLESS, "--name", "mine", "--checkpoints", "elsewhere"]
    line += ["--checkpoint-rounds", "1"]
    with subprocess.Popen(
        line, cwd=place, env=environment(place), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as running:
        checkpoints = place / "elsewhere" / "mine" / "checkpoints"
        while not list(checkpoints.rglob("round-*.json")):
            assert running.poll() is None, running.stderr.read()
            time.sleep(0.2)
        theirs = next(checkpoints.rglob("round-*.json")).parent / "notes.txt"
        theirs.write_text("put here meanwhile")
        running.send_signal(signal.SIGINT)
        running.wait(900)
    assert harmed(place)[0] == []
    assert theirs.read_text() == "put here meanwhile"
