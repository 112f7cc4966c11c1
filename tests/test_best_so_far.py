"""The best of a search by trial does not depend on which of its trials ended first."""

import math
from itertools import permutations

from pfltune.tracking.best_so_far import BestSoFar
from pfltune.tracking.events import RoundDone, TrialEnded, TrialStarted

SCORES = (0.4, 0.9, 0.6, 0.5)
OUTCOMES = ("finished", "stopped early", "finished", "failed")


def points(order, outcomes=OUTCOMES, scores=SCORES, stage="search", **fits):
    best, made = BestSoFar(**fits), []
    for index in order:
        started = TrialStarted(f"m-{index}", "m", stage, index, 0, 7, {}, 0)
        end = TrialEnded(f"m-{index}", outcomes[index], 4, time=100 + index)
        last = RoundDone(f"m-{index}", 4, scores[index], {"comm/total_mb": 10.0 * index})
        made.append(best.ended(started, last, end))
    return made


def told(made):
    return [(p.step, p.value, p.timestamp) for some in made for p in some]


def test_any_order_gives_the_same_points_of_trials_that_ran_all_rounds():
    wanted = [(0, 0.4, 100), (1, 0.4, 101), (2, 0.6, 102), (3, 0.6, 103)]
    assert all(told(points(order)) == wanted for order in permutations(range(4)))


def test_what_sends_more_than_it_may_is_not_the_best():
    """Above 15 MB are the last two, which the search never chooses."""
    whole = ("finished",) * 4
    made = points(range(4), whole, (0.4, 0.5, 0.9, 0.8), fits=lambda standing: standing.mb <= 15)
    assert told(made) == [(0, 0.4, 100), (1, 0.5, 101), (2, 0.5, 102), (3, 0.5, 103)]


def test_a_trial_that_failed_in_its_first_round_makes_a_point_of_those_before():
    best = BestSoFar()
    for index, score in ((0, 0.4), (1, None)):
        started = TrialStarted(f"m-{index}", "m", "search", index, 0, 7, {}, 0)
        last = None if score is None else RoundDone(f"m-{index}", 4, score, {})
        end = TrialEnded(f"m-{index}", "failed" if last is None else "finished", 4, time=5)
        (point,) = best.ended(started, last, end)
        assert (point.step, point.value) == (index, 0.4)


def test_a_point_waits_for_all_trials_before_it():
    assert [len(some) for some in points((2, 1, 0, 3))] == [0, 0, 3, 1]


def test_there_is_no_point_before_a_trial_ran_all_rounds_nor_outside_a_search():
    assert told(points((0, 1), ("failed", "finished"), (0.9, 0.5))) == [(1, 0.5, 101)]
    assert told(points((0, 1), ("finished",) * 2, (math.nan, 0.5))) == [(1, 0.5, 101)]
    assert told(points(range(4), stage="choose")) == []
