"""A trial as Ray runs it, without Ray: what it says at its end, and how it fails."""

import traceback
from dataclasses import replace

import pytest

from pfltune.federation.compute import Compute
from pfltune.running.given import Given, to_config
from pfltune.running.trainable import FederatedTrainable
from pfltune.running.trial_options import TrialOptions
from pfltune.search.candidate import Candidate


def last_result(ground, tmp_path, method="fedper", stage="confirm", **limits):
    candidate = Candidate(method, stage, 0, -1, seed=0, knobs={})
    options = TrialOptions(str(tmp_path / "checkpoints"), **limits)
    trainable = object.__new__(FederatedTrainable)
    trainable.setup(
        to_config("cell", candidate),
        {"cell": Given({stage: ground}, Compute(), options)},
    )
    result = trainable.step()
    while not result.get("done"):
        result = trainable.step()
    return result


def test_what_was_selected_names_the_clients_and_counts_their_samples(federation, tmp_path):
    """An unseen client is none of them, so that a figure is not taken for its neighbour's."""
    selected = last_result(replace(federation, unseen=frozenset({1})), tmp_path)["selected"]
    assert selected["clients"] == [0, 2, 3]
    assert selected["samples"] == {"val": [3, 5, 6], "test": [4, 6, 5]}
    for part, samples in selected["samples"].items():
        hits = [share * n for share, n in zip(selected[part], samples, strict=True)]
        assert hits == pytest.approx([round(each) for each in hits])


def test_a_search_trial_has_no_test_samples(federation, tmp_path):
    selected = last_result(federation.without_test(), tmp_path, stage="search")["selected"]
    assert selected["test"] == []
    assert selected["samples"].keys() == {"val"}


SOURCE = """
import sys
from dataclasses import dataclass
from pfltune.method import Method


@dataclass(frozen=True, kw_only=True)
class Failing(Method):
    def {hook}:
        {raised}
"""


@pytest.mark.parametrize(
    ("hook", "raised", "words"),
    [
        ("phases(self)", "sys.exit(0)", "SystemExit: 0"),
        ("train(self, work, down, personal)", "raise ValueError('a\\nb')", "ValueError: a b"),
        ("aggregate(self, server, uploads, work)", "1 / 0", "by zero (aggregation, round 1)"),
        ("adapt(self)", "return 1 / len(str(self)[:0])", "ZeroDivisionError: division by zero"),
    ],
)
def test_whatever_a_method_raises_is_a_failed_trial_in_one_line(
    hook, raised, words, federation, tmp_path
):
    path = tmp_path / "failing.py"
    path.write_text(SOURCE.format(hook=hook, raised=raised))
    result = last_result(federation, tmp_path, method=f"{path}:Failing")
    assert words in result["failure"]
    assert "\n" not in result["failure"]
    assert result["own_fault"]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("hook", "raised"),
    [
        ("phases(self)", "import a_module_that_is_not_here"),
        ("aggregate(self, *_)", "import torch; raise torch.AcceleratorError('device lost')"),
        ("aggregate(self, *_)", "raise RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED')"),
        ("aggregate(self, *_)", "import time; time.sleep(60)"),
    ],
)
def test_what_another_machine_may_do_is_no_fault_of_the_trial(hook, raised, federation, tmp_path):
    """Nor is a limit of time; the trial would not fail like this elsewhere."""
    path = tmp_path / "unlucky.py"
    path.write_text(SOURCE.format(hook=hook, raised=raised))
    result = last_result(federation, tmp_path, method=f"{path}:Failing", limit_s=5.0)
    assert result["failure"]
    assert not result["own_fault"]


def test_a_method_whose_file_is_not_here_is_no_fault_of_the_trial(federation, tmp_path):
    result = last_result(federation, tmp_path, method=f"{tmp_path}/gone.py:Gone")
    assert "gone.py" in result["failure"]
    assert not result["own_fault"]


@pytest.mark.parametrize("raised", ["MemoryError('no room')", "OSError(28, 'No space left')"])
def test_a_lack_of_memory_or_disk_is_passed_on_and_ends_with_what_it_was(
    raised, federation, tmp_path
):
    """Tune starts the trial again, and shows the last line in the end."""
    path = tmp_path / "lacking.py"
    path.write_text(SOURCE.format(hook="aggregate(self, *_)", raised=f"raise {raised}"))
    with pytest.raises((MemoryError, OSError)) as caught:
        last_result(federation, tmp_path, method=f"{path}:Failing")
    assert "no" in traceback.format_exception(caught.value)[-1].lower()
