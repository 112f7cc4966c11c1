"""How often a race is wrong, and how often it decides, in simulated comparisons.

Run as a program, it prints the table of docs/protocol.md.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from pfltune.racing.race import Decide, race

MOST = 12
README = (77.65, 76.44, 74.65, 74.62, 73.03, 72.14, 71.78, 66.59)
"""The accuracies of the README's table, as if they were the truth."""


@dataclass(frozen=True)
class Rates:
    """Of many races.

    Attributes:
        wrong: share of those with a wrong claim: a best method dropped, or of two methods one said
            to be better that is not.
        decided: share of those that were decided.
        claims: share of their hypotheses that were decided.
        seeds: mean number of seeds over all methods, three at the least.
    """

    wrong: float
    decided: float
    claims: float
    seeds: float


def noise(kind: str, rng, shape) -> np.ndarray:
    """With mean 0 and standard deviation 1; the same distribution for all methods."""
    if kind == "normal":
        return rng.standard_normal(shape)
    if kind == "heavy":
        return rng.standard_t(3, shape) / np.sqrt(3)
    if kind == "skewed":
        return rng.exponential(size=shape) - 1
    if kind == "coarse":  # accuracies of few samples, with many ties
        return np.round(rng.standard_normal(shape))
    shared = rng.standard_normal((*shape[:-1], 1))  # a seed is good for all methods
    return 0.8 * shared + 0.6 * rng.standard_normal(shape)


def is_wrong(decide: Decide, means: dict[str, float], questions) -> bool:
    best = max(means.values())
    for question in questions:
        if question.state != "decided":
            continue
        if decide == "best" and means[question.of[0]] == best:
            return True
        if decide == "order" and any(
            means[question.better] <= means[m] for m in question.of if m != question.better
        ):
            return True
    return False


def rates(decide: Decide, levels, sd, *, races, kind="normal", most=MOST, seed=0) -> Rates:
    """Of so many races of methods at these levels, in percent."""
    rng = np.random.default_rng(seed)
    names = [f"m{n}" for n in range(len(levels))]
    means = dict(zip(names, levels, strict=True))
    found = []
    for _ in range(races):
        table = (np.array(levels) + sd * noise(kind, rng, (most, len(levels)))) / 100
        ended = race(decide, most, dict(zip(names, table.T.tolist(), strict=True)))
        settled = [q.state == "decided" for q in ended.questions]
        weighed = {m: 3 for m in names}
        for question in ended.questions:
            for name in question.of:
                weighed[name] = max(weighed[name], len(question.course))
        wrong = is_wrong(decide, means, ended.questions)
        found.append((wrong, ended.is_decided, np.mean(settled), sum(weighed.values())))
    return Rates(*np.mean(found, axis=0))


def limit(races: int) -> float:
    """What an error rate of 5 % exceeds with a probability of a thousandth."""
    return 0.05 + 3.1 * np.sqrt(0.05 * 0.95 / races)


EQUAL = {
    "two": (0.0,) * 2,
    "three": (0.0,) * 3,
    "six": (0.0,) * 6,
    "two at the top of four": (2.0, 2.0, 0.0, 0.0),
    "two and two": (5.0, 5.0, 0.0, 0.0),
    "three of five": (1.0, 1.0, 1.0, 0.0, -1.0),
    "nearly equal": (0.3, 0.2, 0.1, 0.0),
    "a little apart": (0.9, 0.6, 0.3, 0.0),
}


TRIED = [(levels, "normal") for levels in EQUAL] + [
    (levels, kind)
    for levels in ("three", "two at the top of four")
    for kind in ("heavy", "skewed", "coarse", "shared")
]
"""Every truth with one noise, and every noise with two truths."""


@pytest.mark.thorough
@pytest.mark.parametrize("decide", ["best", "order"])
@pytest.mark.parametrize(("levels", "kind"), TRIED)
def test_a_wrong_claim_is_rarer_than_stated_whenever_the_race_stops(decide, levels, kind):
    """With stopping, giving up and directions; at any time, since what is decided stays so."""
    for sd in (0.3, 1.2):
        found = rates(decide, EQUAL[levels], sd, races=300, kind=kind, most=20)
        assert found.wrong <= limit(300), found


@pytest.mark.thorough
def test_one_pair_is_wrong_in_less_than_a_twentieth_of_many_races():
    for sd in (0.1, 0.6, 5.0):
        found = rates("best", (0.0, 0.0), sd, races=4000, most=40)
        assert found.wrong <= limit(4000), found


@pytest.mark.thorough
def test_a_fixed_test_at_every_seed_would_be_wrong_far_more_often():
    """What a race is for: the same equal methods, looked at with a t-test after each seed."""
    from scipy import stats

    rng = np.random.default_rng(1)
    differences = rng.standard_normal((2000, MOST))
    looks = [stats.ttest_1samp(differences[:, :n], 0, axis=1).pvalue for n in range(3, MOST + 1)]
    assert (np.min(looks, axis=0) < 0.05).mean() > 0.15


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("decide", "levels", "least"),
    [
        ("best", (1.0, 0.0), 0.7),
        ("best", (2.0, 0.0), 0.97),
        ("best", README, 0.8),
        ("order", (2.0, 0.0), 0.97),
        ("order", (3.0, 1.0, -1.0), 0.85),
    ],
)
def test_a_race_decides_where_seeds_scatter_by_less_than_methods_differ(decide, levels, least):
    assert rates(decide, levels, 0.6, races=150).decided > least


SHOWN = {
    "2 equal": (0.0,) * 2,
    "2, 0.5 apart": (0.5, 0.0),
    "2, 1 apart": (1.0, 0.0),
    "2, 2 apart": (2.0, 0.0),
    "3, 1 apart each": (2.0, 1.0, 0.0),
    "6 equal": (0.0,) * 6,
    "1 ahead of 5 by 1": (1.0, *(0.0,) * 5),
    "1 ahead of 5 by 2": (2.0, *(0.0,) * 5),
    "8 as in the README": README,
}

if __name__ == "__main__":
    best, order = "best: wrong | decided | seeds", "order: wrong | pairs | seeds"
    print(f"| methods | sd over seeds | {best} | {order} |")
    print("| --- |" + " ---: |" * 7)
    for label, levels in SHOWN.items():
        for sd in (0.3, 0.6, 1.2):
            one, two = (rates(d, levels, sd, races=1000) for d in ("best", "order"))
            of = f"of {MOST * len(levels)}"
            cells = [label, sd, f"{one.wrong:.1%}", f"{one.decided:.0%}", f"{one.seeds:.0f} {of}"]
            cells += [f"{two.wrong:.1%}", f"{two.claims:.0%}", f"{two.seeds:.0f} {of}"]
            print("|", " | ".join(map(str, cells)), "|", flush=True)
