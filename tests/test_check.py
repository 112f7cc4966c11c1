"""``pfltune check`` on methods of which each has one fault, and on those that have none."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pfltune.cli import main
from pfltune.cli.app import root
from pfltune.registry import available_methods, load_method
from pfltune.testing import Broken, check_method, contract_of
from pfltune.testing.examination import INTERFACE, examine, obstacles, outcome_of
from pfltune.testing.lookalikes import lookalikes
from pfltune.testing.subject import changes

FAULTY = Path(__file__).parent / "faulty"
BROKEN = [
    ("remembers_in_the_module", "repeats_itself", "", "keep nothing on self"),
    ("remembers_on_itself", "resumes", "train", "nothing on self"),
    ("uploads_the_head", "uploads_nothing_personal", "train", "head.weight under the name extra"),
    ("sends_what_it_does_not_train", "trains_what_it_sends", "phases", "freeze them in graft()"),
    ("writes_into_the_model", "leaves_the_model_alone", "train", "wrote into norm.bias"),
    ("writes_into_the_download", "leaves_its_arguments_alone", "train", "train() wrote into"),
    ("evaluates_for_good", "evaluates_without_trace", "assemble", "work on copies"),
    ("draws_globally", "leaves_the_process_alone", "train", "torch's global generator"),
    ("sets_numpy_up", "leaves_the_process_alone", "download", "numpy's handling of errors"),
    ("has_a_knob_too_many", "has_an_effect", "", "nothing reads the knob"),
    ("says_when_wrongly", "has_no_effect_elsewhere", "", "correct the when="),
    ("misspells_a_hook", INTERFACE, "", "did you mean 'aggregate'?"),
    ("is_of_no_family", INTERFACE, "", "choose from: full models, partial"),
    ("swaps_arguments", INTERFACE, "", "is called as train(self, work, down, personal)"),
    ("takes_too_few_arguments", INTERFACE, "", "is called as download(self, server, client)"),
    ("names_a_tuple", INTERFACE, "", "its phases is a tuple"),
    ("needs_what_is_no_property", INTERFACE, "", "its needs_float32 is a function; write needs"),
    ("trains_nothing", "trains", "", "trains its personal part, which has no parameters"),
    ("waits_for_a_value", "keeps_to_the_device", "aggregate", "_local_scalar_dense"),
    ("leaves_draws_on_the_cpu", "keeps_to_the_device", "train", "hand what is drawn"),
    ("brings_draws_over_itself", "keeps_to_the_device", "aggregate", "brought there by to()"),
    ("sends_ever_more", "keeps_to_the_device", "train", "Transfers(sent="),
    ("divides_by_zero", "trains", "objective", "ZeroDivisionError"),
    ("mixes_clients_up", "trains_at_once_as_one_by_one", "objective", "pure function"),
]
SLOWED = [
    ("asks_for_a_value", "a Python if"),
    ("reads_a_number", "read as a number"),
    ("picks_by_a_mask", "picked by their values"),
    ("picks_features_by_a_mask", "picked by their values"),
    ("selects_by_a_mask", "picked by their values"),
    ("repeats_by_labels", "picked by their values"),
    ("lists_its_labels", "read as a number"),
    ("adds_up_in_place", "written to in place"),
    ("draws_in_the_objective", "random numbers are drawn inside the objective"),
    ("hands_over_a_lambda", "an objective of its own"),
    ("differs_by_client", "different phases"),
    ("loops_by_itself", "a loop of its own"),
    ("drops_out", "norm_pre (Dropout) draws"),
]


def reference(name):
    return f"{FAULTY / name}.py:Faulty"


def marked(line):
    """Whether the fault's file has its mark in this line."""
    path, number = line
    return "# here" in Path(path).read_text().splitlines()[number - 1]


def run(*words):
    return CliRunner().invoke(root, ["check", *words], catch_exceptions=False)


@pytest.mark.parametrize(("name", "check", "hook", "words"), BROKEN, ids=lambda v: v[:30])
def test_a_fault_is_named_with_its_hook_and_what_to_do(name, check, hook, words):
    cls = load_method(reference(name))
    if check == INTERFACE:
        outcome = next(examine(cls, "faulty"))
    else:
        cases = contract_of(cls, "faulty")
        outcome = outcome_of(cls, [each for each in cases if each.function.__name__ == check])
    assert outcome.state == "broken"
    complaint = outcome.complaints[0]
    assert complaint.hook == hook
    assert words in f"{complaint.found} {complaint.advice}"
    assert not complaint.line or marked(complaint.line)
    assert bool(complaint.line) == bool(hook and "# here" in (FAULTY / f"{name}.py").read_text())


@pytest.mark.parametrize(("name", "words"), SLOWED, ids=lambda v: v[:30])
def test_what_keeps_clients_from_training_at_once_is_said_with_its_line(name, words):
    cls = load_method(reference(name))
    (found,) = obstacles(cls, "faulty")
    assert words in found.words
    assert found.line is None if name == "drops_out" else marked(found.line)


def test_of_a_method_that_is_mapped_nothing_is_said():
    assert not obstacles(load_method("fedper"), "fedper")


def test_each_line_fits_and_a_failure_is_exit_code_1(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    done = run(reference("sends_what_it_does_not_train"))
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert "look at phases() (sends_what_it_does_not_train.py line 13)" in done.output
    assert lines[0] == "faulty"
    assert lines[-1] == "1 of 21 checks failed"
    assert not done.stderr


@pytest.mark.thorough
def test_a_method_that_keeps_all_is_exit_code_0():
    done = run("fedper", "local")
    assert done.exit_code == 0, done.output
    assert "FAILED" not in done.output
    assert done.output.count("checks, none failed") == 2


def test_what_the_engine_would_refuse_is_told_whole_and_nothing_more_is_checked(tmp_path):
    source = (FAULTY / "misspells_a_hook.py").read_text()
    both = tmp_path / "both.py"
    both.write_text(source + "\n    def train(self, work):\n        return None\n")
    done = run(f"{both}:Faulty", "--json")
    assert done.exit_code == 1
    (found,) = json.loads(done.stdout)
    (check,) = found["checks"]
    assert len(check["complaints"]) == 2


def test_what_cannot_be_loaded_is_a_mistake_before_anything_is_checked(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["pfltune", "check", "fedper", "no_such_method"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert "unknown method 'no_such_method'" in printed.err


def test_json_has_every_check_and_the_place_of_what_slows_it_down():
    done = run(reference("hands_over_a_lambda"), "--json")
    (found,) = json.loads(done.stdout)
    assert found["method"] == "faulty"
    assert found["kept"]
    assert len(found["checks"]) == 21
    assert marked(found["cohorts"][0]["line"])


def test_helpers_that_look_like_hooks_are_pointed_out(tmp_path):
    source = (FAULTY / "misspells_a_hook.py").read_text()
    path = tmp_path / "helper.py"
    path.write_text(
        source.replace("agregate", "_agregate") + "\n\ndef train(self, work):\n    pass\n"
    )
    found = [each.words for each in lookalikes(load_method(f"{path}:Faulty"))]
    assert len(found) == 2
    assert "looks like the hook aggregate()" in found[0]
    assert "train(self, …) stands outside the class" in found[1]


def test_a_helper_that_is_called_is_none():
    assert not [each for cls in available_methods().values() for each in lookalikes(cls)]


@pytest.mark.thorough
def test_the_whole_contract_in_one_call():
    check_method("fedper")
    with pytest.raises(Broken, match=r"look at phases"):
        check_method(reference("sends_what_it_does_not_train"))


def test_a_class_can_be_handed_in_as_it_is():
    cases = contract_of(load_method("fedprox"))
    assert {case.subject for case in cases if case.promise.startswith("Changing")} == {
        *changes(load_method("fedprox"), "fedprox")
    }
