"""Seconds per round of the engine over those of the bare loop that does the same work.

A round is training, mean and evaluation, all in float32 on this machine's CPU; both sides start
from the same state every time. The mean of the uploads is also timed alone.
"""

from statistics import median

import torch
from grounds import TINY, VIT_S_224, VIT_TINY_32, Case, federation
from pairs import alternately, taking_turns
from recording import FirstRound
from rows import Row

from pfltune.federation.compute import Compute
from pfltune.federation.trial import FederatedTrial
from pfltune.federation.work import ServerRound
from pfltune.method import Method, Update
from pfltune.registry import make_method

NAME = "overhead"
CASES = (
    ("fedavg", VIT_TINY_32, "≤ 1.03"),
    ("fedavg", VIT_S_224, "≤ 1.03"),
    ("fedperfix", VIT_TINY_32, "≤ 1.03"),
    ("fedavg", TINY, "≤ 1.10"),
    ("fedperfix", TINY, "≤ 1.10"),
)
UPLOADS = 8


def overhead(quick: bool) -> list[Row]:
    """The engine's rounds over the bare loop's, and the mean alone."""
    rows = []
    for method, case, target in CASES:
        if quick and case is not TINY:
            continue
        repeats = 1 if quick else 20 if case is TINY else 5
        rows += round_rows(method, case, target, repeats)
    return [*rows, aggregation(TINY if quick else VIT_S_224, 1 if quick else 9)]


def round_rows(method: str, case: Case, target: str, repeats: int) -> list[Row]:
    """The ratio of a round's seconds, and the engine's seconds themselves."""
    chosen = make_method(method, {})
    same = FirstRound(
        FederatedTrial(chosen, federation(case), 0, Compute(threads=torch.get_num_threads()))
    )
    pairs = alternately(same.trial.step, same.bare.round, repeats, before=same.rewind)
    name = f"{chosen.title or type(chosen).__name__}, {case.name}"
    return [
        Row(NAME, f"{name}: round, engine over bare loop", pairs.ratio, "×", target, pairs.spread),
        Row(NAME, f"{name}: round of the engine", pairs.first, "s"),
    ]


def aggregation(case: Case, repeats: int) -> Row:
    """Seconds of the mean of uploads that are there already."""
    server = federation(case).build_backbone(seed=0).state_dict()
    numbers = sum(value.numel() for value in server.values())
    updates = [
        Update({n: value + torch.randn_like(value) for n, value in server.items()}, {}, 1.0 + c, c)
        for c in range(UPLOADS)
    ]
    work = ServerRound(seed=0, round=1, clients=UPLOADS)
    (seconds,) = taking_turns([lambda: Method().aggregate(server, updates, work)], repeats)
    name = f"mean of {UPLOADS} uploads of {numbers / 1e6:.1f} M parameters, {case.name}"
    target = "≤ 0.1" if case is VIT_S_224 else ""
    spread = f"{min(seconds):.4f} to {max(seconds):.4f}"
    return Row(NAME, name, median(seconds), "s", target, spread)
