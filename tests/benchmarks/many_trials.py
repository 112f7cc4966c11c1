"""Three hundred trials of one round each, by Ray Tune: what each costs beside its training.

The driver's CPU seconds are read while the journal counts the trials that have ended. Its exponent
is that of the seconds since the first trials, against the trials since then.
"""

import re
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import numpy as np
from rows import Row
from whole_comparison import DRIVER, TICKS, cpu_seconds, spent_by_trials

NAME = "many trials"
METHODS = ("fedavg", "fedprox", "fedper", "fedrep", "fedperfix", "local")
TRIALS, SEEDS = 45, 5
FIRST = 0.1
"""Of the trials, which are left out: with them come starts of processes, imports, new tables."""
ROUND, END = b'"event": "RoundDone"', b'"event": "TrialEnded"'


@dataclass
class Watched:
    """What is seen of a comparison while it runs.

    Attributes:
        journal: of it.
        began: when it was started.
        first_round: seconds of wall time until the first round was told.
        peak_mb: of the driver.
        course: trials that have ended, CPU seconds of the driver, and of all processes.
    """

    journal: Path
    began: float = field(default_factory=time.perf_counter)
    first_round: float = float("nan")
    peak_mb: float = 0.0
    course: list[tuple[int, float, float]] = field(default_factory=list)

    def look(self, driver: int, seconds: dict[str, float]) -> None:
        """Note where it stands."""
        with suppress(OSError):  # it has not begun, or has just ended
            held = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{driver}/status").read_text())
            self.peak_mb = int(held[1]) * 1024 / 1e6 if held else self.peak_mb
            told = self.journal.read_bytes()
            if np.isnan(self.first_round) and ROUND in told:
                self.first_round = time.perf_counter() - self.began
            ended = told.count(END)
            if ended and (not self.course or ended > self.course[-1][0]):
                self.course.append((ended, seconds.get(DRIVER, 0.0), sum(seconds.values())))


def many_trials(quick: bool) -> list[Row]:
    """Start, exponent and memory of the driver, and CPU seconds of a further trial."""
    methods, trials, seeds = (METHODS[:2], 3, 2) if quick else (METHODS, TRIALS, SEEDS)
    arguments = ["--methods", ",".join(methods), "--trials", str(trials), "--seeds", str(seeds)]
    arguments += ["-o", "protocol.rounds=1", "-o", "protocol.evaluate_every=1", "--name", NAME[:4]]
    with tempfile.TemporaryDirectory() as folder:
        watched = Watched(Path(folder) / NAME[:4] / "journal.jsonl")
        cpu_seconds(["compare", "--results", folder, *arguments], watched.look)
        spent = fmean(trial.cpu for trial in spent_by_trials(Path(folder)))
    ended, driver, whole = map(np.array, zip(*watched.course, strict=True))
    since = ended > FIRST * ended[-1]
    began = np.flatnonzero(since)[0]
    more = slice(began + 1, None)
    told = f"{ended[-1]} trials of one round"
    rows = [Row(NAME, f"{told}: wall time to the first round", watched.first_round, "s", "≤ 12")]
    if len(ended[more]) > 1:
        grown = (
            np.log(ended[more] - ended[began]),
            np.log(np.maximum(driver[more] - driver[began], 1 / TICKS)),
        )
        case = f"{told}: the driver's CPU time against trials"
        rows.append(Row(NAME, case, float(np.polyfit(*grown, 1)[0]), "exponent", "≤ 1.05"))
        further = (whole[-1] - whole[began]) / (ended[-1] - ended[began]) - spent
        case = f"{told}: CPU time of a further one beside training, all processes"
        rows.append(Row(NAME, case, float(further), "s", "≤ 0.3"))
    return [*rows, Row(NAME, f"{told}: peak of the driver", watched.peak_mb, "MB", "≤ 1,000")]
