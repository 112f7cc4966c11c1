"""Every sentence and figure of a report: for one of anything, ties, failures, strangers."""

import csv
import io
import re
from dataclasses import replace

import comparisons
import html5lib
import numpy as np
import pytest
from matplotlib.text import Text
from rich.console import Console

from pfltune.cli.said import said
from pfltune.cli.tables import comparison_table, fitting_columns, print_table
from pfltune.errors import UserError
from pfltune.goal import ACCURACY
from pfltune.report import figures, words
from pfltune.report.analysis import analyse
from pfltune.report.canvas import TEXT_SIZE
from pfltune.report.columns import client_std, of_tests, paper_columns, result_columns, signed
from pfltune.report.curves import learning_curves
from pfltune.report.latex import result_table
from pfltune.report.markdown import markdown_table
from pfltune.report.power_words import power, power_lines, power_note
from pfltune.report.results import (
    ComparisonResult,
    ConfirmedRun,
    MethodResult,
    SearchedRun,
)
from pfltune.report.spreadsheet import csv_clients, csv_summary
from pfltune.report.tuning.commands import differences
from pfltune.report.tuning.of_methods import best_so_far, knob_contour, knob_slices
from pfltune.report.writer import write_files
from pfltune.text import count, plain

pytestmark = pytest.mark.usefixtures("png_alone")

CLIENTS = 8
ROUNDS = 4


def run(seed, test, **extra) -> ConfirmedRun:
    values = np.asarray(test, dtype=float)
    metrics = {
        "selected/test_accuracy": float(values.mean()),
        "selected/test_accuracy_std": float(values.std()),
        "selected/test_accuracy_worst_decile": float(values.min()),
        "selected/val_accuracy": float(values.mean()),
        "rounds": 4.0, "comm/up_mb_per_round": 1.0, "comm/total_mb": 8.0, "comm/setup_mb": 0.0,
        "params/shared": 10.0, "params/personal": 10.0, "train/total_steps": 12.0,
        "train/total_adaptation_steps": 0.0, "time/total_s": 1.0, "memory/peak_mb": 1.0, **extra,
    }  # fmt: skip
    steps = range(1, ROUNDS + 1)
    curves = {
        "val/accuracy": [(step, float(values.mean()) * step / ROUNDS) for step in steps],
        "test/accuracy": [],
        "comm/total_mb": [(step, 2.0 * step) for step in steps],
    }
    shares = tuple(map(float, values))
    return ConfirmedRun(seed, metrics, curves, shares, shares)


def searched(count, *, knobs=1):
    names = ("lr", "scale", "length")[:knobs]
    rng = np.random.default_rng(0)
    return tuple(
        SearchedRun(
            index, 0, 7, {name: float(rng.uniform(0.01, 1)) for name in names},
            "finished", ROUNDS, [(ROUNDS, float(rng.uniform(0.3, 0.6)))],
        )
        for index in range(count)
    )  # fmt: skip


def method(name, *tests, title=None, trials=4, knobs=1, **extra) -> MethodResult:
    runs = tuple(run(100 + seed, test, **extra) for seed, test in enumerate(tests))
    return MethodResult(
        name, title or name.title(), {"lr": 0.1}, runs, trials, 0, 48.0, (),
        searched(trials, knobs=knobs),
    )  # fmt: skip


def result(*methods, seeds=1) -> ComparisonResult:
    recorded = comparisons.budgeted([m.name for m in methods], trials=4, seeds=seeds)
    return ComparisonResult("one", "1", "digits", recorded, methods)


def spread(level, clients=CLIENTS):
    return level + np.arange(clients) / 100


def written(found, folder) -> dict[str, str]:
    write_files(analyse(found), folder)
    texts = {path.name: path.read_text() for path in folder.iterdir() if path.suffix in TEXTS}
    html5lib.HTMLParser(strict=True).parse(texts["report.html"])
    return texts


TEXTS = (".html", ".md", ".tex", ".csv")
ONE, TWO = method("one", spread(0.5)), method("two", spread(0.6))
CASES = {
    "one method, one seed": (result(ONE), "over 1 seeds|± 0.00|Nothing was tested|1 seeds|Pareto"),
    "two methods, one seed": (result(ONE, TWO), "± 0.00|1 seeds|mean over seeds"),
    "two equal methods": (result(ONE, method("two", spread(0.5))), r"class=\"best\"|textbf"),
    "one client": (result(method("one", [0.5]), method("two", [0.6])), "50.00 – 50.00|1 seeds"),
    "one trial": (result(method("one", spread(0.5), trials=1)), "1 search trials|1 trials"),
    "nothing confirmed": (result(method("one")), "over 0|nan|Pareto|no seed"),
    "one of two confirmed": (result(ONE, method("two")), r"class=\"best\"|nan"),
    "no difference at all": (
        result(*(method(name, spread(0.5), spread(0.5)) for name in ("one", "two")), seeds=2),
        "-0.00|−0.00|[+]0.00",
    ),
}  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES)
def test_nothing_in_a_report_is_silly(case, tmp_path):
    found, silly = CASES[case]
    texts = written(found, tmp_path)
    assert {"report.html", "table.md", "table.tex"} <= texts.keys()
    for name, text in texts.items():
        body = re.sub(
            r"base64,[^\"]*|<style>.*?</style>|<script>.*?</script>", "", text, flags=re.S
        )
        assert not re.search(silly, body), f"{name}: {re.search(silly, body)}"


def test_the_seeds_that_ended_are_told_and_whose_are_fewer():
    both = method("one", spread(0.5), spread(0.6), spread(0.55))
    note = words.accuracy_note([result(both, TWO, seeds=3)])
    assert "± the sample standard deviation over 1 to 3 seeds" in note
    assert note.endswith("Fewer seeds than planned have ended of Two.")
    assert "over 3 seeds that the search never used." in words.accuracy_note(
        [result(both, seeds=3)]
    )
    assert "1 to 3 seeds" in result_table(analyse(result(both, TWO, seeds=3)))


def test_bold_is_for_who_is_ahead_at_the_precision_that_is_shown():
    a, b, c = method("a", spread(0.5)), method("b", spread(0.500001)), method("c", spread(0.4))
    tests = of_tests(ACCURACY)
    assert tests.winners([a, b, c]) == {"a", "b"}
    assert tests.winners([a]) == tests.winners([a, b]) == set()
    assert client_std(ACCURACY).winners([a, b, c]) == set(), "all alike"
    two = method("d", spread(0.5) + 0.01, spread(0.5) - 0.01)
    assert tests.winners([a, two, c]) == {"a", "d"}, "whatever stands after the ±"


def test_latex_has_the_differences_their_intervals_and_p_corrected_alike():
    noise = np.random.default_rng(0).normal(0, 0.01, (3, 5, CLIENTS))
    one, two, three = (
        method(name, *(spread(level) + each))
        for name, level, each in zip(("one", "two", "three"), (0.3, 0.6, 0.6), noise, strict=True)
    )
    tex = result_table(analyse(result(one, two, three, seeds=5), "two"))
    heads = "difference to Two (95 \\%) & p &"
    assert heads in tex
    assert re.search(r"One & 33[^&]*downarrow[^&]*&[^&]*& \$-\$30\.\d\d \(\$-\$31", tex)
    assert re.search(r"Three & [^&]*&[^&]*& \$-\$0\.30 \(\$-\$1\.22 to \+0\.62\) & 1\.000", tex)
    (caption,) = re.findall(r"\\caption.*", tex)
    assert "Intervals of differences and p for all 3 pairs of methods together (Bonf" in caption
    assert "hold for all 3 pairs of methods together (Bonferroni)" in tex
    assert re.search(r"Two & \\textbf\{6", tex)
    assert re.search(r"Three & \\textbf\{6", tex), "not told apart from the best"
    assert r"One & \textbf" not in tex
    assert " & p &" not in result_table(analyse(result(one)))


def test_what_is_not_tested_has_neither_interval_nor_p_and_the_reason_is_told():
    tex = result_table(analyse(result(ONE, TWO)))
    assert re.search(r"One & 53\.50 &[^&]*& \$-\$10\.00 & 2\.29 &", tex), "the difference alone"
    why = "one seed does not tell what a seed does to all clients"
    assert f"Not tested against Two: One ({why})." in tex
    assert " & p &" not in tex
    assert "Bonferroni" not in tex


def test_a_client_keeps_its_own_number():
    unseen = replace(ONE.runs[0], clients=(0, 1, 2, 3, 5, 6, 7, 9))
    rows = list(csv.DictReader(io.StringIO(csv_clients(result(replace(ONE, runs=(unseen,)))))))
    assert [row["client"] for row in rows] == list("01235679")
    rows = list(csv.DictReader(io.StringIO(csv_clients(result(ONE)))))
    assert [row["client"] for row in rows] == list("01234567")


@pytest.mark.parametrize("order", [1, -1])
def test_the_summary_has_the_figures_of_all_methods_each_below_its_name(order):
    """One method counts operations, the other has two seeds."""
    methods = [
        method("one", spread(0.5), **{"compute/gflops": 0.25}),
        method("two", spread(0.6), spread(0.7)),
    ]
    text = csv_summary(analyse(result(*methods[::order], seeds=2)))
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(text))}
    assert (rows["one"]["compute/gflops"], rows["two"]["compute/gflops"]) == ("0.25", "")
    assert rows["one"]["test/accuracy_std_seeds"] == ""
    assert float(rows["two"]["test/accuracy_std_seeds"]) == pytest.approx(0.0707, abs=1e-4)
    assert {row["target"] for row in rows.values()} == {rows["one"]["target"]}


EVIL = "A $x_ | <script>alert(1)</script>\n\x1b[31m& $ \u202e[l](javascript:x)"


@pytest.mark.thorough
def test_no_title_ends_a_report_or_gives_orders(tmp_path):
    texts = written(result(method("one", spread(0.5), title=plain(EVIL)), TWO), tmp_path)
    pictures = {path.stem for path in tmp_path.glob("*.png")}
    assert {"learning-curves", "accuracy-vs-communication", "paired-clients"} <= pictures
    for text in texts.values():
        assert not set(text) & set("\x1b\u202e")
    assert "<script>alert" not in texts["report.html"] + texts["table.md"]
    (row,) = [line for line in texts["table.md"].splitlines() if "alert" in line][:1]
    assert len(re.findall(r"(?<!\\)\|", row)) == texts["table.md"].splitlines()[0].count("|")


@pytest.mark.parametrize("form", [markdown_table, result_table])
def test_a_title_stays_in_its_row_also_where_nobody_cleaned_it(form):
    text = form(analyse(result(method("one", spread(0.5), title=EVIL), TWO)))
    (row,) = [line for line in text.splitlines() if "alert" in line][:1]
    assert "\x1b" not in text
    assert "50." not in row or "53." in row


def test_plain_is_one_line_of_what_can_be_seen():
    assert plain("a\n b\x1b[2J\u202e\tc") == "a b[2J c"
    assert plain("Größe ≥ η · 漢字") == "Größe ≥ η · 漢字"
    assert plain("") == ""
    assert [count(n, "seed") for n in (0, 1, 2)] == ["0 seeds", "1 seed", "2 seeds"]


@pytest.mark.thorough
def test_a_figure_that_fails_is_missing_and_the_rest_is_there(tmp_path, monkeypatch, caplog):
    def broken(analysis):
        raise ValueError("no\nsuch glyph")

    makers = {"broken": broken, "learning_curves": learning_curves}
    monkeypatch.setattr(figures, "MAKERS", makers)
    texts = written(result(ONE, TWO), tmp_path)
    assert [path.stem for path in tmp_path.glob("*.png")] == ["learning-curves"]
    assert "table.md" in texts
    assert caplog.messages == ["figure broken is missing: ValueError: no such glyph"]


@pytest.mark.parametrize("title", ["Short", "A Method Whose Title Is Rather Long Indeed"])
@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_comparison_table_fits_and_never_wraps(width, title):
    found = result(method("one", spread(0.5), spread(0.6), title=title), TWO, seeds=2)
    shown = fitting_columns(found, width)
    assert shown[0].title == "test accuracy %"
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(comparison_table(found, shown))
    lines = console.export_text().splitlines()
    assert "…" not in "".join(lines)
    (row,) = [line for line in lines if title in line]
    assert "53.50" in row or "58.50" in row


def told_apart(seeds, clients=CLIENTS, methods=3):
    """Methods that scatter and do not differ."""
    noise = np.random.default_rng(3).normal(0.6, 0.05, (methods, seeds, clients))
    named = zip("abc", noise, strict=False)
    return result(*(method(name, *each) for name, each in named), seeds=seeds)


def test_how_large_a_difference_must_be_is_said_below_the_table_and_on_the_page(tmp_path):
    analysis = analyse(told_apart(3))
    told = " ".join(said(analysis))
    assert re.match(r"No difference from \w was found: \w, \w\. With 3 seeds, 8 clients ", told)
    assert re.search(r"true difference of some \d+\.\d points is told apart in 4 of 5", told)
    assert power(analysis) in words.test_note(analysis)
    heads, *rows = power_lines(analysis)
    assert heads == ["true difference", "all 3 pairs together", "one pair by itself"]
    assert [row[0] for row in rows][:2] == ["1 point", "2 points"]
    assert rows[0][1] in ("no number of seeds", "over 50 seeds")
    assert rows[-1][1] in ("2 seeds", "3 seeds", "4 seeds")
    write_files(analysis, tmp_path)
    assert "What it takes to tell methods apart" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("found", [result(ONE, TWO), result(ONE), told_apart(3, clients=3)])
def test_where_nothing_is_tested_nothing_is_said_of_what_it_takes(found):
    analysis = analyse(found)
    assert (power(analysis), power_lines(analysis), power_note(analysis)) == ("", [], "")


def test_two_methods_are_one_pair():
    analysis = analyse(told_apart(4, methods=2))
    assert "1 pair of methods" in power(analysis)
    assert "fewer methods" not in power(analysis)
    assert power_lines(analysis)[0] == ["true difference", "one pair by itself"]


def test_of_several_searches_with_one_seed_no_other_seed_is_spoken_of():
    one = method("one", spread(0.5))
    runs = tuple(replace(one.runs[0], study=study) for study in range(2))
    found = result(replace(one, runs=runs, chosen=({}, {})))
    assert "a run of another search, from 2 studies × 1 seed" in words.accuracy_note([found])
    told = words.spread_note(found)
    assert "over studies and clients; of other seeds one seed says nothing" in told
    assert "all of them means over studies." in told


def test_what_has_no_room_is_named(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    out = io.StringIO()
    print_table(Console(file=out, width=60), result(ONE, TWO))
    assert "no room here for" in out.getvalue()
    assert "mean over clients, 1 seed" in " ".join(out.getvalue().split())


def test_a_contour_needs_two_knobs_and_more_than_a_handful_of_trials():
    def contour(trials, knobs):
        return knob_contour(analyse(result(method("a", spread(0.5), trials=trials, knobs=knobs))))

    assert contour(3, 2) is None
    assert contour(8, 1) is None
    drawing = contour(8, 3)
    assert "over lr and scale or length" in drawing.caption
    assert knob_slices(analyse(result(method("a", spread(0.5), trials=0)))) is None
    assert best_so_far(analyse(result(method("a", spread(0.5), trials=1)))) is None


def test_rounds_have_whole_ticks():
    axes = learning_curves(analyse(result(ONE, TWO))).figure.axes[0]
    ticks = axes.xaxis.get_majorticklocs()
    assert ticks.tolist() == np.round(ticks).tolist()


def test_columns_of_a_single_method_compare_with_nobody():
    analysis = analyse(result(ONE))
    titles = [column.title for column in (*result_columns(analysis), *paper_columns(analysis))]
    assert not any("difference" in title or title.startswith("p ") for title in titles)
    assert [signed(x) for x in (0.004, -0.004, 1.5, -1.5)] == ["0.00", "0.00", "+1.50", "−1.50"]


def test_the_changes_of_a_scenario_are_those_that_differ():
    base = {"a": 1, "b": {"c": 1, "d": 2}, "p": {"kind": "even"}}
    now = {"a": 1, "b": {"c": 1, "d": 3}, "p": {"kind": "dirichlet", "alpha": 0.1}}
    assert list(differences(base, now)) == ["b.d=3", 'p={"kind": "dirichlet", "alpha": 0.1}']
    assert list(differences(base, base)) == []


@pytest.mark.thorough
def test_all_text_of_all_figures_has_one_size_and_rounds_are_whole():
    rng = np.random.default_rng(0)
    methods = [
        method(name, *(spread(level) + rng.normal(0, 0.02, (3, CLIENTS))), trials=12, knobs=2)
        for name, level in (("local", 0.5), ("fedavg", 0.6), ("mine", 0.55))
    ]
    analysis = analyse(result(*methods, seeds=3))
    sizes, drawn = set(), 0
    for name in figures.MAKERS:
        try:
            figure = figures.draw(name, analysis).figure
        except UserError:  # nothing to show
            continue
        drawn += 1
        figure.draw_without_rendering()
        sizes |= {text.get_fontsize() for text in figure.findobj(Text) if text.get_text()}
        for axes in figure.axes:
            if axes.get_xlabel() == "round":
                assert all(float(tick).is_integer() for tick in axes.get_xticks()), name
    assert sizes == {TEXT_SIZE}
    assert drawn > 6
