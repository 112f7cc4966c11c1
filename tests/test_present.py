"""Names of clients, domains and classes that have no sample: dropped or kept, and told of."""

import numpy as np
import pytest
import torch
from datafiles import image_tree, load, pixels

from pfltune.data.dataset import Dataset
from pfltune.data.present import only_present

CLIENTS = "1 client of 3 without samples, left out: b"
DOMAINS = "1 domain of 2 without samples, left out: web"


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PFLTUNE_DATA", str(tmp_path / "root"))


def in_an_npz(folder):
    """Only client b and the domain web have a hat."""
    said = {"clients": list("abc"), "domains": ["art", "web", "art"]}
    labels = ["cup", "hat", "pen"]
    np.savez(folder / "own.npz", images=pixels(3, 4, 4), labels=labels, **said)
    return f"npz:{folder}/own.npz"


def in_a_table(folder):
    tree = image_tree(folder / "images", {"cup": 1, "hat": 1, "pen": 1}, size=4)
    rows = ["cup,a,art", "hat,b,web", "pen,c,art"]
    content = [f"{tree}/{row[:3]}/0.png,{row}" for row in rows]
    (folder / "list.csv").write_text("\n".join(["path,label,client,domain", *content]))
    return f"manifest:{folder}/list.csv"


def in_folders(folder):
    return f"clients:{image_tree(folder / 'c', {'a/cup': 1, 'b/hat': 1, 'c/pen': 1}, size=4)}"


def in_domains(folder):
    return f"domains:{image_tree(folder / 'd', {'art/cup': 1, 'art/pen': 1, 'web/hat': 1}, size=4)}"


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (in_an_npz, {CLIENTS, DOMAINS}),
        (in_a_table, {CLIENTS, DOMAINS}),
        (in_folders, {CLIENTS}),
        (in_domains, {DOMAINS}),
    ],
)
def test_who_has_nothing_of_the_chosen_classes_is_no_longer_there(made, told, tmp_path):
    name = made(tmp_path)
    for _ in ("decoded", "from the cache"):
        data = load(name, classes=("pen", "cup"))
        assert told == {note for note in data.notes if "without samples" in note}
        if data.clients is not None:
            assert data.client_names == ("a", "c")
            assert data.clients.tolist() == [0, 1]
        if data.domains is not None:
            assert data.domain_names == ("art",)
            assert data.domains.tolist() == [0, 0]
    whole = load(name)
    assert not any("without samples" in note for note in whole.notes)
    assert len(whole.client_names or "abc") == 3


def test_a_chosen_class_that_no_sample_is_of_stays_and_is_told(tmp_path):
    data = load(in_an_npz(tmp_path), classes=("hat", "cup"), domains=("art",))
    assert data.class_names == ("hat", "cup")
    assert "1 class of 2 without samples, still answers of the model: hat" in data.notes


def made(**more):
    images = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    return Dataset("own", images, torch.tensor([0, 1]), ("x", "y"), **more)


def test_samples_of_nobody_stay_nobodys():
    data = only_present(made(clients=torch.tensor([-1, 2]), client_names=("a", "b", "c")))
    assert data.clients.tolist() == [-1, 0]
    assert data.client_names == ("c",)
    assert data.notes == ("2 clients of 3 without samples, left out: a, b",)


def test_where_everybody_has_something_nothing_is_made_anew():
    data = made(clients=torch.tensor([1, 0]), client_names=("a", "b"))
    assert only_present(data) is data
