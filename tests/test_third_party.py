"""A method of another package has the rights of a built-in one: nothing here is told its name.

``example_package`` is what a stranger would publish. A copy of it is built and installed into a
temporary folder, offline, and each promise is checked in a process that has this folder on its
path.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parent
PACKAGE = TESTS / "example_package"
NAME = "lg_fedavg"
PFLTUNE = str(Path(sys.executable).parent / "pfltune")
INSTALL = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
OFFLINE = ["--no-index", "--no-deps", "--no-build-isolation"]
SHORT = "-o protocol.rounds=1 -o warm_start.epochs=1"
COMMANDS = [
    *("methods", f"methods {NAME}", f"run {NAME} {SHORT}", f"run fedavg --wrap signs {SHORT}"),
    *("payload --methods fedavg,fedavg+signs", "scenarios ground.yaml", "partition ground.yaml"),
]
GROUND = """
title: A ground of somebody else's
data: {name: stripes, samples: 240}
partition: {kind: growing, clients: 4}
split: {val: 0.2, test: 0.2}
backbone: {name: mlp, image_size: 8, hidden: 16}
protocol: {rounds: 2, sampled_clients: 2, sampler: in_turn, local_epochs: 1, batch_size: 8}
"""
TELLING = """
import contextlib, io, json, sys

import pfltune.cli
from pfltune.search.space import load_space

told = {}
name, *commands = sys.argv[1:]
for command in commands:
    sys.argv[1:] = command.split()
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            pfltune.cli.main()
        except SystemExit as stop:
            assert not stop.code, command
    told[command] = out.getvalue()
space = load_space(name)
told["space"] = [{d.name: [d.low, d.high] for d in space.dimensions}, space.start]
print(json.dumps(told))
"""
"""Commands one after the other in one process, and the search space of a method."""


def run(*command, path=None, cwd=None):
    """Run a command to its end, with ``path`` in front of where Python looks for packages."""
    before = [str(path)] if path else []
    known = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(before + known),
        "COLUMNS": "200",  # no line is broken inside a word that is looked for
    }
    return subprocess.run(
        command, capture_output=True, text=True, timeout=900, cwd=cwd, env=environment, check=False
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder into which the example package is installed; it is built outside the checkout."""
    folder = tmp_path_factory.mktemp("third_party")
    unbuilt = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    source = shutil.copytree(PACKAGE, folder / "source", ignore=unbuilt)
    target = folder / "site"
    done = run(sys.executable, *INSTALL, *OFFLINE, "--target", target, source, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture(scope="module")
def beside(installed, tmp_path_factory):
    """``beside(*command)``: what a command prints where the package is installed."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def output(*command, cwd=elsewhere):
        done = run(*command, path=installed, cwd=cwd)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    return output


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """A scenario of which data, partition, backbone and sampler are the package's."""
    path = tmp_path_factory.mktemp("ground") / "ground.yaml"
    path.write_text(GROUND)
    return path


@pytest.fixture(scope="module")
def told(beside, ground):
    """What each of the commands prints where the package is installed, and its search space."""
    return json.loads(beside(sys.executable, "-c", TELLING, NAME, *COMMANDS, cwd=ground.parent))


def test_it_is_listed_with_its_paper(told):
    (line,) = [row for row in told["methods"].splitlines() if row.startswith(NAME)]
    assert "Liang et al. 2020, arXiv 2001.01523" in line


def test_its_own_knob_is_shown_beside_the_inherited_one(told):
    shown = told[f"methods {NAME}"]
    assert shown.startswith("LG-FedAvg\n")
    knobs, _, searched = shown.partition("\nsearched")
    rows = {line.split()[0]: line for line in knobs.splitlines() if line.strip()}
    assert rows["lr"].split()[:5] == ["lr", "0.01", "0.0001", "to", "1"]
    assert re.match(r"shared_blocks +0 +0 to 12 +last blocks shared", rows["shared_blocks"])
    assert "shared_blocks" in searched


def test_the_contract_test_finds_it_and_passes(beside):
    """Started in the checkout, as its author would; the cache of the outer run stays as it is."""
    contract = ["-m", "pytest", str(TESTS / "test_contract.py"), "-q", "-p", "no:cacheprovider"]
    summary = beside(sys.executable, *contract, "-k", NAME, cwd=TESTS.parent).splitlines()[-1]
    found = {word: int(count) for count, word in re.findall(r"(\d+) ([a-z]+)", summary)}
    assert found["passed"] > 10, summary
    assert found.keys() == {"passed", "deselected"}, summary


def test_its_search_space_comes_with_it(told):
    """The YAML narrows the knobs' own ranges, so that what is found can only be the file's."""
    ranges, start = told["space"]
    written = yaml.safe_load((PACKAGE / "pfltune_example" / f"{NAME}.yaml").read_text())
    assert ranges == {name: [d["low"], d["high"]] for name, d in written["search"].items()}
    assert start == written["start"]
    assert start


def test_it_trains_and_only_the_head_is_shared(told):
    """Of the 202,186 parameters in the scenario digits the head has 64·10 + 10."""
    out = told[f"run {NAME} {SHORT}"]
    assert out.startswith(
        "LG-FedAvg, seed 0: lr=0.01 shared_blocks=0\n650 shared and 201,536 personal"
    )
    assert "round   1" in out
    assert re.search(r"test accuracy \d+\.\d\d %", out)


def test_its_wrap_has_a_name_and_makes_a_fourth_of_the_bytes(told):
    rows = told["payload --methods fedavg,fedavg+signs"].splitlines()
    (line,) = [row for row in rows if row.startswith("FedAvg + signs")]
    assert 25 < float(line.split()[5]) < 25.2
    out = told[f"run fedavg --wrap signs {SHORT}"]
    assert out.startswith("FedAvg + signs, seed 0: lr=0.01\n")
    assert "test accuracy" in out


def test_its_plugins_are_settings_of_a_scenario(told):
    shown = yaml.safe_load(told["scenarios ground.yaml"])
    assert shown["data"] == {"name": "stripes", "samples": 240}
    assert shown["backbone"]["hidden"] == 16
    assert shown["protocol"]["sampler"] == {"kind": "in_turn"}


def test_its_partition_deals_its_data(told):
    """Of 240 samples the four clients have 1, 2, 3 and 4 tenths."""
    shown = told["partition ground.yaml"]
    (samples,) = [line.split() for line in shown.splitlines() if line.startswith("samples")]
    assert samples == ["samples", "240", "24", "60", "96"]


def test_everything_of_it_is_compared_in_processes_of_their_own(beside, ground, tmp_path):
    budget = ["--trials", "1", "--seeds", "1", "--workers", "1", "--precision", "float32"]
    asked = ["--scenario", str(ground), "--methods", "fedavg,local", "--json"]
    folder = ["--results", str(tmp_path / "results"), "--name", "theirs"]
    held = json.loads(beside(PFLTUNE, "compare", *asked, *budget, *folder))
    assert held
    record = json.loads((tmp_path / "results" / "theirs" / "comparison.json").read_text())
    brought = {"data set stripes", "partition growing", "backbone mlp", "sampler in_turn"}
    assert record["program"]["plugins"].keys() == brought
    assert record["program"]["files"] == {}


def test_where_it_is_not_installed_its_name_is_a_mistake_in_one_line(tmp_path):
    done = run(PFLTUNE, "run", NAME, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.match(rf"pfltune: .*{NAME!r}.*fedavg.*fedperfix.*\n\Z", done.stderr)
    assert list(tmp_path.iterdir()) == []
