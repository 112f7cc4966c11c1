"""Comparisons on one ground as one table, and rows that are left out."""

import csv
from dataclasses import replace

import comparisons
import html5lib
import numpy as np
import pytest
from click.testing import CliRunner
from comparisons import Fake

from pfltune.budget import Budget
from pfltune.cli.report import command
from pfltune.errors import UserError
from pfltune.report.results import read_results
from pfltune.report.together import together, why_apart
from pfltune.scenario import load_scenario
from pfltune.tracking.store import Store

pytestmark = pytest.mark.usefixtures("png_alone")

VARIANT = "fedperfix[part=norm|<i>,prefix=a_b%&]"


def crossed(level, seeds=3, clients=8):
    rng = np.random.default_rng(round(1000 * level))
    return (level + rng.uniform(-0.1, 0.1, clients) + rng.normal(0, 0.02, (seeds, clients))).round(
        4
    )


FEDREP, FEDAVG, LOCAL, PERFIX = (
    Fake("FedRep", crossed(0.75)),
    Fake("FedAvg", crossed(0.65)),
    Fake("Local", crossed(0.6)),
    Fake("FedPerfix (part=norm|<i>, prefix=a_b%&)", crossed(0.7)),
)
ALL = {"fedrep": FEDREP, "fedavg": FEDAVG, "local": LOCAL, VARIANT: PERFIX}


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


def recorded(results, name, methods, **changed):
    return comparisons.record(Store(results), name, methods, mirrored=False, **changed)


def invoke(results, *arguments):
    told = CliRunner().invoke(command, [*arguments, "--results", str(results)])
    if isinstance(told.exception, UserError):
        told.exit_code, told.output_bytes = 2, str(told.exception).encode()
    return told


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


FILES = ("table.csv", "clients.csv", "summary.csv")


def read(folder):
    return {name: (folder / name).read_text() for name in FILES}


@pytest.mark.thorough
def test_comparisons_on_one_ground_make_the_table_of_one(results):
    recorded(results, "one", {"fedrep": FEDREP, "local": LOCAL})
    recorded(results, "two", {"local": LOCAL, "fedavg": FEDAVG, VARIANT: PERFIX})
    recorded(results, "whole", ALL)
    told = invoke(results, "one", "two")
    assert told.exit_code == 0, told.output
    assert invoke(results, "whole").exit_code == 0
    assert read(results / "one+two") == read(results / "whole" / "report")
    sentence = (
        "One table of several comparisons: FedRep from one; Local from one and two; FedPerfix "
        "(part=norm|<i>, prefix=a_b%&), FedAvg from two."
    )
    assert sentence in " ".join(told.output.split())
    page = (results / "one+two" / "report.html").read_text()
    html5lib.HTMLParser(strict=True).parse(page)
    assert "FedPerfix (part=norm|&lt;i&gt;, prefix=a_b%&amp;), FedAvg from two." in page
    assert (
        r"part=norm|\textless{}i\textgreater{}, prefix=a\_b\%\&"
        in (results / "one+two" / "table.tex").read_text()
    )


def test_a_row_that_is_another_in_each_is_refused_with_the_reason(results):
    recorded(results, "one", {"fedrep": FEDREP, "local": LOCAL})
    recorded(results, "two", {"local": replace(LOCAL, test=LOCAL.test + 0.01)})
    told = invoke(results, "one", "two")
    assert told.exit_code == 2
    assert "local is in one and in two with other figures: test accuracy with seed 100" in (
        told.output
    )
    assert not (results / "one+two").exists()
    recorded(results, "three", {"local": replace(LOCAL, knobs={"lr": 0.3})})
    assert "lr was chosen as 0.1 in the one and 0.3 in the other" in (
        invoke(results, "one", "three").output
    )
    recorded(results, "four", {"fedavg": FEDAVG, "local": replace(LOCAL, test=LOCAL.test + 0.01)})
    told = invoke(results, "one", "four", "--without", "local")
    assert told.exit_code == 0, told.output
    assert [row["method"] for row in rows_of(results / "one+four" / "summary.csv")] == [
        *("fedrep", "fedavg")
    ]


def test_budgets_and_programs_that_differ_are_told(results):
    one = recorded(results, "one", {"fedrep": FEDREP})
    more = Budget(trials=4, generation=2, eta=2, seeds=3)
    other = one.program.model_copy(update={"processor": "another"})
    recorded(results, "two", {"fedavg": FEDAVG}, budget=more, program=other)
    told = " ".join(invoke(results, "one", "two").output.split())
    assert "search trials per method are one 2, two 4" in told
    assert "two was made by another program than one: the processor was a processor" in told
    page = (results / "one+two" / "report.html").read_text()
    assert "FedRep: 2 trials per method in one generation" in page
    assert "FedAvg: 4 trials per method in 2 generations of 2" in page


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"rounds": 6}, "one has protocol.rounds 4 and two 6"),
        ({"budget": Budget(trials=2, eta=2, seeds=3, seed=1)}, "one has the seed 0 and two 1"),
        ({"budget": Budget(trials=2, eta=2, seeds=5)}, "confirmation seeds of 3 and two 5"),
        ({"scenario": "blood"}, ""),
    ],
)
def test_what_does_not_compare_stands_side_by_side_and_why(results, changed, told):
    recorded(results, "one", {"fedrep": FEDREP, "fedavg": FEDAVG})
    recorded(results, "two", {"fedrep": FEDREP, "local": LOCAL}, **changed)
    found = invoke(results, "one", "two")
    assert found.exit_code == 0, found.output
    assert "average_rank" in (results / "one+two" / "table.csv").read_text()
    assert (told in found.output) if told else ("not one table" not in found.output)


def test_another_data_seed_is_another_ground(results):
    one = recorded(results, "one", {"fedrep": FEDREP})
    ground = load_scenario("digits", ["data_seed=1"]).model_copy(
        update={"protocol": one.scenario.protocol}
    )
    found = read_results(results, "one")
    other = replace(found, record=one.model_copy(update={"scenario": ground}))
    assert why_apart([found, other]) == ""
    assert why_apart([found, found]) is None


def test_one_that_runs_still_says_so(results):
    recorded(results, "one", {"fedrep": FEDREP})
    recorded(results, "two", {"local": LOCAL}, over=False, leave_out=["local-confirm-2"])
    told = invoke(results, "one", "two")
    assert "two is partial: 4 of 5 trials have ended" in told.output
    merged = together([read_results(results, name) for name in ("one", "two")])
    assert merged.is_partial
    assert (merged.ended, merged.planned) == (9, 10)


# ------------------------------------------------------------------ rows that are left out


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["fedavg", "FEDAVG"])
def test_what_is_left_out_is_as_if_it_had_never_been_there(results, name):
    recorded(results, "all", ALL)
    recorded(results, "some", {k: v for k, v in ALL.items() if k != "fedavg"})
    told = invoke(results, "all", "--without", name)
    assert told.exit_code == 0, told.output
    assert invoke(results, "some").exit_code == 0
    left, never = (read(results / each / "report") for each in ("all", "some"))
    assert left == never, "p-values, ranks and reference are of the others alone"
    sentence = "Left out as asked: FedAvg. Ranks, tests and corrections are of the others alone."
    for file in ("report.html", "table.md", "table.tex"):
        assert sentence in (results / "all" / "report" / file).read_text()
    assert sentence in " ".join(told.output.split())


def test_a_variant_and_the_best_may_be_left_out(results):
    recorded(results, "all", ALL)
    told = invoke(
        results, "all", "--without", "fedperfix[prefix=a_b%&,part=norm|<i>]", "--without", "FedRep"
    )
    assert told.exit_code == 0, told.output
    rows = rows_of(results / "all" / "report" / "summary.csv")
    assert [row["method"] for row in rows] == ["fedavg", "local"]
    assert {row["reference"] for row in rows} == {"fedavg"}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--without", "fedavgg"], "unknown method to leave out 'fedavgg'"),
        (["--without", "fedrep", "--without", "local"], "nothing is left of one"),
        (["--without", "local", "--reference", "local"], "unknown reference 'local'"),
    ],
)
def test_what_cannot_be_left_out_is_one_line(results, asked, told):
    recorded(results, "one", {"fedrep": FEDREP, "local": LOCAL})
    found = invoke(results, "one", *asked)
    assert (found.exit_code, told in found.output) == (2, True), found.output
    assert not (results / "one" / "report").exists()
