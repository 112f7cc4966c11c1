"""``pfltune data``: what it counts, what it says, and the picture."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from datafiles import image_tree, pixels, save_image
from matplotlib import image as picture

from pfltune.data.copies import find_copies
from pfltune.data.dataset import Dataset
from pfltune.data.original_sizes import OriginalSizes, Size
from pfltune.data.survey import survey
from pfltune.errors import UserError
from pfltune.looking import dataset_of, short_name_of
from pfltune.report.contact_sheet import CLASSES, IMAGES, contact_sheet, sheet, spread


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PFLTUNE_DATA", str(tmp_path / "root"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "root"


def whole(kinds, labels=None, *, clients=None, splits=None, names=None):
    """A data set whose images are equal where ``kinds`` are."""
    kinds = torch.tensor(kinds)
    images = kinds.to(torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 2, 3)
    images[:, :, 0, 0] = 255
    labels = torch.zeros(len(kinds), dtype=torch.int64) if labels is None else torch.tensor(labels)
    return Dataset(
        "made",
        images,
        labels,
        names or tuple(map(str, range(int(labels.max()) + 1))),
        clients=None if clients is None else torch.tensor(clients),
        client_names=() if clients is None else tuple(map(str, range(max(clients) + 1))),
        splits=None if splits is None else torch.tensor(splits, dtype=torch.uint8),
    )


class TestCopies:
    def test_images_that_occur_once_are_no_copies(self):
        copies = find_copies(whole([1, 2, 3], splits=[0, 1, 2], clients=[0, 1, 1]))
        assert (copies.images, copies.different, copies.contradictory, copies.shared) == (0,) * 4
        assert copies.leaked == {}

    def test_each_image_of_a_kind_counts(self):
        copies = find_copies(whole([1, 2, 1, 3, 2, 1]))
        assert (copies.images, copies.different) == (5, 2)

    def test_copies_in_other_classes_and_at_other_clients_are_counted(self):
        kinds = [1, 1, 2, 2, 3, 3]
        data = whole(kinds, [0, 1, 0, 0, 1, 1], clients=[0, 0, 0, 1, 1, -1])
        copies = find_copies(data)
        assert copies.contradictory == 2
        assert copies.shared == 2, "a sample of no client is at none"

    def test_copies_across_given_parts_are_leaks(self):
        """Kind 1 trains and tests twice, kind 2 trains and validates, kind 3 is in one part."""
        data = whole([1, 1, 1, 2, 2, 3, 3, 1], splits=[0, 2, 2, 0, 1, 2, 2, 255])
        assert find_copies(data).leaked == {"test in train": 2, "val in train": 1}
        assert find_copies(whole([1, 1], splits=[1, 2])).leaked == {"test in val": 1}

    def test_one_sample_is_enough(self):
        assert find_copies(whole([1])).images == 0


class TestSurvey:
    def test_counts_are_those_of_plain_numpy(self):
        data = whole(
            [1, 2, 3, 4, 5],
            [0, 2, 2, 0, 0],
            clients=[1, 0, 1, -1, 1],
            splits=[0, 0, 2, 255, 0],
            names=("a", "b", "c"),
        )
        found = survey(data)
        assert found.shape == (1, 2, 3)
        assert found.parts == {"train": 3, "test": 1, "not given": 1}
        assert [(g.name, g.samples) for g in found.classes] == [("a", 3), ("b", 0), ("c", 2)]
        assert found.classes[0].parts == {"train": 2, "test": 0, "not given": 1}
        assert [(g.name, g.samples) for g in found.clients] == [("0", 1), ("1", 3)]
        values = data.images.numpy().astype(float)
        assert (found.values.low, found.values.high) == (1, 255)
        assert found.values.mean == pytest.approx(values.mean())
        assert found.values.std == pytest.approx(values.std())
        assert found.values.blank == 0

    def test_sizes_are_those_in_the_files(self, tmp_path):
        shapes = [(20, 10), (64, 48), (64, 48), (30, 40), (9, 9), (8, 9)]
        for number, (width, height) in enumerate(shapes):
            folder = tmp_path / "odd" / ("cup" if number else "pen")
            save_image(folder / f"{number}.png", pixels(height, width, 3, seed=number))
        rows = "".join(f"odd/cup/{n}.png,cup\n" for n in (1, 2, 4))
        (tmp_path / "list.csv").write_text("path,label\n" + rows)
        found = survey(dataset_of("odd", ["data.size=7"])).sizes
        assert (found.different, found.side, found.become) == (5, (9, 30.0, 64), (7, 7))
        assert found.smallest == Size(8, 9, 1)
        assert found.largest == found.commonest[0] == Size(64, 48, 2)
        assert list(found.lines()) == [
            "original sizes: 5, from 8×9 to 64×48 pixels, all made 7×7; longer side 9 to 64, "
            "median 30",
            "commonest: 64×48 (2 images), 8×9 (1 image), 9×9 (1 image), 20×10 (1 image), 30×40 "
            "(1 image)",
        ]
        one = survey(dataset_of("odd", ["data.size=7", "data.classes=[pen]"])).sizes
        assert list(one.lines()) == ["original size: 20×10 pixels, made 7×7"]
        listed = survey(dataset_of("list.csv", ["data.size=9"])).sizes
        assert listed.commonest == (Size(64, 48, 2), Size(9, 9, 1))
        again = survey(dataset_of("odd", ["data.size=7"])).sizes
        assert again == found, "from the cache"

    def test_arrays_have_one_size_which_they_keep(self, tmp_path):
        np.savez(tmp_path / "own.npz", images=pixels(2, 4, 6), labels=[0, 1])
        found = survey(dataset_of("own.npz")).sizes
        assert list(found.lines()) == ["original size: 6×4 pixels, kept"]

    def test_more_sizes_than_are_told_are_counted(self):
        data = whole(list(range(8)))
        widths = torch.arange(8, dtype=torch.int32) + 1
        found = OriginalSizes.of(replace(data, widths=widths, heights=torch.ones_like(widths)))
        assert [*found.lines()][1].endswith("5×1 (1 image) and 3 other sizes")

    def test_images_of_one_colour_are_counted(self):
        data = whole([1, 255, 255])
        assert survey(data).values.blank == 2


class TestPicture:
    def test_a_row_for_each_class_and_white_where_there_is_no_more(self):
        data = whole([1, 2, 3], [0, 0, 1])
        drawn = sheet(data, [np.array([0, 1]), np.array([2])])
        assert drawn.shape == (2 * 3, IMAGES * 4, 3)
        assert drawn[0, 1, 0] == 1
        assert drawn[0, 5, 0] == 2
        assert drawn[3, 1, 0] == 3
        assert (drawn[3:, 4:] == 255).all()

    def test_images_are_spread_over_those_that_there_are(self):
        assert spread(np.arange(3), 10).tolist() == [0, 1, 2]
        assert spread(np.arange(100), 10).tolist() == [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]

    def test_many_classes_and_odd_names_are_drawn(self, tmp_path):
        count = CLASSES + 3
        names = tuple(f"${number}_\n{{" for number in range(count))
        drawn = contact_sheet(whole(list(range(count)), list(range(count)), names=names))
        (tmp_path / "a.png").write_bytes(drawn)
        assert picture.imread(tmp_path / "a.png").shape[2] == 4


@pytest.fixture
def photos(tmp_path):
    tree = image_tree(tmp_path / "my photos", {"pen": 3, "cup": 2})
    save_image(tree / "cup" / "again.png", pixels(6, 6, 3, seed=0))
    (tree / "cup" / "notes.txt").write_text("none")
    return tree


class TestCommand:
    def test_it_says_what_was_read_at_80_columns(self, called, photos):
        code, out, err = called("data", str(photos), "-o", "data.size=6", "--results", "R")
        assert (code, err) == (0, "")
        assert "folder:" in out
        assert "6 images, 6×6 pixels, colour" in out
        assert "original size: 6×6 pixels, kept" in out
        assert "2 classes" in out
        assert "2 images have copies, pixel for pixel: 1 different picture" in out
        assert "2 images of these are of several classes" in out
        assert "passed over beside the images: *.txt" in out
        table = out[out.index("2 classes") : out.index("2 images have")]
        assert max(map(len, table.splitlines())) <= 80
        assert out.endswith(f"R/data/folder-{photos.parent.name}-my-photos/images.png\n")

    def test_json_has_all_of_it(self, called, photos):
        code, out, _ = called(
            "data", f"folder:{photos}", "--json", "--out", "look", "-o", "data.size=6"
        )
        found = json.loads(out)
        assert code == 0
        assert found["samples"] == 6
        assert found["shape"] == [3, 6, 6]
        assert found["classes"][0] == {"name": "cup", "samples": 3, "parts": {}}
        assert found["copies"]["contradictory"] == 2
        assert found["sizes"]["commonest"] == [{"width": 6, "height": 6, "images": 6}]
        assert found["picture"] == "look/images.png"
        assert picture.imread("look/images.png").ndim == 3

    def test_leakage_is_said(self, called, tmp_path):
        images = np.concatenate([pixels(4, 5, 5), pixels(1, 5, 5)])
        content = {"x_train": images[:4], "y_train": [0, 1, 0, 1]}
        np.savez("own.npz", **content, x_test=images[4:], y_test=[0])
        _, out, _ = called("data", "own.npz")
        assert "given splits: train 4, test 1" in out
        assert "leakage: 1 image of 1 given for test is given for train, too" in out

    def test_a_scenario_stands_for_its_data(self, called):
        code, out, _ = called("data", "digits", "--results", "R")
        assert code == 0
        assert "digits: 1,797 images, 8×8 pixels, gray" in out
        assert "no two images are the same" in out or "have copies" in out

    def test_it_may_be_written_again_but_not_over_others(self, called, photos):
        assert called("data", str(photos), "--out", "look")[0] == 0
        assert called("data", str(photos), "--out", "look")[0] == 0
        code, _, err = called("data", "digits", "--out", "look")
        assert code == 2
        assert "name another folder with --out" in err

    def test_mistakes_are_one_line(self, called, photos):
        for arguments, told in (
            (["none"], "unknown data set 'none'"),
            ([str(photos), "-o", "protocol.rounds=3"], "only data.… can be changed"),
            ([str(photos), "-o", "data.sise=3"], "did you mean"),
            ([str(photos / "cup" / "notes.txt")], "is none of: *.npz, *.csv"),
        ):
            code, out, err = called("data", *arguments)
            assert (code, out) == (2, "")
            assert told in err
            assert len(err.splitlines()) == 1


class TestPaths:
    def test_a_path_is_read_by_what_lies_there(self, photos, tmp_path):
        np.savez(tmp_path / "own.npz", images=pixels(3, 4, 4), labels=[0, 1, 1])
        assert dataset_of("own.npz").name == f"npz:{tmp_path}/own.npz"
        assert dataset_of("my photos").images.shape[2:] == (64, 64)
        (tmp_path / "list.csv").write_text("path,label\nmy photos/pen/0.png,pen\n")
        assert dataset_of("list.csv", ["data.size=4"]).images.shape == (1, 3, 4, 4)

    def test_folders_in_folders_are_asked_about(self, tmp_path):
        image_tree(tmp_path / "deep", {"art/cup": 1, "web/cup": 1})
        with pytest.raises(UserError, match=r"say what the upper ones are, domains:.*or clients:"):
            dataset_of("deep")

    def test_folders_train_and_test_are_given_splits(self, tmp_path):
        image_tree(tmp_path / "given", {"train/cup": 2, "test/cup": 1})
        assert dataset_of("given").splits.tolist() == [0, 0, 2]

    @pytest.mark.parametrize(
        ("name", "short"),
        [
            ("digits", "digits"),
            ("folder:/a/my photos", "folder-a-my-photos"),
            ("hf:somebody/things:small", "hf-somebody-things-small"),
            ("npz:../../x.npz", "npz-x"),
            ("manifest:…", "manifest"),
        ],
    )
    def test_a_folder_is_called_by_a_short_name(self, name, short):
        data = whole([1])
        object.__setattr__(data, "name", name)
        assert short_name_of(data) == short
