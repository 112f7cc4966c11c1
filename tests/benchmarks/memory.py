"""Peak memory of a trial over the bare loop's, FedPerfix with a personal state for every client.

Each side runs in a process of its own, from the making of the model through two rounds; the figure
is its peak above what the process held before. The bare loop holds the clients' states as well.
"""

from collections.abc import Callable
from functools import partial

import fresh
import torch
from bare_loop import BareLoop, Work
from grounds import TINY, VIT_S_32, Case, federation
from peaks import peak_above
from recording import grafted_model
from rows import Row

from pfltune.data.images import Images
from pfltune.federation.compute import Compute
from pfltune.federation.federation import Federation
from pfltune.federation.roles import roles_of, tensors_of
from pfltune.federation.trial import FederatedTrial
from pfltune.registry import make_method

NAME = "memory"
METHOD = make_method("fedperfix", {})
CASES = {case.name: case for case in (TINY, VIT_S_32)}
ROUNDS = 2


def memory(quick: bool) -> list[Row]:
    """Both peaks and their ratio."""
    case = TINY if quick else VIT_S_32
    there = case.clients
    engine, bare = (fresh.call(peak, side, case.name) for side in SIDES)
    name = f"FedPerfix, {case.name}, {there.total} clients, {there.sampled} sampled"
    return [
        Row(NAME, f"{name}: peak, engine over bare loop", engine / bare, "×", "≤ 1.2"),
        Row(NAME, f"{name}: peak of the engine", engine, "MB"),
        Row(NAME, f"{name}: peak of the bare loop with the clients' states", bare, "MB"),
    ]


def peak(side: str, name: str) -> float:
    """MB (10^6 bytes) at the peak of one side; a tiny trial before loads what comes late."""
    rounds, case = SIDES[side], CASES[name]
    rounds(*given(TINY))
    ready = given(case)
    return peak_above(lambda: partial(rounds, *ready), torch.device("cpu"))


def given(case: Case) -> tuple[Federation, Work]:
    """The ground, and a round of it as batches that are ready."""
    ground = federation(case)
    images = Images(ground.dataset.images, ground.dataset.labels, case.backbone["image_size"])
    sampled = dict(enumerate(ground.clients[: case.clients.sampled]))
    training = {
        client: [images.batch(chosen) for chosen in split.train.split(case.batch_size)]
        for client, split in sampled.items()
    }
    evaluation = {client: [images.batch(split.val)] for client, split in enumerate(ground.clients)}
    weights = {client: float(len(split.train)) for client, split in sampled.items()}
    return ground, Work(training, evaluation, weights)


def of_engine(ground: Federation, _: Work) -> None:
    """Two rounds of a trial."""
    trial = FederatedTrial(METHOD, ground, 0, Compute(threads=torch.get_num_threads()))
    for _round in range(ROUNDS):
        trial.step()


def of_bare_loop(ground: Federation, work: Work) -> None:
    """Two rounds of the bare loop."""
    model = grafted_model(METHOD, ground, seed=0)
    roles = roles_of(METHOD, model)
    server = tensors_of(model, roles.shared)
    personal = [tensors_of(model, roles.personal) for _client in ground.clients]
    loop = BareLoop(model, work, server, personal, METHOD.lr)
    for _round in range(ROUNDS):
        loop.round()


SIDES: dict[str, Callable[[Federation, Work], None]] = {
    "engine": of_engine,
    "bare loop": of_bare_loop,
}
