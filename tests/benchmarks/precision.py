"""What `precision: auto` chooses on this machine, and what each precision costs.

Rounds of the engine over those of the bare loop in float32, and the least that they could be: what
the processor gives for the products of matrices alone.
"""

import torch
from grounds import TINY, VIT_S_224, VIT_TINY_32, Case, federation
from pairs import alternately
from products import halved
from recording import FirstRound
from rows import Row

from pfltune.federation.autotune import fastest
from pfltune.federation.compute import Compute
from pfltune.federation.trial import FederatedTrial
from pfltune.registry import make_method

NAME = "precision"
TARGETS = {VIT_TINY_32: "≤ 0.45", VIT_S_224: "≤ 0.35"}
ROUNDING = 0.1
"""How far bfloat16 may end from float32, as a share of the way of one round."""


def precision(quick: bool) -> list[Row]:
    """One row per backbone and precision, the chosen one with the target, and one of products."""
    cases = [TINY] if quick else [*TARGETS]
    return [row for case in cases for row in (*rows_of(case, quick), floor(case, quick))]


def floor(case: Case, quick: bool) -> Row:
    """What nothing that computes the same products falls below on this processor."""
    pairs = halved(case, repeats=1 if quick else 5)
    told = f"{case.name}: products of matrices alone, bfloat16 over float32"
    return Row(NAME, told, pairs.ratio, "×", "", pairs.spread)


def rows_of(case: Case, quick: bool) -> list[Row]:
    """Both precisions on one backbone."""
    ground = federation(case)
    chosen = fastest("auto", Compute(threads=torch.get_num_threads()), ground).precision
    found = []
    for compute in (
        Compute(threads=torch.get_num_threads()),
        Compute(precision="bfloat16", threads=torch.get_num_threads()),
    ):
        auto = compute.precision == chosen
        trial = FederatedTrial(make_method("fedavg", {}), ground, 0, compute)
        same = FirstRound(trial, tolerance=ROUNDING)
        repeats = 5 if auto and not quick else 1
        pairs = alternately(same.trial.step, same.bare.round, repeats, before=same.rewind)
        told = f"FedAvg, {case.name}, {compute.precision}{' (auto)' if auto else ''}"
        target = TARGETS.get(case, "") if auto else ""
        found.append(
            Row(
                NAME,
                f"{told}: round, over float32 bare loop",
                pairs.ratio,
                "×",
                target,
                pairs.spread,
            )
        )
    return found
