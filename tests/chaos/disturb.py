"""Running a comparison, killing it at moments that a seed chooses, and starting it again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from chaos.victims import Process, Victims, alive, end, told

PFLTUNE = str(Path(sys.executable).parent / "pfltune")
LOOK_S = 0.02
PATIENCE_S = 1200.0
"""How long a sitting may take, and how long a driver may take to end once it should."""
ORPHANS_S = 5.0
"""How long processes of Ray may outlive their driver."""


class Kind(Enum):
    """What is done to a comparison."""

    WORKER = "SIGKILL of a worker"
    DRIVER = "SIGKILL of the driver"
    RAY = "SIGKILL of all of Ray"
    EVERYTHING = "SIGKILL of everything"
    CTRL_C = "Ctrl-C"
    CTRL_C_TWICE = "Ctrl-C twice"
    SIGTERM = "SIGTERM"

    @property
    def needs_trials(self) -> bool:
        """Whether it can happen only while trials run."""
        return self in (Kind.WORKER, Kind.RAY)


class Phase(Enum):
    """Where in a comparison; the value is what it has printed by then."""

    PREPARATION = "Preparing scenario"
    SEARCH = "side by side in"
    CONFIRMATION = "side by side in "
    REPORT = "Writing the report"

    @property
    def has_trials(self) -> bool:
        """Whether trials run."""
        return self in (Phase.SEARCH, Phase.CONFIRMATION)

    @property
    def is_report(self) -> bool:
        """Whether all trials have ended."""
        return self is Phase.REPORT


@dataclass(frozen=True)
class Disturbance:
    """One of them, and when.

    Attributes:
        kind: what is done.
        phase: after the command has said that it is there,
        lines: and its journal has so many lines,
        delay: and so many seconds have passed.
    """

    kind: Kind
    phase: Phase
    lines: int
    delay: float

    def __str__(self) -> str:
        where = f" after line {self.lines}" if self.phase.has_trials else ""
        return f"{self.kind.value} in the {self.phase.name.lower()}{where} + {self.delay:.2f} s"


def plan(seed: int, kills: int, lines: int, confirmed_from: int) -> list[Disturbance]:
    """Disturbances of all kinds, spread over a comparison, in the order of their moments.

    Args:
        seed: chooses them.
        kills: how many.
        lines: of the whole journal.
        confirmed_from: the first line of the confirmation in it.
    """
    rng = random.Random(seed)
    phases = [Phase.SEARCH, Phase.CONFIRMATION, Phase.PREPARATION, Phase.REPORT]
    phases = (phases + [Phase.SEARCH, Phase.SEARCH, Phase.CONFIRMATION] * kills)[:kills]
    deck: list[Kind] = []
    planned = []
    for phase in phases:
        fits = [kind for kind in deck if phase.has_trials or not kind.needs_trials]
        if not fits:
            deck += rng.sample(list(Kind), len(Kind))
            fits = [kind for kind in deck if phase.has_trials or not kind.needs_trials]
        deck.remove(fits[0])
        line, delay = 0, rng.uniform(0, 3)
        if phase is Phase.SEARCH:
            line, delay = rng.randrange(1, confirmed_from), rng.uniform(0, 1)
        elif phase is Phase.CONFIRMATION:
            line, delay = rng.randrange(confirmed_from, lines - 1), rng.uniform(0, 0.5)
        elif phase is Phase.REPORT:
            line, delay = lines, rng.uniform(0, 1)
        planned.append(Disturbance(fits[0], phase, line, delay))
    return sorted(planned, key=lambda d: (d.lines, d.phase.name, d.delay))


@dataclass
class Sitting:
    """One process of a comparison, from its start to its end.

    Attributes:
        command: what was started.
        done: what was done to it.
        code: its exit code.
        output: what it printed.
        errors: what it printed as errors.
        seconds: it took.
        slow_to_end: seconds from the last disturbance to its end.
        left_over: processes that outlived it.
        hung: whether it had to be ended, since it did not end by itself.
    """

    command: list[str]
    done: list[Disturbance] = field(default_factory=list)
    code: int = 0
    output: str = ""
    errors: str = ""
    seconds: float = 0.0
    slow_to_end: float = 0.0
    left_over: list[str] = field(default_factory=list)
    hung: bool = False

    def __str__(self) -> str:
        how = "hung" if self.hung else f"exit code {self.code}"
        what = ", ".join(map(str, self.done)) or "undisturbed"
        return f"{what}: {how} after {self.seconds:.0f} s, {self.slow_to_end:.1f} s later"


@dataclass
class Story:
    """A comparison from its first start to its end.

    Attributes:
        sittings: its processes.
        missed: disturbances that found nothing to disturb.
    """

    sittings: list[Sitting] = field(default_factory=list)
    missed: list[Disturbance] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether it came to its end."""
        return bool(self.sittings) and self.sittings[-1].code == 0

    @property
    def survived(self) -> Counter[Kind]:
        """How many disturbances of each kind it went through."""
        return Counter(d.kind for sitting in self.sittings for d in sitting.done)

    def whole(self) -> str:
        """With all that was printed."""
        return "\n".join(f"{s}\n{s.output}\n{s.errors}" for s in self.sittings)

    def __str__(self) -> str:
        return "\n".join(map(str, self.sittings))


def disturbed(
    folder: Path, options: list[str], name: str, disturbances: list[Disturbance]
) -> Story:
    """Run ``pfltune compare`` until it ends, whatever is done to it.

    It is started again with the same command and with ``--resume`` alone by turns.

    Args:
        folder: to run in, with the results below it.
        options: of the command, without its name.
        name: of the comparison.
        disturbances: in order.
    """
    whole, resumed = ["compare", *options, "--name", name], ["compare", "--resume", name]

    def words(number: int) -> list[str]:
        again = number % 2 and (folder / "results" / name / "comparison.json").exists()
        return resumed if again else whole

    return told_until_it_ends(folder, words, name, disturbances)


def killed(folder: Path, name: str, lines: int, words: list[str]) -> None:
    """Kill a command, as it is and without warning, when its journal has so many lines.

    Args:
        folder: to run in, with the results below it.
        name: of the comparison.
        lines: of its newest journal.
        words: of the command.
    """
    with Running(folder, [PFLTUNE, *words]) as running:
        assert running.until("", lines, folder / "results" / name), running.ended().errors
        running.process.kill()
        assert running.ended().code == -9


def told_until_it_ends(
    folder: Path, words: Callable[[int], list[str]], name: str, disturbances: list[Disturbance]
) -> Story:
    """Start a command again and again until it ends by itself.

    Args:
        folder: to run in, with the results below it.
        words: of the command, by the number of the start.
        name: of the comparison.
        disturbances: in order.
    """
    left, story = list(disturbances), Story()
    for number in range(len(disturbances) + 3):
        with Running(folder, [PFLTUNE, *words(number)]) as running:
            story.sittings.append(running.disturb(left, folder / "results" / name))
        (folder / "story.txt").write_text(story.whole())
        if story.ended:
            break
    story.missed = left
    return story


class Running:
    """A command as a process in a session of its own; nothing of it is left at the end.

    Args:
        folder: to run in.
        command: its words.
    """

    def __init__(self, folder: Path, command: list[str]) -> None:
        self.sitting = Sitting(command)
        self._out, self._err = folder / "stdout.txt", folder / "stderr.txt"
        environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.victims = Victims(self.process.pid)
        self._began = time.monotonic()

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self.victims.look()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        end(self.victims.left_over())

    def disturb(self, left: list[Disturbance], results: Path) -> Sitting:
        """Do the next disturbances, until one of them ends the process or it ends by itself."""
        while left and self._comes(left[0], results):
            if not self._do(left[0].kind):
                continue
            self.sitting.done.append(left.pop(0))
            if self.sitting.done[-1].kind is not Kind.WORKER:
                break
        return self.ended()

    def until(self, words: str, lines: int, results: Path) -> bool:
        """Wait until it has printed ``words`` and its journal has so many lines.

        Returns:
            Whether that came; otherwise it has ended, or takes too long.
        """
        for number in self._ticks():
            if number % 25 == 0:
                self.victims.look()
            if words in self.output() and lines_of(results) >= lines:
                return True
        return False

    def output(self) -> str:
        """What it has printed so far."""
        return self._out.read_text()

    def ended(self, orphans_s: float = ORPHANS_S) -> Sitting:
        """Wait for the end of the process, and so long for the end of all that it has started."""
        sitting, began = self.sitting, time.monotonic()
        self.victims.look()
        try:
            sitting.code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            sitting.hung = True
            self.process.kill()
            sitting.code = self.process.wait()
        sitting.slow_to_end = time.monotonic() - began
        sitting.seconds = time.monotonic() - self._began
        sitting.output, sitting.errors = self.output(), self._err.read_text()
        waited = time.monotonic()
        while (left := self.victims.left_over()) and time.monotonic() - waited < orphans_s:
            time.sleep(0.2)
        sitting.left_over = [told(process) for process in left]
        return sitting

    def interrupt(self) -> None:
        """What a terminal does on Ctrl-C: SIGINT to everything in the foreground."""
        os.killpg(self.process.pid, signal.SIGINT)

    def _comes(self, disturbance: Disturbance, results: Path) -> bool:
        if not self.until(disturbance.phase.value.strip(), disturbance.lines, results):
            return False
        time.sleep(disturbance.delay)
        return self.process.poll() is None

    def _do(self, kind: Kind) -> bool:
        """Whether there was anything to do it to."""
        driver = self.process
        if kind is Kind.WORKER:
            return bool(_killed(self.victims.workers()[:1]))
        if kind is Kind.RAY:
            return bool(_killed(self.victims.whole_ray()))
        if kind in (Kind.DRIVER, Kind.EVERYTHING):
            below = self.victims.look() if kind is Kind.EVERYTHING else []
            driver.kill()
            end(below)
        elif kind is Kind.SIGTERM:
            driver.terminate()
        else:
            self.interrupt()
            if kind is Kind.CTRL_C_TWICE:
                time.sleep(0.3)
                if driver.poll() is None:
                    self.interrupt()
        return True

    def _ticks(self) -> Iterator[int]:
        number = 0
        while self.process.poll() is None and time.monotonic() - self._began < PATIENCE_S:
            yield number
            number += 1
            time.sleep(LOOK_S)


def lines_of(comparison: Path) -> int:
    """Whole lines of the present journal in a comparison's folder; 0 if there is none yet."""
    record = comparison / "comparison.json"
    if not record.exists():
        return 0
    journal = comparison / json.loads(record.read_text())["journal"]
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def _killed(processes: list[Process]) -> list[Process]:
    found = alive(processes)
    end(found)
    return found
