"""The package as others get it: a wheel that is whole and runs far from its sources."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SOURCES = {
    "platform/pfltune": "pfltune",
    "methods": "pfltune/methods",
    "search_spaces": "pfltune/search_spaces",
}
"""Where the folders of the repository stand in the package."""
DATA = (".py", ".j2", ".yaml", ".typed")
OFFLINE = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]


def call(*words, **more):
    left_out = ("PYTHONPATH", "MLFLOW_TRACKING_URI", "PFLTUNE_RESULTS")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env=environment, timeout=900, **more
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: a build leaves its own folders beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "sources"
    unbuilt = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=unbuilt)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    build = ["wheel", *OFFLINE, "--no-build-isolation", "--wheel-dir", str(folder), str(copy)]
    call(sys.executable, "-m", "pip", *build)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """An interpreter that has the wheel, and of this environment the dependencies alone.

    The checkout is on no path of it: a path file names the folder of the dependencies, whose own
    path files are not read.
    """
    folder = tmp_path_factory.mktemp("environment")
    call(sys.executable, "-m", "venv", "--without-pip", str(folder))
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    call(sys.executable, "-m", "pip", "install", *OFFLINE, "--prefix", str(folder), str(wheel))
    return folder / "bin" / "python"


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


def test_it_trains_in_an_environment_and_a_folder_of_its_own(python, tmp_path):
    where = call(python, "-c", "import pfltune; print(pfltune.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(python.parents[1])
    command = [python, python.with_name("pfltune")]
    words = ["run", "fedperfix", "-o", "protocol.rounds=1", "-o", "backbone.weights=random"]
    assert "accuracy" in call(*command, *words, cwd=tmp_path)
    listed = call(*command, "methods", cwd=tmp_path)
    assert all(path.stem in listed for path in (ROOT / "search_spaces").glob("[a-z]*.yaml"))
