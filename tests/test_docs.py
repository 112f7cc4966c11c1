"""Examples in the docs are what they say: commands exist, code runs, files are accepted."""

import ast
import inspect
import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple, get_args

import click
import pytest
import torch
import yaml
from click.testing import CliRunner

import pfltune
from pfltune.budget import Budget
from pfltune.cli.app import root
from pfltune.cli.options import key_values
from pfltune.data.census import take_census
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Family
from pfltune.method_list import method_list
from pfltune.models.pyfunc import Predictor
from pfltune.registry import available_methods, by_family, find_method, make_method
from pfltune.scenario import load_scenario
from pfltune.search.plan import Plan
from pfltune.search.space import load_space
from pfltune.studies.claims import replay_of
from pfltune.studies.grid import axes_of, plan_grid
from pfltune.sweeps import cells_of
from pfltune.testing import contract_of
from pfltune.variants import parsed as parsed_reference
from pfltune.variants import wrapping

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
INDENTED = re.compile(r"^ {4,}(pfltune .*?)(?:  +#.*)?$", re.MULTILINE)
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
METRIC = re.compile(r"^class (\w+)\(Metric\)", re.MULTILINE)
METHOD = re.compile(r"^class (\w+)\(Method\)", re.MULTILINE)
WRAP = re.compile(r"^class (\w+)\(Wrap\)", re.MULTILINE)
PLUGIN = re.compile(r"^class \w+\((?:DataSource|Partition|Sampler|Backbone)\)", re.MULTILINE)
REPEATABLE = (
    "pfltune methods ",
    "pfltune partition ",
    "pfltune check ",
    "pfltune data ",
    "pfltune payload --methods ",
)
PREDICTORS = {"model": pfltune.LoadedModel, "champion": Predictor}
"""What docs/howto/models.md calls them."""
CLAIM_OPTIONS = ("scale", "footings", "overrides", "trials", "seeds", "name")
SHORT = "rounds: 2, evaluate_every: 1, sampled_clients: 4, local_epochs: 1, batch_size: 32"


class Block(NamedTuple):
    """A fenced piece of a page."""

    page: Path
    language: str
    title: str
    text: str

    def __str__(self):
        return f"{self.page.stem}-{self.title or self.text.splitlines()[0]}"


def blocks(page: Path) -> list[Block]:
    return [Block(page, *found) for found in FENCE.findall(page.read_text())]


ALL = [block for page in PAGES for block in blocks(page)]
ELSEWHERE = "mlflow"  # its recipes are run by test_mlflow_recipes.py
PYTHON = [b for b in ALL if b.language == "python" and b.page.stem != ELSEWHERE]
METHODS = [block for block in PYTHON if block.title and METHOD.search(block.text)]
PLUGINS = [block for block in PYTHON if block.title and PLUGIN.search(block.text)]
TESTS = [block for block in PYTHON if block.title.startswith("test_")]
METRICS = [block for block in PYTHON if block.title and METRIC.search(block.text)]
WRAPS = [block for block in PYTHON if block.title and WRAP.search(block.text)]
NO_SCRIPT = [*METHODS, *TESTS, *METRICS, *PLUGINS, *WRAPS]
SCRIPTS = [block for block in PYTHON if block.title and block not in NO_SCRIPT]
CALLS = [block for block in PYTHON if not block.title and block.page.name != "README.md"]
SHELL = [(b.page, line) for b in ALL if b.language == "sh" for line in b.text.splitlines()]
PRINTED = [
    (shell, printed)
    for page in PAGES
    for shell, printed in zip(blocks(page), blocks(page)[1:], strict=False)
    if shell.language == "sh"
    and printed.language == "text"
    and shell.text.splitlines()[-1].startswith(REPEATABLE)
]


def commands() -> list[tuple[str, str]]:
    """(page, command) of every line that begins with pfltune, indented or in a block of shell."""
    found = []
    for page in PAGES:
        text = re.sub(r"\\\n\s+", "", page.read_text())
        found += [(page.name, line.strip()) for line in INDENTED.findall(text)]
    found += [(page.name, line) for page, line in SHELL if line.startswith("pfltune ")]
    drawn = yaml.safe_load((DOCS / "gallery.yaml").read_text())
    return found + [("gallery.yaml", line) for entry in drawn for line in entry["commands"]]


def parsed(line: str) -> click.Context:
    """The command's context; unknown commands, options and values are errors."""
    _, name, *arguments = shlex.split(line)
    with click.Context(root) as above:
        command = root.get_command(above, name)
        assert command is not None, line
        return command.make_context(name, arguments, parent=above)


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_in_the_docs_is_one(page, line, beside):
    """Parsed, not run; and the methods, knobs and settings that it names exist."""
    if "…" in line or line.split()[1].startswith("-"):
        pytest.skip("an abbreviation, or a help text")
    code_of_a_page = ("metrics=" in line or "--wrap" in line) and ".py:" in line
    if code_of_a_page or "kind: file" in line:
        beside(next(each for each in PAGES if each.name == page))
    asked = parsed(line).params
    if line.startswith("pfltune claim"):
        see_claim(asked, next(each for each in PAGES if each.name == page), beside)
        return
    texts = [text for text in (asked.get("methods"), asked.get("method")) if text] or ["fedavg"]
    texts = [text for text in texts if not text.endswith(".yaml")]
    wraps = asked.get("wrap") or ()
    for method in method_list(texts).wrapped(wraps).references if texts else ():
        if ".py:" not in parsed_reference(method).method:
            find_method(method)
    held = key_values(asked.get("knobs") or ())
    if held and ".py:" not in texts[0]:
        make_method(wrapping(texts[0], wraps), held)
    if asked.get("over"):
        grid = {"over": axes_of(asked["over"]), "seeds": asked["seeds"], "seed": 0}
        references = method_list(texts).wrapped(wraps).references
        plan_grid(references, grid, load_scenario("digits"), {"": held})
    ground = asked.get("scenario") or asked.get("name")
    code = any(".py:" in override for override in asked.get("overrides") or ())
    if "overrides" in asked and ground and not ground.endswith(".yaml") and not code:
        cells = cells_of("swept", ground, asked["overrides"])
        for name, overrides in [(c.scenario, c.overrides) for c in cells] or [
            (ground, asked["overrides"])
        ]:
            load_scenario(name, overrides)


def see_claim(asked, page, beside):
    """A claim that a command names has the scale and the footings that it asks for."""
    if asked["claim"] is None:
        return
    beside(page)
    given = {key: value for key, value in asked.items() if value and key in CLAIM_OPTIONS}
    replay = replay_of(asked["claim"], given)
    for part in replay.parts:
        load_scenario(part.options["scenario"], part.options["overrides"])


@pytest.mark.parametrize("line", [line for _, line in SHELL if line.startswith("make ")])
def test_every_make_target_in_the_docs_is_one(line):
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE)


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """``beside(page)``: a working folder with the files that the page shows."""
    monkeypatch.chdir(tmp_path)

    def lay_out(page: Path) -> Path:
        for block in blocks(page):
            if block.title:
                (tmp_path / block.title).write_text(block.text)
        return tmp_path

    return lay_out


def reference_of(block: Block, folder: Path) -> str:
    found = METHOD.search(block.text)
    assert found is not None
    return f"{folder / block.title}:{found[1]}"


@pytest.mark.parametrize("block", METHODS, ids=str)
def test_every_method_file_in_the_docs_trains(block, beside, run_trial):
    reference = reference_of(block, beside(block.page))
    done = run_trial(make_method(reference, {}))
    assert done.metrics[-1]["comm/up_mb_per_round"] > 0
    assert done.trial.selection.round > 0


@pytest.mark.parametrize("block", WRAPS, ids=str)
def test_every_wrap_file_in_the_docs_keeps_the_contract(block, beside):
    found = WRAP.search(block.text)
    reference = f"fedper+{beside(block.page) / block.title}:{found[1]}"
    for case in contract_of(find_method(reference), "wrapped"):
        if case.function.__name__ in {"trains", "resumes", "counts_what_travels", "has_an_effect"}:
            case.check()


@pytest.mark.parametrize("block", METHODS, ids=str)
def test_every_method_file_in_the_docs_is_searched_as_its_page_says(block, beside):
    folder = beside(block.page)
    space = load_space(reference_of(block, folder))
    beside_it = (folder / block.title).with_suffix(".yaml")
    searched = set(re.findall(r"^    (\w+): \w+ = knob\(", block.text, re.MULTILINE)) | {"lr"}
    assert {dimension.name for dimension in space.dimensions} == searched
    if beside_it.is_file():
        written = yaml.safe_load(beside_it.read_text())
        ranges = {d.name: {"low": d.low, "high": d.high} for d in space.dimensions}
        assert ranges == written["search"]
        assert list(space.start) == written["start"]


def test_the_head_of_the_method_in_the_how_to_stays(beside, run_trial):
    (block,) = [block for block in METHODS if block.title == "proximalhead.py"]
    trial = run_trial(make_method(reference_of(block, beside(block.page)), {})).trial
    assert set(trial.personal[0]) == {"head.weight", "head.bias"}
    assert not set(trial.server) & set(trial.personal[0])


def test_the_proximal_term_in_the_how_to_pulls(beside, run_trial):
    """A heavy μ keeps the server near its first state."""
    (block,) = [block for block in METHODS if block.title == "proximalhead.py"]
    reference = reference_of(block, beside(block.page))

    def moved(mu: float) -> float:
        trial = run_trial(make_method(reference, {"mu": mu})).trial
        first = FederatedTrial(trial.method, trial.federation, seed=0).server
        return sum(float((trial.server[name] - first[name]).norm()) for name in first)

    assert moved(10.0) < moved(0.001)


@pytest.mark.parametrize(("shell", "printed"), PRINTED, ids=str)
def test_commands_print_what_the_docs_show(shell, printed, beside, monkeypatch):
    beside(shell.page)
    monkeypatch.setenv("COLUMNS", "120")
    _, *words = shlex.split(shell.text.splitlines()[-1])
    done = CliRunner().invoke(root, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert stripped(done.output) == stripped(printed.text)


def stripped(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


@pytest.mark.parametrize("block", CALLS, ids=str)
def test_every_python_call_in_the_docs_runs(block, beside, monkeypatch, capsys):
    """As it stands there, on digits with two rounds and start weights of one epoch."""
    folder = beside(block.page)
    whole = load_scenario("digits", [f"protocol={{{SHORT}}}", "warm_start.epochs=1"])
    (folder / "digits.yaml").write_text(yaml.safe_dump(whole.model_dump(exclude_none=True)))
    short = {"digits": folder / "digits.yaml"}
    monkeypatch.setattr("pfltune.scenario.scenario_files", lambda: short)
    torch.set_num_threads(1)
    exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})
    *rounds, last = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in rounds] == ["1", "2"]
    chosen, accuracies = last.split(maxsplit=1)
    assert chosen in ("1", "2")
    assert accuracies.count(",") == 9  # ten clients


@pytest.mark.parametrize("block", PLUGINS, ids=str)
def test_what_a_page_plugs_into_a_scenario_trains_as_its_commands_say(block, beside, run_trial):
    beside(block.page)
    lines = [line for page, line in SHELL if page == block.page and line.startswith("pfltune ")]
    using = [parsed(line).params for line in lines]
    using = [a for a in using if any(f"{block.title}:" in o for o in a.get("overrides") or ())]
    assert using
    for asked in using:
        ground = asked.get("scenario") or asked["name"]
        scenario = load_scenario(ground, [*asked["overrides"], "warm_start.epochs=1"])
        scenario.check([make_method("fedper", {})])
        done = run_trial(make_method("fedper", {}), scenario.build(), rounds=1)
        assert done.metrics[0]["comm/up_mb_per_round"] > 0


@pytest.mark.parametrize("block", [b for b in ALL if b.language == "py"], ids=str)
def test_what_a_call_in_the_docs_passes_is_taken(block):
    """These take minutes, so they are read, not run."""
    calls = [node for node in ast.walk(ast.parse(block.text)) if isinstance(node, ast.Call)]
    named = [(c, c.func.attr) for c in calls if isinstance(c.func, ast.Attribute)]
    assert named or "found" in block.text
    for call, name in named:
        if ast.unparse(call.func.value).startswith("mlflow"):
            continue
        owner = pfltune if ast.unparse(call.func.value) == "pfltune" else pfltune.Results
        owner = PREDICTORS.get(ast.unparse(call.func.value), owner)
        taken = inspect.signature(getattr(owner, name)).parameters
        assert [each.arg for each in call.keywords if each.arg not in taken] == []


@pytest.mark.slow
@pytest.mark.parametrize("block", TESTS, ids=str)
def test_every_test_file_in_the_docs_passes(block, beside):
    folder = beside(block.page)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", block.title]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", SCRIPTS, ids=str)
def test_what_the_scripts_in_the_docs_write_is_dealt_and_trained(block, beside, run_trial):
    """The scenarios of the page, its own and built-in ones with the file, accept it."""
    folder = beside(block.page)
    exec(compile(block.text, block.title, "exec"), {"__name__": "__main__"})
    (made,) = folder.glob("*.npz")
    own = [b.title for b in blocks(block.page) if b.language == "yaml"]
    using = [
        parsed(line).params for page, line in SHELL if page == block.page and made.name in line
    ]
    scenarios = [load_scenario(name) for name in own]
    scenarios += [load_scenario(asked["scenario"], asked["overrides"]) for asked in using]
    assert len(scenarios) >= 2
    for scenario in scenarios:
        dataset = scenario.dataset()
        census = take_census(dataset, scenario.clients(dataset))
        assert dataset.class_names == ("zero", "two", "four", "six", "eight")
        assert len(census.csv().splitlines()) == 1 + 3 * scenario.all_clients
    done = run_trial(make_method("fedper", {}), scenarios[0].build(), rounds=1)
    assert done.metrics[0]["comm/up_mb_per_round"] > 0


@pytest.mark.parametrize("block", METRICS, ids=str)
def test_every_metric_file_in_the_docs_is_told_of_every_client(block, beside, federation):
    """Under the names that its page promises, by a scenario that names it as the page does."""
    beside(block.page)
    (written,) = (b.text for b in blocks(block.page) if b.language == "yaml")
    named = yaml.safe_load(written)["metrics"]
    scenario = load_scenario("digits", [f"metrics={json.dumps(named)}"])
    scenario.check([])
    ground = replace(federation, metrics=scenario.metrics)
    (report,) = islice(FederatedTrial(make_method("fedper", {}), ground, seed=0).run(), 1)
    page = block.page.read_text()
    assert "`val/brier_worst_decile`" in page
    assert "`test/brier`" in page
    assert {"val/brier", "val/brier_std", "val/brier_worst_decile"} <= report.metrics.keys()
    assert {"test/brier", "test/balanced_accuracy"} <= report.metrics.keys()


def test_the_rounds_that_the_protocol_counts_are_those_of_a_comparison():
    methods = parsed("pfltune compare").params["methods"]
    plan = Plan(method_list([methods]).references, Budget(), load_scenario("digits").protocol)
    assert plan.search_rounds() == 44
    assert plan.total_rounds() == 752
    assert "of 752 rounds" in (DOCS / "protocol.md").read_text()
    assert "of 752 rounds" in (ROOT / "README.md").read_text()


def test_the_cluster_example_is_one_that_ray_accepts():
    from ray.autoscaler._private.util import prepare_config, validate_config

    example = yaml.safe_load((DOCS / "examples" / "ray-cluster.yaml").read_text())
    config = prepare_config(example)
    config.setdefault("cluster_synced_files", [])
    validate_config(config)
    assert config["provider"]["worker_ips"] == ["192.0.2.11", "192.0.2.12"]


def test_every_method_has_its_row_below_its_family():
    """docs/methods.md: a table for each family, rows in the order of their names."""
    _, *sections = (DOCS / "methods.md").read_text().split("\n## ")
    found = {s.partition("\n")[0].lower(): re.findall(r"^\| `(\w+)` ", s, re.M) for s in sections}
    shown = {family: names for family, names in found.items() if family in get_args(Family)}
    built_in = (n for n, c in available_methods().items() if c.__module__.startswith("pfltune."))
    assert shown == dict(by_family(built_in))
