"""What has no room on a machine is refused before anything starts."""

import pytest

from pfltune.errors import UserError
from pfltune.federation.compute import Compute
from pfltune.running import hardware
from pfltune.running.hardware import Hardware


def of(workers, share=0.0, device="cpu", address=None):
    return Hardware(workers, 1, share, Compute(device=device), address)


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
        (of(8, address="there:1"), 1e9, ""),
    ],
)
def test_a_server_must_have_room_twice_in_each_trial(which, size, told, whole):
    servers = {"FedAvg": 1.0, "FedAMP": size}
    if not told:
        which.see_room(servers)
        return
    with pytest.raises(UserError, match=f"^FedAMP: the server would hold .*{told}"):
        which.see_room(servers)


@pytest.mark.parametrize(
    "command", [("run", "fedamp"), ("compare", "--methods", "fedamp,fedavg", "--name", "large")]
)
def test_a_server_without_room_is_one_line_before_anything_starts(
    command, called, monkeypatch, tmp_path
):
    """FedAMP's server holds a model for each client."""
    monkeypatch.setattr(hardware, "whole_mb", lambda device: 1.0)
    monkeypatch.chdir(tmp_path)
    code, _, err = called(*command)
    assert code == 2
    assert err.count("\n") == 1
    assert "FedAMP: the server would hold" in err
    assert not list((tmp_path / "results").glob("large*"))
