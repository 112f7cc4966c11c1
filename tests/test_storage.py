"""Storage: bytes come back as they were written, and a failure leaves what was there before."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import fs

from pfltune.errors import UserError
from pfltune.storage import Folder, Remote, open_storage


def folder(path):
    return Folder(path / "deep" / "down")


def object_store(path):
    return Remote(fs._MockFileSystem(), "bucket/deep/down")


def other_file_system(path):
    return Remote(fs.SubTreeFileSystem(str(path), fs.LocalFileSystem()), "deep/down")


@pytest.fixture(params=[folder, object_store, other_file_system], ids=lambda make: make.__name__)
def storage(request, tmp_path):
    return request.param(tmp_path)


# What every storage keeps


def test_before_anything_is_written_there_is_nothing(storage):
    assert storage.names() == []
    with pytest.raises(FileNotFoundError):
        storage.read("a")
    storage.remove("a")
    assert storage.is_empty()
    storage.remove_if_empty()


def test_what_was_written_last_is_read(storage):
    for data in (b"long before", b"", b"\x00\xffnow"):
        storage.write("a", data)
        assert storage.read("a") == data
    storage.write("b", b"other")
    assert storage.read("a") == b"\x00\xffnow"


def test_names_are_sorted_and_go_with_what_is_removed(storage):
    for name in ("b", "a%20b #?.json", "c", "a"):
        storage.write(name, name.encode())
    assert storage.names() == ["a", "a%20b #?.json", "b", "c"]
    storage.remove("b")
    storage.remove("b")
    assert storage.names() == ["a", "a%20b #?.json", "c"]
    with pytest.raises(FileNotFoundError):
        storage.read("b")
    assert storage.read("a%20b #?.json") == b"a%20b #?.json"


def test_only_an_empty_storage_goes(storage):
    storage.write("a", b"1")
    storage.remove_if_empty()
    assert storage.read("a") == b"1"
    storage.remove("a")
    assert storage.is_empty()
    storage.remove_if_empty()
    storage.remove_if_empty()
    assert storage.names() == []
    storage.write("b", b"2")
    assert storage.names() == ["b"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "../a"])
def test_names_stay_in_the_folder(storage, name):
    for act in (lambda: storage.write(name, b""), lambda: storage.read(name)):
        with pytest.raises(ValueError, match="no name"):
            act()
    with pytest.raises(ValueError, match="no name"):
        storage.remove(name)


@given(st.dictionaries(st.sampled_from("abc"), st.binary(max_size=300)))
def test_an_object_store_and_a_folder_hold_the_same(tmp_path_factory, contents):
    path = tmp_path_factory.mktemp("same")
    for make in (folder, object_store):
        storage = make(path)
        for name, data in contents.items():
            storage.write(name, data)
        assert {name: storage.read(name) for name in storage.names()} == contents


# Folders


def failing(code=errno.ENOSPC):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("operation", ["replace", "fsync"])
def test_a_failed_write_leaves_the_old_and_no_temporary_file(operation, tmp_path, monkeypatch):
    storage = Folder(tmp_path)
    storage.write("a", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, operation, failing())
        with pytest.raises(OSError, match="No space left"):
            storage.write("a", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert storage.read("a") == b"old"
    storage.write("a", b"new")
    assert storage.read("a") == b"new"


def test_a_file_is_complete_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done = []
    real = os.replace

    def replace(source, target):
        done.append(("replace", Path(source).read_bytes()))
        real(source, target)

    monkeypatch.setattr(os, "fsync", lambda number: done.append("fsync"))
    monkeypatch.setattr(os, "replace", replace)
    Folder(tmp_path).write("a", b"data")
    assert done == ["fsync", ("replace", b"data"), "fsync"]


KILLED = """
import os, sys
from pathlib import Path
from pfltune.storage import Folder
os.replace = lambda source, target: os._exit(9)
Folder(Path(sys.argv[1])).write("a", b"new")
"""


def test_what_a_killed_process_leaves_is_invisible_and_removed_by_the_next_write(tmp_path):
    storage = Folder(tmp_path)
    storage.write("a", b"old")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert killed.returncode == 9
    assert len(list(tmp_path.iterdir())) == 2
    assert storage.names() == ["a"]
    assert storage.read("a") == b"old"
    storage.write("b", b"next")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_folders_within_are_no_names_but_somebodys(tmp_path):
    outer, inner = open_storage(str(tmp_path), "trial"), open_storage(str(tmp_path), "trial", "in")
    inner.write("a", b"1")
    assert outer.names() == []
    assert not outer.is_empty()
    outer.remove_if_empty()
    assert inner.names() == ["a"]


def test_files_of_others_that_look_unfinished_stay(tmp_path):
    theirs = tmp_path / ".notes.partial"
    theirs.write_text("mine")
    Folder(tmp_path).write("a", b"1")
    assert theirs.read_text() == "mine"


# Places


@pytest.mark.parametrize("part", ["", ".", "..", "a/b", "/etc", "../up"])
@pytest.mark.parametrize("place", ["somewhere", "file:///somewhere", "mock://somewhere"])
def test_parts_do_not_lead_out_of_the_place(place, part):
    with pytest.raises(ValueError, match="no name"):
        open_storage(place, "trial", part)


@pytest.mark.parametrize("address", [False, True])
def test_a_path_and_its_address_are_the_same_folder(tmp_path, address):
    root = tmp_path / "with space"
    place = root.as_uri() if address else str(root)
    storage = open_storage(place, "50%20 #1", "b")
    storage.write("a", b"1")
    assert isinstance(storage, Folder)
    assert (root / "50%20 #1" / "b" / "a").read_bytes() == b"1"


def test_a_relative_path_is_below_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    open_storage("here", "b").write("a", b"1")
    assert (tmp_path / "here" / "b" / "a").read_bytes() == b"1"


@pytest.mark.parametrize("place", ["mock://bucket/dir", "mock://bucket/dir/"])
def test_an_address_is_a_folder_of_its_file_system(place):
    storage = open_storage(place, "b")
    assert isinstance(storage, Remote)
    storage.write("a", b"1")
    assert storage._filesystem.get_file_info("dir/b/a").is_file


@pytest.mark.parametrize("place", ["s4://bucket/dir", "file://elsewhere/dir", "s3:///", "://x"])
def test_an_address_that_nothing_is_known_of_is_told_in_one_line(place):
    with pytest.raises(UserError) as error:
        open_storage(place, "b")
    assert repr(place) in str(error.value)
    assert "s3://" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_does_without_pyarrow():
    code = "import sys, pfltune.storage as s; s.Folder('/x'); sys.exit('pyarrow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
