"""A partition as people see it: its table, its picture, and the command that writes them."""

import csv
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import pfltune.cli
from pfltune.data.census import Census, take_census
from pfltune.data.dataset import Dataset
from pfltune.data.split import ClientSplit
from pfltune.report.partition import partition_figure
from pfltune.scenario import load_scenario

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def dataset():
    """Six samples: classes a, a, "b, or c", a, "b, or c", a in domains x, x, x, y, y, y."""
    return Dataset(
        "six",
        torch.zeros(6, 1, 1, 1, dtype=torch.uint8),
        torch.tensor([0, 0, 1, 0, 1, 0]),
        ("a", "b, or c"),
        torch.tensor([0, 0, 0, 1, 1, 1]),
        ("x", "y"),
    )


@pytest.fixture
def clients():
    """One client with the first three samples, one with the others."""
    return [ClientSplit(*torch.arange(3).split(1)), ClientSplit(*torch.arange(3, 6).split(1))]


def some_census(clients: int, classes: int, domains: int = 0) -> Census:
    rng = np.random.default_rng(0)
    by_class = rng.poisson(rng.gamma(0.2, 100, size=(clients, 3, classes))) + 1
    by_domain = np.zeros((clients, 3, domains), dtype=int)
    for client in range(clients if domains else 0):
        by_domain[client, :, client * domains // clients] = by_class[client].sum(1)
    class_names = tuple(f"class_of_things_{number}" for number in range(classes))
    domain_names = tuple(f"domain_{number}" for number in range(domains))
    return Census(("train", "val", "test"), class_names, domain_names, by_class, by_domain)


def test_a_census_counts_clients_parts_classes_and_domains(dataset, clients):
    census = take_census(dataset, clients)
    assert census.parts == ("train", "val", "test")
    assert census.by_class.tolist() == [[[1, 0], [1, 0], [0, 1]], [[1, 0], [0, 1], [1, 0]]]
    assert census.by_domain.tolist() == [[[1, 0]] * 3, [[0, 1]] * 3]
    assert census.sizes.tolist() == [[1, 1, 1], [1, 1, 1]]


def test_the_table_has_a_row_per_client_and_part_and_quotes_commas(dataset, clients):
    rows = list(csv.reader(take_census(dataset, clients).csv().splitlines()))
    assert rows[0] == ["client", "part", "samples", "domain x", "domain y", "a", "b, or c"]
    assert rows[1] == ["0", "train", "1", "1", "0", "1", "0"]
    assert rows[5] == ["1", "val", "1", "0", "1", "0", "1"]
    assert [row[:2] for row in rows[4:]] == [["1", "train"], ["1", "val"], ["1", "test"]]


def test_clients_without_test_have_no_rows_and_no_bars_for_it(dataset, clients):
    census = take_census(dataset, [client.without_test() for client in clients])
    assert census.parts == ("train", "val")
    assert ",test," not in census.csv()
    (bars, *_) = partition_figure(census, "blind").axes
    assert [text.get_text() for text in bars.get_legend().get_texts()] == ["val", "train"]


def test_the_area_of_a_bubble_is_the_number_of_samples():
    census = some_census(5, 4, domains=2)
    bars, classes, domains = partition_figure(census, "five clients").axes
    for axes, counts in ((classes, census.by_class.sum(1)), (domains, census.by_domain.sum(1))):
        bubbles = axes.collections[0]
        client, kind = bubbles.get_offsets().astype(int).T
        held = counts[client, kind]
        assert held.sum() == counts.sum(), "every number is shown"
        large = held > held.max() / 50  # of the others some have the smallest size that is seen
        areas = bubbles.get_sizes()[large]
        assert areas == pytest.approx(held[large] * areas.max() / held.max())
    heights = [
        [np.ptp(bar.vertices[:, 1]) for bar in part.get_paths()] for part in bars.collections
    ]
    assert np.array(heights).T.tolist() == census.sizes.tolist()
    tops = [bar.vertices[:, 1].max() for bar in bars.collections[-1].get_paths()]
    assert tops == census.sizes.sum(1).tolist(), "parts are not stacked"
    low, high = bars.get_ylim()
    assert low == 0
    assert high >= max(tops)


def test_a_picture_of_thousands_of_clients_is_of_a_few_artists():
    clients = 2_000
    for axes in partition_figure(some_census(clients, 3), "many").axes:
        assert len(axes.findobj()) < clients, "drawn one by one they take minutes and gigabytes"


def test_domains_and_classes_are_named_and_the_first_is_on_top():
    _, classes, domains = partition_figure(some_census(4, 3, domains=2), "four").axes
    for axes, names in (
        (domains, ["domain_0", "domain_1"]),
        (classes, [f"class_of_things_{number}" for number in range(3)]),
    ):
        assert [label.get_text() for label in axes.get_yticklabels()] == names
        assert axes.yaxis_inverted()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("clients", "classes", "domains"),
    [
        (4, 10, 4),
        (4, 100, 0),
        (10, 10, 0),
        (16, 65, 4),
        (64, 11, 2),
        (128, 100, 0),
        (1, 2, 0),
        (10_000, 3, 0),
    ],
)
def test_no_label_touches_another_or_leaves_the_picture(clients, classes, domains):
    census = some_census(clients, classes, domains)
    figure = partition_figure(census, "fedperfix-officehome: domain-dirichlet, clients 16, alpha 1")
    figure.draw_without_rendering()
    numbers = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    rows = [[(b.x0, b.x1) for b in numbers]]
    for axes in figure.axes:
        boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
        rows.append(sorted((box.y0, box.y1) for box in boxes))
    for row in rows:
        assert all(end <= start for (_, end), (start, _) in pairwise(row))
    legends = [axes.get_legend().get_window_extent() for axes in figure.axes]
    for below, above in pairwise(legends):
        assert below.y1 <= above.y0, "a legend runs into the one below it"
    texts = [*figure.texts, *(axes.get_legend() for axes in figure.axes)]
    texts += [label for axes in figure.axes for label in (axes.yaxis.label, axes.xaxis.label)]
    for text in texts:
        box = text.get_window_extent()
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1, text


def call(monkeypatch, capsys, arguments):
    """Run the command line in this process; returns (exit code, stdout, stderr)."""
    monkeypatch.setattr(sys, "argv", ["pfltune", "partition", *arguments])
    with pytest.raises(SystemExit) as stop:
        pfltune.cli.main()
    printed = capsys.readouterr()
    return stop.value.code or 0, printed.out, printed.err


@pytest.fixture
def here(monkeypatch, tmp_path):
    """An empty folder to be in; nothing may be trained."""

    def refuse(*_):
        raise AssertionError("a partition needs no warm start")

    monkeypatch.setattr("pfltune.scenario.warm_start", refuse)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_writes_the_clients_that_a_comparison_has(here, monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, ["digits", "-o", "partition.clients=8"])
    scenario = load_scenario("digits", ["partition.clients=8"])
    dataset = scenario.dataset()
    census = take_census(dataset, scenario.clients(dataset))
    *lines, table, picture = out.splitlines()
    assert code == 0
    assert Path(table) == Path("results/partitions/digits/partition.csv")
    assert Path(table).read_text() == census.csv()
    assert Path(picture).read_bytes().startswith(PNG)
    assert lines[0] == "dirichlet, clients 8, alpha 0.3, min_samples 40, data_seed 0"
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    sizes = census.sizes.sum(1)
    middle = f"{np.median(sizes):.1f}".removesuffix(".0")
    assert rows["samples"] == ["1,438", str(sizes.min()), middle, str(sizes.max())]
    assert rows["test"][0] == str(census.sizes[:, 2].sum())
    assert rows["classes"][0] == "10"
    assert "domains" not in rows


def test_the_command_writes_below_the_results(here, monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, ["digits", "--results", "there"])
    assert code == 0
    assert out.splitlines()[-1] == "there/partitions/digits/partition.png"
    monkeypatch.setenv("PFLTUNE_RESULTS", "elsewhere")
    code, out, _ = call(monkeypatch, capsys, ["digits"])
    assert out.splitlines()[-1] == "elsewhere/partitions/digits/partition.png"


def own_data(monkeypatch, here, **arrays):
    """A scenario on 60 images in three classes with names that would stop a picture."""
    monkeypatch.setenv("PFLTUNE_DATA", str(here / "data"))
    names = ["a $x_{$", "b\n\x1b[2J", "\N{SNOWMAN} 猫"]
    images = np.zeros((60, 8, 8), np.uint8)
    np.savez("own.npz", images=images, labels=np.arange(60) % 3, class_names=names, **arrays)
    partition = "partition={kind: iid, clients: 10}"
    return ["digits", "-o", "data.name=npz:own.npz", "-o", partition]


def test_any_name_of_a_class_is_drawn_and_what_was_done_is_said(here, monkeypatch, capsys):
    arguments = own_data(monkeypatch, here, hospital=np.arange(60), domains=np.arange(60) % 2)
    code, out, err = call(monkeypatch, capsys, arguments)
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert out.splitlines()[-1].endswith("partition.png")
    assert "arrays that are not read: hospital" in out
    assert "partition.kind=iid deals the 2 domains together" in out


def test_clients_with_names_are_called_by_them(here, monkeypatch, capsys):
    names = np.array(["ada", "bob $x", "eve\x1b[2J", "kim", "zoë"])
    arguments = own_data(monkeypatch, here, clients=names[np.arange(60) % 5])
    code, out, _ = call(monkeypatch, capsys, [*arguments, "-o", "partition={kind: natural}"])
    assert code == 0
    assert "\x1b" not in out
    assert "clients: ada, bob $x, eve\N{REPLACEMENT CHARACTER}[2J, kim, zoë" in out
    assert "the warm start sets 12 samples aside, of the clients' own" in out
    with Path("results/partitions/digits/partition.csv").open(newline="") as table:
        head, *rows = csv.reader(table)
    assert head[:4] == ["client", "name", "part", "samples"]
    assert [row[1] for row in rows[::3]] == names.tolist()


def test_names_of_clients_stand_below_their_bars_where_there_is_room():
    named = some_census(30, 4)
    named = replace(named, client_names=tuple(f"client of a long name {n}" for n in range(30)))
    figure = partition_figure(named, "thirty")
    (bars, *_) = figure.axes
    labels = [label.get_text() for label in bars.get_xticklabels()]
    assert labels[0] == "client of a long name 0"
    assert len(labels) == 30
    below = bars.get_position().y0 * figure.get_figheight()
    assert below > 24 * 0.07, "the longest of them has room"


def test_a_picture_that_cannot_be_drawn_does_not_take_the_table_with_it(here, monkeypatch, capsys):
    def broken(*_):
        raise ValueError("no\nfont")

    monkeypatch.setattr("pfltune.report.partition.partition_figure", broken)
    code, out, _ = call(monkeypatch, capsys, ["digits"])
    assert code == 0
    assert "the partition's picture cannot be drawn: no font\n" in out
    assert out.splitlines()[-1].endswith("partition.csv")
    assert not Path("results/partitions/digits/partition.png").exists()


def test_unseen_clients_keep_their_numbers(here, monkeypatch, capsys):
    arguments = ["digits", "-o", "unseen_clients=0.4", "-o", "protocol.sampled_clients=4"]
    call(monkeypatch, capsys, arguments)
    written = Path("results/partitions/digits/partition.csv").read_text()
    clients = [row[0] for row in csv.reader(written.splitlines()[1:])]
    assert clients == [str(client) for client in range(10) for _ in range(3)]


def test_the_command_takes_a_folder_and_a_file(here, monkeypatch, capsys):
    Path("mine.yaml").write_text(load_scenario("digits").model_dump_json(exclude_none=True))
    code, out, _ = call(monkeypatch, capsys, ["mine.yaml", "--out", "a/b"])
    assert code == 0
    assert sorted(path.name for path in (here / "a" / "b").iterdir()) == [
        ".pfltune.json",
        "partition.csv",
        "partition.png",
    ]
    assert out.splitlines()[-1] == "a/b/partition.png"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["SCENARIO"]),
        (["digit"], ["'digit'", "did you mean 'digits'"]),
        (["digits", "-o", "partition={kind: domains, clients: 4}"], ["kind=domains", "none"]),
        (["digits", "-o", "partition.clients=40"], ["40 of 1438 samples", "up to 35 clients"]),
        (["digits", "-o", "partition.kind=dirichlet-fedprefix"], ["dirichlet-fedperfix"]),
        (["digits", "--out", "/dev/null/x"], ["/dev/null is a file", "--out"]),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(arguments, words, here, monkeypatch, capsys):
    code, _, err = call(monkeypatch, capsys, arguments)
    assert code == 2, err
    assert err.startswith("pfltune: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert list(here.iterdir()) == []
