"""Tables that list image files: what their columns say, and the one line that a mistake costs."""

import csv

import numpy as np
import pyarrow as pa
import pytest
from datafiles import entries, load, pixels, refusal, save_image
from pyarrow import parquet

from pfltune.scenario import load_scenario

SIZE = 6
ROWS = [
    {"path": "a/0.png", "label": "cup", "client": "site10", "split": "train", "domain": "web"},
    {"path": "a/1.png", "label": "pen", "client": "site9", "split": "Test", "domain": "art"},
    {"path": "b/0.png", "label": "cup", "client": "", "split": "", "domain": "web"},
    {"path": "b/1.png", "label": "hat", "client": "site10", "split": "valid", "domain": "art"},
]


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PFLTUNE_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


@pytest.fixture
def place(tmp_path):
    """A folder with the images of ``ROWS``."""
    for number, row in enumerate(ROWS):
        save_image(tmp_path / "place" / row["path"], pixels(SIZE, SIZE, 3, seed=number))
    return tmp_path / "place"


@pytest.fixture
def write(place):
    """``write(rows, name)`` writes a table beside the images and gives the name of the data set."""

    def written(rows=ROWS, name="list.csv", *, delimiter=",", encoding="utf-8"):
        path = place / name
        header = list(rows[0])
        if name.endswith(".parquet"):
            columns = {key: [row[key] for row in rows] for key in header}
            parquet.write_table(pa.table(columns), path)
        else:
            with path.open("w", newline="", encoding=encoding) as file:
                writer = csv.DictWriter(file, header, delimiter=delimiter)
                writer.writeheader()
                writer.writerows(rows)
        return f"manifest:{path}"

    return written


def without(*columns, rows=ROWS):
    return [{key: cell for key, cell in row.items() if key not in columns} for row in rows]


def labelled(labels):
    return [{**row, "label": each} for row, each in zip(ROWS, labels.split(), strict=True)]


def changed(row, rows=ROWS, **cells):
    return [{**each, **cells} if number == row else each for number, each in enumerate(rows)]


def read(name, **settings):
    return load(name, **{"size": SIZE, **settings})


FORMS = {
    "csv": {"name": "list.csv"},
    "semicolons": {"name": "list.csv", "delimiter": ";"},
    "tsv": {"name": "list.TSV", "delimiter": "\t"},
    "with a mark": {"name": "list.csv", "encoding": "utf-8-sig"},
    "parquet": {"name": "list.parquet"},
}


class TestColumns:
    @pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
    def test_all_columns_are_read_from_every_format(self, write, form):
        data = read(write(**form))
        for number in range(len(ROWS)):
            stored = data.images[number].permute(1, 2, 0).numpy()
            assert np.array_equal(stored, pixels(SIZE, SIZE, 3, seed=number))
        assert data.class_names == ("cup", "hat", "pen")
        assert data.labels.tolist() == [0, 2, 0, 1]
        assert data.client_names == ("site9", "site10")
        assert data.clients.tolist() == [1, 0, -1, 1]
        assert data.splits.tolist() == [0, 2, 255, 1]
        assert data.domain_names == ("art", "web")
        assert data.domains.tolist() == [1, 0, 1, 0]

    def test_path_and_label_are_enough(self, write):
        data = read(write(without("client", "split", "domain")))
        assert data.clients is data.splits is data.domains is None
        assert data.notes == ()

    def test_what_the_table_gives_and_what_is_not_read_is_said(self, write):
        name = write([{**row, "age": "7"} for row in ROWS])
        assert read(name).notes == (
            "list.csv: 2 clients, 1 sample of none",
            "list.csv gives splits, train 1, val 1, test 1, not given 1",
            "columns of list.csv that are not read: age",
        )

    def test_columns_may_be_called_otherwise_in_any_case(self, write):
        renamed = {"path": "File", "label": "y", "client": "Hospital"}
        rows = [{renamed.get(key, key): cell for key, cell in row.items()} for row in ROWS]
        columns = {"path": "file", "label": "Y", "client": "hospital"}
        assert read(write(rows), columns=columns).client_names == ("site9", "site10")

    def test_the_command_line_names_columns_one_by_one(self, write):
        rows = [{"file": row["path"], "y": row["label"]} for row in ROWS]
        scenario = load_scenario(
            "cifar10-small",
            [
                f"data.name={write(rows)}",
                "data.columns.path=file",
                "data.columns={path: file, label: y}",
                "data.columns.label=y",
            ],
        )
        assert len(scenario.dataset().labels) == 4

    def test_paths_may_be_relative_to_another_folder_or_absolute(self, write, place, tmp_path):
        name = write([{**row, "path": f"place/{row['path']}"} for row in ROWS])
        assert len(read(name, root=str(tmp_path)).labels) == 4
        assert len(read(write([{**r, "path": f"{place}/{r['path']}"} for r in ROWS])).labels) == 4

    @pytest.mark.parametrize(
        ("labels", "names", "numbers"),
        [
            (["10", "9", "9", "2"], ("2", "9", "10"), [2, 1, 1, 0]),
            (["1.0", "0.0", "0.0", "2"], ("0", "1", "2"), [1, 0, 0, 2]),
            (["0", "1", "b", "10"], ("0", "1", "10", "b"), [0, 1, 3, 2]),
        ],
        ids=["numbers with gaps", "floats of a spreadsheet", "words among them"],
    )
    def test_labels_are_numbers_or_words(self, write, labels, names, numbers):
        rows = labelled(" ".join(labels))
        data = read(write(without("client", "split", rows=rows)))
        assert data.class_names == names
        assert data.labels.tolist() == numbers
        told = "3 different labels from 2 to 10 became classes 0 to 2, and remain their names"
        assert data.notes == ((told,) if labels[0] == "10" else ())

    def test_parquet_may_hold_numbers_and_nothing(self, place):
        table = {
            "path": [row["path"] for row in ROWS],
            "label": pa.array([3, 1, 1, 3], pa.int8()),
            "client": pa.array(["x", None, "y", "x"]).dictionary_encode(),
            "split": pa.array([0, 2, None, 1]),
        }
        parquet.write_table(pa.table(table), place / "list.parquet")
        data = read(f"manifest:{place}/list.parquet")
        assert data.labels.tolist() == [1, 0, 0, 1]
        assert data.clients.tolist() == [0, -1, 1, 0]
        assert data.splits.tolist() == [0, 2, 255, 1]

    def test_only_what_is_chosen_is_read(self, write, place):
        (place / "b" / "1.png").unlink()
        data = read(write(), classes=("pen", "cup"), domains=("web", "art"))
        assert data.class_names == ("pen", "cup")
        assert data.labels.tolist() == [1, 0, 1]
        assert data.domains.tolist() == [0, 1, 0]
        assert data.client_names == ("site9", "site10")
        assert len(read(write(), domains=("web",)).labels) == 2

    def test_images_are_decoded_as_those_of_folders(self, write, place):
        save_image(place / "a" / "0.png", pixels(4, 8))
        data = read(write(without("client", "split", "domain")))
        assert data.images.shape == (4, 3, SIZE, SIZE)
        assert data.notes == (
            "1 of 4 images: gray, repeated in three colours",
            "1 of 4 images: not square, drawn out to be",
        )

    def test_the_key_is_the_content(self, write, place, root, tmp_path):
        read(write())
        place.rename(tmp_path / "elsewhere")
        read(f"manifest:{tmp_path}/elsewhere/list.csv")
        assert len(entries(root)) == 1
        (tmp_path / "elsewhere").rename(place)
        read(write(changed(0, client="site9")))
        read(write(changed(0, split="test")))
        save_image(place / "a" / "0.png", pixels(SIZE, SIZE, 3, seed=99))
        read(write())
        assert len(entries(root)) == 4

    def test_blank_lines_are_passed_over_and_count_as_rows(self, write, place):
        name = write(without("client", "split", "domain"))
        path = place / "list.csv"
        path.write_text(path.read_text().replace("b/0.png", "\n\nb/0.png"))
        assert len(read(name).labels) == 4
        path.write_text(path.read_text().replace("b/1.png,hat", "b/1.png,"))
        assert f"{path}, row 7: the column 'label' is empty" == refusal(name)


BAD = {
    "no label": (changed(2, label=" "), "list.csv, row 4: the column 'label' is empty"),
    "no path": (changed(0, path=""), "list.csv, row 2: the column 'path' is empty"),
    "no domain": (changed(1, domain=""), "list.csv, row 3: the column 'domain' is empty"),
    "no file": (changed(1, path="a/7.png"), "list.csv, row 3: there is no file "),
    "a name too long": (changed(1, path="a" * 5000), "list.csv, row 3: there is no file "),
    "a NUL": (changed(1, path="a\0b"), "list.csv"),
    "the same file": (changed(3, path="b/../a/1.png"), "row 5: "),
    "an odd split": (changed(2, split="dev1"), "row 4: the split 'dev1' is none of train, val"),
    "a fraction": (
        labelled("0 1 2 0.5"),
        "row 5: the label 0.5 is no whole number from 0 on, as labels must be where all are",
    ),
    "below 0": (
        labelled("0 -1 2 1"),
        "row 3: the label -1 is no whole number from 0 on",
    ),
    "not a number": (
        labelled("0 1 nan 1"),
        "row 4: the label nan is no whole number from 0 on",
    ),
    "no column": (without("label"), "has no column 'label'; it has: path, client, split, domain;"),
}


class TestMistakes:
    @pytest.mark.parametrize(("rows", "told"), BAD.values(), ids=BAD.keys())
    def test_a_bad_row_is_one_line_with_its_number(self, write, root, rows, told):
        assert told in refusal(write(rows), size=SIZE)
        assert entries(root) == []

    def test_the_row_of_a_file_that_comes_twice_names_the_other(self, write, place):
        message = refusal(write(changed(3, path="b/../a/1.png")))
        assert f"{place}/a/1.png is already in row 3; an image is one sample" in message

    def test_missing_files_are_counted(self, write):
        rows = [{**row, "path": f"photos/{row['path']}"} for row in ROWS]
        assert refusal(write(rows)).endswith("photos/a/0.png (4 of 4 are missing)")

    def test_a_broken_image_is_named(self, write, place, root):
        (place / "a" / "1.png").write_bytes(b"no image")
        assert f"{place}/a/1.png cannot be read as an image" in refusal(write())
        assert entries(root) == []

    def test_a_missing_column_says_how_to_name_another(self, write):
        rows = [{"file": row["path"], "label": row["label"]} for row in ROWS]
        message = refusal(write(rows))
        assert "no column 'path'; it has: file, label; say which one it is with" in message
        assert "data.columns.path=NAME" in message
        assert "no column 'datei'" in refusal(write(), columns={"path": "datei"})
        assert "no column 'ward'" in refusal(write(), columns={"client": "ward"})
        assert "data.columns.image=x has no effect here" in refusal(write(), columns={"image": "x"})

    def test_domains_that_are_not_there_are_refused(self, write):
        message = refusal(write(without("domain")), domains=("web",))
        assert "list.csv has no column 'domain'" in message
        assert "unknown domain 'x'; choose from: art, web" in refusal(write(), domains=("x",))
        assert "unknown class 'x'; choose from: cup, hat, pen" in refusal(write(), classes=("x",))

    @pytest.mark.parametrize(
        ("name", "content", "told"),
        [
            ("a.csv", b"", "has no column 'path'; it has: none"),
            ("a.csv", b"path,label\n", "has no rows below its header"),
            ("a.csv", b"path,label\nx.png\n", "row 2: 1 cells, but the header has 2"),
            ("a.csv", b"path,label\na,b.png,cup\n", "row 2: 3 cells, but the header has 2"),
            ("a.csv", b"path,label,Label\nx.png,a,b\n", "has two columns 'label'"),
            ("a.csv", b"path,label\nx.png,caf\xe9\n", "is no UTF-8 text; save it as UTF-8"),
            ("a.csv", b'path,label\n"x.png,a\n', "is no CSV file or is damaged: "),
            ("a.parquet", b"PAR1 no", "is no Parquet file or is damaged: "),
            ("a.xlsx", b"", "is none of: *.csv, *.tsv, *.parquet"),
        ],
    )
    def test_files_that_are_no_tables_are_named(self, place, name, content, told):
        (place / name).write_bytes(content)
        message = refusal(f"manifest:{place}/{name}")
        assert message.startswith(f"{place}/{name}")
        assert told in message

    def test_a_column_of_lists_is_named(self, place):
        table = {"path": ["a/0.png"], "label": [[1, 2]]}
        parquet.write_table(pa.table(table), place / "list.parquet")
        message = refusal(f"manifest:{place}/list.parquet")
        assert "the column 'label' holds list<" in message

    def test_a_missing_file_and_a_folder_are_named(self, place):
        assert refusal(f"manifest:{place}/none.csv") == f"there is no file {place}/none.csv"
        (place / "folder.csv").mkdir()
        assert refusal(f"manifest:{place}/folder.csv").startswith(f"cannot read {place}/folder.csv")

    def test_more_rows_than_anybody_has_are_refused(self, write, monkeypatch):
        monkeypatch.setattr("pfltune.data.table.MOST_ROWS", 3)
        assert "has more than 3 rows" in refusal(write())
        assert "has more than 3 rows" in refusal(write(name="list.parquet"))

    def test_settings_of_a_manifest_have_no_effect_elsewhere(self):
        assert "root=x has no effect on data set 'digits'; it is for manifest:PATH" in refusal(
            "digits", root="x"
        )
        message = refusal("digits", columns={"label": "y"})
        assert "columns={'label': 'y'} has no effect on data set 'digits'" in message


def test_its_clients_and_splits_are_those_of_a_scenario(place):
    """Two hospitals of nine images each, of which two are given for tests."""
    lines = ["path,label,client,split"]
    for number in range(18):
        save_image(place / "all" / f"{number}.png", pixels(SIZE, SIZE, 3, seed=number))
        split = "test" if number % 9 < 2 else "train"
        lines.append(f"all/{number}.png,{number % 2},{'north' if number < 9 else 'south'},{split}")
    (place / "list.csv").write_text("\n".join(lines))
    overrides = [
        f"data.name=manifest:{place}/list.csv",
        "partition={kind: natural}",
        "protocol.sampled_clients=2",
        "backbone.weights=random",
    ]
    scenario = load_scenario("cifar10-small", overrides)
    clients = scenario.clients(scenario.dataset())
    assert [client.test.tolist() for client in clients] == [[0, 1], [9, 10]]
    assert [len(client.train) + len(client.val) for client in clients] == [7, 7]
