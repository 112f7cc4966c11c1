"""Races as a pure function of figures: small cases by hand and by enumeration."""

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfltune.racing.closed import ALPHA, THRESHOLD, needed, rejected
from pfltune.racing.interval import interval
from pfltune.racing.race import MOST_FAILURES, fewest_seeds, race
from pfltune.racing.wealth import SCALES, Wealth

FAR = 0.2
"""A difference by which a bet as good as doubles: 20 points."""
DECISIONS = st.sampled_from(["best", "order"])


def bet(*differences: float) -> Wealth:
    wealth = Wealth()
    for difference in differences:
        wealth = wealth.after(difference)
    return wealth


def states(found) -> dict[str, tuple[str, int]]:
    return {">".join(q.of): (q.state, q.at) for q in found.questions}


# ------------------------------------------------------------------------------------ one wealth


def test_a_wealth_by_hand():
    found = bet(0.5, -1.0)
    parts = [(1 + math.tanh(s * 0.5)) * (1 - math.tanh(s)) for s in (1.0, 2.0, 4.0)]
    assert found.parts == pytest.approx(parts)
    assert found.value == pytest.approx(sum(parts) / 3)
    assert bet(0.0, 0.0).value == 1.0, "no difference, no bet"


def test_a_factor_is_the_exponential_over_its_mean_under_both_signs():
    """1 + tanh(x) = exp(x) / cosh(x): the likelihood ratio of a sign that leans by x."""
    for x in (-2.0, -0.3, 0.1, 1.7):
        assert 1 + math.tanh(x) == pytest.approx(math.exp(x) / math.cosh(x))
        assert math.exp(x) / math.cosh(x) >= math.exp(x - x * x / 2), "what it dominates"


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=8))
def test_whatever_the_sizes_are_the_mean_over_all_signs_is_one(sizes):
    """Exactly: given the sizes of symmetric differences, all sequences of signs are as likely."""
    signed = itertools.product(*((size, -size) for size in sizes))
    values = [bet(*differences).value for differences in signed]
    assert sum(values) / len(values) == pytest.approx(1.0)


def test_the_chance_to_ever_pass_is_kept_in_every_sequence_of_signs():
    """Ville's inequality by enumeration of 2¹² sequences, with optional stopping."""
    for size in (0.2, 0.5, 1.0, 3.0, 50.0):
        passed = 0
        for signs in itertools.product((1, -1), repeat=12):
            one, other = Wealth(), Wealth()
            for sign in signs:
                one, other = one.after(size * sign), other.after(-size * sign)
                if (one.value + other.value) / 2 >= THRESHOLD:
                    passed += 1
                    break
        assert Fraction(passed, 2**12) <= Fraction(1, 20)


def test_the_sign_alone_needs_six_seeds_for_one_pair_and_ten_for_fifteen_by_bonferroni():
    """All in on the sign: n seeds that agree give 2ⁿ / 2, as two sides are bet on."""
    for pairs, seeds in ((1, 6), (15, 10)):
        reached = [n for n in range(1, 13) if Fraction(2**n, 2) >= pairs / Fraction(1, 20)]
        assert min(reached) == seeds


def test_seeds_that_agree_by_far_are_as_good_as_all_in():
    assert bet(*[20.0] * 6).value == pytest.approx(64.0)
    assert bet(*[20.0] * 5).at_best(1) == pytest.approx(64.0)


@given(st.lists(st.floats(-30, 30), max_size=6), st.lists(st.floats(-30, 30), max_size=6))
def test_nothing_goes_beyond_what_is_said_to_be_the_best(before, after):
    one, other = bet(*before), bet(*(-d for d in before))
    best, both = one.at_best(len(after)), one.higher(other).at_best(len(after))
    for difference in after:
        one, other = one.after(difference), other.after(-difference)
    assert one.value <= best * (1 + 1e-9)
    assert not after or (one.value + other.value) <= 2 * both * (1 + 1e-9)


def test_how_many_seeds_more_are_those_that_bring_it_there():
    seen = [1.0, 0.4, -0.2]
    now, wanted = bet(*seen), 40.0
    more = now.seeds_to(wanted, seen, 100)
    rates = [sum(math.log(1 + math.tanh(s * d)) for d in seen) / 3 for s in SCALES]

    def after(seeds):
        grown = zip(now.parts, rates, strict=True)
        return sum(part * math.exp(seeds * rate) for part, rate in grown) / 3

    assert more is not None
    assert after(more) >= wanted > after(more - 1)
    assert now.seeds_to(wanted, [-0.1, 0.05], 100) is None, "it shrinks"
    assert now.seeds_to(1e30, seen, 100) is None, "further than anything is said"
    assert now.seeds_to(wanted, [], 100) is None
    assert bet(-50.0, -50.0).seeds_to(wanted, [-50.0, -50.0], 100) is None


# ------------------------------------------------------------------------------- all of them


def closed_test(values: dict[str, float]) -> set[str]:
    """By its definition: every set with a hypothesis in it has a mean of at least 1/α."""
    sets = [s for n in range(1, len(values) + 1) for s in itertools.combinations(values, n)]
    kept = [s for s in sets if sum(values[k] for k in s) / len(s) < 1 / ALPHA]
    return {key for key in values if not any(key in each for each in kept)}


@given(st.lists(st.floats(0, 150), min_size=1, max_size=6))
def test_the_rule_is_closed_testing_with_means(numbers):
    values = {str(n): number for n, number in enumerate(numbers)}
    assert set(rejected(values, list(values))) == closed_test(values)


@given(st.lists(st.floats(0, 150), min_size=2, max_size=6))
def test_what_is_rejected_before_makes_nothing_harder(numbers):
    """So that it can be left out, as it is at the next seed."""
    values = {str(n): number for n, number in enumerate(numbers)}
    gone = rejected(values, list(values))
    rest = {key: value for key, value in values.items() if key not in gone}
    assert rejected(rest, list(rest)) == []


def test_what_each_lacks_is_the_price():
    assert needed({"a": 64.0, "b": 5.0, "c": 0.0}) == {"a": 55.0, "b": 40.0, "c": 35.0}


# --------------------------------------------------------------------------------- whole races


def ladder(methods: int, seeds: int) -> dict[str, list[float]]:
    """The first is the best in all seeds, by far, and so on."""
    return {f"m{n}": [0.9 - FAR * n] * seeds for n in range(methods)}


@pytest.mark.parametrize(
    ("decide", "methods", "seeds"),
    [("best", 2, 6), ("best", 3, 7), ("best", 4, 7), ("order", 2, 6), ("order", 4, 6)],
)
def test_the_fewest_seeds_that_can_decide(decide, methods, seeds):
    assert fewest_seeds(decide, methods) == seeds
    found = race(decide, 12, ladder(methods, 12))
    assert found.is_decided
    assert found.is_over
    assert found.seeds == seeds
    less = race(decide, 12, ladder(methods, seeds - 1))
    assert not less.is_over
    assert less.runners == tuple(ladder(methods, 1))


def test_the_best_is_what_is_left():
    found = race("best", 12, ladder(3, 7))
    assert found.left == ("m0",)
    assert states(found) == {"m0": ("open", 0), "m1": ("decided", 7), "m2": ("decided", 7)}


def test_an_order_names_the_better_one_of_each_pair():
    figures = {"b": [0.5] * 6, "a": [0.9] * 6, "c": [0.1] * 6}
    found = race("order", 12, figures)
    assert [(q.of, q.better) for q in found.questions] == [
        (("b", "a"), "a"),
        (("b", "c"), "b"),
        (("a", "c"), "a"),
    ]


def test_fifteen_pairs_that_agree_are_decided_by_six_seeds():
    assert fewest_seeds("order", 6) == 6
    assert race("order", 12, {f"m{n}": [0.15 * n] * 6 for n in range(6)}).is_decided


def test_equal_methods_are_given_up_when_no_seeds_could_decide_any_more():
    """Of two that take turns by far, all is lost: 8 · 2⁻⁵⁵ or so, however many seeds there are."""
    figures = {"a": [0.9, 0.1] * 6, "b": [0.1, 0.9] * 6}
    for decide in ("best", "order"):
        found = race(decide, 12, figures)
        assert found.is_over
        assert not found.is_decided
        assert found.seeds == 2
        assert {q.state for q in found.questions} == {"given up"}


def test_a_tie_is_no_evidence_and_ends_when_too_few_seeds_are_left():
    found = race("order", 12, {"a": [0.5] * 12, "b": [0.5] * 12})
    assert found.questions[0].course == [1.0] * 7, "with 5 left, 2⁵ / 2 is not enough"
    assert found.questions[0].state == "given up"


def test_nobody_is_the_best_by_bets_on_a_method_that_left_the_race():
    """c led and excluded b, then failed twice: a is alone, and was never held against b."""
    figures = {"a": [0.899, 0.9] * 6, "b": [0.1] * 12, "c": [0.9] * 9 + [None] * 3}
    found = race("best", 40, figures)
    assert {name: state for name, (state, _) in states(found).items()} == {
        "a": "open",
        "b": "decided",
        "c": "withdrawn",
    }
    assert (found.left, found.is_over, found.is_decided) == (("a",), True, False)
    stayed = race("best", 40, figures | {"c": [0.9] * 3 + [None] * 9})
    assert (stayed.left, stayed.is_decided) == (("a",), True), "a has shown it by itself"


def test_bets_on_a_method_that_left_the_race_are_taken_back():
    """c led for four seeds; then b is bet against by a alone."""
    figures = {"a": [0.5] * 8, "b": [0.4] * 8, "c": [0.9] * 4 + [None] * 4}
    left = race("best", 12, {name: values[:6] for name, values in figures.items()})
    (b,) = [question for question in left.questions if question.of == ("b",)]
    assert (left.withdrawn, left.runners) == ({"c": 6}, ("a", "b"))
    assert b.course[3] > 7, "three seeds on c"
    assert b.value == bet(*b.differences).value
    assert b.differences == [], "c led all the time"


def test_who_cannot_be_the_best_gets_no_further_seed():
    close = {"a": [0.90, 0.91] * 6, "b": [0.91, 0.90] * 6, "c": [0.1] * 12}
    for seeds in range(13):
        part = {name: values[:seeds] for name, values in close.items()}
        found = race("best", 40, part)
        if states(found)["c"][0] == "decided":
            break
    assert seeds == states(found)["c"][1]
    assert found.runners == ("a", "b")
    further = race("best", 40, {**close, "c": [0.1] * seeds})
    assert further.seeds > seeds, "c is not waited for"


def test_a_pair_that_is_given_up_makes_the_others_dearer():
    far = {"a": [0.9] * 12, "b": [0.5, 0.51] * 6, "c": [0.51, 0.5] * 6}
    found = race("order", 12, far)
    assert states(found)["b>c"][0] == "given up"
    assert states(found)["a>b"] == states(found)["a>c"] == ("decided", 7), "six would be 2⁶/2 < 40"


def test_a_failed_trial_is_no_datum():
    figures = {"a": [0.9, None, *[0.9] * 5], "b": [0.1] * 7}
    found = race("best", 12, figures)
    assert found.is_decided
    assert found.seeds == 7
    (question,) = (q for q in found.questions if q.of == ("b",))
    assert len(question.differences) == 6
    assert question.course[1] == question.course[0]


def test_a_method_that_keeps_failing_leaves_the_race():
    figures = {"a": [0.9] * 7, "b": [0.1] * 7, "c": [None] * MOST_FAILURES}
    found = race("best", 12, figures)
    assert found.withdrawn == {"c": 2}
    assert found.is_decided
    assert found.left == ("a",)
    assert states(found)["c"] == ("withdrawn", 2)


def test_bets_on_a_method_that_leaves_are_given_back():
    """Its lead of 40 points says nothing of the two that stay, of which c is 2 points ahead."""
    figures = {"a": [0.5] * 6, "b": [0.9] * 3 + [None] * 3, "c": [0.52] * 6}
    found = race("best", 40, figures)
    assert found.withdrawn == {"b": 5}
    of = {q.of[0]: q for q in found.questions}
    assert of["a"].differences == pytest.approx([2.0])
    assert of["a"].value == pytest.approx(bet(2.0).value)
    assert of["c"].value == pytest.approx(bet(-2.0).value)
    assert of["a"].course[4] == 1.0, "all that was won by then"


def test_who_was_beaten_by_a_method_that_left_may_be_better_than_who_is_left():
    """a is beaten by b and c in turns; then b leaves, and a was never only held against c."""
    figures = {"a": [0.1] * 7, "b": [0.90, 0.91] * 3 + [0.90, None, None], "c": [0.91, 0.90] * 5}
    before = race("best", 40, {name: values[:7] for name, values in figures.items()})
    assert states(before)["a"] == ("decided", 7)
    found = race("best", 40, figures)
    assert found.withdrawn == {"b": 9}
    assert states(found)["a"] == ("decided", 7), "b is better than a"
    assert found.left == ("c",)
    assert found.is_over
    assert not found.is_decided


def test_nothing_is_decided_of_those_that_all_failed_or_of_one():
    for decide in ("best", "order"):
        alone = race(decide, 12, {"a": [0.5] * 3})
        assert alone.is_over
        assert not alone.is_decided
        failed = race(decide, 12, {"a": [0.5] * 2, "b": [None] * 2})
        assert failed.is_over
        assert not failed.is_decided
        nobody = race(decide, 12, {})
        assert nobody.is_over


FIGURES = st.integers(2, 4).flatmap(
    lambda methods: st.lists(
        st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=10, max_size=10),
        min_size=methods,
        max_size=methods,
    )
)


@settings(deadline=None)
@given(DECISIONS, FIGURES, st.integers(1, 10))
def test_a_race_never_goes_back_on_what_it_has_decided(decide, table, most):
    """With every further seed; and who has left gets none again."""
    figures = {f"m{n}": row for n, row in enumerate(table)}
    before = None
    for seeds in range(most + 1):
        found = race(decide, most, {name: row[:seeds] for name, row in figures.items()})
        if before is not None:
            assert set(found.runners) <= set(before.runners)
            for old, new in zip(before.questions, found.questions, strict=True):
                assert old.is_open or (old.state, old.at, old.course) == (
                    *(new.state, new.at, new.course),
                )
        before = found
    assert before.is_over


@settings(deadline=None)
@given(DECISIONS, FIGURES, st.integers(1, 10), st.integers(0, 10))
def test_more_seeds_in_the_budget_take_back_nothing_that_was_decided(decide, table, most, more):
    figures = {f"m{n}": row for n, row in enumerate(table)}
    less, longer = (race(decide, budget, figures) for budget in (most, most + more))
    for old, new in zip(less.questions, longer.questions, strict=True):
        if old.state == "decided":
            assert (new.state, new.at, new.better) == ("decided", old.at, old.better)


@pytest.mark.parametrize("decide", ["best", "order"])
def test_nothing_is_given_up_that_the_last_seeds_can_decide(decide):
    """A tenth of a point the wrong way leaves 0.77 of a wealth, which six seeds make 49.6."""
    figures = {"a": [0.5, *[0.9] * 6], "b": [0.501, *[0.1] * 6]}
    assert bet(-0.1).value * 64 == pytest.approx(49.6, abs=0.1)
    for seeds in range(7):
        part = {name: row[:seeds] for name, row in figures.items()}
        assert not race(decide, 7, part).is_over
    assert race(decide, 7, figures).is_decided


@settings(deadline=None)
@given(FIGURES, st.integers(1, 9))
def test_what_is_given_up_could_not_have_been_decided(table, seeds):
    """Whatever the seeds that are left had been: the best of all courses is tried."""
    figures = {f"m{n}": row[:seeds] for n, row in enumerate(table)}
    found = race("best", 10, figures)
    if found.is_over and not found.is_decided and found.seeds < 10 and not found.withdrawn:
        for last in figures:
            rest = {m: [0.9 if m == last else 0.1] * (10 - found.seeds) for m in figures}
            whole = {m: [*figures[m][: found.seeds], *rest[m]] for m in figures}
            assert not race("best", 1000, whole).is_decided


# ------------------------------------------------------------------------------------ intervals


def test_an_interval_needs_six_seeds_and_holds_the_mean():
    assert interval([1.0] * 5) == (-math.inf, math.inf)
    low, high = interval([1.0, 1.2, 0.9, 1.1, 1.0, 1.05])
    assert low < 1.0 < high
    assert high - low < 4


def test_the_ends_of_an_interval_are_where_a_bet_is_won():
    values = [0.3, 1.2, 0.9, 1.1, 0.2, 0.7, 0.8]
    low, high = interval(values)
    assert bet(*(v - low for v in values)).value == pytest.approx(2 * THRESHOLD, rel=1e-6)
    assert bet(*(high - v for v in values)).value == pytest.approx(2 * THRESHOLD, rel=1e-6)


@given(st.lists(st.floats(-5, 5), min_size=6, max_size=10), st.floats(-50, 50))
def test_an_interval_moves_with_its_values(values, by):
    low, high = interval(values)
    moved = interval([value + by for value in values])
    assert moved == pytest.approx((low + by, high + by), abs=1e-6)
