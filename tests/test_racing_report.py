"""What a report says of a race, from figures that a test chooses."""

import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from comparisons import Fake, budgeted, record

from pfltune.budget import Budget
from pfltune.errors import UserError
from pfltune.figures import SELECTED_TEST
from pfltune.racing.race import race
from pfltune.report import racing, words
from pfltune.report.analysis import analyse
from pfltune.report.figures import draw
from pfltune.report.latex import result_table
from pfltune.report.results import read_results
from pfltune.report.spreadsheet import csv_race, summary_row
from pfltune.report.together import together, why_apart, without
from pfltune.report.writer import write_report
from pfltune.tracking.store import Store

TEST = SELECTED_TEST.name

FAR = {"fedavg": 0.5, "fedper": 0.7, "local": 0.3}
CLOSE = {"fedavg": 0.6, "fedper": 0.6, "local": 0.3}


def tables(levels, most: int, swing: float = 0.01) -> dict[str, np.ndarray]:
    """(seeds, clients) by method; those that stand at one level take turns in being ahead."""
    turns = [1 if n % 2 else -1 for n in range(len(levels))]
    return {
        name: np.array(
            [
                [level + turn * swing * (-1) ** seed + c / 100 for c in range(6)]
                for seed in range(most)
            ]
        )
        for turn, (name, level) in zip(turns, levels.items(), strict=True)
    }


def begun(folder, levels, decide, *, most=12, seeds=None, over=True, name="one", **swing):
    """A race as a session leaves it, with as many seeds of each method as it asks for."""
    whole = tables(levels, most, **swing)
    given = dict.fromkeys(levels, 3 if seeds is None else seeds)
    while seeds is None:
        means = {m: list(whole[m][: given[m]].mean(1)) for m in levels}
        found = race(decide, most, means)
        if found.is_over:
            break
        given |= {m: max(given[m], found.seeds + 1) for m in found.runners}
    fakes = {m: Fake(m.title(), whole[m][: given[m]]) for m in levels}
    budget = Budget(trials=2, generation=2, eta=2, seeds=3, decide=decide, max_seeds=most)
    record(Store(folder), name, fakes, budget=budget, over=over, mirrored=False)
    return read_results(folder, name)


def test_a_report_finds_the_race_that_was_dealt(tmp_path):
    result = begun(tmp_path, FAR, "best")
    assert result.race is not None
    assert result.race.is_decided
    assert {len(method.runs) for method in result.methods} == {7}
    assert racing.finding(result) == "Decided after 7 seeds: Fedper is the best of 3 methods."
    cells = [line.cells for line in racing.lines(result)]
    assert [row[:3] for row in cells] == [
        ("Fedper", "the best", "7 seeds"),
        ("Fedavg", "not the best", "7 seeds"),
        ("Local", "not the best", "7 seeds"),
    ]


def test_an_order_is_told_as_a_row(tmp_path):
    result = begun(tmp_path, FAR, "order")
    assert racing.finding(result) == "Decided after 6 seeds: Fedper > Fedavg > Local."
    assert [line.cells[:2] for line in racing.lines(result)] == [
        ("Fedavg and Fedper", "Fedper is better"),
        ("Fedper and Local", "Fedper is better"),
        ("Fedavg and Local", "Fedavg is better"),
    ]
    assert result.race is not None
    assert racing.standing(result.race, "fedavg") == "above 1, below 1"


def test_what_cannot_be_decided_is_said_with_the_seed_at_which_that_was_clear(tmp_path):
    result = begun(tmp_path, CLOSE, "best")
    told = racing.finding(result)
    assert result.race is not None
    seeds = result.race.seeds
    assert seeds < 12
    assert told.startswith(
        f"Not decided, and after {seeds} seeds it was clear that 12 could not do it: Fed"
    )
    assert "Fedavg" in told
    assert "Fedper" in told
    assert " were not told apart. Local could have been excluded, and was not yet. " in told
    assert told.endswith("How many seeds more it would take cannot be said.")


def test_an_order_names_what_is_open(tmp_path):
    result = begun(tmp_path, CLOSE, "order")
    assert "2 of 3 pairs are decided" in racing.finding(result)
    (line,) = [line for line in racing.lines(result) if "given up" in line.cells[1]]
    assert line.cells[1] == "given up: 12 seeds cannot decide"
    assert line.cells[-1] == "not to be said, over 100"


def test_seeds_more_are_told_where_one_is_ahead_by_a_little(tmp_path):
    levels = {"fedavg": 0.600, "fedper": 0.606}
    result = begun(tmp_path, levels, "best", swing=0.004)
    told = racing.finding(result)
    assert "It would take some " in told
    (line,) = [line for line in racing.lines(result) if line.cells[0] == "Fedavg"]
    assert 0 < int(line.cells[-1]) < 100


def test_a_race_that_goes_on_says_so(tmp_path):
    result = begun(tmp_path, FAR, "best", seeds=4, over=False)
    assert racing.finding(result).startswith("Open after 4 seeds, and going on: ")
    assert "may be the best" in racing.finding(result)


def test_what_leaves_the_race_is_named(tmp_path):
    whole = tables(FAR, 7)
    fakes = {m: Fake(m.title(), whole[m][:3]) for m in FAR}
    budget = Budget(trials=2, generation=2, eta=2, seeds=3, decide="best", max_seeds=12)
    made = record(Store(tmp_path), "one", fakes, budget=budget, mirrored=False)
    result = read_results(tmp_path, made.name)
    failed = race("best", 12, {"fedper": [0.7] * 7, "fedavg": [0.5] * 7, "local": [None, None]})
    told = racing.finding(replace(result, race=failed))
    assert told.endswith("Local left the race after 2 failed trials; nothing is claimed of it.")


def test_too_few_that_are_left_decide_nothing(tmp_path):
    result = begun(tmp_path, FAR, "best")
    low, gone = [0.1] * 12, [None] * 12
    alone = "Nothing is decided: Fedper is left alone, "
    told = {
        alone + "since all others left the race.": (low, gone, gone),
        "Nothing is decided: every method left the race.": (gone, gone, gone),
        alone + "but others were excluded by figures of methods that left": (
            [0.899, 0.9] * 6,
            low,
            [0.9] * 9 + [None] * 3,
        ),
        "seeds: Fedper is the best of 2 methods. Local left": ([0.9] * 12, low, gone),
    }
    for words_, figures in told.items():
        found = race("best", 40, dict(zip(("fedper", "fedavg", "local"), figures, strict=True)))
        assert words_ in racing.finding(replace(result, race=found))


def test_an_order_without_what_left_is_a_row_and_one_pair_is_one(tmp_path):
    result = begun(tmp_path, FAR, "order")
    figures = {"fedper": [0.9] * 12, "fedavg": [0.1] * 12, "local": [None] * 12}
    found = replace(result, race=race("order", 12, figures))
    assert "Fedper > Fedavg. Local left the race" in racing.finding(found)
    close = {"fedper": [0.9] * 12, "fedavg": [0.1, 0.2] * 6, "local": [0.2, 0.1] * 6}
    open_ = race("order", 12, {name: values[:12] for name, values in close.items()})
    assert "of 3 pairs are decided" in racing.finding(replace(result, race=open_))
    two = race("order", 7, {"fedper": [0.9] * 7, "fedavg": [0.1] * 7, "local": [0.9] * 7})
    assert "2 of 3 pairs are decided" in racing.finding(replace(result, race=two))


def test_bold_are_those_that_nobody_was_found_to_be_better_than(tmp_path):
    result = begun(tmp_path, FAR, "best")
    assert words.bold_note([result]).startswith("Bold are all methods to which no other was found")
    assert "p ≥" not in result_table(analyse(result))
    plain_one = replace(result, record=budgeted(FAR, trials=2, seeds=3))
    both = words.bold_note([result, plain_one])
    assert "p ≥ 0.05" in both
    assert "and, where there was a race, all methods to which" in both


def test_no_p_of_a_fixed_number_of_seeds_is_told_and_the_reason_is(tmp_path):
    result = begun(tmp_path, FAR, "best")
    analysis = analyse(result)
    assert all(math.isnan(d.p) and math.isnan(d.raw_p) for d in analysis.differences.values())
    assert not any(d.is_significant for d in analysis.differences.values())
    row = summary_row(analysis, result.find("local"))
    assert math.isnan(row["p"])
    assert math.isnan(row["p_all_pairs"])
    for text in (words.test_note(analysis), result_table(analysis)):
        assert "crossed effects" not in text
        assert "none is given" in text
    assert words.finding(analysis) == racing.finding(result)


def test_intervals_are_over_seeds_and_need_six(tmp_path):
    analysis = analyse(begun(tmp_path, FAR, "best"))
    for method in analysis.result.methods:
        interval = analysis.intervals[method.name]
        assert interval.low < method.mean(TEST) < interval.high
    few = analyse(begun(tmp_path / "few", FAR, "best", seeds=5, over=False))
    assert all(math.isnan(interval.low) for interval in few.intervals.values())
    assert "–" in result_table(few) or "--" in result_table(few)


def test_everything_is_written(tmp_path):
    begun(tmp_path, FAR, "order")
    write_report(tmp_path, "one")
    report = tmp_path / "one" / "report"
    assert "<h2>The race</h2>" in (report / "report.html").read_text()
    assert (report / "race.pdf").exists()
    rows = list(csv.DictReader(io.StringIO((report / "race.csv").read_text())))
    assert [row["better"] for row in rows] == ["fedper", "fedper", "fedavg"]
    assert all(len(row["course"].split()) == int(row["seeds"]) for row in rows)
    assert "above 2, below 0" in (report / "table.md").read_text()


def test_a_comparison_without_a_race_says_nothing_of_one(tmp_path):
    fakes = {m: Fake(m.title(), table) for m, table in tables(FAR, 3).items()}
    record(Store(tmp_path), "plain", fakes, mirrored=False)
    result = read_results(tmp_path, "plain")
    assert result.race is None
    assert racing.finding(result) == csv_race(result) == ""
    with pytest.raises(UserError, match="nothing that the figure"):
        draw("course_of_the_race", analyse(result))


def test_a_row_that_is_left_out_stays_in_the_race(tmp_path):
    result = begun(tmp_path, FAR, "best")
    (fewer,) = without([result], ["local"])
    assert racing.finding(fewer) == racing.finding(result)
    assert "Local" in [line.cells[0] for line in racing.lines(fewer)]


def test_rows_of_several_races_have_no_p_and_no_verdict(tmp_path):
    one = begun(tmp_path, FAR, "best")
    other = begun(tmp_path, {"fedrep": 0.4, "apfl": 0.9}, "best", name="two")
    assert not why_apart([one, other])
    both = together([one, other])
    assert both.race is None
    analysis = analyse(both)
    assert all(math.isnan(d.p) for d in analysis.differences.values())
    fakes = {m: Fake(m.title(), table) for m, table in tables(FAR, 3).items()}
    record(Store(tmp_path), "plain", fakes, mirrored=False)
    assert "decided" in str(why_apart([one, read_results(tmp_path, "plain")]))
