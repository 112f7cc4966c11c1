"""What a run was made with, as tags."""

import getpass
import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("pfltune", "torch", "timm", "ray", "optuna", "mlflow")


def environment_tags() -> dict[str, str]:
    """Versions of the packages that figures depend on, the machine and the git revision."""
    tags = {f"version.{name}": number for name, number in versions(PACKAGES).items()}
    tags["version.python"] = platform.python_version()
    tags["machine"] = f"{platform.system()} {platform.machine()}"
    revision = git_revision(Path(__file__).parent)
    return tags | ({"mlflow.source.git.commit": revision} if revision else {})


def source_tags(command: str) -> dict[str, str]:
    """Who wrote a run, and the command that it is of, as MLflow shows them in columns."""
    named = {"mlflow.source.name": command, "mlflow.source.type": "LOCAL"}
    return {"mlflow.user": user(), **named}


def user() -> str:
    """The user's name; of one that the system does not know, as in a container, the number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(getattr(os, "getuid", lambda: "unknown")())


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The installed version of each package."""
    return {name: version(name) for name in packages}


def git_revision(folder: Path) -> str | None:
    """The commit of the checkout that ``folder`` lies in, with ``-dirty`` if it was changed."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
