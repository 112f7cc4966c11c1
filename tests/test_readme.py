"""The README's code is run as it stands there."""

import re
from pathlib import Path

import pytest
import torch

from pfltune.federation.trial import FederatedTrial
from pfltune.registry import make_method
from pfltune.scenario import load_scenario
from pfltune.search.space import load_space

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture(scope="module")
def blocks():
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_method_in_one_file_trains_and_shares_only_its_norms(blocks, tmp_path):
    (code,) = [block for block in blocks if "class SharedNorms" in block]
    file = tmp_path / "sharednorms.py"
    file.write_text(code)
    reference = f"{file}:SharedNorms"
    federation = load_scenario("digits", ["protocol.rounds=1", "warm_start.epochs=1"]).build()
    trial = FederatedTrial(make_method(reference, {"head_epochs": "2"}), federation, seed=0)
    assert trial.step().metrics["comm/up_mb_per_round"] > 0
    assert trial.server
    assert all("norm" in name for name in trial.server)
    assert {dimension.name for dimension in load_space(reference).dimensions} == {
        "lr",
        "head_epochs",
    }


def test_the_python_call_runs(blocks, capsys):
    (code,) = [block for block in blocks if "FederatedTrial(" in block]
    torch.set_num_threads(1)
    quick = 'load_scenario("digits", ["protocol.rounds=2", "warm_start.epochs=1"])'
    exec(code.replace('load_scenario("digits")', quick), {})
    assert "test accuracy per client" in capsys.readouterr().out
