"""Fronts as they are reported, certified, gone on with and given on by name."""

import csv
import io
import json
import math
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import optuna
import pytest
from chaos.disturb import killed
from inline import command
from trained import SMALL, compare_small

import pfltune
from pfltune.audit.certificate import canonical
from pfltune.budget import Budget
from pfltune.cli.compare import content_of
from pfltune.dominance import fronts, hypervolume
from pfltune.errors import UserError
from pfltune.front import fronted, letter_of
from pfltune.report.analysis import analyse
from pfltune.report.attachment import _of_front
from pfltune.report.chosen import chosen_values
from pfltune.report.communication import point_of
from pfltune.report.description import of_comparison, of_method
from pfltune.report.figures import MAKERS, draw
from pfltune.report.fronts import finishers, fronts_of
from pfltune.report.fronts_shown import (
    configurations,
    csv_fronts,
    front_facts,
    front_lines,
    lines,
    note,
    search_fronts,
)
from pfltune.report.notebook import Results
from pfltune.report.optuna_studies import studies_of
from pfltune.report.results import read_results
from pfltune.report.tuning.tuned import is_tuning
from pfltune.report.tuning.words import budget_note
from pfltune.report.writer import write_report
from pfltune.seal import digest
from pfltune.space_file import SpaceOptions
from pfltune.studies.tuned import chosen
from pfltune.tracking.events import MethodEnded
from pfltune.tracking.journal import Journal

pytestmark = pytest.mark.thorough

METHODS = ["fedavg+topk", "fedsa_lora", "local[lr=0.05]"]
SEARCH = {"topk_share": {"choices": [0.02, 0.1, 0.5, 1.0]}, "rank": {"choices": [1, 2, 4, 8]}}
BUDGET = {"trials": 8, "generation": 2, "eta": 2, "seeds": 2, "objective": "accuracy,comm"}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A comparison that was really trained, its fronts confirmed; and one in which nothing fits."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = tmp_path_factory.mktemp("fronts") / "results"
    options = SpaceOptions.model_validate({"search": SEARCH})
    compare_small(folder, "fronts", METHODS, Budget(**BUDGET, front=2), options)
    budget = Budget(trials=2, generation=2, eta=2, seeds=1, max_mb=1e-3)
    compare_small(folder, "none", ["fedavg", "local[lr=0.05]"], budget)
    return folder


@pytest.fixture(scope="module")
def result(results):
    return read_results(results, "fronts")


@pytest.fixture(scope="module")
def analysis(result):
    return analyse(result)


@pytest.fixture(scope="module")
def double(result):
    """The first row of a method that has two."""
    return next(row for row in result.methods if row.of and not row.place)


def rows_of(result, method):
    return sorted((r for r in result.methods if r.method == method), key=lambda r: r.place)


# ------------------------------------------------------------------------------------- the rows


def test_letters():
    assert [letter_of(n) for n in (0, 1, 25, 26, 27, 52)] == ["a", "b", "z", "aa", "ab", "ba"]


def test_configurations_come_in_the_order_in_which_they_were_dealt():
    def trial(stage, index, lr):
        return SimpleNamespace(stage=stage, index=index, knobs={"lr": lr})

    told = [trial("confirm", 3, 2), trial("confirm", 1, 2), trial("confirm", 0, 1)]
    told += [trial("search", 0, 3), trial("confirm", 2, 1)]
    found = fronted(told, lambda each: each)
    assert [[each.index for each in own] for own in found] == [[0, 2], [1, 3]]


def test_each_configuration_of_a_front_has_a_row_with_every_seed(result, double):
    names = {row.name for row in result.methods}
    assert {f"{double.of} (a)", f"{double.of} (b)", "local[lr=0.05]"} <= names
    for method in {row.method for row in result.methods}:
        rows = rows_of(result, method)
        assert [row.place for row in rows] == list(range(len(rows)))
        assert len(rows) <= 2
        assert all(len(row.runs) == 2 and row.seeds == rows[0].seeds for row in rows)
        assert len({json.dumps(row.best, sort_keys=True) for row in rows}) == len(rows)
        for row in rows:
            told = [t for t in row.trials if t.started.stage == "confirm"]
            assert [t.started.knobs for t in told] == [row.best] * 2


def test_every_trial_is_counted_once(result):
    names = [trial.started.trial for trial in result.trials]
    assert len(names) == len(set(names)) == result.ended == result.planned
    searched = {m.name: m.search_trials for m in result.whole}
    assert searched == {"fedavg+topk": 8, "fedsa_lora": 8, "local[lr=0.05]": 1}
    titles = {m.name: m.title for m in result.whole}
    assert (titles["fedavg+topk"], titles["fedsa_lora"]) == ("FedAvg + top-k", "FedSA-LoRA")


def test_what_is_confirmed_is_on_the_front_of_the_search_and_the_most_accurate_is_a(result):
    rounds = result.record.scenario.protocol.rounds
    for method in result.whole:
        ran = finishers(method, rounds)
        points = [(run.value, run.needs_mb) for run in ran]
        best = [ran[n].knobs for n in fronts(points)[0]]
        rows = rows_of(result, method.name)
        assert all(row.best in best for row in rows)
        top = max(ran, key=lambda run: (run.value, -run.needs_mb))
        assert rows[0].best == top.knobs or top.value == max(
            run.value for run in ran if run.knobs == rows[0].best
        )


def test_a_method_with_several_rows_must_be_named_with_its_letter(result, double):
    assert result.find(f"{double.of} (b)").place == 1
    assert result.find(double.title.upper()).letter == "a"
    with pytest.raises(UserError, match=f"name one of: .*{re.escape(double.name)}"):
        result.find(double.of)
    with pytest.raises(UserError, match="several methods"):
        result.find(None)
    assert result.find("local[lr=0.05]").letter == ""


# ------------------------------------------------------------------------- hypervolume and words


def test_hypervolumes_are_of_one_reference_point(result, analysis):
    found = analysis.fronts
    sent = [run.needs_mb for m in result.whole for run in finishers(m, 4)]
    sent += [point_of(row)[1] for row in result.methods]
    assert found.most == max(sent)
    for each in found.methods:
        rows = [point_of(row) for row in rows_of(result, each.method.name)]
        assert each.test == hypervolume(rows, found.most)
        points = [(run.value, run.needs_mb) for run in each.searched]
        assert each.validation == hypervolume(points, found.most)
        assert {run.index for run in each.front} == {
            each.searched[n].index for n in fronts(points)[0]
        }
    assert [each.test for each in found.methods] == sorted(
        (each.test for each in found.methods), reverse=True
    )
    local = found.of("local[lr=0.05]")
    (row,) = local.rows
    assert local.test == pytest.approx(row.mean("selected/test_accuracy")), "it sends nothing"


def test_with_one_objective_there_are_no_fronts(results):
    analysis = analyse(read_results(results, "none"))
    assert analysis.fronts is fronts_of(analysis.result) is None
    assert list(front_lines(analysis)) == []
    assert front_facts(analysis) == {}
    assert Results(analysis.result, results / "none").fronts.empty


def test_the_table_of_fronts_and_its_words(result, analysis, double):
    heads, *shown = lines(analysis.fronts)
    assert len({len(row) for row in (heads, *shown)}) == 1
    assert [row[0] for row in shown] == [each.method.title for each in analysis.fronts.methods]
    local = next(row for row in shown if row[0].startswith("Local"))
    assert local[1] == "1 of 1"
    assert local[3] == "1"
    told = note(result, analysis.fronts)
    assert f"budgets from 0 to {analysis.fronts.most:,.4g} MB (the most that any" in told
    assert (
        "Up to 2 configurations of each were confirmed with fresh seeds: its two ends; (a)" in told
    )
    alone = result.budget.model_copy(update={"front": 1})
    one = replace(result, record=result.record.model_copy(update={"budget": alone}))
    assert "The best of each on validation data was confirmed" in note(one, analysis.fronts)
    named = list(front_lines(analysis))
    assert any(line.startswith(f"{double.bare_title} (b): lr=") for line in named)
    assert named[-1].startswith("Hypervolume %, the mean of the best accuracy within 0 to ")
    assert not list(configurations(result, analysis.fronts.of("local[lr=0.05]"))), "one row"
    assert "accuracy and MB at once" in budget_note(result)


def test_the_csv_has_every_point(analysis, results):
    table = list(csv.DictReader(io.StringIO(csv_fronts(analysis.fronts))))
    wanted = sum(len(e.searched) + len(e.rows) for e in analysis.fronts.methods)
    assert len(table) == wanted
    assert {row["part"] for row in table} == {"val", "test"}
    frame = Results(analysis.result, results / "fronts").fronts
    assert list(frame["comm/total_mb"]) == [float(row["comm/total_mb"]) for row in table]


def test_facts_for_scripts(result, analysis, results, double):
    facts = json.loads(json.dumps(front_facts(analysis)))["fronts"]
    assert facts["up_to_mb"] == analysis.fronts.most
    one = facts["methods"][double.of]
    assert one["confirmed"] == [f"{double.of} (a)", f"{double.of} (b)"]
    assert one["search/hypervolume"] == analysis.fronts.of(double.of).validation
    rows = content_of(results / "fronts", result)["methods"]
    assert {row["method"] for row in rows} == {row.name for row in result.methods}


def test_mlflow_is_told_of_each_method_once(result, analysis, double):
    for method in result.whole:
        assert method.title in of_method(analysis, method)
        assert set(_of_front(analysis, method)) == {"search/hypervolume", "test/hypervolume"}
    assert f"{double.bare_title} (b)" in of_comparison(analysis)
    assert {study.name.split("/")[-1] for study in studies_of(result)} >= {"fedavg+topk"}


def test_pictures(analysis):
    drawing = search_fronts(analysis)
    assert drawing.name == "search-fronts"
    labels = drawing.figure.axes[0].get_legend_handles_labels()[1]
    assert sorted(labels) == sorted(each.method.title for each in analysis.fronts.methods)
    picture = draw("accuracy_vs_communication", analysis).figure
    letters = [text.get_text() for text in picture.axes[0].texts]
    assert letters.count("b") >= 1
    assert set(picture.axes[0].get_legend_handles_labels()[1]) == set(labels)
    assert "search_fronts" in MAKERS


def test_the_report_is_written(results, result, double):
    write_report(results, "fronts")
    folder = results / "fronts" / "report"
    page = (folder / "report.html").read_text()
    assert "<h2>Fronts</h2>" in page
    assert f"{double.bare_title} (b)" in page
    assert "(a) lr = " in page, "the configurations by their letters"
    assert page.count("<td>8</td>") >= 2, "each search once"
    assert (folder / "fronts.csv").exists()
    assert (folder / "search-fronts.pdf").exists()
    assert not is_tuning(result)


# --------------------------------------------------------------------------- going on with it


def test_a_configuration_of_a_front_is_held_by_its_letter(results, result, double):
    second = result.find(f"{double.of} (b)")
    found = chosen(f"{double.of}@fronts:b", results)
    assert {k: found.values[k] for k in second.best} == second.best
    assert found.origin.name == "fronts"
    assert chosen_values(result, second).values == second.best
    with pytest.raises(UserError, match=r"chose 2 configurations of .*@fronts:a") as told:
        chosen(f"{double.of}@fronts", results)
    assert "@fronts:b (lr=" in str(told.value)
    with pytest.raises(UserError, match="has no configuration z"):
        chosen(f"{double.of}@fronts:z", results)
    with pytest.raises(UserError, match="no front of local"):
        chosen("local[lr=0.05]@none:a", results)
    with pytest.raises(UserError, match="has no configuration b of local"):
        chosen("local[lr=0.05]@fronts:b", results)
    assert chosen("local[lr=0.05]@fronts", results).values["lr"] == 0.05


def test_while_a_front_is_confirmed_its_only_configuration_so_far_is_not_all_of_it(
    results, double, tmp_path
):
    folder = shutil.copytree(results / "fronts", tmp_path / "fronts")
    journal = folder / "journal.jsonl"
    kept = []
    for line in journal.read_text().splitlines(keepends=True):
        kept.append(line)
        event = json.loads(line)
        if (event.get("method"), event.get("stage")) == (double.of, "confirm"):
            break
    journal.write_text("".join(kept))
    with pytest.raises(UserError, match=f"the search of {re.escape(double.of)} in fronts has not"):
        chosen(f"{double.of}@fronts", tmp_path)
    assert (
        chosen(f"{double.of}@fronts:a", tmp_path).values
        == chosen(f"{double.of}@fronts:a", results).values
    )


def test_the_journal_names_the_front(results, result):
    events = Journal(results / "fronts" / "journal.jsonl", result.record.seal).events
    ended = {e.method: e for e in events if isinstance(e, MethodEnded)}
    for method in result.whole:
        rows = rows_of(result, method.name)
        wanted = [row.best for row in rows] if len(rows) > 1 else []
        assert ended[method.name].front == wanted
        assert ended[method.name].best == rows[0].best


def test_nothing_that_fits_is_told_with_what_it_needs(results):
    result = read_results(results, "none")
    method = result.find("fedavg")
    assert not method.runs
    assert {run.rounds for run in method.searched} == {1}
    assert not any(run.fits for run in method.searched)
    least = min(run.needs_mb for run in method.searched)
    why = f"no configuration that was tried fits 0.001 MB: the least needs {least:,.4g} MB"
    assert method.unfit == why
    with pytest.raises(UserError, match="the least needs"):
        method.choice()
    with pytest.raises(UserError, match=r"every trial failed, or would send over 0\.001 MB"):
        chosen("fedavg@none", results)
    assert result.find("local[lr=0.05]").runs, "what sends nothing fits"
    write_report(results, "none")
    page = (results / "none" / "report" / "report.html").read_text()
    assert "too many MB" in page
    assert "would send more than they may" in page
    assert math.isclose(least, 4 * method.searched[0].metrics["comm/total_mb"], rel_tol=1)


# ----------------------------------------------------------------------------------- certificates


@pytest.mark.parametrize("name", ["fronts", "none"])
def test_its_certificate_holds(results, name):
    verdict = pfltune.verify(pfltune.certify(name, results=results), sample=1, seed=3)
    assert verdict.holds
    assert not verdict.faults


def forged(path, change, to):
    content = json.loads(path.read_text())
    del content["digest"]
    change(content, {f"{t['method']}-{t['stage']}-{t['index']}": t for t in content["trials"]})
    to.write_bytes(canonical({**content, "digest": digest(canonical(content))}))
    return to


def cheaper(content, trials):
    """A trial that sends a tenth of what it did: it would have been confirmed, or gone on."""
    for trial in trials.values():
        if trial["method"] == "fedsa_lora" and trial["stage"] == "search":
            trial["mb"] = [mb * (10 if trial["index"] % 2 else 0.1) for mb in trial["mb"]]
            trial["figures"]["comm/total_mb"] = trial["mb"][-1]


def without_mb(content, trials):
    trials["fedsa_lora-search-0"]["mb"] = []


def other_total(content, trials):
    trials["fedsa_lora-search-0"]["figures"]["comm/total_mb"] += 1


def no_second_row(content, trials):
    content["table"] = [row for row in content["table"] if not row["method"].endswith("(b)")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (cheaper, "fedsa_lora-"),
        (without_mb, "has MB of 0 rounds"),
        (other_total, "has sent other MB"),
        (no_second_row, "the table has other rows"),
    ],
)
def test_forged_bytes_are_found(results, tmp_path, change, told):
    certificate = pfltune.certify("fronts", results=results)
    path = forged(certificate, change, tmp_path / "forged.json")
    verdict = pfltune.verify(path, sample=0)
    assert any(told in fault for fault in verdict.faults)


# ------------------------------------------------------------------------- the command, killed


def fronts_in(folder):
    """What a comparison found, but for seconds and memory."""
    result = read_results(folder / "results", "small")
    rows = {row.name: (row.best, row.clients().tolist(), point_of(row)) for row in result.methods}
    return rows, csv_fronts(analyse(result).fronts)


@pytest.mark.slow
@pytest.mark.usefixtures("png_alone")
def test_a_killed_comparison_of_two_workers_ends_with_the_fronts_of_one(tmp_path):
    words = ["compare", "--methods", "fedsa_lora,fedavg+topk", "--name", "small"]
    words += [word for override in SMALL for word in ("-o", override)]
    words += ["--objective", "accuracy,comm", "--front", "2", "--max-mb", "0.5"]
    words += ["--trials", "4", "--generation", "4", "--eta", "2", "--seeds", "2"]
    words += ["--search", "topk_share=0.02,0.1,0.5,1.0", "--precision", "float32"]
    words += ["--checkpoint-seconds", "0"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    done = command(whole, *words, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "Hypervolume %, the mean of the best accuracy within 0 to 0.5 MB" in done.stdout
    killed(broken, "small", 14, [*words, "--workers", "2"])
    again = command(broken, *words)
    assert again.returncode == 0, again.stderr
    assert "Resuming small" in again.stdout
    assert fronts_in(broken) == fronts_in(whole)
