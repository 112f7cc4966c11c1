"""Wraps as a user names them: references, knobs, spaces, digests, commands, a stranger's."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pfltune
from pfltune.errors import UserError
from pfltune.federation.trial import FederatedTrial
from pfltune.knobs import knobs_of
from pfltune.method_list import method_list
from pfltune.program import Program, method_digest
from pfltune.record import read_record
from pfltune.registry import (
    available_methods,
    canonical,
    find_method,
    make_method,
    reference_title,
    reference_to,
    short_name,
)
from pfltune.search.space import load_space
from pfltune.studies import begin
from pfltune.studies.comparison import checked_references
from pfltune.studies.spaces import asked_spaces, space_options
from pfltune.testing import Subject, contract_of
from pfltune.testing.federations import small_federation
from pfltune.testing.runs import run
from pfltune.testing.transfers import keeps_to_the_device
from pfltune.variants import parsed, wrapping

ADDS = '''
from dataclasses import dataclass

from pfltune import Wrap, knob


@dataclass(frozen=True, kw_only=True)
class Clip(Wrap):
    """A change of a tensor is made no longer than a norm, or than its half."""

    title = "clipping"
    both_ways = False
    norm: float = knob(0.01, low=1e-3, high=100.0, log=True, doc="longest change of a tensor")
    kind: str = knob("plain", choices=("plain", "soft"), doc="how")
    slack: float = knob(0.5, low=0.1, high=0.9, doc="of soft clipping", when={"kind": "soft"})

    def send(self, payload, reference, state, rng):
        most = self.norm * (self.slack if self.kind == "soft" else 1)
        change = {n: t - reference[n] for n, t in payload.items()}
        return {n: c * (most / c.norm().clamp(min=most)) for n, c in change.items()}, {}

    def receive(self, wire, reference):
        return {n: reference[n] + c for n, c in wire.items()}
'''
METHOD = '''
from dataclasses import dataclass

from pfltune import knob
from pfltune.methods.fedavg import FedAvg


@dataclass(frozen=True, kw_only=True)
class Mine(FedAvg):
    """Mine."""

    title = "Mine"

    slowness: float = knob(2.0, low=1.0, high=4.0, doc="divides lr")

    def phases(self):
        from dataclasses import replace

        return tuple(replace(each, lr=each.lr / self.slowness) for each in super().phases())
'''


@pytest.fixture
def clip(tmp_path):
    (tmp_path / "clip.py").write_text(ADDS)
    return f"{tmp_path / 'clip.py'}:Clip"


@pytest.fixture
def mine(tmp_path):
    folder = tmp_path / "c++ [and] more@home"
    folder.mkdir()
    (folder / "mine.py").write_text(METHOD)
    return f"{folder / 'mine.py'}:Mine"


def refused(call, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# references


def test_a_wrapped_method_has_a_name_a_title_and_knobs_of_its_own():
    assert canonical("fedavg+topk") == "fedavg+topk"
    assert reference_title("fedavg+topk") == "FedAvg + top-k"
    assert reference_title("fedavg+topk+float16[topk_share=0.05]") == (
        "FedAvg + top-k + float16 (topk_share=0.05)"
    )
    assert list(knobs_of(find_method("fedavg+topk"))) == ["lr", "topk_share"]
    assert make_method("fedavg+topk[topk_share=0.05]", {"lr": 0.2}).wraps()[0].share == 0.05
    assert find_method("fedavg+topk") is find_method("fedavg+topk[lr=0.1]")
    assert find_method("fedavg+topk").published_payload == ""


def test_wraps_come_in_the_order_in_which_they_are_named():
    names = [type(each).__name__ for each in make_method("fedper+topk+float16", {}).wraps()]
    assert names == ["TopK", "Float16"]
    assert canonical("fedper+topk+float16") != canonical("fedper+float16+topk")


def test_methods_and_wraps_may_lie_in_files_whatever_the_path(mine, clip):
    reference = f"{mine}+topk+{clip}[clip_norm=1.0,slowness=3.0]"
    known = parsed(reference)
    assert (known.method, known.wraps) == (mine, ["topk", clip])
    assert short_name(canonical(reference)) == "mine+topk+clip[clip_norm=1.0,slowness=3.0]"
    made = make_method(reference, {"topk_share": 0.5})
    assert (made.slowness, made.topk_share, made.clip_norm) == (3.0, 0.5, 1.0)
    assert parsed(f"fedavg+{clip}").wraps == [clip]
    assert parsed(f"{mine}[slowness=3.0]").wraps == []


def test_files_of_wraps_are_named_by_their_absolute_path(clip, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (reference,) = checked_references(["fedavg+clip.py:Clip+topk"])
    assert reference == f"fedavg+{clip}+topk"


@given(
    st.sampled_from(["fedavg", "fed-avg", "/a+b/c.py:M", "./a b[c].py/d@e.py:Mine", "c++/m.py:M"]),
    st.lists(st.sampled_from(["topk", "a-b_1", "w.py:W", "/c++/w.py:W"]), max_size=3),
    st.dictionaries(st.sampled_from(["lr", "topk_share"]), st.sampled_from(["1", "a.py:b", "x+y"])),
    st.sampled_from(["", "there"]),
)
def test_a_reference_is_read_as_it_was_written(method, wraps, held, tuned):
    text = "+".join([method, *wraps]) + (f"@{tuned}" if tuned else "")
    text += f"[{','.join(f'{k}={v}' for k, v in sorted(held.items()))}]" if held else ""
    known = parsed(text)
    assert (known.method, known.wraps, dict(known.held), known.tuned_in) == (
        method,
        wraps,
        held,
        tuned,
    )
    assert str(known) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("fedavg+topq", "unknown wrap 'topq' (did you mean 'topk'?)"),
        ("fedavgg+topk", "unknown method 'fedavgg'"),
        ("fedavg+", "unknown method 'fedavg+'"),
        ("fedavg+topk+topk", "wrapped twice in topk"),
        ("fedavg+topk[share=0.1]", "unknown knob of fedavg+topk 'share'"),
        ("fedavg+topk[topk_share=2]", "topk_share='2' is not valid"),
        ("fedavg+float16[float16_share=1]", "unknown knob of fedavg+float16"),
        ("fedavg+nowhere.py:Clip", "there is no wrap file 'nowhere.py'"),
    ],
)
def test_what_cannot_be_is_one_line(text, told):
    assert told in refused(canonical, text)


FAULTY = [
    ("class W(Wrap):\n    def send(self, payload, reference, state, rng): ...", "must define rec"),
    ("class W:\n    pass", "is not a subclass of pfltune.Wrap"),
    (
        "class W(Wrap):\n    def send(self, payload): ...\n    def receive(self, wire): ...",
        "write def send(self, payload, reference, state, rng)",
    ),
    (
        "class W(Wrap):\n    k: int = knob(1, doc='x')\n"
        "    def send(self, payload, reference, state, rng): ...\n"
        "    def receive(self, wire, reference): ...",
        "needs @dataclass(frozen=True, kw_only=True)",
    ),
    (
        "@dataclass(frozen=True, kw_only=True)\nclass W(Wrap):\n    k: int = 1\n"
        "    def send(self, payload, reference, state, rng): ...\n"
        "    def receive(self, wire, reference): ...",
        "its field k must be a knob()",
    ),
]


@pytest.mark.parametrize(("code", "told"), FAULTY, ids=[told for _, told in FAULTY])
def test_a_wrap_that_is_not_what_its_author_thinks_is_refused(code, told, tmp_path):
    head = "from dataclasses import dataclass\nfrom pfltune import Wrap, knob\n\n\n"
    (tmp_path / "w.py").write_text(head + code + "\n")
    assert told in refused(find_method, f"fedavg+{tmp_path / 'w.py'}:W")


def test_a_knob_of_the_method_is_not_covered_by_one_of_a_wrap(tmp_path):
    code = METHOD.replace("slowness", "topk_share")
    (tmp_path / "mine.py").write_text(code)
    assert "topk_share, a knob of a wrap, is there already" in refused(
        find_method, f"{tmp_path / 'mine.py'}:Mine+topk"
    )


def test_wrapped_classes_are_no_methods_that_are_listed_and_can_be_named_again(mine, clip):
    for reference in ("fedavg+topk", f"{mine}+{clip}+float16"):
        cls = find_method(reference)
        assert reference_to(cls) == reference
        assert find_method(reference_to(cls)) is cls
    assert not any("+" in name for name in available_methods())


# --wrap


def test_wraps_are_added_to_every_method_of_a_list(clip):
    named = method_list(["fedavg, fedperfix[prefix=zero], fedper+float16"])
    wrapped = named.wrapped(["topk[share=0.05]", clip])
    assert wrapped.references == (
        f"fedavg+topk+{clip}[topk_share=0.05]",
        f"fedperfix+topk+{clip}[prefix=zero,topk_share=0.05]",
        f"fedper+float16+topk+{clip}[topk_share=0.05]",
    )
    assert named.wrapped("topk").references[0] == "fedavg+topk"
    assert named.wrapped(()) == named


def test_titles_of_a_file_are_kept(tmp_path):
    (tmp_path / "these.yaml").write_text("- {method: fedavg, title: Ours}\n- local\n")
    named = method_list([str(tmp_path / "these.yaml")]).wrapped("float16")
    assert named.references == ("fedavg+float16", "local+float16")
    assert named.titles == {"fedavg+float16": "Ours"}


def test_a_method_tuned_elsewhere_is_wrapped_too():
    assert wrapping("fedavg@there", ["topk"]) == "fedavg+topk@there"


@pytest.mark.parametrize("text", ["", "topk@there", "topk+float16[share=0.1]", "topk[share]"])
def test_what_is_no_wrap_is_refused(text):
    assert "must look like" in (found := refused(wrapping, "fedavg", [text])) or "one --wrap" in (
        found
    )


# search spaces


def test_the_knobs_of_a_wrap_are_searched_beside_the_methods_own():
    plain, space = load_space("fedper"), load_space("fedper+topk")
    assert [*space.searched] == [*plain.searched, "topk_share"]
    share = space.searched["topk_share"]
    assert (share.low, share.high, share.log) == (0.01, 0.3, True)
    assert [{n: v for n, v in p.items() if n != "topk_share"} for p in space.start] == [
        *plain.start
    ]
    assert {point["topk_share"] for point in space.start} == {0.1}
    assert not space.published
    assert [*load_space("fedper+topk[topk_share=0.2]").searched] == [*plain.searched]
    assert load_space("fedper+float16").searched == plain.searched


def test_conditions_among_the_knobs_of_a_wrap_hold(clip):
    space = load_space(f"fedavg+{clip}")
    assert dict(space.searched["clip_slack"].when) == {"clip_kind": "soft"}
    assert "clip_slack" not in load_space(f"fedavg+{clip}[clip_kind=plain]").searched
    told = refused(canonical, f"fedavg+{clip}[clip_slack=0.2]")
    assert "needs clip_kind=soft" in told


def test_a_strangers_wrap_ships_a_space_of_its_own(clip, tmp_path):
    (tmp_path / "clip.yaml").write_text(
        "search:\n  norm: {low: 0.1, high: 1.0}\n  kind: {}\n  slack: {when: {kind: soft}}\n"
        "start:\n  - {norm: 0.5, kind: soft, slack: 0.25}\n  - {norm: 0.2, kind: plain}\n"
    )
    space = load_space(f"fedavg+{clip}")
    assert (space.searched["clip_norm"].low, space.searched["clip_norm"].high) == (0.1, 1.0)
    starts = [{n: v for n, v in p.items() if n.startswith("clip")} for p in space.start]
    assert starts == [
        {"clip_norm": 0.5, "clip_kind": "soft", "clip_slack": 0.25},
        {"clip_norm": 0.2, "clip_kind": "plain"},
    ]
    (tmp_path / "clip.yaml").write_text("search: {nurm: {low: 0.1}}\n")
    assert "unknown knob of clip in its search space 'nurm'" in refused(
        load_space, f"fedavg+{clip}"
    )


@pytest.mark.parametrize("search", ["topk_share=0.02:0.5", "fedavg+topk.topk_share=0.02:0.5"])
def test_a_search_names_them_for_all_methods_or_for_one(search):
    held = {"fedavg+topk": {}, "fedper": {}}
    options = space_options(
        {"search": [search], "space": None, "start": None}, ["fedavg+topk", "fedper"]
    )
    spaces = asked_spaces(held, small_federation().protocol, options)
    found = spaces["fedavg+topk"].searched["topk_share"]
    assert (found.low, found.high) == (0.02, 0.5)
    assert "topk_share" not in spaces["fedper"].searched


# code and keys


def test_the_code_of_a_wrap_is_part_of_the_methods(clip, tmp_path):
    plain, before = method_digest("fedavg"), method_digest(f"fedavg+{clip}")
    kinds = {plain, before, method_digest("fedavg+topk"), method_digest("fedavg+float16")}
    assert len(kinds) == 4
    (tmp_path / "clip.py").write_text(ADDS + "\nMORE = 1\n")
    assert method_digest(f"fedavg+{clip}") != before
    (tmp_path / "clip.py").write_text(ADDS)
    assert method_digest(f"fedavg+{clip}") == before


def test_classes_of_one_file_that_differ_in_case_alone_are_not_one_wrap(tmp_path):
    head = "@dataclass(frozen=True, kw_only=True)"
    (tmp_path / "both.py").write_text(f"{ADDS}\n\n{head}\nclass CLIP(Clip):\n    pass\n")
    one, other = (f"fedavg+{tmp_path / 'both.py'}:{name}" for name in ("Clip", "CLIP"))
    assert method_digest(one) != method_digest(other)


def test_the_files_of_wraps_are_known_to_the_program(mine, clip):
    program = Program.of([f"{mine}+{clip}", "fedavg+topk"], "cpu")
    assert program.files.keys() == {"mine+clip", "mine+clip, wrap clip"}


# a stranger's wrap


@pytest.mark.thorough
def test_a_strangers_wrap_on_a_strangers_method_keeps_the_contract(mine, clip):
    reference = f"{mine}+{clip}"
    for case in contract_of(find_method(reference), short_name(reference)):
        if case.function.__name__ in {"resumes", "counts_what_travels", "has_an_effect"}:
            case.check()


def test_a_strangers_wrap_acts(clip):
    change = {}
    for norm in (1e-3, 100.0):
        trial = FederatedTrial(make_method(f"fedavg+{clip}", {"clip_norm": norm}), federation(), 0)
        before = {name: t.clone() for name, t in trial.server.items()}
        run(trial, 1)
        change[norm] = max((t - before[n]).norm().item() for n, t in trial.server.items())
    assert change[1e-3] <= 1.001e-3 < change[100.0]


def federation():
    return small_federation()


# commands


def test_payload_shows_what_is_left(called):
    code, out, _ = called(
        "payload", "--methods", "fedavg,local", "--wrap", "topk", "--image-size", "32",
        "--model", "vit_tiny_patch16_224",
    )  # fmt: skip
    assert code == 0
    line = next(line for line in out.splitlines() if line.startswith("FedAvg + top-k"))
    share = float(line.split()[5])
    assert 20 < share < 20.5  # a tenth of the values, and their indices
    assert "Local + top-k" in out


def test_methods_shows_a_wrapped_method(called):
    code, out, _ = called("methods", "fedavg+topk")
    assert code == 0
    for words in ("FedAvg + top-k", "topk_share", "Sparsified SGD", "0.01 to 0.3"):
        assert words in out


def test_methods_lists_the_wraps(called):
    code, out, _ = called("methods")
    assert code == 0
    assert "topk" in out
    assert "float16" in out


@pytest.mark.thorough
def test_check_takes_a_wrapped_method(called, clip):
    code, out, _ = called("check", f"fedavg+{clip}", "--json")
    assert code == 0, out
    assert json.loads(out)[0]["kept"]


@pytest.mark.parametrize("command", ["compare", "tune", "grid", "run", "extend", "payload"])
def test_help_tells_of_wrap(called, command):
    assert "--wrap" in called(command, "--help")[1]


def test_a_comparison_takes_wrap_from_python_and_says_what_is_wrong():
    assert "unknown wrap" in refused(lambda: pfltune.compare("fedavg", wrap="nothing"))
    assert "--wrap is for methods that are added" in refused(
        lambda: pfltune.extend("one", wrap="topk", seeds=3)
    )


SMALL = {
    "overrides": {
        "protocol.rounds": 2,
        "protocol.evaluate_every": 1,
        "partition.clients": 5,
        "warm_start.epochs": 1,
    },
    "workers": 1,
    "precision": "float32",
    "device": "cpu",
    "name": "one",
}
SEARCH = {**SMALL, "eta": 2, "trials": 2, "generation": 2, "seeds": 1, "finalists": 0}


@pytest.mark.slow
@pytest.mark.usefixtures("inline", "png_alone")
def test_a_wrapped_comparison_from_beginning_to_certificate(tmp_path, mine, clip, called):
    results = {"results": tmp_path / "results"}
    found = pfltune.compare(["fedavg", mine], wrap=["topk", "float16"], **SEARCH, **results)
    names = ["fedavg+topk+float16", "mine+topk+float16"]
    assert {m.name: m.title for m in found.result.methods} == {
        names[0]: "FedAvg + top-k + float16",
        names[1]: "Mine + top-k + float16",
    }
    shares = {run.knobs["topk_share"] for m in found.result.methods for run in m.searched}
    assert len(shares) > 1

    # The same call, and what is resumed, find it as it is; other wraps are refused.
    again = pfltune.compare(["fedavg", mine], wrap=["topk", "float16"], **SEARCH, **results)
    assert again.table.equals(found.table)
    resumed = pfltune.compare(resume="one", wrap=["topk", "float16"], **results)
    assert resumed.table.equals(found.table)
    assert "not wrapped as --wrap says" in refused(
        lambda: pfltune.compare(resume="one", wrap="topk", **results)
    )

    # What is added is wrapped, and nothing else.
    pfltune.extend("one", ["fedper"], wrap=clip, **results)
    record = read_record(tmp_path / "results" / "one")
    assert [*map(short_name, record.methods)] == [*names, "fedper+clip"]
    bare = begin.extension({"name": "one", "methods": ["fedavg"], **results})
    assert [*map(short_name, bare.plan.methods)] == [*names, "fedper+clip", "fedavg"]
    folder = tmp_path / "results" / "one"
    latex = next(folder.glob("**/*.tex")).read_text()
    assert "FedAvg + top-k + float16" in latex

    here = ["--results", str(tmp_path / "results")]
    code, out, err = called("best", "one", names[0], "--as", "options", *here)
    assert (code, "topk_share=" in out) == (0, True), err
    code, out, err = called("methods", f"{names[0]}@one", *here)
    assert (code, "held at" in out) == (0, True), err

    certificate = pfltune.certify("one", **results)
    text = certificate.read_text()
    assert str(tmp_path) not in text
    named = [f"{mine}+topk+float16", f"fedper+{clip}"]
    assert pfltune.verify(certificate, methods=named, sample=2).holds
    told = refused(lambda: pfltune.verify(certificate, methods=named[:1]))
    assert "read its file" in told
    assert "--methods fedper+path/to/clip.py:Clip" in told
    other = tmp_path / "other"
    other.mkdir()
    (other / "clip.py").write_text(ADDS + "# edited\n")
    edited = [named[0], f"fedper+{other / 'clip.py'}:Clip"]
    assert "is not run" in refused(lambda: pfltune.verify(certificate, methods=edited))

    # Whoever edits the file of a wrap is told before anything of it runs.
    Path(clip.partition(":")[0]).write_text(ADDS + "# edited\n")
    assert "clip.py is not the file that one began with" in refused(
        lambda: pfltune.compare(resume="one", **results)
    )


def test_a_grid_and_a_tuning_go_over_the_knobs_of_a_wrap(tmp_path, clip):
    results = {"results": tmp_path / "results"}
    over = {"over": {"topk_share": [0.01, 1.0]}, "seeds": 1}
    grid = begin.grid({"methods": ["fedavg"], "wrap": "topk", **over, **SMALL, **results})
    assert [cell["topk_share"] for cell in grid.cells["fedavg+topk"]] == [0.01, 1.0]
    asked = {"wrap": [clip, "topk[share=0.05]"], "search": {"clip_norm": [0.1, 1.0]}}
    tuned = begin.comparison("tune", {"methods": ["fedavg"], **asked, **SEARCH, **results})
    ((method, space),) = tuned.spaces.items()
    assert short_name(method) == "fedavg+clip+topk[topk_share=0.05]"
    assert space.searched["clip_norm"].choices == (0.1, 1.0)
    trials = [tuned.dealer().deal() for _ in range(2)]
    assert {trial.knobs["clip_norm"] for trial in trials} <= {0.1, 1.0}
    for job in (grid, tuned):
        job.scenario.check(job.firsts())


@pytest.mark.thorough
@pytest.mark.parametrize("reference", ["fedavg+float16", "fedper+topk", "pfedpg+topk+float16"])
def test_no_wrap_waits_for_a_gpu_or_mixes_it_with_the_cpu(reference):
    keeps_to_the_device(Subject(find_method(reference), "wrapped"))
