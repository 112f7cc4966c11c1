"""Grids: what is dealt, what is refused, which cells are told apart, and how all that is shown."""

import csv
import re
import shutil
import subprocess
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from grids import HELD, grid
from matplotlib.colors import to_rgba
from rich.console import Console
from scipy import stats

import pfltune
from pfltune.cli.tables import print_grid
from pfltune.errors import UserError
from pfltune.federation.compute import Compute
from pfltune.program import ENGINE, Program
from pfltune.ranking import Outcome, best_place
from pfltune.record import Asked, Grid, Record
from pfltune.report.grid import read_grid
from pfltune.report.grid_figures import BEST, drawings_of
from pfltune.report.grid_table import latex_table
from pfltune.report.grid_words import edges, finding
from pfltune.report.grid_writer import write_grid
from pfltune.report.paired_seeds import gaps
from pfltune.running.hardware import Hardware
from pfltune.scenario import load_scenario
from pfltune.search.candidate import confirmation_seed, validation_seed
from pfltune.studies.grid import GridJob, axes_of, plan_grid, telling_methods
from pfltune.trials.spec import TrialSpec

LENGTHS, RATES = (1, 4, 16), (0.01, 0.03)
OVER = {"prefix_length": LENGTHS, "lr": RATES}
TOKENS = {"": {"prefix": "tokens"}}
DIGITS = load_scenario("digits")
NOISE = np.random.default_rng(0).normal(0, 0.003, (3, 40))


# ------------------------------------------------------------------ what is dealt


def planned(over=OVER, methods=("fedperfix",), fixed=TOKENS, **asked):
    return plan_grid(methods, {"over": over, "seeds": 2, "seed": 7, **asked}, DIGITS, fixed)


def job_of(tmp_path, **asked):
    plan, budget = planned(**asked)
    return GridJob(
        name="g",
        command="grid",
        scenario=load_scenario("digits"),
        plan=plan,
        hardware=Hardware(1, 1, 0.0, Compute()),
        asked=Asked(),
        results=tmp_path,
        budget=budget,
    )


def dealt(job):
    dealer, found = job.dealer(), []
    while (candidate := dealer.deal()) is not None:
        found.append(candidate)
    assert dealer.exhausted
    return found


def test_every_cell_is_dealt_with_every_seed_one_seed_after_the_other(tmp_path):
    trials = dealt(job_of(tmp_path))
    cells = [
        {"prefix": "tokens", "prefix_length": p, "lr": lr} for p, lr in product(*OVER.values())
    ]
    assert [dict(each.knobs) for each in trials] == cells * 2
    assert [each.seed for each in trials] == [validation_seed(7, n) for n in (0, 1) for _ in cells]
    assert [each.name for each in trials] == [f"fedperfix-grid-{n}" for n in range(12)]


def test_methods_take_turns_and_meet_the_same_seeds(tmp_path):
    trials = dealt(job_of(tmp_path, over={"lr": RATES}, methods=["fedper", "fedavg"], fixed={}))
    assert [each.method for each in trials] == ["fedper", "fedavg"] * 4
    assert [t.knobs["lr"] for t in trials] == [0.01, 0.01, 0.03, 0.03] * 2
    assert len({(t.method, t.knobs["lr"], t.seed) for t in trials}) == 8


def test_only_a_tested_grid_is_given_test_indices_and_it_has_fresh_seeds(tmp_path, federation):
    plain, tested = job_of(tmp_path), job_of(tmp_path, test=True)
    assert {t.stage for t in dealt(tested)} == {"confirm"}
    assert {t.seed for t in dealt(tested)} == {confirmation_seed(7, n) for n in (0, 1)}
    assert tested.federations(federation) == {"confirm": federation}
    (given,) = plain.federations(federation).values()
    assert all(client.test is None for client in given.clients)


def test_its_trials_are_those_of_a_search_and_of_its_finalists(tmp_path):
    """The same key in the store, so that nobody trains one that the other has trained."""
    job = job_of(tmp_path)
    program = Program(
        source={ENGINE: "1", "fedperfix": "2"}, files={}, versions={}, processor="abacus"
    )
    data = dict.fromkeys(("images", "labels", "clients", "clients without test"), "1")
    data |= dict.fromkeys(("start weights", "rules"), "1")
    record = Record.model_validate({**job.recorded(), "program": program, "data": data})
    knobs = {"lr": 0.03, "prefix_length": 4, "prefix": "tokens"}

    def key(stage, seed, of=record):
        return TrialSpec.of(of, stage, "fedperfix", knobs, seed).key

    keys = [TrialSpec.of(record, t.stage, t.method, t.knobs, t.seed).key for t in dealt(job)]
    assert len(set(keys)) == 12
    # A search says nothing of what is held in its trials' knobs that the record does not say.
    search = record.model_copy(update={"fixed": {}})
    assert key("search", validation_seed(7, 0), search) in keys
    assert key("choose", validation_seed(7, 1), search) in keys
    assert key("confirm", confirmation_seed(7, 0), search) not in keys


def test_the_best_cell_is_that_of_most_seeds_then_of_the_highest_mean(tmp_path):
    job = job_of(tmp_path)
    dealer = job.dealer()
    trials = [dealer.deal() for _ in range(12)]
    scores = {4: (0.6, 0.7), 1: (0.9, None)}
    for trial in reversed(trials):
        score = scores.get(trial.index % 6, (0.5, 0.5))[trial.index // 6]
        dealer.complete(trial, Outcome() if score is None else Outcome(15, score))
    assert dealer.best() == {"fedperfix": job.cells["fedperfix"][4]}
    assert job.dealer().best() == {"fedperfix": None}
    assert best_place([[0.3, 0.3, 0.0], [0.1, 0.2, 0.3]]) == 0, "a tie goes to the first"


def test_what_may_change_a_shape_is_made_at_its_ends(tmp_path):
    over = {"prefix_length": (2, 9, 4), "lr": RATES, "depth": (1, 2)}
    made = [(m.prefix_length, m.depth, m.lr) for m in telling_methods(*planned(over))]
    assert made == [(length, depth, 0.01) for length in (2, 9) for depth in (1, 2)]


def test_a_grid_that_the_backbone_has_no_room_for_is_refused(tmp_path):
    job = job_of(tmp_path, over={"depth": (1, 88)})
    with pytest.raises(UserError, match="88"):
        job.scenario.check(job.firsts())


def test_a_grid_may_be_over_settings_of_the_scenario_too(tmp_path):
    over = {"protocol.local_epochs": ("1", "5"), "lr": RATES}
    job = job_of(tmp_path, over=over)
    assert job.budget.over["protocol.local_epochs"] == (1, 5)
    wanted = [
        {"prefix": "tokens", "lr": lr, "protocol.local_epochs": e} for e in (1, 5) for lr in RATES
    ]
    assert [dict(trial.knobs) for trial in dealt(job)] == wanted * 2
    assert [method.lr for method in job.firsts()] == [0.01]
    assert [knob.choices for knob in job.searched()["fedperfix"]] == [(1, 5), RATES]


def test_where_prefixes_sit_is_an_axis(tmp_path):
    """The choices of ``place`` are the cells, trained with the same seeds."""
    places = ("attn", "mlp", "pos_embed")
    job = job_of(tmp_path, over={"place": places}, fixed={"": {"bottleneck": 4}})
    job.scenario.check(job.firsts())
    trials = dealt(job)
    assert [trial.knobs["place"] for trial in trials] == [*places, *places]
    assert [trial.seed for trial in trials] == [s for s in job.seeds for _ in places]


@pytest.mark.parametrize(
    ("over", "methods", "fixed", "told"),
    [
        ({"prefix_length": (1, 2)}, ["fedperfix"], {}, "no effect; it needs prefix=tokens"),
        ({"lr": (0.1, 7)}, ["fedperfix"], {}, "lr=7 is not valid"),
        ({"lr": ("0.1", "0.10")}, ["fedperfix"], {}, "names 0.1 twice"),
        ({"lrr": (0.1, 0.2)}, ["fedperfix"], {}, "did you mean 'lr'"),
        ({"scale": (1, 2)}, ["fedperfix", "fedper"], {}, "unknown knob of fedper in --over"),
        ({"lr": (0.1,)}, ["fedper[lr=0.1]"], {}, "held at lr=0.1, so the grid cannot be over lr"),
        ({"prefix": ("zero",)}, ["fedperfix"], TOKENS, "held at prefix=tokens"),
        ({"lr": (0.1,)}, ["fedper", "fedper"], {}, "named twice: fedper"),
        ({"lr": (0.1,)}, ["nobody"], {}, "unknown method 'nobody'"),
        ({"protocol.rounds": (5, 9)}, ["fedper"], {}, "unknown knob of fedper in --over"),
        ({"protocol.sampled_clients": (99,)}, ["fedper"], {}, "=99 is not valid"),
        ({"lr": (0.1,)}, ["fedper@one"], {}, "fedper@one holds every knob"),
        ({}, ["fedper"], {}, "say what the grid is over"),
        ({"lr": ()}, ["fedper"], {}, "0 cells; possible: 1 to 1,000"),
        (dict.fromkeys("abcde", (1,)), ["fedper"], {}, "over 5 knobs; possible: 1 to 4"),
        ({"lr": range(40), "scale": range(40)}, ["fedperfix"], {}, "40 × 40 = 1,600 cells"),
    ],
)
def test_what_is_not_possible_is_one_line(over, methods, fixed, told):
    with pytest.raises(UserError, match=re.escape(told)) as refused:
        planned(over, methods, fixed)
    assert "\n" not in str(refused.value)


def test_axes_are_texts_or_a_mapping():
    wanted = {"lr": ["0.1", "0.2"], "personal": ["attn,head", "mlp"]}
    assert axes_of(["lr=0.1,0.2", 'personal="attn,head",mlp']) == wanted
    assert axes_of({"lr": (0.1, 0.2), "scale": 1}) == {"lr": [0.1, 0.2], "scale": [1]}
    for texts in (["lr"], ["lr="], ["=1"]):
        with pytest.raises(UserError, match="must look like lr="):
            axes_of(texts)
    with pytest.raises(UserError, match="--over names lr twice"):
        axes_of(["lr=1", "lr=2"])


def test_values_have_the_types_of_their_knobs():
    _, budget = planned({"prefix_length": ("1", "4"), "lr": ("0.1", 1), "scale": (1, 2)})
    assert repr(dict(budget.over)) == repr(
        {"prefix_length": (1, 4), "lr": (0.1, 1.0), "scale": (1.0, 2.0)}
    )
    again = Grid.model_validate_json(budget.model_dump_json())
    assert repr(again) == repr(budget)


# ------------------------------------------------------------------ which are told apart


def by_seed(values):
    return dict(enumerate(values))


def test_two_cells_are_compared_by_the_paired_t_test():
    one, other = [0.5, 0.6, 0.58, 0.7], [0.52, 0.57, 0.5, 0.66]
    (gap,) = gaps(by_seed(one), [by_seed(other)])
    assert gap.p == gap.raw_p == pytest.approx(stats.ttest_rel(other, one).pvalue)
    assert gap.mean == pytest.approx(-0.0325)


def least_squares(table):
    """Estimate and standard error of each row against the first, means of columns taken out."""
    rows, columns = table.shape
    design = np.array(
        [[*np.eye(rows)[i], *np.eye(columns)[j][1:]] for i in range(rows) for j in range(columns)]
    )
    found, (rest,), *_ = np.linalg.lstsq(design, table.ravel(), rcond=None)
    freedom = len(design) - design.shape[1]
    spread = np.linalg.inv(design.T @ design) * rest / freedom
    for row in range(1, rows):
        contrast = np.eye(design.shape[1])[row] - np.eye(design.shape[1])[0]
        yield contrast @ found, np.sqrt(contrast @ spread @ contrast), freedom


def test_several_cells_share_what_is_known_of_their_scatter():
    """As ordinary least squares have it, but for pairs that scatter more by themselves."""
    rng = np.random.default_rng(3)
    table = 0.5 + rng.normal(0, 0.02, (6, 1)) + rng.normal(0, 0.05, 4) + rng.normal(0, 0.01, (6, 4))
    table[5] += [0.08, -0.08, 0.06, -0.06]
    found = gaps(by_seed(table[0]), [by_seed(row) for row in table[1:]])
    raw = []
    for gap, row, (mean, error, freedom) in zip(
        found, table[1:], least_squares(table), strict=True
    ):
        own = stats.sem(row - table[0])
        assert gap.mean == pytest.approx(mean)
        assert gap.standard_error == pytest.approx(max(error, own))
        raw.append(2 * stats.t.sf(abs(mean) / max(error, own), freedom))
        assert gap.raw_p == pytest.approx(raw[-1])
    assert found[-1].standard_error > 1.2 * found[0].standard_error, "the one that scatters"
    order = np.argsort(raw)
    holm = np.minimum(1, np.maximum.accumulate(np.array(raw)[order] * [5, 4, 3, 2, 1]))
    assert [found[place].p for place in order] == pytest.approx(holm)


@pytest.mark.parametrize("scatter", [np.full(15, 0.01), np.geomspace(0.002, 0.05, 15)])
def test_the_truly_best_cell_is_nearly_always_among_those_not_told_apart(scatter):
    """Of 15 cells with 3 seeds, the means a plateau with a slope, the scatter alike or not."""
    rng = np.random.default_rng(5)
    truth = np.concatenate([np.zeros(5), np.linspace(-0.005, -0.1, 10)])
    kept, named = 0, 0
    for _ in range(300):
        places = rng.permutation(15)
        table = truth + rng.normal(0, 0.05, (3, 1)) + scatter[places] * rng.normal(0, 1, (3, 15))
        best = int(table.mean(0).argmax())
        others = [place for place in range(15) if place != best]
        found = gaps(by_seed(table[:, best]), [by_seed(table[:, place]) for place in others])
        equals = {best, *(p for p, gap in zip(others, found, strict=True) if not gap.is_apart)}
        kept += len(equals & set(range(5)))
        named += len(equals - set(range(5)))
    assert kept / (5 * 300) > 0.95
    assert named / (10 * 300) < 0.75, "and it does name some that are worse"


def test_ties_single_seeds_and_lost_ones():
    (same,) = gaps(by_seed([0.5, 0.6]), [by_seed([0.5, 0.6])])
    assert same.p == 1
    (shifted,) = gaps(by_seed([0.5, 0.6]), [by_seed([0.4, 0.5])])
    assert shifted.p == 0, "for certain"
    (alone,) = gaps(by_seed([0.5]), [by_seed([0.4])])
    assert not alone.is_tested
    assert not alone.is_apart
    first, lost, none = gaps(by_seed([0.5, 0.6, 0.7]), [by_seed([0.1, 0.2, 0.31]), {1: 0.5}, {}])
    assert first.is_apart
    assert (lost.seeds, none.seeds) == (1, 0)
    assert not lost.is_tested
    assert lost.mean == pytest.approx(-0.1)


# ------------------------------------------------------------------ what is shown


def valued(method, at, number):
    """Best at 4 and 0.03; 1 is nearly as good there, all else is clearly worse."""
    length, lr = at.get("prefix_length", 4), at.get("lr", 0.03)
    place = 7 * LENGTHS.index(length) + 3 * int(lr == 0.03)
    worse = {1: 0.001, 4: 0.0, 16: 0.05}[length] + (0.04 if lr != 0.03 else 0)
    worse += 0.03 if method == "fedper" else 0
    return 0.8 - worse + (0.02, -0.01, 0.0)[number] + NOISE[number, place]


def loses(method, at, number):
    """One trial of one cell fails, and all of another."""
    if at["prefix_length"] == 16 and (at["lr"] == 0.01 or number == 1):
        return None
    return valued(method, at, number)


def found(results, over=OVER, value=valued, **changed):
    grid(results, "g", over, value, **changed)
    return read_grid(results, "g")


def test_the_best_cell_its_equals_and_the_cheapest_are_said_first(tmp_path):
    result = found(tmp_path)
    values = [valued("", {"prefix_length": 4, "lr": 0.03}, n) for n in range(3)]
    mean, error = 100 * np.mean(values), 100 * stats.sem(values)
    assert finding(result).startswith(
        f"The best of 6 cells is prefix_length=4, lr=0.03: {mean:.2f} ± {error:.2f} % validation "
        "accuracy (mean ± standard error over 3 seeds). Of the 5 others, not told apart from it: "
        "prefix_length=1, lr=0.03. All of these have 2.000 MB per round. Fewest personal "
        "parameters of these: prefix_length=1, lr=0.03 ("
    )
    assert finding(result).endswith("%), 778.")


def test_the_cheapest_in_mb_is_the_best_of_those_that_cost_least(tmp_path):
    values = {1: 0.7, 2: 0.799, 4: 0.8}
    over = {"rank": (1, 2, 4), "lr": RATES}

    def value(_, at, number):
        scatter = (0.004, -0.004, 0.0)[number] * (1 if at["rank"] == 4 else -1)
        return values[at["rank"]] + scatter

    grid(tmp_path, "g", over, value, fixed={})
    result = read_grid(tmp_path, "g")
    assert finding(result).startswith("The best of 6 cells is rank=4, lr=0.01: 80.00 ± 0.23 %")
    assert "Fewest MB per round of these: rank=2, lr=0.01 (79.90 ± 0.23 %), 4.000." in finding(
        result
    )


def test_sentences_hold_for_one_cell_one_seed_and_for_none(tmp_path):
    one = found(tmp_path / "a", {"lr": (0.03,)}, seeds=1)
    assert re.fullmatch(
        r"The only cell is lr=0\.03: 8\d\.\d\d % validation accuracy \(one seed\)\.", finding(one)
    )
    single = found(tmp_path / "b", seeds=1)
    assert "With one seed each, nothing can be said of which others are as good." in finding(single)
    none = found(tmp_path / "c", value=lambda *_: None)
    assert finding(none) == "No cell has a figure: loss was nan <in> round 1."
    assert none.best is None
    two = found(tmp_path / "d", {"lr": RATES})
    assert "The other is told apart from it (p < 0.05)." in finding(two)
    lost = found(tmp_path / "e", value=loses)
    assert finding(lost).endswith("Trials of 2 cells failed.")
    assert [cell.state for cell in lost.cells] == [*["finished"] * 4, "failed", "finished"]


LIMITS = {"fedperfix": {"prefix_length": (1.0, 100.0)}}


def test_a_best_value_at_an_edge_is_told_unless_it_is_of_two_or_there_is_no_beyond(tmp_path):
    over = {"prefix_length": (4, 16, 1), "lr": (0.03, 0.01)}
    assert edges(found(tmp_path / "a", over)) == []
    (edge,) = edges(found(tmp_path / "b", over, lambda m, at, n: 0.5 + at["prefix_length"] / 99))
    assert edge.startswith("The best prefix_length, 16, is the highest of the grid")
    low = found(tmp_path / "c", over, lambda m, at, n: 0.5 - at["prefix_length"] / 99)
    assert edges(replace(low, record=low.record.model_copy(update={"limits": LIMITS}))) == []


def test_a_map_has_mean_and_error_in_each_cell_and_marks_the_best(tmp_path):
    result = found(tmp_path, value=loses)
    ((name, make),) = drawings_of(result)
    assert name == "grid"
    axes = make().figure.axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "4", "16"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["0.01", "0.03"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("prefix_length", "lr")
    texts = {tuple(text.get_position()): text.get_text() for text in axes.texts}
    for cell in result.shown:
        place = (LENGTHS.index(cell.at["prefix_length"]), RATES.index(cell.at["lr"]))
        assert texts[place].startswith(f"{100 * cell.mean:.2f}\n± {100 * cell.standard_error:.2f}")
    assert texts[2, 0] == "failed"
    assert texts[2, 1].endswith("\n2 of 3")
    framed = {
        tuple(np.round(p.get_center())): p.get_linestyle()
        for p in axes.patches
        if p.get_edgecolor() == to_rgba(BEST)
    }
    assert framed[1, 1] == "-"
    assert set(framed) == {(1, 1), (0, 1)}, "and dashed what is not told apart from it"
    (bold,) = [text for text in axes.texts if text.get_fontweight() == "bold"]
    assert tuple(bold.get_position()) == (1, 1)


@pytest.mark.parametrize("wide", [True, False])
def test_one_knob_is_a_line_with_a_band_for_each_method(tmp_path, wide):
    rates = (0.03, 0.3, 0.01) if wide else (0.03, 0.05, 0.04)
    methods = {"fedperfix": "FedPerfix", "fedper": "FedPer"}

    def value(method, at, number):
        lost = method == "fedper" and at["lr"] == rates[1]
        return None if lost else valued(method, {}, number) - at["lr"]

    result = found(tmp_path, {"lr": rates}, value, methods=methods, fixed={})
    ((_, make),) = drawings_of(result)
    axes = make().figure.axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    means = {c.at["lr"]: 100 * c.mean for c in result.cells if c.method == "fedperfix"}
    assert list(lines["FedPerfix"].get_xdata()) == sorted(rates)
    assert list(lines["FedPerfix"].get_ydata()) == [means[lr] for lr in sorted(rates)]
    assert list(lines["FedPer: failed"].get_xdata()) == [rates[1]]
    assert rates[1] not in lines["FedPer"].get_xdata(), "a failed one is not drawn as 0"
    assert len(axes.collections) == 2
    top = axes.collections[0].get_paths()[0].vertices[:, 1].max()
    first = next(c for c in result.cells if c.at["lr"] == min(rates))
    assert top == pytest.approx(100 * (first.mean + first.standard_error))
    assert axes.get_xscale() == ("log" if wide else "linear")
    assert [text.get_text() for text in axes.get_xticklabels()] == [str(lr) for lr in rates]
    assert lines["best"].get_xdata() == [min(rates)]


def test_words_and_truth_values_stand_one_after_the_other(tmp_path):
    for over in ({"prefix": ("zero", "adapter")}, {"learn_alpha": (True, False)}):
        result = found(tmp_path / next(iter(over)), over, lambda *_: 0.5, fixed={})
        ((_, make),) = drawings_of(result)
        axes = make().figure.axes[0]
        assert axes.lines[0].get_linestyle() == "None"
        ticks = [text.get_text() for text in axes.get_xticklabels()]
        assert ticks in (["zero", "adapter"], ["true", "false"])


def test_more_knobs_and_methods_are_small_multiples(tmp_path):
    over = {**OVER, "scale": (0.5, 1.0), "depth": (1, 2, 3, 4)}
    methods = {"fedperfix": "FedPerfix", "fedper": "FedPer"}
    result = found(tmp_path, over, methods=methods, seeds=1, fixed={})
    drawings = {name: make() for name, make in drawings_of(result)}
    assert list(drawings) == ["grid-1", "grid-2"]
    titles = [a.get_title() for d in drawings.values() for a in d.figure.axes if a.texts]
    assert len(titles) == len(set(titles)) == 16
    assert titles[0] == "FedPerfix, scale=0.5, depth=1"


@pytest.fixture
def written(tmp_path):
    """Results and report of a grid of which trials have failed."""
    grid(tmp_path, "g", OVER, loses)
    write_grid(tmp_path, "g")
    return tmp_path, tmp_path / "g" / "report"


def test_the_report_is_a_page_a_table_and_a_figure_and_the_same_again(written):
    results, folder = written
    names = {"report.html", "table.md", "table.tex", "table.csv", "summary.csv"}
    names |= {f"grid.{suffix}" for suffix in ("png", "pdf", "svg")} | {".pfltune.json"}
    assert {path.name for path in folder.iterdir()} == names
    page = (folder / "report.html").read_text()
    sentence = finding(read_grid(results, "g")).replace("<", "&lt;")
    assert 0 < page.index(sentence.partition(" <")[0]) < page.index("<table")
    assert page.index("<table") < page.index("data:image/png")
    assert page.count("<tr>") == 1 + 6
    assert "loss was nan &lt;in&gt; round 1" in page
    assert "Held: FedPerfix: prefix=tokens." in page
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_grid(results, "g")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_csvs_have_every_cell_and_every_seed(written):
    results, folder = written
    result = read_grid(results, "g")
    with (folder / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 18
    assert [row["outcome"] for row in rows].count("failed") == 4
    for row in rows:
        cell = next(
            c for c in result.cells
            if (str(c.at["prefix_length"]), str(c.at["lr"])) == (row["prefix_length"], row["lr"])
        )  # fmt: skip
        if row["outcome"] == "failed":
            assert row["val/best_accuracy"] == ""
        else:
            assert float(row["val/best_accuracy"]) == cell.values[int(row["seed"])]
    with (folder / "summary.csv").open() as file:
        summary = list(csv.DictReader(file))
    assert [row["state"] for row in summary].count("failed") == 1
    assert [float(row["val/accuracy"] or "nan") for row in summary] == pytest.approx(
        [cell.mean for cell in result.cells], nan_ok=True
    )
    assert summary[3]["verdict"] == "best"


def test_latex_of_two_knobs_has_rows_and_columns(written):
    tex = (written[1] / "table.tex").read_text()
    assert r"prefix\_length & lr=0.01 & lr=0.03 \\" in tex
    (row,) = [line for line in tex.splitlines() if line.startswith("4 & ")]
    assert row.count("&") == 2
    assert r"& \textbf{" in row.partition("&")[2]
    assert "16 & failed & " in tex
    assert tex.count("{") == tex.count("}")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX; `make debian` installs it")
def test_latex_compiles_over_one_two_and_three_knobs(tmp_path):
    overs = {"a": {"prefix_length": LENGTHS}, "b": OVER, "c": {**OVER, "scale": (1.0, 2.0)}}
    methods = {"fedperfix": "FedPerfix", "fedper": "Fed_Per & Co"}
    body = [
        latex_table(found(tmp_path / name, over, methods=methods, test=True))
        for name, over in overs.items()
    ]
    head = r"\documentclass{article}\usepackage{booktabs,graphicx}"
    document = rf"{head}\begin{{document}}{''.join(body)}\end{{document}}"
    (tmp_path / "paper.tex").write_text(document)
    told = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout[-2000:]
    assert "Overfull" not in told.stdout


@pytest.mark.parametrize("width", [80, 200])
def test_the_terminal_has_the_best_cells_in_its_width(tmp_path, width):
    over = {"prefix_length": LENGTHS, "lr": RATES, "depth": (1, 2, 3)}
    result = found(tmp_path, over, methods={"fedperfix": "FedPerfix", "x": "Another"}, test=True)
    path = tmp_path / "out.txt"
    with path.open("w") as file:
        console = Console(file=file, width=width, force_terminal=True, no_color=True, markup=False)
        print_grid(console, result)
    lines = path.read_text().splitlines()
    assert max(map(len, lines)) <= width
    cells = [line for line in lines if re.search(r"\d ± \d", line)]
    assert len(cells) == 15
    assert cells[0].split()[:2] == ["FedPerfix", "4"]
    assert any("and 21 cells below these: see the report" in line for line in lines)
    assert any("no room here for difference" in line for line in lines) == (width == 80)


def test_in_python_a_grid_is_frames_and_a_figure(tmp_path):
    grid(tmp_path, "g", OVER, loses, test=True)
    got = pfltune.load_results("g", results=tmp_path)
    assert isinstance(got, pfltune.GridResults)
    assert len(got.table) == 6
    assert got.table["state"].tolist().count("failed") == 1
    best = got.table.loc[got.table["verdict"] == "best"].iloc[0]
    assert (best["prefix_length"], best["lr"]) == (4, 0.03)
    assert best["test/accuracy"] == pytest.approx(best["val/accuracy"] - 0.02)
    assert got.best() == {**HELD["fedperfix"], "prefix_length": 4, "lr": 0.03}
    assert len(got.trials) == 18
    assert set(got.curves["round"]) == {1, 2}
    assert len(got.clients) == 14 * 2
    assert "data:image/png;base64," in got._repr_html_()
    with pytest.raises(UserError, match="no cell of 'nobody'"):
        got.best("nobody")
    grid(tmp_path, "lost", OVER, lambda *_: None)
    none = pfltune.load_results("lost", results=tmp_path)
    assert "failed" in none._repr_html_()
    with pytest.raises(UserError, match="nothing to draw"):
        none.figure()


def test_the_report_command_shows_a_grid_also_while_it_runs(tmp_path, called):
    grid(tmp_path, "g", OVER, valued, left=5)
    code, out, errors = called("report", "g", "--results", str(tmp_path))
    assert (code, errors) == (0, "")
    assert "g is partial: 13 of 18 trials have ended" in out
    assert "The best of 6 cells is " in out
    assert (tmp_path / "g" / "report" / "report.html").exists()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("certify", "g"), "'g' is no comparison: it was run by pfltune grid"),
        (("report", "g", "--reference", "fedavg"), "g is a grid"),
        (("extend", "g", "--seeds", "9"), "g is a grid; for a larger one give its command"),
        (("compare", "--name", "g"), "pfltune grid --resume g"),
        (("grid", "--name", "h", "--over", "lr=0.1"), "name METHODS"),
        (("grid", "fedper", "--name", "h"), "say what the grid is over"),
        (("grid", "fedper", "--over", "lr"), "must look like lr="),
    ],
    ids=" ".join,
)
def test_what_a_grid_is_not_is_said_in_one_line(tmp_path, called, command, told):
    grid(tmp_path, "g", OVER, valued)
    before = sorted(tmp_path.rglob("*"))
    code, _, errors = called(*command, "--results", str(tmp_path))
    assert code == 2
    assert told in errors
    assert errors.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
