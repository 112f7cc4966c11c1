"""Budgets of trials: how they are written, when they end a trial, and what that leaves equal."""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.utils.flop_counter import FlopCounterMode
from trained import SMALL, compare_small

from pfltune.audit.consistency import contradictions
from pfltune.audit.issue import certificate_of
from pfltune.budget import Budget
from pfltune.errors import Overspent, UserError
from pfltune.federation.checkpoint import Checkpoints
from pfltune.federation.compute import Compute
from pfltune.federation.federation import Rounds
from pfltune.federation.flops import FlopCounter
from pfltune.federation.operations import Operations, code_of, interpolated
from pfltune.federation.trial import FederatedTrial
from pfltune.federation.trial_budget import Spending, TrialBudget, budget_of
from pfltune.method import Method, Phase, Update
from pfltune.methods.fedavg import FedAvg
from pfltune.optimizers import Schedule
from pfltune.ranking import Course, Outcome, best_first
from pfltune.registry import make_method
from pfltune.report.results import read_results
from pfltune.report.writer import write_report
from pfltune.running.affordable import see_affordable
from pfltune.scenario import load_scenario
from pfltune.search.plan import Plan
from pfltune.storage import Folder
from pfltune.studies.options import with_rules
from pfltune.trials.training import selected_of

pytestmark = pytest.mark.usefixtures("png_alone")

MB = 1e6


def rules(budget=None, **changed) -> Rounds:
    common = {"rounds": 4, "sampled_clients": 2, "local_epochs": 1, "batch_size": 8}
    return Rounds(**{**common, "budget": budget, **changed})


def ground(*overrides):
    return load_scenario("digits", [*SMALL, *overrides]).build()


@pytest.fixture(scope="module")
def small():
    return ground()


def budgeted(federation, budget, **changed):
    protocol = federation.protocol.model_copy(
        update={"budget": budget_of(budget) if budget else None, **changed}
    )
    return replace(federation, protocol=protocol)


# ------------------------------------------------------------------------------ as it is written


@pytest.mark.parametrize(
    ("text", "kind", "amount", "again"),
    [
        ("200MB", "bytes", 200e6, "200MB"),
        ("1.5 GB", "bytes", 1.5e9, "1500MB"),
        ("20000steps", "steps", 20_000, "20000steps"),
        ("2h", "seconds", 7200, "2h"),
        ("120min", "seconds", 7200, "2h"),
        ("90s", "seconds", 90, "90s"),
        ("0.5s", "seconds", 0.5, "0.5s"),
        ("5PFLOP", "operations", 5e15, "5PFLOP"),
        ("0.5PFLOP", "operations", 5e14, "500TFLOP"),
    ],
)
def test_a_budget_is_a_number_with_its_unit(text, kind, amount, again):
    found = budget_of(text)
    assert (found.kind, found.amount, str(found)) == (kind, amount, again)
    assert TrialBudget.model_validate(found.model_dump()) == found


@given(st.floats(1e-6, 1e6), st.sampled_from(["MB", "GB", "s", "h", "GFLOP", "PFLOP"]))
def test_what_is_recorded_is_the_budget_itself(number, unit):
    found = budget_of(f"{number}{unit}") if number * 1e6 >= 1 else budget_of("1MB")
    assert budget_of(str(found)) == found


@pytest.mark.parametrize(
    "text", ["200", "MB", "-1MB", "0MB", "20 parsec", "2mb", "", "nanMB", "infs"]
)
def test_what_is_no_budget_is_refused_with_the_units(text):
    with pytest.raises(UserError, match=r"units|number with one of|greater than 0"):
        budget_of(text)
    with pytest.raises(UserError, match=r"protocol\.budget"):
        load_scenario("digits", [f"protocol.budget='{text}'"])


@pytest.mark.parametrize(
    ("text", "why"),
    [("1e400MB", "counts so far"), ("1e305GB", "counts so far"), ("2.5steps", "steps are whole")],
)
def test_an_amount_that_nothing_could_count_is_refused_by_name(text, why):
    with pytest.raises(UserError, match=why) as caught:
        budget_of(text)
    assert repr(text) in str(caught.value)
    assert budget_of("2e3steps").amount == 2000


def test_the_option_is_short_for_a_setting():
    assert with_rules({"seed": 1}) == {"seed": 1}
    assert with_rules({"budget": "2h"}) == {"overrides": ["protocol.budget=2h"]}
    told = with_rules({"budget": "1MB", "overrides": {"protocol.rounds": 3}})
    assert told == {"overrides": {"protocol.rounds": 3, "protocol.budget": "1MB"}}
    scenario = load_scenario("digits", ["protocol.budget=20MB"])
    assert str(scenario.protocol.budget) == "20MB"
    assert load_scenario("digits").protocol.model_dump()["budget"] is None


# ---------------------------------------------------------------------------------- the pure rule


@given(st.lists(st.integers(1, 10_000_000), min_size=1, max_size=60), st.integers(1, 60))
def test_no_counted_round_is_over_budget_and_no_affordable_one_is_missed(costs, share):
    """Ended by the rule, or by a round that cost more than any before it, which is not counted."""
    amount = max(costs[0], sum(costs) * share // 60)
    protocol = rules(f"{amount / MB}MB")
    assert protocol.budget.amount == amount
    spending, counted, spent = Spending(), 0, 0
    for number, cost in enumerate(costs, start=1):
        spending = spending.after(spending.spent + cost)
        spent += cost
        assert spending == Spending(spent, max(costs[:number]))
        if protocol.spent(number, spending) > 1:
            assert cost > max(costs[: number - 1]), "only what was costlier than all before"
            assert protocol.ahead(number, spending) > 1
            break
        counted = number
        if protocol.ahead(number, spending) > 1:
            break
    assert sum(costs[:counted]) <= amount
    assert counted == len(costs) or sum(costs[:counted]) + max(costs[: counted + 1]) > amount


@given(st.integers(1, 10**9), st.integers(1, 50), st.integers(0, 10**9))
def test_rounds_of_one_cost_fill_the_budget(cost, rounds, rest):
    amount = cost * rounds + rest % cost
    protocol, spending, number = rules(f"{amount / MB!r}MB"), Spending(), 0
    if protocol.budget.amount != amount:
        return  # more digits than a float has
    while protocol.ahead(number, spending) <= 1:
        number, spending = number + 1, spending.after(spending.spent + cost)
        if number == 1 and cost > amount:
            break
    assert number == rounds


def test_what_spends_nothing_is_ended_by_the_rounds():
    protocol = rules("1MB", rounds=3)
    shares = [protocol.ahead(number, Spending()) for number in range(4)]
    assert shares == [1 / 3, 2 / 3, 1.0, 4 / 3]
    assert protocol.spent(3, Spending()) == 1


def test_rungs_are_shares_of_the_budget():
    plan = Plan(("fedavg",), Budget(trials=9, generation=9, eta=3, seeds=1), rules("1MB"))
    assert plan.rungs(9) == [1 / 9, 1 / 3]
    assert plan.rungs(2) == []
    assert plan.all_rungs() == (1 / 9, 1 / 3)
    assert plan.rung_rounds() == (), "no two trials are there in the same round"
    assert [plan.course.step(rung) for rung in (1 / 9, 1 / 3, 1)] == [38, 39, 40]
    assert plan.search_rounds() == pytest.approx(9 / 9 + 3 * (1 / 3 - 1 / 9) + 1 - 1 / 3)
    assert plan.course == Course(1.0, 3)


def test_trials_are_ranked_by_the_rungs_that_they_reached_not_by_their_rounds():
    course = Course(1.0, eta=2)
    outcomes = [
        (0, Outcome(90, 0.9, ahead=0.6)),
        (1, Outcome(5, 0.5, ahead=1.2)),
        (2, Outcome(8, 0.6, ahead=1.01)),
        (3, Outcome()),
        (4, Outcome(3, 0.95, ahead=0.3)),
        (5, Outcome(2, 0.91, ahead=0.9)),
    ]
    assert best_first(outcomes, course) == [2, 1, 5, 0, 4]
    assert [course.is_over(o) for _, o in outcomes] == [False, True, True, False, False, False]


def test_the_cosine_goes_over_the_share_that_is_spent():
    cosine = Schedule(kind="cosine")
    assert cosine.in_round(7, 20, spent=0.0) == 1
    assert cosine.in_round(7, 20, spent=0.5) == pytest.approx(0.5)
    assert cosine.in_round(7, 20, spent=1.2) == 0
    assert cosine.in_round(7, 20) == (1 + math.cos(math.pi * 6 / 20)) / 2
    assert Schedule(kind="step", every=2, factor=0.1).in_round(5, 20, spent=0.9) == 0.1**2


# ------------------------------------------------------------------------------- trials under one


def told(trial):
    """What a trial says of each round but its seconds and its memory."""
    return [
        (r.round, {n: v for n, v in r.metrics.items() if not n.startswith(("time/", "memory/"))})
        for r in trial.run()
    ]


def test_a_trial_of_bytes_ends_when_no_other_round_fits(small):
    free = FederatedTrial(make_method("fedavg", {}), small, seed=3)
    per_round = next(iter(free.run())).metrics["comm/total_mb"]
    federation = budgeted(small, f"{3.5 * per_round}MB")
    trial = FederatedTrial(make_method("fedavg", {}), federation, seed=3)
    rounds = told(trial)
    assert [number for number, _ in rounds] == [1, 2, 3]
    assert rounds[-1][1]["budget/spent"] == pytest.approx(3 / 3.5)
    assert rounds[-1][1]["budget/ahead"] == pytest.approx(4 / 3.5)
    assert trial.finished
    longer = budgeted(small, None, rounds=3)
    same = told(FederatedTrial(make_method("fedavg", {}), longer, seed=3))
    shares = {"budget/spent", "budget/ahead"}
    assert [{n: v for n, v in m.items() if n not in shares} for _, m in rounds] == [
        m for _, m in same
    ], "the rounds themselves are as without a budget"


def test_a_method_that_sends_nothing_ends_at_the_rounds_of_the_scenario(small):
    trial = FederatedTrial(make_method("local", {}), budgeted(small, "0.001MB"), seed=3)
    rounds = told(trial)
    assert [metrics["budget/spent"] for _, metrics in rounds] == [0.25, 0.5, 0.75, 1]
    assert trial.selection.round


@pytest.mark.parametrize(("every", "unseen"), [(1, "0.34"), (3, "0")])
def test_a_trial_that_is_killed_after_any_round_goes_on_to_the_same_end(tmp_path, every, unseen):
    federation = ground(
        "protocol.budget=170steps",
        "protocol.schedule.kind=cosine",
        f"protocol.evaluate_every={every}",
        f"unseen_clients={unseen}",
    )
    method = make_method("fedper", {})
    straight = FederatedTrial(method, federation, seed=5)
    whole = told(straight)
    assert len(whole) > 3
    assert whole[-1][1].keys() >= {"val/accuracy", "budget/ahead"}, "the last is evaluated"
    for number in range(1, len(whole)):
        trial = FederatedTrial(method, federation, seed=5)
        for _ in range(number):
            trial.step()
        place = Folder(tmp_path / f"{every}-{unseen}-{number}")
        Checkpoints(place).save(trial, [])
        again = FederatedTrial(method, federation, seed=5)
        Checkpoints(place).load(again)
        assert again.spending == trial.spending
        assert told(again) == whole[number:]
        assert selected_of(again) == selected_of(straight)


def test_the_same_operations_are_counted_one_by_one_and_side_by_side(small, monkeypatch):
    monkeypatch.setattr("pfltune.federation.trial.counts_of", lambda *_: {})  # both count
    federation = budgeted(small, None, sampled_clients=3)
    counts = []
    for cohort in (1, 3):
        trial = FederatedTrial(make_method("ditto", {}), federation, 3, Compute(cohort=cohort))
        for _ in range(2):
            trial.step()
        assert not trial.hindrances
        counts.append((trial.totals.steps, trial.totals.operations))
    assert counts[0] == counts[1]


@dataclass(frozen=True, kw_only=True)
class Growing(Method):
    """Takes twice as many local steps in each round as in the one before."""

    lr: float = 0.01

    def train(self, work, down, personal):
        steps = 2 ** (work.round - 1)
        trained = work.fit(down, (Phase("all", self.lr, epochs=50, steps=steps),))
        return Update(trained, {}, weight=work.samples)


def test_a_round_that_passes_the_budget_is_trained_and_not_counted(small):
    """Of 2 clients: 2, 4, 8 steps; after 6 of 11 the costliest, 4, fits, and 8 are taken."""
    trial = FederatedTrial(Growing(), budgeted(small, "11steps"), seed=3)
    rounds = dict(told(trial))
    assert [metrics["train/total_steps"] for metrics in rounds.values()] == [2, 6, 14]
    assert trial.finished
    assert "val/accuracy" in rounds[2]
    assert "val/accuracy" not in rounds[3]
    assert rounds[3]["budget/spent"] == pytest.approx(14 / 11)
    assert trial.selection.round <= 2


def test_a_budget_without_an_evaluated_round_fails_with_what_was_spent(small):
    trial = FederatedTrial(Growing(), budgeted(small, "11steps", evaluate_every=4), seed=3)
    with pytest.raises(Overspent, match="budget of 11steps: 14 steps were spent after round 3"):
        list(trial.run())


# --------------------------------------------------------------------------------- what it needs


@pytest.mark.parametrize("name", ["fedavg", "fedper", "fedrep", "ditto", "scaffold", "fedzo"])
def test_what_a_first_round_needs_is_foreseen(small, name):
    """Client by client, whatever the seed of who foresees it."""
    method = make_method(name, {})
    trial = FederatedTrial(method, small, seed=9)
    foreseen = FederatedTrial(method, small, seed=0).foreseen(trial.sampled_clients(1))
    trial.step()
    for kind in ("bytes", "steps", "operations"):
        assert sum(each.of(kind) for each in foreseen.values()) == trial.totals.of(kind)


@pytest.mark.parametrize("name", ["fedavg", "fedrep"])
def test_a_budget_that_is_not_refused_holds_the_first_round_of_every_trial(name):
    """Clients hold unlike numbers of samples, and seeds sample others of them."""
    federation, seeds = ground("partition.alpha=0.3", "partition.clients=6"), range(8)
    method = make_method(name, {})
    firsts = []
    for seed in seeds:
        trial = FederatedTrial(method, federation, seed)
        trial.step()
        firsts.append(trial.totals.steps)
    assert len(set(firsts)) > 2
    enough, short = (budgeted(federation, f"{max(firsts) - less}steps") for less in (0, 1))
    see_affordable({name: (method, enough)}, enough.protocol, seeds)
    with pytest.raises(UserError, match=f"give at least {max(firsts)} steps"):
        see_affordable({name: (method, short)}, short.protocol, seeds)
    cheapest = firsts.index(min(firsts))
    see_affordable({name: (method, short)}, short.protocol, [cheapest])


def test_a_budget_that_holds_no_round_is_refused_with_what_each_method_needs(small):
    federation = budgeted(small, "0.01MB")
    names = ("fedavg", "local", "fedsa_lora")
    configured = {name: (make_method(name, {}), federation) for name in names}
    trial = FederatedTrial(make_method("fedavg", {}), federation, 0)
    least = sum(each.of("bytes") for each in trial.foreseen([0, 1]).values())
    with pytest.raises(UserError) as caught:
        see_affordable(configured, federation.protocol, [0])
    message = str(caught.value)
    assert f"FedAvg ({least / 1e6:.4g} MB)" in message
    assert message.endswith(f"give at least {least / 1e6:.4g} MB")
    assert "Local" not in message
    enough = budgeted(small, f"{math.ceil(least) / 1e6}MB")
    see_affordable(configured, enough.protocol, [0])
    see_affordable(configured, budgeted(small, "0.001s").protocol, [0])


# ------------------------------------------------------------------------------------ operations


class Linear:
    """Steps of a linear model on ``n`` images: x (n, 5) times a weight (5, 3)."""

    def moving(self, phase, tensors):
        return ["w"]

    def loss_on(self, batches, rest):
        (chosen,) = batches
        x = torch.ones(len(chosen), 5)
        return lambda tensors: (x @ tensors["w"]).sum()

    def set_training(self, training):
        pass


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_operations_of_a_linear_step_are_counted_by_hand(size):
    """Forward 2·n·5·3, and as much for the gradient of the weight; none for that of the data."""
    weight = {"w": torch.ones(5, 3)}
    of_step = Operations(Linear()).of_steps(
        Phase("all", lr=0.1), lambda loss, w, _: loss(w), weight, weight
    )
    assert of_step((torch.arange(size),)) == 2 * (2 * size * 5 * 3)


def test_a_step_that_found_more_in_its_context_is_counted_by_itself():
    """A client's first rounds may lack what later ones compute with, or another trial's do not."""

    def objective(loss, w, context):
        return loss(w) + (loss(context) if "w" in context else 0)

    operations, weight = Operations(Linear()), {"w": torch.ones(5, 3)}
    step = Phase("all", lr=0.1), objective, weight
    counts = [
        operations.of_steps(*step, context)((torch.arange(size),))
        for context, size in (({}, 1), ({}, 2), (weight, 3), (weight, 7), ({}, 7))
    ]
    assert counts == [60, 120, 270, 630, 420]


def test_partial_functions_are_counted_once_whatever_tensors_they_hold():
    def objective(loss, w, _, twice, held):
        return loss(w) + loss(held) if twice else loss(w)

    made = [partial(objective, twice=t, held=torch.ones(1)) for t in (True, True, False)]
    codes = [code_of(each) for each in made]
    assert codes[0] == codes[1] != codes[2]


def test_a_loop_that_is_left_at_once_is_no_measure_of_those_that_are_not():
    """Two images, five columns and three: 2·2·5·3 = 60 operations in each whole step."""
    operations, told = Operations(Linear()), []

    def steps():
        for _ in range(2):
            with operations.of_loop(None, 2, told.append):
                yield

    left = steps()
    next(left)
    left.close()
    for _ in steps():
        torch.ones(2, 5) @ torch.ones(5, 3)
    assert told == [0, 60, 60]


def test_operations_of_a_vision_transformer_are_counted_by_hand():
    """8x8 images in 4 patches and a class token, width 16, one block of 2 heads, 10 classes."""
    federation = ground("protocol.sampled_clients=1", "protocol.local_epochs=1")
    patches, tokens, width = 4, 5, 16
    embedding = 2 * patches * width * 16
    linear = 2 * tokens * width * (3 * width + width + 2 * 4 * width) + 2 * width * 10
    attention = 2 * (2 * tokens * tokens * width)
    forward = embedding + linear + attention
    per_image = {}
    for name in ("fedavg", "linear_probe"):
        trial = FederatedTrial(make_method(name, {}), federation, seed=1)
        trial.step()
        (client,) = federation.sampled_clients(1, 1)
        per_image[name] = trial.totals.operations / len(federation.clients[client].train)
        assert trial.footprint()["compute/gflops"] * 1e9 == forward
    assert per_image["linear_probe"] == forward + 2 * width * 10, "behind frozen parts no gradient"
    # All weights and what is before them, but the image itself; of attention five products.
    backward = embedding + 2 * linear + 5 * (attention // 2)
    assert per_image["fedavg"] == forward + backward


@dataclass(frozen=True, kw_only=True)
class Repeated(FedAvg):
    """Descends the loss so many times over; notes each time that it is asked for."""

    times: int = 1
    asked: ClassVar[list[int]] = []

    def objective(self, loss, params, context):
        self.asked.append(self.times)
        return sum(loss(params) for _ in range(self.times))


def test_trials_of_one_configuration_count_its_steps_once(small):
    federation = budgeted(small, None)
    found = {}
    for seed, times in ((1, 1), (2, 1), (1, 3)):
        Repeated.asked.clear()
        trial = FederatedTrial(Repeated(times=times), federation, seed)
        trial.step()
        steps, operations = trial.totals.steps, trial.totals.operations
        found[seed, times] = len(Repeated.asked) - steps, operations
    first, other_seed, other_knob = (beside for beside, *_ in found.values())
    assert first == other_knob > other_seed == 0
    assert found[1, 3][1] == 3 * found[1, 1][1], "its own count, not the other configuration's"
    fresh = FederatedTrial(Repeated(times=1), federation, 2)
    fresh._trainer.operations = Operations(fresh._trainer)
    fresh.step()
    assert fresh.totals.operations == found[2, 1][1]


def test_operations_in_another_precision_are_counted_by_themselves(small):
    """Attention in half precision has kernels of its own, which another trial's count is not of."""
    federation, found = budgeted(small, None), []
    for precision in ("bfloat16", "float32", "bfloat16"):
        trial = FederatedTrial(FedAvg(), federation, 1, Compute(precision=precision))
        trial.step()
        found.append(trial.totals.operations)
    assert found[0] == found[2] != found[1]


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(1, 500))
def test_counts_are_a_polynomial_in_the_images(a, b, c, size):
    counts = {n: a + b * n + c * n * n for n in (32, 7, 5)}
    assert interpolated(counts, size) == a + b * size + c * size * size


@pytest.mark.parametrize("grad", [True, False], ids=["training", "inference"])
def test_operations_are_those_of_torchs_own_counter(grad):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 8, 3, groups=1)
            self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = torch.nn.Linear(8, 4)

        def forward(self, x):
            x = self.conv(x).flatten(2).mT
            mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
            return self.head(self.attention(x, x, x, attn_mask=mask)[0]) @ torch.ones(4, 2)

    model, x = Model(), torch.ones(2, 3, 6, 6)
    totals = []
    for counter in (FlopCounterMode(display=False), FlopCounter()):
        with torch.inference_mode(not grad), counter:
            out = model(x)
            if grad:
                torch.autograd.grad(out.sum(), list(model.parameters()))
        totals.append(getattr(counter, "total", None) or counter.get_total_flops())
    assert totals[0] == totals[1] > 0


# ------------------------------------------------------------------------- comparisons under one


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Two methods and Local under a budget of bytes, with its report written."""
    results = tmp_path_factory.mktemp("spend")
    budget = Budget(trials=4, generation=4, eta=2, seeds=2, finalists=2, finalist_seeds=1)
    methods = ["fedavg", "fedperfix", "local"]
    compare_small(results, "spent", methods, budget, overrides=["protocol.budget=0.2MB"])
    write_report(results, "spent")
    return results


def test_a_comparison_under_a_budget_compares_at_the_budget(compared):
    result = read_results(compared, "spent")
    rounds = {m.name: {run.metrics["rounds"] for run in m.runs} for m in result.methods}
    assert rounds["local"] == {4}
    assert min(rounds["fedperfix"]) > max(rounds["fedavg"]) > 1
    for method in result.methods:
        for run in method.runs:
            assert run.metrics["comm/total_mb"] <= 0.2
    winner = {m.name: m.best for m in result.methods}
    finished = [run for run in result.find("fedavg").searched if run.outcome == "finished"]
    assert winner["fedavg"] in [run.knobs for run in finished]


def test_the_report_says_what_the_budget_was_and_who_spent_nothing(compared):
    page = (compared / "spent" / "report" / "report.html").read_text()
    assert "would have passed its budget of 0.2MB" in page
    assert "Local spent nothing of it and ended after 4 rounds" in page
    assert "Within a budget" in page
    table = (compared / "spent" / "report" / "table.md").read_text()
    assert "| method | 0.02 MB | 0.04 MB | 0.1 MB | 0.2 MB |" in table


def test_a_certificate_of_it_holds_and_a_trial_that_went_too_far_is_found(compared):
    certificate = certificate_of(read_results(compared, "spent"))
    assert contradictions(certificate) == []
    first = next(t for t in certificate.trials if t.outcome == "finished" and t.rounds > 2)
    place = certificate.trials.index(first)

    def with_ahead(*ahead):
        changed = first.model_copy(update={"ahead": ahead})
        trials = (*certificate.trials[:place], changed, *certificate.trials[place + 1 :])
        return contradictions(certificate.model_copy(update={"trials": trials}))

    assert "went on though its budget was spent" in with_ahead(1.5, *first.ahead[1:])[0]
    assert "finished before its budget was spent" in with_ahead(*first.ahead[:-1], 0.9)[0]
    assert "does not say what it spent" in with_ahead()[0]


def test_what_the_clock_ends_is_not_certified(compared):
    result = read_results(compared, "spent")
    protocol = result.record.scenario.protocol.model_copy(update={"budget": budget_of("2h")})
    scenario = result.record.scenario.model_copy(update={"protocol": protocol})
    timed = replace(result, record=result.record.model_copy(update={"scenario": scenario}))
    with pytest.raises(UserError, match="a budget of seconds, 2h"):
        certificate_of(timed)


def test_an_amount_must_be_above_zero():
    with pytest.raises(ValidationError):
        TrialBudget(kind="bytes", amount=0)


def test_the_last_round_is_evaluated_at_the_moment_that_the_scenario_says():
    """Right after training: bytes that clients download to be tested show which moment it was."""
    downloads = {}
    for moment in ("after_aggregation", "after_training"):
        federation = ground(
            "protocol.budget=150steps", "protocol.evaluate_every=50", f"protocol.evaluate={moment}"
        )
        rounds = told(FederatedTrial(make_method("fedper", {}), federation, seed=5))
        assert ["val/accuracy" in metrics for _, metrics in rounds].count(True) == 1
        assert "val/accuracy" in rounds[-1][1]
        downloads[moment] = rounds[-1][1]["val/accuracy"]
    assert downloads["after_aggregation"] != downloads["after_training"]
