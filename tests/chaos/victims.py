"""The processes of one running command. Never anybody else's: all descend from its driver."""

from collections.abc import Iterable

import ray  # noqa: F401  it ships psutil and puts it on the path

# isort: split
import psutil
from psutil import Process

RAY_ITSELF = ("ray::DashboardAgent", "ray::RuntimeEnvAgent", "ray::IDLE", "ray::_")


class Victims:
    """The driver of a command and all that it has started so far.

    Args:
        pid: of the driver, which the caller has started.
    """

    def __init__(self, pid: int) -> None:
        self.driver = Process(pid)
        self._seen: set[Process] = set()

    def look(self) -> list[Process]:
        """Everything below the driver now; remembered, since orphans are nobody's children."""
        try:
            below = self.driver.children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        self._seen.update(below)
        return below

    def workers(self) -> list[Process]:
        """Ray's processes that run trials."""
        return [process for process in self.look() if _runs_trials(process)]

    def whole_ray(self) -> list[Process]:
        """raylet, gcs_server, their agents and workers; empty before and after Ray."""
        below = self.look()
        names = {_name(process) for process in below}
        return below if {"raylet", "gcs_server"} <= names else []

    def left_over(self) -> list[Process]:
        """What the driver started and what still runs."""
        return alive(self._seen)


def alive(processes: Iterable[Process]) -> list[Process]:
    """Those that run; zombies do not."""
    return [process for process in processes if _name(process)]


def end(processes: list[Process]) -> None:
    """SIGKILL; a process id that has been used again since is spared."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def told(process: Process) -> str:
    """A process in a few words, for messages."""
    return f"{_name(process) or 'ended'} ({process.pid})"


def _runs_trials(process: Process) -> bool:
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return command.startswith("ray::") and not command.startswith(RAY_ITSELF)


def _name(process: Process) -> str:
    """Its name; empty if it has ended."""
    try:
        gone = not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        return "" if gone else process.name()
    except psutil.Error:
        return ""
