"""Peak training memory of FedZO against back-propagating the same prompts, ViT-S/16 at 224 pixels.

Each case runs in a process of its own: one client, one round, two local steps on random images.
The figure is the peak during the round above what the process held before the backbone was built,
so the weights are part of it: resident memory on a CPU, allocated memory on a GPU (`--device
cuda`). Both train one prompt and the head by the same protocol.

    python tests/benchmarks/zeroth_order_memory.py
"""

import os
import subprocess
import sys

import click
import torch
from rich.console import Console
from rich.table import Table

from pfltune.backbones import Backbone
from pfltune.data.dataset import Dataset
from pfltune.data.split import ClientSplit
from pfltune.federation.ground import Federation, Protocol
from pfltune.federation.memory import held_mb, peak_mb, reset_peak
from pfltune.federation.trial import FederatedTrial
from pfltune.registry import make_method

CASES = {
    "back-propagation, float": ("local_vpt", {"prompts": 1}),
    "FedZO, float": ("fedzo", {"prompts": 1, "precision": "float"}),
    "FedZO, int8": ("fedzo", {"prompts": 1}),
}
STEPS = 2


@click.command()
@click.option("--batch", type=int, default=None, hidden=True)
@click.option("--case", type=click.Choice(list(CASES)), default=None, hidden=True)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
def main(batch: int | None, case: str | None, device: str) -> None:
    """Print the table, or one of its figures in MB."""
    if case is not None and batch is not None:
        print(peak(case, batch, device))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("training of one prompt and the head")
    for column in ("batch", "peak MB", "of back-propagation"):
        table.add_column(column, justify="right")
    for size in (1, 16):
        first = None
        for name in CASES:
            found = float(measured(name, size, device))
            first = first or found
            table.add_row(name, str(size), f"{found:.0f}", f"{100 * found / first:.0f} %")
    Console().print(table)


def measured(case: str, batch: int, device: str) -> str:
    """The figure of a fresh process."""
    command = [sys.executable, __file__, "--case", case, "--batch", str(batch), "--device", device]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed is given back
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.splitlines()[-1]


def peak(case: str, batch: int, device: str) -> float:
    """MB at the peak of one round; a small round before it loads what libraries load late."""
    torch.set_num_threads(1)
    method, knobs = CASES[case]
    small, full = federation(1, 32), federation(batch, 224)
    FederatedTrial(make_method(method, knobs), small, seed=0, device=device).step()
    before = held_mb(torch.device(device))
    trial = FederatedTrial(make_method(method, knobs), full, seed=0, device=device)
    reset_peak(trial.device)
    trial.step()
    return peak_mb(trial.device) - before


def federation(batch: int, size: int) -> Federation:
    """One client with two batches of random images."""
    total = batch * STEPS
    pixels = torch.randint(0, 256, (total + 2, 3, size, size), dtype=torch.uint8)
    labels = torch.randint(0, 100, (total + 2,))
    dataset = Dataset("random", pixels, labels, tuple(map(str, range(100))))
    client = ClientSplit(torch.arange(total), torch.tensor([total]), torch.tensor([total + 1]))
    rules = {"rounds": 2, "sampled_clients": 1, "local_epochs": 1, "evaluate_every": 2}
    backbone = {"model": "vit_small_patch16_224", "image_size": size}
    return Federation(
        dataset,
        (client,),
        Backbone.model_validate(backbone),
        None,
        Protocol.model_validate({**rules, "batch_size": batch}),
    )


if __name__ == "__main__":
    main()
