"""Who has which sample, written to a file and read back: the same clients, and never others."""

import json
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from pfltune.cli.app import root
from pfltune.data.assignment import write, written
from pfltune.data.dataset import Dataset
from pfltune.data.split import ClientSplit
from pfltune.errors import UserError
from pfltune.federation.fingerprint import fingerprint
from pfltune.program import Program
from pfltune.record import Record, read_record
from pfltune.scenario import load_scenario

COLD = ["backbone.weights=random", "protocol.sampled_clients=1"]
SAMPLES = 30


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def thirty(names=("a", "b", "c")) -> Dataset:
    """Thirty different images in three classes."""
    images = torch.arange(SAMPLES, dtype=torch.uint8).reshape(-1, 1, 1, 1).repeat(1, 1, 8, 8)
    return Dataset("thirty", images, torch.arange(SAMPLES) % 3, names)


def from_file(path="clients.csv", dataset=None, *overrides):
    """A scenario of the clients in a file."""
    partition = f"partition={{kind: file, path: {path}}}"
    scenario = load_scenario("digits", [*COLD, partition, *overrides])
    scenario.__dict__["_dataset"] = dataset or thirty()  # as if it had been loaded
    return scenario


def dealt(scenario) -> list[tuple[str, list[int], list[int], list[int]]]:
    clients = scenario.clients(scenario.dataset())
    return [(c.name, c.train.tolist(), c.val.tolist(), c.test.tolist()) for c in clients]


def saved(content, path="clients.json"):
    Path(path).write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def refused(act, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        act(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


class TestRoundTrip:
    @settings(max_examples=40)
    @given(data=st.data())
    def test_what_is_written_is_read_with_the_same_names_and_parts(self, data, tmp_path_factory):
        text = st.text(
            st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
            min_size=1,
            max_size=6,
        )
        names = data.draw(st.lists(text, min_size=1, max_size=5, unique=True))
        order = np.random.default_rng(data.draw(st.integers(0, 99))).permutation(SAMPLES)
        cuts = np.array_split(order[: 3 * len(names) + data.draw(st.integers(0, 15))], len(names))
        clients = [
            ClientSplit(*(torch.from_numpy(np.sort(p)) for p in np.array_split(own, 3)), name=name)
            for own, name in zip(cuts, names, strict=True)
        ]
        path = tmp_path_factory.mktemp("w") / "clients.csv"
        write(path, thirty(), clients)
        found = dealt(from_file(path))
        expected = {c.name: (c.train.tolist(), c.val.tolist(), c.test.tolist()) for c in clients}
        called = [name for name, *_ in found]
        numbered = sorted(names) == [str(number) for number in range(len(names))]
        assert called == [""] * len(names) if numbered else sorted(called) == sorted(names)
        assert {name or str(n): tuple(parts) for n, (name, *parts) in enumerate(found)} == expected

    @pytest.mark.parametrize("warm", [False, True])
    def test_the_clients_of_a_scenario_are_read_back_to_the_last_index(self, warm, monkeypatch):
        """And what the warm start had is what no client has."""
        monkeypatch.setattr("pfltune.scenario.warm_start", lambda *given: {"given": given[3]})
        overrides = [] if warm else ["backbone.weights=random"]
        scenario = load_scenario("digits", overrides)
        dataset = scenario.dataset()
        write(Path("digits.csv"), dataset, scenario.clients(dataset))
        again = load_scenario("digits", ["partition={kind: file, path: digits.csv}", *overrides])
        assert dealt(again) == dealt(scenario)
        assert again.seen_clients == 10
        first, second = scenario._weights(dataset), again._weights(dataset)
        assert torch.equal(first["given"], second["given"]) if warm else first is second is None

    def test_the_file_is_a_table_in_the_order_of_the_samples(self):
        clients = [
            ClientSplit(*torch.tensor([[5], [1], [3]])),
            ClientSplit(*torch.tensor([[0], [4], [2]])),
        ]
        head, *lines = written(thirty(), clients).decode().splitlines()
        assert head == f"# pfltune partition of thirty, 30 samples, data {thirty().digest}"
        rows = ["0,1,train", "1,0,val", "2,1,test", "3,0,test", "4,1,val", "5,0,train"]
        assert lines == ["sample,client,split", *rows]


class TestOthersFiles:
    TWO = ([0, 1, 2, 3], [4, 5, 6])

    @pytest.mark.parametrize(
        ("content", "names"),
        [
            (list(TWO), ["", ""]),
            ({"ada": TWO[0], "bob": TWO[1]}, ["ada", "bob"]),
            ({"0": TWO[0], "1": TWO[1]}, ["", ""]),
            ({"data_indices": list(TWO), "separation": None}, ["", ""]),
        ],
        ids=["list", "names", "numbers as keys", "FL-bench"],
    )
    def test_json_of_indices_is_read_and_split_by_the_scenario(self, content, names):
        scenario = from_file(saved(content))
        found = dealt(scenario)
        assert [name for name, *_ in found] == names
        assert [sorted(sum(parts, [])) for _, *parts in found] == list(self.TWO)  # noqa: RUF017
        assert "23 samples of no client" in scenario.notes()

    @pytest.mark.parametrize("nothing", [[], {"train": [], "test": []}], ids=["list", "parts"])
    def test_clients_without_a_sample_are_left_out_and_counted(self, nothing):
        scenario = from_file(saved({"ada": self.TWO[0], "eve": nothing}))
        assert [name for name, *_ in dealt(scenario)] == ["ada"]
        told = "clients.json: 1 client of 2 without samples, left out: eve"
        assert told in scenario.notes()

    def test_the_parts_of_fl_bench_are_kept_and_validation_is_taken_from_train(self):
        indices = [
            {"train": [0, 1, 2, 3, 4, 5], "val": [], "test": [6, 7]},
            {"train": [8, 9, 10], "val": [11], "test": [12]},
        ]
        scenario = from_file(saved({"separation": {"total": 2}, "data_indices": indices}))
        first, second = dealt(scenario)
        assert first[3] == [6, 7]
        assert sorted(first[1] + first[2]) == [0, 1, 2, 3, 4, 5]
        assert second[1:] == ([8, 9, 10], [11], [12])
        told = "; ".join(scenario.notes())
        assert "val of 1 client is not given" in told
        assert "not read of clients.json: separation" in told

    def test_a_table_by_hand_needs_no_head_and_no_split(self):
        lines = ["client, sample", *(f"site {n % 2}, {n}" for n in range(10)), ", 10"]
        scenario = from_file(saved("\n".join(lines), "hand.csv"))
        assert [name for name, *_ in dealt(scenario)] == ["site 0", "site 1"]
        assert "20 samples of no client" in scenario.notes()

    def test_splits_of_the_data_count_where_the_file_gives_none(self):
        splits = torch.tensor([0, 0, 1, 2] * 7 + [0, 0], dtype=torch.uint8)
        dataset = Dataset(
            "thirty", thirty().images, thirty().labels, ("a", "b", "c"), splits=splits
        )
        ((_, train, val, test),) = dealt(from_file(saved([[0, 1, 2, 3, 4]]), dataset))
        assert (train, val, test) == ([0, 1, 4], [2], [3])

    def test_a_client_of_two_samples_stops_nobody(self):
        scenario = from_file(saved([[0, 1, 2], [3, 4], [5, 6, 7]]))
        assert [name for name, *_ in dealt(scenario)] == ["0", "2"]
        assert "1 client of 3 with fewer than 3 samples, left out with 2 samples: 1" in (
            scenario.notes()
        )

    @pytest.mark.parametrize("name", ["partition.pkl", "net_dataidx_map.pickle"])
    def test_a_pickle_is_not_opened(self, name):
        Path(name).write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
        message = refused(from_file, name)
        assert "could run code" in message
        assert "convert it to JSON" in message
        assert not Path("ran").exists()


HEAD = "sample,client,split\n"
BAD = {
    "out of range": ("b.csv", HEAD + "30,0,train", "sample 30; 'thirty' has 0 to 29"),
    "negative": ("b.csv", HEAD + "-1,0,train", "sample of row 1 is '-1'"),
    "no number": ("b.csv", HEAD + "1,0,\n1.5,0,", "sample of row 2 is '1.5'"),
    "twice": ("b.csv", HEAD + "1,ada,\n1,bob,", "sample 1 stands there 2 times, of ada, bob"),
    "a part that is none": ("b.csv", HEAD + "1,0,dev", "split[0] is 'dev'; possible: train, val"),
    "other columns": (
        "b.csv",
        "index,owner\n1,0",
        "has the columns index, owner; possible: sample",
    ),
    "a column twice": ("b.csv", "sample,client,client\n", "has the columns sample, client, client"),
    "a short row": ("b.csv", HEAD + "1,0", "row 1 has 2 values for 3 columns"),
    "nothing": ("b.csv", "", "has the columns of nothing"),
    "nobody": ("b.csv", HEAD + "1,,train", "gives no client a sample"),
    "nobody in JSON": ("b.json", "[]", "gives no client a sample"),
    "no JSON": ("b.json", "{", "b.json is no JSON"),
    "a text": ("b.json", '"a"', "must hold a list, or a mapping from clients"),
    "a number for a client": ("b.json", "[3]", "client 0 has int, not a list of samples"),
    "deep": ("b.json", "[" * 100_000, "is no JSON"),
    "another part": ("b.json", '[{"dev": [1]}]', "client 0 has 'dev'; possible: train, val, test"),
    "yes and no": ("b.json", "[[true]]", "client 0: a sample is 'True'"),
    "half": ("b.json", "[[0.5]]", "client 0: a sample is '0.5'"),
    "huge": ("b.json", "[[99999999999999999999]]", "a sample is '99999999999999999999'"),
    "twice in JSON": (
        "b.json",
        '{"a": [1, 2], "b": [2]}',
        "sample 2 stands there 2 times, of a, b",
    ),
    "a client twice": ("b.json", '{"a": [1], "a": [2]}', "a key stands in it twice"),
    "another format": (
        "b.yaml",
        "a: [1]",
        "b.yaml is no file of a partition; possible: .csv, .json",
    ),
}


class TestBadFiles:
    @pytest.mark.parametrize(("name", "content", "told"), BAD.values(), ids=BAD.keys())
    def test_it_is_refused_in_one_line_with_its_name(self, name, content, told):
        message = refused(lambda: dealt(from_file(saved(content, name))))
        assert told in message
        assert name in message

    def test_what_is_no_text_or_no_file_is_refused(self):
        Path("a.csv").write_bytes(b"\xff\xfe")
        assert "a.csv is no text in UTF-8" in refused(lambda: dealt(from_file("a.csv")))
        assert "there is no file" in refused(from_file, "gone.csv")
        Path("folder.csv").mkdir()
        assert "there is no file" in refused(from_file, "folder.csv")
        assert "'partition.path' is missing" in refused(
            load_scenario, "digits", ["partition={kind: file}"]
        )

    def test_one_of_other_data_is_refused_until_its_first_line_is_gone(self):
        clients = [ClientSplit(*torch.arange(3).split(1))]
        other = thirty(names=("x", "y", "z"))
        write(Path("clients.csv"), other, clients)
        assert "was written for other data than 'thirty'" in refused(lambda: dealt(from_file()))
        text = Path("clients.csv").read_text()
        Path("clients.csv").write_text(text.partition("\n")[2])
        assert dealt(from_file()) == [("", [0], [1], [2])]


class TestContent:
    """A record knows the clients by the content of their file, wherever it lies."""

    FIRST, OTHER = [[0, 1, 2], [3, 4, 5]], [[0, 1, 3], [2, 4, 5]]

    def test_the_digest_is_of_the_content_and_the_path_is_no_part(self):
        first = from_file(saved(self.FIRST, "a.json")).by_content()["partition"]
        same = from_file(saved(self.FIRST, "b.json")).by_content()["partition"]
        other = from_file(saved(self.OTHER, "a.json")).by_content()["partition"]
        assert first == same != other
        assert "path" not in first
        assert len(first["digest"]) == 32

    def test_a_file_that_changes_under_a_scenario_is_refused(self):
        scenario = from_file(saved(self.FIRST))
        dealt(scenario)
        saved(self.OTHER)
        assert "is not what it was: partition.digest=" in refused(dealt, scenario)

    def test_other_clients_are_another_trial(self):
        found = [fingerprint(from_file(saved(each)).build()) for each in (self.FIRST, self.OTHER)]
        assert found[0]["clients"] != found[1]["clients"]
        assert found[0]["rules"] == found[1]["rules"]

    def test_a_record_goes_on_with_the_same_file_elsewhere_and_with_no_other(self, tmp_path):
        program = Program(source={"fedavg": "1"}, files={}, versions={}, processor="abacus")
        parts = {
            **{"command": "sensitivity", "name": "n", "methods": ("fedavg",), "titles": {}},
            **{"budget": {"lr": 0.1, "seeds": 1, "seed": 0}, "program": program, "data": {}},
            "computing": {
                **{"threads": 1, "device": "cpu", "precision": "float32", "cohort": 1},
                "deterministic": False,
            },
        }

        def record(scenario):
            return Record.model_validate({**parts, "id": "0" * 32, "scenario": scenario})

        record(from_file(saved(self.FIRST))).write(tmp_path)
        Path("clients.json").rename("moved.json")
        before = read_record(tmp_path)
        assert before.scenario.partition.path == "clients.json", "no file is needed to read it"
        moved = record(from_file("moved.json"))
        assert before.going_on(moved, False).scenario.partition.path == "moved.json"
        other = record(from_file(saved(self.OTHER)))
        assert "partition.digest was" in refused(before.going_on, other, False)


class TestConversions:
    """The scripts of the how-to, on files as the other benchmarks write them."""

    def converted(self, monkeypatch, name, *arguments):
        page = (Path(__file__).parents[1] / "docs/howto/own-clients.md").read_text()
        (script,) = re.findall(rf'^```python3 title="{name}"\n(.*?)^```$', page, re.M | re.S)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        exec(compile(script, name, "exec"), {"__name__": "__main__"})

    def test_fl_benchs_partition_has_the_same_clients_and_parts(self, monkeypatch):
        rng = np.random.default_rng(0)
        own = np.array_split(rng.permutation(SAMPLES).astype(np.int32), 3)
        parts = [
            dict(zip(("train", "val", "test"), np.split(each, [6, 6]), strict=True)) for each in own
        ]
        everybody = [0, 1, 2]
        separation = {"train": everybody, "val": everybody, "test": everybody, "total": 3}
        partition = {"separation": separation, "data_indices": parts}
        Path("partition.pkl").write_bytes(pickle.dumps(partition))
        self.converted(monkeypatch, "from_fl_bench.py", "partition.pkl", "clients.json")
        for (_, train, val, test), given_ in zip(
            dealt(from_file("clients.json")), parts, strict=True
        ):
            assert sorted(train + val) == sorted(given_["train"])
            assert test == sorted(given_["test"])

    def test_pfllibs_images_become_the_same_bytes_with_their_clients(self, monkeypatch):
        monkeypatch.setenv("PFLTUNE_DATA", "root")
        images = np.random.default_rng(0).integers(0, 256, (24, 3, 8, 8), dtype=np.uint8)
        labels = np.arange(24) % 3
        held = {"train": [range(8), range(8, 18)], "test": [range(18, 21), range(21, 24)]}
        for split, clients in held.items():
            folder = Path("Cifar10", split)
            folder.mkdir(parents=True)
            for number, own in enumerate(clients):
                scaled = (images[own].astype(np.float32) / 255 - 0.5) / 0.5
                with (folder / f"{number}.npz").open("wb") as file:
                    np.savez_compressed(file, data={"x": scaled, "y": labels[own]})
        self.converted(monkeypatch, "from_pfllib.py", "Cifar10", "clients.npz")
        overrides = [*COLD, "data.name=npz:clients.npz", "partition={kind: natural}"]
        scenario = load_scenario("digits", [*overrides, "protocol.sampled_clients=2"])
        dataset = scenario.dataset()
        for number, client in enumerate(scenario.clients(dataset)):
            for split, own in (("train", [*client.train, *client.val]), ("test", client.test)):
                found = {dataset.images[sample].numpy().tobytes() for sample in own}
                assert found == {images[sample].tobytes() for sample in held[split][number]}


class TestCommand:
    def call(self, *arguments):
        done = CliRunner().invoke(root, ["partition", "digits", *COLD_OPTIONS, *arguments])
        return done.exit_code, done.output if done.exception is None else str(done.exception)

    def test_it_writes_and_reads(self):
        code, out = self.call("--write", "a/clients.csv")
        assert code == 0
        assert out.splitlines()[-1] == "a/clients.csv"
        first = Path("results/partitions/digits/partition.csv").read_text()
        code, out = self.call("-o", "partition={kind: file, path: a/clients.csv}")
        assert code == 0
        assert out.startswith("file clients.csv, min_samples 3, data_seed 0\n")
        assert "given splits are kept" in out
        assert Path("results/partitions/digits/partition.csv").read_text() == first
        assert self.call("--write", "a/clients.csv")[0] == 0, "it is ours"

    @pytest.mark.parametrize("name", ["notes.csv", "link.csv", "clients.txt"])
    def test_it_writes_over_nothing_of_others(self, name):
        Path("notes.csv").write_text("mine")
        Path("link.csv").symlink_to("notes.csv")
        code, out = self.call("--write", name)
        assert code != 0
        assert name in out
        assert Path("notes.csv").read_text() == "mine"
        assert not Path("results").exists()


COLD_OPTIONS = ["-o", "backbone.weights=random"]
