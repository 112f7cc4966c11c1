"""What is somebody else's stays as it is, whatever its name, where pfltune writes."""

import ast
import json
from pathlib import Path

import click
import pytest
from pyarrow import fs

from pfltune.errors import UserError
from pfltune.federation.checkpoint import Checkpoints
from pfltune.ownership import MARK, RECORDS, claim, published, release, see_claim, see_inside
from pfltune.storage import Folder, Remote

INSTEAD = "choose another"
PACKAGE = Path(__file__).parents[1] / "platform" / "pfltune"
REMOVALS = {"rmtree", "unlink", "rmdir", "removedirs", "delete_dir", "delete_file", "remove"}
"""Calls by which a file or folder goes."""
ALLOWED = {
    "storage.py": "everything goes through it",
    "running/ray_folder.py": "folders that the process made itself, with its lock in them",
    "federation/states.py": "files in a temporary folder of the process",
}
"""Where they may be written, and why."""


@pytest.fixture(params=["folder", "object store"])
def place(request, tmp_path):
    if request.param == "folder":
        return Folder(tmp_path / "place")
    return Remote(fs._MockFileSystem(), "bucket/place")


def test_an_empty_place_is_claimed_once_and_for_one(place):
    assert not see_claim(place, "me", "PLACE", INSTEAD)
    claim(place, "me", "PLACE", INSTEAD)
    claim(place, "me", "PLACE", INSTEAD)
    with pytest.raises(UserError, match="PLACE belongs to me, not to you; choose another"):
        claim(place, "you", "PLACE", INSTEAD)
    release(place)
    assert place.is_empty()
    claim(place, "you", "PLACE", INSTEAD)


def test_a_place_with_files_of_others_is_refused_untouched(place):
    place.write("notes.txt", b"mine")
    with pytest.raises(UserError, match="PLACE holds files that are not of me; nothing is touched"):
        claim(place, "me", "PLACE", INSTEAD)
    assert place.names() == ["notes.txt"]


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b'{"owner": 3}', b"\xff", b"[" * 9999])
def test_a_mark_that_is_none_of_ours_is_somebody_elses(place, content):
    place.write(MARK, content)
    with pytest.raises(UserError, match="belongs to somebody else"):
        claim(place, "me", "PLACE", INSTEAD)
    assert place.read(MARK) == content


def test_what_comes_into_a_claimed_place_later_outlives_the_claim(place):
    claim(place, "me", "PLACE", INSTEAD)
    place.write("notes.txt", b"theirs")
    release(place)
    assert place.read("notes.txt") == b"theirs"


def test_only_checkpoints_are_removed_with_a_trials_checkpoints(place):
    ours = ["round-00000003.json", "server-3.safetensors", "client-12-3.safetensors"]
    theirs = ["notes.txt", "round-3.json", "server-3.safetensors.bak", "Client-1-1.safetensors"]
    for name in (*ours, *theirs):
        place.write(name, b"x")
    Checkpoints(place).remove()
    assert place.names() == sorted(theirs)


# ------------------------------------------------------------------ published files


def publish(folder, owner="me", beside=False, **files):
    with published(folder, owner, INSTEAD, beside=beside) as draft:
        for name, text in files.items():
            (draft / name).write_text(text)


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != MARK}


def test_published_files_come_together_and_may_be_renewed(tmp_path):
    publish(tmp_path / "out", a="1", b="2")
    publish(tmp_path / "out", beside=True, a="3", c="4")
    assert content(tmp_path / "out") == {"a": "3", "b": "2", "c": "4"}


def test_what_an_earlier_publication_left_goes_and_nothing_else(tmp_path):
    folder, above = tmp_path / "out", tmp_path / "theirs"
    above.write_text("mine")
    publish(folder, a="1", b="2", d="3")
    (folder / "theirs").write_text("mine")
    (folder / "d").unlink()
    (folder / "d").mkdir()
    mark = json.loads((folder / MARK).read_text())
    (folder / MARK).write_text(json.dumps(mark | {"files": [*mark["files"], "../theirs", "."]}))
    publish(folder, a="4")
    assert {path.name for path in folder.iterdir()} == {MARK, "a", "d", "theirs"}
    assert json.loads((folder / MARK).read_text())["files"] == ["a"]
    assert (above.read_text(), (folder / "theirs").read_text()) == ("mine", "mine")


@pytest.mark.parametrize("below", ["", "deep", "models/deeper"])
@pytest.mark.parametrize("record", RECORDS.values())
def test_in_the_folder_of_another_comparison_nothing_is_published(tmp_path, record, below):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / record).write_text(json.dumps({"id": "0123456789abcdef"}))
    with pytest.raises(UserError, match=r"theirs.* the folder of the .* theirs; nothing is touch"):
        publish(theirs / below, "the comparison mine (89abcdef)", a="1")
    assert [path.name for path in theirs.iterdir()] == [record]
    publish(theirs / below, "the comparison theirs (01234567)", a="1")
    (theirs / record).write_text("no JSON")
    with pytest.raises(UserError, match="the folder of"):
        publish(theirs / below, "the comparison theirs (01234567)", a="1")


def test_no_link_leads_into_the_folder_of_another_comparison(tmp_path):
    (tmp_path / "theirs" / "deep").mkdir(parents=True)
    (tmp_path / "theirs" / "comparison.json").write_text(json.dumps({"id": "0123456789abcdef"}))
    (tmp_path / "door").symlink_to(tmp_path / "theirs" / "deep")
    with pytest.raises(UserError, match="is in the folder of the comparison theirs"):
        publish(tmp_path / "door" / "mine", a="1")
    assert not any((tmp_path / "theirs" / "deep").iterdir())
    publish(tmp_path / "theirs" / ".." / "mine", a="1")  # beside it, however that is written
    assert content(tmp_path / "mine") == {"a": "1"}


@pytest.mark.parametrize("below", ["", "deeper", "deeper/still"])
def test_where_a_file_is_no_folder_can_be(tmp_path, below):
    (tmp_path / "a").write_text("mine")
    with pytest.raises(UserError, match=r"/a is a file, where a folder is meant; choose another"):
        publish(tmp_path / "a" / below, b="1")
    assert (tmp_path / "a").read_text() == "mine"


def test_a_file_of_somebody_else_is_not_written_over_and_nothing_else_comes(tmp_path):
    (tmp_path / "b").write_text("mine")
    with pytest.raises(UserError, match=r"/b is there and pfltune did not write it; choose"):
        publish(tmp_path, a="1", b="2")
    assert content(tmp_path) == {"b": "mine"}


def test_what_was_published_for_one_is_not_renewed_for_another(tmp_path):
    publish(tmp_path, "me", a="1")
    with pytest.raises(UserError, match="what was written for me, not for you"):
        publish(tmp_path, "you", a="2")
    assert content(tmp_path) == {"a": "1"}


def test_a_failure_while_writing_publishes_nothing(tmp_path):
    publish(tmp_path, a="1")
    written = published(tmp_path, "me", INSTEAD)
    (written.__enter__() / "a").write_text("2")
    error = OSError("full")
    assert not written.__exit__(OSError, error, None)
    assert content(tmp_path) == {"a": "1"}


def test_links_are_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(secret)
    with pytest.raises(UserError, match="did not write it"):
        publish(tmp_path / "out", a="1")
    (tmp_path / "out" / MARK).write_text(json.dumps({"format": 1, "owner": "me", "files": ["a"]}))
    publish(tmp_path / "out", a="1")  # the link goes, what it led to stays
    assert secret.read_text() == "mine"
    assert not (tmp_path / "out" / "a").is_symlink()
    (tmp_path / "door").symlink_to(tmp_path / "out")
    with pytest.raises(UserError, match="is a link"):
        publish(tmp_path / "door", a="2")
    with pytest.raises(UserError, match="leads out of"):
        see_inside(tmp_path / "door" / "a", tmp_path / "door" / "deep")


def removals(path):
    """The lines of a source at which something may be removed from a disk."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of = ast.unparse(node.func.value)
            listed = node.func.attr == "remove" and of not in ("os", "shutil")
            if node.func.attr in REMOVALS and not listed:
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}: {ast.unparse(node.func)}"


def test_nothing_is_removed_but_in_one_place():
    found = [
        line
        for path in sorted(PACKAGE.rglob("*.py"))
        if str(path.relative_to(PACKAGE)) not in ALLOWED
        for line in removals(path)
    ]
    assert found == []


@pytest.mark.parametrize("text", ["my notes", "[]", '{"rows": 3}'])
def test_benchmarks_leave_a_file_of_somebody_else(tmp_path, monkeypatch, text):
    monkeypatch.syspath_prepend(Path(__file__).parent / "benchmarks")
    import reporting

    path = tmp_path / "results" / "benchmarks.json"
    reporting.renew(path, "one", [])
    assert reporting.read(path, ["one"]) == []
    path.write_text(text)
    with pytest.raises(click.ClickException, match="move it away"):
        reporting.renew(path, "one", [])
    assert path.read_text() == text


def test_rows_of_other_benchmarks_stay_below_what_they_were_measured_on(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent / "benchmarks")
    import reporting
    from rows import Row

    there = "\n".join(
        ["Long ago.", "", *reporting.HEADER, "| a | x | 1 s |  |  |", "| b | x | 2 s |  |  |"]
    )
    found = reporting.renewed(there, [Row("b", "y", 3.0, "s")])
    old, new = found.split("\n\n", 2)[1], found.split("\n\n")[-1]
    assert old.splitlines()[2:] == ["| a | x | 1 s |  |  |"]
    assert new.splitlines()[2:] == ["| b | y | 3.000 s |  |  |"]
    assert reporting.renewed(found, [Row("b", "y", 3.0, "s")]) == found
