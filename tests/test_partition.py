"""Dealing samples to clients, and dividing each client's into train, validation and test."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfltune.data import partition
from pfltune.data.partition import dirichlet, iid
from pfltune.data.split import split_client, stratified_order
from pfltune.errors import UserError
from pfltune.randomness import numpy_rng

properties = settings(deadline=None, derandomize=True, max_examples=40)
seeds = st.integers(0, 1000)


def some_labels(samples: int, classes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(classes, size=samples)


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(map(np.array_equal, one, other))


def deal(kind: str, labels: np.ndarray, clients: int, seed: int, least: int = 3):
    rng = np.random.default_rng(seed)
    if kind == "iid":
        return iid(labels, clients, rng)
    return dirichlet(labels, clients, rng, alpha=1.0, min_samples=least)


@properties
@given(
    kind=st.sampled_from(["iid", "dirichlet"]),
    clients=st.integers(1, 6),
    classes=st.integers(2, 8),
    seed=seeds,
)
def test_every_sample_is_dealt_to_exactly_one_client(kind, clients, classes, seed):
    labels = some_labels(40 * clients, classes, seed)
    parts = deal(kind, labels, clients, seed)
    assert len(parts) == clients
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))


@properties
@given(clients=st.integers(1, 6), least=st.integers(3, 15), seed=seeds)
def test_every_client_has_the_fewest_samples_asked_for(clients, least, seed):
    parts = deal("dirichlet", some_labels(50 * clients, 5, seed), clients, seed, least)
    assert min(map(len, parts)) >= least


@properties
@given(samples=st.integers(1, 300), clients=st.integers(1, 20), seed=seeds)
def test_iid_shares_differ_by_at_most_one(samples, clients, seed):
    sizes = [len(part) for part in deal("iid", some_labels(samples, 4), clients, seed)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("kind", ["iid", "dirichlet"])
def test_the_seed_alone_decides_the_partition(kind):
    labels = some_labels(500, 10)
    first = deal(kind, labels, 5, seed=1)
    assert same(first, deal(kind, labels, 5, seed=1))
    assert not same(first, deal(kind, labels, 5, seed=2))


def mean_skew(alpha: float) -> float:
    """Total variation between a client's and the global label distribution, over clients, seeds."""
    labels = np.repeat(np.arange(10), 150)
    overall = np.bincount(labels, minlength=10) / len(labels)
    distances = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        for part in dirichlet(labels, 10, rng, alpha=alpha, min_samples=5):
            own = np.bincount(labels[part], minlength=10) / len(part)
            distances.append(np.abs(own - overall).sum() / 2)
    return float(np.mean(distances))


def test_labels_are_the_more_skewed_the_smaller_alpha():
    """Ten equal classes: near 0 when every client has all of them, 0.9 when it has only one."""
    even, mixed, skewed = mean_skew(100), mean_skew(1), mean_skew(0.1)
    assert even + 0.1 < mixed < skewed - 0.1
    assert even < 0.15
    assert skewed > 0.6


def test_an_impossible_partition_is_refused_with_what_could_be_changed(monkeypatch):
    """30 samples cannot give 4 clients 10 each."""
    monkeypatch.setattr(partition, "MAX_DRAWS", 5)
    with pytest.raises(UserError) as caught:
        deal("dirichlet", some_labels(30, 3), 4, seed=0, least=10)
    message = str(caught.value)
    assert "\n" not in message
    for word in ("alpha=1.0", "4 clients", "10 of 30 samples", "lower", "raise"):
        assert word in message


def divide(labels: np.ndarray, val: float = 0.2, test: float = 0.25, seed: int = 0, first=1000):
    """Split a client whose samples have the indices first, first + 1, …"""
    indices = np.arange(first, first + len(labels))
    return split_client(indices, labels, val, test, np.random.default_rng(seed))


def parts_of(split) -> list[np.ndarray]:
    return [part.numpy() for part in (split.train, split.val, split.test)]


@properties
@given(
    samples=st.integers(3, 200),
    classes=st.integers(1, 10),
    shares=st.sampled_from([(0.2, 0.25), (0.1, 0.1), (0.01, 0.01), (0.3, 0.3)]),
    seed=seeds,
)
def test_a_split_shares_out_every_sample_once_and_leaves_no_part_empty(
    samples, classes, shares, seed
):
    split = divide(some_labels(samples, classes, seed), *shares, seed=seed)
    together = np.concatenate(parts_of(split))
    assert sorted(together) == list(range(1000, 1000 + samples))
    assert all(len(part) >= 1 for part in parts_of(split))
    for part, share in ((split.val, shares[0]), (split.test, shares[1])):
        assert abs(len(part) - share * samples) <= 1, "a part is its share, rounded"


@pytest.mark.parametrize("seed", range(10))
def test_every_part_of_a_split_has_the_classes_of_the_client(seed):
    """Classes of 80, 40 and 20: test (¼) should hold 20, 10, 5 of them and validation (⅕) 16, 8, 4.

    One jittered sample stands in each of n equal stretches, so a stretch of length s holds
    s·n ± 2 of a class; the counts may be off by at most 2.
    """
    sizes = np.array([80, 40, 20])
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(3), sizes))
    split = divide(labels, seed=seed)
    for part, share in ((split.test, 0.25), (split.val, 0.2), (split.train, 0.55)):
        counts = np.bincount(labels[part.numpy() - 1000], minlength=3)
        assert np.all(np.abs(counts - share * sizes) <= 2), f"{counts} of {share * sizes}"


def test_any_stretch_of_a_stratified_order_holds_the_classes_in_equal_shares():
    """Two classes of 100: any 50 in a row hold 25 of each, give or take 2 at the two ends."""
    labels = np.repeat([0, 1], 100)
    order = stratified_order(labels, np.random.default_rng(3))
    assert sorted(order) == list(range(200))
    for start in range(151):
        assert abs(int(labels[order[start : start + 50]].sum()) - 25) <= 2


def test_the_seed_alone_decides_the_split():
    labels = some_labels(60, 4)
    first = parts_of(divide(labels, seed=1))
    assert same(first, parts_of(divide(labels, seed=1)))
    assert not all(
        np.array_equal(a, b) for a, b in zip(first, parts_of(divide(labels, seed=2)), strict=True)
    )


@pytest.mark.parametrize("samples", [0, 1, 2])
def test_too_few_samples_for_three_parts_are_refused(samples):
    with pytest.raises(UserError, match=f"{samples} samples"):
        divide(np.zeros(samples, dtype=int))


def test_a_client_without_test_has_no_test_indices():
    split = divide(some_labels(40, 4))
    blind = split.without_test()
    assert blind.test is None
    assert blind.train.equal(split.train)
    assert blind.val.equal(split.val)


@pytest.mark.parametrize("draw", [numpy_rng])
def test_generators_differ_by_seed_purpose_and_index(draw: Callable):
    keys = [(0, "split"), (1, "split"), (0, "partition"), (0, "split", 0), (0, "split", 1)]
    keys += [(0, "split", 1, 2), (0, "split", 12)]
    numbers = {tuple(draw(*key).integers(2**62, size=2)) for key in keys}
    assert len(numbers) == len(keys)
    assert draw(0, "split", 1).random() == draw(0, "split", 1).random()
