"""Public data sets with clients of their own, in small files of their layouts made on the spot."""

import json

import numpy as np
import pytest
from datafiles import entries, load, pixels, refusal, save_image

from pfltune.data.femnist import CLASSES as CHARACTERS
from pfltune.data.isic import CENTRES
from pfltune.data.isic import CLASSES as LESIONS
from pfltune.scenario import load_scenario

HEADER = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK,target,center,fold,fold2"


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PFLTUNE_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


def leaf(path, **users):
    """LEAF's JSON: ``users`` maps a name to bytes (samples, 28, 28) and labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {
        name: {"x": (x.reshape(-1, 784) / 255).tolist(), "y": list(y)}
        for name, (x, y) in users.items()
    }
    counts = [len(each["y"]) for each in data.values()]
    whole = {"users": list(data), "num_samples": counts, "user_data": data}
    path.write_text(json.dumps(whole))


def characters(*labels, seed=0):
    return pixels(len(labels), 28, 28, seed=seed), labels


def lesions(root, rows, images="ISIC_2019_Training_Input_preprocessed"):
    """FLamby's files: ``rows`` are (name, target, center, part)."""
    lines = [HEADER]
    for name, target, center, part in rows:
        one_hot = ",".join("1.0" if place == target else "0.0" for place in range(9))
        lines.append(f"{name},{one_hot},{target},{center},train,{part}_{center}")
        save_image(root / images / f"{name}.jpg", pixels(8, 9, 3, seed=len(lines)))
    (root / "train_test_split").write_text("\n".join(lines) + "\n")


class TestFemnist:
    def test_writers_are_clients_and_characters_classes(self, root):
        first, second = characters(0, 61, 10), characters(36, seed=1)
        place = root / "femnist"
        leaf(place / "all_data" / "all_data_10.json", f9=characters(5, seed=2))
        leaf(place / "all_data" / "all_data_9.json", f10=first, f2=second)
        data = load("femnist")
        assert data.images.shape == (5, 1, 28, 28)
        assert np.array_equal(data.images[:3, 0].numpy(), first[0])
        assert data.labels.tolist() == [0, 61, 10, 36, 5]
        assert [data.class_names[label] for label in (0, 10, 36, 61)] == ["0", "A", "a", "z"]
        assert data.client_names == ("f2", "f9", "f10")
        assert data.clients.tolist() == [2, 2, 2, 0, 1]
        assert data.splits is None

    def test_files_may_lie_in_the_folder_itself(self, root):
        leaf(root / "femnist" / "all_data_0.json", f1=characters(1))
        assert load("femnist").client_names == ("f1",)

    def test_train_and_test_are_given_splits(self, root):
        place = root / "femnist"
        leaf(place / "train" / "all_data_0_niid_0_keep_0_train_9.json", f1=characters(1, 2))
        leaf(place / "test" / "all_data_0_niid_0_keep_0_test_9.json", f1=characters(3, seed=1))
        leaf(place / "all_data" / "all_data_0.json", f7=characters(1))
        data = load("femnist")
        assert data.splits.tolist() == [0, 0, 2]
        assert data.clients.tolist() == [0, 0, 0]
        assert data.notes[0] == "train and test are read, all_data beside them is not"

    def test_chosen_classes_keep_the_writers_who_wrote_any(self, root):
        leaf(root / "femnist" / "all_data_0.json", f1=characters(3), f2=characters(1, 2))
        data = load("femnist", classes=("2", "1"))
        assert data.labels.tolist() == [1, 0]
        assert data.client_names == ("f2",)
        assert data.clients.tolist() == [0, 0]
        assert data.notes == ("1 client of 2 without samples, left out: f1",)

    def test_writers_who_wrote_nothing_are_counted(self, root):
        leaf(root / "femnist" / "all_data_0.json", f1=characters(3), f2=characters())
        data = load("femnist")
        assert data.client_names == ("f1",)
        assert "1 client of 2 without samples, left out: f2" in data.notes

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"users": ["f1", "f2"]}, "must have users, and x and y of each in user_data"),
            ({"user_data": 3}, "must have users, and x and y of each in user_data"),
            ({"user_data": {"f1": {"x": 5, "y": 5}}}, "must have users, and x and y of each"),
            ({"user_data": {"f1": {"x": [[0.5]], "y": [1]}}}, "f1 are not 784 numbers each"),
            ({"user_data": {"f1": {"x": [["a"] * 784], "y": [1]}}}, "f1 are not 784 numbers"),
            ({"user_data": {"f1": {"x": [[2] * 784], "y": [1]}}}, "f1 run from 2 to 2; LEAF's"),
            ({"user_data": {"f1": {"x": [[0] * 784], "y": []}}}, "f1 has 1 images and 0 labels"),
            ({"user_data": {"f1": {"x": [[0] * 784], "y": [62]}}}, "f1 has the label 62; it must"),
            ({"user_data": {"f1": {"x": [[0] * 784], "y": ["1"]}}}, "f1 has the label 1; it must"),
        ],
    )
    def test_files_of_another_layout_are_one_line(self, root, change, told):
        path = root / "femnist" / "all_data_0.json"
        leaf(path, f1=characters(1))
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        message = refusal("femnist")
        assert message.startswith(f"{path}")
        assert told in message
        assert entries(root) == []

    def test_what_is_no_json_or_too_large_is_named(self, root, monkeypatch):
        path = root / "femnist" / "all_data_0.json"
        leaf(path, f1=characters(1))
        path.write_text("{" + "[" * 5000)
        assert f"{path} is no JSON or is damaged" in refusal("femnist")
        monkeypatch.setattr("pfltune.data.femnist.MOST_BYTES", 100)
        assert "at most 100 are read at once" in refusal("femnist")

    def test_an_absent_or_empty_folder_says_what_is_put_there(self, root):
        message = refusal("femnist")
        assert f"'femnist' is not at {root}/femnist: put there, as LEAF's scripts" in message
        (root / "femnist").mkdir(parents=True)
        assert "has none of LEAF's files: all_data_0.json and so on" in refusal("femnist")
        assert "size=32 has no effect" in refusal("femnist", size=32)

    def test_its_scenario_has_the_writers_as_clients(self, root):
        users = {f"f{n}": characters(*range(20), seed=n) for n in range(12)}
        leaf(root / "femnist" / "all_data_0.json", **users)
        scenario = load_scenario("femnist", ["partition.min_samples=10"])
        assert len(scenario.clients(scenario.dataset())) == 12
        assert len(CHARACTERS) == 62


class TestFedIsic2019:
    ROWS = (("ISIC_0000001", 1, 0, "train"), ("ISIC_0000002_downsampled", 7, 4, "test"))

    def test_centres_are_clients_and_fold2_is_the_given_split(self, root):
        lesions(root / "fed_isic2019", self.ROWS)
        data = load("fed_isic2019", size=8)
        assert data.images.shape == (2, 3, 8, 8)
        assert data.class_names == LESIONS
        assert data.labels.tolist() == [1, 7]
        assert data.client_names == (CENTRES[0], CENTRES[4])
        assert data.clients.tolist() == [0, 1]
        assert any(note.startswith("4 clients of 6 without samples") for note in data.notes)
        assert data.splits.tolist() == [0, 2]
        assert "images of ISIC_2019_Training_Input_preprocessed" in data.notes

    def test_images_as_they_are_published_will_do(self, root):
        lesions(root / "fed_isic2019", self.ROWS, "ISIC_2019_Training_Input")
        assert "images of ISIC_2019_Training_Input" in load("fed_isic2019", size=8).notes

    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            (",1,0,train,", ",9,0,train,", "row 2: target is 9; it must be from 0 to 7"),
            (",7,4,train,", ",7,6,train,", "row 3: center is 6; it must be from 0 to 5"),
            ("train_0", "both", "row 2: fold2 is both; it must be as train_0"),
            ("ISIC_0000001,", "ISIC_9,", "row 2: there is no file "),
            (",fold2", ",fold3", "has no column 'fold2'"),
        ],
    )
    def test_a_table_of_another_layout_is_one_line(self, root, old, new, told):
        place = root / "fed_isic2019"
        lesions(place, self.ROWS)
        table = place / "train_test_split"
        table.write_text(table.read_text().replace(old, new))
        assert told in refusal("fed_isic2019", size=8)

    def test_what_is_missing_is_named(self, root):
        place = root / "fed_isic2019"
        assert "put there, as FLamby's scripts write them" in refusal("fed_isic2019")
        place.mkdir(parents=True)
        assert f"{place} has no train_test_split" in refusal("fed_isic2019")
        (place / "train_test_split").write_text(f"{HEADER}\n")
        assert f"{place} has no ISIC_2019_Training_Input_preprocessed" in refusal("fed_isic2019")

    def test_its_scenario_has_the_six_centres(self, root):
        rows = [
            (f"ISIC_{center}{number}", number % 8, center, "test" if number < 4 else "train")
            for center in range(6)
            for number in range(16)
        ]
        lesions(root / "fed_isic2019", rows)
        scenario = load_scenario("fed-isic2019", ["data.size=8"])
        clients = scenario.clients(scenario.dataset())
        assert len(clients) == 6
        assert all(len(client.test) == 4 for client in clients)
