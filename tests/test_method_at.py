"""``fedperfix@NAME``: what another search chose, held, looked up once and said in the table."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from comparisons import Fake, record
from inline import command
from trained import SMALL, compare_small

import pfltune
from pfltune.budget import Budget
from pfltune.errors import UserError
from pfltune.method_list import method_list
from pfltune.program import Program
from pfltune.record import Record, read_record
from pfltune.registry import canonical, make_method, reference_title, short_name
from pfltune.report.results import read_results
from pfltune.report.tuning.words import budget_note
from pfltune.report.words import elsewhere_note
from pfltune.studies import begin
from pfltune.studies.tuned import chosen, values_of
from pfltune.variants import Reference, parsed

LR = 0.08712345678901234
BEST = {"lr": LR, "prefix": "tokens", "prefix_length": 4, "scale": 1.25}
PROGRAM = Program(source={"fedavg": "1"}, files={}, versions={"torch": "2"}, processor="abacus")


def fake(**changed):
    return Fake("FedPerfix", np.full((2, 3), 0.6), knobs=BEST, **changed)


@pytest.fixture
def results(tmp_path):
    """A results folder with a search ``mine`` of FedPerfix, on digits with 4 rounds."""
    tuned(tmp_path, "mine", {"fedperfix": fake()})
    return tmp_path


def tuned(results, name, methods, **changed):
    parts = {"mirrored": False, "command": "tune" if len(methods) == 1 else "compare"}
    return record(SimpleNamespace(results=results), name, methods, **{**parts, **changed})


def refused(call, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def begun(results, *methods, **given):
    """The job that a comparison of methods would run."""
    options = {
        "methods": list(methods),
        "results": results,
        "device": "cpu",
        "precision": "float32",
        "overrides": SMALL,
        "name": "later",
        **given,
    }
    return begin.comparison("compare", options)


def written(job):
    """The record that a sitting would write."""
    parts = {**job.recorded(), "program": PROGRAM, "data": {"images": "1"}}
    made = Record.model_validate(parts)
    made.write(job.folder)
    return made


# ------------------------------------------------------------------ the text


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("fedperfix@mine", Reference("fedperfix", {}, "mine")),
        ("fedperfix@a.b-c_1[prefix=zero]", Reference("fedperfix", {"prefix": "zero"}, "a.b-c_1")),
        ("fedperfix[prefix=zero]@mine", Reference("fedperfix", {}, "mine", {"prefix": "zero"})),
        ("/home/me@work/m.py:Mine@run", Reference("/home/me@work/m.py:Mine", {}, "run")),
        ("/home/me@work/m.py:Mine", Reference("/home/me@work/m.py:Mine")),
        ("fedavg[part=a@b]", Reference("fedavg", {"part": "a@b"})),
    ],
)
def test_a_reference_says_where_its_values_were_chosen(text, parts):
    assert parsed(text) == parts
    assert str(parts) == text


def test_its_name_and_title_are_readable_and_have_no_value_in_them():
    text = "fedperfix@mine[ prefix_length = 8.0 ]"
    assert canonical(text) == "fedperfix@mine[prefix_length=8]"
    assert short_name(canonical(text)) == "fedperfix@mine[prefix_length=8]"
    assert reference_title("fedperfix@mine") == "FedPerfix (tuned in mine)"
    assert reference_title(canonical(text)) == "FedPerfix (tuned in mine, prefix_length=8)"


def test_a_wrapped_method_takes_what_was_chosen_for_it_or_for_the_bare_one(results):
    assert chosen("fedperfix+topk@mine", results).origin.method == "fedperfix"
    for text, share in (
        ("fedperfix+topk@mine", 0.1),
        ("fedperfix+topk@mine[topk_share=0.05]", 0.05),
        ("fedperfix+float16+topk@mine", 0.1),
    ):
        assert {**BEST, "topk_share": share}.items() <= chosen(text, results).values.items()
    wrapped = Fake("FedPerfix + top-k", np.full((2, 3), 0.6), knobs={**BEST, "topk_share": 0.2})
    tuned(results, "both", {"fedperfix": fake(), "fedperfix+topk": wrapped})
    found = chosen("fedperfix+topk@both", results)
    assert (found.values["topk_share"], found.origin.method) == (0.2, "fedperfix+topk")
    assert chosen("fedperfix@both", results).origin.method == "fedperfix"
    assert "unknown method of mine 'fedavg'" in refused(chosen, "fedavg+topk@mine", results)


def test_a_file_of_methods_may_name_it(tmp_path):
    path = tmp_path / "methods.yaml"
    path.write_text("- {method: fedperfix@mine, set: {prefix: zero}, title: No prefix}\n- fedavg\n")
    found = method_list([str(path)])
    assert found.references == ("fedperfix@mine[prefix=zero]", "fedavg")
    assert found.titles == {"fedperfix@mine[prefix=zero]": "No prefix"}


# ------------------------------------------------------------------ the values


def test_it_holds_every_value_that_was_chosen_to_the_last_digit(results):
    found = chosen("fedperfix@mine", results)
    assert BEST.items() <= found.values.items()
    assert "bottleneck" not in found.values, "it has no effect beside tokens"
    assert found.values["depth"] == 0, "what was not searched is as it was there, too"
    assert (found.origin.name, found.origin.method, found.origin.trials) == ("mine", "fedperfix", 2)
    assert found.origin.id == read_record(results / "mine").id
    assert make_method("fedperfix@mine", found.values).lr == LR


def test_brackets_and_given_knobs_go_before_what_was_chosen(results):
    assert chosen("fedperfix@mine[prefix_length=8]", results).values["prefix_length"] == 8
    other = chosen("fedperfix@mine[prefix=adapter]", results).values
    assert other["prefix"] == "adapter"
    assert "prefix_length" not in other
    assert other["bottleneck"] == 256
    assert values_of("fedperfix@mine", results, {"lr": "0.5"})["lr"] == 0.5
    assert values_of("fedavg", results, {"lr": "0.5"}) == {"lr": "0.5"}
    told = refused(chosen, "fedperfix@mine[bottleneck=8]", results)
    assert "bottleneck=8 has no effect" in told


def test_the_only_variant_is_meant_and_of_several_one_must_be_named(results):
    tokens, zero = "fedperfix[prefix=tokens]", "fedperfix[prefix=zero]"
    tuned(results, "one", {tokens: fake()})
    assert chosen("fedperfix@one", results).origin.method == tokens
    tuned(results, "two", {tokens: fake(), zero: fake(), "fedavg": fake()})
    assert chosen(f"{tokens}@two", results).origin.method == tokens
    told = refused(chosen, "fedperfix@two", results)
    assert told == f"two has no fedperfix; write {tokens}@two or {zero}@two"


def test_a_search_that_tests_by_now_has_chosen(results):
    tuned(results, "testing", {"fedperfix": fake()}, over=False)
    assert chosen("fedperfix@testing", results).values["lr"] == LR


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("fedperfix@mime", "unknown comparison 'mime' (did you mean 'mine'?); choose from: "),
        ("fedperfix@..", "the name '..' is not possible"),
        ("fedavg@mine", "unknown method of mine 'fedavg'"),
        ("fedperfix@mine[speed=1]", "unknown knob of fedperfix 'speed'"),
        ("fedperfix@searching", "has not ended; go on with it: pfltune tune --resume searching"),
        ("fedperfix@failing", "failing has chosen nothing for fedperfix: every trial failed"),
        ("fedperfix@second", "another search: write fedperfix@mine"),
        ("fedperfixx@mine", "unknown method 'fedperfixx'"),
        ("fedperfix@", "unknown method 'fedperfix@'"),
    ],
)
def test_what_cannot_be_is_one_line(results, reference, told):
    none = Fake("FedPerfix", np.zeros((0, 3)), knobs=BEST)
    tuned(results, "searching", {"fedperfix": none}, over=False)
    tuned(results, "failing", {"fedperfix": none})
    again = {"fedperfix@mine": chosen("fedperfix@mine", results).origin}
    tuned(results, "second", {"fedperfix@mine": fake()}, tuned=again)
    assert told in refused(chosen, reference, results)


def test_without_any_comparison_that_is_said(tmp_path):
    assert "none at all" in refused(chosen, "fedperfix@mine", tmp_path)


# ------------------------------------------------------------------ in a comparison


def test_it_is_not_searched_and_its_record_says_whose_values_it_has(results):
    job = begun(results, "fedperfix@mine", "fedavg")
    assert job.plan.trials("fedperfix@mine") == 1
    assert job.plan.trials("fedavg") == 8
    made = written(job)
    assert made.methods == ("fedperfix@mine", "fedavg")
    assert BEST.items() <= made.fixed["fedperfix@mine"].items()
    assert made.titles["fedperfix@mine"] == "FedPerfix (tuned in mine)"
    assert made.spaces["fedperfix@mine"]["search"] == {}
    assert made.tuned.keys() == {"fedperfix@mine"}
    (warning,) = job.notes
    assert warning.startswith("fedperfix@mine: mine chose it on another scenario: ")
    assert "backbone.depth was 4, is 1" in warning


def test_settings_of_the_scenario_that_were_searched_are_held_against_this_one(results):
    best = {**BEST, "protocol.local_epochs": 5}
    tuned(results, "other", {"fedperfix": Fake("F", np.full((1, 3), 0.6), knobs=best)})
    same = ["protocol.rounds=4", "protocol.sampled_clients=4"]
    job = begun(results, "fedperfix@other", overrides=same)
    assert "protocol.local_epochs" not in job.plan.fixed["fedperfix@other"]
    (note,) = job.notes
    assert note.endswith("another scenario: protocol.local_epochs was 5, is 1")
    as_chosen = [*same, "protocol.local_epochs=5"]
    assert not begun(results, "fedperfix@other", overrides=as_chosen).notes


def test_on_the_same_scenario_nothing_is_warned_of(results):
    overrides = ["protocol.rounds=4", "protocol.sampled_clients=4"]
    assert not begun(results, "fedperfix@mine", overrides=overrides).notes


def test_its_first_trial_is_what_was_chosen(results):
    job = begun(results, "fedperfix@mine")
    candidate = job.dealer().deal()
    assert candidate.name == "fedperfix@mine-search-0"
    assert BEST.items() <= candidate.knobs.items()
    assert "@" not in candidate.folder


def test_what_goes_on_does_not_look_it_up_again(results):
    before = written(begun(results, "fedperfix@mine", "fedavg"))
    shutil.rmtree(results / "mine")
    resumed = begin.comparison("compare", {"resume": "later", "results": results})
    same = begun(results, "fedperfix@mine", "fedavg", resume="later")
    extended = begin.extension({"name": "later", "results": results, "methods": ["local"]})
    for job in (resumed, same, extended):
        now = Record.model_validate({**job.recorded(), "program": PROGRAM, "data": before.data})
        assert now.fixed["fedperfix@mine"] == before.fixed["fedperfix@mine"]
        assert now.tuned == before.tuned
    grown = before.extended(now, accept_new_code=True)
    assert grown.methods == ("fedperfix@mine", "fedavg", "local")
    assert grown.tuned == before.tuned


def test_it_is_added_by_extending(results):
    before = written(begun(results, "fedavg"))
    job = begin.extension({"name": "later", "results": results, "methods": ["fedperfix@mine"]})
    now = Record.model_validate({**job.recorded(), "program": PROGRAM, "data": before.data})
    assert before.extended(now, accept_new_code=True).tuned.keys() == {"fedperfix@mine"}


def test_a_search_of_one_method_may_hold_other_values(results):
    given = {"methods": ["fedperfix@mine"], "fixed": {"": {"prefix": "zero"}}, "name": "zero"}
    common = {"results": results, "device": "cpu", "precision": "float32", "overrides": SMALL}
    job = begin.comparison("tune", {**given, **common})
    assert job.plan.fixed["fedperfix@mine"]["prefix"] == "zero"
    assert job.plan.fixed["fedperfix@mine"]["lr"] == LR


# ------------------------------------------------------------------ in the report


def test_a_table_says_what_was_tuned_elsewhere_and_by_how_many_trials(results):
    origin = chosen("fedperfix@mine", results).origin
    methods = {"fedperfix@mine": fake(), "fedavg": Fake("FedAvg", np.full((2, 3), 0.5))}
    titles = {"fedperfix@mine": "FedPerfix (tuned in mine)", "fedavg": "FedAvg"}
    tuned(results, "table", methods, titles=titles, tuned={"fedperfix@mine": origin})
    found = read_results(results, "table")
    assert elsewhere_note(found) == (
        "Values were chosen elsewhere, and not by the search of this table like the others: "
        "FedPerfix (tuned in mine) by 2 search trials of mine."
    )
    assert "FedPerfix (tuned in mine): not searched here; 2 trials chose its values in mine." in (
        budget_note(found)
    )
    assert elsewhere_note(read_results(results, "mine")) == ""


# ------------------------------------------------------------------ as commands


@pytest.mark.slow
def test_a_certificate_of_it_is_checked_without_the_search(results):
    held = {"fedperfix@mine": chosen("fedperfix@mine", results).values}
    budget = Budget(trials=2, generation=2, seeds=1)
    compare_small(results, "table", ["fedperfix@mine", "fedavg"], budget, fixed=held)
    shutil.rmtree(results / "mine")
    path = pfltune.certify("table", results=results)
    verdict = pfltune.verify(path, trials=["fedperfix@mine-confirm-0"])
    assert verdict.holds
    assert [check.answer for check in verdict.checks] == ["matches"]


@pytest.mark.slow
def test_a_comparison_tests_what_another_search_chose(cold_store, results):
    """As a command; the row says where its values come from."""
    cold_store(results)
    changes = [word for each in SMALL for word in ("-o", each)]
    budget = ["--trials", "1", "--generation", "1", "--seeds", "1"]
    where = ["--results", str(results), "--workers", "2", "--device", "cpu"]
    words = ["compare", "--methods", "fedperfix@mine,fedavg", "--name", "table"]
    done = command(results, *words, *budget, *changes, *where, "--precision", "float32")
    assert done.returncode == 0, done.stderr
    assert "FedPerfix (tuned in mine)" in done.stdout
    assert "Values were chosen elsewhere" in done.stdout
    found = read_results(results, "table").find("fedperfix@mine")
    assert (found.search_trials, len(found.runs)) == (1, 1)
    assert BEST.items() <= found.best.items()
