"""How a round grows with the clients in it, with their samples and with the clients that wait.

The exponent b of seconds ≈ a·xᵇ, fitted by least squares on the logarithms, of rounds of the tiny
model without evaluation. Then what thousands of clients take in memory, above the process before
the trial was made.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import fresh
import numpy as np
import torch
from grounds import TINY, Clients, federation
from pairs import taking_turns
from rows import Row

from pfltune.federation.compute import Compute
from pfltune.federation.memory import held_mb
from pfltune.federation.trial import FederatedTrial
from pfltune.registry import make_method

NAME = "growth"
NEVER = 1_000_000
FEW = Clients(total=32, sampled=2, train=64, val=1, test=1)
ROUNDS = 3


def growth(quick: bool) -> list[Row]:
    """Three exponents, and the memory of thousands of clients."""
    sampled = (2, 4) if quick else (2, 4, 8, 16)
    samples = (32, 64) if quick else (32, 64, 128, 256)
    total = (10, 100) if quick else (10, 100, 1_000, 10_000)
    repeats = 1 if quick else 7
    waiting = replace(FEW, sampled=4, train=8)
    rows = [
        exponent("sampled clients", sampled, [replace(FEW, sampled=n) for n in sampled], repeats),
        exponent("samples per client", samples, [replace(FEW, train=n) for n in samples], repeats),
        exponent("clients in all", total, [replace(waiting, total=n) for n in total], repeats),
    ]
    for method in ("fedperfix", "local"):
        rows += population_rows(method, 100 if quick else 10_000, in_place=quick)
    return rows


def exponent(what: str, sizes: Sequence[int], clients: Sequence[Clients], repeats: int) -> Row:
    """The exponent with which a round's seconds grow with ``sizes``."""
    trials = [
        FederatedTrial(
            make_method("fedavg", {}),
            federation(TINY, c, evaluate_every=NEVER),
            0,
            Compute(threads=torch.get_num_threads()),
        )
        for c in clients
    ]
    seconds = [median(times) for times in taking_turns([trial.step for trial in trials], repeats)]
    slope, _ = np.polyfit(np.log(sizes), np.log(seconds), 1)
    expected = "about 0" if what == "clients in all" else "about 1"
    ends = f"{seconds[0]:.3f} s at {sizes[0]:,}, {seconds[-1]:.3f} s at {sizes[-1]:,}"
    return Row(NAME, f"round against {what}", float(slope), "exponent", expected, ends)


def population_rows(method: str, clients: int, *, in_place: bool) -> list[Row]:
    """What ``population`` finds, in a fresh process or here."""
    here = population if in_place else lambda *given: fresh.call(population, *given)
    made, after = here(method, clients)
    name = f"{clients:,} clients of {method}, {TINY.name}"
    return [
        Row(NAME, f"{name}: memory when the trial is made", made, "MB"),
        Row(NAME, f"{name}: memory after {ROUNDS} rounds", after, "MB"),
    ]


def population(method: str, clients: int) -> tuple[float, float]:
    """MB (10^6 bytes) that a trial holds when it is made and after its first rounds.

    The images are there before; a small trial loads what libraries load late.
    """
    chosen = make_method(method, {})
    FederatedTrial(
        chosen, federation(TINY, evaluate_every=NEVER), 0, Compute(threads=torch.get_num_threads())
    ).step()
    small = Clients(total=clients, sampled=4, train=8, val=1, test=1)
    ground = federation(TINY, small, evaluate_every=NEVER)
    place = torch.device("cpu")
    before = held_mb(place)
    trial = FederatedTrial(chosen, ground, 0, Compute(threads=torch.get_num_threads()))
    made = held_mb(place) - before
    for _ in range(ROUNDS):
        trial.step()
    return made, held_mb(place) - before
