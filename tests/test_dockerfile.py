"""The Dockerfile and what it is built from say the same; Docker itself is not asked."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from wheels import SOURCES

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TEXT = (ROOT / "Dockerfile").read_text()


def stages():
    """The instructions of each stage as (name, arguments), behind those before the first."""
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", TEXT, flags=re.M)).splitlines()
    found = [[]]
    for name, _, rest in (line.partition(" ") for line in lines if line.strip()):
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest.strip()))
    return found


BEFORE, WHEEL, IMAGE = stages()


def arguments(stage, name):
    return [rest for each, rest in stage if each == name]


def copied(stage):
    return [source for rest in arguments(stage, "COPY") for source in shlex.split(rest)[:-1]]


def test_the_wheel_is_built_from_all_that_it_needs():
    needed = {*SOURCES, "pyproject.toml", PROJECT["project"]["readme"]}
    needed |= {*PROJECT["project"]["license-files"]}
    assert {Path(name).parts[0] for name in needed} == set(copied(WHEEL))
    assert set(PROJECT["tool"]["setuptools"]["package-dir"].values()) == set(SOURCES)


@pytest.mark.parametrize("source", [*copied(WHEEL), *copied(IMAGE)])
def test_what_is_copied_is_there_and_let_through(source):
    assert (ROOT / source).exists()
    let_through = (ROOT / ".dockerignore").read_text().splitlines()
    assert let_through[0] == "*"
    assert f"!{source}" in let_through


def test_its_python_is_one_that_pfltune_runs_on():
    (base,) = arguments(BEFORE, "ARG")
    version = re.fullmatch(r"BASE=python:(\d+\.\d+)-slim-\w+", base)
    assert version[1] in SpecifierSet(PROJECT["project"]["requires-python"])
    assert [arguments(stage, "FROM") for stage in (WHEEL, IMAGE)] == [
        ["${BASE} AS wheel"],
        ["${BASE}"],
    ]


def test_every_dependency_is_pinned_within_its_range():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split(";")[0].strip().split("==") for line in lines if "==" in line)
    pinned = {canonicalize_name(name): version for name, version in pinned.items()}
    for each in map(Requirement, PROJECT["project"]["dependencies"]):
        assert each.specifier.contains(pinned[canonicalize_name(each.name)], prereleases=True), each


def test_each_stage_that_asks_pip_takes_its_addresses():
    """One that the wheel's stage did not take left it with the public index."""
    for stage in (WHEEL, IMAGE):
        assert "pip " in " ".join(arguments(stage, "RUN"))
        assert {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"} <= set(arguments(stage, "ARG"))
    asked = re.findall(r"--build-arg (\w+)", (ROOT / "docs/howto/install.md").read_text())
    assert {*asked} <= {*arguments(IMAGE, "ARG")}


def test_it_runs_the_command_as_nobody_who_may_do_all():
    assert arguments(IMAGE, "ENTRYPOINT") == ['["pfltune"]']
    assert "pfltune" in PROJECT["project"]["scripts"]
    (user,) = arguments(IMAGE, "USER")
    assert f" {user} " in f"{' '.join(arguments(IMAGE, 'RUN'))} ".replace("\n", " ")
    named = re.findall(r"(PFLTUNE_\w+)=(\S+)", " ".join(arguments(IMAGE, "ENV")))
    product = "".join(path.read_text() for path in (ROOT / "platform").rglob("*.py"))
    assert named
    for variable, place in named:
        assert variable in product
        assert place.startswith(*arguments(IMAGE, "WORKDIR"))
