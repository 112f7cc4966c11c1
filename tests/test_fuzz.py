"""Whatever is in a file or on the command line: it works, or one line says why it cannot."""

import copy
import functools
import io
import json
import string
import sys
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
import torch
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import pfltune.cli
from pfltune.data.catalog import load_dataset
from pfltune.errors import UserError
from pfltune.knobs import knobs_of
from pfltune.program import Program
from pfltune.record import Asked, Record, read_record
from pfltune.registry import find_method
from pfltune.scenario import Scenario, load_scenario, scenario_files
from pfltune.search.space import SpaceFile, check_space
from pfltune.settings import read_yaml, validated

pytestmark = pytest.mark.thorough

SECRET = "mark-of-what-was-run"
DIGITS = yaml.safe_load(scenario_files()["digits"].read_text())
FEW = settings(
    max_examples=60,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def more(examples: int) -> settings:
    return settings(FEW, max_examples=examples)


# ------------------------------------------------------------------ rubbish

NUMBERS = [0, 1, -1, 2, 3, 10**9, 2**31, 2**63, -(2**63), 10**400, 0.5, 1e-300, 1e308]
NUMBERS += [float("nan"), float("inf"), -float("inf")]
WORDS = [
    "",
    " ",
    "a\nb",
    "\0",
    "☃",
    "..",
    "/",
    "[/red]",
    "digits",
    "iid",
    "true",
    "1e400",
    "x" * 999,
]
JUNK = st.recursive(
    st.none() | st.booleans() | st.sampled_from([*NUMBERS, *WORDS]) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=6,
)
RUBBISH = [
    "",
    "~",
    "- a\n- b",
    "just words",
    "a: [",
    "\t- x",
    "a: 2001-13-45",
    "a: !!bool x",
    "a: !!int x",
    "a: !!timestamp x",
    "a: " + "9" * 5000,
    "a: " + "[" * 1500,
    "a: " + "{b: " * 400 + "1" + "}" * 400,
    "? [1, 2]\n: 3",
    "a: &a [*a]",
    "<<: 3",
    "1: 2\n~: 3\n2001-01-01: 4",
    "a: !!binary '%%%'",
    "a: *nowhere",
    "%YAML 9.9\n---\na: 1",
    "a: 1\n---\nb: 2",
    "x: &x [x, x, x, x, x, x, x, x]\n"
    + "\n".join(f"x{i}: &x{i} [{', '.join([f'*x{i - 1}' if i else '*x'] * 8)}]" for i in range(20))
    + "\ntitle: *x19\npartition: *x19\nsearch: *x19\nstart: *x19",
    f"title: !!python/object/apply:os.mkdir [{SECRET}]",
    f"!!python/object/new:os.mkdir [{SECRET}]",
    f"title: !!python/object/apply:builtins.exec ['import os; os.mkdir(\"{SECRET}\")']",
    "title: !!python/name:os.system",
    "title: !!python/module:antigravity",
]


def places(tree: object, path: tuple = ()) -> Iterator[tuple]:
    """The paths of all values in nested mappings and lists."""
    yield path
    if isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from places(value, (*path, key))


@st.composite
def spoiled(draw, base: object, junk=JUNK) -> object:
    """A tree in which some values are replaced, removed, wrapped or joined by others."""
    tree = copy.deepcopy(base)
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from([path for path in places(tree) if path]))
        level = tree
        for key in parents:
            level = level[key]
        action = draw(st.sampled_from(["replace", "replace", "remove", "add", "wrap"]))
        if action == "replace":
            level[last] = draw(junk)
        elif action == "wrap":
            level[last] = draw(st.sampled_from([[level[last]], {"kind": level[last]}]))
        elif action == "add" and isinstance(level, dict):
            level[draw(st.sampled_from(["", "kind", "extra", "a\nb", "name"]))] = draw(junk)
        else:
            del level[last]
        if not tree:
            return tree
    return tree


def one_line(error: UserError) -> None:
    assert str(error).strip()
    assert "\n" not in str(error)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """In an empty folder, where nothing may appear that a file asked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("PFLTUNE_RESULTS", raising=False)
    yield
    assert not (tmp_path / SECRET).exists(), "a file was run"


# ------------------------------------------------------------------ scenarios


def read(path: Path, overrides=()) -> None:
    try:
        assert isinstance(load_scenario(str(path), overrides), Scenario)
    except UserError as error:
        one_line(error)


@more(80)
@given(tree=spoiled(DIGITS))
def test_a_spoiled_scenario_is_one_or_is_refused(tree, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.dump(tree, allow_unicode=True), encoding="utf-8")
    read(path)


@pytest.mark.parametrize("text", RUBBISH, ids=range(len(RUBBISH)))
def test_a_scenario_of_rubbish_is_refused(text, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as refused:
        load_scenario(str(path))
    one_line(refused.value)


@FEW
@given(content=st.binary(max_size=200))
@example(content=b"\xff\xfea\0:\0 \x001\0")
def test_a_scenario_of_bytes_is_refused(content, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as refused:
        load_scenario(str(path))
    one_line(refused.value)


KEYS = sorted({".".join(map(str, path)) for path in places(DIGITS) if path})


@more(50)
@given(
    key=st.sampled_from([*KEYS, "", ".", "a..b", "title.x", "protocol.", "\0"])
    | st.text(max_size=5),
    value=st.sampled_from([*RUBBISH, *map(str, NUMBERS)]) | st.text(max_size=9),
)
def test_an_override_is_applied_or_refused(key, value):
    read("digits", [f"{key}={value}"])


# ------------------------------------------------------------------ search spaces

METHODS = ("fedavg", "fedperfix", "fedrep")
SPACES = {name: read_yaml(Path(f"search_spaces/{name}.yaml")) for name in METHODS}
BOUNDS = [0, 1, -1, 0.1, 1e-4, 1.0, 7, 64, 10**30, float("inf"), float("nan"), "adapter", "1"]


@st.composite
def spoiled_space(draw):
    name = draw(st.sampled_from(METHODS))
    return name, draw(spoiled(SPACES[name], JUNK | st.sampled_from(BOUNDS)))


@more(50)
@given(named=spoiled_space(), seed=st.integers(0, 2**31))
def test_a_spoiled_search_space_is_refused_or_suggests_what_its_method_takes(named, seed, tmp_path):
    name, tree = named
    path = tmp_path / "space.yaml"
    path.write_text(yaml.dump(tree, allow_unicode=True), encoding="utf-8")
    cls = find_method(name)
    try:
        space = check_space(validated(SpaceFile, read_yaml(path), path.name), cls, name)
    except UserError as error:
        one_line(error)
        return
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for point in space.start:
        study.enqueue_trial(point)
    for _ in range(len(space.start) + 1):
        trial = study.ask()
        space(trial)
        for knob, value in trial.params.items():
            knobs_of(cls)[knob].check(value, name)


@pytest.mark.parametrize("text", RUBBISH, ids=range(len(RUBBISH)))
def test_a_search_space_of_rubbish_is_refused(text, tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as refused:
        check_space(validated(SpaceFile, read_yaml(path), path.name), find_method("fedavg"), "x")
    one_line(refused.value)


# ------------------------------------------------------------------ the command line


LOADED = functools.cache(load_dataset)


class WouldRun(Exception):
    """Every check has passed; what is long or has effects would begin now."""


@dataclass
class Called:
    """What a command line came to."""

    code: int | None
    out: str
    err: str

    @property
    def would_run(self) -> bool:
        return self.code is None


@pytest.fixture
def call(monkeypatch):
    """``call("run", "fedavg")`` runs a command line up to the point at which work begins."""

    reached = []

    def stop(*arguments, **named):
        reached.append(arguments)
        raise WouldRun

    def stop_sessions(watched, house):
        for job in (each.job for each in watched):
            before = read_record(job.folder)
            if before is not None:
                kept = {"program": before.program, "data": before.data, "id": before.id}
                now = Record.model_validate({**job.recorded(), **kept})
                before.going_on(now, house.accept_new_code)
        stop()

    for place in (
        "pfltune.scenario.Scenario.build",
        "pfltune.federation.trial.FederatedTrial.step",
        "pfltune.federation.traffic.traffic",
        "pfltune.report.partition.write_partition",
        "os.execve",
    ):
        monkeypatch.setattr(place, stop)
    monkeypatch.setattr("pfltune.jobs.run_sessions", stop_sessions)
    monkeypatch.setattr("pfltune.scenario.load_dataset", LOADED)
    monkeypatch.setattr("pfltune.running.hardware.fastest", lambda asked, plain, federation: plain)

    def run(*arguments: str) -> Called:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "argv", ["pfltune", *arguments])
        with ExitStack() as stack:
            stack.callback(torch.set_num_threads, 1)
            stack.enter_context(redirect_stdout(out))
            stack.enter_context(redirect_stderr(err))
            try:
                pfltune.cli.main()
            except SystemExit as ended:
                code = None if reached else ended.code or 0
                reached.clear()
                return Called(code, out.getvalue(), err.getvalue())
        raise AssertionError("main always exits")

    return run


def refused(called: Called) -> None:
    assert called.code == 2
    assert called.err.startswith("pfltune: "), called.err
    assert called.err.count("\n") == 1, called.err


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


TEXTS = ["", "0", "1", "-1", "2", "0.5", "abc", "nan", "inf", "1e400", "9" * 30, "1_0", "٣", "☃"]
TEXTS += ["a=b", "=", "=1", "lr=", "lr=0.1", "lr=nan", "lr=[/red]", "--", "-", "auto", "a,b", ",,"]
TEXTS += ["lr=0.1,0.2", "lr=0.1,", "lr=[0.1,0.2]", "fedavg,fedper"]
TEXTS += ["../x", "/", "x" * 300, "x/" * 3000, "local", "fedavg", "local,local", "tests", "[/red]"]
TEXTS += ["protocol.rounds=1", "protocol.rounds=☃", "data.name=folder:/", "data.name='npz:\\0'"]
TEXTS += ['data.name="npz:a\\0b"', "backbone.model=resnet18", "backbone.image_size=99999999999"]
TEXTS += ["partition={kind: iid, clients: 99999}", "partition.clients=0", "digits", "cifar10"]
TEXTS += ["nothing.py:X", "nothing.yaml", "/dev/null:x.py:Y", "..py:", ".yaml", "cpu", "cuda"]
SHARED = ["--scenario", "-o", "--override", "--threads", "--device", "--precision", "--seed"]
POOL = [*SHARED, "--name", "--resume", "--workers", "--gpus-per-trial", "--results", "--seeds"]
POOL += ["--checkpoints", "--checkpoint-seconds", "--checkpoint-rounds", "--trial-limit"]
SEARCH = [*POOL, "--trials", "--generation", "--eta", "--finalists", "--finalist-seeds"]
OPTIONS = {
    "compare": [*SEARCH, "--methods"],
    "tune": [*SEARCH, "--set"],
    "run": [*SHARED, "--set", "--results"],
    "grid": [*POOL, "--over", "--set", "--test"],
    "sensitivity": [*POOL, "--lr"],
    "methods": ["--bad"],
    "payload": ["--model", "--classes", "--image-size", "--methods"],
    "scenarios": ["-o"],
    "partition": ["-o", "--out"],
    "trials": ["--results"],
    "clean": ["--results"],
    "ui": ["--host", "--port", "--results"],
}
PRINTS = ("methods", "scenarios", "trials", "clean")
"""These show something at once."""


@st.composite
def command_line(draw) -> list[str]:
    command = draw(st.sampled_from(list(OPTIONS)))
    value = st.sampled_from(TEXTS) | st.text(string.printable, max_size=4)
    line = [command]
    if draw(st.booleans()):
        line.append(draw(value))
    for _ in range(draw(st.integers(0, 3))):
        line += [draw(st.sampled_from(OPTIONS[command]))]
        line += [draw(value)] if draw(st.integers(0, 9)) else []
    return line


@more(150)
@given(line=command_line())
def test_any_command_line_would_run_or_is_refused_in_one_line(line, call, tmp_path):
    called = call(*line)
    if called.would_run:
        return
    if called.code == 0:
        assert line[0] in PRINTS or {"-h", "--help"} & set(line)
        return
    refused(called)
    assert not files(tmp_path), line


HARD = ["", "-1", "9" * 30, "nan", "[/red]", "x" * 300, "x/" * 3000, "../x", "nothing.py:X"]
HARD += [
    'data.name="npz:a\\0b"',
    "backbone.image_size=99999999999",
    "nothing.yaml",
    "protocol.rounds=☃",
]


ALONE = {"run": ["fedavg"], "tune": ["fedavg"], "partition": ["digits"]}
ALONE |= {"grid": ["fedavg", "--over", "lr=0.1,0.2"]}
ALONE |= {"payload": ["--model", "vit_tiny_patch16_224", "--image-size", "32"]}


@pytest.mark.parametrize("command", OPTIONS)
def test_a_hard_value_of_any_option_alone(command, call, tmp_path):
    begin = [command, *ALONE.get(command, ())]
    for option in OPTIONS[command]:
        for text in HARD:
            called = call(*begin, option, text)
            if not called.would_run and (called.code or command not in PRINTS):
                refused(called)
                assert not files(tmp_path)


# ------------------------------------------------------------------ names

BAD_NAMES = ["..", ".", "/", "../x", "a/b", "a/../b", "/etc", "~", "a b", " ", "", "a\0b", "\n"]
BAD_NAMES += [
    "a\nb",
    "☃",
    "é",
    "-x",
    "--",
    ".hidden",
    "x" * 101,
    "x" * 5000,
    "a;b",
    "$HOME",
    "a\\b",
]
BAD_NAMES += ["[/red]", "%2e%2e", "a:b", "*", "x\u202ey", "mlflow.db", "artifacts"]


@pytest.mark.parametrize("option", ["--name", "--resume"])
@pytest.mark.parametrize("command", ["compare", "tune", "sensitivity"])
@pytest.mark.parametrize("name", BAD_NAMES, ids=range(len(BAD_NAMES)))
def test_a_name_that_is_no_folders_is_refused(command, option, name, call, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    line = [command, *(["fedavg"] if command == "tune" else []), f"{option}={name}"]
    refused(call(*line, "--results", str(inside / "results")))
    assert not files(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"inside"}


@FEW
@given(name=st.text(max_size=12) | st.text("./\\~", min_size=1, max_size=9))
def test_no_name_leads_out_of_the_results(name, call, tmp_path):
    for option in ("--name", "--resume"):
        called = call("compare", f"{option}={name}", "--results", str(tmp_path / "in" / "results"))
        if not called.would_run:
            refused(called)
        assert {path.name for path in tmp_path.iterdir()} <= {"in"}
        assert not files(tmp_path)


def test_a_scenario_cannot_name_a_folder_elsewhere(call, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**DIGITS, "name": "../../elsewhere"}))
    for line in (["compare", "--scenario", str(path)], ["partition", str(path)]):
        refused(call(*line))


# ------------------------------------------------------------------ records of what was begun


@pytest.fixture(scope="module")
def record():
    """What a comparison writes down of itself."""
    from pfltune.budget import Budget
    from pfltune.federation.compute import Compute
    from pfltune.running.hardware import Hardware
    from pfltune.studies.comparison import Comparison, plan_methods

    ground = load_scenario("digits")
    plan, spaces = plan_methods(["fedavg", "local"], Budget(), ground.protocol, {})
    job = Comparison(
        name="begun",
        command="compare",
        scenario=ground,
        plan=plan,
        hardware=Hardware(2, 1, 0.0, Compute()),
        asked=Asked(),
        results=Path("results"),
        spaces=spaces,
    )
    program = Program(source={}, files={}, versions={}, processor="a processor")
    made = Record.model_validate({**job.recorded(), "program": program, "data": {"images": "1"}})
    return json.loads(made.text())


def place(text: str | bytes, folder: Path) -> None:
    target = folder / "results" / "begun"
    target.mkdir(parents=True, exist_ok=True)
    (target / "comparison.json").write_bytes(text.encode() if isinstance(text, str) else text)


def test_an_unspoiled_record_goes_on(record, call, tmp_path):
    place(json.dumps(record), tmp_path)
    assert call("compare", "--resume", "begun").would_run


READ = ["format", "id", "command", "name", "scenario", "scenario.partition", "methods", "methods.0"]
READ += ["titles", "fixed", "budget", "budget.trials", "budget.eta", "budget.seeds", "budget.seed"]
READ += ["spaces", "computing", "computing.threads", "computing.precision", "computing.device"]
READ += ["computing.deterministic", "asked", "asked.workers", "asked.checkpoints", "program"]
READ += ["program.source", "program.processor", "changes", "data"]


@pytest.mark.parametrize("key", READ)
def test_a_spoiled_record_goes_on_or_is_refused(key, record, call, tmp_path):
    *parents, last = (int(name) if name.isdigit() else name for name in key.split("."))
    for value in (None, "", "x\ny", [], {}, [[]], {"": None}, -1, 10**30, float("nan"), True):
        tree = level = copy.deepcopy(record)
        for name in parents:
            level = level[name]
        level[last] = value
        place(json.dumps(tree), tmp_path)
        called = call("compare", "--resume", "begun")
        if not called.would_run:
            refused(called)


@more(40)
@given(data=st.data())
def test_a_much_spoiled_record_goes_on_or_is_refused(data, record, call, tmp_path):
    place(json.dumps(data.draw(spoiled(record)), default=str), tmp_path)
    called = call("compare", "--resume", "begun")
    if not called.would_run:
        refused(called)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "3", '"x"', "{}", '{"command": "compare"}', "[" * 9999, b"\xff\xfe\0"],
    ids=range(10),
)
def test_a_record_of_rubbish_is_refused(text, call, tmp_path):
    place(text, tmp_path)
    for option in ("--name", "--resume"):
        refused(call("compare", option, "begun"))
