"""A report's files: what they say, how they are written, and for whom they are refused."""

import csv
import io
import re
import shutil
import subprocess

import comparisons
import html5lib
import numpy as np
import pytest
import tunings
from click.testing import CliRunner
from comparisons import Fake
from mlflow.exceptions import MlflowException
from rich.console import Console
from scipy import stats

from pfltune.cli.report import command
from pfltune.cli.tables import comparison_table
from pfltune.errors import Halted, TrackingError, UserError
from pfltune.record import Change, Sensitivity
from pfltune.report import attachment, markdown
from pfltune.report.analysis import analyse
from pfltune.report.attachment import attach_report
from pfltune.report.columns import local_steps, mean_test
from pfltune.report.description import LONGEST, fitting, of_comparison
from pfltune.report.latex import cell, escaped
from pfltune.report.markdown import markdown_table
from pfltune.report.results import ConfirmedRun, MethodResult, read_results
from pfltune.report.tuning.advice import advice
from pfltune.report.tuning.sentence import sentence
from pfltune.report.tuning.tuned import tuned_of
from pfltune.report.words import finding
from pfltune.report.writer import write_report
from pfltune.tracking.runs import NOTE_TAG
from pfltune.tracking.store import Store

pytestmark = pytest.mark.thorough

MOST_BYTES = 3_000_000
TABLES = ("table.md", "table.tex", "resources.tex", "table.csv", "clients.csv", "summary.csv")


def crossed(level, seeds=3, clients=8):
    """Accuracies that differ by client and by seed, without two alike."""
    of_clients = np.random.default_rng(0).uniform(-0.1, 0.1, clients)
    rest = np.random.default_rng(round(1000 * level)).normal(0, 0.02, (seeds, clients))
    return (level + of_clients + rest).round(4)


METHODS = {
    "fedrep": Fake("FedRep", crossed(0.75), up_mb=1.5, searched=(0.4, 0.6, 0.5)),
    "fedavg": Fake("Fed_Avg & Co", crossed(0.65), up_mb=2.0, searched=(0.5, 0.4, 0.3)),
    "local": Fake("Local", crossed(0.6), up_mb=0.0, searched=(0.5, 0.6, 0.4)),
    "broken": Fake("<b>Broken</b>", np.empty((0, 8)), searched=(0.1,), failed=2),
}


@pytest.fixture(scope="module")
def written(cold_store, tmp_path_factory):
    """A comparison of four methods, one without a confirmed run, and its report."""
    results = tmp_path_factory.mktemp("report") / "results"
    store = cold_store(results)
    comparisons.record(store, "one", METHODS)
    folder = results / "one" / "report"
    result = write_report(results, "one")
    attach_report(results, analyse(result), folder, pytest.fail)
    return store, result, folder


@pytest.fixture(scope="module")
def analysis(written):
    return analyse(written[1])


def rows_of(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def experiment_of(store, name):
    return store.client.get_experiment_by_name(name).experiment_id


def method_runs(store, name):
    """The run of each method."""
    found = store.client.search_runs([experiment_of(store, name)], "tags.stage = 'summary'")
    return {run.data.tags["method"]: run for run in found}


def own_run(store, name):
    """The id of the comparison's own run."""
    (run,) = store.client.search_runs([experiment_of(store, name)], "tags.stage = 'comparison'")
    return run.info.run_id


def by_hand(store, name):
    """Method → seed → test accuracy of the clients: with MLflow's client, past pfltune's reader."""
    client, found = store.client, {}
    for run in client.search_runs([experiment_of(store, name)], max_results=5_000):
        tags = run.data.tags
        if tags.get("stage") == "confirm":
            owner = client.get_run(tags["mlflow.parentRunId"]).data.tags["method"]
            found.setdefault(owner, {})[int(tags["seed"])] = run
    return found


def test_every_number_of_the_tables_follows_from_the_store(written):
    store, result, folder = written
    found = by_hand(store, result.name)
    summary = {row["method"]: row for row in rows_of(folder / "summary.csv")}
    html, tex = (folder / "report.html").read_text(), (folder / "table.tex").read_text()
    assert set(summary) == set(found) == {"fedrep", "fedavg", "local"}
    for name, seeds in found.items():
        tests = [run.data.metrics["selected/test_accuracy"] for run in seeds.values()]
        assert sorted(tests) == pytest.approx(sorted(METHODS[name].test.mean(1)))
        mb = [run.data.metrics["comm/total_mb"] for run in seeds.values()]
        rounds = [run.data.metrics["rounds"] for run in seeds.values()]
        row = summary[name]
        assert float(row["test/accuracy"]) == pytest.approx(np.mean(tests), abs=1e-12)
        assert float(row["test/accuracy_std_seeds"]) == pytest.approx(np.std(tests, ddof=1))
        assert float(row["test/accuracy_std"]) == pytest.approx(METHODS[name].test.std(1).mean())
        assert float(row["test/accuracy_worst_decile"]) == pytest.approx(
            METHODS[name].test.min(1).mean()
        ), "of eight clients, the worst tenth is one"
        assert float(row["comm/total_mb"]) == pytest.approx(np.mean(mb))
        per_client = np.mean(mb) / np.mean(rounds) / 4
        assert float(row["comm/mb_per_client_and_round"]) == pytest.approx(per_client)
        mean, spread = f"{100 * np.mean(tests):.2f}", f"{100 * np.std(tests, ddof=1):.2f}"
        assert f">{mean} ± {spread}<" in html
        assert re.search(rf"{mean}}}? {{\\scriptsize \$\\pm\$ {spread}}}", tex)


def test_differences_are_those_to_the_best_validated_method(written):
    _, _, folder = written
    rows = {row["method"]: row for row in rows_of(folder / "summary.csv")}
    assert rows["fedrep"]["verdict"] == "reference"
    for name in ("fedavg", "local"):
        difference = METHODS[name].test - METHODS["fedrep"].test
        assert rows[name]["reference"] == "fedrep"
        assert float(rows[name]["difference"]) == pytest.approx(difference.mean())
        assert float(rows[name]["difference_low"]) < difference.mean()
        assert float(rows[name]["difference_high"]) > difference.mean()
    assert rows["local"]["verdict"] == "worse"


def test_the_spreadsheets_keep_every_seed_client_and_digit(written):
    _, _, folder = written
    seeds = rows_of(folder / "table.csv")
    assert [(row["method"], row["seed"]) for row in seeds] == [
        (name, str(seed)) for name in ("fedrep", "fedavg", "local") for seed in (100, 101, 102)
    ]
    kept = [float(row["selected/test_accuracy"]) for row in seeds[:3]]
    assert kept == pytest.approx(METHODS["fedrep"].test.mean(1), abs=1e-15)
    clients = rows_of(folder / "clients.csv")
    assert len(clients) == 3 * 3 * 8
    kept = [float(row["test_accuracy"]) for row in clients if row["method"] == "local"]
    assert kept == METHODS["local"].test.ravel().tolist()


def test_the_store_shows_the_table_on_the_runs_of_the_methods(written):
    store, result, folder = written
    for method in result.methods:
        run = method_runs(store, "one")[method.name]
        shown = {name: run.data.metrics[name] for name in method.summary()}
        assert shown == pytest.approx(method.summary())
        assert not store.client.list_artifacts(run.info.run_id, "report"), "once, not by method"
    there = {file.path for file in store.client.list_artifacts(own_run(store, "one"), "report")}
    assert there == {f"report/{path.name}" for path in folder.iterdir()}
    drawn = {file.path for file in store.client.list_artifacts(own_run(store, "one"), "figures")}
    assert drawn == {f"figures/{path.name}" for path in folder.glob("*.png")}


def test_mlflow_loads_the_table_once_however_often_it_was_written(written, monkeypatch):
    store, result, folder = written
    attach_report(store.results, analyse(result), folder, pytest.fail)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)  # where its client looks for runs
    table = store.client.load_table(experiment_of(store, "one"), "table.json")
    assert list(table["method"]) == [method.name for method in result.methods]
    found = table.set_index("method")["test/accuracy"]
    assert found["local"] == pytest.approx(METHODS["local"].test.mean())


def test_descriptions_say_what_was_found_and_where_to_look_and_hold_no_html(written, analysis):
    store, *_ = written
    about = store.client.get_experiment(experiment_of(store, "one")).tags[NOTE_TAG]
    assert finding(analysis) in about.replace("\\", "").replace("&lt;", "<").replace("&amp;", "&")
    assert "| Local |" in about
    assert "`pfltune ui one`" in about
    assert "`pfltune extend one --trials" in about
    notes = {name: run.data.tags[NOTE_TAG] for name, run in method_runs(store, "one").items()}
    assert "Chosen: " in notes["fedrep"]
    assert "| FedRep |" in notes["fedrep"]
    assert "| Local |" not in notes["fedrep"]
    assert "<b>" not in "".join([about, *notes.values()])


def test_a_tuning_is_described_by_its_sentence_the_best_ten_and_what_to_try(tmp_path):
    tunings.write(tmp_path, "look", tunings.chosen())
    tuned = tuned_of(analyse(read_results(tmp_path, "look")))
    told = of_comparison(tuned.analysis)
    assert told.startswith(markdown.escaped(sentence(tuned)))
    assert "| prefix\\_length" in told or "| prefix_length" in told
    assert f"`{advice(tuned).command}`" in told
    assert "`pfltune ui look`" in told


def test_a_description_that_would_be_too_long_has_the_first_rows_and_all_places():
    table = [["method", "figure"], *([f"m{i}", "x" * 90] for i in range(200))]
    told = fitting(["Found."], table, ["look here"])
    assert len(told) <= LONGEST
    assert "| m0 |" in told
    assert "more rows, in the report" in told
    assert told.endswith("- look here\n")
    assert len(fitting(["y" * 9000], table[:1], ["look here"])) <= LONGEST


def test_writing_again_changes_nothing(written):
    store, result, folder = written
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = write_report(store.results, "one")
    attach_report(store.results, analyse(again), folder, pytest.fail)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    for method in result.confirmed:
        run = method_runs(store, "one")[method.name].info.run_id
        for name in method.summary():
            assert len(store.client.get_metric_history(run, name)) == 1, name


def test_the_page_is_valid_stands_alone_and_escapes_what_strangers_say(written):
    _, _, folder = written
    html = (folder / "report.html").read_text()
    html5lib.HTMLParser(strict=True).parse(html)
    assert len(html) < MOST_BYTES
    figures = sorted(path.stem for path in folder.glob("*.png"))
    assert html.count('src="data:image/png;base64,') == len(figures) == html.count("<img")
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(|@import|https?:""", html)
    assert "&lt;b&gt;Broken&lt;/b&gt;" in html
    assert "<b>Broken" not in html
    assert "loss was nan &lt;in&gt; round 1" in html
    assert "trained for 30 epochs on 20% of the data set" in html


def test_every_figure_is_there_for_a_page_and_for_a_paper(written):
    _, _, folder = written
    figures = {path.stem for path in folder.glob("*.png")}
    assert {
        "accuracy-vs-communication", "learning-curves", "accuracy-by-bytes", "to-target",
        "client-accuracies", "gain-over-local", "paired-clients", "search-best-so-far",
    } <= figures  # fmt: skip
    for stem in figures:
        assert (folder / f"{stem}.pdf").read_bytes().startswith(b"%PDF-")
        assert "</svg>" in (folder / f"{stem}.svg").read_text()


def test_the_best_of_a_column_is_bold_in_latex_and_on_the_page(written):
    _, result, folder = written
    best = f"{100 * result.methods[0].mean('selected/test_accuracy'):.2f}"
    tex = (folder / "table.tex").read_text()
    assert rf"FedRep & \textbf{{{best}}} {{\scriptsize $\pm$" in tex
    assert f'class="best">{best} ±' in (folder / "report.html").read_text()
    assert rf"\textbf{{{100 * result.methods[1].mean('selected/test_accuracy'):.2f}}}" not in tex


@pytest.mark.parametrize("name", ["table.tex", "resources.tex"])
def test_latex_has_one_cell_per_column_and_closes_what_it_opens(written, name):
    lines = (written[2] / name).read_text().splitlines()
    (align,) = re.findall(r"\\begin{tabular}{(l?r+)}", "\n".join(lines))
    rows = [line for line in lines if line.endswith(r" \\")]
    assert len(rows) == 1 + len(METHODS)
    for row in rows:
        assert len(re.findall(r"(?<!\\)&", row)) == len(align) - 1, row
    text = "\n".join(lines)
    assert text.count("{") == text.count("}")
    begun, ended = (re.findall(rf"\\{word}{{(\w+)}}", text) for word in ("begin", "end"))
    assert begun == ended[::-1]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX; `make debian` installs it")
def test_latex_compiles(written, tmp_path):
    body = [(written[2] / name).read_text() for name in ("table.tex", "resources.tex")]
    head = r"\documentclass{article}\usepackage{booktabs,graphicx}"
    document = rf"{head}\begin{{document}}{''.join(body)}\end{{document}}"
    (tmp_path / "paper.tex").write_text(document)
    told = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout[-2000:]
    assert (tmp_path / "paper.pdf").exists()
    assert "Overfull" not in told.stdout


def test_latex_of_single_cells():
    assert escaped("50 % of a_b & c#1") == r"50\,\% of a\_b \& c\#1".replace(r"\,", " ")
    assert cell("75.00 ± 7.07", bold=True) == r"\textbf{75.00} {\scriptsize $\pm$ 7.07}"
    assert cell("not reached") == "not reached"


def test_the_comparison_table_fits_into_a_hundred_columns(written):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(comparison_table(written[1]))
    text = console.export_text()
    assert "Fed_Avg & Co" in text
    assert "failed" in text
    assert "…" not in text


def test_markdown_has_results_then_resources(analysis):
    results, _, resources = markdown_table(analysis).partition("Reference: ")
    assert results.startswith("| method | test accuracy % | 95 % interval |")
    assert "| Local |" in results
    assert "| Local | 0.000 | 0.000 | 0.00 |" in resources
    assert "| &lt;b&gt;Broken&lt;/b&gt; | failed |" in results


def test_steps_of_adaptation_stand_beside_those_of_training():
    def trained(steps, adapted):
        # What summary() reads besides is of no interest here.
        figures = dict.fromkeys(
            (
                "selected/test_accuracy", "selected/test_accuracy_std", "selected/val_accuracy",
                "selected/test_accuracy_worst_decile", "comm/total_mb", "comm/setup_mb",
                "params/shared", "params/personal", "time/total_s", "memory/peak_mb",
            ),
            1.0,
        )  # fmt: skip
        counted = {
            "rounds": 4.0,
            "train/total_steps": steps,
            "train/total_adaptation_steps": adapted,
        }
        run = ConfirmedRun(1, figures | counted, {})
        return MethodResult("a", "A", {}, (run,), 1, 0, 0.0, ())

    assert local_steps(trained(4000.0, 0.0)) == "4,000"
    assert local_steps(trained(4000.0, 1200.0)) == "4,000 + 1,200"


def test_no_seed_has_no_mean_and_one_has_no_spread(written):
    broken, first = written[1].methods[-1], written[1].methods[0]
    assert np.isnan(broken.mean("selected/test_accuracy"))
    one = MethodResult("a", "A", {}, first.runs[:1], 1, 0, 0.0, ())
    assert np.isnan(one.std("selected/test_accuracy"))
    assert "±" not in mean_test(one)
    assert "test/accuracy_std_seeds" not in one.summary(), "JSON has no NaN"


@pytest.mark.parametrize(
    ("reference", "found"), [("local", "local"), ("LOCAL", "local"), ("fed_avg & co", "fedavg")]
)
def test_the_reference_may_be_named(written, reference, found):
    named = analyse(written[1], reference)
    assert named.reference.name == found
    assert named.chosen


def test_a_reference_that_was_not_confirmed_is_none(written):
    with pytest.raises(UserError, match=r"broken.*fedavg, fedrep, local"):
        analyse(written[1], "broken")


@pytest.fixture(scope="module")
def running(cold_store, tmp_path_factory):
    """Two methods; the second has no confirmed run yet."""
    results = tmp_path_factory.mktemp("running") / "results"
    store = cold_store(results)
    methods = {name: METHODS[name] for name in ("fedrep", "local")}
    unfinished = [f"local-confirm-{index}" for index in range(3)] + ["local-search-2"]
    comparisons.record(store, "half", methods, over=False, leave_out=unfinished)
    return store


def test_a_running_comparison_is_reported_as_partial_and_left_alone(running, tmp_path):
    result = write_report(running.results, "half", tmp_path)
    attach_report(running.results, analyse(result), tmp_path, pytest.fail)
    html = (tmp_path / "report.html").read_text()
    assert "Partial: 8 of 12 trials have ended; without a confirmed run so far: Local." in html
    html5lib.HTMLParser(strict=True).parse(html)
    assert "| Local | not yet |" in (tmp_path / "table.md").read_text()
    runs = method_runs(running, "half")
    assert set(runs) == {method.name for method in result.methods}
    assert running.client.list_artifacts(own_run(running, "half"), "report") == []
    for run in runs.values():
        assert "test/accuracy" not in run.data.metrics


def test_a_comparison_without_any_confirmed_run_has_a_page_all_the_same(tmp_path):
    methods = {"broken": METHODS["broken"]}
    unfinished = {"over": False, "leave_out": ["broken-search-0"], "mirrored": False}
    comparisons.record(Store(tmp_path), "none", methods, **unfinished)
    write_report(tmp_path, "none", tmp_path / "report")
    html = (tmp_path / "report" / "report.html").read_text()
    html5lib.HTMLParser(strict=True).parse(html)
    assert "Nothing was tested" not in html, "there is one method"
    assert "Nothing is chosen yet" in html
    assert "no test accuracy" in html
    assert (tmp_path / "report" / "table.csv").read_text() == "method,seed\n"


def test_only_comparisons_are_read(written, tmp_path):
    with pytest.raises(UserError, match="no comparison 'one', and none at all"):
        read_results(tmp_path, "one")
    with pytest.raises(UserError, match=r"'onne'.*did you mean.*one"):
        read_results(written[0].results, "onne")
    study = comparisons.record_of(METHODS, "study").model_copy(
        update={"command": "sensitivity", "budget": Sensitivity(lr=0.1, seeds=1, seed=0)}
    )
    study.write(tmp_path / "study")
    with pytest.raises(UserError, match="'study' is no comparison: it was run by pfltune sensit"):
        read_results(tmp_path, "study")


@pytest.fixture(scope="module")
def three(cold_store, tmp_path_factory):
    """The same methods in three scenarios; in the last, one of them is missing."""
    results = tmp_path_factory.mktemp("three") / "results"
    store = cold_store(results)
    names = ("fedrep", "fedavg", "local", "ditto")
    for place, scenario in enumerate(("digits", "blood", "cifar10")):
        methods = {
            name: Fake(name.title(), crossed(0.7 - 0.05 * rank + 0.01 * place))
            for rank, name in enumerate(names)
        }
        if place == 2:
            del methods["ditto"]
        comparisons.record(store, f"small-{scenario}", methods, scenario=scenario)
    return results


def test_several_scenarios_make_one_table_with_average_ranks(three):
    told = invoke(three, "small-digits", "small-blood", "small-cifar10")
    assert told.exit_code == 0, told.output
    folder = three / "small-digits+small-blood+small-cifar10"
    rows = rows_of(folder / "table.csv")
    assert [row["method"] for row in rows] == ["fedrep", "fedavg", "local", "ditto"]
    assert [row["average_rank"] for row in rows] == ["1.0", "2.0", "3.0", ""]
    assert rows[3]["cifar10"] == ""
    expected = crossed(0.7 - 0.05 + 0.01).mean()
    assert float(rows[1]["blood"]) == pytest.approx(expected)
    assert not (folder / "critical-difference.pdf").exists(), "of three scenarios no pair is tested"
    assert (folder / "performance-profiles.pdf").exists()
    assert float(rows[1]["improvement"]) == 0.0
    every = np.stack([crossed(0.7 + 0.01 * place).mean(1) for place in range(3)])
    assert float(rows[0]["iqm"]) == pytest.approx(stats.trim_mean(every, 0.25, axis=None))
    assert float(rows[0]["iqm_low"]) <= float(rows[0]["iqm"]) <= float(rows[0]["iqm_high"])
    html = (folder / "report.html").read_text()
    html5lib.HTMLParser(strict=True).parse(html)
    assert len(html) < MOST_BYTES
    assert "Friedman" in html
    tex = (folder / "table.tex").read_text()
    assert r"Ditto & " in tex
    assert tex.count(r"\textbf") == 6, "the best of three scenarios and ranks, two like them"


def invoke(results, *arguments):
    """As the command line does, with a user's mistake as exit code 2 and its line as output."""
    told = CliRunner().invoke(command, [*arguments, "--results", str(results)])
    if isinstance(told.exception, UserError):
        told.exit_code, told.output_bytes = 2, str(told.exception).encode()
    return told


def test_one_report_anew_with_another_reference_and_target(written, tmp_path):
    store, _, _ = written
    told = invoke(
        store.results, "one", "--reference", "local", "--target", "0.5", "--out", str(tmp_path)
    )
    assert told.exit_code == 0, told.output
    assert told.output.endswith(f"Report: {tmp_path}/report.html\n")
    assert {path.name for path in tmp_path.iterdir()} >= set(TABLES)
    rows = {row["method"]: row for row in rows_of(tmp_path / "summary.csv")}
    assert {row["reference"] for row in rows.values()} == {"local"}
    assert {row["target"] for row in rows.values()} == {"0.5"}
    assert "named by the user" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["onne"], ["'onne'", "did you mean", "one"]),
        (["one", "--reference", "fedaggv"], ["'fedaggv'", "fedavg, fedrep, local"]),
        (["one", "--target", "70"], ["--target 70", "0.7"]),
        (["one", "--target", "nan"], ["--target nan"]),
    ],
)
def test_what_cannot_be_reported_is_one_line_and_nothing_written(
    written, tmp_path, arguments, words
):
    told = invoke(written[0].results, *arguments, "--out", str(tmp_path / "new"))
    assert told.exit_code == 2
    assert all(word in told.output for word in words), told.output
    assert "\n" not in told.output
    assert not (tmp_path / "new").exists()


def test_a_report_takes_no_file_of_anybody_else(written, tmp_path):
    (tmp_path / "table.csv").write_text("my table")
    told = invoke(written[0].results, "one", "--out", str(tmp_path))
    assert (told.exit_code, "table.csv is there and pfltune did not write" in told.output) == (
        2,
        True,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert (tmp_path / "table.csv").read_text() == "my table"


def test_a_folder_that_is_a_file_or_a_store_that_is_not_there_is_refused(written, tmp_path):
    (tmp_path / "file").touch()
    told = invoke(written[0].results, "one", "--out", str(tmp_path / "file"))
    assert (told.exit_code, "--out" in told.output) == (2, True)
    told = invoke(tmp_path / "nowhere", "one")
    assert (told.exit_code, "none at all in" in told.output) == (2, True)
    assert not (tmp_path / "nowhere").exists(), "looking makes no store"


def test_a_table_of_two_programs_says_so_wherever_it_is_shown(tmp_path):
    change = Change(at="2026-11-26T10:00:00+00:00", differences=("the code of fedrep has changed",))
    comparisons.record(Store(tmp_path), "two", METHODS, mirrored=False, changes=(change,))
    told = invoke(tmp_path, "two")
    assert told.exit_code == 0, told.output
    words = "Not all trials were made by one program: from 2026-11-26T10:00:00+00:00 on, the code"
    assert words in told.output
    folder = tmp_path / "two" / "report"
    assert words in (folder / "report.html").read_text()
    assert "made by one program" in (folder / "table.md").read_text()


def test_a_damaged_journal_is_reported_up_to_the_damage_with_exit_code_1(tmp_path):
    comparisons.record(Store(tmp_path), "torn", METHODS, mirrored=False)
    journal = tmp_path / "torn" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[60] = lines[60].replace(b'"round": ', b'"round": 1')
    journal.write_bytes(b"".join(lines))
    told = invoke(tmp_path, "torn")
    assert isinstance(told.exception, Halted)
    assert "line 61 is damaged" in str(told.exception)
    assert "torn is partial" in told.output
    assert "line 61 is damaged" in (tmp_path / "torn" / "report" / "report.html").read_text()


def test_a_read_only_folder_can_be_reported_elsewhere_and_asks_nothing_of_mlflow(
    written, tmp_path, monkeypatch
):
    copy = tmp_path / "results"
    shutil.copytree(written[0].results, copy)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    monkeypatch.setattr(Store, "client", property(lambda store: pytest.fail("MLflow was asked")))
    told = invoke(copy, "one", "--out", str(tmp_path / "out"))
    assert told.exit_code == 0, told.output
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


@pytest.mark.parametrize(
    "linked", ["one", "one/comparison.json", "one/journal.jsonl", "one/report"]
)
def test_links_in_somebodys_results_are_not_followed(written, tmp_path, linked):
    copy = tmp_path / "results"
    shutil.copytree(written[0].results, copy)
    real = tmp_path / "elsewhere"
    shutil.move(copy / linked, real)
    (copy / linked).symlink_to(real)
    told = invoke(copy, "one")
    assert told.exit_code == 2, told.output
    assert "leads out of" in told.output or "link" in told.output


class Away:
    """A client of MLflow that fails so many times."""

    def __init__(self, client, times):
        self._client, self.left = client, times

    def __getattr__(self, name):
        if self.left:
            self.left -= 1
            raise MlflowException("no answer from http://me:secret-word@host")
        return getattr(self._client, name)


def test_a_report_waits_for_mlflow_and_says_so_once(cold_store, tmp_path, monkeypatch):
    comparisons.record(cold_store(tmp_path), "one", METHODS)
    result, told = write_report(tmp_path, "one"), []
    client = Away(Store(tmp_path).client, times=3)
    monkeypatch.setattr(Store, "client", property(lambda store: client))
    monkeypatch.setattr(attachment, "FIRST_WAIT_S", 0.01)
    attach_report(tmp_path, analyse(result), tmp_path / "one" / "report", told.append)
    assert len(told) == 1
    assert "secret-word" not in told[0]
    assert client.list_artifacts(own_run(Store(tmp_path), "one"), "report")

    client.left = 10**9
    monkeypatch.setattr(attachment, "PATIENCE_S", 0.05)
    with pytest.raises(
        TrackingError, match=r"could not be attached in MLflow at .*no answer"
    ) as end:
        attach_report(tmp_path, analyse(result), tmp_path / "one" / "report", told.append)
    assert "secret-word" not in str(end.value)
