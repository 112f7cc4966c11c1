"""Clients and splits that the data bring along: kept, counted, and never changed without a word."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pfltune.data.columns import NOT_GIVEN, TEST, TRAIN, VAL
from pfltune.data.dataset import Dataset
from pfltune.data.split import split_client
from pfltune.errors import UserError
from pfltune.scenario import load_scenario
from pfltune.studies.draws import draws_of

properties = settings(max_examples=60)
PARTS = {TRAIN: "train", VAL: "val", TEST: "test"}
SPLIT = {"val": 0.2, "test": 0.25}


def data(clients=None, splits=None, names=None, labels=None, **more) -> Dataset:
    """Gray images of 8×8 pixels in three classes; clients are called c0, c1, … by default."""
    samples = len(clients if clients is not None else splits)
    labels = np.arange(samples) % 3 if labels is None else np.asarray(labels)
    if clients is not None:
        clients = np.asarray(clients)
        names = names or tuple(f"c{number}" for number in range(clients.max() + 1))
        more |= {"clients": torch.from_numpy(clients).long(), "client_names": tuple(names)}
    if splits is not None:
        more["splits"] = torch.from_numpy(np.asarray(splits, dtype=np.uint8))
    images = torch.zeros(samples, 1, 8, 8, dtype=torch.uint8)
    return Dataset("own", images, torch.from_numpy(labels).long(), ("a", "b", "c"), **more)


def ground(dataset, *overrides):
    """A scenario on that data set, natural unless it is said."""
    plain = ["backbone.weights=random", "protocol.sampled_clients=1", f"split={SPLIT}"]
    scenario = load_scenario("digits", [*plain, "partition={kind: natural}", *overrides])
    scenario.__dict__["_dataset"] = dataset  # as if it had been loaded
    return scenario


def dealt(scenario):
    return scenario.clients(scenario.dataset())


def parts_of(client) -> dict[int, list[int]]:
    return {part: getattr(client, name).tolist() for part, name in PARTS.items()}


def samples_of(client) -> list[int]:
    return sorted(chain(*parts_of(client).values()))


def refused(scenario) -> str:
    with pytest.raises(UserError) as caught:
        dealt(scenario)
    message = str(caught.value)
    assert "\n" not in message
    return message


def told(scenario) -> str:
    return "; ".join(scenario.notes())


class TestClients:
    @properties
    @given(data_=st.data())
    def test_each_client_has_its_own_samples_and_small_ones_are_left_out(self, data_):
        owners = np.array(data_.draw(st.lists(st.integers(-1, 6), min_size=30, max_size=80)))
        least = data_.draw(st.integers(3, 6))
        held = {c: np.flatnonzero(owners == c).tolist() for c in range(7)}
        kept = [c for c, samples in held.items() if len(samples) >= least]
        dataset = data(owners, names=[f"c{c}" for c in range(7)])
        scenario = ground(dataset, f"partition.min_samples={least}")
        if not kept:
            assert f"none of 7 clients has {least} samples" in refused(scenario)
            return
        clients = dealt(scenario)
        assert [client.name for client in clients] == [f"c{c}" for c in kept]
        assert [samples_of(client) for client in clients] == [held[c] for c in kept]
        assert all(min(map(len, parts_of(client).values())) >= 1 for client in clients)
        assert scenario.seen_clients == len(kept)
        small = sum(0 < len(samples) < least for samples in held.values())
        assert (f"{small} client" in told(scenario)) == bool(small)
        assert ("of no client" in told(scenario)) == bool((owners == -1).any())

    def test_a_client_of_two_images_stops_nobody(self):
        scenario = ground(data([0] * 10 + [1] * 2 + [2] * 5, names=["ada", "bob", "eve"]))
        assert [client.name for client in dealt(scenario)] == ["ada", "eve"]
        assert "1 client of 3 with fewer than 3 samples, left out with 2 samples: bob" in told(
            scenario
        )

    def test_they_have_the_natural_order_of_their_names(self):
        scenario = ground(data([0] * 4 + [1] * 5 + [2] * 6, names=["w10", "w2", "w1"]))
        clients = dealt(scenario)
        assert [client.name for client in clients] == ["w1", "w2", "w10"]
        assert [len(samples_of(client)) for client in clients] == [6, 5, 4]

    def test_numbers_from_0_on_are_no_names(self):
        assert [c.name for c in dealt(ground(data([0, 1] * 4, names=["0", "1"])))] == ["", ""]
        left = ground(data([0, 2] * 4 + [1], names=["0", "1", "2"]))
        assert [c.name for c in dealt(left)] == ["0", "2"]

    def test_some_of_them_are_drawn_by_the_seed(self):
        owners = np.repeat(np.arange(12), 5)
        some = [ground(data(owners), "partition.clients=4", f"data_seed={n}") for n in (0, 0, 1)]
        names = [[client.name for client in dealt(scenario)] for scenario in some]
        assert names[0] == names[1] != names[2]
        assert all(
            len(each) == 4 and each == sorted(each, key=lambda n: int(n[1:])) for each in names
        )
        assert "4 clients of 12 drawn by data_seed" in told(some[0])

    def test_more_than_there_are_are_refused_with_what_is_possible(self):
        owners = np.repeat(np.arange(4), [5, 5, 5, 2])
        message = refused(ground(data(owners), "partition.clients=4"))
        assert "there are 3 clients whose samples suffice" in message
        assert "possible: 1 to 3" in message

    @pytest.mark.parametrize(
        ("sizes", "least", "advice"),
        [
            ([5, 4], 6, "the largest has 5; possible: partition.min_samples up to 5"),
            ([2, 1], 3, "the largest has 2; each needs 3"),
        ],
    )
    def test_where_nobody_suffices_the_advice_helps(self, sizes, least, advice):
        owners = np.repeat(np.arange(2), sizes)
        message = refused(ground(data(owners), f"partition.min_samples={least}"))
        assert f"none of 2 clients has {least} samples" in message
        assert advice in message
        assert "partition.clients" not in message

    def test_data_without_clients_say_how_they_would_be_given(self):
        message = refused(ground(data(splits=[TRAIN] * 9)))
        assert "'own' has none" in message
        assert "clients:PATH" in message
        domains = {"domains": torch.arange(9) % 2, "domain_names": ("x", "y")}
        assert "partition.kind=domains" in refused(ground(data(splits=[TRAIN] * 9, **domains)))

    def test_clients_without_a_sample_of_the_chosen_classes_are_counted(self):
        scenario = ground(data([0] * 5 + [2] * 5, names=["a", "b", "c"]))
        assert len(dealt(scenario)) == 2
        assert "1 client of 3 without samples, left out: b" in told(scenario)


class TestNumber:
    """It stands in the data, which nobody reads before they are needed."""

    def test_a_scenario_is_read_without_its_data(self, monkeypatch):
        def must_not(*_):
            raise AssertionError("read")

        monkeypatch.setattr("pfltune.scenario.load_dataset", must_not)
        scenario = load_scenario("digits", ["partition={kind: natural}", "data.name=npz:gone.npz"])
        assert scenario.partition.clients is None
        assert scenario.partition.describe() == "natural, min_samples 3"

    def test_more_sampled_than_there_are_are_refused_when_they_are_dealt(self):
        scenario = ground(data([0] * 5 + [1] * 5), "protocol.sampled_clients=3")
        assert "protocol.sampled_clients=3" in refused(scenario)
        assert "possible: 1 to 2" in refused(scenario)
        with pytest.raises(UserError, match="sampled_clients=3 is more than the 2"):
            ground(data([0] * 5), "protocol.sampled_clients=3", "partition.clients=2")

    def test_unseen_clients_are_a_share_of_them(self):
        scenario = ground(data(np.repeat(np.arange(10), 4)), "unseen_clients=0.3")
        assert (scenario.all_clients, scenario.seen_clients) == (10, 7)
        assert len(scenario.build().unseen) == 3


class TestSplits:
    def test_a_given_split_is_kept(self):
        splits = [TRAIN, TRAIN, VAL, TEST, TEST] * 4
        scenario = ground(data([0] * 10 + [1] * 10, splits))
        for number, client in enumerate(dealt(scenario)):
            own = range(10 * number, 10 * number + 10)
            assert parts_of(client) == {p: [s for s in own if splits[s] == p] for p in PARTS}
        assert "given splits are kept" in told(scenario)
        assert "taken" not in told(scenario)

    @properties
    @given(
        counts=st.tuples(st.integers(0, 40), st.integers(0, 9), st.integers(0, 9)),
        loose=st.integers(0, 5),
        seed=st.integers(0, 99),
    )
    def test_what_lacks_is_taken_from_what_trains_in_the_scenarios_proportion(
        self, counts, loose, seed
    ):
        """Of n that train, val has n·val / (1 - test) where tests are given; and so on."""
        parts = np.repeat([*PARTS, NOT_GIVEN], [*counts, loose]).astype(np.uint8)
        rng = np.random.default_rng(seed)
        parts = rng.permutation(parts)
        labels, indices = np.arange(len(parts)) % 3, 100 + np.arange(len(parts))
        trains = counts[TRAIN] + loose
        lacking = [part for part in (VAL, TEST) if not counts[part]]
        if trains <= len(lacking):
            with pytest.raises(UserError, match=r"cannot be split .* split\.keep_given=false"):
                split_client(indices, labels, *SPLIT.values(), rng, parts)
            return
        split = split_client(indices, labels, *SPLIT.values(), rng, parts)
        found = parts_of(split)
        assert sorted(chain(*found.values())) == indices.tolist()
        assert all(found.values())
        whole = 1 - sum(SPLIT[PARTS[part]] for part in (VAL, TEST) if part not in lacking)
        for part in (VAL, TEST):
            given_for = indices[parts == part].tolist()
            if given_for:
                assert found[part] == given_for
            else:
                assert abs(len(found[part]) - trains * SPLIT[PARTS[part]] / whole) <= 1.5

    def test_a_client_without_validation_takes_it_from_its_training_samples(self):
        splits = ([TRAIN] * 15 + [TEST] * 5) * 2
        scenario = ground(data([0] * 20 + [1] * 20, splits))
        for client in dealt(scenario):
            assert (len(client.train), len(client.val), len(client.test)) == (11, 4, 5)
        assert "val of 2 clients is not given, and taken from what trains, by split.val" in told(
            scenario
        )

    def test_clients_without_a_split_are_divided_and_loose_samples_train(self):
        splits = [TRAIN, VAL, TEST, NOT_GIVEN, TRAIN] + [NOT_GIVEN] * 20
        first, second = dealt(scenario := ground(data([0] * 5 + [1] * 20, splits)))
        assert parts_of(first) == {TRAIN: [0, 3, 4], VAL: [1], TEST: [2]}
        assert (len(second.val), len(second.test)) == (4, 5)
        assert "given splits are kept; 1 client without one divided by split" in told(scenario)
        assert "1 sample without a part beside others with one: they train" in told(scenario)

    def test_a_client_that_is_only_tested_is_left_out(self):
        splits = [TRAIN, TRAIN, VAL, TEST] + [TEST] * 5
        scenario = ground(data([0] * 4 + [1] * 5, splits))
        assert [client.name for client in dealt(scenario)] == ["c0"]
        assert "1 client of 2 with too few samples to train with" in told(scenario)
        nobody = ground(data([0] * 5, [TEST] * 5))
        assert "split.keep_given=false" in refused(nobody)
        assert len(dealt(ground(data([0] * 5, [TEST] * 5), "split.keep_given=false"))) == 1

    def test_other_partitions_keep_it_if_they_are_asked_to(self):
        splits = np.array([TRAIN, TRAIN, VAL, TEST] * 15)
        dataset = data(np.arange(60) % 4, splits)
        anew = ground(dataset, "partition={kind: iid, clients: 3}")
        assert "the given split is not kept" in told(anew)
        assert "split.keep_given=true" in told(anew)
        assert "partition.kind=iid deals the 4 clients of the data anew" in told(anew)
        kept = ground(dataset, "partition={kind: iid, clients: 3}", "split.keep_given=true")
        assert "the given split is not kept" not in told(kept)
        for client in dealt(kept):
            for part, samples in parts_of(client).items():
                assert (splits[samples] == part).all()

    def test_a_split_of_few_samples_and_large_shares_leaves_one_to_train_with(self):
        for samples in range(3, 9):
            labels = np.zeros(samples, dtype=int)
            split = split_client(np.arange(samples), labels, 0.45, 0.5, np.random.default_rng(0))
            assert len(split.train) >= 1
            assert len(samples_of(split)) == samples


WARM = ["backbone.weights=warm-start", "warm_start={share: 0.2, epochs: 1, lr: 0.01}"]


class TestWarmStart:
    def test_it_sets_nothing_aside_that_is_given_for_validation_or_tests(self):
        splits = np.array([TRAIN, TRAIN, TRAIN, VAL, TEST] * 12)
        dataset = data(np.arange(60) % 3, splits)
        scenario = ground(dataset, *WARM)
        clients = dealt(scenario)
        held = [s for client in clients for s in samples_of(client)]
        aside = sorted(set(range(60)) - set(held))
        assert len(aside) == 12
        assert (splits[aside] == TRAIN).all()
        for part in (VAL, TEST):
            given_for = np.flatnonzero(splits == part).tolist()
            assert sorted(s for client in clients for s in parts_of(client)[part]) == given_for
        assert "the warm start sets 12 samples aside, none of them given for validation" in told(
            scenario
        )

    def test_it_says_that_it_takes_from_the_clients(self):
        scenario = ground(data(np.arange(60) % 3), *WARM)
        assert "sets 12 samples aside, of the clients' own" in told(scenario)
        drawn = ground(data(np.arange(60) % 3), *WARM, "partition={kind: iid, clients: 3}")
        assert "aside" not in told(drawn)

    def test_more_than_may_train_cannot_be_set_aside(self):
        splits = [TRAIN] * 10 + [TEST] * 50
        message = refused(ground(data(np.arange(60) % 2, splits), *WARM))
        assert "warm_start.share=0.2 sets 12 of 60 samples aside, but 10" in message
        assert "backbone.weights=random" in message


class TestDomains:
    def test_a_domain_of_two_images_is_named_and_lowering_the_clients_is_no_advice(self):
        domains = {"domains": torch.tensor([0] * 20 + [1] * 2), "domain_names": ("web", "art")}
        dataset = data(splits=[NOT_GIVEN] * 22, **domains)
        for kind in (
            "{kind: domains, clients: 2}",
            "{kind: domain-dirichlet, clients: 2, alpha: 1}",
        ):
            message = refused(ground(dataset, f"partition={kind}"))
            assert "2 samples of domain art" in message
            assert "leave it out by data.domains" in message
            assert "partition.clients" not in message

    def test_natural_clients_may_be_of_several_domains(self):
        domains = {"domains": torch.arange(12) % 2, "domain_names": ("web", "art")}
        scenario = ground(data([0] * 6 + [1] * 6, **domains))
        assert len(dealt(scenario)) == 2
        assert told(scenario) == ""


def test_a_federation_of_natural_clients_has_their_names_in_its_table():
    federation = ground(data([0] * 6 + [1] * 6, names=["ada", "bob, jr"])).build()
    head, first, *_ = federation.partition_csv().splitlines()
    assert head == "client,name,part,samples,a,b,c"
    assert first.startswith("0,ada,train,")
    assert '1,"bob, jr",test,' in federation.partition_csv()
    blind = federation.without_test()
    assert [client.name for client in blind.clients] == ["ada", "bob, jr"]
    assert ",test," not in blind.partition_csv()


def test_columns_of_another_length_are_refused():
    dataset = data([0, 1, 2])
    for column in ("clients", "splits", "domains"):
        with pytest.raises(UserError, match=rf"3 images but {column} of shape \(2,\)"):
            replace(dataset, **{column: torch.zeros(2, dtype=torch.int64)})


@pytest.mark.parametrize(
    ("splits", "overrides", "drawn"),
    [
        ([TRAIN, VAL, TEST, TRAIN] * 6, [], False),
        ([TRAIN, VAL, TEST, TRAIN] * 6, ["partition.clients=2"], True),
        ([TRAIN, VAL, TEST, TRAIN] * 6, ["unseen_clients=0.3"], True),
        ([TRAIN, TRAIN, TRAIN, TEST] * 6, [], True),
    ],
    ids=["all is given", "some clients", "unseen clients", "validation is drawn"],
)
def test_several_draws_of_what_is_given_are_refused(
    splits, overrides, drawn, tmp_path, monkeypatch
):
    monkeypatch.setenv("PFLTUNE_DATA", str(tmp_path / "root"))
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8), dtype=np.uint8)
    said = {"clients": np.arange(24) // 8, "splits": splits}
    np.savez(tmp_path / "own.npz", images=images, labels=np.arange(24) % 3, **said)
    plain = ["backbone.weights=random", "protocol.sampled_clients=1", "partition={kind: natural}"]
    asked = [*plain, f"data.name=npz:{tmp_path}/own.npz", *overrides]
    given = {"overrides": asked, "partitions": 3, "name": "d", "results": tmp_path}
    if drawn:
        assert draws_of(given).partitions == 3
        return
    with pytest.raises(UserError, match=r"--partitions draws clients by data_seed, .*gives all"):
        draws_of(given)
