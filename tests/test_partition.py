"""Dealing samples to clients, and dividing each client's into train, validation and test."""

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pfltune.data.dataset import Dataset
from pfltune.data.partitions import PARTITIONS, AnyPartition
from pfltune.data.partitions.base import FEWEST
from pfltune.data.split import split_client, stratified_order
from pfltune.errors import UserError
from pfltune.randomness import numpy_rng
from pfltune.scenario import load_scenario

properties = settings(max_examples=60)
seeds = st.integers(0, 1000)
read = TypeAdapter(AnyPartition).validate_python
DOMAINS = 3

# The settings of each kind beside its number of clients; a new kind stands here too.
EXAMPLES = {
    "iid": {},
    "quantity": {"alpha": 1.0, "min_samples": 4},
    "dirichlet": {"alpha": 1.0, "min_samples": 4},
    "dirichlet-fedperfix": {"alpha": 1.0, "min_samples": 4},
    "classes": {"classes_per_client": 3},
    "shards": {"shards_per_client": 2},
    "domains": {},
    "domain-dirichlet": {"alpha": 1.0, "min_samples": 4},
}
GIVEN = {"natural", "file"}
"""Kinds that draw nothing: test_natural_clients.py, test_assignment.py."""
ALPHAS = ["dirichlet", "dirichlet-fedperfix", "domain-dirichlet"]


def some_labels(samples: int, classes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(classes, size=samples)


def some_domains(samples: int) -> np.ndarray:
    return np.random.default_rng(5).permutation(np.arange(samples) % DOMAINS)


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(map(np.array_equal, one, other))


def deal(kind: str, labels: np.ndarray, clients: int, seed: int = 0, domains=None, **changed):
    """Deal with the settings of ``EXAMPLES``; nobody may write to labels and domains."""
    domains = some_domains(len(labels)) if domains is None else domains
    labels, domains = labels.copy(), domains.copy()
    labels.flags.writeable = domains.flags.writeable = False
    partition = read({"kind": kind, "clients": clients, **EXAMPLES[kind], **changed})
    return partition.deal(labels, domains, seed)


def test_every_kind_is_tested_here():
    assert set(EXAMPLES) | GIVEN == set(PARTITIONS)


@properties
@given(
    kind=st.sampled_from(sorted(EXAMPLES)),
    groups=st.integers(1, 3),
    classes=st.integers(3, 8),
    shares=st.sampled_from([(0.2, 0.25), (0.1, 0.15)]),
    seed=seeds,
)
def test_every_sample_goes_to_exactly_one_client_and_one_part(kind, groups, classes, shares, seed):
    clients = DOMAINS * groups
    labels = some_labels(60 * clients, classes, seed)
    dealt = deal(kind, labels, clients, seed)
    least = EXAMPLES[kind].get("min_samples", FEWEST)
    assert len(dealt) == clients
    assert min(map(len, dealt)) >= least
    assert sorted(np.concatenate(dealt)) == list(range(len(labels)))
    for indices in dealt:
        split = split_client(indices, labels[indices], *shares, np.random.default_rng(seed))
        assert min(map(len, parts_of(split))) >= 1
        assert sorted(np.concatenate(parts_of(split))) == sorted(indices)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_seed_alone_decides_the_clients_and_nothing_else_changes(kind):
    labels = some_labels(600, 10)
    np.random.seed(3)
    torch.manual_seed(3)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    first = deal(kind, labels, 6, seed=1)
    assert np.array_equal(np.random.get_state()[1], before[0]), "numpy's global generator moved"
    assert torch.get_rng_state().equal(before[1]), "torch's global generator moved"
    assert same(first, deal(kind, labels, 6, seed=1))
    assert not same(first, deal(kind, labels, 6, seed=2))


@pytest.mark.parametrize("kind", EXAMPLES)
def test_one_client_has_everything(kind):
    changed = {"classes_per_client": 4} if kind == "classes" else {}
    (only,) = deal(kind, some_labels(50, 4), 1, domains=np.zeros(50, dtype=int), **changed)
    assert sorted(only) == list(range(50))


@pytest.mark.parametrize("kind", sorted(set(EXAMPLES) - {"dirichlet-fedperfix"}))
def test_the_indices_of_a_client_are_sorted(kind):
    """All but FedPerfix's, which have the order of its public scripts."""
    assert all((np.diff(part) > 0).all() for part in deal(kind, some_labels(300, 6), 6))


GOLDEN = {
    (): "4dd747240bec2a3ede7495c997578b78dd5b9dea957db20385a429bc1b701514",
    ("data_seed=1",): "64c749a80c4dddbc06bec03d7b095b9672766ba5d3ff7aca3d1af919694cab57",
    ("partition.alpha=0.1", "partition.min_samples=10"): (
        "713c20eb3d1d8ed1e916e392774052b993c8aa9c158646fd88cc716d898afc4c"
    ),
}


@pytest.mark.parametrize("overrides", GOLDEN)
def test_the_clients_of_digits_are_those_of_the_first_release(overrides):
    """Published figures depend on them: whatever changes here, changes every table."""
    scenario = load_scenario("digits", overrides)
    digest = hashlib.sha256()
    for client in scenario.clients(scenario.dataset()):
        for part in parts_of(client):
            digest.update(part.astype("<i8").tobytes() + b"|")
    assert digest.hexdigest() == GOLDEN[overrides]


@properties
@given(samples=st.integers(3, 300), clients=st.integers(1, 20), seed=seeds)
def test_iid_shares_differ_by_at_most_one(samples, clients, seed):
    assume(samples >= FEWEST * clients)
    sizes = [len(part) for part in deal("iid", some_labels(samples, 4), clients, seed)]
    assert max(sizes) - min(sizes) <= 1


def distance(labels: np.ndarray, part: np.ndarray, whole: np.ndarray) -> float:
    """Total variation between the label distributions of a client and of what it is dealt from."""
    own, overall = (
        np.bincount(labels[indices], minlength=10) / len(indices) for indices in (part, whole)
    )
    return float(np.abs(own - overall).sum() / 2)


def mean_skew(kind: str, alpha: float) -> float:
    """The mean distance over clients and seeds; of a domain where clients are dealt one."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 180))
    domains = some_domains(len(labels)) if kind.startswith("domain") else np.zeros_like(labels)
    distances = [
        distance(labels, part, np.flatnonzero(domains == domains[part[0]]))
        for seed in range(6)
        for part in deal(kind, labels, 12, seed, domains, alpha=alpha, min_samples=3)
    ]
    return float(np.mean(distances))


@pytest.mark.parametrize("kind", ALPHAS)
def test_labels_are_the_more_skewed_the_smaller_alpha(kind):
    """Ten equal classes: near 0 when every client has all of them, 0.9 when it has only one."""
    even, mixed, skewed = (mean_skew(kind, alpha) for alpha in (100, 1, 0.1))
    assert even + 0.1 < mixed < skewed - 0.1
    assert even < 0.15
    assert skewed > 0.6


def test_sizes_are_the_more_skewed_the_smaller_alpha_and_labels_are_not():
    """The standard deviation of ten Dirichlet shares is √(9 / (100·(10·alpha + 1)))."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 1000))
    spread = {}
    for alpha in (100, 1, 0.3):
        dealt = [deal("quantity", labels, 10, s, alpha=alpha, min_samples=3) for s in range(8)]
        sizes = np.array([[len(part) for part in clients] for clients in dealt])
        spread[alpha] = float(np.sqrt(((sizes / 10_000 - 0.1) ** 2).mean()))
        large = [part for clients in dealt for part in clients if len(part) >= 500]
        assert np.mean([distance(labels, part, np.arange(10_000)) for part in large]) < 0.08
    for alpha, measured in spread.items():
        assert measured == pytest.approx(np.sqrt(9 / (100 * (10 * alpha + 1))), rel=0.35)


def holders(labels: np.ndarray, dealt: list[np.ndarray]) -> np.ndarray:
    """Samples per client and class."""
    classes = labels.max() + 1
    return np.array([np.bincount(labels[part], minlength=classes) for part in dealt])


@pytest.mark.parametrize(
    ("classes", "per_client", "shared_by"),
    [pytest.param(10, 2, 2, id="pFedPG CIFAR-10"), pytest.param(100, 10, 1, id="CIFAR-100")],
)
def test_ten_clients_have_the_classes_of_pfedpg(classes, per_client, shared_by):
    """10 × 2 of 10 classes are two clients per class; 10 × 10 of 100 are disjoint."""
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(classes), 60))
    held = holders(labels, deal("classes", labels, 10, classes_per_client=per_client))
    assert ((held > 0).sum(1) == per_client).all()
    assert ((held > 0).sum(0) == shared_by).all()
    assert set(held[held > 0]) == {60 // shared_by}


@properties
@given(clients=st.integers(1, 12), classes=st.integers(2, 9), data=st.data(), seed=seeds)
def test_classes_are_held_by_equally_many_clients_who_share_them_equally(
    clients, classes, data, seed
):
    per_client = data.draw(st.integers(-(-classes // clients), classes))
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(classes), 40))
    held = holders(labels, deal("classes", labels, clients, seed, classes_per_client=per_client))
    owners = (held > 0).sum(0)
    assert ((held > 0).sum(1) == per_client).all()
    assert owners.max() - owners.min() <= 1
    for column in held.T:
        assert np.ptp(column[column > 0]) <= 1


def test_shards_are_pieces_of_the_samples_sorted_by_label():
    """10 classes of 100 in 20 shards of 50: every shard has one class, each class two shards."""
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(10), 100))
    held = holders(labels, deal("shards", labels, 10))
    assert set(held[held > 0]) <= {50, 100}
    assert (held.sum(1) == 100).all()
    assert ((held > 0).sum(1) <= 2).all()


@properties
@given(clients=st.integers(1, 9), per_client=st.integers(1, 5), seed=seeds)
def test_shards_differ_by_at_most_one_sample(clients, per_client, seed):
    labels = some_labels(307, 7, seed)
    dealt = deal("shards", labels, clients, seed, shards_per_client=per_client)
    assert np.ptp([len(part) for part in dealt]) <= per_client


@pytest.mark.parametrize("kind", ["domains", "domain-dirichlet"])
def test_a_client_has_one_domain_and_a_domain_equally_many_clients(kind):
    labels = some_labels(900, 6)
    domains = np.repeat([4, 0, 2], [200, 300, 400])  # no samples of domains 1 and 3
    dealt = deal(kind, labels, 6, domains=domains)
    assert [set(domains[part]) for part in dealt] == [{0}, {0}, {2}, {2}, {4}, {4}]
    if kind == "domains":
        assert [len(part) for part in dealt] == [150, 150, 200, 200, 100, 100]
        assert all(distance(labels, part, np.arange(900)) < 0.15 for part in dealt)


def test_the_clients_of_a_scenario_are_dealt_by_the_domains_of_its_data_set():
    images = torch.zeros(120, 1, 2, 2, dtype=torch.uint8)
    domains = torch.arange(120) % 2
    dataset = Dataset("two", images, torch.arange(120) % 3, ("a", "b", "c"), domains, ("x", "y"))
    overrides = ["partition={kind: domains, clients: 4}", "split={val: 0.2, test: 0.2}"]
    clients = load_scenario("digits", overrides).clients(dataset)
    for client, domain in zip(clients, [0, 0, 1, 1], strict=True):
        assert {int(d) for part in parts_of(client) for d in domains[part]} == {domain}


def published_split(
    labels: np.ndarray, clients: int, alpha: float, least: float, seed: int
) -> list[list[int]]:
    """The Dirichlet split of FedPerfix, step by step as its paper's code is described."""
    np.random.seed(seed)
    total = len(labels)
    smallest = 0
    while smallest < least:
        lists: list[list[int]] = [[] for _ in range(clients)]
        for k in range(labels.max() + 1):
            indices = np.where(labels == k)[0]
            np.random.shuffle(indices)
            p = np.random.dirichlet(np.repeat(alpha, clients))
            for j in range(clients):
                if len(lists[j]) >= total / clients:
                    p[j] *= 0
            with np.errstate(invalid="ignore"):
                p = p / p.sum()
                ends = (np.cumsum(p) * len(indices)).astype(int)[:-1]
            for j, piece in enumerate(np.split(indices, ends)):
                lists[j] += piece.tolist()
        smallest = min(len(each) for each in lists)
    return lists


@pytest.mark.parametrize("seed", [0, 1, 7])
@pytest.mark.parametrize(
    ("samples", "classes", "clients", "alpha", "least"),
    [
        pytest.param(6000, 100, 64, 0.1, 16, id="CIFAR-100 with a tenth of the images"),
        pytest.param(5888, 11, 64, 0.5, 20, id="OrganAMNIST with a tenth of the images"),
        pytest.param(500, 10, 7, 0.1, 45, id="many draws"),
        pytest.param(300, 4, 1, 0.1, 3, id="one client"),
        pytest.param(900, 60, 3, 0.001, 3, id="proportions that underflow"),
    ],
)
def test_fedperfix_gets_the_clients_of_the_public_split(
    samples, classes, clients, alpha, least, seed
):
    labels = some_labels(samples, classes, seed)
    kept = np.random.get_state()
    expected = published_split(labels, clients, alpha, least, seed)
    np.random.set_state(kept)
    dealt = deal("dirichlet-fedperfix", labels, clients, seed, alpha=alpha, min_samples=least)
    assert [part.tolist() for part in dealt] == expected


def test_the_examples_above_are_what_they_are_called():
    rng = np.random.RandomState(0)
    assert np.isnan([rng.dirichlet([0.001] * 3)[0] for _ in range(60)]).any(), "0 / 0"
    first = published_split(some_labels(500, 10, 0), 7, 0.1, 1, 0)
    assert min(map(len, first)) < 45, "the first draw would do"


def test_fedperfix_has_the_fewest_samples_of_its_scripts():
    """Batch 64 over a test share of 0.25."""
    assert read({"kind": "dirichlet-fedperfix", "clients": 64, "alpha": 0.1}).min_samples == 256


@pytest.mark.parametrize(
    ("kind", "clients", "changed", "words"),
    [
        ("iid", 11, {}, ["11 clients", "3 of 30 samples", "up to 10 clients"]),
        ("iid", 31, {}, ["31 clients", "30 samples", "up to 10 clients"]),
        (
            "dirichlet",
            4,
            {"min_samples": 10},
            ["4 clients", "10 of 30 samples", "up to 3 clients", "min_samples up to 7"],
        ),
        ("quantity", 2, {"min_samples": 256}, ["256 of 30 samples", "min_samples up to 15"]),
        ("dirichlet-fedperfix", 10, {"min_samples": 256}, ["256 of 30", "min_samples up to 3"]),
        (
            "dirichlet",
            3,
            {"min_samples": 10},
            ["5 draws", "kind=dirichlet", "alpha=1.0", "3 clients", "10 of 30", "lower", "raise"],
        ),
        ("classes", 3, {"classes_per_client": 4}, ["classes_per_client=4", "3 clients", "1 to 3"]),
        ("classes", 2, {"classes_per_client": 1}, ["classes_per_client=1", "possible: 2 to 3"]),
        ("shards", 5, {"shards_per_client": 7}, ["shards_per_client=7", "35 shards", "1 to 6"]),
        ("domains", 4, {}, ["clients=4", "3 domains", "3, 6, 9"]),
        ("domain-dirichlet", 2, {}, ["clients=2", "3 domains"]),
        (
            "domain-dirichlet",
            6,
            {"min_samples": 6},
            ["2 clients", "6 of 10 samples of domain 0", "up to 1 clients", "up to 5"],
        ),
        (
            "domain-dirichlet",
            6,
            {"min_samples": 5},
            ["5 draws", "2 clients", "5 of 10 samples of domain"],
        ),
    ],
)
def test_an_impossible_partition_is_refused_with_what_is_possible(
    kind, clients, changed, words, monkeypatch
):
    """30 samples of 3 classes and 3 domains, ten each."""
    monkeypatch.setattr("pfltune.data.partitions.base.MAX_DRAWS", 5)
    labels = np.arange(30) // 10
    with pytest.raises(UserError) as caught:
        deal(kind, labels, clients, domains=np.arange(30) % 3, **changed)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_thousands_of_clients_that_cannot_have_enough_are_refused_after_a_hundred_draws():
    """Each draw of thousands takes time, and of ten thousand none would do."""
    with pytest.raises(UserError, match=r"none of 100 draws .* each of 1000 clients 5 of 9000"):
        deal("dirichlet", np.arange(9_000) % 10, 1_000, alpha=0.3, min_samples=5)


@pytest.mark.parametrize("kind", ["domains", "domain-dirichlet"])
def test_a_domain_split_of_a_data_set_without_domains_is_refused(kind):
    partition = read({"kind": kind, "clients": 3, **EXAMPLES[kind]})
    with pytest.raises(UserError, match=f"kind={kind} needs a data set with domains"):
        partition.deal(some_labels(90, 3), None, 0)


def test_a_class_with_fewer_samples_than_clients_that_share_it_is_refused():
    labels = np.array([0] * 20 + [1] * 2)
    with pytest.raises(UserError, match="class 1 has 2 samples for the 3 clients"):
        deal("classes", labels, 3, classes_per_client=2)


def test_a_client_that_would_go_short_is_named():
    """Domain 1 has 4 samples for two clients."""
    domains = np.array([0] * 30 + [1] * 4)
    with pytest.raises(UserError, match="2 clients cannot have 3 of 4 samples of domain 1 each"):
        deal("domains", some_labels(34, 3), 4, domains=domains)
    with pytest.raises(UserError, match=r"5 of 4 samples of domain 1 each; .* 1 clients of 3"):
        deal("domain-dirichlet", some_labels(34, 3), 4, domains=domains, min_samples=5)


def test_a_seed_that_numpys_old_generator_cannot_take_is_refused():
    with pytest.raises(UserError, match=f"data_seed={2**32} .* 0 to {2**32 - 1}"):
        deal("dirichlet-fedperfix", some_labels(90, 3), 3, seed=2**32)


def test_a_client_may_have_a_single_sample_of_a_class():
    labels = np.array([0] * 12 + [1, 2, 3])
    assert sorted(np.concatenate(parts_of(divide(labels)))) == list(range(1000, 1015))


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


def test_classes_too_small_to_be_divided_are_refused_before_any_draw(monkeypatch):
    """A class of one image goes to the last client whole."""

    def draw(*_):
        raise AssertionError("drawn")

    monkeypatch.setattr("pfltune.data.partitions.labels.divide_classes", draw)
    partition = PARTITIONS["dirichlet"](kind="dirichlet", clients=5, alpha=0.5, min_samples=10)
    with pytest.raises(UserError, match="200 classes with 200 samples are too small"):
        partition.deal(np.arange(200), None, 0)


def test_a_domain_too_small_for_one_client_is_to_be_left_out():
    domains = np.array([0] * 20 + [1] * 2)
    for kind, more in (("domains", {}), ("domain-dirichlet", {"alpha": 1.0})):
        partition = PARTITIONS[kind](kind=kind, clients=2, **more)
        with pytest.raises(
            UserError, match=r"2 samples of domain 1, .*leave it out by data\.domains"
        ):
            partition.deal(np.zeros(22, int), domains, 0)
