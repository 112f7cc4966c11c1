"""The command line: a user's mistake is one line and exit code 2, before any work starts."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import pfltune.cli
from pfltune.cli.app import COMMANDS
from pfltune.method import Family
from pfltune.registry import available_methods, by_family, title_of

PFLTUNE = str(Path(sys.executable).parent / "pfltune")

MISTAKES = {
    "unknown command": (["compere"], ["compere", "compare"]),
    "unknown option": (["compare", "--trails", "3"], ["--trails"]),
    "unknown method": (["run", "fedprefix"], ["fedprefix", "did you mean", "fedavg"]),
    "unknown scenario": (["run", "fedavg", "--scenario", "digit"], ["digit", "digits"]),
    "unknown knob": (["run", "fedavg", "--set", "rate=1"], ["rate", "lr"]),
    "value out of range": (["run", "fedavg", "--set", "lr=7"], ["lr", "7", "0.0001 to 1"]),
    "value of the wrong type": (["run", "fedavg", "--set", "lr=fast"], ["lr", "fast"]),
    "knob without effect": (
        ["run", "fedperfix", "--set", "prefix_length=4"],
        ["prefix_length", "prefix=tokens"],
    ),
    "unknown part of the model": (
        ["run", "fedsim", "--set", "personal=head,atn"],
        ["'atn'", "did you mean 'attn'", "patch_embed"],
    ),
    "nothing left to share": (["run", "fedalt", "--set", "personal=all"], ["shared part"]),
    "more prefixed blocks than blocks": (
        ["run", "fedperfix", "--set", "depth=9"],
        ["depth=9", "0 to 4"],
    ),
    "prompts without a class token": (
        ["run", "fedvpt", "-o", "backbone.model=vit_base_patch16_rope_224"],
        ["class token"],
    ),
    "malformed setting": (["run", "fedavg", "--set", "lr"], ["lr=0.02"]),
    "unknown key of the scenario": (
        ["run", "fedavg", "-o", "protocol.round=3"],
        ["protocol.round"],
    ),
    "more sampled clients than clients": (
        ["run", "fedavg", "-o", "protocol.sampled_clients=11"],
        ["11", "1 to 10"],
    ),
    "zero trials": (["compare", "--trials", "0"], ["trials", "0"]),
    "zero seeds": (["compare", "--seeds", "0"], ["seeds"]),
    "no methods": (["compare", "--methods", ","], ["--methods"]),
    "a method twice": (["compare", "--methods", "local,local"], ["local"]),
    "a name outside the results": (["compare", "--name", "../x"], ["../x"]),
    "no GPU": (["run", "fedavg", "--device", "cuda"], ["GPU", "cpu"]),
    "no GPU share": (["compare", "--gpus-per-trial", "0.5"], ["0.5", "possible"]),
    "unknown device": (["run", "fedavg", "--device", "tpu"], ["tpu", "cuda"]),
    "no store to show": (["ui", "--results", "/nonexistent"], ["/nonexistent"]),
}


def call(monkeypatch, capsys, arguments):
    """Run the command line in this process; returns (exit code, stdout, stderr)."""
    monkeypatch.setattr(sys, "argv", ["pfltune", *arguments])
    with pytest.raises(SystemExit) as stop:
        pfltune.cli.main()
    printed = capsys.readouterr()
    return stop.value.code or 0, printed.out, printed.err


def test_payload_shows_what_is_sent_beside_what_the_paper_says(monkeypatch, capsys):
    """ViT-Ti/16 with 10 classes has 5,526,346 numbers, 1,930 of them in the head.

    Without these and their two entries in the header 99.96 % of FedAvg's bytes are left.
    """
    arguments = ["payload", "--model", "vit_tiny_patch16_224", "--classes", "10"]
    code, out, _ = call(monkeypatch, capsys, [*arguments, "--methods", "fedavg,fedperfix,local"])
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()[2:] if line.strip()}
    assert code == 0
    assert rows["FedAvg"][0] == "5,526,346"
    assert rows["FedPerfix"][0] == "5,524,416"
    assert rows["FedPerfix"][2:4] == ["99.96", "%"]
    assert rows["FedPerfix"][-2:] == ["98", "%"]
    assert rows["Local"][0] == "0"


def grouped(out):
    """The lines below each family's heading."""
    found = {}
    for line in out.partition("\nwrap, as in")[0].splitlines():
        if line.split("  ")[0].strip().lower() in get_args(Family):
            below = found[line.strip().lower()] = []
        elif found and line.strip():
            below.append(line)
    return found


@pytest.mark.thorough
def test_payload_and_methods_list_all_by_family_on_80_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    known = available_methods()
    small = ["payload", "--model", "vit_tiny_patch16_224", "--image-size", "32"]
    for arguments, written in ((["methods"], str), (small, lambda n: title_of(known[n]))):
        code, out, _ = call(monkeypatch, capsys, arguments)
        assert code == 0
        assert max(map(len, out.splitlines())) <= 80
        found = grouped(out)
        for family, names in by_family(known):
            rows = [line for line in found[family] if not line.startswith(" ")]
            assert [row.split("  ")[0] for row in rows] == [written(name) for name in names]


def test_methods_says_the_family_of_one(monkeypatch, capsys):
    for name, family in (("fedavg", "full models"), ("fedzo", "forward only")):
        _, out, _ = call(monkeypatch, capsys, ["methods", name])
        assert f"family: {family}" in out.splitlines()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_that_names_the_value_and_the_choices(
    mistake, monkeypatch, capsys, tmp_path
):
    arguments, words = MISTAKES[mistake]
    if any("GPU" in word for word in words):
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    code, _, err = call(monkeypatch, capsys, arguments)
    assert code == 2, err
    assert err.startswith("pfltune: ")
    assert err.count("\n") == 1, "one line, no traceback"
    for word in words:
        assert word in err
    assert list(tmp_path.iterdir()) == [], "nothing is written for a mistake"


def test_a_results_folder_that_cannot_be_written_is_refused(monkeypatch, capsys, tmp_path):
    taken = tmp_path / "results"
    taken.write_text("a file")
    code, _, err = call(monkeypatch, capsys, ["compare", "--results", str(taken)])
    assert code == 2
    assert str(taken) in err
    assert "--results" in err
    assert err.count("\n") == 1


def test_a_method_that_does_not_fit_the_backbone_is_refused_before_any_trial(
    monkeypatch, capsys, tmp_path
):
    """Prompts would be averaged into the features of a backbone that pools its patches."""
    scenario = tmp_path / "gap.yaml"
    code, shown, _ = call(monkeypatch, capsys, ["scenarios", "digits"])
    assert code == 0
    text = shown.replace("vit_tiny_patch16_224", "vit_base_patch16_gap_224")
    scenario.write_text(text.replace("weights: warm-start", "weights: random"))
    code, _, err = call(monkeypatch, capsys, ["run", "pfedpg", "--scenario", str(scenario)])
    assert code == 2
    assert "class token" in err


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_help_shows_real_examples(command, monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, [*filter(None, [command]), "--help"])
    assert code == 0
    assert f"pfltune {command}".strip() in out.partition("Examples:")[2]


def test_the_ui_of_a_server_is_the_servers(monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://user:secret@mlflow.example")
    code, _, err = call(monkeypatch, capsys, ["ui"])
    assert code == 2
    assert "MLFLOW_TRACKING_URI" in err
    assert "secret" not in err


def test_the_defaults_of_the_command_line_are_those_of_the_budget():
    from pfltune.budget import Budget
    from pfltune.cli.compare import command

    names = (
        *("trials", "generation", "eta", "halving", "sampler", "studies", "control"),
        *("seeds", "seed", "finalists", "finalist_seeds"),
    )
    shown = {option.name: option.default for option in command.params if option.name in names}
    assert Budget.model_validate(shown) == Budget.model_validate({})


def test_methods_lists_every_method_with_its_paper(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = call(monkeypatch, capsys, ["methods"])
    assert code == 0
    for name in ("fedavg", "fedper", "fedperfix", "fedrep", "local", "pfedpg"):
        assert re.search(rf"^{name} ", out, re.MULTILINE)
    assert "2308.09160" in out


def test_methods_shows_the_knobs_of_one(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = call(monkeypatch, capsys, ["methods", "fedperfix"])
    assert code == 0
    assert re.search(r"prefix_length +8 +1 to 256 +prefix=tokens", out)


def test_a_shown_scenario_is_a_scenario_file(monkeypatch, capsys, tmp_path):
    code, out, _ = call(monkeypatch, capsys, ["scenarios", "digits", "-o", "protocol.rounds=7"])
    assert code == 0
    saved = tmp_path / "mine.yaml"
    saved.write_text(out)
    code, again, _ = call(monkeypatch, capsys, ["scenarios", str(saved)])
    assert code == 0
    assert again == out
    assert "rounds: 7" in out


@pytest.mark.slow
def test_run_as_a_process_prints_what_the_python_call_finds(tmp_path):
    import torch

    from pfltune import FederatedTrial, load_scenario, make_method

    overrides = ["protocol.rounds=2", "warm_start.epochs=1"]
    values = {"lr": "0.02", "prefix": "tokens", "prefix_length": "8"}
    torch.set_num_threads(1)
    federation = load_scenario("digits", overrides).build()
    trial = FederatedTrial(make_method("fedperfix", values), federation, seed=4)
    reports = list(trial.run())
    arguments = ["run", "fedperfix", "--scenario", "digits", "--seed", "4"]
    arguments += [word for text in overrides for word in ("-o", text)]
    arguments += [word for pair in values.items() for word in ("--set", "=".join(pair))]
    done = subprocess.run(
        [PFLTUNE, *arguments], capture_output=True, text=True, timeout=900, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    last = reports[-1].metrics
    assert f"test {100 * last['test/accuracy']:6.2f} %" in done.stdout
    assert f"loss {last['train/loss']:7.4f}" in done.stdout
    assert f"at round {trial.selection.round}, chosen on validation" in done.stdout
