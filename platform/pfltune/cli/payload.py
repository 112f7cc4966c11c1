"""``pfltune payload``."""

import copy
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from pfltune.cli import options
from pfltune.cli.grouped import add_group

if TYPE_CHECKING:
    from torch import nn


@click.command(
    epilog=options.examples(
        "pfltune payload",
        "pfltune payload --model vit_base_patch16_224 --methods pfedpg,fedvpt",
        "pfltune payload --methods fedavg,my_method.py:MyMethod",
        "pfltune payload --methods fedavg,fedavg+float16,'fedavg+topk[topk_share=0.01]'",
    )
)
@click.option("--model", default="vit_small_patch16_224", show_default=True, help="timm's name.")
@click.option(
    "--classes", type=click.IntRange(min=2), default=100, show_default=True, help="Outputs."
)
@click.option(
    "--image-size", type=click.IntRange(min=4), default=224, show_default=True, help="In pixels."
)
@click.option(
    "--methods", default=None, help="Names or path/to/file.py:Class, with commas; default: all."
)
@options.wrap
@options.results
def command(
    model: str,
    classes: int,
    image_size: int,
    methods: str | None,
    wrap: tuple[str, ...],
    results: Path,
) -> None:
    """Show what each method sends in a round, family by family, beside what its paper says.

    One client's messages with the methods' default knobs, or what brackets or another search hold
    (fedperfix[prefix=tokens], fedperfix@NAME): numbers, and bytes as safetensors
    (10^6 bytes = 1 MB). The share is that of FedAvg's upload on the same backbone.
    """
    from pfltune.backbones import TimmBackbone
    from pfltune.federation.traffic import traffic
    from pfltune.method import Method
    from pfltune.method_list import method_list
    from pfltune.registry import available_methods, by_family

    named = method_list([",".join(available_methods()) if methods is None else methods])
    chosen = named.wrapped(wrap).references
    backbone = TimmBackbone.model_validate({"model": model, "image_size": image_size})
    bare = backbone.build(classes, channels=3, seed=0)
    everything = traffic(Method(), copy.deepcopy(bare)).up_bytes
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("method", no_wrap=True)
    for column in ("numbers up", "MB up", "of FedAvg", "MB down"):
        table.add_column(column, justify="right")
    table.add_column("in the paper")
    for family, names in by_family(chosen):
        add_group(table, family, (_row(name, bare, everything, results) for name in names))
    console = Console(markup=False)
    console.print(f"{model} at {image_size} pixels, {classes} classes; one client, one round")
    console.print(table)


def _row(name: str, bare: "nn.Module", everything: int, results: Path) -> tuple[str, ...]:
    from pfltune.federation.payload import MB
    from pfltune.federation.traffic import traffic
    from pfltune.registry import canonical, find_method, make_method, reference_title
    from pfltune.studies.tuned import values_of

    method = make_method(name, values_of(name, results, {}))
    sent = traffic(method, copy.deepcopy(bare))
    return (
        reference_title(canonical(name)),
        f"{sent.up:,}",
        f"{sent.up_bytes / MB:.3f}",
        f"{100 * sent.up_bytes / everything:.2f} %",
        f"{sent.down_bytes / MB:.3f}",
        find_method(name).published_payload,
    )
