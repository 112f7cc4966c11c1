"""Seconds from a command to its help, and from `pfltune run` to its first local training.

Every call is a fresh process. That of the first training is held against a process that imports
torch, timm and torchvision and does nothing else; both end on the spot, without tidying up.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from pairs import paired, taking_turns
from rows import Row

NAME = "start-up"
REACHED = 75
IMPORTS = f"import os, torch, timm, torchvision; os._exit({REACHED})"
FIRST_TRAINING = f"""
import os
from pfltune.cli import main
from pfltune.federation.local import LocalTrainer
LocalTrainer.fit = lambda *_, **__: os._exit({REACHED})
main()
"""
RUN = ("run", "fedavg", "--scenario", "digits", "--device", "cpu")


def start_up(quick: bool) -> list[Row]:
    """Seconds of the help, and start-ups over the imports that none can do without."""
    programme = str(Path(sys.executable).parent / "pfltune")
    variants: dict[str, tuple[str, ...]] = {"random weights": ("-o", "backbone.weights=random")}
    if not quick:
        variants["warm start"] = ()
    calls = [
        process([programme, "--help"], 0),
        process([sys.executable, "-c", IMPORTS], REACHED),
        *(
            process([sys.executable, "-c", FIRST_TRAINING, *RUN, *options], REACHED)
            for options in variants.values()
        ),
    ]
    repeats, warm_ups = (1, 0) if quick else (5, 1)
    help_seconds, imports, *starts = taking_turns(calls, repeats, warm_ups=warm_ups)
    rows = [
        Row(
            NAME,
            "pfltune --help",
            median(help_seconds),
            "s",
            "≤ 0.5",
            f"{min(help_seconds):.2f} to {max(help_seconds):.2f}",
        ),
        Row(NAME, "import torch, timm, torchvision", median(imports), "s"),
    ]
    for name, seconds in zip(variants, starts, strict=True):
        pairs = paired(seconds, imports)
        case = f"pfltune run fedavg, digits, {name}: first training over those imports"
        target = "≤ 1.3" if name == "random weights" else ""
        rows.append(Row(NAME, case, pairs.ratio, "×", target, pairs.spread))
    return rows


def process(command: list[str], code: int) -> Callable[[], None]:
    """A call that runs ``command`` to its end, which must be the exit status ``code``."""

    def run() -> None:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != code:
            raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stderr}")

    return run
