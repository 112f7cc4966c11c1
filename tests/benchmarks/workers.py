"""Trials side by side on one thread each, against one after the other on all threads."""

import os
import subprocess
import sys
import time
from statistics import median

from grounds import TINY, VIT_TINY_32, Clients, federation
from pairs import paired
from rows import Row

from pfltune.federation.compute import Compute
from pfltune.federation.trial import FederatedTrial
from pfltune.registry import make_method

NAME = "side by side"
CASES = {
    "tiny": (TINY, TINY.clients, 15),
    "ViT-Tiny/32": (VIT_TINY_32, Clients(total=2, sampled=2, train=64, val=8, test=8), 1),
}


def workers(quick: bool) -> list[Row]:
    """As many trials as cores: seconds in turn over seconds at once."""
    cores = os.cpu_count() or 1
    rows = []
    for name in ["tiny"] if quick else CASES:
        rounds = 4 if quick else CASES[name][2]
        turns = [
            (seconds(name, 1, cores, cores * rounds), seconds(name, cores, 1, rounds))
            for _ in range(1 if quick else 5)
        ]
        in_turn, at_once = map(list, zip(*turns, strict=True))
        pairs = paired(in_turn, at_once)
        told = f"{name}: {cores} trials, in turn on {cores} threads over at once on 1 thread each"
        rows.append(Row(NAME, told, pairs.ratio, "×", "> 1", pairs.spread))
        rows.append(Row(NAME, f"{name}: {cores} trials at once", median(at_once), "s"))
    return rows


def seconds(name: str, processes: int, threads: int, rounds: int) -> float:
    """From the moment at which all processes may begin until the last has run its rounds."""
    command = [sys.executable, __file__, name, str(threads), str(rounds)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, **pipes) for _ in range(processes)]
    for process in started:
        process.stdout.readline()
    began = time.perf_counter()
    for process in started:
        process.stdin.write("begin\n")
        process.stdin.flush()
    for process in started:
        process.stdout.readline()
    taken = time.perf_counter() - began
    for process in started:
        if process.wait():
            raise RuntimeError(f"a trial of {name} ended with exit code {process.returncode}")
    return taken


def main() -> None:
    """One trial: a round to warm up, ready; after a line on standard input its rounds, done."""
    name, threads, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    case, clients, _ = CASES[name]
    trial = FederatedTrial(
        make_method("fedavg", {}), federation(case, clients), 0, Compute(threads=threads)
    )
    trial.step()
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(rounds):
        trial.step()
    print("done", flush=True)


if __name__ == "__main__":
    main()
