"""A Ray of our own: who can reach it, what it leaves, and how it fails to start."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import namedtuple
from contextlib import suppress
from pathlib import Path

import pytest

from pfltune.errors import Halted
from pfltune.running import ray_folder as ray_folder_module
from pfltune.running.pool import worker_pool
from pfltune.running.ray_folder import MARK, OWNER, end_leftovers, marked, ray_folder

LISTEN = "0A"
PATIENCE_S = 300.0
SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(3600)"]
OWNER_OF_RAY = """
import os, signal, time
from pfltune.running.pool import worker_pool
with worker_pool(1, 1) as wait:
    wait()
    print(os.environ["PFLTUNE_SESSION"], flush=True)
    time.sleep(3600)
"""


def listening(pids):
    """Addresses on which processes listen for TCP, by the kernel's tables."""
    inodes = set()
    for pid in pids:
        with suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    inodes.add(str(entry.readlink()))
    found = []
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and f"socket:[{fields[9]}]" in inodes:
                raw = bytes.fromhex(fields[1].split(":")[0])
                words = (raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
                found.append(socket.inet_ntop(family, b"".join(words)))
    return found


def gone(pids):
    """Wait until none of them lives."""
    end = time.monotonic() + PATIENCE_S
    while any(map(_alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(map(_alive, pids))


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def asleep():
    """Start sleeping processes with a mark; they are ended at the end."""
    started = []

    def start(mark):
        process = subprocess.Popen(
            SLEEPER, env={**os.environ, MARK: str(mark)}, stdout=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout.readline() == b"up\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def place(monkeypatch):
    """An empty place of temporary files, short enough for sockets."""
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="t-", dir="/tmp")
    monkeypatch.setattr(tempfile, "tempdir", folder)
    yield Path(folder)
    shutil.rmtree(folder, ignore_errors=True)


def test_a_folder_of_ray_is_private_named_to_children_and_gone_afterwards(place):
    with ray_folder() as folder:
        assert folder.parent == place
        assert folder.stat().st_mode & 0o077 == 0
        assert os.environ[MARK] == str(folder)
    assert MARK not in os.environ
    assert list(place.iterdir()) == []


def test_what_a_dead_owner_left_is_ended_and_nothing_else(place, asleep):
    left, foreign = place / "pfltune-deadbeef", place / "pfltune-0foreign"
    (left / "r").mkdir(parents=True)
    (left / OWNER).touch()
    foreign.mkdir()  # of another program: nobody's lock lies in it
    (foreign / "file").touch()
    ours, longer, unmarked = asleep(left), asleep(f"{left}0"), asleep("")
    with ray_folder() as living:
        living_process = asleep(living)
        end_leftovers(place)
        assert ours.wait(PATIENCE_S) == -signal.SIGKILL
        assert not left.exists()
        assert (foreign / "file").exists()
        assert living.exists()
        assert [p.poll() for p in (longer, unmarked, living_process)] == [None] * 3


@pytest.mark.parametrize("free", [0, 1_000_000])
def test_no_room_for_ray_is_one_line_with_the_place(place, monkeypatch, free):
    usage = namedtuple("usage", "free")(free)
    monkeypatch.setattr(ray_folder_module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(Halted, match=f"free in {place}.*TMPDIR"), ray_folder():
        pass


def test_a_long_path_of_temporary_files_is_left_for_a_short_one(tmp_path, monkeypatch):
    import tempfile

    long = tmp_path / ("x" * 110)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with ray_folder() as folder:
        below = ray_folder_module.BELOW.partition("/r/")[2]
        assert len(str(folder / "r" / below)) <= ray_folder_module.LONGEST_SOCKET
        assert folder.parent != long


def test_a_start_of_ray_that_fails_is_one_line(monkeypatch):
    import ray

    def fail(**_):
        raise RuntimeError("The current node timed out during startup.\nsecond line")

    monkeypatch.setattr(ray, "init", fail)
    with (
        pytest.raises(Halted, match=r"^Ray did not start in \S+ \(The current node timed out"),
        worker_pool(1, 1) as wait,
    ):
        wait()


@pytest.mark.parametrize("early", [True, False])
def test_ray_starts_for_nothing_only_when_it_may_start_early(monkeypatch, early):
    import ray

    started = []
    monkeypatch.setattr(ray, "init", lambda **_: started.append(1))
    with worker_pool(1, 1, early):
        pass
    assert len(started) == early


@pytest.mark.slow
def test_nothing_listens_beyond_this_machine_and_no_stranger_is_served(tmp_path, monkeypatch):
    import ray

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # for another Ray than ours
    with worker_pool(1, 1) as wait:
        wait()
        assert ray.get(ray.remote(lambda: 42).remote()) == 42
        processes = marked(Path(os.environ[MARK]))
        addresses = listening([os.getpid(), *processes])
        assert len(addresses) >= 4  # head, raylet, worker, this process
        assert set(addresses) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
        gcs = ray.get_runtime_context().gcs_address
        token = os.environ["RAY_AUTH_TOKEN"]
        told = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes]
        assert not any(token.encode() in line for line in told)
        of_no_use = (b"dashboard/dashboard.py", b"log_monitor.py", b"_private/monitor.py")
        assert not any(script in line for line in told for script in of_no_use)
        assert "InvalidAuthToken" in stranger(gcs)
        assert "InvalidAuthToken" in stranger(gcs, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64)
        assert "answered" in stranger(gcs, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token)
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert not (tmp_path / ".ray").exists()


def stranger(address, **variables):
    """What Ray's head says to a client of another environment."""
    client = (
        "import sys; from ray._raylet import GcsClient\n"
        "try: print('answered', GcsClient(sys.argv[1]).get_all_node_info(timeout=300))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    plain = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return subprocess.run(
        [sys.executable, "-c", client, address],
        env=plain | variables,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    ).stdout


@pytest.mark.slow
def test_what_a_killed_driver_leaves_is_ended_by_the_next_start_and_others_live_on(place):
    environment = {**os.environ, "TMPDIR": str(place)}

    def begin():
        process = subprocess.Popen(
            [sys.executable, "-c", OWNER_OF_RAY], env=environment, stdout=subprocess.PIPE, text=True
        )
        return process, Path(process.stdout.readline().strip())

    killed, left = begin()
    other, living = begin()
    try:
        orphans, spared = marked(left), marked(living)
        assert orphans
        assert spared
        for process in orphans:
            os.kill(process, signal.SIGSTOP)  # as if they did not see that their driver is dead
        killed.kill()
        killed.wait()
        with ray_folder():
            assert gone(orphans)
            assert not left.exists()
            assert all(map(_alive, spared))
            assert living.exists()
    finally:
        for process in (killed, other):
            process.kill()
            process.wait()
            process.stdout.close()
    end_leftovers(place)
    assert gone(spared)
