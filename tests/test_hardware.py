"""What a machine has no room for, and what methods say that they need of it."""

from contextlib import nullcontext

import pytest

from pfltune.budget import Budget
from pfltune.errors import UserError
from pfltune.federation import memory
from pfltune.federation.compute import Compute
from pfltune.running import hardware
from pfltune.running.hardware import Hardware, precision_for
from pfltune.running.pool import most_memory
from pfltune.scenario import load_scenario
from pfltune.studies.comparison import methods_at_ends, plan_on
from pfltune.studies.spaces import space_options


def of(workers, share=0.0, device="cpu", address=None, memory_mb=None):
    return Hardware(workers, 1, share, Compute(device=device), address, memory_mb)


@pytest.fixture
def whole(monkeypatch):
    """16 GB, whatever the device."""
    monkeypatch.setattr(hardware, "whole_mb", lambda device: 16_000.0)


@pytest.mark.parametrize(
    ("which", "size", "told"),
    [
        (of(2), 4000.0, ""),
        (of(2), 4001.0, "4.0 GB, and twice that .* in each of 2 trials at once; there are 16.0 GB"),
        (of(4), 3000.0, "--workers 2 at most, or fewer clients or a smaller backbone$"),
        (of(1), 8001.0, "in each of 1 trial at once; there are 16.0 GB: fewer clients or"),
        (of(8, share=0.5, device="cuda"), 4000.0, ""),
        (of(8, share=0.5, device="cuda"), 4001.0, "in each of 2 trials"),
        (of(1, share=0.25, device="cuda"), 8000.0, ""),
        (of(1, share=2.0, device="cuda"), 8001.0, "in each of 1 trial"),
        (of(8, address="there:1"), 1e9, ""),
        (of(8, address="there:1", memory_mb=2000.0), 1000.0, ""),
        (of(8, address="there:1", memory_mb=2000.0), 1001.0, "in each of 1 trial .* 2.0 GB: fewer"),
        (of(8, device="cuda", address="there:1", memory_mb=2000.0), 1e9, ""),
    ],
)
def test_a_server_must_have_room_twice_in_each_trial(which, size, told, whole):
    servers = {"FedAvg": 1.0, "FedAMP": size}
    if not told:
        which.see_room(servers)
        return
    with pytest.raises(UserError, match=f"^FedAMP: the server would hold .*{told}"):
        which.see_room(servers)


def test_the_largest_machine_of_a_cluster_is_found():
    def node(alive, **resources):
        return {"Alive": alive, "Resources": resources}

    nodes = [
        node(True, CPU=8.0, memory=3e9, object_store_memory=1e9),
        node(True, CPU=2.0, memory=1e9),
        node(False, memory=9e9),
        {"Alive": True},
    ]
    assert most_memory(nodes) == 4000.0
    assert most_memory([node(True, CPU=1.0)]) is None
    assert most_memory([]) is None


@pytest.mark.parametrize(
    "command", [("run", "fedamp"), ("compare", "--methods", "fedamp,fedavg", "--name", "large")]
)
def test_a_server_without_room_is_one_line_before_anything_starts(
    command, called, monkeypatch, tmp_path
):
    """FedAMP's server holds a model for each client."""
    for module in (hardware, memory):
        monkeypatch.setattr(module, "whole_mb", lambda device: 1.0)
    monkeypatch.chdir(tmp_path)
    code, _, err = called(*command)
    assert code == 2
    assert err.count("\n") == 1
    assert "FedAMP: the server would hold" in err
    assert not list((tmp_path / "results").glob("large*"))


@pytest.mark.parametrize(
    ("held", "search", "needed"),
    [
        ({}, (), False),
        ({"hessian_free": False}, (), False),
        ({"hessian_free": True}, (), True),
        ({}, ("hessian_free=false,true",), True),
    ],
)
def test_a_variant_says_that_it_needs_float32(held, search, needed):
    """Per-FedAvg without second derivatives computes in bfloat16 like all others."""
    options = space_options({"search": search, "space": None, "start": ()}, ["per_fedavg"])
    asked = (["per_fedavg"], Budget(trials=2), load_scenario("digits"))
    _, spaces, _ = plan_on(*asked, {"per_fedavg": held}, options)
    methods = list(methods_at_ends(spaces))
    assert precision_for(methods, "auto") == ("float32" if needed else "auto")
    told = "Per-FedAvg with these knobs needs float32"
    with pytest.raises(UserError, match=told) if needed else nullcontext():
        precision_for(methods, "bfloat16")


def test_an_optimizer_is_not_searched_for_a_variant_that_needs_plain_sgd(tmp_path):
    """Nor where only some values of a knob do."""
    (tmp_path / "reading.py").write_text(
        "from dataclasses import dataclass\nfrom pfltune.method import Method\n"
        "from pfltune.knobs import knob\n\n\n@dataclass(frozen=True, kw_only=True)\n"
        "class Reading(Method):\n    reads: bool = knob(False, doc='x')\n\n"
        "    @property\n    def needs_plain_sgd(self):\n        return self.reads\n"
    )
    name = f"{tmp_path / 'reading.py'}:Reading"

    def planned(*search):
        asked = {"search": search, "space": None, "start": ()}
        options = space_options(asked, ["reading"])
        return plan_on([name], Budget(trials=2), load_scenario("digits"), {}, options)

    planned("protocol.optimizer.momentum=0,0.9")
    with pytest.raises(UserError, match="reading reads gradients off"):
        planned("protocol.optimizer.momentum=0,0.9", "reads=true,false")
