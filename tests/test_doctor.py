"""``pfltune doctor``: what it finds, how it says so, and what it counts of a GPU without one."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from pfltune.cli.doctor import _predicted
from pfltune.doctor import examination, folders, machine, measuring, services, training, versions
from pfltune.doctor.cards import CARDS, Card, card_of
from pfltune.doctor.counting import HalfPrecision, Kernel, Meter
from pfltune.doctor.finding import Finding, Place
from pfltune.doctor.ground import VIT_S, Workload
from pfltune.doctor.prediction import counts, foreseen
from pfltune.errors import Halted
from pfltune.testing.federations import TINY_VIT

PAGE = Path(__file__).parents[1] / "docs" / "howto" / "doctor.md"
ROUND = Card("Round", "Round", bfloat16=1.0, float32=0.1, bandwidth=1.0, memory=1.0)


@pytest.fixture
def here(tmp_path):
    return Place("cpu", 1, tmp_path / "results")


def on_meta(*shape):
    return torch.empty(*shape, device="meta", requires_grad=True)


def test_a_kernel_takes_the_longer_of_its_arithmetic_and_its_traffic():
    assert Kernel(flops=3 * 10**12, moved=10**9, half=True).seconds(ROUND) == 3.0
    assert Kernel(flops=3 * 10**12, moved=10**9, half=False).seconds(ROUND) == pytest.approx(30.0)
    assert Kernel(flops=10, moved=2 * 10**9, half=True).seconds(ROUND) == 2.0


def test_operations_bytes_and_memory_are_counted_as_by_hand():
    """y = x·W with x (5, 7) and W (7, 3) in float32, then its gradients by both."""
    with Meter() as meter:
        x, weights = on_meta(5, 7), on_meta(7, 3)
        assert meter.peak == 4 * (35 + 21)
        y = x @ weights
        assert meter.kernels == {Kernel(2 * 5 * 7 * 3, 4 * (35 + 21 + 15), half=False): 1}
        assert meter.flops == 210
        y.t()  # a view: no kernel, no memory
        assert meter.started == 1
        assert meter.peak == 4 * (35 + 21 + 15)
        del y
        torch.empty(2, device="meta")
        assert meter.peak == 4 * (35 + 21 + 15)
        torch.autograd.grad(x @ weights, [x, weights], on_meta(5, 3))
        assert meter.flops == 210 * 4


def test_half_precision_is_that_of_products_alone_and_attention_is_fused():
    """As torch.autocast has it on a GPU: see its documentation's lists of operations."""
    tokens, weights, query = on_meta(2, 6, 8), on_meta(8, 8), on_meta(2, 1, 6, 8)
    with Meter() as meter, HalfPrecision():
        product = F.linear(tokens, weights)
        assert product.dtype == torch.bfloat16
        assert F.layer_norm(product, [8]).dtype == torch.float32
        assert F.gelu(product).dtype == torch.bfloat16
        assert (tokens + product).dtype == torch.float32
        before = meter.started
        assert F.scaled_dot_product_attention(query, query, query).dtype == torch.bfloat16
        assert meter.started - before == 3 + 1  # three casts
    half = [kernel for kernel in meter.kernels if kernel.flops]
    assert half
    assert all(kernel.half for kernel in half)


@pytest.mark.thorough
def test_the_prediction_of_the_page_is_what_is_counted():
    """A ViT-S has 4.61 10^9 multiply-adds an image (timm), a backward pass twice as many."""
    counted = counts([VIT_S])
    images = 8 * VIT_S.batch
    assert counted[0].alone.flops / images == pytest.approx(3 * 2 * 4.61e9, rel=0.01)
    lines = list(_predicted(counted, foreseen(counted)))
    assert max(map(len, lines)) <= 80
    page = PAGE.read_text().splitlines()
    assert [line for line in lines if line not in page] == []


def test_cards_are_found_by_what_torch_calls_them():
    assert card_of("NVIDIA H100 80GB HBM3").title == "H100 SXM"
    assert card_of("NVIDIA A100-SXM4-80GB") is CARDS[0]
    assert card_of("NVIDIA GeForce RTX 4090") is None


def test_a_version_out_of_range_is_named_with_what_to_install(here, monkeypatch):
    assert versions.versions(here).state == "ok"
    known = versions.version
    monkeypatch.setattr(versions, "version", lambda n: "2.70.0" if n == "ray" else known(n))
    found = versions.versions(here)
    assert found.state == "wrong"
    assert found.words == "ray 2.70.0 is not <2.61,>=2.60"
    assert found.advice == "install 'ray<2.61,>=2.60'"


def test_a_version_that_only_an_extra_needs_is_a_note(here, monkeypatch):
    known = versions.version
    monkeypatch.setattr(versions, "version", lambda n: "0.1" if n == "datasets" else known(n))
    found = versions.versions(here)
    assert found.state == "note"
    assert "datasets 0.1 is not >=4.0 for pfltune[hf]" in found.words


def test_folders_that_cannot_be_written_are_named_and_nothing_is_written(here, monkeypatch):
    assert folders.folders(here).state == "ok"
    assert not here.results.exists()
    here.results.write_text("a file")
    found = folders.folders(here)
    assert (found.state, "is no folder" in found.words) == ("wrong", True)
    assert "--results" in found.advice
    here.results.unlink()
    here.results.mkdir()
    store = here.results / "mlflow.db"
    store.touch()
    monkeypatch.setattr(folders.os, "access", lambda path, mode: path != store)
    assert folders.folders(here).words == f"{store} cannot be written"


@pytest.fixture
def gpu(monkeypatch):
    """One H100 by what torch says; ``gpu(free, archs)`` changes it."""
    says = {
        "is_available": True,
        "device_count": 1,
        "get_device_name": "NVIDIA H100 80GB HBM3",
        "get_device_capability": (9, 0),
        "get_arch_list": ["sm_80", "sm_90"],
        "mem_get_info": (79e9, 80e9),
    }

    def change(**other):
        for name, value in {**says, **other}.items():
            monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)

    change()
    return change


def test_a_gpu_is_seen_with_what_stands_against_it(here, gpu):
    assert machine.gpus(here).state == "ok"
    gpu(mem_get_info=(40e9, 80e9))
    assert "40.0 GB of it are taken" in machine.gpus(here).words
    gpu(get_arch_list=["sm_80", "sm_100", "compute_120"])
    found = machine.gpus(here)
    assert found.state == "wrong"
    assert "sm_90" in found.advice


def test_a_driver_whose_gpu_torch_does_not_see_is_wrong(here, monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine, "DRIVER", tmp_path / "none")
    assert machine.gpus(here).state == "note"
    monkeypatch.setattr(machine, "DRIVER", tmp_path)
    assert machine.gpus(here).state == "wrong"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert machine.gpus(here).state == "note"


def test_trials_that_end_elsewhere_or_do_not_repeat_are_wrong(here, monkeypatch):
    ends = iter([0.0, 1e-5, 0.0, 2e-4, 0.0, 0.0, 0.0, 1.0])
    monkeypatch.setattr(training, "_ended", lambda *_: {"w": torch.tensor([next(ends)])})
    found = training.equality(here)
    assert found.state == "wrong"
    assert found.words.startswith("FedPerfix on cpu, 2 at once: 2.0e-04 away")
    assert training.repetition(here).state == "wrong"


def test_a_figure_that_is_no_number_is_no_equality(here, monkeypatch):
    ends = iter(({"v": 0.0, "w": torch.nan}, {"v": 0.0, "w": 0.0}) * 3)

    def told(*_):
        return {name: torch.tensor([end]) for name, end in next(ends).items()}

    monkeypatch.setattr(training, "_ended", told)
    found = training.equality(here)
    assert found.state == "wrong"
    assert not found.figures, "JSON has no such numbers"


@pytest.mark.thorough
def test_a_round_is_measured_and_held_against_matrix_products(here, monkeypatch):
    tiny = Workload("tiny", TINY_VIT, 8)
    monkeypatch.setattr(measuring, "VIT_TINY", tiny)
    found = measuring.measured(here)
    assert found.flops > 0
    room, speed = measuring.room(here, found), measuring.speed(here, found)
    assert room.state == speed.state == "ok"
    assert room.figures["peak MB"] == found.peak_mb
    share = found.flops / found.seconds / (1e12 * speed.figures["float32 TFLOP/s"])
    assert speed.figures["share of the peak"] == pytest.approx(share)


def test_matrix_products_far_below_the_data_sheet_are_a_note(monkeypatch):
    class Predicted:
        def seconds(self, card):
            return 0.06

    monkeypatch.setattr(measuring, "metered", lambda *_, **__: Predicted())
    found = measuring.Measured(VIT_S, "bfloat16", 0.1, 14e12, 2e3)
    card = card_of("H100")
    told = [measuring._against(card, Finding("speed", "ok", ""), found, p) for p in (7e14, 4e14)]
    assert [each.state for each in told] == ["ok", "note"]
    assert told[0].figures["roofline ms"] == 60.0


def test_one_check_that_fails_stops_no_other_and_the_page_fits(called, monkeypatch, tmp_path):
    def halts(*_, **__):
        raise Halted("Ray did not start in /tmp (no room); make room there")

    def breaks(_):
        raise RuntimeError("at mysql://me:secret@there")

    long = Finding("folders", "note", "word " * 40, "do this " * 20, {"free MB": 1.0})
    monkeypatch.setattr(services, "worker_pool", halts)
    monkeypatch.setattr(
        examination, "FIRST", {"versions": versions.versions, "folders": lambda _: long}
    )
    monkeypatch.setattr(examination, "LAST", {"Ray": services.ray_starts, "MLflow": breaks})
    arguments = ("doctor", "--device", "cpu", "--quick", "--results", str(tmp_path))
    code, out, _ = called(*arguments)
    assert code == 1
    assert "secret" not in out
    assert max(map(len, out.splitlines())) <= 80
    marks = [line.split()[:2] for line in out.splitlines() if line[0] != " "]
    assert marks[:4] == [
        ["ok", "versions"],
        ["note", "folders"],
        ["wrong", "Ray"],
        ["wrong", "MLflow"],
    ]
    assert out.splitlines()[-1] == "4 checks: 2 wrong, 1 note"
    code, out, _ = called(*arguments, "--json")
    checks = json.loads(out)["checks"]
    assert code == 1
    assert [each["state"] for each in checks] == ["ok", "note", "wrong", "wrong"]
    assert checks[1]["figures"] == {"free MB": 1.0}
    assert called("doctor", "--device", "tpu")[0] == 2


@pytest.mark.slow
def test_nothing_is_wrong_where_the_tests_run_and_nothing_is_left(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = called("doctor", "--device", "cpu", "--quick", "--json")
    assert code == 0, out
    assert not err
    assert {each["check"] for each in json.loads(out)["checks"]} >= {"equality", "Ray", "MLflow"}
    assert not list(tmp_path.iterdir())
