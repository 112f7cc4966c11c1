"""`precision: auto` is measured once for each machine and model, and chooses the faster way."""

import json

import pytest
from click.testing import CliRunner

from pfltune.cli.app import root
from pfltune.data.home import data_root
from pfltune.federation import autotune as module
from pfltune.federation.autotune import fastest
from pfltune.federation.compute import Compute
from pfltune.federation.trial import FederatedTrial


@pytest.fixture(autouse=True)
def nothing_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PFLTUNE_DATA", str(tmp_path))


@pytest.fixture
def taking(monkeypatch):
    """``taking(0.2, 0.1)`` lets the ways take so many seconds; returns how often it was asked."""

    def pretend(*seconds):
        asked = []

        def measured(ways, federation):
            asked.append(ways)
            return list(seconds)

        monkeypatch.setattr(module, "_measured", measured)
        return asked

    return pretend


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_precision_that_is_asked_for_is_taken_without_a_measurement(
    precision, federation, taking
):
    asked = taking()
    assert fastest(precision, Compute(), federation) == Compute(precision=precision)
    assert not asked


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [((0.2, 0.1), "bfloat16"), ((0.1, 0.2), "float32"), ((0.100, 0.095), "float32")],
)
def test_auto_takes_the_faster_and_float32_where_both_are_about_as_fast(
    seconds, chosen, federation, taking
):
    taking(*seconds)
    assert fastest("auto", Compute(), federation).precision == chosen


def test_the_answer_is_kept_for_the_same_machine_and_model_only(
    federation, make_federation, taking
):
    asked = taking(0.2, 0.1)
    first = fastest("auto", Compute(), federation)
    taking(0.1, 0.2)
    assert fastest("auto", Compute(), federation) == first
    assert len(asked) == 1
    assert fastest("auto", Compute(), make_federation(batch_size=4)).precision == "float32"


def test_room_for_states_is_the_callers(federation, taking):
    taking(0.2, 0.1)
    assert fastest("auto", Compute(state_mb=7), federation).state_mb == 7


def test_a_gpu_may_also_train_clients_together(federation, taking, monkeypatch):
    monkeypatch.setattr(module, "processor_name", lambda device: "a GPU")
    asked = taking(0.4, 0.3, 0.2, 0.1)
    together = federation.protocol.sampled_clients
    assert fastest("auto", Compute("cuda"), federation) == Compute("cuda", "bfloat16", together)
    assert [way.cohort for way in asked[0]] == [1, together, 1, together]


def test_a_real_measurement_times_both_and_writes_them_down(federation, monkeypatch):
    stepped = []
    step = FederatedTrial.step

    def spy(self):
        stepped.append(self.compute.precision)
        return step(self)

    monkeypatch.setattr(FederatedTrial, "step", spy)
    chosen = fastest("auto", Compute(), federation)
    assert set(stepped) == {"float32", "bfloat16"}
    (file,) = (data_root() / "compute").glob("*.json")
    kept = json.loads(file.read_text())
    assert min(kept["seconds"]) > 0
    assert kept["chosen"] == {"precision": chosen.precision, "cohort": 1}


def test_an_unknown_precision_is_refused_with_the_choices():
    answer = CliRunner().invoke(root, ["run", "fedavg", "--precision", "half"])
    assert answer.exit_code == 2
    for word in ("half", "auto", "float32", "bfloat16"):
        assert word in answer.output


def test_what_else_a_machine_does_is_no_part_of_a_measurement_on_a_cpu(federation, monkeypatch):
    """The clock of the wall goes a thousand seconds ahead in each step."""
    passed = iter(range(0, 10**9, 1000))
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(passed)))
    found = module._measured([Compute(), Compute(precision="bfloat16")], federation)
    assert all(0 < seconds < 1000 for seconds in found)
