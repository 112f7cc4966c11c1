"""A method with knobs held: one text for it, its own name, title, space and folder."""

import pytest

from pfltune.budget import Budget
from pfltune.errors import UserError
from pfltune.method_list import method_list
from pfltune.registry import canonical, find_method, make_method, reference_title, short_name
from pfltune.scenario import load_scenario
from pfltune.search.candidate import Candidate
from pfltune.search.space import load_space
from pfltune.studies.comparison import plan_methods
from pfltune.variants import parsed, split

TOKENS = "fedperfix[prefix=tokens,prefix_length=8]"
METHOD = """
from dataclasses import dataclass

from pfltune import Method, knob


@dataclass(frozen=True, kw_only=True)
class Mine(Method):
    part: str = knob("head", doc="which part", examples=("head", "norm,head"))
    depth: int = knob(2, low=1, high=4, doc="how deep")
"""


@pytest.fixture
def mine(tmp_path):
    folder = tmp_path / "with [brackets], and a comma"
    folder.mkdir()
    (folder / "mine.py").write_text(METHOD)
    return f"{folder / 'mine.py'}:Mine"


def refused(call, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def plan(*methods):
    protocol = load_scenario("digits").protocol
    return plan_methods(list(methods), Budget(trials=4), protocol, {})


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("fedavg, local", ["fedavg", "local"]),
        (f"fedavg,{TOKENS},local", ["fedavg", TOKENS, "local"]),
        (TOKENS, [TOKENS]),
        (" , ", []),
    ],
)
def test_commas_in_brackets_separate_no_methods(text, pieces):
    assert split(text) == pieces


@pytest.mark.parametrize("text", ["fedavg[lr=1", "fedavg]lr=1[", "a[b]]"])
def test_brackets_that_do_not_fit_are_refused(text):
    assert "has no" in refused(split, text)


@pytest.mark.parametrize(
    "text",
    [
        "fedperfix[prefix_length=8,prefix=tokens]",
        "fedperfix[ prefix = tokens , prefix_length = 8.0 ]",
        TOKENS,
    ],
)
def test_a_variant_has_one_text_however_it_is_written(text):
    assert canonical(text) == TOKENS
    assert short_name(canonical(text)) == TOKENS
    assert find_method(text) is find_method("fedperfix")
    made = make_method(text, {"lr": 0.02})
    assert (made.prefix, made.prefix_length, made.lr) == ("tokens", 8, 0.02)


def test_numbers_and_truth_values_are_written_as_in_a_record():
    assert canonical("fedavg[lr=1e-1]") == "fedavg[lr=0.1]"
    assert canonical("fedavg") == "fedavg"


def test_a_title_says_what_is_held():
    assert reference_title("fedperfix[prefix=zero]") == "FedPerfix (prefix=zero)"
    assert reference_title(TOKENS) == "FedPerfix (prefix=tokens, prefix_length=8)"
    assert reference_title("fedperfix") == "FedPerfix"


def test_a_value_may_have_commas_and_a_path_brackets(mine):
    text = f"{mine}[part=norm,head,depth=3]"
    assert parsed(text).held == {"part": "norm,head", "depth": "3"}
    assert short_name(canonical(text)) == "mine[depth=3,part=norm,head]"
    assert canonical(canonical(text)) == canonical(text)
    assert make_method(text, {}).part == "norm,head"
    assert parsed(mine).held == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("fedavg[]", "must look like name"),
        ("fedavg[lr]", "must look like name"),
        ("fedavg[lr=]", "must look like name"),
        ("fedavg[lr=0.1,lr=0.2]", "names lr twice"),
        ("fedavg[speed=1]", "unknown knob of fedavg 'speed'"),
        ("fedavg[lr=-1]", "lr='-1' is not valid"),
        ("fedperfix[prefix_length=8]", "has no effect"),
        ("fedavg[lr=0.1\x1b]", "one line of text that can be shown"),
        ("fedavgg[lr=0.1]", "unknown method 'fedavgg'"),
    ],
)
def test_what_cannot_be_held_is_one_line(text, told):
    assert told in refused(canonical, text)


def test_a_knob_is_not_held_and_given_at_once():
    told = refused(make_method, "fedavg[lr=0.1]", {"lr": 0.2})
    assert "fedavg[lr=0.1] holds lr=0.1, so lr=0.2 cannot be given" in told
    assert make_method("fedavg[lr=0.1]", {"lr": "0.10"}).lr == 0.1


def test_what_is_held_is_not_searched():
    held = load_space("fedperfix[prefix=tokens]")
    assert held.fixed == {"prefix": "tokens"}
    assert "prefix" not in {d.name for d in held.dimensions}
    assert "prefix_length" in {d.name for d in held.dimensions}


def test_each_variant_is_a_method_of_its_own_and_equal_ones_are_refused():
    made, spaces = plan("fedperfix", "fedperfix[prefix=zero]", TOKENS, "fedavg[lr=0.1]")
    assert made.methods == ("fedperfix", "fedperfix[prefix=zero]", TOKENS, "fedavg[lr=0.1]")
    assert made.fixed[TOKENS] == {"prefix": "tokens", "prefix_length": 8}
    assert not spaces["fedperfix"].fixed
    told = refused(plan, TOKENS, "fedperfix[prefix_length=08,prefix=tokens]")
    assert told == f"methods named twice: {TOKENS}"


def test_folders_are_of_safe_characters_and_of_one_trial_each(mine):
    def folder(reference, **knobs):
        return Candidate(reference, "confirm", 0, -1, 7, knobs).folder

    name = f"{mine}[part=blocks.0/attn,head]"
    found = folder(name, part="blocks.0/attn,head")
    assert set(found) <= set("abcdefghijklmnopqrstuvwxyz0123456789-._")
    assert found != folder(name, part="blocks.0/attn")
    assert len(folder(f"{mine}[part={'x' * 300}]")) < 100


# ------------------------------------------------------------------ files of methods


def test_a_file_names_methods_what_they_hold_and_their_titles(tmp_path):
    path = tmp_path / "methods.yaml"
    path.write_text(
        "- fedavg\n"
        "- fedperfix[prefix=zero]\n"
        "- method: fedperfix\n"
        "  set: {prefix: tokens, prefix_length: 8}\n"
        "  title: FedPerfix, short\n"
    )
    found = method_list([f"local,{path}"])
    assert found.references == ("local", "fedavg", "fedperfix[prefix=zero]", TOKENS)
    assert found.titles == {TOKENS: "FedPerfix, short"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("fedavg: 1", "must hold a list of methods, not dict"),
        ("- 3", "method 1: 3 is neither a text nor a mapping"),
        ("- {method: fedavg, sett: {}}", "unknown key 'sett'"),
        ("- {set: {lr: 0.1}}", "'method' is missing"),
        ('- {method: fedavg, title: "a\\tb"}', "must be one line"),
        ("[]", "--methods is empty"),
    ],
)
def test_a_file_that_cannot_be_is_one_line(tmp_path, content, told):
    path = tmp_path / "methods.yaml"
    path.write_text(content)
    assert told in refused(method_list, [str(path)])
