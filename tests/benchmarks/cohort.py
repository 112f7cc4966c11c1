"""Clients that train at once, over the same clients one after the other."""

from dataclasses import replace

import torch
from grounds import TINY, VIT_S_32, VIT_TINY_32, federation
from pairs import alternately
from rows import Row

from pfltune.federation.compute import Compute
from pfltune.federation.trial import FederatedTrial
from pfltune.registry import make_method

NAME = "cohort"


def cohort(quick: bool) -> list[Row]:
    """Seconds of a round, one by one over at once; on a GPU where there is one, in bfloat16."""
    gpu = torch.cuda.is_available()
    plain = Compute("cuda", "bfloat16") if gpu else Compute(threads=torch.get_num_threads())
    cases = (
        {TINY: "", VIT_TINY_32: "≥ 3", VIT_S_32: "≥ 1.5"} if gpu else {TINY: "", VIT_TINY_32: ""}
    )
    rows = []
    for case, target in list(cases.items())[: 1 if quick else None]:
        ground = federation(case, evaluate_every=1_000_000)
        size = ground.protocol.sampled_clients
        ways = [plain, replace(plain, cohort=size)]
        alone, at_once = (FederatedTrial(make_method("fedavg", {}), ground, 0, w) for w in ways)
        pairs = alternately(alone.step, at_once.step, 1 if quick else 5)
        told = f"FedAvg, {case.name}, {plain.device}: {size} clients, in turn over at once"
        rows.append(Row(NAME, told, pairs.ratio, "×", target if gpu else "", pairs.spread))
    return rows
