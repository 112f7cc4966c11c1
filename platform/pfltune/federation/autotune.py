"""Choosing how to compute by a short measurement, made once for each machine and model."""

import hashlib
import json
import time
from dataclasses import asdict, replace
from itertools import product
from typing import Any, Literal, get_args

import torch

from pfltune.data.dataset import Dataset
from pfltune.data.home import data_root, writing_in
from pfltune.data.split import ClientSplit
from pfltune.devices import processor_name
from pfltune.federation.compute import Compute, Precision
from pfltune.federation.federation import Federation, Rounds
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Method
from pfltune.storage import write_whole

Asked = Literal["auto", "float32", "bfloat16"]
CPU_BATCH = 8
REPEATS = 3
GAIN = 0.9
"""Another way than the plain one must take at most this share of its time."""


def fastest(asked: Asked, plain: Compute, federation: Federation) -> Compute:
    """The fastest way to train the clients of ``federation`` on this machine.

    On a CPU only the precision is open: clients at once do not pay there. Federated averaging on
    random weights stands for all methods of a comparison, which must share one precision. The
    answer is kept below the folder of data, so that a machine gives the same one every time.

    Args:
        asked: a precision, or ``auto`` for whichever is faster.
        plain: device and room; its precision and cohort are filled in.
        federation: backbone, channels, classes and protocol count.
    """
    precisions = [p for p in get_args(Precision) if asked in ("auto", p)]
    together = federation.protocol.sampled_clients if plain.device == "cuda" else 1
    ways = [
        replace(plain, precision=precision, cohort=cohort)
        for precision, cohort in product(precisions, sorted({1, together}))
    ]
    return ways[0] if len(ways) == 1 else _kept(ways, federation)


def _kept(ways: list[Compute], federation: Federation) -> Compute:
    key = {
        "processor": processor_name(ways[0].device),
        "torch": torch.__version__,
        "threads": ways[0].threads,
        "backbone": federation.backbone.identity(),
        "channels": federation.channels,
        "classes": federation.dataset.classes,
        "batch_size": federation.protocol.batch_size,
        "ways": [_told(way) for way in ways],
    }
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    path = data_root() / "compute" / f"{name}.json"
    with writing_in(path.parent, name):
        if path.exists():
            chosen = json.loads(path.read_text())["chosen"]
        else:
            seconds = _measured(ways, federation)
            chosen = _told(_choice(ways, seconds))
            record = json.dumps({**key, "seconds": seconds, "chosen": chosen}, indent=2)
            write_whole(path, f"{record}\n".encode())
    return replace(ways[0], **chosen)


def _told(way: Compute) -> dict[str, Any]:
    return {name: asdict(way)[name] for name in ("precision", "cohort")}


def _choice(ways: list[Compute], seconds: list[float]) -> Compute:
    """The fastest, or the first of ``ways`` if that is about as fast."""
    best = min(range(len(ways)), key=seconds.__getitem__)
    return ways[best] if seconds[best] <= GAIN * seconds[0] else ways[0]


def _measured(ways: list[Compute], federation: Federation) -> list[float]:
    """Seconds of a round of one step for each client: the least of some, taken in turns."""
    practice = practice_federation(federation, clients=max(way.cohort for way in ways))
    trials = [FederatedTrial(Method(), practice, seed=0, compute=way) for way in ways]
    for trial in trials:
        trial.step()
    rounds = [[_seconds(trial) for trial in trials] for _ in range(REPEATS)]
    return [min(column) for column in zip(*rounds, strict=True)]


def _seconds(trial: FederatedTrial) -> float:
    """Of the CPU where it computes: what else a machine does at the moment is then no part of it.

    Threads are those of the trial in each way, so that ways compare as their wall times do.
    """
    clock = time.process_time if trial.device.type == "cpu" else time.perf_counter
    began = clock()
    trial.step()
    return clock() - began


def practice_federation(federation: Federation, clients: int) -> Federation:
    """Clients with one batch of black images each, on the same backbone."""
    size = federation.protocol.batch_size
    batch = size if clients > 1 else min(size, CPU_BATCH)
    data = federation.dataset
    each = batch + 1
    dataset = Dataset(
        "black",
        data.images.new_zeros(clients * each, *data.images.shape[1:]),
        data.labels.new_zeros(clients * each),
        data.class_names,
    )
    own = torch.arange(clients * each).split(each)
    return Federation(
        dataset,
        tuple(ClientSplit(train=i[:batch], val=i[batch:], test=None) for i in own),
        federation.backbone.model_copy(update={"weights": "random"}),
        None,
        Rounds(
            rounds=REPEATS + 2,
            sampled_clients=clients,
            local_epochs=1,
            batch_size=batch,
            evaluate_every=REPEATS + 2,
        ),
        federation.preprocessing,
    )
