"""Data sets by the library ``datasets``: in folders that it saved or of Parquet, on its hub."""

import io

import datasets
import numpy as np
import pyarrow as pa
import pytest
from datafiles import entries, load, pixels, refusal, save_image
from PIL import Image
from pyarrow import parquet

from pfltune.data import hub_loading

SIZE = 6
NAMES = ["cup", "pen", "hat"]


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PFLTUNE_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


def features(**more):
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)}
    return datasets.Features({**kinds, **more})


def rows(count, seed=0, **more):
    images = [Image.fromarray(pixels(SIZE, SIZE, 3, seed=seed + n)) for n in range(count)]
    return {"image": images, "label": [n % 3 for n in range(count)], **more}


def made(count, seed=0, **more):
    """A data set of the library with some columns of words more."""
    kinds = {name: datasets.Value("string") for name in more}
    return datasets.Dataset.from_dict(rows(count, seed, **more), features=features(**kinds))


@pytest.fixture
def saved(tmp_path):
    """Train and test with writers, as ``save_to_disk`` writes them."""
    parts = {
        "train": made(4, writer=["w10", "w9", "w9", None]),
        "test": made(2, 50, writer=["w9", "w10"]),
    }
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


def read(name, **settings):
    return load(name, **{"size": SIZE, **settings})


class TestFolders:
    def test_saved_splits_are_given_and_classes_have_their_names(self, saved):
        data = read(f"hf:{saved}", columns={"client": "writer"})
        assert data.class_names == tuple(NAMES)
        assert data.labels.tolist() == [0, 1, 2, 0, 0, 1]
        assert data.splits.tolist() == [0, 0, 0, 0, 2, 2]
        assert data.client_names == ("w9", "w10")
        assert data.clients.tolist() == [1, 0, 0, -1, 0, 1]
        assert np.array_equal(data.images[4].permute(1, 2, 0), pixels(SIZE, SIZE, 3, seed=50))
        assert data.notes == (
            "column writer: 2 clients, 1 sample of none",
            "its splits are given, train 4, test 2",
        )

    def test_sizes_in_the_files_are_of_the_chosen_classes_alone(self, saved):
        data = read(f"hf:{saved}", size=SIZE + 1, classes=(NAMES[2],))
        assert data.widths.tolist() == data.heights.tolist() == [SIZE]

    def test_columns_that_are_not_read_are_said(self, saved):
        data = read(f"hf:{saved}")
        assert data.clients is None
        assert "columns that are not read: writer" in data.notes

    def test_a_test_whose_classes_are_kept_secret_is_passed_over(self, tmp_path):
        secret = {**rows(2, 50), "label": [-1, -1]}
        parts = {
            "train": made(3),
            "test": datasets.Dataset.from_dict(secret, features=features()),
        }
        datasets.DatasetDict(parts).save_to_disk(tmp_path / "secret")
        data = read(f"hf:{tmp_path}/secret")
        assert data.labels.tolist() == [0, 1, 2]
        assert data.splits is None
        assert data.notes == ("passed over, since no label is told: split test",)

    def test_one_saved_split_gives_nothing(self, tmp_path):
        made(3).save_to_disk(tmp_path / "one")
        assert read(f"hf:{tmp_path}/one").splits is None

    def test_parquet_files_are_read_with_their_features(self, tmp_path):
        folder = tmp_path / "parquet" / "data"
        folder.mkdir(parents=True)
        made(4, site=list("abab")).to_parquet(folder / "train-00000-of-00001.parquet")
        made(2, 50, site=list("ba")).to_parquet(folder / "validation-00000-of-00001.parquet")
        data = read(f"hf:{tmp_path}/parquet", columns={"domain": "site"}, domains=("b", "a"))
        assert data.class_names == tuple(NAMES)
        assert data.labels.tolist() == [0, 1, 2, 0, 0, 1]
        assert data.splits.tolist() == [0, 0, 0, 0, 1, 1]
        assert data.domains.tolist() == [1, 0, 1, 0, 0, 1]

    def test_parquet_of_others_holds_encoded_bytes_and_words(self, tmp_path):
        encoded = []
        for number in range(3):
            file = io.BytesIO()
            Image.fromarray(pixels(SIZE, SIZE, seed=number)).save(file, "png")
            encoded.append(file.getvalue())
        table = {"img": encoded, "y": ["10", "9", "b"], "fold": [1, 2, 3]}
        (tmp_path / "own").mkdir()
        parquet.write_table(pa.table(table), tmp_path / "own" / "all.parquet")
        data = read(f"hf:{tmp_path}/own", columns={"image": "img", "label": "y"})
        assert data.images.shape == (3, 1, SIZE, SIZE)
        assert data.class_names == ("9", "10", "b")
        assert data.labels.tolist() == [1, 0, 2]

    def test_a_folder_is_not_copied_into_the_cache_of_the_library(self, tmp_path, monkeypatch):
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        made(3).to_parquet(tmp_path / "own" / "all.parquet")
        read(f"hf:{tmp_path}/own")
        assert {path.suffix for path in (tmp_path / "cache").rglob("*")} <= {".lock"}

    def test_images_are_decoded_as_those_of_folders(self, tmp_path):
        gray = Image.fromarray(pixels(4, 8))
        content = {"image": [gray, *rows(2)["image"]], "label": [0, 1, 2]}
        datasets.Dataset.from_dict(content, features=features()).save_to_disk(tmp_path / "mixed")
        data = read(f"hf:{tmp_path}/mixed")
        assert data.images.shape == (3, 3, SIZE, SIZE)
        assert "1 of 3 images: gray, repeated in three colours" in data.notes
        assert "1 of 3 images: not square, drawn out to be" in data.notes

    def test_places_of_files_on_this_machine_are_read(self, tmp_path):
        path = save_image(tmp_path / "a.png", pixels(SIZE, SIZE, 3))
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        images = pa.array([{"bytes": None, "path": str(path)}], kind)
        (tmp_path / "places").mkdir()
        table = pa.table({"image": images, "label": [1]})
        parquet.write_table(table, tmp_path / "places" / "train.parquet")
        data = read(f"hf:{tmp_path}/places")
        assert np.array_equal(data.images[0].permute(1, 2, 0), pixels(SIZE, SIZE, 3))
        path.unlink()
        message = refusal(f"hf:{tmp_path}/places", size=SIZE)
        assert message.endswith("row 1 holds no image: neither its bytes nor the place of a file")

    def test_the_key_is_the_content(self, saved, root, tmp_path):
        read(f"hf:{saved}")
        saved.rename(tmp_path / "elsewhere")
        read(f"hf:{tmp_path}/elsewhere")
        assert len(entries(root)) == 1
        read(f"hf:{tmp_path}/elsewhere", columns={"client": "writer"})
        read(f"hf:{tmp_path}/elsewhere", classes=("pen", "cup"))
        assert len(entries(root)) == 3


class TestMistakes:
    def test_columns_that_are_not_there_are_told_with_the_choices(self, saved):
        message = refusal(f"hf:{saved}", columns={"label": "y"})
        assert "has no column 'y'; it has: image, label, writer" in message
        message = refusal(f"hf:{saved}", columns={"path": "x"})
        assert "data.columns.path=x has no effect here" in message

    def test_samples_without_a_class_are_named(self, tmp_path):
        content = {**rows(3), "label": [0, -1, 1]}
        datasets.Dataset.from_dict(content, features=features()).save_to_disk(tmp_path / "a")
        assert "label[1] is -1; it must be from 0 to" in refusal(f"hf:{tmp_path}/a", size=SIZE)
        content = {**rows(3), "label": [0, None, 1]}
        datasets.Dataset.from_dict(content, features=features()).save_to_disk(tmp_path / "b")
        assert "label[1] is missing" in refusal(f"hf:{tmp_path}/b", size=SIZE)

    def test_a_broken_image_is_named_by_its_row(self, tmp_path, root):
        content = {"image": [{"bytes": b"no image", "path": None}], "label": [0]}
        datasets.Dataset.from_dict(content, features=features()).save_to_disk(tmp_path / "a")
        message = refusal(f"hf:{tmp_path}/a", size=SIZE)
        assert message.startswith(f"hf:{tmp_path}/a, train, row 1 cannot be read as an image")
        assert entries(root) == []

    def test_folders_that_are_none_are_one_line(self, tmp_path):
        assert refusal(f"hf:{tmp_path}/none") == f"there is no folder {tmp_path}/none"
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad" / "train.parquet").write_bytes(b"no parquet")
        message = refusal(f"hf:{tmp_path}/bad")
        assert message.startswith(f"{tmp_path}/bad cannot be read by the library datasets: ")
        (tmp_path / "empty").mkdir()
        message = refusal(f"hf:{tmp_path}/empty")
        assert message.startswith(f"{tmp_path}/empty cannot be read by the library datasets: ")

    def test_without_the_library_the_line_says_how_to_get_it(self, monkeypatch):
        monkeypatch.setattr(hub_loading, "find_spec", lambda name: None)
        assert "not installed: pip install 'pfltune[hf]'" in refusal("hf:mnist")


class TestHub:
    @pytest.fixture
    def asked(self, monkeypatch):
        """What the library is asked for; it has a data set of two splits."""
        found = datasets.DatasetDict({"train": made(3), "extra": made(1, 50)})
        calls = []

        def load_dataset(*arguments, **options):
            calls.append((arguments, options))
            return found

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return calls

    def test_name_and_configuration_are_asked_for_without_code_of_others(self, asked):
        data = read("hf:somebody/things:small")
        assert asked == [(("somebody/things", "small"), {})]
        assert data.name == "hf:somebody/things:small"
        assert data.splits.tolist() == [0, 0, 0, 255]

    def test_what_the_hub_refuses_is_one_line_with_a_way_out(self, monkeypatch):
        def refuse(*_, **__):
            raise ConnectionError("Couldn't reach\nthe hub with Bearer abcdefghij")

        monkeypatch.setattr(datasets, "load_dataset", refuse)
        assert refusal("hf:somebody/things") == (
            "data set 'hf:somebody/things' cannot be had from the hub (Couldn't reach the hub with "
            "Bearer ***); without it, name a folder of its Parquet files: hf:/path/to/folder"
        )

    def test_without_a_network_the_library_says_so_in_one_line(self, monkeypatch, tmp_path):
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        message = refusal("hf:somebody/things")
        assert message.startswith("data set 'hf:somebody/things' cannot be had from the hub (")
