"""Claims: what may stand in their files, what an ordering says, and what becomes of a verdict."""

import inspect
import json
import re
from dataclasses import replace
from math import isnan

import click
import numpy as np
import pytest
import yaml
from inline import command, killed
from replays import CLAIM, CLIENTS, SEEDS, accuracies, claim, compared, replay, studied

import pfltune
from pfltune.claim_file import FOOTINGS, Claim, claim_files, load_claim
from pfltune.cli.app import root
from pfltune.errors import UserError
from pfltune.figures import FIGURES
from pfltune.layers import LAYERS, PERSONAL
from pfltune.orderings import Ordering, orderings_of
from pfltune.registry import canonical
from pfltune.replays import REPLAY, Replay, read_replay
from pfltune.report.claims.replayed import read_replayed
from pfltune.report.claims.tables import accuracies as accuracy_table
from pfltune.report.claims.tables import details, layers, records, summaries
from pfltune.report.claims.verdicts import Verdict, verdict, verdicts
from pfltune.report.claims.words import findings, in_full
from pfltune.report.claims.writer import content_of, markdown_of, write_replayed
from pfltune.report.crossed import crossed
from pfltune.report.results import ConfirmedRun, MethodResult
from pfltune.scenario import load_scenario
from pfltune.settings import validated
from pfltune.studies.claims import command_of, planned, replay_of
from pfltune.studies.options import checked
from pfltune.tracking.store import Store

METHODS = ("a", "b", "c")
NAMES = sorted(claim_files())


# Orderings


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("a > b", [("a", ">", "b", "test/accuracy")]),
        ("a > b, c", [("a", ">", "b", "test/accuracy"), ("a", ">", "c", "test/accuracy")]),
        (" b<c".replace("<", " < "), [("b", "<", "c", "test/accuracy")]),
        ("a < b in comm/total_mb", [("a", "<", "b", "comm/total_mb")]),
    ],
)
def test_an_ordering_of_methods_is_read_pair_by_pair(text, pairs):
    found = orderings_of([text], METHODS)
    assert [(o.first, o.sign, o.second, o.figure) for o in found] == pairs
    assert {o.of for o in found} == {"methods"}
    assert [orderings_of([o.text], METHODS) for o in found] == [(o,) for o in found]


def test_commas_in_brackets_are_part_of_a_method():
    methods = ("fedsim[personal=head,attn]", "fedavg")
    (found,) = orderings_of(["fedsim[personal=head,attn] > fedavg"], methods)
    assert found.first == methods[0]


def test_the_most_sensitive_layers_are_before_each_other_one():
    found = orderings_of(["attn, head most sensitive"], METHODS)
    others = {"patch_embed", "pos_embed", "norm", "mlp"}
    assert {(o.first, o.second) for o in found} == {
        (m, o) for m in ("attn", "head") for o in others
    }
    assert {o.of for o in found} == {"layers"}


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["a = b"], "ordering 'a = b' must look like 'METHOD > METHOD"),
        (["a > d"], "unknown method 'd'; choose from: a, b, c"),
        (["a > a"], "must have one method, and others behind >"),
        (["a, b > c"], "must have one method, and others behind >"),
        (["a > b in comm/mb"], "unknown figure 'comm/mb'"),
        (["a > b", "b > a"], "a and b are ordered twice"),
        (["a > b, b"], "a and b are ordered twice"),
        (["atn most sensitive"], "unknown layer 'atn' (did you mean 'attn'?)"),
        ([", ".join(LAYERS) + " most sensitive"], "all layers are said to be the most sensitive"),
    ],
)
def test_an_ordering_that_says_nothing_is_refused_in_a_line(texts, words):
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        orderings_of(texts, METHODS)
    assert "\n" not in str(caught.value)


# Files


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"orderings": []}, "orderings"),
        ({"orderings": ["head most sensitive"]}, "orderings must order two methods somewhere"),
        ({"orderings": ["fedper > fedprox"]}, "unknown method 'fedprox'"),
        ({"methods": ["fedper"]}, "methods"),
        ({"moment": "before"}, "moment='before'"),
        ({"published": {"accuracy": {"ditto": 3.0}}}, "unknown published method 'ditto'"),
        ({"published": {"layers": {"body": 3.0}}}, "unknown published layer 'body'"),
        ({"scales": {}}, "scales"),
        ({"scales": {"s": {"footings": {"draws": 1}}}}, "scales.s.footings.draws=1"),
        ({"scales": {"s": {"footing": {}}}}, "unknown key 'scales.s.footing'"),
        ({"titel": "x"}, "unknown key 'titel'"),
    ],
)
def test_a_bad_claim_is_refused_in_a_line(tmp_path, changed, words):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**CLAIM, **changed}))
    with pytest.raises(UserError) as caught:
        load_claim(str(path))
    message = str(caught.value)
    assert message.startswith("claim 'heads': ")
    assert words in message
    assert "\n" not in message


def test_an_unknown_claim_is_named_with_the_known_ones():
    with pytest.raises(UserError, match=r"unknown claim 'fedprefix' \(did you mean 'fedperfix'"):
        load_claim("fedprefix")


@pytest.mark.parametrize("name", NAMES)
def test_a_built_in_claim_can_be_replayed_at_each_of_its_scales(name):
    found = load_claim(name)
    assert found.name == name
    for method in found.methods:
        canonical(method)
    for pair in found.pairs:
        assert pair.figure in FIGURES
    for scale in found.scales.values():
        assert checked("compare", scale.options) == dict(scale.options)
        overrides = [f"{key}={json.dumps(value)}" for key, value in scale.overrides.items()]
        for budget in (scale.footings.bytes, scale.footings.steps, None):
            spent = [f"protocol.budget={budget}"] if budget else []
            load_scenario(scale.scenario, [*overrides, *spent])
        assert set(scale.footings.named) <= set(FOOTINGS)
        assert found.orders_layers == (scale.footings.sensitivity is not None)


def test_the_published_orderings_of_fedperfix_are_those_of_its_table():
    found = load_claim("fedperfix")
    printed = {pair.text: found.printed(pair) for pair in found.pairs}
    assert printed["fedperfix > fedper"] == pytest.approx(48.10 - 44.42)
    assert printed["fedperfix > fedrep"] is None, "the paper's FedRep is FedPer"
    assert printed["attn > mlp"] == pytest.approx(42.95 - 42.53)
    assert all(value > 0 for value in printed.values() if value is not None)
    assert found.moment == "after_training"


def test_the_layers_are_those_that_a_study_keeps_personal():
    assert set(LAYERS) < set(PERSONAL)
    assert len(PERSONAL) == 13


# From a claim to jobs


@pytest.fixture
def own(tmp_path):
    """A claim in a file, and options with a results folder."""
    path = tmp_path / "heads.yaml"
    path.write_text(
        yaml.safe_dump({**CLAIM, "orderings": [*CLAIM["orderings"], "head most sensitive"]})
    )
    return str(path), {"results": tmp_path / "results", "name": "r", "precision": "float32"}


def test_each_footing_is_a_job_of_its_own(own):
    path, given = own
    found = replay_of(path, {**given, "seeds": 4, "overrides": ["protocol.rounds=3"]})
    assert [part.name for part in found.parts] == ["r.trials", "r.draws", "r.sensitivity"]
    parts, failures = planned(found, given, named=True)
    assert not failures
    trials, draws, study = parts
    (step,) = trials.steps
    assert step.job.scenario.protocol.rounds == 3
    assert step.job.plan.budget.seeds == 4
    assert [s.job.scenario.data_seed for s in draws.steps] == [0, 1]
    assert draws.steps[1].after is not None, "it tests what was chosen on the first draw"
    assert study.steps[0].job.budget.seeds == 2
    ways = {s.job.way_back for part in parts for s in part.steps}
    assert ways == {"pfltune claim --resume r"}


def test_the_papers_moment_holds_for_every_part(own, tmp_path):
    path, given = own
    late = tmp_path / "late.yaml"
    content = yaml.safe_load((tmp_path / "heads.yaml").read_text())
    late.write_text(yaml.safe_dump({**content, "moment": "after_training"}))
    for name, moment in ((path, "after_aggregation"), (str(late), "after_training")):
        parts, _ = planned(replay_of(name, given), given, named=True)
        moments = {s.job.scenario.protocol.evaluate for p in parts for s in p.steps}
        assert moments == {moment}


def test_footings_that_spend_alike_are_budgets_of_a_trial(own, tmp_path):
    path, given = own
    content = yaml.safe_load((tmp_path / "heads.yaml").read_text())
    footings = {"bytes": "40MB", "steps": "100steps"}
    content["scales"] = {"s": {"overrides": {"partition.clients": 8}, "footings": footings}}
    (tmp_path / "heads.yaml").write_text(yaml.safe_dump(content))
    found = replay_of(path, given)
    told = {part.footing: part.options["overrides"] for part in found.parts}
    assert told["trials"] == ["partition.clients=8"]
    assert told["bytes"] == [*told["trials"], "protocol.budget=40MB"]
    assert told["steps"] == [*told["trials"], "protocol.budget=100steps"]
    assert command_of(found.parts[1]).startswith("pfltune compare --scenario digits -o partition.")


def test_a_budget_among_a_scales_options_leaves_its_ground_as_it_is(own, tmp_path):
    path, given = own
    content = yaml.safe_load((tmp_path / "heads.yaml").read_text())
    scale = {"overrides": {"partition.clients": 8}, "options": {"budget": "9MB", "trials": 2}}
    (tmp_path / "heads.yaml").write_text(
        yaml.safe_dump({**content, "moment": "after_training", "scales": {"s": scale}})
    )
    found = replay_of(path, {**given, "overrides": ["data_seed=4"]})
    assert found.parts[0].options["overrides"] == [
        'protocol.evaluate="after_training"',
        "partition.clients=8",
        "protocol.budget=9MB",
        "data_seed=4",
    ]
    assert found.parts[0].options["trials"] == 2


@pytest.mark.parametrize("option", ["name", "results", "resume", "overrides", "partitions"])
def test_a_scale_cannot_say_where_its_parts_lie(own, tmp_path, option):
    path, given = own
    content = yaml.safe_load((tmp_path / "heads.yaml").read_text())
    scale = {"options": {option: 2 if option == "partitions" else "elsewhere"}}
    (tmp_path / "heads.yaml").write_text(yaml.safe_dump({**content, "scales": {"s": scale}}))
    with pytest.raises(UserError, match=f"options of a scale cannot have {option}"):
        replay_of(path, given)


def test_a_command_says_all_that_a_part_is(own):
    path, given = own
    options = {
        "methods": ["fedavg", "fedper"],
        "halving": False,
        "control": True,
        "fresh": False,
        "objective": ["accuracy", "comm"],
        "search": {"lr": "1e-3:0.3:log", "momentum": [0.0, 0.9]},
        "start": [{"lr": 0.1, "momentum": 0.9}],
    }
    (part, *_) = replay_of(path, given).parts
    told = command_of(part.model_copy(update={"options": options}))
    assert told == (
        "pfltune compare --methods fedavg,fedper --no-halving --control --objective accuracy,comm "
        "--search lr=1e-3:0.3:log --search momentum=0.0,0.9 --start lr=0.1,momentum=0.9 "
        "--name r.trials"
    )


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"scale": "huge"}, "unknown scale 'huge'; choose from: tiny"),
        ({"footings": "trials,byte"}, "unknown footing 'byte' (did you mean 'bytes'?)"),
        ({"footings": "bytes"}, "has no footing bytes at scale tiny; there are: trials, draws"),
        ({"footings": ","}, "no footing is named; choose from: trials, bytes"),
        ({"resume": "other"}, "--name r and --resume other are two"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_a_line(own, more, words):
    path, given = own
    with pytest.raises(UserError, match=re.escape(words)):
        replay_of(path, {**given, **more})


def test_a_replay_goes_on_as_it_began(own):
    path, given = own
    found = replay_of(path, given)
    found.write(given["results"] / "r")
    assert replay_of(path, given) == read_replay(given["results"] / "r") == found
    resumed = {"results": given["results"], "resume": "r"}
    assert replay_of(None, {**resumed, "workers": 1}) == found
    with pytest.raises(UserError, match="r is heads at scale tiny with other options; resume it"):
        replay_of(path, {**given, "seeds": 9})
    with pytest.raises(UserError, match="goes on as it began: --seeds, --trials cannot be given"):
        replay_of(None, {**resumed, "seeds": 9, "trials": 2})
    with pytest.raises(UserError, match="name a CLAIM"):
        replay_of(None, {"results": given["results"]})
    with pytest.raises(UserError, match="there is no claim named 'q'"):
        replay_of(None, {"results": given["results"], "resume": "q"})


def test_a_strangers_replay_runs_no_file_that_nobody_named(own, tmp_path):
    path, given = own
    mark = tmp_path / "executed"
    (tmp_path / "theirs.py").write_text(f"open({str(mark)!r}, 'w')")
    found = replay_of(path, given)
    code = {"overrides": [f"data.name={tmp_path / 'theirs.py'}:Theirs"]}
    parts = [part.model_copy(update={"options": {**part.options, **code}}) for part in found.parts]
    found.model_copy(update={"parts": tuple(parts)}).write(given["results"] / "r")
    resumed = {"results": given["results"], "resume": "r"}
    planned_parts, failures = planned(replay_of(None, resumed), resumed, named=False)
    assert not planned_parts
    assert all("name the claim again" in why for why in failures.values())
    assert not mark.exists()


def test_a_damaged_record_is_named(own):
    path, given = own
    folder = given["results"] / "r"
    replay_of(path, given).write(folder)
    text = (folder / REPLAY).read_text().replace("r.trials", "../trials")
    (folder / REPLAY).write_text(text)
    with pytest.raises(UserError, match=r"claim\.json is damaged"):
        read_replay(folder)


# Verdicts


def method(name, table, **figures):
    """A confirmed method by hand; ``figures`` are the same in each seed or a value for each."""
    runs = tuple(
        ConfirmedRun(
            seed=seed,
            metrics={key.replace("__", "/"): values[seed] for key, values in figures.items()},
            curves={},
            test=tuple(map(float, test)),
        )
        for seed, test in enumerate(table)
    )
    return MethodResult(name, name, {}, runs, 0, 0, 0.0, ())


def judged(first, second, sign=">", together=1):
    rows = {"a": method("a", first), "b": method("b", second)}
    return verdict("trials", [rows], Ordering("a", "b", sign), together)


def test_a_difference_that_is_told_from_0_holds_or_is_reversed():
    low, high = accuracies(0.5), accuracies(0.6, seed=1)
    assert judged(high, low).word == "holds"
    assert judged(low, high).word == "reversed"
    assert judged(high, low, "<").word == "reversed"
    assert judged(low, high, "<").word == "holds"
    found = judged(high, low)
    assert found.difference == pytest.approx(float((high - low).mean()))
    assert (found.seeds, found.agreeing, found.clients, found.draws) == (SEEDS, SEEDS, CLIENTS, 1)
    assert found.interval.low > 0
    assert not isnan(found.p)


def test_the_test_is_the_one_of_every_report():
    first, second = accuracies(0.52), accuracies(0.5, seed=1)
    by_hand = crossed([np.round(first - second, 12)[None]])
    found = judged(first, second)
    assert found.p == pytest.approx(by_hand.p)
    assert found.interval.high - found.difference == pytest.approx(by_hand.margin(0.05))


def test_p_and_interval_hold_for_all_orderings_together():
    first, second = accuracies(0.53), accuracies(0.5, seed=1)
    alone, of_four = judged(first, second), judged(first, second, together=4)
    assert of_four.p == pytest.approx(min(1.0, 4 * alone.p))
    assert of_four.interval.low < alone.interval.low
    for found in (alone, of_four):
        assert (found.p < 0.05) == (found.interval.low > 0 or found.interval.high < 0)


def test_noise_is_not_told_apart():
    found = judged(accuracies(0.5, spread=0.1), accuracies(0.5, spread=0.1, seed=3))
    assert found.word == "not told apart"
    assert found.reason == ""


def test_what_cannot_be_tested_says_why():
    one_seed = judged(accuracies(0.6)[:1], accuracies(0.5)[:1])
    assert one_seed.word == "not tested"
    assert "one seed" in one_seed.reason
    assert isnan(one_seed.p)
    assert one_seed.difference == pytest.approx(0.1, abs=0.05)
    lost = verdict("trials", [{"a": method("a", accuracies(0.5))}], Ordering("a", "b"))
    assert (lost.word, lost.reason) == ("not tested", "b has no figure")
    none = judged(accuracies(0.5), np.empty((0, CLIENTS)))
    assert (none.word, none.reason) == ("not tested", "b has no figure")


def test_over_draws_the_draw_is_the_unit():
    means = (0.60, 0.61, 0.59, 0.60)
    draws = [
        {"a": method("a", accuracies(m, seed=n)), "b": method("b", accuracies(0.5, seed=n + 9))}
        for n, m in enumerate(means)
    ]
    found = verdict("draws", draws, Ordering("a", "b"))
    assert found.word == "holds"
    assert (found.draws, found.agreeing, found.clients) == (4, 4, 4 * CLIENTS)
    torn = [draws[0], {"a": draws[1]["b"], "b": draws[1]["a"]}]
    found = verdict("draws", torn, Ordering("a", "b"))
    assert found.word == "not told apart"
    assert found.agreeing == 1


def test_draws_are_taken_with_the_same_seeds():
    """The first draw has lost seed 0, the second the last: a seed is the same one in all draws."""
    rows = {"a": method("a", accuracies(0.6)), "b": method("b", accuracies(0.5, seed=9))}
    runs = {name: row.runs for name, row in rows.items()}
    first = {name: replace(row, runs=runs[name][1:]) for name, row in rows.items()}
    second = {name: replace(row, runs=runs[name][:-1]) for name, row in rows.items()}
    found = verdict("draws", [first, second], Ordering("a", "b"))
    assert found.seeds == SEEDS - 2
    shared = {name: replace(row, runs=runs[name][1:-1]) for name, row in rows.items()}
    assert found.p == verdict("draws", [shared, shared], Ordering("a", "b")).p
    none = {name: replace(row, runs=runs[name][:1]) for name, row in rows.items()}
    assert verdict("draws", [first, none], Ordering("a", "b")).reason == "no seed in common yet"


def test_a_figure_that_a_trial_has_once_is_counted_by_seeds():
    def rows(first, second):
        table = accuracies(0.5)[:2]
        return {
            "a": method("a", table, memory__peak_mb=first),
            "b": method("b", table, memory__peak_mb=second),
        }

    pair = Ordering("a", "b", "<", "memory/peak_mb")
    less = verdict("trials", [rows([10.0, 12.0], [20.0, 21.0])], pair)
    assert (less.word, less.difference, less.agreeing) == ("holds", -9.5, 2)
    assert "measured, not tested: 2 of 2 seeds that way" in less.reason
    assert verdict("trials", [rows([30.0, 32.0], [20.0, 21.0])], pair).word == "reversed"
    assert verdict("trials", [rows([10.0, 32.0], [20.0, 21.0])], pair).word == "not told apart"
    assert verdict("trials", [rows([20.0, 21.0], [20.0, 21.0])], pair).word == "not told apart"
    none = verdict("trials", [rows([1.0, 2.0], [1.0, 2.0])], replace(pair, figure="time/total_s"))
    assert (none.word, none.reason) == ("not tested", "no time/total_s of both")


def test_measured_figures_are_no_tests_to_be_corrected_for():
    table = {
        "a": method("a", accuracies(0.55), comm__total_mb=[1.0] * SEEDS),
        "b": method("b", accuracies(0.5, seed=1), comm__total_mb=[2.0] * SEEDS),
    }
    accuracy, mb = Ordering("a", "b"), Ordering("a", "b", "<", "comm/total_mb")
    both = verdicts("trials", [table], [accuracy, mb])
    assert both[0] == verdict("trials", [table], accuracy, together=1)


# Reports


@pytest.fixture
def found(tmp_path):
    """What a replay on four footings found; one could not run."""
    store = Store(tmp_path)
    made = replay(
        claim(orderings=[*CLAIM["orderings"], "head most sensitive"]),
        ("trials", "bytes", "draws", "sensitivity"),
    )
    compared(store, "r.trials", {"fedper": 0.60, "fedavg": 0.50, "local": 0.60})
    compared(store, "r.draws", {"fedper": 0.50, "fedavg": 0.60, "local": 0.50})
    studied(store, "r.sensitivity", {"head": 0.45})
    made.write(tmp_path / "r")
    return read_replayed(tmp_path, made, {"r.bytes": "not even one round fits"}), tmp_path


def words_of(found):
    return {(v.footing, v.pair.text): v.word for v in found.verdicts}


def test_every_footing_speaks_of_the_orderings_that_it_can(found):
    words = words_of(found[0])
    assert words["trials", "fedper > fedavg"] == "holds"
    assert words["trials", "fedper > local"] == "not told apart"
    assert words["draws", "fedper > fedavg"] == "reversed"
    assert words["bytes", "fedper > fedavg"] == "not tested"
    assert words["trials", "fedper < fedavg in comm/total_mb"] == "holds"
    assert ("draws", "fedper < fedavg in comm/total_mb") not in words
    studied = {word for (footing, _), word in words.items() if footing == "sensitivity"}
    assert studied == {"holds"}
    assert ("sensitivity", "fedper > fedavg") not in words


def test_a_row_says_what_was_found_beside_what_the_paper_prints(found):
    methods, kinds = summaries(found[0])
    assert methods[0] == ["ordering", "paper", "equal trials", "equal bytes", "over draws"]
    assert methods[1][:2] == ["fedper > fedavg", "+9.50"]
    assert methods[1][2].startswith("holds (+")
    assert methods[1][3] == "not tested"
    assert methods[3][4] == "–", "bytes are no matter of draws"
    assert kinds[1][0] == "head > patch embedding"
    assert accuracy_table(found[0])[1][1] == "60.00"
    assert layers(found[0])[1][0] == "head"
    assert len(details(found[0])) == 1 + len(found[0].verdicts)


def test_sentences_count_what_holds(found):
    trials, by_bytes, draws, study = findings(found[0])
    assert trials.startswith("Equal trials: 2 of 3 hold (fedper > fedavg, fedper < fedavg in comm/")
    assert "1 of 3 is not told apart (fedper > local)" in trials
    assert by_bytes == "Equal bytes: not tested, not even one round fits."
    assert "1 of 2 is reversed (fedper > fedavg)" in draws
    assert study.startswith("Sensitivity: 5 of 5 hold (head > patch embedding, ")


def test_the_report_has_page_table_and_data(found):
    result, results = found
    folder = write_replayed(result, results)
    names = {path.name for path in folder.iterdir()}
    assert {"report.html", "table.md", "verdicts.csv", "claim.json", "orderings.png"} <= names
    page = (folder / "report.html").read_text()
    assert "fedper &gt; fedavg" in page
    assert "not even one round fits" in page
    data = json.loads((folder / "claim.json").read_text())
    assert data == json.loads(json.dumps(content_of(result)))
    assert [v["verdict"] for v in data["verdicts"]] == [v.word for v in result.verdicts]
    assert "NaN" not in (folder / "claim.json").read_text()
    assert "| ordering | paper | equal trials |" in markdown_of(result)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_replayed(
        read_replayed(results, result.replay, {"r.bytes": "not even one round fits"}), results
    )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_stranger_cannot_write_into_the_page(tmp_path):
    made = replay(claim(title="<script>alert(1)</script>"))
    compared(Store(tmp_path), "r.trials", {"fedper": 0.6, "fedavg": 0.5, "local": 0.5})
    made.write(tmp_path / "r")
    folder = write_replayed(read_replayed(tmp_path, made), tmp_path)
    for name in ("report.html", "table.md"):
        assert "<script>alert" not in (folder / name).read_text()


def test_python_reads_verdicts_and_comparisons(found):
    _, results = found
    read = pfltune.load_results("r", results=results)
    assert set(read.parts) == {"trials", "draws"}
    assert read.parts["trials"][0].name == "r.trials"
    table = read.verdicts
    assert list(table.verdict[table.footing == "trials"]) == ["holds", "not told apart", "holds"]
    assert "fedper" in read._repr_html_()
    assert read.figure().axes
    assert set(read.missing) == {"r.bytes"}


def test_a_replay_that_runs_says_how_far_it_is(tmp_path):
    made = replay(claim())
    nobody = {"leave_out": ["fedper-confirm-4"], "over": False}
    compared(Store(tmp_path), "r.trials", {"fedper": 0.6, "fedavg": 0.5, "local": 0.5}, **nobody)
    made.write(tmp_path / "r")
    found = read_replayed(tmp_path, made)
    pair = next(v for v in found.verdicts if v.pair.text == "fedper > fedavg")
    assert pair.seeds == SEEDS - 1
    assert "r.trials is partial: " in markdown_of(found)


def test_an_unknown_verdict_is_a_dash():
    assert in_full(None) == "–"
    assert in_full(Verdict(Ordering("a", "b"), "trials", "not tested")) == "not tested"


def test_the_command_line_prints_80_columns(found, called, monkeypatch):
    _, results = found
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = called("report", "r", "--results", str(results))
    assert code == 0, err
    table = [
        line for line in out.splitlines() if not line.startswith(("Equal", "Over", "Sens", "Rep"))
    ]
    assert max(map(len, table)) <= 80
    assert "reversed" in out


def test_a_claim_is_no_comparison(found, called):
    _, results = found
    for words in (["compare", "--resume", "r"], ["best", "r"], ["report", "r", "--target", "0.5"]):
        code, _, err = called(*words, "--results", str(results))
        assert code == 2
        assert "r is a claim" in err


def test_claims_are_listed_and_shown(called):
    code, out, _ = called("claim")
    assert code == 0
    assert all(name in out for name in NAMES)
    code, out, _ = called("claim", "fedperfix", "--show", "--name", "f")
    assert code == 0
    assert "fedperfix > fedper   paper +3.68" in out
    assert "--name f.trials" in out


def test_a_whole_record_is_read_again():
    made = replay(claim())
    again = validated(Replay, json.loads(made.model_dump_json()), "claim.json")
    assert again == made
    assert isinstance(again.claim, Claim)
    assert next(iter(records(read_replayed_nowhere(made))))["verdict"] == "not tested"


def read_replayed_nowhere(made):
    """What a replay of which nothing has begun has found."""
    from pathlib import Path

    return read_replayed(Path("/nonexistent"), made)


def test_the_function_takes_what_its_command_takes():
    command = root.get_command(click.Context(root), "claim")
    flags = {option.name for option in command.params}
    taken = set(inspect.signature(pfltune.claim).parameters)
    assert taken - {"progress"} == flags - {"show", "as_json"}


@pytest.mark.parametrize("option", ["--seeds", "--workers", "--threads"])
def test_a_value_that_is_not_possible_is_refused_in_a_line(called, option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = called("claim", "fedperfix", option, "0")
    assert code == 2
    assert err.count("\n") == 1
    assert not (tmp_path / "results").exists()


SMALL = {
    **{"protocol.rounds": 2, "protocol.sampled_clients": 2, "protocol.evaluate_every": 1},
    **{"partition.clients": 6, "warm_start.epochs": 1, "backbone.patch_size": 4},
    **{"backbone.width": 16, "backbone.depth": 1, "backbone.heads": 2},
}
TINY = {
    **CLAIM,
    "methods": ["fedper", "fedavg"],
    "orderings": ["fedper > fedavg", "head most sensitive"],
    "published": {},
    "scales": {
        "tiny": {
            "overrides": SMALL,
            "options": {"trials": 2, "generation": 2, "eta": 2, "seeds": 2, "precision": "float32"},
            "footings": {"bytes": "1kB", "draws": 2, "sensitivity": {"seeds": 1}},
        }
    },
}


def claimed(folder, *words):
    """A replay, whole."""
    return command(folder, "claim", *words)


@pytest.mark.slow
@pytest.mark.usefixtures("png_alone")
def test_a_claim_that_is_killed_goes_on_to_the_same_verdicts(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    whole = claimed(tmp_path, "tiny.yaml", "--name", "whole", "--workers", "2")
    # Not even one round of FedAvg fits into the budget of bytes.
    assert whole.returncode == 1, whole.stdout + whole.stderr
    assert "Equal bytes: not tested, " in whole.stdout
    first = json.loads((tmp_path / "results/whole/report/claim.json").read_text())
    words = {v["verdict"] for v in first["verdicts"] if v["footing"] in ("trials", "draws")}
    assert words <= {"holds", "reversed", "not told apart"}

    once_more = ["claim", "tiny.yaml", "--name", "killed", "--workers", "1", "--fresh"]
    killed(tmp_path, "killed.trials", 8, once_more)
    resumed = claimed(tmp_path, "--resume", "killed", "--json")
    assert resumed.returncode == 1, resumed.stderr
    again = json.loads(resumed.stdout)
    assert again["verdicts"] == first["verdicts"]
    assert set(again["parts"]) == {"trials", "bytes", "draws", "sensitivity"}
