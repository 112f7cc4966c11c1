"""What strangers plug into a scenario: found, checked, recorded, and run in other processes."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner

from pfltune.cli.app import root
from pfltune.errors import UserError
from pfltune.federation.fingerprint import fingerprint
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Method
from pfltune.program import Program
from pfltune.record import read_record
from pfltune.scenario import load_scenario
from pfltune.warm_start import WarmStart

PACKAGE = Path(__file__).parent / "example_package" / "pfltune_example"
GROUND = {
    "title": "A ground of somebody else's",
    "data": {"name": "stripes.py:Stripes", "samples": 240},
    "partition": {"kind": "growing.py:Growing", "clients": 4},
    "split": {"val": 0.2, "test": 0.2},
    "backbone": {"name": "mlp.py:MLP", "image_size": 8, "hidden": 16},
    "protocol": {
        "rounds": 2,
        "sampled_clients": 2,
        "sampler": "in_turn.py:InTurn",
        "local_epochs": 1,
        "batch_size": 8,
    },
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with the example package's files, and a scenario of them one below it."""
    for path in PACKAGE.glob("*.py"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "ground.yaml").write_text(yaml.safe_dump(GROUND))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ground(here):
    """The scenario of the files."""
    return load_scenario("scenarios/ground.yaml")


def refused(*overrides: str, act=lambda scenario: scenario.check([Method()])) -> str:
    """The one line that a user reads."""
    with pytest.raises(UserError) as caught:
        act(load_scenario("scenarios/ground.yaml", overrides))
    message = str(caught.value)
    assert "\n" not in message
    return message


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_ground_of_strangers_code_trains(ground):
    trial = FederatedTrial(Method(lr=0.1), ground.build(), seed=0)
    assert [trial.sampled_clients(number) for number in (1, 2, 3)] == [[0, 1], [2, 3], [0, 1]]
    *_, last = trial.run()
    assert last.metrics["comm/up_mb_per_round"] > 0
    assert trial.footprint()["params/shared"] == 64 * 16 + 16 + 16 * 3 + 3
    assert [len(c.train) + len(c.val) + len(c.test) for c in trial.federation.clients] == [
        *(24, 48, 72, 96)
    ]


def test_paths_are_those_of_the_working_folder_and_recorded_as_absolute(ground, here):
    """The scenario's file lies in another folder than the code that it names."""
    for plugin in ground.sections():
        path, _, _ = plugin.reference.rpartition(":")
        assert Path(path).parent == here.resolve()
    (here / "scenarios" / "growing.py").write_text("raise RuntimeError('not this one')")
    load_scenario("scenarios/ground.yaml")


def test_a_scenario_is_shown_with_the_strangers_settings(here):
    done = CliRunner().invoke(root, ["scenarios", "scenarios/ground.yaml"], catch_exceptions=False)
    shown = yaml.safe_load(done.output)
    assert shown["data"]["samples"] == 240
    assert shown["backbone"]["hidden"] == 16
    (here / "again.yaml").write_text(done.output)
    again = load_scenario("again.yaml").model_dump(exclude={"name"})
    assert again == load_scenario("scenarios/ground.yaml").model_dump(exclude={"name"})


def test_the_partition_says_what_it_is_without_folders(here):
    done = CliRunner().invoke(root, ["partition", "scenarios/ground.yaml"], catch_exceptions=False)
    assert done.output.startswith("growing.py:Growing, clients 4, data_seed 0\n")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.name=gone.py:Stripes", ["no data set file", "gone.py"]),
        ("data.name=stripes.py:Strips", ["'Strips'", "did you mean 'Stripes'"]),
        ("partition.kind=stripes.py:Stripes", ["not a subclass of pfltune.Partition"]),
        ("partition.kind=growin", ["unknown partition 'growin'", "dirichlet"]),
        ("backbone.name=tim", ["unknown backbone 'tim'", "did you mean 'timm'"]),
        ("backbone.name=3", ["'name' must name a backbone"]),
        ("protocol.sampler=unifor", ["unknown sampler 'unifor'", "did you mean 'uniform'"]),
        ("protocol.sampler=[]", ["mapping"]),
        ("data.sample=3", ["'data.sample'", "did you mean 'data.samples'"]),
        ("data.samples=3", ["data.samples=3", "30"]),
        ("partition.alpha=1", ["'partition.alpha'", "partition.clients"]),
        ("backbone.hidden=0", ["backbone.hidden=0"]),
        ("backbone.depth=2", ["'backbone.depth'", "backbone.hidden"]),
        ("backbone.weights=pretrained", ["'pretrained'", "random, warm-start, FILE.safetensors"]),
        ("protocol.sampler={kind: uniform, speed: 3}", ["'protocol.sampler.speed'"]),
    ],
)
def test_a_wrong_section_is_refused_by_name(here, override, words):
    message = refused(override)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("growing.py", "np.split(order", "np.split(order[:-1]", ["sample", "to 0 clients"]),
        ("growing.py", "np.split(order", "np.split(order - 1", ["sample -1", "0 to 239"]),
        ("growing.py", "np.split(order", "np.split(order * 1.0", ["float64", "not indices"]),
        ("growing.py", "shares[:-1]", "shares[:-2]", ["deals 3 clients, not 4"]),
        ("growing.py", "shares[:-1]", "0 * shares[:-1]", ["gives client 0 of 4 only 0 of 240"]),
        ("growing.py", "return np", "return 1 / 0, np", ["growing", "ZeroDivisionError", "line"]),
        ("growing.py", "def divide", "def devide", ["must define divide()"]),
        ("growing.py", "import numpy as np", "import nump as np", ["cannot be imported", "nump"]),
        ("stripes.py", "gray.astype(np.uint8)", "gray", ["images are int64", "uint8"]),
        ("stripes.py", "[:, None]", "", ["uint8 of shape (240, 8, 8)"]),
        ("stripes.py", "% 3\n", "% 3 - 1\n", ["-1 among the labels", "0 to 2"]),
        (
            "stripes.py",
            "images, labels)",
            "images, labels[1:])",
            ["240 images but labels of shape"],
        ),
        ("stripes.py", "images, labels)", "images, labels * 1.0)", ["labels are float64"]),
        ("stripes.py", '"standing"', '"lying"', ["names of a class"]),
        ("stripes.py", "return Decoded", "return list", ["stripes", "TypeError"]),
        ("in_turn.py", "turn % len", "turn + len", ["sampler inturn", "IndexError"]),
        ("in_turn.py", "in turns]", "in turns] * 2", ["chose [0, 1, 0, 1] in round 1", "1 to 2"]),
        ("in_turn.py", "return [", "return [] and [", ["chose [] in round 1"]),
        ("in_turn.py", "return [", "return [9, *[", ["SyntaxError"]),
        ("mlp.py", "return _Net", "return None and _Net", ["gives NoneType, no nn.Module"]),
        ("mlp.py", "Linear(hidden, classes)", "Linear(hidden, classes + 1)", ["(2, 4)", "(2, 3)"]),
        ("mlp.py", "self.head(self.body(x))", "self.gone(x)", ["backbone mlp", "AttributeError"]),
    ],
)
def test_what_a_strangers_code_does_wrong_is_one_line_before_anything_trains(
    here, file, old, new, words
):
    edited(here / file, old, new)
    message = refused(act=lambda s: (s.check([Method()]), s.clients(s.dataset())))
    for word in words:
        assert word in message


def test_what_a_strangers_code_changes_of_the_process_is_put_back(here):
    change = "        import numpy; numpy.seterr(all='raise')\n        return _Net"
    edited(here / "mlp.py", "        return _Net", change)
    before = np.geterr()
    load_scenario("scenarios/ground.yaml").check([Method()])
    assert np.geterr() == before


def test_numpys_generator_in_a_strangers_model_is_seeded(here, differing):
    old = "        self.head ="
    draw = "        import numpy; self.scale = nn.Parameter(Tensor([numpy.random.rand()]))\n"
    edited(here / "mlp.py", old, draw + old)
    backbone = load_scenario("scenarios/ground.yaml").backbone
    one, same, other = (backbone.build(3, 1, seed).state_dict() for seed in (1, 1, 2))
    assert not differing(one, same)
    assert "scale" in differing(one, other)


# Programs and keys


@pytest.mark.parametrize("file", ["stripes", "growing", "in_turn", "mlp"])
def test_another_code_is_another_program_wherever_it_lies(here, file):
    before = Program.of(["fedavg"], "cpu", load_scenario("scenarios/ground.yaml").strangers())
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    for path in here.glob("*.py"):
        (elsewhere / path.name).write_text(path.read_text())
    moved = {**GROUND, "data": {"name": "elsewhere/stripes.py:Stripes", "samples": 240}}
    (here / "moved.yaml").write_text(yaml.safe_dump(moved))
    same = Program.of(["fedavg"], "cpu", load_scenario("moved.yaml").strangers())
    assert before.changes(same) == []
    edited(here / f"{file}.py", '"""', '"""Changed. ')
    now = Program.of(["fedavg"], "cpu", load_scenario("scenarios/ground.yaml").strangers())
    (change,) = before.changes(now)
    assert file.replace("_", "") in change
    assert before.plugins != now.plugins, "another trial"


def test_a_scenario_of_pfltunes_own_brings_nothing():
    assert load_scenario("digits").strangers() == ()


def test_the_rules_of_a_federation_do_not_know_where_code_lies(ground, here, monkeypatch):
    before = fingerprint(ground.build())
    other = here / "other"
    other.mkdir()
    for path in (*here.glob("*.py"), here / "scenarios" / "ground.yaml"):
        (other / path.name).write_text(path.read_text())
    monkeypatch.chdir(other)
    assert fingerprint(load_scenario("ground.yaml").build()) == before
    changed = load_scenario("ground.yaml", ["protocol.sampler=uniform"])
    assert fingerprint(changed.build())["rules"] != before["rules"]


def test_a_warm_start_of_other_code_is_another_one(here):
    recipe = ["warm_start={share: 0.2, epochs: 1, lr: 0.01}", "backbone.weights=warm-start"]
    before = load_scenario("scenarios/ground.yaml", recipe).build().weights
    edited(here / "mlp.py", "nn.ReLU()", "nn.Tanh()")
    now = load_scenario("scenarios/ground.yaml", recipe).build().weights
    assert not torch.equal(before["head.weight"], now["head.weight"])
    assert WarmStart.model_validate({"share": 0.2, "epochs": 1, "lr": 0.01})


def test_weights_of_a_file_fit_a_strangers_backbone(here, ground):
    from safetensors.torch import save_file

    state = ground.backbone.build(5, 1, seed=3).state_dict()
    save_file(state, here / "mine.safetensors")
    chosen = ["backbone.weights=mine.safetensors"]
    weights = load_scenario("scenarios/ground.yaml", chosen).build().weights
    assert weights.keys() == {"body.1.weight", "body.1.bias"}, "the head is for 5 classes"
    assert torch.equal(weights["body.1.weight"], state["body.1.weight"])
    save_file({"other": torch.zeros(1)}, here / "mine.safetensors")
    message = refused(*chosen, act=lambda scenario: scenario.build())
    assert "names differ" in message


def test_a_source_that_says_what_it_follows_from_is_decoded_once(here):
    count = here / "count"
    keeping = f"""    def identity(self):
        return {{"version": 1}}

    def decode(self) -> Decoded:
        open({str(count)!r}, "a").write("x")
"""
    edited(here / "stripes.py", "    def decode(self) -> Decoded:\n", keeping)
    first = load_scenario("scenarios/ground.yaml").dataset()
    assert torch.equal(load_scenario("scenarios/ground.yaml").dataset().images, first.images)
    assert count.read_text() == "x"
    load_scenario("scenarios/ground.yaml", ["data.samples=60"]).dataset()
    edited(here / "stripes.py", "default_rng(1)", "default_rng(2)")
    assert not torch.equal(load_scenario("scenarios/ground.yaml").dataset().images, first.images)
    assert count.read_text() == "xxx"


def test_classes_are_chosen_of_a_strangers_data(here):
    dataset = load_scenario("scenarios/ground.yaml", ["data.classes=[leaning, lying]"]).dataset()
    assert dataset.class_names == ("leaning", "lying")
    assert np.bincount(dataset.labels.numpy()).tolist() == [80, 80]


def with_clients(here, clients="labels", splits="labels.astype(np.uint8)", names="abc"):
    """The stripes with a client for each class, which are given for a part each."""
    edited(
        here / "stripes.py",
        "[Chunk(images, labels)])",
        f"[Chunk(images, labels, None, {clients}, {splits})], client_names=tuple({names!r}))",
    )


def test_a_strangers_data_may_bring_clients_and_splits(here):
    with_clients(here, splits="(np.arange(len(labels)) // 3 % 3).astype(np.uint8)")
    natural = ["partition={kind: natural}", "protocol.sampler=uniform"]
    scenario = load_scenario("scenarios/ground.yaml", natural)
    dataset = scenario.dataset()
    clients = scenario.clients(dataset)
    assert [client.name for client in clients] == ["a", "b", "c"]
    for number, client in enumerate(clients):
        assert dataset.labels[client.train].unique().tolist() == [number]
        assert dataset.splits[client.test].unique().tolist() == [2]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"clients": "labels - 2"}, ["there is -2 among the clients", "-1 to 2"]),
        ({"clients": "labels + 1"}, ["there is 3 among the clients"]),
        ({"clients": "labels[1:]"}, ["240 images but clients of shape"]),
        ({"clients": "None"}, ["clients are NoneType"]),
        ({"names": "aab"}, ["names of a client must be different texts"]),
        ({"splits": "labels + 1"}, ["there is 3 among the splits", "255 (not given)"]),
        ({"splits": "labels - 1"}, ["there is -1 among the splits"]),
        ({"splits": "labels * 1.0"}, ["splits are float64"]),
        ({"splits": "labels, labels + 1, labels[1:]"}, ["images but heights of shape"]),
        ({"splits": "labels, labels"}, ["there is 0 among the widths"]),
    ],
)
def test_clients_and_splits_of_a_stranger_are_checked(here, said, words):
    with_clients(here, **said)
    message = refused(act=lambda scenario: scenario.dataset())
    for word in words:
        assert word in message


# Other processes


@pytest.mark.thorough
def test_code_from_a_file_travels_by_value(ground, here):
    """As to a Ray worker, on another machine maybe: the files are not there."""
    travelling = pickle.dumps((ground.backbone, ground.protocol))
    for path in here.glob("*.py"):
        path.unlink()
    code = (
        "import pickle, sys\n"
        "backbone, protocol = pickle.loads(sys.stdin.buffer.read())\n"
        "print(backbone.build(3, 1, seed=0).head.weight.sum().item(), protocol.sampler.kind)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=travelling, capture_output=True, check=True, cwd="/"
    )
    total, kind = done.stdout.decode().split()
    assert float(total) == ground.backbone.build(3, 1, seed=0).head.weight.sum().item()
    assert kind == ground.protocol.sampler.kind


@pytest.mark.slow
def test_a_comparison_on_strangers_files_goes_on_with_the_same_code_only(here):
    asked = ["--trials", "1", "--seeds", "1", "--workers", "1", "--precision", "float32"]
    compare = [str(Path(sys.executable).parent / "pfltune"), "compare", "--name", "theirs"]
    begin = [*compare, "--scenario", "scenarios/ground.yaml", "--methods", "fedavg,local", *asked]

    def run(*command):
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    done = run(*begin)
    assert done.returncode == 0, done.stderr
    folder = here / "results" / "theirs"
    record = read_record(folder)
    names = {"data set stripes", "partition growing", "backbone mlp", "sampler inturn"}
    assert record.program.plugins.keys() == record.program.files.keys() == names
    written = json.loads((folder / "comparison.json").read_text())
    assert written["scenario"]["data"]["samples"] == 240
    edited(here / "growing.py", '"""', 'open("ran", "w")\n"""')
    resume = [*compare[:2], "--resume", "theirs"]
    assert "growing.py is not the file" in run(*resume).stderr
    assert not (here / "ran").exists()
    refused_again = run(*begin)
    assert refused_again.returncode == 2
    assert "the code of partition growing has changed" in refused_again.stderr
    (here / "growing.py").unlink()
    told = run(compare[0], "report", "theirs")
    assert told.returncode == 0, "a report needs no code of the scenario"
