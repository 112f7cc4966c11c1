"""The package as others get it: a wheel that is whole and runs far from its sources."""

import zipfile
from pathlib import Path

import pytest
from wheels import ROOT, SOURCES, call

pytestmark = pytest.mark.slow

DATA = (".py", ".j2", ".yaml", ".typed")


def test_every_file_that_is_read_at_run_time_is_in_it(wheel):
    there = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        f"{inside}/{path.relative_to(ROOT / outside)}"
        for outside, inside in SOURCES.items()
        for path in (ROOT / outside).rglob("*")
        if path.suffix in DATA
    }
    assert wanted <= there, sorted(wanted - there)
    of_others = {name for name in there - wanted if ".dist-info/" not in name}
    assert of_others == set()


def test_it_has_its_licence_its_typing_marker_and_its_command(wheel):
    archive = zipfile.ZipFile(wheel)
    (about,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    told = archive.read(about).decode()
    assert "License-Expression: Apache-2.0" in told
    licence = f"{about.removesuffix('METADATA')}licenses/LICENSE"
    assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert "pfltune/py.typed" in archive.namelist()
    commands = archive.read(about.replace("METADATA", "entry_points.txt")).decode()
    assert "pfltune = pfltune.cli:main" in commands


def test_it_trains_in_an_environment_and_a_folder_of_its_own(python_with_wheel, tmp_path):
    python = python_with_wheel
    where = call(python, "-c", "import pfltune; print(pfltune.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(python.parents[1])
    command = [python, python.with_name("pfltune")]
    words = ["run", "fedperfix", "-o", "protocol.rounds=1", "-o", "backbone.weights=random"]
    assert "accuracy" in call(*command, *words, cwd=tmp_path)
    listed = call(*command, "methods", cwd=tmp_path)
    assert all(path.stem in listed for path in (ROOT / "search_spaces").glob("[a-z]*.yaml"))
