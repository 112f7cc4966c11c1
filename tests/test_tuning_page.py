"""The page, the terminal and Python of a search of one method: what a reader takes from them."""

import csv
import itertools
import json
import math
import re
import shlex
from dataclasses import replace

import click
import html5lib
import numpy as np
import pytest
import tunings
from rich.console import Console
from tunings import FRESH, ROUNDS, Trial, Tuning, chosen, grown, rising

import pfltune
from pfltune.cli.app import root
from pfltune.cli.tuned import facts, print_tuned
from pfltune.errors import UserError
from pfltune.report.analysis import analyse
from pfltune.report.learned import Equal, KnobRange, Learned, Tried
from pfltune.report.learned.observed import rows_of
from pfltune.report.results import read_results
from pfltune.report.tuning.advice import advice
from pfltune.report.tuning.course import control
from pfltune.report.tuning.entries import sorted_entries
from pfltune.report.tuning.points import at_one_round, readings
from pfltune.report.tuning.sentence import sentence, sentences
from pfltune.report.tuning.table import best_ten
from pfltune.report.tuning.tuned import tuned_of
from pfltune.report.writer import write_report

pytestmark = pytest.mark.usefixtures("png_alone")


@pytest.fixture
def tuned(tmp_path):
    """``tuned(tuning)`` is what follows from a tuning, read from its folder."""
    numbers = itertools.count()

    def read(tuning: Tuning, pair=None):
        name = f"look-{next(numbers)}"
        tunings.write(tmp_path, name, tuning)
        return tuned_of(analyse(read_results(tmp_path, name)), pair)

    return read


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """The folder of a report, and the result."""
    results = tmp_path_factory.mktemp("tuned") / "results"
    tunings.write(results, "look", chosen())
    write_report(results, "look")
    return results


def spending(trials: int = 12) -> Tuning:
    """Trials of 12 MB: every second one sends 4 MB a round and has half the rounds of the others.

    Half of them were stopped at the half of their budget, where they had three quarters of what
    they would have in the end.
    """
    made = []
    for index, each in enumerate(grown(trials, stopped=0)):
        rounds, mb = (3, 4.0) if index % 2 else (6, 2.0)
        whole = each.scores[-1]
        scores = [whole * (0.5 + 0.5 * step / rounds) for step in range(1, rounds + 1)]
        stops = index % 4 > 1
        if stops:
            scores = scores[: rounds // 2]
        ended = "stopped early" if stops else "finished"
        made.append(Trial(each.knobs, tuple(scores), mb=mb, outcome=ended))
    full = [index for index in range(trials) if made[index].outcome == "finished"]
    best = max(full, key=lambda index: made[index].scores[-1])
    return Tuning(made, best, test=(0.6, 0.62), budget_mb=12.0)


def test_under_a_budget_trials_are_read_at_equal_shares_of_it(tuned):
    """One that ended after three rounds has spent all, and is no equal of a third round's score."""
    found, told = tuned(spending()), spending().trials
    finished = {n for n, trial in enumerate(told) if trial.outcome == "finished"}
    assert {run.index for run in found.full} == finished
    assert {run.rounds for run in found.full} == {3, 6}
    assert found.learned.rounds == 1.0
    assert found.search.round == 0.5
    assert len(found.search.compared) == len(told)
    for run, value in found.search.compared:
        rounds = 6 if run.index % 2 == 0 else 3
        assert value == told[run.index].scores[rounds // 2 - 1], "the first round beyond the half"
    note = readings(found).note
    assert note.startswith("Filled: at the end of their budget. Hollow: stopped early, read when")
    assert at_one_round(found).note.startswith("Every trial is read at 1/2 of their budget")
    assert found.after(1.0) == "at the end of their budget"
    assert {found.beside(point.round) for point in readings(found).points} == {"1/1", "1/2"}
    rows = rows_of(found.method)
    assert {row.round for row in rows} == {0.5, 1.0}
    assert {row.trial for row in rows if row.round == 1.0} == finished


def test_the_page_of_a_search_under_a_budget_names_no_round_as_its_end(tmp_path):
    tunings.write(tmp_path, "spent", spending())
    write_report(tmp_path, "spent")
    text = text_of((tmp_path / "spent" / "report" / "report.html").read_text())
    assert "at the end of their budget" in text
    assert "after round 6" not in text


def text_of(page: str) -> str:
    document = html5lib.parse(page, namespaceHTMLElements=False)
    for script in (*document.iter("script"), *document.iter("style")):
        script.text = ""
    return " ".join("".join(document.itertext()).split())


def test_the_page_begins_with_the_answer_and_the_best_configuration(reported):
    page = (reported / "look" / "report" / "report.html").read_text()
    found = pfltune.load_results("look", results=reported)
    seen = text_of(page)
    assert found.sentence.startswith("FedPerfix: lr = 0.")
    assert "Test accuracy 65.00 ± 1.00 % over 3 seeds that the search never used" in found.sentence
    assert found.sentence in seen
    document = html5lib.parse(page, namespaceHTMLElements=False)
    rows = [[" ".join("".join(c.itertext()).split()) for c in row] for row in document.iter("tr")]
    heads = rows[0]
    assert {"trial", "lr", "prefix_length", "score %", "after round", "fresh seeds %"} <= {*heads}
    first = dict(zip(heads, rows[1], strict=True))
    best = found.best
    assert first["trial"].endswith("chosen")
    assert first["prefix_length"] == str(best["prefix_length"])
    assert first["fresh seeds %"] == "61.00 ± 0.58"
    axes = [image.get("alt") for image in document.iter("img")]
    assert any(alt.startswith("tuning slices") and "prefix_length" in alt for alt in axes)
    assert any(alt.startswith("tuning contour: lr; prefix_length") for alt in axes)
    for not_said in ("Nothing was tested", "± 0.00", "two methods"):
        assert not_said not in seen


def test_the_order_of_the_page_is_answer_best_pictures_test_trials(reported):
    page = (reported / "look" / "report" / "report.html").read_text()
    heads = re.findall("<h2>(.*?)</h2>", page)
    assert heads[:5] == [
        "The best configurations", "The search", "The chosen configuration, tested",
        "Within a budget", "All trials",
    ]  # fmt: skip
    assert heads[-1] == "For a paper"


def test_every_trial_of_every_stage_stands_in_the_csv(reported):
    rows = list(csv.DictReader((reported / "look" / "report" / "trials.csv").open()))
    stages = [row["stage"] for row in rows]
    assert {stage: stages.count(stage) for stage in {*stages}} == {
        "search": 12, "choose": 6, "confirm": 3,
    }  # fmt: skip
    short = next(row for row in rows if row["outcome"] == "stopped early")
    assert short["rounds"] == "2"
    assert float(short["mb"]) == 4.0
    assert short["test_accuracy"] == ""
    assert float(short["score"]) > 0
    assert all(row["prefix_length"].isdigit() for row in rows)


def test_full_trials_stand_first_and_a_higher_early_value_below_them(tuned):
    trials = [
        Trial({"lr": 0.1}, rising(0.4)),
        Trial({"lr": 0.2}, (0.9, 0.9)),
        Trial({"lr": 0.3}, rising(0.5)),
        Trial({"lr": 0.4}, (0.95,)),
        Trial({"lr": 0.5}, (), outcome="failed"),
    ]
    found = tuned(Tuning(trials, 2, test=(0.45,)))
    assert [entry.run.index for entry in best_ten(found)] == [2, 0, 1, 3, 4]
    told = " ".join(sentences(found))
    assert "50.0 % in the search, the highest of 2 that came as far" in told
    assert "2 of 5 trials were stopped early, 1 of 5 trials failed." in told
    assert "Test accuracy 45.00 % with 1 seed that the search never used" in told
    assert "±" not in told


def test_a_configuration_that_was_suggested_twice_stands_once(tuned):
    trials = [Trial({"lr": 0.1}, rising(0.4, 2)), Trial({"lr": 0.1}, rising(0.4))]
    found = sorted_entries(tuned(Tuning(trials, 1)).method)
    assert [entry.run.index for entry in found] == [1]


def test_the_drop_is_told_with_its_seeds(tuned):
    trials = [Trial({"lr": 0.1}, rising(0.551), fresh=(0.50, 0.51, 0.496)),
              Trial({"lr": 0.2}, rising(0.5))]  # fmt: skip
    told = " ".join(sentences(tuned(Tuning(trials, 0, test=(0.5, 0.49)))))
    assert "Validation accuracy 55.1 % in the search, the highest of 2" in told
    assert re.search(r"50\.2 ± 0\.4 % over 3 fresh seeds of validation, 4\.9 points lower\.", told)


@pytest.mark.parametrize(
    ("published", "first", "told"),
    [
        ((), rising(0.5), ""),
        (({"lr": 0.1},), rising(0.5), "10.0 points above the published values in the search, both"),
        (({"lr": 0.1},), rising(0.5, 2), ""),
        (({"lr": 0.7},), rising(0.5), ""),
    ],
)
def test_a_gain_is_over_published_values_at_equal_rounds_alone(tuned, published, first, told):
    trials = [Trial({"lr": 0.1}, first), Trial({"lr": 0.2}, rising(0.6))]
    found = tuned(Tuning(trials, 1, published=published, test=(0.6,)))
    if told:
        assert told in " ".join(sentences(found))
    else:
        assert "published" not in " ".join(sentences(found))


def test_with_fresh_seeds_of_both_the_gain_is_paired(tuned):
    trials = [Trial({"lr": 0.1}, rising(0.5), fresh=(0.5, 0.6)),
              Trial({"lr": 0.2}, rising(0.9), fresh=(0.52, 0.62))]  # fmt: skip
    told = " ".join(sentences(tuned(Tuning(trials, 1, published=({"lr": 0.1},)))))
    assert "2.0 points above the published values, over 2 fresh validation seeds." in told


def tried(index, mean, mb=2.0, personal=100.0) -> Tried:
    knobs = {"lr": 0.1 * (index + 1), "prefix_length": index + 1}
    return Tried(index, knobs, {}, mean, 0.01, mb, personal, mean)


def learned(found, **changed) -> Learned:
    return replace(Learned(rounds=ROUNDS, chosen=tried(0, 0.6)), **changed)


def test_what_is_as_good_and_cheaper_is_named(tuned):
    found = tuned(chosen())
    small = tried(3, 0.59, mb=0.4, personal=10.0)
    equals = tuple(
        Equal(each, "paired over 3 seeds, p = 0.41")
        for each in (small, *map(tried, (5, 6, 7), (0.5,) * 3))
    )
    ranges = (KnobRange("lr", low=0.01, high=0.1), KnobRange("learn_alpha", values=(True, False)))
    whole = learned(found, equals=equals, cheapest_mb=small, cheapest_personal=small, ranges=ranges)
    told = " ".join(sentences(replace(found, learned=whole)))
    assert "Not told apart from it: #3, lr = 0.4, prefix_length = 4 (paired over 3 seeds" in told
    assert "; and 1 more." in told
    assert (
        "in MB #3 (0.4 MB instead of 2 MB); in personal parameters #3 (10 instead of 100)" in told
    )
    assert "lr 0.01 to 0.1; all that was searched of learn_alpha." in told
    step = advice(replace(found, learned=replace(whole, surrogate=object())))
    assert step is not None


def test_nothing_is_said_of_what_is_not_known(tuned):
    """No trial, all failed, none chosen yet, one trial, not tested."""
    none = tuned(Tuning([Trial({"lr": 0.1}, (), outcome="failed")], None))
    assert sentence(none) == "FedPerfix: nothing is chosen."
    assert advice(none) is None
    begun = tuned(Tuning([Trial({"lr": 0.1}, (0.3,), outcome="running")], None, over=False))
    assert sentence(begun) == "FedPerfix: nothing is chosen yet."
    one = tuned(Tuning([Trial({"lr": 0.1}, rising(0.5))], 0))
    assert sentence(one) == "FedPerfix: lr = 0.1. Not tested with fresh seeds."
    assert any("in the search, the only trial" in told for told in sentences(one))


def test_a_best_value_at_the_edge_is_searched_beyond(tuned):
    trials = grown()
    trials[0] = replace(trials[0], knobs={**trials[0].knobs, "lr": 1.0}, scores=rising(0.9))
    step = advice(tuned(Tuning(trials, 0, test=(0.9,), fixed={"prefix": "tokens"})))
    assert "lr = 1 is the highest that was searched" in step.why
    words = shlex.split(step.command)
    assert words[:3] == ["pfltune", "tune", "fedperfix"]
    assert "lr=0.3:3:log" in words
    assert words[words.index("--set") + 1] == "prefix=tokens"


def test_beyond_the_last_choice_comes_the_next_in_its_row(tuned):
    space = {"prefix_length": [1, 2, 4, 8]}
    trials = [Trial({"prefix_length": size}, rising(0.1 * size)) for size in (1, 2, 4, 8)]
    step = advice(tuned(Tuning(trials, 3, space=space, test=(0.8,))))
    assert "prefix_length=4,8,16" in shlex.split(step.command)


def test_every_advice_is_a_command_as_it_stands(tuned):
    """Its options are those of the command line."""
    trials = grown()
    edge = replace(trials[0], knobs={**trials[0].knobs, "lr": 1.0}, scores=rising(0.9))
    at_the_edge = Tuning([edge, *trials[1:]], 0, test=(0.9,), fixed={"prefix": "tokens"})
    many = tuned(Tuning(grown(15), 7, test=(0.6,)))
    found = replace(many, learned=learned(many, surrogate=object()))
    equals = (Equal(tried(3, 0.59), "paired over 3 seeds, p = 0.41"),)
    several = replace(many, learned=learned(many, surrogate=object(), equals=equals))
    steps = [advice(each) for each in (tuned(at_the_edge), tuned(chosen()), several, found)]
    assert [step.command.split()[1] for step in steps] == ["tune", "extend", "grid", "compare"]
    for step in steps:
        program, name, *words = shlex.split(step.command)
        assert program == "pfltune"
        with click.Context(root, info_name=program) as above:
            root.get_command(above, name).make_context(name, words, above)


def test_few_trials_ask_for_more(tuned):
    step = advice(tuned(chosen()))
    assert step.command == "pfltune extend look-0 --trials 24"


def test_the_pair_is_prefix_length_and_lr_or_the_one_asked_for(tuned):
    assert tuned(chosen()).pair == ("prefix_length", "lr")
    assert tuned(chosen(), ("lr", "learn_alpha")).pair == ("lr", "learn_alpha")
    with pytest.raises(UserError, match=r"unknown searched knob 'size'.*prefix_length"):
        tuned(chosen(), ("lr", "size"))
    with pytest.raises(UserError, match="two different ones, not lr twice"):
        tuned(chosen(), ("lr", "lr"))
    one = Tuning([Trial({"lr": 0.1}, rising(0.5)), Trial({"lr": 0.2}, rising(0.6))], 1)
    assert tuned(one).pair is None


def test_the_best_of_random_orders_is_that_of_all_orders():
    """By going through every order of five trials, two of which count for nothing."""
    values = [0.3, 0.7, 0.5]
    found = control(values, 5)
    for drawn in range(1, 6):
        bests = [
            max(known)
            for order in itertools.permutations([*values, None, None])
            if (known := [value for value in order[:drawn] if value is not None])
        ]
        assert found.mean[drawn - 1] == pytest.approx(np.mean(bests))
        assert found.low[drawn - 1] == pytest.approx(np.quantile(bests, 0.1, method="inverted_cdf"))
        assert found.high[drawn - 1] == pytest.approx(
            np.quantile(bests, 0.9, method="inverted_cdf")
        )


def test_no_picture_shows_nothing(tmp_path):
    """One trial, one value, one knob: no contour, no parallel axes, no course."""
    one = Tuning([Trial({"lr": 0.1}, rising(0.5))], 0, test=(0.5,))
    tunings.write(tmp_path, "one", one)
    found = pfltune.load_results("one", results=tmp_path)
    assert found.plot_slices() is None
    assert found.plot_contour() is None
    assert found.plot_parallel() is None
    assert found.plot_best_so_far() is None
    assert found.plot_accuracy_vs_mb() is None
    write_report(tmp_path, "one")
    drawn = {path.stem for path in (tmp_path / "one" / "report").glob("*.png")}
    assert not {name for name in drawn if name.startswith("tuning")}


def test_choices_and_truth_values_stand_side_by_side(tuned):
    from pfltune.report.tuning.slices import slices

    figure = slices(tuned(chosen())).figure
    panels = {axes.get_xlabel(): axes for axes in figure.axes}
    assert list(panels) == ["prefix_length", "lr", "learn_alpha"]
    ticks = [tick.get_text() for tick in panels["learn_alpha"].get_xticklabels()]
    assert ticks == ["False", "True"]
    assert panels["lr"].get_xscale() == "log"


def test_a_trial_read_earlier_than_others_has_its_round_beside_it(tuned):
    from pfltune.report.tuning.slices import slices

    found = tuned(chosen())
    drawing = slices(found)
    marks = [text.get_text() for axes in drawing.figure.axes for text in axes.texts]
    early = [run for run in found.method.searched if run.outcome == "stopped early"]
    if marks:
        assert marks == ["2"] * len(early) * 3
        assert "no equal of the others" in drawing.caption
    else:
        assert "Every trial is read after round 2" in drawing.caption


def test_in_80_columns_the_terminal_says_what_the_page_says(tuned, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    found = tuned(chosen())
    with_width = Console(width=80, markup=False)
    print_tuned(with_width, found, tunings.Path("results"))
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    commands = ("Again:", "Next:")
    assert all(len(line) <= 80 for line in lines if not line.startswith(commands))
    assert " ".join(shown.split()).startswith(sentence(found))
    assert "#" in shown
    assert f"prefix_length={found.method.best['prefix_length']}" in shown
    assert "Next:   pfltune extend look-0 --trials 24" in lines


def test_scripts_get_the_same_facts(tuned):
    found = facts(tuned(chosen()))
    told = json.loads(json.dumps(found, allow_nan=False))
    assert told["chosen"]["prefix"] == "tokens"
    assert len(told["trials"]) == 12
    assert list(told["values"].values()) == pytest.approx(FRESH[0])
    assert told["fall"] is not None
    assert {"equals", "ranges", "sentences", "next"} <= told.keys()


def test_python_has_best_trials_and_pictures(reported):
    found = pfltune.load_results("look", results=reported)
    assert isinstance(found, pfltune.TuneResults)
    assert found.best["prefix"] == "tokens"
    assert len(found.trials) == 21
    assert found.plot_contour(("lr", "learn_alpha")) is not None
    with pytest.raises(UserError, match="unknown searched knob 'rate'"):
        found.plot_contour(("lr", "rate"))
    assert found.figure()._repr_png_().startswith(b"\x89PNG")
    shown = found._repr_html_()
    assert found.sentence in shown
    assert "prefix_length" in shown
    assert math.isfinite(found.learned.rounds)


@pytest.mark.parametrize("text", ["lr", "a,b,c", ",lr"])
def test_a_pair_is_given_as_two_knobs(called, text):
    code, _, errors = called("report", "look", "--pair", text)
    assert code == 2
    assert f"'{text}' is no pair of knobs, such as prefix_length,lr" in errors
