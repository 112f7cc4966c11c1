"""The wheel of this checkout, and an environment that has it, for tests far from the sources."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = {
    "platform/pfltune": "pfltune",
    "methods": "pfltune/methods",
    "search_spaces": "pfltune/search_spaces",
}
"""Where the folders of the repository stand in the package."""
OFFLINE = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]


def call(*words, **more):
    """Run a command that knows nothing of the checkout; returns what it prints."""
    left_out = ("PYTHONPATH", "MLFLOW_TRACKING_URI", "PFLTUNE_RESULTS")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env=environment, timeout=900, **more
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built(folder):
    """The wheel, built from a copy: a build leaves its own folders beside the sources."""
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


def environment(wheel, folder):
    """An interpreter that has the wheel, and of this environment the dependencies alone.

    The checkout is on no path of it: a path file names the folder of the dependencies, whose own
    path files are not read.
    """
    call(sys.executable, "-m", "venv", "--without-pip", str(folder))
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ["install", *OFFLINE, "--ignore-installed", "--prefix", str(folder), str(wheel)]
    call(sys.executable, "-m", "pip", *install)  # else pip takes it out of this environment
    return folder / "bin" / "python"
