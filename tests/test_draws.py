"""Draws of clients: who waits for whom, what is held, their record and the report over them."""

import csv
import json
from math import sqrt
from statistics import fmean, stdev

import numpy as np
import pytest
from drawn import draws
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pfltune import draws as module
from pfltune.budget import Budget
from pfltune.cli.tables import print_draws
from pfltune.draws import DRAWS, MOST_DRAWS, Draws, draws_with, read_draws
from pfltune.errors import UserError
from pfltune.figures import SELECTED_TEST
from pfltune.ranking import Outcome
from pfltune.record import Record
from pfltune.report import draws_words
from pfltune.report.draws import Drawn, paired, read_draws_result
from pfltune.report.draws_figures import accuracies, differences
from pfltune.report.draws_writer import write_draws
from pfltune.report.results import ConfirmedRun, MethodResult
from pfltune.running.job import After, Watched
from pfltune.running.ray_search import DealtSearch
from pfltune.running.sittings import Late, Ran, Sittings
from pfltune.scenario import load_scenario
from pfltune.search.candidate import confirmation_seed, study_seed, validation_seed
from pfltune.search.plan import Plan
from pfltune.search.searches import ComparisonDealer
from pfltune.search.space import load_space
from pfltune.studies.begin import comparison
from pfltune.studies.comparison import Comparison
from pfltune.studies.draws import (
    draws_of,
    extended_draws,
    first_extended,
    first_of,
    followers,
)
from pfltune.studies.options import MOST_PARTITIONS

TEST = SELECTED_TEST.name

SMALL = ["protocol.rounds=2", "protocol.evaluate_every=1", "backbone.weights=random"]
BUDGET = {"trials": 2, "generation": 2, "eta": 2, "seeds": 3}
PLAIN = {"precision": "float32", "device": "cpu", "workers": 1}


def asked(results, **more):
    wanted = {"methods": ["fedavg,local"], "partitions": 3, "overrides": SMALL, "name": "d"}
    return {"results": results, **PLAIN, **BUDGET, **wanted, **more}


def record_of(job: Comparison, **more) -> Record:
    program = {"source": {}, "files": {}, "versions": {}, "processor": "abacus"}
    return Record.model_validate(
        {**job.recorded(), "program": program, "data": {"images": ""}, **more}
    )


def written(job: Comparison) -> Record:
    record = record_of(job)
    record.write(job.folder)
    return record


class TestDealing:
    """What is tested is what was chosen, with the seeds of every other draw."""

    plan = Plan(("fedavg", "local"), Budget(**BUDGET), load_scenario("digits").protocol)

    def confirmed(self, plan: Plan) -> list:
        dealer = ComparisonDealer(plan, {m: load_space(m) for m in plan.methods})
        found = []
        while (candidate := dealer.deal()) is not None:
            assert (dealer.choices() is None) == (candidate.stage == "search")
            found.append(candidate)
            dealer.complete(candidate, Outcome(self.plan.protocol.rounds, 0.5))
        assert dealer.exhausted
        return [each for each in found if each.stage == "confirm" or plan.chosen]

    def test_a_held_draw_confirms_what_the_first_confirms_and_searches_nothing(self):
        first = self.confirmed(self.plan)
        chosen = {each.method: [each.knobs] for each in first}
        held = Plan(self.plan.methods, self.plan.budget, self.plan.protocol, chosen=chosen)
        assert self.confirmed(held) == first
        assert held.total_trials() == len(first) == 2 * BUDGET["seeds"]
        assert held.total_rounds() == len(first) * held.protocol.rounds
        assert held.planned() == held.planned("local") == {"search": 0, "choose": 0, "confirm": 3}

    def test_a_plan_that_holds_one_of_two_methods_searches_the_other(self):
        held = Plan(self.plan.methods, self.plan.budget, self.plan.protocol, chosen={"local": [{}]})
        assert held.planned("local")["search"] == 0
        assert held.planned("fedavg") == held.planned() == self.plan.planned("fedavg")
        assert held.total_trials() == 2 + 3 + 3

    def test_of_several_studies_each_is_tested_and_one_that_failed_is_not(self):
        budget = Budget(**BUDGET, studies=3)
        knobs = ({"lr": 0.1}, None, {"lr": 0.3})
        chosen = {"fedavg": knobs, "local": ({}, {}, {})}
        held = Plan(self.plan.methods, budget, self.plan.protocol, chosen=chosen)
        found = [each for each in self.confirmed(held) if each.method == "fedavg"]
        assert {(each.study, each.knobs["lr"]) for each in found} == {(0, 0.1), (2, 0.3)}
        seeds = [{each.seed for each in found if each.study == study} for study in (0, 2)]
        assert seeds[0] == seeds[1] == {each.seed for each in self.confirmed(self.plan)}
        assert held.total_trials() == 2 * 3 * 3, "as many as there can be"


class Trials:
    """So many trials of a sitting, all dealt at once."""

    def __init__(self, number: int) -> None:
        self.left, self.handed = number, 0

    @property
    def exhausted(self) -> bool:
        return not self.left

    def next(self):
        if not self.left:
            return None
        self.left, self.handed = self.left - 1, self.handed + 1
        return Named(f"trial-{self.handed}")


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def to_config(self):
        return {"name": self.name}


class Later:
    """Sittings that open when a test says so."""

    def __init__(self, dealt, *later) -> None:
        self.dealt, self.later, self.ready = dealt, list(later), False

    def __bool__(self) -> bool:
        return bool(self.later)

    def open_next(self) -> bool:
        if not (self.ready and self.later):
            return False
        name, number = self.later.pop(0)
        self.dealt[name] = Trials(number)
        return True


def test_the_pool_works_on_the_first_draw_until_there_is_nothing_then_on_the_next():
    dealt = {"a": Trials(2)}
    later = Later(dealt, ("b", 0), ("c", 1))
    search = DealtSearch(dealt, later)
    assert [search.suggest(str(n))["sitting"] for n in range(2)] == ["a", "a"]
    assert search.suggest("2") is None, "what waits for a choice may still come"
    later.ready = True
    assert search.suggest("3")["sitting"] == "c", "one whose trials are all known needs no worker"
    assert search.suggest("4") == search.FINISHED


class Chooses:
    """A sitting's dealer that chooses at last."""

    def __init__(self) -> None:
        self.choice = None

    def choices(self):
        return self.choice


class Open:
    def __init__(self) -> None:
        self.dealer, self.record, self.heard = Chooses(), "the record", []

    def say_what_is_left(self, voice) -> None:
        self.heard.append(voice)


class Waits(Sittings):
    """Sittings of which the second waits; opens nothing in fact."""

    def __init__(self, made, first="a") -> None:
        super().__init__(None, None)
        self.made_of, self.ran = [], Ran("b, so far")
        watched = Watched("b, so far", None, "voice", After(first, made))
        self._late.append(Late(watched, self.ran, watched.after, "the data"))

    def _open(self, watched, ran, federation):
        self.made_of.append((watched.job, federation))
        return Open()


def test_a_draw_is_opened_once_the_first_has_chosen_with_what_it_chose():
    sittings = Waits(lambda record, choice: f"b of {record}, {choice['fedavg'][0]['lr']}")
    sittings.opened["a"] = Open()
    assert not sittings.open_next()
    assert sittings
    sittings.opened["a"].dealer.choice = {"fedavg": [{"lr": 0.1}]}
    assert sittings.open_next()
    assert sittings.made_of == [("b of the record, 0.1", "the data")]
    assert not sittings
    assert not sittings.open_next()
    assert sittings.ran.error is None


def test_a_draw_that_cannot_begin_is_told_of_and_stops_no_other():
    def nothing(record, choice):
        raise UserError("no method has a configuration")

    sittings = Waits(nothing)
    sittings.opened["a"] = Open()
    sittings.opened["a"].dealer.choice = {"fedavg": [{"lr": 0.1}]}
    assert sittings.open_next(), "there may be another one"
    assert not sittings
    assert "no method has" in str(sittings.ran.error)
    alone = Waits(nothing)
    assert alone.open_next()
    assert str(alone.ran.error) == "it waits for a, which could not run"


@given(first=st.integers(0, 10**6), partitions=st.integers(2, 20), each=st.booleans())
def test_the_record_comes_back(first, partitions, each, tmp_path_factory):
    folder = tmp_path_factory.mktemp("d")
    made = Draws(name="d", first=first, partitions=partitions, tune_each=each)
    made.write(folder)
    assert read_draws(folder) == made
    assert len(set(made.names)) == partitions
    assert made.names[0] == f"d.data_seed-{first}"
    assert made.seeds[-1] == first + partitions - 1


@pytest.mark.parametrize(
    "change", [{"partitions": 1}, {"partitions": 10**9}, {"first": -1}, {"name": "../d"}, {"x": 1}]
)
def test_a_damaged_record_is_one_line(tmp_path, change):
    made = Draws(name="d", first=0, partitions=2, tune_each=False)
    made.write(tmp_path)
    content = json.loads((tmp_path / DRAWS).read_text())
    (tmp_path / DRAWS).write_text(json.dumps({**content, **change}))
    with pytest.raises(UserError, match=r"draws\.json is damaged") as told:
        read_draws(tmp_path)
    assert "\n" not in str(told.value)


def test_as_many_partitions_can_be_asked_for_as_be_recorded():
    assert MOST_PARTITIONS == MOST_DRAWS == module.MOST_DRAWS


def test_options_ask_for_draws(tmp_path):
    assert draws_of({"results": tmp_path}) is None
    assert draws_of(asked(tmp_path, partitions=1)) is None
    made = draws_of(asked(tmp_path, overrides=[*SMALL, "data_seed=7"], tune_each=True))
    assert (made.first, made.partitions, made.tune_each) == (7, 3, True)
    assert draws_of({"results": tmp_path, "partitions": 2}).name.startswith("digits-")
    own = load_scenario("digits", ["data_seed=3"])
    assert draws_of(asked(tmp_path, scenario=own, overrides={"protocol.rounds": 2})).first == 3
    with pytest.raises(UserError, match="say with --partitions how many"):
        draws_of({"results": tmp_path, "tune_each": True})
    with pytest.raises(UserError, match="several settings are a sweep"):
        draws_of(asked(tmp_path, overrides=["partition.alpha=0.1,0.5"]))
    with pytest.raises(UserError, match="--decide adds seeds"):
        draws_of(asked(tmp_path, decide="best"))
    with pytest.raises(UserError, match="d was not begun with --partitions"):
        draws_of({"results": tmp_path, "resume": "d", "partitions": 3})


def test_a_name_that_is_too_long_for_the_last_draw_is_refused_before_anything_is_written(tmp_path):
    """``.data_seed-9`` is shorter than ``.data_seed-10``."""
    longest = "d" * (100 - len(".data_seed-9"))
    seven = [*SMALL, "data_seed=7"]
    assert len(draws_of(asked(tmp_path, name=longest, overrides=seven)).names[-1]) == 100
    with pytest.raises(UserError, match=r"\.data_seed-10' is not possible"):
        draws_of(asked(tmp_path, name=longest, overrides=seven, partitions=4))
    made = draws_of(asked(tmp_path, name=longest, overrides=seven))
    made.write(tmp_path / longest)
    with pytest.raises(UserError, match=r"\.data_seed-10' is not possible"):
        extended_draws({"results": tmp_path, "name": longest, "partitions": 4})


def test_the_same_options_go_on_and_others_are_refused(tmp_path):
    made = draws_of(asked(tmp_path))
    made.write(tmp_path / "d")
    assert draws_of(asked(tmp_path)) == made
    assert draws_of({"results": tmp_path, "resume": "d"}) == made
    for options, words in (
        (asked(tmp_path, partitions=4), "pfltune extend d --partitions 4"),
        (asked(tmp_path, partitions=2), "d has 3 partitions, not 2"),
        (asked(tmp_path, tune_each=True), "d is tuned on the first; resume it as that"),
        ({"results": tmp_path, "name": "d"}, "go on with it with --resume d"),
    ):
        with pytest.raises(UserError, match=words):
            draws_of(options)


def test_other_draws_are_like_the_first_and_test_what_it_chose(tmp_path):
    options = asked(tmp_path)
    made = draws_of(options)
    first = first_of(made, options)
    assert (first.name, first.sweep, first.extends) == ("d.data_seed-0", "d", False)
    found = followers(made, first)
    assert [job.name for job, _ in found] == ["d.data_seed-1", "d.data_seed-2"]
    assert [job.scenario.data_seed for job, _ in found] == [1, 2]
    for job, after in found:
        assert job.plan.total_trials() == 2 * BUDGET["seeds"], "as many as are sure to come"
        assert job.scenario.model_copy(update={"data_seed": 0}) == first.scenario
        assert after.first == first.name
        assert job.plan.budget == first.plan.budget, "the same seeds"
        assert job.tags == {"pfltune.draws": "d", "pfltune.data_seed": job.name[-1]}
    before = record_of(first)
    job = found[1][1].made(before, {"fedavg": [{"lr": 0.5}], "local": [None]})
    record = record_of(job)
    assert job.plan.methods == ("fedavg",), "nothing was chosen for the other"
    assert record.chosen == {"fedavg": ({"lr": 0.5},)}
    assert record.spaces == {}
    assert record.tuned["fedavg"].id == before.id
    assert record.tuned["fedavg"].differs == "data_seed was 0, is 2"
    assert job.announcement().startswith("Tuning FedAvg: 3 confirmation seeds, 2 rounds")
    with pytest.raises(UserError, match=r"to be tested: every trial failed$"):
        found[0][1].made(before, {"fedavg": [None], "local": [None]})


def test_that_nothing_fits_on_the_first_draw_is_why_the_others_cannot_begin(tmp_path):
    options = asked(tmp_path, max_mb=0.5)
    made = draws_of(options)
    first = first_of(made, options)
    (_, after), _ = followers(made, first)
    with pytest.raises(UserError, match=r"every trial failed, or would send over 0\.5 MB$"):
        after.made(record_of(first), {"fedavg": [None], "local": [None]})


def test_whether_a_budget_suffices_is_asked_of_what_is_tested(tmp_path):
    """Not of start values that a further draw never trains; and of the seeds of its tests alone."""
    options = asked(tmp_path, studies=2)
    made = draws_of(options)
    first = first_of(made, options)
    job = followers(made, first)[0][1].made(
        record_of(first), {"fedavg": [None, {"lr": 0.5}], "local": [{}, {}]}
    )
    assert job.first_trials() == {"fedavg": {"lr": 0.5}, "local": {}}
    assert first.first_trials()["fedavg"] == load_space("fedavg").start[0]
    tests = [confirmation_seed(0, n) for n in range(BUDGET["seeds"])]
    assert job.trial_seeds() == tests
    searches = [validation_seed(study_seed(0, study), 0) for study in range(2)]
    assert first.trial_seeds() == [*searches, *tests]


def test_with_tune_each_every_draw_has_its_own_search_and_waits_for_nobody(tmp_path):
    options = asked(tmp_path, tune_each=True)
    made = draws_of(options)
    first = first_of(made, options)
    for job, after in followers(made, first):
        assert after is None
        assert job.plan == first.plan
        assert record_of(job).spaces == record_of(first).spaces


def test_an_extension_reaches_every_draw_whatever_it_was_asked_for_before(tmp_path):
    options = asked(tmp_path)
    made = draws_of(options)
    made.write(tmp_path / "d")
    first = first_of(made, options)
    chosen = {"fedavg": [{"lr": 0.5}], "local": [{"lr": 0.1}]}
    before = written(first)
    second = written(followers(made, first)[0][1].made(before, chosen))

    wanted = {"results": tmp_path, "name": "d", "partitions": 4, "seeds": 5}
    grown = extended_draws(wanted)
    assert grown.partitions == 4
    assert grown.id == made.id
    longer = first_extended(grown, wanted)
    now = before.extended(record_of(longer, id=before.id), accept_new_code=False)
    assert (now.budget.seeds, now.journal) == (5, "journal-2.jsonl")
    now.write(longer.folder)

    # Killed here, it is resumed from the record of the first draw.
    again = {"results": tmp_path, "resume": "d"}
    resumed = first_of(grown, again)
    (job, after), *_, (last, _) = followers(grown, resumed)
    assert last.name == "d.data_seed-3"
    held = after.made(now, {**chosen, "local": [{"lr": 0.2}]})
    assert held.extends
    later = second.extended(record_of(held, id=second.id), accept_new_code=False)
    assert later.budget.seeds == 5
    assert later.chosen["local"] == ({"lr": 0.2},), "a search that goes on may choose another"
    assert later.journal == "journal-2.jsonl"
    same = later.extended(record_of(held, id=second.id), accept_new_code=False, taken=())
    assert same.journal == later.journal
    assert job.plan.budget.seeds == 5


def test_only_partitions_may_be_added_and_a_draw_is_not_extended_alone(tmp_path):
    options = asked(tmp_path)
    made = draws_of(options)
    made.write(tmp_path / "d")
    before = written(first_of(made, options))
    more = {"results": tmp_path, "name": "d", "partitions": 5}
    job = first_extended(extended_draws(more), more)
    assert record_of(job, id=before.id).model_dump() == before.model_dump()
    assert job.sweep == "d"
    with pytest.raises(UserError, match="there are 3 partitions; 2 would be fewer"):
        extended_draws({"results": tmp_path, "name": "d", "partitions": 2})
    with pytest.raises(UserError, match="is a draw of d, which are extended together"):
        extended_draws({"results": tmp_path, "name": "d.data_seed-0", "seeds": 9})
    with pytest.raises(UserError, match="other was not begun with --partitions"):
        extended_draws({"results": tmp_path, "name": "other", "partitions": 2})
    assert draws_with(tmp_path, "d.data_seed-9") is None
    assert draws_with(tmp_path, "other") is None


def test_a_held_draw_can_be_resumed_by_itself(tmp_path):
    options = asked(tmp_path)
    made = draws_of(options)
    first = first_of(made, options)
    held = followers(made, first)[0][1].made(
        written(first), {"fedavg": [{"lr": 0.5}], "local": [{"lr": 0.1}]}
    )
    before = written(held)
    job = comparison("compare", {"results": tmp_path, "resume": held.name})
    assert record_of(job, id=before.id).model_dump() == before.model_dump()
    assert job.plan == held.plan


def studied(tables: dict[int, np.ndarray]) -> MethodResult:
    """A method on one draw: by study, accuracies (seeds, clients)."""
    runs = [
        ConfirmedRun(seed, {TEST: float(row.mean())}, {}, test=tuple(row), study=study)
        for study, table in tables.items()
        for seed, row in enumerate(table)
    ]
    return MethodResult("a", "A", {}, tuple(runs), 0, 0, 0.0, ())


def test_studies_are_the_same_on_every_draw_unless_each_has_its_own():
    first, second = {0: shifted(0, 4), 1: shifted(0, 4)}, {1: shifted(0, 5), 2: shifted(0, 5)}
    method = Drawn("a", "A", (studied(first), studied(second)), 0)
    one, two = method.tables(method.seeds, searched_each=False)
    assert one == pytest.approx(first[1][None])
    assert two == pytest.approx(second[1][None]), "only study 1 has figures on both"
    one, two = method.tables(method.seeds, searched_each=True)
    assert one[0] == pytest.approx((first[0] + first[1]) / 2)
    assert two.shape == (1, 3, 5)
    assert all(np.abs(t).max() == 0 for t in paired(method, method))


RNG = np.random.default_rng(5)


def shifted(shift, clients, seeds=3):
    return np.clip(0.6 + shift + RNG.normal(0, 0.05, (seeds, clients)), 0, 1)


TABLES = {
    "fedavg": [shifted(0.0, 4), shifted(0.01, 5), shifted(0.02, 6)],
    "fedper": [shifted(0.2, 4), shifted(0.2, 5), shifted(0.2, 6)],
    "local": [shifted(0.1, 4), None, shifted(0.1, 6)],
}


@pytest.fixture
def found(tmp_path):
    """Three draws with 4, 5 and 6 clients; one method has failed on one of them."""
    made = draws(tmp_path, TABLES)
    return tmp_path, read_draws_result(tmp_path, made)


def test_figures_are_those_of_draws_and_seeds(found):
    _, result = found
    assert [method.name for method in result.methods] == ["fedper", "fedavg", "local"]
    fedavg = result.by_name["fedavg"]
    means = [table.mean() for table in TABLES["fedavg"]]
    assert fedavg.means == pytest.approx(means)
    assert fedavg.test == pytest.approx(fmean(means)), "each draw counts alike"
    assert fedavg.std_draws == pytest.approx(stdev(means))
    inner = [np.var(table.mean(1), ddof=1) for table in TABLES["fedavg"]]
    assert fedavg.std_seeds == pytest.approx(sqrt(fmean(inner)))
    assert [method.wins for method in result.methods] == [3, 0, 0]
    assert not result.by_name["local"].is_whole
    assert result.reference.name == "fedper"
    tables = paired(fedavg, result.reference)
    assert [table.shape for table in tables] == [(1, 3, 4), (1, 3, 5), (1, 3, 6)]
    for table, own, other in zip(tables, TABLES["fedavg"], TABLES["fedper"], strict=True):
        assert table[0] == pytest.approx(own - other)
    against = result.against
    assert against.keys() == {"fedavg"}, "means over other draws are not compared"
    assert against["fedavg"].mean == pytest.approx(fmean(t.mean() for t in tables))
    assert against["fedavg"].of_draws == pytest.approx([t.mean() for t in tables])
    assert against["fedavg"].draws_agreeing == 3
    interval = against["fedavg"].interval
    assert interval.low < against["fedavg"].mean < interval.high
    assert (interval.high < 0) == (against["fedavg"].p < 0.05)


def test_all_files_say_the_same_and_writing_again_changes_nothing(found):
    results, result = found
    folder = write_draws(result, results)
    names = {path.name for path in folder.iterdir()}
    figures = {f"{n}-over-draws.{s}" for n in ("accuracy", "difference") for s in ("png", "pdf")}
    assert figures <= names
    with (folder / "summary.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert float(rows["fedavg"]["test/accuracy"]) == result.by_name["fedavg"].test
    assert float(rows["fedavg"]["p_all_pairs"]) == result.against["fedavg"].p
    assert rows["local"]["test/accuracy@data_seed=5"] == ""
    assert rows["local"]["partitions"] == "2"
    with (folder / "clients.csv").open() as file:
        clients = list(csv.DictReader(file))
    assert len(clients) == 3 * (2 * (4 + 5 + 6) + 4 + 6)
    own = [c for c in clients if (c["method"], c["data_seed"]) == ("fedper", "6")]
    assert [float(c["test_accuracy"]) for c in own] == TABLES["fedper"][2].ravel().tolist()
    shown = f"{100 * result.by_name['fedavg'].test:.2f}"
    page = (folder / "report.html").read_text()
    for text in (page, (folder / "table.md").read_text(), (folder / "table.tex").read_text()):
        assert shown in text
        assert "paired by draw, seed and client" in text
        assert "(2 of 3)" in text
    assert "pfltune report d.data_seed-5" in page
    assert "Start weights differ too" in page, "a warm start is one of the draw's own"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_draws(result, results)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_figures_have_a_point_for_each_draw_and_method(found):
    _, result = found
    pane = accuracies(result).figure.axes[0]
    points = [line for line in pane.lines if line.get_label().startswith("data_seed=")]
    assert [line.get_label() for line in points] == [f"data_seed={n}" for n in (4, 5, 6)]
    for place, line in enumerate(points):
        values = [100 * method.means[place] for method in result.confirmed]
        assert np.asarray(line.get_xdata(), float) == pytest.approx(values, nan_ok=True)
    assert len({line.get_marker() for line in points}) == 3, "told apart in gray"
    drawn = differences(result).figure.axes[0]
    assert [text.get_text() for text in drawn.get_yticklabels()] == ["Fedavg"]


@pytest.mark.parametrize("width", [50, 80, 200])
def test_the_terminal_shows_as_much_as_fits(found, tmp_path, width):
    _, result = found
    path = tmp_path / "out.txt"
    with path.open("w") as file:
        print_draws(Console(file=file, width=width, force_terminal=True), result)
    lines = path.read_text().splitlines()
    assert all(len(line) <= width for line in lines)
    row = next(line for line in lines if line.split()[:1] == ["Fedper"])
    assert f"{100 * result.by_name['fedper'].test:.2f}" in row
    last = f"{100 * result.by_name['fedper'].means[-1]:.2f}"
    assert (last in row) == (width >= 80), "three draws stand beside each other in 80 columns"


def test_a_draw_that_is_missing_or_has_not_ended_is_told_of(tmp_path):
    made = draws(tmp_path, {m: TABLES[m][:2] for m in ("fedavg", "fedper")}, over=False)
    more = made.model_copy(update={"partitions": 4})
    why = {"d.data_seed-6": "it waits for d.data_seed-4, which could not run\x1b"}
    result = read_draws_result(tmp_path, more, why)
    assert result.seeds == (4, 5)
    told = dict(draws_words.statuses(result))
    assert told.keys() == set(more.names)
    assert told["d.data_seed-4"].startswith("is partial")
    assert told["d.data_seed-6"] == "is missing: it waits for d.data_seed-4, which could not run"
    page = (write_draws(result, tmp_path) / "report.html").read_text()
    assert "\x1b" not in page
    assert "d.data_seed-7 is missing" in page
    with pytest.raises(UserError, match="no draw of d has begun: it is late"):
        read_draws_result(tmp_path / "elsewhere", made, {made.names[0]: "it is late"})


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ([[0.5, 0.6], [0.7, 0.8]], "The order of the methods is the same on all 2 draws."),
        ([[0.5, 0.9], [0.7, 0.8]], "Who is ahead changes with the draw: B (1), A (1) of 2 draws."),
        ([[0.5, 0.6], [0.7, 0.8], [0.6, 0.5]], "B is ahead on all 2 draws; the order below it"),
    ],
)
def test_whether_the_order_holds_is_said(tmp_path, tables, words):
    own = {
        "abc"[n]: [np.full((2, 6), mean) + RNG.normal(0, 1e-3, (2, 6)) for mean in means]
        for n, means in enumerate(tables)
    }
    result = read_draws_result(tmp_path, draws(tmp_path, own))
    assert words in draws_words.finding(result)


def test_who_is_ahead_on_one_draw_and_level_on_another_is_not_ahead_on_all(tmp_path):
    a = [np.full((2, 6), mean) for mean in (0.5, 0.6)]
    b = [np.full((2, 6), mean) for mean in (0.5, 0.4)]
    result = read_draws_result(tmp_path, draws(tmp_path, {"a": a, "b": b}))
    assert (
        draws_words.order(result) == "Who is ahead changes with the draw: A (2), B (1) of 2 draws."
    )


def test_equal_methods_share_what_they_win_and_one_seed_gives_no_test(tmp_path):
    same = [shifted(0.1, 5, seeds=1), shifted(0.1, 5, seeds=1)]
    other = [table - 0.1 for table in same]
    result = read_draws_result(tmp_path, draws(tmp_path, {"a": same, "b": same, "c": other}))
    assert [(m.name, m.wins) for m in result.methods] == [("a", 2), ("b", 2), ("c", 0)]
    assert np.isnan(result.methods[0].std_seeds)
    assert all(each.untested for each in result.against.values())
    assert "Not tested against A: B, C (one seed does not tell" in draws_words.finding(result)
    write_draws(result, tmp_path)


def test_one_method_alone_and_none_at_all_are_reported(tmp_path):
    alone = read_draws_result(tmp_path, draws(tmp_path, {"a": [shifted(0, 4), shifted(0, 4)]}))
    assert not alone.against
    assert differences(alone) is None
    write_draws(alone, tmp_path)
    nothing = draws(tmp_path / "none", {"a": [None, None]})
    found = read_draws_result(tmp_path / "none", nothing)
    assert accuracies(found) is None
    assert "No confirmation trial has ended" in draws_words.accuracy_note(found)
    assert "failed" in (write_draws(found, tmp_path / "none") / "table.md").read_text()


def test_the_reference_may_be_named(found):
    results, result = found
    named = read_draws_result(results, result.draws, reference="FedAvg")
    assert named.chosen
    assert named.reference.name == "fedavg"
    assert named.against["fedper"].mean == pytest.approx(-result.against["fedavg"].mean)
    with pytest.raises(UserError, match="unknown reference 'moon'"):
        read_draws_result(results, result.draws, reference="moon")


@pytest.mark.parametrize(
    "command",
    [
        ("certify", "d"),
        ("trials", "d"),
        ("report", "d", "d.data_seed-4"),
        ("sensitivity", "--name", "d"),
        ("compare", "--name", "d"),
        ("tune", "fedavg", "--name", "d"),
        ("extend", "d.data_seed-4", "--seeds", "9"),
        ("report", "d", "--without", "local"),
    ],
    ids=" ".join,
)
def test_draws_are_no_single_comparison_and_that_is_said_in_one_line(found, called, command):
    results, _ = found
    before = sorted(path for path in results.rglob("*"))
    code, _, errors = called(*command, "--results", str(results))
    assert code == 2
    assert "d is a comparison over " in errors or "d.data_seed-4 is a draw of d" in errors
    assert errors.count("\n") == 1
    assert sorted(path for path in results.rglob("*")) == before


def test_the_report_is_written_from_the_folders_alone(found, called):
    results, _ = found
    code, printed, _ = called("report", "d", "--results", str(results))
    assert code == 0
    assert "Fedper" in printed
    assert (results / "d" / "report" / "report.html").exists()
