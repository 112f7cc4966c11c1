"""Kept models of a comparison: which are kept, what they say, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from trained import compare_small

import pfltune
from pfltune.budget import Budget
from pfltune.errors import UserError
from pfltune.models.assembled import is_plain
from pfltune.models.kept import MANIFEST, ModelFolder, folder_of, kept_models
from pfltune.report.results import read_results
from pfltune.scenario import load_scenario
from pfltune.tracking.journal import JOURNAL

NAME = "mine"
METHODS = ["fedavg", "fedper", "fedperfix[prefix=tokens]"]
KINDS = pytest.mark.parametrize("method", METHODS)
BUDGET = Budget(generations=(1,), seeds=2)
SHORT = ["protocol.rounds=2"]


@pytest.fixture(scope="session")
def kept(made_once):
    """The results folder of a comparison that kept the best models of four methods."""

    def make(folder):
        compare_small(folder, NAME, METHODS, BUDGET, overrides=SHORT, keep="best")
        return folder

    return made_once("kept models", make)


@pytest.fixture
def own(kept, tmp_path):
    """A copy of it that may be changed."""
    return shutil.copytree(kept, tmp_path / "results")


def images(kept, count=20):
    """Digits as they are in the data set."""
    return load_scenario("digits").dataset().images[:count]


def test_of_each_method_the_trial_that_is_best_on_validation_data_is_kept(kept):
    found = {m.manifest.short_name: m.manifest for m in kept_models(kept / NAME)}
    assert list(found) == sorted(METHODS, key=lambda m: folder_of(m, 0, 0))
    for method in read_results(kept, NAME).methods:
        val = [sum(run.val) / len(run.val) for run in method.runs]
        manifest = found[method.name]
        assert manifest.index == val.index(max(val))
        assert manifest.val == pytest.approx(max(val))
        run = method.runs[manifest.index]
        assert [each.test for each in manifest.clients] == list(run.test)
        assert (manifest.seed, manifest.knobs["lr"]) == (run.seed, run.knobs["lr"])
    assert not (kept / "checkpoints").exists() or not any((kept / "checkpoints").iterdir())


@KINDS
def test_tested_again_on_their_own_samples_they_have_what_was_recorded(kept, method):
    table = pfltune.evaluate_model(NAME, method=method, results=kept)
    assert len(table) == 3
    assert (table["test"] == table["recorded"]).all()
    (found,) = (m for m in read_results(kept, NAME).methods if m.name == method)
    assert list(table["test"]) in [list(run.test) for run in found.runs]


@pytest.mark.thorough
def test_so_have_models_with_weights_in_8_bits_and_adapters_of_a_clients_own_rank(tmp_path):
    names = ["fedzo", "hetlora"]
    budget = Budget(generations=(1,), seeds=1)
    compare_small(tmp_path, NAME, names, budget, overrides=SHORT, keep="best")
    for name in names:
        table = pfltune.evaluate_model(NAME, method=name, results=tmp_path)
        assert (table["test"] == table["recorded"]).all()
        file, x = tmp_path / f"{name}.safetensors", images(tmp_path).numpy()
        for client in (0, 1, 2):
            model = pfltune.load_model(NAME, method=name, client=client, results=tmp_path)
            pfltune.export_model(NAME, file, method=name, client=client, results=tmp_path)
            again = pfltune.load_model(file)
            assert (again.predict(x).labels == model.predict(x).labels).all()


@KINDS
def test_an_exported_file_says_what_the_kept_model_says(kept, method, tmp_path):
    model = pfltune.load_model(NAME, method=method, client=1, results=kept)
    file = tmp_path / "one.safetensors"
    told = pfltune.export_model(NAME, file, method=method, client=1, results=kept)
    again = pfltune.load_model(file)
    assert torch.equal(again.logits(images(kept)), model.logits(images(kept)))
    assert again.client == 1
    assert again.figures == model.figures
    assert ("timm.create_model" in told) == is_plain(model.manifest)
    assert is_plain(model.manifest) == (method in ("fedavg", "fedper"))


@pytest.mark.parametrize("method", ["fedavg", "fedper"])
def test_where_the_model_is_plain_timm_alone_reads_it(kept, method, tmp_path):
    import timm
    from safetensors import safe_open

    model = pfltune.load_model(NAME, method=method, client=2, results=kept)
    file = tmp_path / "plain.safetensors"
    pfltune.export_model(NAME, file, method=method, client=2, results=kept)
    with safe_open(file, "pt") as opened:
        arguments = json.loads(opened.metadata()["timm"])
    plain = timm.create_model(**arguments).eval()
    plain.load_state_dict(load_file(file))
    with torch.inference_mode():
        logits = plain(images(kept).float() / 127.5 - 1)
    assert torch.allclose(logits, model.logits(images(kept)), atol=1e-6)


def test_clients_with_parts_of_their_own_have_models_of_their_own(kept):
    def logits(method, client):
        return pfltune.load_model(NAME, method=method, client=client, results=kept).logits(x)

    x = images(kept)
    assert torch.equal(logits("fedavg", 0), logits("fedavg", 1))
    assert not torch.equal(logits("fedper", 0), logits("fedper", 1))


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["fedper", "fedperfix[prefix=tokens]"])
def test_onnx_says_what_torch_says(kept, method, tmp_path):
    assert_onnx_says_the_same(kept, method, tmp_path / "one.onnx")


@pytest.mark.thorough
def test_onnx_of_a_method_that_looks_twice_takes_any_batch_too(tmp_path):
    """FedDPA's graph was fixed to the eight images that it had been drawn with."""
    budget = Budget(generations=(1,), seeds=1)
    compare_small(tmp_path, NAME, ["feddpa"], budget, overrides=["protocol.rounds=1"], keep="best")
    assert_onnx_says_the_same(tmp_path, "feddpa", tmp_path / "one.onnx")


def assert_onnx_says_the_same(results, method, file):
    """In batches of several sizes, as torch says it."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    told = pfltune.export_model(NAME, file, method=method, client=0, results=results)
    assert "uint8 images (batch, 1, 8, 8)" in told
    x = images(results)
    wanted = pfltune.load_model(NAME, method=method, client=0, results=results).logits(x).numpy()
    session = onnxruntime.InferenceSession(str(file))
    for some in (1, 2, 7, 20):
        (found,) = session.run(None, {"images": x[:some].numpy()})
        assert np.allclose(found, wanted[:some], atol=1e-4)


@pytest.mark.thorough
def test_onnx_that_says_something_else_is_not_published(kept, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    monkeypatch.setattr("pfltune.models.exported.CLOSE", -1.0)
    with pytest.raises(UserError, match=r"one\.onnx is not written: onnxruntime's logits"):
        pfltune.export_model(NAME, tmp_path / "one.onnx", method="fedavg", results=kept)
    assert not any(tmp_path.iterdir())


def test_images_may_be_arrays_in_any_layout_or_files(kept, tmp_path):
    model = pfltune.load_model(NAME, method="fedper", results=kept)
    x = images(kept, 4)
    wanted = model.predict(x)
    for same in (x.numpy(), x.numpy()[:, 0], np.moveaxis(x.numpy(), 1, -1), list(x.numpy())):
        assert np.array_equal(model.predict(same).labels, wanted.labels)
    assert np.array_equal(model.predict(x[0, 0].numpy()).labels, wanted.labels[:1])
    for number, image in enumerate(x):
        Image.fromarray(image[0].numpy()).save(tmp_path / f"{number}.png")
    found = model.predict(tmp_path)
    assert np.array_equal(found.labels, wanted.labels)
    assert found.names == [model.class_names[label] for label in wanted.labels]
    assert found.probabilities.sum(1) == pytest.approx(1)
    (tmp_path / "@eaDir").mkdir()
    for beside in (".hidden.png", "0.txt", "@eaDir/0.png"):
        (tmp_path / beside).write_text("no image")
    (tmp_path / "circle").symlink_to(tmp_path)
    assert np.array_equal(model.predict(tmp_path).labels, wanted.labels)
    larger = np.repeat(np.repeat(x.numpy(), 3, axis=2), 3, axis=3)
    assert model.predict(larger).labels.shape == (4,)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (np.zeros((2, 8, 8), np.float32), "images are float32; they must be uint8"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"images of shape \(2, 3, 8, 8\); possible"),
        (np.zeros((2, 0, 8), np.uint8), "images of shape"),
        ("nowhere.png", "there is no image nowhere.png"),
        ([np.zeros((8, 8), np.uint8), np.zeros((9, 8), np.uint8)], "images of several shapes"),
    ],
)
def test_what_is_no_image_is_told_in_one_line(kept, given, told):
    model = pfltune.load_model(NAME, method="fedper", results=kept)
    with pytest.raises(UserError, match=told):
        model.predict(given)


def test_other_data_are_tested_with_a_clients_model_or_by_new_clients(kept, tmp_path):
    dataset = load_scenario("digits").dataset()
    x, y = dataset.images[:200].numpy(), dataset.labels[:200].numpy()
    np.savez(tmp_path / "more.npz", images=x, labels=y)
    asked = {"method": "fedper", "results": kept}
    table = pfltune.evaluate_model(NAME, tmp_path / "more.npz", client=1, **asked)
    predicted = pfltune.load_model(NAME, client=1, **asked).predict(x).labels
    assert table.loc["1", "test"] == (predicted == y).mean()
    assert table.loc["1", "samples"] == 200

    new = pfltune.evaluate_model(NAME, tmp_path / "more.npz", **asked)
    assert list(new.index) == ["new"]
    assert 0 < new.loc["new", "samples"] < 200
    assert 0 <= new.loc["new", "test"] <= 1


def test_data_by_client_meet_each_ones_own_model(kept, tmp_path):
    dataset = load_scenario("digits").dataset()
    for client in (0, 2):
        for number in range(30):
            folder = tmp_path / "by" / str(client) / dataset.class_names[dataset.labels[number]]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(dataset.images[number, 0].numpy()).save(folder / f"{number}.png")
    asked = {"method": "fedper", "results": kept}
    table = pfltune.evaluate_model(NAME, f"domains:{tmp_path / 'by'}", by_client=True, **asked)
    for client in (0, 2):
        model = pfltune.load_model(NAME, client=client, **asked)
        found = model.predict(dataset.images[:30]).labels == dataset.labels[:30].numpy()
        assert table.loc[str(client), "test"] == found.mean()
    (tmp_path / "by" / "2").rename(tmp_path / "by" / "7")
    table = pfltune.evaluate_model(NAME, f"clients:{tmp_path / 'by'}", by_client=True, **asked)
    assert table["new"].to_dict() == {"0": False, "7": True}
    assert table.loc["0", "samples"] == 30
    assert 0 < table.loc["7", "samples"] < 30, "it has trained on the others"
    (tmp_path / "by" / "0").rename(tmp_path / "by" / "8")
    with pytest.raises(UserError, match=r"unknown client of fedper-confirm-. '7'"):
        pfltune.evaluate_model(NAME, f"domains:{tmp_path / 'by'}", by_client=True, **asked)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, r"say of which --method: fedavg, .* are kept"),
        ({"method": "local"}, "unknown method with a kept model in mine 'local'"),
        ({"method": "fedper", "client": 3}, "unknown client of fedper-confirm-. '3'"),
        ({"trial": "fedper-confirm-9"}, "unknown kept model of mine 'fedper-confirm-9'"),
    ],
)
def test_what_is_not_kept_is_told_with_what_is(kept, asked, told):
    with pytest.raises(UserError, match=told):
        pfltune.load_model(NAME, results=kept, **asked)


def test_a_comparison_without_models_says_how_to_have_some(own):
    shutil.rmtree(own / NAME / "models")
    with pytest.raises(UserError, match="mine has no kept model; go on with it with --resume mine"):
        pfltune.load_model(NAME, method="fedper", results=own)


def test_titles_name_methods_too(kept):
    model = pfltune.load_model(NAME, method="FedPer", results=kept)
    assert model.manifest.short_name == "fedper"


# ------------------------------------------------------- trained again for their models


def lines(results):
    return (results / NAME / JOURNAL).read_bytes()


def test_what_is_known_without_a_model_is_trained_again_and_told_nothing_of(own, kept, capsys):
    """The journal of the comparison stays, byte for byte, and the files come out the same."""
    shutil.rmtree(own / NAME / "models" / "fedper")
    before = lines(own)
    compare_small(own, NAME, METHODS, BUDGET, overrides=SHORT, keep="best")
    assert "1 confirmation trial trained again, for models that nobody has kept" in (
        capsys.readouterr().out
    )
    assert lines(own) == before
    (there,) = (kept / NAME / "models" / "fedper").iterdir()
    (here,) = (own / NAME / "models" / "fedper").iterdir()
    assert here.name == there.name
    for file in there.iterdir():
        if file.name != MANIFEST:
            assert (here / file.name).read_bytes() == file.read_bytes()
    for one, other in ((here, there), (there, here)):
        assert ModelFolder.read(one).manifest.bundle == ModelFolder.read(other).manifest.bundle


def test_all_of_them_are_kept_when_that_is_asked_for(own, capsys):
    compare_small(own, NAME, METHODS, BUDGET, overrides=SHORT, keep="all")
    assert "3 confirmation trials trained again" in capsys.readouterr().out
    trials = {m.manifest.trial for m in kept_models(own / NAME)}
    assert trials == {f"{method}-confirm-{index}" for method in METHODS for index in (0, 1)}
    compare_small(own, NAME, METHODS, BUDGET, overrides=SHORT, keep="all")
    assert "trained again" not in capsys.readouterr().out, "they are there"


def test_a_trial_that_comes_to_other_figures_gets_no_model(own, capsys, monkeypatch):
    shutil.rmtree(own / NAME / "models" / "fedavg")
    from pfltune.method import Method

    monkeypatch.setattr(
        Method,
        "download",
        lambda self, server, client: {name: tensor + 0.5 for name, tensor in server.items()},
    )
    compare_small(own, NAME, METHODS, BUDGET, overrides=SHORT, keep="best")
    assert "trained again, to other figures than it is told with" in capsys.readouterr().out
    assert not any((own / NAME / "models").glob("fedavg/*/model.json"))


# ------------------------------------------------------------------ models of strangers


def manifest_of(results, method="fedper"):
    (path,) = (results / NAME / "models" / method).glob(f"*/{MANIFEST}")
    return path, json.loads(path.read_text())


def load(results, **asked):
    return pfltune.load_model(NAME, **{"method": "fedper", **asked}, results=results).module


def test_a_file_that_was_changed_is_refused(own):
    path, _ = manifest_of(own)
    file = path.parent / "client-0.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"client-0\.safetensors is not what was written"):
        load(own)


def test_a_folder_with_a_file_too_few_or_too_long_is_no_model(own):
    path, _ = manifest_of(own)
    with (path.parent / "server.safetensors").open("ab") as file:
        file.write(b"more")
    with pytest.raises(UserError, match="unknown method with a kept model"):
        load(own)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: m["scenario"]["backbone"].update(width=65536, heads=2), "says that its model"),
        (lambda m: m["scenario"]["backbone"].update(depth=2), "numbers|lacks"),
        (lambda m: m["bundle"].update(class_names=["a"]), "there|has"),
        (lambda m: m.update(method="nobody"), "unknown method 'nobody'"),
        (lambda m: m.update(format=2), "is damaged"),
        (lambda m: m["knobs"].update(lr="fast"), "lr"),
        (lambda m: m["bundle"]["heard"].update({"0": "elsewhere"}), "is damaged"),
    ],
)
def test_a_manifest_that_says_what_cannot_be_is_one_line(own, change, told):
    path, manifest = manifest_of(own)
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=told) as caught:
        load(own, method=None, trial=manifest["trial"])
    assert "\n" not in str(caught.value)


def test_a_model_too_large_for_its_file_takes_no_memory(own):
    """A head for as many classes as there is memory for nowhere."""
    path, manifest = manifest_of(own)
    manifest["scenario"]["backbone"].update(width=2**20, heads=1)
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="says that its model has"):
        load(own)


METHOD = """
from dataclasses import dataclass
from pfltune import Method, parts

@dataclass(frozen=True, kw_only=True)
class Mine(Method):
    def personal_part(self, model):
        return parts.head(model)
"""


@pytest.fixture
def strange(tmp_path):
    """The results of a method from a file, and the file."""
    file = tmp_path / "mine.py"
    file.write_text(METHOD)
    compare_small(
        tmp_path / "results", NAME, [f"{file}:Mine"], BUDGET, overrides=SHORT, keep="best"
    )
    return tmp_path / "results", file


def test_a_methods_file_is_run_only_if_it_is_the_one(strange):
    results, file = strange
    assert load(results, method="mine") is not None
    file.write_text("raise SystemExit('I ran')\n" + METHOD)
    with pytest.raises(UserError, match=r"mine\.py is not the file that mine-confirm-. of mine"):
        load(results, method="mine")
    file.unlink()
    with pytest.raises(UserError, match=r"the file of mine, which mine-confirm-. needs, is not at"):
        load(results, method="mine")


def test_an_exported_file_runs_no_code_that_only_it_names(strange, tmp_path):
    results, _ = strange
    target = tmp_path / "out.safetensors"
    pfltune.export_model(NAME, target, method="mine", results=results)
    with pytest.raises(UserError, match=r"needs the code of mine, which is not run .* --code"):
        pfltune.load_model(target)
    copy = tmp_path / "copies" / "mine.py"
    copy.parent.mkdir()
    copy.write_text(METHOD)
    assert pfltune.load_model(target, code=[f"{copy}:Mine"]).module is not None
    copy.write_text(METHOD + "# changed\n")
    with pytest.raises(UserError, match="is not the file that"):
        pfltune.load_model(target, code=[f"{copy}:Mine"])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "cannot be read as safetensors"),
        (b"\xff" * 8, "its header would have"),
        (b"\x02" + b"\0" * 7 + b"[]", "its header is no mapping"),
        (b"\x02" + b"\0" * 7 + b"{}", "is no model that pfltune export wrote"),
        (b"\x04" + b"\0" * 7 + b"{}{}", "cannot be read as safetensors"),
    ],
)
def test_what_is_no_exported_model_is_one_line(tmp_path, content, told):
    file = tmp_path / "bad.safetensors"
    file.write_bytes(content)
    with pytest.raises(UserError, match=told):
        pfltune.load_model(file)


def test_tensors_of_anybody_are_no_exported_model(tmp_path):
    save_file({"x": torch.ones(1)}, tmp_path / "x.safetensors", metadata={"pfltune": "{}"})
    with pytest.raises(UserError, match=r"x\.safetensors"):
        pfltune.load_model(tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="there is no file"):
        pfltune.load_model(tmp_path / "none.safetensors")


# ------------------------------------------------------------------------ command line


def test_export_says_what_reads_the_file(kept, called, tmp_path):
    target = tmp_path / "a.safetensors"
    whose = ["--method", "fedavg", "--client", "1", "--results", str(kept)]
    code, out, _ = called("export", NAME, *whose, "--to", str(target))
    assert code == 0
    assert "timm.create_model(" in out
    assert target.is_file()
    for arguments, told in (
        (["--to", "a.bin"], "must end in .safetensors or .onnx"),
        ([], "say with --optuna"),
        (["--to", "a.onnx", "--optuna", "sqlite:///a.db"], "say with --optuna"),
        (["--optuna", "sqlite:///a.db"], "which needs --to FILE"),
    ):
        code, _, err = called("export", NAME, *whose, *arguments)
        assert (code, told in err) == (2, True)


def test_export_takes_the_place_of_a_model_of_its_own_alone(kept, called, own, tmp_path):
    whose = ["--method", "fedavg", "--results", str(own)]
    target = tmp_path / "a.safetensors"
    for _ in range(2):
        assert called("export", NAME, *whose, "--to", str(target))[0] == 0
    others = tmp_path / "others.safetensors"
    save_file({"x": torch.ones(1)}, others)
    (tmp_path / "words.onnx").write_text("mine")
    (tmp_path / "link.safetensors").symlink_to(target)
    (client,) = (own / NAME / "models" / "fedper").rglob("client-1.safetensors")
    shutil.copytree(own / NAME, own / "other", ignore=shutil.ignore_patterns("report"))
    record = own / "other" / "comparison.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "id": "f" * 32}))
    for path, told in (
        (others, "is no model that pfltune export wrote; name another file with --to"),
        (tmp_path / "words.onnx", "is no model that pfltune export wrote"),
        (tmp_path / "link.safetensors", "is no model that pfltune export wrote"),
        (client, "is no model that pfltune export wrote"),
        (own / "other" / "new.safetensors", "is in the folder of the comparison other"),
    ):
        before = path.read_bytes() if path.exists() else None
        code, _, err = called("export", NAME, *whose, "--to", str(path))
        assert (code, err.count("\n"), told in err) == (2, 1, True), err
        assert (path.read_bytes() if path.exists() else None) == before


def test_predict_prints_a_class_for_each_image(kept, called, tmp_path):
    for number, image in enumerate(images(kept, 2)):
        Image.fromarray(image[0].numpy()).save(tmp_path / f"{number}.png")
    whose = [NAME, "--method", "fedper", "--client", "1", "--results", str(kept)]
    code, out, _ = called("predict", *whose, str(tmp_path))
    assert code == 0
    assert [line.partition(":")[0] for line in out.splitlines()] == [
        str(tmp_path / "0.png"),
        str(tmp_path / "1.png"),
    ]
    code, out, _ = called("predict", *whose, str(tmp_path / "1.png"), "--json")
    found = json.loads(out)
    assert found["client"] == 1
    (image,) = found["images"]
    assert image["class"] == max(image["probabilities"], key=image["probabilities"].get)


def test_evaluate_prints_what_was_recorded(kept, called, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    whose = [NAME, "--method", "fedper", "--results", str(kept)]
    code, out, _ = called("evaluate", *whose)
    assert code == 0
    *_, one, two, three, mean, together = out.splitlines()
    for line in (one, two, three, mean):
        _, samples, tested, recorded, *others = line.split()
        assert tested == recorded
        assert int(samples) > 0
        assert len(others) == 5
    assert (mean.split()[0], together.split()[0]) == ("mean", "together")
    code, out, _ = called("evaluate", *whose, "--json")
    found = json.loads(out)
    assert all(row["test"] == row["recorded"] for row in found["clients"])
    assert found["metric"] == "accuracy"
    assert found["pooled"]["samples"] == sum(row["samples"] for row in found["clients"])
    assert found["mean"].keys() == found["pooled"].keys() - {"samples"}
    code, _, err = called("evaluate", *whose, "--client", "1")
    assert (code, "--data" in err) == (2, True)


def test_names_of_folders_are_safe_and_of_no_two_methods():
    names = ["fedavg", "a[b=c/d]", "a[b=c-d]", "fedper+topk", "x" * 300, "x" * 301, "é"]
    folders = [folder_of(name, 0, 3) for name in names]
    assert len(set(folders)) == len(names)
    assert all("/" not in above and len(above) < 120 for above, _ in folders)
    assert folder_of("fedavg", 0, 3) == ("fedavg", "confirm-3")
    assert folder_of("fedavg", 2, 3) == ("fedavg", "confirm-s2-3")
    assert Path(folders[1][0]).name == folders[1][0]
