"""Data sets in .npz files, chosen classes and domains, and the cache that they are mapped from."""

import pickle
import subprocess
import sys
import time
import zipfile
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from datafiles import entries, image_tree, load, pixels, refusal

from pfltune.data import arrays, cache, npz
from pfltune.data.settings import Data
from pfltune.data.source import Chunk, Decoded
from pfltune.errors import UserError
from pfltune.settings import validated


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PFLTUNE_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


@pytest.fixture
def file(tmp_path):
    """``file(images=..., labels=...)`` writes an .npz and gives the name of the data set."""

    def write(compressed=False, **content):
        path = tmp_path / "own.npz"
        (np.savez_compressed if compressed else np.savez)(path, **content)
        return f"npz:{path}"

    return write


LABELS = np.array([0, 2, 1, 2, 0])


class TestArrays:
    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize(
        ("shape", "as_stored"),
        [
            ((5, 1, 4, 6), lambda x: x[:, 0]),
            ((5, 1, 4, 6), lambda x: x.transpose(0, 2, 3, 1)),
            ((5, 3, 4, 6), lambda x: x.transpose(0, 2, 3, 1)),
            ((5, 3, 4, 6), lambda x: x),
            ((5, 3, 4, 6), np.asfortranarray),
        ],
        ids=["NHW", "NHW1", "NHW3", "N3HW", "fortran"],
    )
    def test_images_of_every_layout_become_channels_first(
        self, file, shape, as_stored, compressed, monkeypatch
    ):
        monkeypatch.setattr("pfltune.data.source.CHUNK_BYTES", 100)
        images = pixels(*shape)
        data = load(file(compressed, images=as_stored(images), labels=LABELS))
        assert np.array_equal(data.images.numpy(), images)
        assert np.array_equal(data.labels.numpy(), LABELS)
        assert data.class_names == ("0", "1", "2")
        assert data.domains is None

    @pytest.mark.parametrize("kind", [bool, np.uint8, np.int32, np.float16, np.uint64])
    def test_labels_of_any_type_count_if_they_are_whole(self, file, kind):
        labels = np.array([[0], [1], [1]]).astype(kind)
        data = load(file(images=pixels(3, 4, 4), labels=labels))
        assert data.labels.tolist() == [0, 1, 1]

    def test_the_file_may_name_its_classes_and_have_domains(self, file):
        own = file(
            images=pixels(5, 4, 4),
            labels=LABELS,
            class_names=["cup", "pen", "hat", "none of these"],
            domains=["photo", "art", "art", "photo", "art"],
        )
        data = load(own)
        assert data.class_names == ("cup", "pen", "hat", "none of these")
        assert data.domain_names == ("art", "photo")
        assert data.domains.tolist() == [1, 0, 0, 1, 0]

    def test_numbered_domains_are_named_by_their_numbers(self, file):
        data = load(file(images=pixels(3, 4, 4), labels=[0, 0, 1], domains=[[7], [3], [7]]))
        assert data.domain_names == ("3", "7")
        assert data.domains.tolist() == [1, 0, 1]

    def test_medmnist_arrays_are_merged_in_the_order_of_their_splits(self, file):
        images = {
            split: pixels(n, 4, 4, 3, seed=n)
            for split, n in zip(("train", "val", "test"), (3, 1, 2), strict=True)
        }
        labels = {"train": [[0], [1], [2]], "val": [[1]], "test": [[0], [0]]}
        content = {f"{split}_images": images[split] for split in ("test", "val", "train")}
        data = load(file(**content, **{f"{s}_labels": np.uint8(v) for s, v in labels.items()}))
        merged = np.concatenate([images[split] for split in ("train", "val", "test")])
        assert np.array_equal(data.images.numpy(), merged.transpose(0, 3, 1, 2))
        assert data.labels.tolist() == [0, 1, 2, 1, 0, 0]
        assert data.splits.tolist() == [0, 0, 0, 1, 2, 2]
        assert "its samples have given splits, train 3, val 1, test 2" in notes(data)


def notes(data) -> str:
    return "; ".join(data.notes)


class TestClientsAndSplits:
    @pytest.mark.parametrize("called", npz.CLIENTS)
    def test_an_array_says_whose_each_sample_is(self, file, called):
        data = load(file(**GOOD, **{called: ["w10", "w9", "", "w9", "w10"]}))
        assert data.client_names == ("w9", "w10")
        assert data.clients.tolist() == [1, 0, -1, 0, 1]
        assert f"{called}: 2 clients, 1 sample of none" in notes(data)
        assert data.domains is None

    def test_clients_may_be_numbers_and_minus_one_is_nobody(self, file):
        data = load(file(**GOOD, Users=np.array([[40], [7], [7], [-1], [40]])))
        assert data.client_names == ("7", "40")
        assert data.clients.tolist() == [1, 0, 0, -1, 1]

    @pytest.mark.parametrize(
        "splits",
        [
            ["train", "Valid", "TEST", "validation", ""],
            [0, 1, 2, 1, -1],
            [b"0", b"1", b"2", b"1", b"255"],
        ],
        ids=["words", "numbers", "bytes"],
    )
    @pytest.mark.parametrize("called", ["splits", "split"])
    def test_splits_are_words_or_numbers(self, file, splits, called):
        data = load(file(**GOOD, **{called: splits}))
        assert data.splits.tolist() == [0, 1, 2, 1, 255]
        assert data.splits.dtype == torch.uint8
        assert "given splits, train 1, val 2, test 1, not given 1" in notes(data)

    def test_splits_that_say_nothing_are_none(self, file):
        assert load(file(**GOOD, splits=[""] * 5)).splits is None
        assert load(file(train_images=pixels(2, 4, 4), train_labels=[0, 1])).splits is None

    def test_arrays_of_each_part_have_their_clients_beside_them(self, file):
        arrays = {"x_train": pixels(3, 4, 4), "y_train": [0, 1, 2], "x_test": pixels(2, 4, 4)}
        arrays |= {"y_test": [2, 2], "users_train": [3, 3, 5], "users_test": [5, 9]}
        data = load(file(**arrays))
        assert data.client_names == ("3", "5", "9")
        assert data.clients.tolist() == [0, 0, 1, 1, 2]
        assert data.splits.tolist() == [0, 0, 0, 2, 2]
        assert "users_train, users_test: 3 clients" in notes(data)
        del arrays["users_test"]
        assert "has users_train, but no such array beside x_test" in refusal(file(**arrays))

    def test_choosing_classes_and_domains_keeps_them_beside_their_samples(self, file):
        said = {"clients": list("abcab"), "splits": [0, 1, 2, 0, 1], "domains": list("xyxyx")}
        data = load(file(**GOOD, **said), classes=("2", "0"), domains=("x",))
        assert data.labels.tolist() == [1, 1]
        assert data.clients.tolist() == [0, 1]
        assert data.splits.tolist() == [0, 1]
        assert data.client_names == ("a", "b")

    def test_they_come_back_from_the_cache_and_from_a_pickle(self, file, root):
        name = file(**GOOD, clients=list("abcab"), splits=[0, 1, 2, 0, 1])
        first = load(name)
        (entry,) = entries(root)
        stored = {path.name for path in (root / "cache" / entry).iterdir()}
        assert stored == {f"{part}.npy" for part in ("images", "labels", "clients", "splits")} | {
            "meta.json"
        }
        for again in (load(name), pickle.loads(pickle.dumps(first))):
            assert again.clients.equal(first.clients)
            assert again.splits.equal(first.splits)
            assert again.client_names == ("a", "b", "c")
            assert again.digest == first.digest

    @pytest.mark.parametrize("part", ["clients", "splits"])
    def test_an_entry_that_lost_them_is_decoded_again(self, file, root, part):
        name = file(**GOOD, clients=list("abcab"), splits=[0, 1, 2, 0, 1])
        load(name)
        (root / "cache" / entries(root)[0] / f"{part}.npy").unlink()
        assert getattr(load(name), part) is not None

    def test_a_source_whose_chunks_say_different_things_is_refused(self, root):
        class Uneven:
            def identity(self):
                return {}

            def notes(self):
                return ()

            def decode(self):
                labels = np.zeros(2, int)
                chunks = [Chunk(pixels(2, 1, 4, 4), labels, clients=labels)]
                chunks += [Chunk(pixels(2, 1, 4, 4), labels)]
                return Decoded(("a",), chunks, client_names=("x",))

        for read in (cache.cached, cache.in_memory):
            with pytest.raises(
                UserError, match="some of its samples have clients, and some have not"
            ):
                read("uneven", Uneven())
        assert entries(root) == []


class TestConversions:
    """What people really save is read without loss, and what was done is said."""

    @pytest.mark.parametrize(
        ("labels", "names", "numbers", "told"),
        [
            ([0, 40_000, 0], ("0", "40000"), [0, 1, 0], "2 different labels from 0 to 40000"),
            ([5, 1, 3], ("1", "3", "5"), [2, 0, 1], "became classes 0 to 2, and remain their"),
            (["10", "2", "a"], ("2", "10", "a"), [1, 0, 2], "labels are words"),
            (np.array([b"b", b"a", b"b"]), ("a", "b"), [1, 0, 1], "labels are words"),
            (np.eye(3)[[2, 0, 1]], ("0", "1", "2"), [2, 0, 1], "labels are one-hot rows"),
            (np.eye(3, dtype=bool)[[2, 0, 0]], ("0", "2"), [1, 0, 0], "2 different labels"),
            ([0, 1, 0], ("0", "1"), [0, 1, 0], ""),
        ],
        ids=["huge", "from 1", "words", "bytes", "one-hot", "empty column", "plain"],
    )
    def test_classes_are_the_labels_that_occur(self, file, labels, names, numbers, told):
        data = load(file(images=pixels(3, 4, 4), labels=labels))
        assert data.class_names == names
        assert data.labels.tolist() == numbers
        assert told in notes(data)
        assert bool(told) == bool(data.notes)

    def test_class_names_are_found_for_words_and_for_numbers_from_1(self, file):
        named = {"images": pixels(3, 4, 4), "class_names": ["cup", "pen", "hat"]}
        words = load(file(**named, labels=["hat", "cup", "hat"]))
        assert words.labels.tolist() == [2, 0, 2]
        assert words.notes == ("1 class of 3 without samples, still answers of the model: pen",)
        shifted = load(file(**named, labels=[1, 3, 2]))
        assert shifted.labels.tolist() == [0, 2, 1]
        assert shifted.notes == ("labels 1 to 3 became 0 to 2, one per class_name",)

    @pytest.mark.parametrize(
        ("as_saved", "told"),
        [
            (lambda x: x.astype(np.int64), "fit into 8 bits, kept as they are"),
            (lambda x: x.astype(">u2"), "fit into 8 bits, kept as they are"),
            (lambda x: x.astype(np.float32), "whole numbers from 0 to 255, kept"),
            (lambda x: (x / 255).astype(np.float32), "0 to 1 scaled to 0 to 255"),
            (lambda x: (x / 255).astype(np.float16), "0 to 1 scaled to 0 to 255"),
            (lambda x: x.astype(np.uint16) * 16, "0 to 4080, the range of this data set"),
        ],
        ids=["int64", "uint16 of 8 bits", "whole floats", "float32", "float16", "12 bits"],
    )
    def test_pixels_of_other_types_become_the_same_bytes(self, file, as_saved, told, monkeypatch):
        monkeypatch.setattr("pfltune.data.source.CHUNK_BYTES", 100)
        images = pixels(5, 4, 4)
        images[0, 0, :2] = 0, 255
        data = load(file(images=as_saved(images), labels=LABELS))
        assert np.array_equal(data.images[:, 0].numpy(), images)
        assert told in notes(data)

    def test_yes_and_no_become_white_and_black(self, file):
        images = pixels(5, 4, 4) > 127
        data = load(file(images=images, labels=LABELS))
        assert np.array_equal(data.images[:, 0].numpy(), images * np.uint8(255))

    @pytest.mark.parametrize("names", [("x_train", "y_train"), ("X_train", "y_train")])
    def test_arrays_may_have_keras_names(self, file, names):
        train, test = pixels(3, 4, 4), pixels(2, 4, 4, seed=1)
        arrays = {names[0]: train, names[1]: [0, 1, 2], "x_test": test, "y_test": [2, 2]}
        data = load(file(**arrays))
        assert np.array_equal(data.images[:, 0].numpy(), np.concatenate([train, test]))
        assert data.labels.tolist() == [0, 1, 2, 2, 2]
        assert f"{names[0]}, x_test are merged" in notes(data)

    def test_what_is_not_read_is_said(self, file):
        data = load(file(**GOOD, hospital=LABELS))
        assert "arrays that are not read: hospital" in notes(data)

    def test_channels_at_both_ends_are_read_as_is_asked(self, file):
        images = pixels(5, 3, 8, 3)
        name = file(images=images, labels=LABELS)
        first, last = (load(name, channels=where).images.numpy() for where in ("first", "last"))
        assert np.array_equal(first, images)
        assert np.array_equal(last, images.transpose(0, 3, 1, 2))
        assert "channels=first" in refusal(
            file(**{**GOOD, "images": pixels(5, 8, 8, 3)}), channels="first"
        )
        assert "channels=last has no effect on data set 'digits'" in refusal(
            "digits", channels="last"
        )

    def test_numbers_in_names_count_as_numbers(self, file):
        domains = ["site10", "site9", "site10", "site9", "site1"]
        assert load(file(**GOOD, domains=domains)).domain_names == ("site1", "site9", "site10")


GOOD = {"images": pixels(5, 4, 4), "labels": LABELS}
BAD_ARRAYS = {
    "no images": ({"images": None, "z": [1]}, "no array 'images'; it holds: labels, z"),
    "no labels": ({"labels": None}, "no array 'labels'; it holds: images"),
    "no labels of a split": (
        {"images": None, "labels": None, "train_images": GOOD["images"]},
        "no array 'train_labels'; it holds: train_images",
    ),
    "two sets of images": ({"val_images": GOOD["images"]}, "both images and val_images"),
    "float images": (
        {"images": GOOD["images"] / 127.5 - 1},
        "they must be from 0 to 1, or whole numbers from 0 to 255",
    ),
    "NaN images": ({"images": np.full((5, 4, 4), np.nan)}, "images are float64 from nan to nan"),
    "wide images": ({"images": GOOD["images"] * np.int64(300)}, "images: pixels run from"),
    "images of words": (
        {"images": np.full((5, 4, 4), "a")},
        "images are <U1; they must be numbers",
    ),
    "channels at both ends": (
        {"images": pixels(5, 3, 8, 3)},
        "channels may be first or last; say which with data.channels=first or data.channels=last",
    ),
    "flat images": ({"images": pixels(5, 16)}, "of shape (5, 16); they must be (samples,"),
    "four channels": ({"images": pixels(5, 4, 4, 4)}, "with 1 or 3 channels"),
    "images of no pixels": ({"images": pixels(5, 0, 4)}, "of shape (5, 0, 4)"),
    "no samples": ({"images": pixels(0, 4, 4), "labels": []}, "has no samples"),
    "few labels": ({"labels": LABELS[:4]}, "5 images but 4 labels"),
    "labels of several classes": (
        {"labels": np.eye(5) + np.eye(5)[1]},
        "labels[0] is not one-hot; methods here learn one label per image",
    ),
    "labels of three axes": (
        {"labels": np.zeros((5, 1, 1))},
        "5 images but labels of shape (5, 1, 1)",
    ),
    "NaN labels": ({"labels": [0, 1, np.nan, 0, 0]}, "labels[2] is nan; it must be a whole number"),
    "infinite labels": ({"labels": [0, 1, 0, np.inf, 0]}, "labels[3] is inf"),
    "broken labels": ({"labels": [0, 1.5, 0, 0, 0]}, "labels[1] is 1.5; it must be a whole number"),
    "negative labels": ({"labels": [0, 1, 0, 0, -1]}, "labels[4] is -1; it must be from 0 to"),
    "huge labels": ({"labels": [0, 2**63, 0, 0, 0]}, "labels[1] is 9.22"),
    "labels without names": (
        {"class_names": ["cup", "pen"]},
        "labels[1] is 2; it must be from 0 to 1, since there are 2 class_names",
    ),
    "words that are no names": (
        {"labels": list("abcab"), "class_names": ["a", "b"]},
        "labels[2] is 'c', none of the class_names",
    ),
    "labels of dates": (
        {"labels": LABELS.astype("datetime64[D]")},
        "labels are datetime64[D]; they must be whole numbers or words",
    ),
    "object labels": ({"labels": LABELS.astype(object)}, "labels holds Python objects"),
    "object images": ({"images": GOOD["images"].astype(object)}, "images holds Python objects"),
    "names twice": ({"class_names": ["cup", "pen", "cup"]}, "class_names has 'cup' twice"),
    "names of no class": ({"class_names": [[0.5]]}, "class_names is float64 of shape (1, 1)"),
    "few domains": ({"domains": [0, 1]}, "5 images but 2 domains"),
    "float domains": ({"domains": [0.5] * 5}, "domains are float64"),
    "few clients": ({"clients": [0, 1]}, "5 images but 2 clients"),
    "float clients": ({"users": [0.5] * 5}, "users are float64; they must be whole numbers"),
    "two arrays of clients": (
        {"clients": LABELS, "writers": LABELS},
        "holds both clients and writers; which are meant is not clear",
    ),
    "a split that is none": ({"splits": list("aabaa")}, "splits[0] is 'a'; possible: train, val"),
    "a number that is no split": ({"split": [0, 1, 3, 0, 0]}, "split[2] is '3'"),
    "object clients": ({"clients": LABELS.astype(object)}, "clients holds Python objects"),
    "splits twice": (
        {
            "images": None,
            "labels": None,
            **{f"{s}_images": pixels(1, 4, 4) for s in ("train", "test")},
            **{f"{s}_labels": [0] for s in ("train", "test")},
            "splits": [0, 2],
        },
        "holds both splits and train_images",
    ),
    "splits of two sizes": (
        {
            "images": None,
            **{f"{s}_images": pixels(1, n, n) for s, n in (("train", 4), ("test", 5))},
            **{f"{s}_labels": [0] for s in ("train", "test")},
        },
        "train_images are of shape (4, 4) each, test_images (5, 5)",
    ),
}


class TestBadFiles:
    @pytest.mark.parametrize(("change", "told"), BAD_ARRAYS.values(), ids=BAD_ARRAYS.keys())
    def test_bad_arrays_are_refused_in_one_line(self, file, root, change, told):
        name = file(**{key: v for key, v in {**GOOD, **change}.items() if v is not None})
        message = refusal(name)
        assert told in message
        assert name.removeprefix("npz:") in message
        assert list((root / "cache").glob("*")) == [], "not even a lock"

    def test_a_missing_file_is_named_by_its_absolute_path(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert refusal("npz:sub/none.npz") == f"there is no file {tmp_path}/sub/none.npz"
        assert refusal("folder:none") == f"there is no folder {tmp_path}/none"
        assert refusal("domains:none") == f"there is no folder {tmp_path}/none"

    @pytest.mark.parametrize("kind", ["npz", "folder", "domains", "clients"])
    def test_a_home_that_is_not_there_is_one_line(self, kind, monkeypatch):
        assert "there is no home ~nobody77" in refusal(f"{kind}:~nobody77/x")
        assert "name too long" in refusal(f"{kind}:{'x' * 300}")
        monkeypatch.setenv("PFLTUNE_DATA", "~nobody77/data")
        assert "there is no home ~nobody77" in refusal("pacs")

    def test_a_folder_is_no_npz(self, tmp_path):
        assert refusal(f"npz:{tmp_path}") == f"cannot read {tmp_path}: Is a directory"

    @pytest.mark.parametrize("content", [b"", b"no archive", b"\x93NUMPY\x01\x00v\x00"])
    def test_what_is_no_npz_is_refused(self, tmp_path, content):
        path = tmp_path / "a.npz"
        path.write_bytes(content)
        assert f"{path} is no npz file, is damaged or was cut short" in refusal(f"npz:{path}")

    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
    def test_a_truncated_file_is_refused_and_leaves_nothing(self, file, root, kept, compressed):
        name = file(compressed, images=pixels(50, 8, 8), labels=[0] * 50)
        path = Path(name.removeprefix("npz:"))
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
        assert f"{path} is no npz file, is damaged or was cut short" in refusal(name)
        assert entries(root) == []

    def test_a_flipped_byte_among_the_pixels_is_found(self, file, root):
        name = file(images=pixels(50, 8, 8), labels=[0] * 50)
        path = Path(name.removeprefix("npz:"))
        content = bytearray(path.read_bytes())
        content[1000] ^= 1
        path.write_bytes(content)
        assert "(in images): Bad CRC-32" in refusal(name)
        assert entries(root) == []

    def test_a_header_that_promises_more_than_there_is_costs_no_memory(self, tmp_path):
        path = tmp_path / "a.npz"
        head = "{'descr': '|u1', 'fortran_order': False, 'shape': (9999999999999, 8, 8)}"
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("images", "labels"):
                text = head.ljust(117) + "\n"
                archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00v\x00" + text.encode())
        assert "128 bytes do not fit shape (9999999999999, 8, 8)" in refusal(f"npz:{path}")


class TestNames:
    def test_digits_are_built_in(self, root):
        data = load("digits")
        assert data.images.shape == (1797, 1, 8, 8)
        assert not root.exists()

    def test_a_misspelt_name_is_answered_by_the_nearest(self):
        message = refusal("cifar1000")
        assert "did you mean 'cifar100'?" in message
        assert "organamnist, " in message
        assert "npz:PATH" in message
        assert "chestmnist" not in message

    @pytest.mark.parametrize("kind", ["npz", "folder", "domains", "clients"])
    def test_files_need_a_path(self, kind):
        assert refusal(f"{kind}:") == f"data set '{kind}:' needs a path, as in {kind}:PATH"

    def test_a_size_that_nothing_reads_is_refused(self, file):
        assert "size=32 has no effect on data set 'cifar10'" in refusal("cifar10", size=32)
        assert "size=8 has no effect on data set 'digits'" in refusal("digits", size=8)
        assert "size=8 has no effect on data set 'npz:" in refusal(file(**GOOD), size=8)

    def test_the_section_of_a_scenario_is_checked(self):
        for raw, told in (
            ({"name": "digits", "classes": ["1", "2", "1"]}, "'1' is named twice"),
            ({"name": "digits", "size": 0}, "size=0"),
            ({"name": "digits", "domains": []}, "domains"),
            ({"name": "digits", "class": ["1"]}, "class"),
            ({"name": ""}, "name=''"),
        ):
            with pytest.raises(UserError, match=told):
                validated(Data, raw, "data")

    def test_classes_that_are_numbers_in_yaml_are_names(self):
        assert Data.model_validate({"name": "digits", "classes": [3, 1]}).classes == ("3", "1")


class TestSelection:
    @pytest.fixture
    def own(self, file):
        return file(
            images=pixels(6, 4, 4),
            labels=[0, 1, 2, 0, 1, 2],
            class_names=["cup", "pen", "hat"],
            domains=["art", "art", "photo", "photo", "web", "web"],
        )

    def test_classes_are_chosen_in_the_order_that_is_asked_for(self, own):
        data = load(own, classes=("hat", "cup"))
        assert data.class_names == ("hat", "cup")
        assert data.labels.tolist() == [1, 0, 1, 0]
        assert np.array_equal(data.images[:, 0].numpy(), pixels(6, 4, 4)[[0, 2, 3, 5]])
        assert data.domains.tolist() == [0, 1, 1, 2]

    def test_domains_are_chosen_in_the_order_that_is_asked_for(self, own):
        data = load(own, domains=("web", "art"))
        assert data.domain_names == ("web", "art")
        assert data.domains.tolist() == [1, 1, 0, 0]
        assert data.labels.tolist() == [0, 1, 1, 2]

    def test_built_in_data_can_be_chosen_from_too(self):
        whole, data = load("digits"), load("digits", classes=("7", "1"))
        of_seven = data.labels == 0
        assert torch.equal(data.images[of_seven], whole.images[whole.labels == 7])
        assert int((~of_seven).sum()) == int((whole.labels == 1).sum())

    def test_mistakes_name_the_choices(self, own):
        assert "unknown class 'hut' (did you mean 'hat'?); choose from: cup, hat, pen" in refusal(
            own, classes=("hut",)
        )
        assert "unknown domain 'x'; choose from: art, photo, web" in refusal(own, domains=("x",))
        assert "has no domains" in refusal("digits", domains=("x",))
        assert "has no samples" in refusal(own, classes=("hat",), domains=("art",))


class TestCache:
    @pytest.fixture
    def decodings(self, monkeypatch):
        """How often sources were decoded, and with which name."""
        names = []
        write = cache._write

        def counted(name, *rest):
            names.append(name)
            write(name, *rest)

        monkeypatch.setattr(cache, "_write", counted)
        return names

    def test_the_second_load_reads_the_cache(self, file, root, decodings, monkeypatch):
        name = file(**GOOD, domains=LABELS)
        first = load(name)

        def must_not(*_):
            raise AssertionError("decoded again")

        monkeypatch.setattr(npz, "decode_npz", must_not)
        second = load(name)
        assert decodings == [name]
        assert len(entries(root)) == 1
        for part in ("images", "labels", "domains"):
            assert torch.equal(getattr(first, part), getattr(second, part))
        assert second.class_names == first.class_names
        assert second.domain_names == first.domain_names

    def test_an_entry_is_plain_arrays_and_a_little_json(self, file, root):
        load(file(**GOOD))
        (entry,) = entries(root)
        assert entry.startswith("npz-")
        folder = root / "cache" / entry
        assert {p.name for p in folder.iterdir()} == {"images.npy", "labels.npy", "meta.json"}
        assert np.array_equal(np.load(folder / "images.npy"), GOOD["images"][:, None])

    def test_content_makes_the_key_and_the_place_does_not(self, file, root, tmp_path, decodings):
        load(file(**GOOD))
        (tmp_path / "own.npz").rename(tmp_path / "elsewhere.npz")
        load(f"npz:{tmp_path}/elsewhere.npz")
        assert len(decodings) == 1
        changed = GOOD["images"].copy()
        changed[0, 0, 0] ^= 1
        load(file(images=changed, labels=LABELS))
        load(f"npz:{tmp_path}/elsewhere.npz", classes=("1",))
        assert len(decodings) == len(entries(root)) == 3

    def test_images_are_the_file_itself(self, file, root):
        images = load(file(**GOOD)).images
        assert images[0, 0, 0, 0] == GOOD["images"][0, 0, 0]
        stored = np.load(root / "cache" / entries(root)[0] / "images.npy", mmap_mode="r+")
        stored[0, 0, 0, 0] ^= 1
        assert images[0, 0, 0, 0] == GOOD["images"][0, 0, 0] ^ 1

    @pytest.mark.parametrize("part", ["images.npy", "labels.npy", "meta.json"])
    @pytest.mark.parametrize("damage", ["missing", "cut", "empty"])
    def test_a_damaged_entry_is_decoded_again(self, file, root, decodings, part, damage):
        name = file(**GOOD)
        load(name)
        path = root / "cache" / entries(root)[0] / part
        if damage == "missing":
            path.unlink()
        else:
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
        assert np.array_equal(load(name).images[:, 0].numpy(), GOOD["images"])
        assert len(decodings) == 2
        assert len(entries(root)) == 1

    def test_what_a_killed_process_left_is_cleared_away(self, file, root):
        name = file(**GOOD)
        load(name)
        (entry,) = entries(root)
        (root / "cache" / entry).rename(root / "cache" / f".{entry}.part")
        assert len(load(name).labels) == 5
        assert entries(root) == [entry]

    def test_notes_are_kept_with_the_samples(self, file, decodings):
        name = file(**{**GOOD, "labels": LABELS + 1}, hospital=LABELS)
        first = load(name)
        assert load(name).notes == first.notes != ()
        assert len(decodings) == 1

    @pytest.mark.parametrize("place", ["{}", ".{}.part"])
    def test_what_is_not_of_an_entry_is_never_removed(self, file, root, place):
        name = file(**GOOD)
        load(name)
        (entry,) = entries(root)
        cache_folder = root / "cache"
        (cache_folder / entry / "meta.json").unlink()
        strange = cache_folder / place.format(entry)
        strange.mkdir(exist_ok=True)
        (strange / "thesis.tex").write_text("mine")
        assert "thesis.tex; move it away" in refusal(name)
        assert (strange / "thesis.tex").read_text() == "mine"
        (strange / "thesis.tex").unlink()
        assert len(load(name).labels) == 5

    @pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("/nowhere")])
    def test_what_is_no_folder_in_the_place_of_an_entry_stays(self, file, root, make):
        name = file(**GOOD)
        load(name)
        (entry,) = entries(root)
        place = root / "cache" / entry
        place.rename(root / "elsewhere")
        make(place)
        assert "is no folder of them; move it away" in refusal(name)
        assert place.is_symlink() or place.is_file()

    def test_a_source_that_breaks_off_leaves_nothing(self, root):
        class Broken:
            def identity(self):
                return {}

            def notes(self):
                return ()

            def decode(self):
                return Decoded(("a",), self.chunks())

            def chunks(self):
                yield Chunk(pixels(2, 1, 4, 4), np.zeros(2, int))
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            cache.cached("broken", Broken())
        assert entries(root) == []

    def test_a_full_or_locked_disk_is_told_in_one_line(self, file, root, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(arrays.os, "fsync", full)
        message = refusal(file(**GOOD))
        assert message.startswith(f"cannot write in {root}/cache: No space left on device; ")
        assert "PFLTUNE_DATA" in message
        assert entries(root) == []

    def test_a_root_that_cannot_be_made_is_told_in_one_line(self, file, tmp_path, monkeypatch):
        (tmp_path / "taken").write_text("")
        monkeypatch.setenv("PFLTUNE_DATA", str(tmp_path / "taken"))
        assert f"cannot write in {tmp_path}/taken/cache: Not a directory" in refusal(file(**GOOD))


MEMORY = """
import sys
from pathlib import Path
import PIL.Image, torch
from pfltune.data.catalog import load_dataset
from pfltune.data.settings import Data

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))

PIL.Image.init()
for name, size in zip(sys.argv[1::2], sys.argv[2::2]):
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of what was before
    before = peak()
    images = load_dataset(Data(name=name, size=int(size) or None), 256).images.numpy()
    loaded = peak() - before
    images.max()  # now every page of the map has been read
    print(images.nbytes, loaded / images.nbytes, (peak() - before) / images.nbytes)
    del images
"""


def test_two_processes_at_once_decode_once(file, root, tmp_path, monkeypatch):
    name = file(**GOOD)
    processes = get_context("fork")
    together, decodings = processes.Barrier(2), processes.Value("i")
    write = cache._write

    def slowly(*args):
        decodings.value += 1
        time.sleep(0.3)
        write(*args)

    def child():
        together.wait()
        assert np.array_equal(load(name).images[:, 0].numpy(), GOOD["images"])

    monkeypatch.setattr(cache, "_write", slowly)
    children = [processes.Process(target=child) for _ in range(2)]
    for process in children:
        process.start()
    for process in children:
        process.join(300)
        assert process.exitcode == 0
    assert decodings.value == 1
    assert len(entries(root)) == 1


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's /proc")
def test_loading_takes_at_most_1_3_times_the_memory_of_the_images(file, tmp_path):
    tile = pixels(14, 32, 32, 3)
    own = file(True, images=np.tile(tile, (1000, 1, 1, 1)), labels=np.zeros(14_000))
    tree = image_tree(tmp_path / "tree", {"cup": 100, "pen": 120}, size=64)
    command = [sys.executable, "-c", MEMORY, own, "0", f"folder:{tree}", "256"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for line in result.stdout.splitlines():
        size, loaded, touched = map(float, line.split())
        assert size > 40e6
        assert max(loaded, touched) < 1.3
