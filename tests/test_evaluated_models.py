"""Kept models that are tested: every metric, clients of the trial by name, and new ones."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from test_kept_models import BUDGET, SHORT
from trained import compare_small

import pfltune
from pfltune.errors import UserError
from pfltune.metrics import BUILT_IN
from pfltune.metrics.built_in import Auroc, Loss
from pfltune.scenario import load_scenario

pytestmark = pytest.mark.thorough

SITES = "wards"
METRIC = """
from pfltune import Metric


class Sure(Metric):
    \"\"\"Mean confidence.\"\"\"

    better = "high"

    def of(self, logits, labels):
        return logits.softmax(1).max(1).values.mean()
"""


def digits(count=240):
    data = load_scenario("digits").dataset()
    return data.images[:count].numpy(), data.labels[:count].numpy()


@pytest.fixture(scope="session")
def sites(made_once):
    """A comparison of four natural clients that goes by AUROC; one has a single image."""

    def make(folder):
        x, y = digits()
        owners = np.array([f"ward {n}" for n in (2, 3, 10)])[np.arange(len(y)) % 3]
        owners[0] = "ward 4"
        (folder / "sure.py").write_text(METRIC)
        np.savez(folder / "wards.npz", images=x, labels=y, clients=owners)
        natural = [
            *(f"data.name=npz:{folder}/wards.npz", "partition={kind: natural}"),
            *("protocol.metric=auroc", f"metrics=['{folder}/sure.py:Sure']"),
            *("backbone.weights=random", *SHORT),
        ]
        compare_small(folder, SITES, ["fedper"], BUDGET, overrides=natural, keep="best")
        return folder

    return made_once("kept models of natural clients", make)


@pytest.fixture
def asked(sites):
    return {"name": SITES, "results": sites}


def saved(path, owners, splits=None, more=()):
    x, y = digits(len(owners))
    given = {} if splits is None else {"splits": splits}
    np.savez(path, images=x, labels=y, clients=owners, **given, **dict(more))
    return f"npz:{path}"


def test_clients_are_called_by_name_and_what_is_gone_by_stands_first(asked):
    table = pfltune.evaluate_model(**asked)
    assert list(table.index) == ["ward 2", "ward 3", "ward 10"]
    assert list(table.columns[:2]) == ["auroc", "recorded_auroc"]
    assert list(table["auroc"]) == pytest.approx(list(table["recorded_auroc"]))
    assert (table["test"] == table["recorded"]).all()
    assert {"sure", *BUILT_IN} <= set(table.columns)


def test_figures_are_those_of_the_clients_own_answers_and_of_all_together(asked, tmp_path):
    data = saved(tmp_path / "new.npz", ["ward 2"] * 40 + ["ward 10"] * 50)
    table = pfltune.evaluate_model(**asked, data=data, by_client=True)
    x, y = digits(90)
    answers = []
    for client, (name, span) in enumerate({"ward 2": slice(40), "ward 10": slice(40, 90)}.items()):
        model = pfltune.load_model(SITES, client=2 * client, results=asked["results"])
        logits, labels = model.logits(x[span]), torch.from_numpy(y[span])
        answers.append((logits, labels))
        assert table.loc[name, "loss"] == pytest.approx(float(Loss(name="loss").of(logits, labels)))
        assert table.loc[name, "auroc"] == pytest.approx(Auroc(name="auroc").of(logits, labels))
        assert table.loc[name, "samples"] == span.stop - (span.start or 0)
    logits, labels = (torch.cat(each) for each in zip(*answers, strict=True))
    pooled = table.attrs["pooled"]
    assert pooled["auroc"] == pytest.approx(Auroc(name="auroc").of(logits, labels))
    assert pooled["accuracy"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))


def test_a_name_that_the_trial_does_not_know_is_a_new_client(asked, tmp_path):
    """What has too few samples and what is nobody's are left out and counted."""
    owners = ["ward 3"] * 20 + ["ward 4"] * 20 + ["ward 5"] * 2 + [""]
    table = pfltune.evaluate_model(**asked, data=saved(tmp_path / "a.npz", owners), by_client=True)
    assert table["new"].to_dict() == {"ward 3": False, "ward 4": True}
    assert table.loc["ward 3", "samples"] == 20
    assert 0 < table.loc["ward 4", "samples"] < 20
    notes = table.attrs["notes"]
    assert "1 client of 3 with too few samples, left out: ward 5" in notes
    assert "1 of 43 samples are of no client, not tested" in notes
    every = pfltune.evaluate_model(**asked, data=saved(tmp_path / "a.npz", owners))
    assert every["new"].to_dict() == {"ward 3": True, "ward 4": True}
    assert any(
        note.startswith("ward 3: taken for new, though the trial has a client called so")
        for note in every.attrs["notes"]
    )


def test_clients_have_the_number_that_load_model_knows_and_columns_are_of_one_type(
    asked, tmp_path, called
):
    owners = ["ward 10"] * 20 + ["ward 5"] * 20
    data = saved(tmp_path / "a.npz", owners)
    table = pfltune.evaluate_model(**asked, data=data, by_client=True)
    assert table["number"].isna().to_dict() == {"ward 10": False, "ward 5": True}
    assert table.loc["ward 10", "number"] == 2
    assert {str(kind) for kind in table.dtypes} == {"float64", "int64", "Int64", "bool"}
    code, out, _ = called("evaluate", SITES, "--results", str(asked["results"]))
    assert (code, "number" in out) == (0, True)
    assert [line.split()[:3] for line in out.splitlines() if line.startswith("ward 10")] == [
        ["ward", "10", "2"]
    ]


@pytest.mark.parametrize(("width", "left"), [(60, "accuracy"), (300, None)])
def test_the_table_fits_and_says_which_figures_it_leaves_out(
    width, left, asked, called, monkeypatch
):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = called("evaluate", SITES, "--results", str(asked["results"]))
    head, first = out.splitlines()[:2]
    assert code == 0
    assert head.split()[:2] == ["client", "number"]
    assert "AUROC" in head  # what the comparison goes by
    assert first.startswith("ward")
    said = [line for line in out.splitlines() if line.startswith("no room here for")]
    assert len(said) == (left is not None)
    assert all(left in line and left not in head for line in said)


def test_figures_of_other_data_are_not_shown_beside_what_was_recorded(asked, tmp_path):
    """The same clients with other images, or split in another way."""
    x, y = digits()
    owners = np.load(Path(asked["results"], "wards.npz"))["clients"]
    np.savez(tmp_path / "same.npz", images=x, labels=y, clients=owners)
    np.savez(tmp_path / "other.npz", images=255 - x, labels=y, clients=owners)
    moved = pfltune.evaluate_model(**asked, overrides=[f"data.name=npz:{tmp_path}/same.npz"])
    assert (moved["test"] == moved["recorded"]).all()
    for override, told in (
        (f"data.name=npz:{tmp_path}/other.npz", "the images of wards are others by now"),
        ("split.test=0.4", "the clients of wards are others by now"),
    ):
        with pytest.raises(UserError, match=told):
            pfltune.evaluate_model(**asked, overrides=[override])


def test_of_a_given_split_known_clients_are_tested_on_the_tests_alone(asked, tmp_path):
    owners, splits = ["ward 3"] * 20 + ["ward 9"] * 20, (["train"] * 6 + ["test"] * 4) * 4
    data = saved(tmp_path / "a.npz", owners, splits)
    table = pfltune.evaluate_model(**asked, data=data, by_client=True)
    assert table["samples"].to_dict() == {"ward 3": 8, "ward 9": 8}
    assert "12 of 40 samples are given for other parts, not tested" in table.attrs["notes"]
    data = saved(tmp_path / "c.npz", [*owners, *["ward 2"] * 9], [*splits, *["train"] * 9])
    table = pfltune.evaluate_model(**asked, data=data, by_client=True)
    told = "1 client of 3 without samples given for tests, left out: ward 2"
    assert told in table.attrs["notes"]
    data = saved(tmp_path / "b.npz", owners, ["train"] * 40)
    with pytest.raises(UserError, match=r"b\.npz has nothing to test: all is given for other"):
        pfltune.evaluate_model(**asked, data=data, client=1)


@pytest.mark.parametrize(
    ("owners", "told"),
    [
        (["ward 7"] * 9, r"unknown client of fedper-confirm-. 'ward 7' .*: ward 10, ward 2"),
        (["ward 3"] * 4 + ["1"] * 4, "1 and ward 3 are one client of fedper-confirm-"),
    ],
)
def test_data_of_nobody_known_or_of_one_twice_are_refused(asked, tmp_path, owners, told):
    with pytest.raises(UserError, match=told):
        pfltune.evaluate_model(**asked, data=saved(tmp_path / "a.npz", owners), by_client=True)


def test_data_without_clients_say_how_they_would_have_some(asked, tmp_path):
    x, y = digits(9)
    np.savez(tmp_path / "bare.npz", images=x, labels=y)
    with pytest.raises(UserError, match=r"has no clients: .* an array clients"):
        pfltune.evaluate_model(**asked, data=str(tmp_path / "bare.npz"), by_client=True)


def test_a_figure_of_which_there_is_nothing_is_none_in_json(asked, tmp_path, called):
    """AUROC of samples of one class."""
    x, y = digits()
    zeros = np.flatnonzero(y == 0)
    owners = ["ward 3"] * len(zeros)
    np.savez(tmp_path / "a.npz", images=x[zeros], labels=y[zeros], clients=owners)
    whose = ("evaluate", SITES, "--results", str(asked["results"]), "--by-client")
    code, out, _ = called(*whose, "--data", f"{tmp_path}/a.npz", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["metric"] == "auroc"
    assert found["clients"][0]["auroc"] is None
    assert found["mean"]["auroc"] is None
    assert "auroc" not in found["pooled"]
    code, out, _ = called(*whose, "--data", f"{tmp_path}/a.npz")
    assert (code, "–" in out) == (0, True)


def test_a_metric_whose_file_is_another_one_is_not_run(sites, asked):
    file = Path(sites, "sure.py")
    before = file.read_text()
    try:
        file.write_text("raise SystemExit('I ran')\n" + before)
        with pytest.raises(UserError, match=r"sure\.py is not the file that fedper-confirm-"):
            pfltune.evaluate_model(**asked)
    finally:
        file.write_text(before)
