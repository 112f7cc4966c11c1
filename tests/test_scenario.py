"""Scenarios: the ground they build, and the one line that a mistake costs."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from pfltune import scenario as scenario_module
from pfltune.data.catalog import available_datasets
from pfltune.errors import UserError
from pfltune.registry import available_methods
from pfltune.scenario import load_scenario, scenario_files

QUICK = ["warm_start.epochs=1"]
COLD = ["backbone.weights=random"]


def load_and_build(name, overrides=()):
    return load_scenario(str(name), overrides).build()


def refusal(name="digits", *overrides, act=load_scenario) -> str:
    """The one line that a user reads when a scenario is refused."""
    with pytest.raises(UserError) as caught:
        act(str(name), overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def indices_of(federation) -> list[list[torch.Tensor]]:
    return [[client.train, client.val, client.test] for client in federation.clients]


def all_indices(federation) -> torch.Tensor:
    return torch.cat([part for parts in indices_of(federation) for part in parts])


def same_clients(one, other) -> bool:
    pairs = zip(one.clients, other.clients, strict=True)
    return all(
        getattr(a, part).equal(getattr(b, part))
        for a, b in pairs
        for part in ("train", "val", "test")
    )


@pytest.fixture(scope="module")
def cold():
    """The digits scenario without its warm start, to change one thing at a time."""
    return load_and_build("digits", COLD)


@pytest.fixture
def reserved(monkeypatch):
    """The federation of ``digits`` and the samples that its warm start was given."""
    given = {}

    def warm_start(backbone, recipe, images, indices, classes, seed):
        given["indices"] = indices
        return {}

    monkeypatch.setattr(scenario_module, "warm_start", warm_start)
    return load_and_build("digits"), given["indices"]


@pytest.fixture
def write(tmp_path):
    """Write the digits scenario into a file of one's own, with some text replaced."""

    def write(old="", new=""):
        text = scenario_files()["digits"].read_text()
        assert old in text
        path = tmp_path / "mine.yaml"
        path.write_text(text.replace(old, new) if old else text)
        return path

    return write


def test_digits_has_the_images_and_labels_of_scikit_learn(cold):
    bunch = load_digits()
    assert cold.dataset.images.shape == (1797, 1, 8, 8)
    assert cold.dataset.labels.tolist() == bunch.target.tolist()
    expected = torch.from_numpy(np.rint(bunch.images * 255 / 16)).to(torch.uint8)
    assert cold.dataset.images[:, 0].equal(expected)
    assert cold.dataset.class_names == tuple("0123456789")


def test_digits_has_ten_clients_of_at_least_forty_images_split_as_documented(reserved):
    federation, _ = reserved
    assert len(federation.clients) == 10
    for parts in indices_of(federation):
        total = sum(map(len, parts))
        assert total >= 40
        assert [len(part) for part in parts[1:]] == [round(0.2 * total), round(0.25 * total)]


def test_the_images_of_the_warm_start_belong_to_no_client_and_all_others_to_one(reserved):
    """A fifth of 1797 images is 359.4, so 359 are set aside and 1438 dealt."""
    federation, aside = reserved
    assert len(aside) == 359
    dealt = all_indices(federation)
    assert len(dealt) == 1438
    assert sorted(torch.cat([aside, dealt]).tolist()) == list(range(1797))


def test_the_images_of_the_warm_start_hold_every_class_equally(reserved):
    """The classes have 174 to 183 images; a fifth of each is 35 to 37, give or take the cut."""
    federation, aside = reserved
    counts = torch.bincount(federation.dataset.labels[aside])
    assert counts.min() >= 33
    assert counts.max() <= 39


def test_the_warm_start_gives_the_weights_that_every_trial_begins_with():
    federation = load_and_build("digits", QUICK)
    again = load_and_build("digits", QUICK)
    names = federation.weights.keys()
    assert all(federation.weights[name].equal(again.weights[name]) for name in names)
    model = federation.build_backbone(seed=5).state_dict()
    assert all(model[name].equal(federation.weights[name]) for name in names)


def test_without_a_warm_start_every_image_is_dealt_and_the_seed_gives_the_weights(cold):
    dealt = all_indices(cold)
    assert sorted(dealt.tolist()) == list(range(1797))
    assert cold.weights is None
    one, same, other = (cold.build_backbone(seed).state_dict() for seed in (1, 1, 2))
    assert all(one[name].equal(same[name]) for name in one)
    assert not all(one[name].equal(other[name]) for name in one)


def test_the_same_scenario_gives_the_same_clients(cold):
    assert same_clients(cold, load_and_build("digits", COLD))
    changed = ["protocol.rounds=3", "protocol.sampled_clients=2", "backbone.depth=2"]
    assert same_clients(cold, load_and_build("digits", [*COLD, *changed]))


def test_another_data_seed_gives_other_clients(cold):
    assert not same_clients(cold, load_and_build("digits", [*COLD, "data_seed=1"]))


def test_without_test_the_federation_holds_no_test_indices(cold):
    blind = cold.without_test()
    assert all(client.test is None for client in blind.clients)
    assert all(client.test is not None for client in cold.clients)
    assert [c.train for c in blind.clients] == [c.train for c in cold.clients]
    assert ",test," not in blind.partition_csv()
    assert ",test," in cold.partition_csv()


def test_a_scenario_can_come_from_a_file_and_be_overridden(write):
    path = write()
    original = load_scenario(str(path))
    assert original.name == "mine"
    assert original.protocol.rounds != 3
    changed = load_scenario(str(path), ["protocol.rounds=3", "title=Mine", "split.val=0.1"])
    assert (changed.protocol.rounds, changed.title, changed.split.val) == (3, "Mine", 0.1)
    assert load_scenario(str(path)) == original, "an override lasts for one reading"


def test_equal_shares_are_a_scenario_too(write):
    path = write(
        "kind: dirichlet, clients: 10, alpha: 0.3, min_samples: 40", "kind: iid, clients: 5"
    )
    federation = load_and_build(path, COLD)
    sizes = [sum(map(len, parts)) for parts in indices_of(federation)]
    assert sorted(sizes) == [359, 359, 359, 360, 360], "1797 images over 5 clients"


def test_an_unknown_scenario_lists_the_choices():
    message = refusal("digit")
    assert "'digit'" in message
    assert "did you mean 'digits'" in message


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("speed=3", ["'speed'"]),
        ("protocol.round=3", ["'protocol.round'"]),
        ("partition.beta=1", ["beta"]),
        ("protocol.rounds=many", ["protocol.rounds='many'", "integer"]),
        ("protocol.rounds=2.5", ["protocol.rounds=2.5", "integer"]),
        ("protocol.rounds=0", ["protocol.rounds=0", "greater than or equal to 1"]),
        ("protocol.rounds=", ["protocol.rounds=None", "integer"]),
        ("data_seed=-1", ["data_seed=-1", "greater than or equal to 0"]),
        ("partition.alpha=0", ["alpha=0", "greater than 0"]),
        ("partition.alpha=.inf", ["alpha=inf", "finite"]),
        ("partition.alpha=.nan", ["alpha=nan"]),
        ("partition.kind=pathological", ["'pathological'", "iid", "dirichlet"]),
        ("partition=iid", ["partition='iid'"]),
        ("split.val=1.5", ["split.val=1.5", "less than 1"]),
        ("split.val=0.75", ["val=0.75", "test=0.25", "nothing to train on"]),
        ("protocol.sampled_clients=11", ["sampled_clients=11", "1 to 10"]),
        ("warm_start.lr=.inf", ["warm_start.lr=inf", "finite"]),
        ("protocol=null", ["protocol"]),
        ("protocol.rounds", ["'protocol.rounds'", "protocol.rounds=20"]),
        ("protocol.rounds:3", ["'protocol.rounds:3'", "protocol.rounds=20"]),
        ("=3", ["'=3'", "protocol.rounds=20"]),
        ("", ["protocol.rounds=20"]),
        ("title.words=3", ["'title.words=3'", "'title'"]),
        ("protocol.rounds=[3", ["'protocol.rounds=[3'", "YAML"]),
        ("title=!!python/object/apply:os.getcwd []", ["title", "YAML"]),
    ],
)
def test_a_wrong_setting_is_refused_by_name_before_anything_is_built(override, words):
    message = refusal("digits", override)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("override", "keys"),
    [
        ("speed=3", ["protocol", "data_seed"]),
        ("protocol.round=3", ["rounds", "local_epochs"]),
        ("partition.beta=1", ["alpha", "min_samples"]),
        ("backbone.size=8", ["image_size", "depth"]),
    ],
)
def test_an_unknown_key_names_the_keys_that_there_are(override, keys):
    message = refusal("digits", override)
    for key in keys:
        assert key in message


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.name=digit", ["'digit'", "did you mean 'digits'"]),
        ("backbone.model=vit_tiny_patch16_244", ["'vit_tiny_patch16_244'", "vit_tiny_patch16_224"]),
        ("backbone.model=resnet18", ["'resnet18'", "such as: vit_"]),
        ("backbone.width=66", ["66", "heads"]),
    ],
)
def test_what_only_building_can_know_is_refused_by_name_as_well(override, words):
    message = refusal("digits", *QUICK, override, act=load_and_build)
    for word in words:
        assert word in message


@pytest.mark.thorough
def test_more_clients_than_there_are_samples_for_are_refused():
    """1438 images cannot give 40 clients 40 each, whatever is drawn: 40·40 = 1600."""
    message = refusal("digits", "partition.clients=40", act=load_and_build)
    for word in ("40 clients", "40 of 1438 samples"):
        assert word in message


def test_several_mistakes_are_named_together():
    message = refusal("digits", "protocol.rounds=0", "split.val=2")
    assert "protocol.rounds=0" in message
    assert "split.val=2" in message


def test_a_missing_section_is_named(write):
    assert "'data'" in refusal(write("data: {name: digits}", ""))


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "digits", "3"])
def test_a_file_without_a_mapping_is_refused(tmp_path, content):
    path = tmp_path / "list.yaml"
    path.write_text(content)
    message = refusal(path)
    assert str(path) in message
    assert "mapping" in message


@pytest.mark.parametrize(
    "content", [b"data: [1,\nb: {", b"\tdata: 1", b"title: \xff\xfe", b"a: \x00"]
)
def test_a_file_that_is_no_yaml_is_refused(tmp_path, content):
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    message = refusal(path)
    assert str(path) in message
    assert "not valid YAML" in message


def test_a_missing_file_is_named(tmp_path):
    assert str(tmp_path / "gone.yaml") in refusal(tmp_path / "gone.yaml")


def test_a_folder_is_no_scenario(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    assert "folder.yaml" in refusal(tmp_path / "folder.yaml")


def test_a_scenario_cannot_run_code(write, tmp_path):
    """PyYAML's full loader would call os.mkdir here."""
    target = tmp_path / "made"
    path = write("title: ", f"about_x: !!python/object/apply:os.mkdir [{target}]\ntitle: ")
    message = refusal(path)
    assert "not valid YAML" in message
    assert not target.exists()


@pytest.mark.parametrize("name", sorted(scenario_files()))
def test_every_shipped_scenario_is_valid_and_prints_what_the_paper_says_of_methods_we_have(name):
    scenario = load_scenario(name)
    assert scenario.published.keys() <= available_methods().keys()
    assert scenario.data.name in available_datasets()
    assert name == "digits" or scenario.about


FEDPERFIX = {  # PAPERS: clients, sampled per round, alpha, share of test
    "fedperfix-cifar100": (64, 8, 0.1, 0.25),
    "fedperfix-organamnist": (64, 8, 0.5, 0.25),
    "fedperfix-officehome": (16, 4, 1.0, 0.15),
}


@pytest.mark.parametrize("name", FEDPERFIX)
def test_fedperfixs_scenarios_follow_its_protocol(name):
    scenario = load_scenario(name)
    partition, protocol = scenario.partition, scenario.protocol
    found = (partition.clients, protocol.sampled_clients, partition.alpha, scenario.split.test)
    assert found == FEDPERFIX[name]
    assert (protocol.rounds, protocol.local_epochs, protocol.batch_size) == (50, 10, 64)
    assert (scenario.backbone.model, scenario.backbone.image_size) == ("vit_small_patch16_224", 224)
    assert scenario.backbone.weights == "random"


@pytest.mark.parametrize("name", [n for n in scenario_files() if n.startswith("pfedpg")])
def test_pfedpgs_scenarios_follow_its_protocol(name):
    scenario = load_scenario(name)
    protocol = scenario.protocol
    assert protocol.sampled_clients == scenario.partition.clients, "every client in every round"
    assert (protocol.rounds, protocol.local_epochs, protocol.batch_size) == (100, 5, 64)
    assert scenario.backbone.model.startswith("vit_base_patch16_224")
    assert scenario.backbone.weights == "pretrained"
