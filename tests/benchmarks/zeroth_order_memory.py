"""Peak training memory of forward passes alone against back-propagation, ViT-S/16 at 224 pixels.

Each case runs in a process of its own: one client, two rounds of two local steps on random images.
The figure is the peak during the rounds above what the process held before the backbone was built,
so the weights are part of it: resident memory on a CPU, allocated memory on a GPU (`--device
cuda`). FedZO and its counterpart train one prompt and the head, FedKSeed and its own the whole
model, by the same protocol.

    python tests/benchmarks/zeroth_order_memory.py
"""

from collections.abc import Callable
from dataclasses import replace

import click
import fresh
import torch
from grounds import VIT_S_224, Clients, federation
from peaks import peak_above
from rich.console import Console
from rich.table import Table
from rows import Row

from pfltune.federation.compute import Compute
from pfltune.federation.federation import Federation
from pfltune.federation.trial import FederatedTrial
from pfltune.registry import make_method

NAME = "zeroth-order memory"
CASES: dict[str, tuple[str, dict[str, object]]] = {
    "a prompt and the head, back-propagation": ("local_vpt", {"prompts": 1}),
    "a prompt and the head, FedZO, float": ("fedzo", {"prompts": 1, "precision": "float"}),
    "a prompt and the head, FedZO, int8": ("fedzo", {"prompts": 1}),
    "the whole model, back-propagation": ("fedavg", {}),
    "the whole model, FedKSeed": ("fedkseed", {}),
}
STEPS = 2
ROUNDS = 2  # the second begins from what the first has learned


@click.command()
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
def main(device: str) -> None:
    """Print the table."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("what trains, and how")
    for column in ("batch", "peak MB", "of back-propagation"):
        table.add_column(column, justify="right")
    for batch in (1, 16):
        found = {case: fresh.call(peak, case, batch, 224, device, threads=1) for case in CASES}
        for case, mb in found.items():
            whole = found[case.partition(", ")[0] + ", back-propagation"]
            table.add_row(case, str(batch), f"{mb:.0f}", f"{100 * mb / whole:.0f} %")
    Console().print(table)


def zeroth_order_memory(quick: bool) -> list[Row]:
    """The table's larger batch; in a hurry one small image, in this process."""
    batch, side = (1, 32) if quick else (16, 224)
    rows = []
    for case in CASES:
        given = (case, batch, side, "cpu")
        mb = peak(*given) if quick else fresh.call(peak, *given, threads=1)
        rows.append(Row(NAME, f"{case}, ViT-S at {side} pixels, batch {batch}: peak", mb, "MB"))
    return rows


def peak(case: str, batch: int, side: int, device: str) -> float:
    """MB at the peak of the rounds; a small round before them loads what libraries load late."""
    method, knobs = CASES[case]
    chosen = make_method(method, knobs)
    FederatedTrial(
        chosen, one_client(1, 32), 0, Compute(device=device, threads=torch.get_num_threads())
    ).step()
    ground = one_client(batch, side)

    def prepare() -> Callable[[], object]:
        trial = FederatedTrial(
            chosen, ground, 0, Compute(device=device, threads=torch.get_num_threads())
        )
        return lambda: [trial.step() for _round in range(ROUNDS)]

    return peak_above(prepare, torch.device(device))


def one_client(batch: int, side: int) -> Federation:
    """One client with two batches, which is not evaluated."""
    case = replace(
        VIT_S_224,
        backbone=VIT_S_224.backbone | {"image_size": side},
        batch_size=batch,
        classes=100,
    )
    clients = Clients(total=1, sampled=1, train=batch * STEPS, val=1, test=1)
    return federation(case, clients, evaluate_every=1_000_000)


if __name__ == "__main__":
    main()
