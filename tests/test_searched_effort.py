"""The best of n trials, what searches gained and how far studies agree, by hand and by force."""

import itertools
import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from comparisons import Fake, record_of
from hypothesis import given
from hypothesis import strategies as st

from pfltune.budget import Budget
from pfltune.report.analysis import analyse
from pfltune.report.crossed import crossed
from pfltune.report.expected_best import best_of, course, expected_best
from pfltune.report.gains import control_gain, gain_of
from pfltune.report.notebook import Results
from pfltune.report.optuna_studies import studies_of
from pfltune.report.results import ConfirmedRun, Finalist, MethodResult, SearchedRun, read_results
from pfltune.report.searching import search_of
from pfltune.report.side_by_side import side_by_side, write_scenarios
from pfltune.report.statistics import tables_of
from pfltune.report.together import why_apart
from pfltune.report.tuning.effort import best_after, effort_lines, effort_note, effort_rows
from pfltune.report.tuning.gained import gain_cell, gain_lines, gained, no_footing
from pfltune.report.tuning.repeated import agreement, study_lines
from pfltune.report.tuning.sentence import sentences
from pfltune.report.tuning.tuned import tuned_of
from pfltune.report.tuning.versus import sampler_lines, sampler_note
from pfltune.report.writer import write_files, write_tuning
from pfltune.studies.tuned import _choice
from pfltune.tracking.events import MethodEnded, RoundDone, TrialEnded, TrialStarted
from pfltune.tracking.journal import JOURNAL, Journal
from pfltune.tracking.store import Store

pytestmark = pytest.mark.usefixtures("png_alone")

accuracies = st.floats(0, 1)


def trial(index, values, outcome="finished", study=0, fits=True, far=None, **knobs) -> SearchedRun:
    curve = list(enumerate(values, start=1))
    rounds = len(values)
    return SearchedRun(
        index, 0, 7, knobs, outcome, rounds, curve, study=study, fits=fits, far=far
    )  # fmt: skip


def run(seed, test, study=0, **knobs) -> ConfirmedRun:
    return ConfirmedRun(seed, {}, {}, (), tuple(test), study=study, knobs=knobs)


def method(searched=(), **parts) -> MethodResult:
    best = parts.pop("best", {})
    whole = {"runs": (), **parts}
    searched = tuple(searched)
    return MethodResult("m", "M", best, whole.pop("runs"), len(searched), 0, 0.0, (), searched,
                        **whole)  # fmt: skip


# ------------------------------------------------------------------------- the best of n trials


@given(st.lists(accuracies, min_size=1, max_size=7), st.data())
def test_the_best_of_n_is_the_mean_over_all_subsets(values, data):
    number = data.draw(st.integers(1, len(values)))
    subsets = itertools.combinations(values, number)
    assert best_of(values, number) == pytest.approx(statistics.fmean(map(max, subsets)))


def test_by_hand_and_at_its_ends():
    """Of 1, 2, 4: the pairs' highest are 2, 4, 4."""
    assert best_of([4, 1, 2], 1) == pytest.approx(7 / 3)
    assert best_of([4, 1, 2], 2) == pytest.approx(10 / 3)
    assert best_of([4, 1, 2], 3) == 4
    assert best_of([0.5], 1) == 0.5
    assert best_of([0.3, 0.3, 0.3], 2) == pytest.approx(0.3)
    for number in (0, 4):
        with pytest.raises(ValueError, match=f"{number} of 3 values"):
            best_of([4, 1, 2], number)


def test_without_replacement_it_is_unbiased_and_with_it_too_low():
    """Of uniform draws the expected highest of n is n / (n + 1); in the mean over many searches."""
    rng, trials, number = np.random.default_rng(0), 6, 4
    searches = rng.random((20_000, trials))
    without = np.mean([best_of(values, number) for values in searches])
    places = np.arange(1, trials + 1) / trials
    weights = places**number - (places - 1 / trials) ** number
    replaced = (np.sort(searches) @ weights).mean()
    assert without == pytest.approx(number / (number + 1), abs=0.004)
    assert replaced < number / (number + 1) - 0.02


@given(st.lists(accuracies, min_size=1, max_size=6), st.integers(0, 3))
def test_the_course_of_draws_is_the_mean_over_their_orders(values, fixed):
    """The start values come first in any case; the others could have come in any order."""
    found = course(values, fixed, drawn=True)
    first, rest = values[:fixed], values[fixed:]
    orders = [[*first, *order] for order in itertools.permutations(rest)]
    means = np.mean([np.maximum.accumulate(order) for order in orders], axis=0)
    assert found == pytest.approx(means)
    assert list(course(values, fixed, drawn=False)) == list(np.maximum.accumulate(values))


@given(st.lists(accuracies, min_size=2, max_size=6))
def test_it_never_falls(values):
    assert (np.diff(course(values, 1, drawn=True)) >= -1e-12).all()


def test_all_trials_are_read_after_the_round_that_each_came_to():
    """The one that ran on had 0.9 in the end, and stood at 0.3 where the others were stopped."""
    runs = [
        trial(0, [0.1, 0.2], "stopped early"),
        trial(1, [0.1, 0.3, 0.8, 0.9]),
        trial(2, [0.4], "failed"),
        trial(3, [0.2, 0.5], "stopped early"),
        trial(4, [0.99], "running"),
    ]
    found = expected_best(method(runs), "tpe", 1)
    assert (found.round, found.failed, found.studies, found.is_expected) == (2, 1, 1, False)
    assert list(found.mean) == [0.2, 0.3, 0.3, 0.5]
    drawn = expected_best(method(runs), "random", 1)
    after = [np.mean([max(0.2, v) for v in (0.3, 0.0, 0.5)]), np.mean([0.3, 0.5, 0.5]), 0.5]
    assert drawn.mean == pytest.approx([0.2, *after])
    assert drawn.is_expected


def test_what_would_send_too_much_counts_as_0_and_holds_nobody_back():
    """It is stopped after its first round, which need not be one that is evaluated."""
    runs = [
        trial(0, [0.9], "stopped early", fits=False),
        trial(1, [0.1, 0.3]),
        trial(2, [], "stopped early", fits=False),
        trial(3, [0.2, 0.4]),
    ]
    found = expected_best(method(runs), "tpe", 1)
    assert (found.round, found.failed) == (2, 2)
    assert list(found.mean) == [0.0, 0.3, 0.3, 0.4]
    search = search_of(method(runs), {}, {})
    assert (search.round, [value for _, value in search.compared]) == (2, [0.3, 0.4])


def test_of_thousands_of_draws_it_is_a_number():
    assert best_of(np.arange(3_001), 1_500) == pytest.approx(1_500 * 3_002 / 1_501 - 1)
    assert best_of(np.arange(3_001), 3_001) == 3_000


def test_under_a_budget_all_are_read_at_the_share_of_it_that_each_came_to():
    """Whatever their rounds were: the second has spent all in one."""
    shares = ([(1 / 9, 0.1), (1 / 3, 0.2)], [(1 / 9, 0.6), (1 / 3, 0.6), (1.0, 0.6)])
    runs = [
        replace(trial(0, [0.0] * 20 + [0.1, 0.2], "stopped early"), shares=shares[0]),
        replace(trial(1, [0.6]), shares=shares[1]),
    ]
    found = expected_best(method(runs), "tpe", 1)
    assert found.round == 1 / 3
    assert list(found.mean) == [0.2, 0.6]


def test_over_studies_it_is_their_mean_and_as_long_as_the_shortest():
    runs = [
        *(trial(n, [v], study=0) for n, v in enumerate((0.1, 0.5, 0.2))),
        *(trial(n, [v], study=1) for n, v in enumerate((0.3, 0.2))),
    ]
    found = expected_best(method(runs), "tpe", 1)
    assert found.mean == pytest.approx([0.2, 0.4])
    assert (list(found.low), list(found.high)) == ([0.1, 0.3], [0.3, 0.5])
    assert found.is_expected


def test_without_a_figure_or_a_round_in_common_there_is_none():
    assert expected_best(method(), "tpe", 0) is None
    assert expected_best(method([trial(0, [0.5], "failed")]), "tpe", 0) is None
    apart = [SearchedRun(n, 0, 7, {}, "finished", 2, [(n + 1, 0.5)]) for n in range(2)]
    assert expected_best(method(apart), "tpe", 0) is None


# ----------------------------------------------------------------------------------- the gains


def test_a_control_is_held_against_the_runs_with_its_seeds():
    """Seed 3 has no control, seed 4 no run: 0.5 − 0.4, 0.7 − 0.4."""
    found = control_gain(
        method(
            best={"lr": 0.2},
            runs=(run(1, [0.4, 0.6], lr=0.2), run(2, [0.7, 0.7], lr=0.2), run(3, [1, 1], lr=0.2)),
            controls=(run(1, [0.4, 0.4], lr=0.1), run(2, [0.3, 0.5], lr=0.1), run(4, [0, 0])),
        )
    )
    assert found.differences == pytest.approx(np.array([[0.1, 0.3]]))
    assert (found.mean, found.seeds, found.studies, found.above) == (0.2, 2, 1, 2)
    assert found.std == pytest.approx(np.std([0.1, 0.3], ddof=1))
    assert (found.footing, found.is_start) == ("test", False)


def test_without_a_control_nothing_is_said_on_test_data():
    assert control_gain(method(runs=(run(1, [0.5]),))) is None
    assert control_gain(method(controls=(run(1, [0.5]),))) is None


def test_finalists_are_a_footing_and_the_rounds_of_the_search_one_if_equal():
    first = trial(0, [0.4, 0.5], lr=0.1)
    other = trial(1, [0.3, 0.6], lr=0.2)
    short = trial(0, [0.65], "stopped early", lr=0.1)

    def searched(*runs, **parts):
        return search_of(method(runs, best={"lr": 0.2}, **parts), {}, {})

    in_search = gain_of(searched(first, other))
    assert (in_search.footing, in_search.mean) == ("search", pytest.approx(0.1))
    assert gain_of(searched(short, other)) is None, "values of different rounds"
    whole, early = ({"far": 40, "shares": [(1.0, 0.5)]}, {"far": 39, "shares": [(1 / 3, 0.5)]})
    spent = gain_of(searched(replace(trial(0, [0.5], lr=0.1), **whole), replace(other, **whole)))
    assert spent.mean == pytest.approx(0.1), "one round of one and two of the other are the budget"
    assert gain_of(searched(replace(first, **early), replace(other, **whole))) is None
    finalists = (
        Finalist(1, {"lr": 0.2}, {5: 0.55, 6: 0.57, 7: 0.9}),
        Finalist(0, {"lr": 0.1}, {5: 0.50, 6: 0.50}),
    )
    again = searched(short, other, finalists=finalists)
    fresh = gain_of(again)
    assert (fresh.footing, fresh.seeds, fresh.mean) == ("validation", 2, pytest.approx(0.06))
    assert gain_cell(again) == "+6.00 (validation, 2 seeds)"
    assert gain_cell(searched(first, other)) == "+10.00"
    assert gain_cell(searched(short, other)) == "–"
    assert "Gain of M: no number" in no_footing([searched(short, other)])
    assert no_footing([again, searched(first, other)]) == ""
    assert no_footing([searched(short, other)] * 2) == no_footing([searched(short, other)])


def test_under_a_budget_equally_far_is_the_same_share_of_it_in_however_many_rounds():
    first, other = trial(0, [0.4, 0.5], far=40, lr=0.1), trial(1, [0.6], far=40, lr=0.2)
    early = trial(0, [0.5], "stopped early", far=39, lr=0.1)

    def gain(*runs):
        return gain_of(search_of(method(runs, best={"lr": 0.2}), {}, {}))

    assert (gain(first, other).footing, gain(first, other).mean) == ("search", pytest.approx(0.1))
    assert gain(early, other) is None, "one round each, and not one footing"


# ------------------------------------------------------------------------ whole comparisons told


def told(
    store: Store, name: str, *, sampler="tpe", studies=2, shift=0.0, control=True, command="compare"
):
    """A comparison of one method with studies, as a session writes it."""
    budget = Budget(
        trials=3, generation=3, eta=2, seeds=2, studies=studies, control=control, sampler=sampler
    )
    fake = {"m": Fake("M", np.zeros((2, 3)))}
    spaces = {"m": {"search": {"lr": [0.01, 1.0, True]}, "start": [{"lr": 0.1}]}}
    made = record_of(fake, name, budget=budget, spaces=spaces, command=command)
    made.write(store.results / name)
    journal = Journal(store.results / name / JOURNAL, made.id)
    for event in _events(studies, shift, control):
        journal.append(event)
    journal.close()
    return read_results(store.results, name)


def _events(studies, shift, control):
    rates = [0.1, 0.2, 0.4]
    for study in range(studies):
        for index, lr in enumerate(rates):
            name = f"m-search-s{study}-{index}" if study else f"m-search-{index}"
            yield from _trial(name, "search", index, study, 7 + study, lr, 0.3 + index / 10, ())
        for index in range(2):
            name = f"m-confirm-s{study}-{index}" if study else f"m-confirm-{index}"
            test = np.array([0.5, 0.6, 0.7]) + shift + 0.1 * study + 0.02 * index
            yield from _trial(
                name, "confirm", index, study, 100 + index, rates[2 - study], 0.6, test
            )
    for index in range(2 * control):
        test = np.array([0.4, 0.5, 0.6])
        yield from _trial(f"m-control-{index}", "control", index, 0, 100 + index, 0.1, 0.5, test)
    chosen = [{"lr": rates[2 - study]} for study in range(studies)]
    yield MethodEnded("m", chosen[-1], 1, chosen if studies > 1 else [])


def _trial(name, stage, index, study, seed, lr, value, test):
    yield TrialStarted(name, "m", stage, index, 0, seed, {"lr": lr}, 1, study=study)
    val = [value] * 3
    metrics = {"val/accuracy": value, "val/best_accuracy": value, "train/total_steps": 1.0}
    metrics |= {n: 1.0 for n in ("comm/total_mb", "comm/setup_mb", "comm/up_mb_per_round",
                                 "comm/down_mb_per_round", "params/shared", "params/personal",
                                 "train/total_adaptation_steps", "time/total_s",
                                 "memory/peak_mb")}  # fmt: skip
    if len(test):
        metrics["test/accuracy"] = float(np.mean(test))
    yield RoundDone(name, 1, value, metrics, 1)
    selected = {"round": 1, "val": val, "test": [float(each) for each in test]}
    yield TrialEnded(name, "finished", 1, "", selected, 1)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def test_a_row_is_over_studies_and_seeds(store):
    result = told(store, "one")
    (found,) = result.methods
    assert found.crossed().shape == (2, 2, 3)
    assert found.crossed().dtype == np.float64
    assert found.clients() == pytest.approx(found.crossed().mean(0))
    assert (found.seeds, found.studies, len(found.runs)) == ((100, 101), (0, 1), 4)
    assert found.mean("selected/test_accuracy") == pytest.approx(0.66)
    means = found.crossed().mean(2)
    apart = [(means[0, 0] - means[1, 1]) ** 2, (means[0, 1] - means[1, 0]) ** 2]
    assert found.std("selected/test_accuracy") == pytest.approx(math.sqrt(np.mean(apart) / 2))
    assert found.best == {"lr": 0.2}
    assert (found.leading, found.search_trials, found.is_over) == (1, 6, True)
    assert (result.planned, result.ended) == (12, 12)


def test_each_study_is_what_it_would_be_without_others(store):
    (found,) = told(store, "one").methods
    (alone,) = told(store, "alone", studies=1).methods
    first = found.of_study(0)
    assert first.best == alone.best == {"lr": 0.4}
    assert first.runs == alone.runs
    assert first.searched == alone.searched
    assert (first.search_trials, first.search_steps) == (3, alone.search_steps)
    assert found.of_study(1).seeds == found.seeds
    assert alone.each_study() == (alone,)


def test_what_the_studies_chose_and_how_far_they_agree(store):
    analysis = analyse(told(store, "one"))
    studies = analysis.studies["m"]
    assert [row[:3] for row in study_lines(studies)] == [
        ["study", "chosen", "search %"], ["0", "lr = 0.4", "50.00"], ["1", "lr = 0.2", "40.00"],
    ]  # fmt: skip
    share = 100 * math.log(2) / math.log(100)
    assert agreement(studies) == (
        f"M: 2 studies chose 2 configurations: lr 0.2 to 0.4 ({share:.0f} % of its range)."
    )
    alone = analyse(told(store, "alone", studies=1))
    assert agreement(alone.studies["m"]) == ""
    assert study_lines(alone.studies["m"]) == []


def test_the_report_says_what_was_gained_and_on_which_footing(store):
    analysis = analyse(told(store, "one"))
    _, row = gain_lines(analysis)
    assert row[:4] == ["M", "50.00", "66.00", "+16.00 ± 7.21"]
    assert row[4:] == ["2 studies × 2 seeds", "4 of 4"]
    assert gained(analysis) == [
        "M: +16.00 ± 7.21 points over its start values, over 2 studies × 2 seeds, ahead in 4 of 4."
    ]
    assert gain_lines(analyse(told(store, "without", control=False))) == []


def test_each_study_has_its_own_configuration_in_the_table_of_the_search(store, tmp_path):
    write_files(analyse(told(store, "one")), tmp_path)
    page = (tmp_path / "report.html").read_text()
    for study, lr in enumerate((0.4, 0.2)):
        _, found = page.split(f"<td>M, study {study}</td>")
        assert f"lr = {lr}" in found.split("</tr>")[0]


def test_the_best_of_n_is_a_table_a_figure_and_a_csv(store):
    analysis = analyse(told(store, "one"))
    assert effort_lines(analysis) == [
        ["method", "1 trial", "2 trials", "3 trials", "read after round"],
        ["M", "30.00", "40.00", "50.00", "1"],
    ]
    assert [row[1] for row in effort_rows(analysis)] == [1, 2, 3]
    assert "Mean over 2 studies." in effort_note(analysis)
    assert best_after(analysis) is not None
    alone = analyse(told(store, "alone", studies=1))
    assert "This is the order of one search, and no expectation" in effort_note(alone)
    drawn = analyse(told(store, "drawn", studies=1, sampler="random"))
    assert "independent draws" in effort_note(drawn)
    whole = drawn.efforts["m"]
    one = replace(drawn, efforts={"m": replace(whole, mean=whole.mean[:2], drawn=1)})
    assert "after those" not in effort_note(one), "it learns from none"
    assert "no expectation" in effort_note(one)
    # The start value, then 0.4 or 0.5 first.
    assert effort_lines(drawn)[1][1:4] == ["30.00", "45.00", "50.00"]


def test_one_sampler_is_held_against_another_by_study_and_seed(store, tmp_path):
    results = [told(store, "tpe", shift=0.1), told(store, "random", sampler="random")]
    assert why_apart(results) == "tpe has the sampler tpe and random random"
    analyses = [analyse(each) for each in results]
    _, row = sampler_lines(analyses)
    assert row == ["M", "tpe", "76.00", "random", "66.00", "+10.00 ± 0.00", "2 studies × 2 seeds",
                   "4 of 4"]  # fmt: skip
    assert sampler_lines(analyses[::-1])[1][5] == "+10.00 ± 0.00", "random is the control"
    write_scenarios(side_by_side(analyses), tmp_path / "out")
    assert "What the sampler gained" in (tmp_path / "out" / "report.html").read_text()


def test_a_tuning_shows_the_leading_study_and_how_far_the_others_agree(store, tmp_path):
    found = tuned_of(analyse(told(store, "one", command="tune")))
    assert found.method.best == {"lr": 0.2}
    assert found.method.seeds == (100, 101)
    assert [run.study for run in found.method.searched] == [1, 1, 1]
    said = " ".join(sentences(found))
    assert "M: lr = 0.2. Test accuracy 71.00 ± 1.41 % over 2 seeds" in said
    assert "21.0 points above the start values on test data, over 2 seeds" in said
    assert "2 studies chose 2 configurations" in said
    assert "Test accuracy 66.00 ± 7.21 % over 2 studies × 2 seeds." in said
    write_tuning(found, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert page.index("What each study chose") < page.index("The best configurations")
    assert (tmp_path / "best-after-n-trials.png").is_file()
    assert len((tmp_path / "studies.csv").read_text().splitlines()) == 3
    assert len((tmp_path / "best-after.csv").read_text().splitlines()) == 4


def test_a_report_of_one_study_has_neither_table_nor_file_of_studies(store, tmp_path):
    found = tuned_of(analyse(told(store, "one", command="tune", studies=1, control=False)))
    assert found.method is found.result.methods[0]
    write_tuning(found, tmp_path)
    assert "What each study chose" not in (tmp_path / "report.html").read_text()
    assert not (tmp_path / "studies.csv").exists()
    assert (tmp_path / "table.csv").read_text().startswith("method,seed,")


def test_files_of_several_studies_have_a_column_for_them(store, tmp_path):
    analysis = analyse(told(store, "one"))
    write_files(analysis, tmp_path)
    assert (tmp_path / "table.csv").read_text().startswith("method,study,seed,")
    assert (tmp_path / "clients.csv").read_text().startswith("method,study,seed,client,")
    assert "gain_over_start" in (tmp_path / "summary.csv").read_text()
    page = (tmp_path / "report.html").read_text()
    for text in ("M, study 0", "M, study 1", "What the search gained", "The best of n trials"):
        assert text in page


def test_python_has_a_row_per_study_and_per_number_of_trials(store):
    found = Results(told(store, "one"), store.results / "one")
    assert list(found.studies["knobs/lr"]) == [0.4, 0.2]
    assert list(found.best_after["val/accuracy"]) == pytest.approx([0.3, 0.4, 0.5])
    assert set(found.trials["study"]) == {0, 1}
    assert found.table.loc["m", ["seeds", "studies"]].tolist() == [2, 2]


def test_each_study_is_one_of_optunas(store):
    names = [study.name for study in studies_of(told(store, "one"))]
    assert names == ["pfltune/one/m", "pfltune/one/m/1"]
    assert [len(study.trials) for study in studies_of(told(store, "two"))] == [3, 3]


def test_what_is_taken_from_several_studies_is_what_validates_best(store):
    """Not what happened to be tested first."""
    result = told(store, "one")
    origin, values = _choice(result.record, "m", store.results / "one", "")
    assert values == {"lr": 0.2}
    assert origin.trials == 6
    _, alone = _choice(told(store, "two", studies=1).record, "m", store.results / "two", "")
    assert alone == {"lr": 0.4}


def test_intervals_of_several_studies_generalise_over_searches(store):
    (found,) = told(store, "one").methods
    assert [table.shape for table in tables_of(found, found.seeds)] == [(2, 2, 3)]
    assert crossed(tables_of(found, found.seeds)).over == ("searches", "seeds", "clients")


def test_samplers_of_other_budgets_are_on_no_footing(store):
    analyses = [
        analyse(told(store, "tpe")),
        analyse(told(store, "random", sampler="random", studies=3)),
    ]
    assert sampler_lines(analyses) == []
    assert sampler_note(analyses).startswith("Samplers are not held against each other")
    assert sampler_note(analyses[:1]) == ""
