"""The schedule of a comparison, against numbers derived by hand."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfltune.budget import Budget
from pfltune.errors import UserError
from pfltune.federation.federation import Rounds
from pfltune.scenario import validated
from pfltune.search.plan import Generation, Plan


def make_plan(rounds, every=1, methods=("a",), **budget) -> Plan:
    protocol = Rounds(
        rounds=rounds, sampled_clients=1, local_epochs=1, batch_size=1, evaluate_every=every
    )
    return Plan(tuple(methods), Budget(**budget), protocol)


def test_generations_cover_the_trials_and_the_last_may_be_smaller():
    plan = make_plan(9, trials=7, generation=3)
    assert plan.generations() == [Generation(0, 3), Generation(3, 3), Generation(6, 1)]


def test_nine_trials_are_halved_after_a_ninth_and_a_third_of_the_rounds():
    """R = 9, η = 3, n = 9: log₃ 9 = 2 levels, rungs 9/3 = 3 and 9/9 = 1.

    9 trials run 1 round, 3 of them 2 more, 1 of them the last 6: 9 + 6 + 6 = 21.
    """
    plan = make_plan(9, trials=9, generation=9, eta=3)
    assert plan.rungs(9) == [1, 3]
    assert [plan.survivors(9), plan.survivors(3), plan.survivors(1)] == [3, 1, 1]
    assert plan.search_rounds() == 21


def test_rungs_move_up_to_the_next_evaluated_round():
    """R = 10, η = 2, n = 4, evaluated every 3: 10/2 = 5 → 6 and 10/4 = 2.5 → 3.

    4·3 + 2·3 + 1·4 = 22.
    """
    plan = make_plan(10, every=3, trials=4, generation=4, eta=2)
    assert plan.rungs(4) == [3, 6]
    assert plan.search_rounds() == 22


def test_the_default_budget_on_digits():
    """R = 12, η = 3, 8 trials in two generations of 4, evaluated every 2, 5 seeds.

    log₃ 4 = 1.26: one level, 12/3 = 4. A generation takes 4·4 + 1·8 = 24 rounds, the search 48,
    the confirmation 5·12 = 60; three methods take 3·(48 + 60) = 324 rounds and 3·13 = 39 trials.
    """
    plan = make_plan(12, every=2, methods="abc")
    assert plan.rungs(4) == [4]
    assert plan.survivors(4) == 1
    assert plan.search_rounds() == 48
    assert plan.total_rounds() == 324
    assert plan.total_trials() == 39


def test_a_smaller_last_generation_has_its_own_rungs():
    """R = 8, η = 2, 5 trials in generations of 4: rungs 8/4 = 2 and 8/2 = 4 for the first.

    4·2 + 2·2 + 1·4 = 16; the single trial of the second has nobody to lose against: 8. Sum 24.
    """
    plan = make_plan(8, trials=5, generation=4, eta=2, seeds=2)
    assert plan.rungs(4) == [2, 4]
    assert plan.rungs(1) == []
    assert plan.search_rounds() == 24
    assert plan.total_rounds() == 24 + 2 * 8


def test_levels_that_fall_on_one_evaluation_halve_once():
    """R = 8, η = 2, n = 8, evaluated every 4: 4, 2 and 1 all move to 4; 8·4 + 4·4 = 48."""
    plan = make_plan(8, every=4, trials=8, generation=8, eta=2)
    assert plan.rungs(8) == [4]
    assert plan.search_rounds() == 48


def test_without_an_evaluation_before_the_end_nothing_is_halved():
    """R = 2, η = 2, n = 2, evaluated every 2: 2/2 = 1 → 2, which is the end; 2·2 = 4."""
    plan = make_plan(2, every=2, trials=2, generation=2, eta=2)
    assert plan.rungs(2) == []
    assert plan.search_rounds() == 4


@pytest.mark.parametrize(("eta", "levels"), [(5, 3), (3, 5), (10, 3), (2, 6)])
def test_a_power_of_eta_has_its_full_number_of_rungs(eta, levels):
    """n = ηˡ trials have l levels; with R = ηˡ⁺¹ they fall on η, η², …, ηˡ.

    Floating point has log₃ 243 = 4.999…, which must still count as 5.
    """
    size = eta**levels
    plan = make_plan(size * eta, trials=size, generation=size, eta=eta)
    assert plan.rungs(size) == [eta**k for k in range(1, levels + 1)]


def test_survivors_round_down_but_never_to_nobody():
    plan = make_plan(9, eta=3)
    assert [plan.survivors(n) for n in (1, 2, 3, 5, 6, 8, 9)] == [1, 1, 1, 1, 2, 2, 3]


def test_a_generation_larger_than_the_trials_is_cut():
    assert Budget(trials=3, generation=8).generations == (3,)
    assert Budget(trials=2).generations == (2,), "the default of 4 is cut as well"
    assert Budget(generation=20).generations == (8,), "to the default number of trials"


def test_every_size_of_a_generation_may_be_given():
    """Rungs follow from each generation's own size: log₂ 2 = 1, log₂ 4 = 2 levels; R = 8.

    2·4 + 1·4 = 12 and 4·2 + 2·2 + 1·4 = 16, together 28.
    """
    plan = make_plan(8, generation=(2, 4), eta=2, seeds=0)
    assert plan.generations() == [Generation(0, 2), Generation(2, 4)]
    assert [plan.rungs(each.size) for each in plan.generations()] == [[4], [2, 4]]
    assert plan.total_rounds() == 28
    assert plan.trials() == 6
    assert Budget(trials=6, generation=(2, 4)) == Budget(generations=(2, 4))


def test_a_method_without_a_free_knob_has_one_generation_of_one_trial():
    plan = replace(make_plan(8, generation=(2, 4)), unsearched=frozenset("a"))
    assert plan.generations("a") == [Generation(0, 1)]


def test_a_record_of_one_size_is_still_read():
    before = {"trials": 7, "generation": 3, "eta": 3, "seeds": 3, "seed": 0}
    assert validated(Budget, before, "budget").generations == (3, 3, 1)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"trials": 10, "generation": (4, 4, 8)}, "trials=10, and generations of 4, 4, 8 give 16"),
        ({"generation": (4, 0)}, "generation=0 must be a whole number from 1 to 100,000"),
        ({"generations": (4, -1)}, "a generation has at least one trial, not -1"),
        ({"generations": ()}, "generations"),
    ],
)
def test_generations_that_cannot_be_are_one_line(asked, told):
    with pytest.raises(UserError) as caught:
        validated(Budget, asked, "budget")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_confirmation_is_possible():
    plan = make_plan(12, trials=1, generation=1, seeds=0)
    assert plan.total_rounds() == 12


@pytest.mark.parametrize(
    ("key", "value"),
    [("trials", 0), ("trials", -1), ("generation", 0), ("eta", 1), ("seeds", -1), ("seed", -1)],
)
def test_an_impossible_budget_is_refused_by_name(key, value):
    with pytest.raises(UserError) as caught:
        validated(Budget, {key: value}, "budget")
    assert f"{key}={value}" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(
    rounds=st.integers(1, 200),
    every=st.integers(1, 20),
    size=st.integers(1, 100),
    eta=st.integers(2, 6),
)
def test_rungs_ascend_before_the_end_at_evaluations(rounds, every, size, eta):
    plan = make_plan(rounds, every=every, trials=size, generation=size, eta=eta)
    rungs = plan.rungs(size)
    assert rungs == sorted(set(rungs))
    assert all(0 < rung < rounds and rung % every == 0 for rung in rungs)
    assert eta ** len(rungs) <= size, "at most as many rungs as leave a survivor"


@given(
    rounds=st.integers(1, 60),
    trials=st.integers(1, 40),
    generation=st.integers(1, 40),
    eta=st.integers(2, 5),
)
def test_halving_never_costs_more_than_running_everything(rounds, trials, generation, eta):
    plan = make_plan(rounds, trials=trials, generation=generation, eta=eta)
    generations = plan.generations()
    assert sum(g.size for g in generations) == trials
    assert [g.first for g in generations] == list(range(0, trials, generation))
    assert len(generations) * rounds <= plan.search_rounds() <= trials * rounds


@pytest.mark.parametrize(
    ("asked", "sizes", "seeds"),
    [
        ({"trials": 12}, (4, 4, 4), 5),
        ({"trials": 16, "generation": 8}, (4, 4, 8), 5),
        ({"generation": (4, 4, 2)}, (4, 4, 2), 5),
        ({"seeds": 7}, (4, 4), 7),
        ({"seeds": 5, "trials": 8}, (4, 4), 5),
    ],
)
def test_a_budget_grows_by_whole_generations(asked, sizes, seeds):
    found = grown(**asked)
    assert (found.generations, found.seeds) == (sizes, seeds)
    assert grown(**asked) == Budget(generation=sizes, seeds=seeds), "as if asked for at once"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"trials": 10}, "whole generations of 4 give 12, 16, 20"),
        ({"trials": 4}, "there are 8 search trials; 4 would be fewer"),
        ({"seeds": 2}, "there are 5 seeds; 2 would be fewer"),
        ({"generation": 8}, "say with --trials how many trials there shall be, more than 8"),
        ({"generation": (4, 8)}, "there are generations of 4, 4; 4, 8 would not begin with them"),
        ({"generation": (4,)}, "would not begin with them"),
        ({"trials": 9, "generation": (4, 4, 8)}, "trials=9, and generations of 4, 4, 8 give 16"),
    ],
)
def test_a_budget_that_would_be_less_or_not_whole_is_one_line(asked, told):
    with pytest.raises(UserError) as caught:
        grown(**asked)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def grown(seeds=None, trials=None, generation=None):
    return Budget().grown(seeds, trials, generation)
