"""Test accuracy in bfloat16 beside float32, seed by seed.

python tests/benchmarks/accuracy_by_precision.py
python tests/benchmarks/accuracy_by_precision.py --scenario cifar10-small -o data.name=npz:FILE.npz
"""

import click
import numpy as np
import torch
from rich.console import Console
from scipy import stats

from pfltune.federation.compute import Compute, Precision
from pfltune.federation.federation import Federation
from pfltune.federation.trial import FederatedTrial
from pfltune.registry import make_method
from pfltune.scenario import load_scenario


def accuracy(method: str, federation: Federation, seed: int, precision: Precision) -> float:
    """Mean test accuracy over clients in %, at the round with the best validation accuracy."""
    compute = Compute(precision=precision)
    trial = FederatedTrial(make_method(method, {}), federation, seed, compute)
    for _ in trial.run():
        pass
    return 100 * trial.selection.evaluation.metrics()["test/accuracy"]


@click.command()
@click.option("--scenario", default="digits", show_default=True)
@click.option("--override", "-o", "overrides", multiple=True, metavar="KEY=VALUE")
@click.option("--method", default="fedperfix", show_default=True)
@click.option("--seeds", type=click.IntRange(min=2), default=5, show_default=True)
def main(scenario: str, overrides: tuple[str, ...], method: str, seeds: int) -> None:
    """Print both accuracies of each seed, and a paired t-test of their difference."""
    torch.set_num_threads(1)
    federation = load_scenario(scenario, overrides).build()
    console = Console(highlight=False)
    found = []
    for seed in range(seeds):
        found.append([accuracy(method, federation, seed, p) for p in ("float32", "bfloat16")])
        console.print("seed {}: float32 {:.2f} %, bfloat16 {:.2f} %".format(seed, *found[-1]))
    full, half = np.array(found).T
    difference = half - full
    low, high = stats.ttest_rel(half, full).confidence_interval()
    console.print(
        f"float32 {full.mean():.2f} ± {full.std(ddof=1):.2f}, bfloat16 {half.mean():.2f} ± "
        f"{half.std(ddof=1):.2f}; difference {difference.mean():+.2f}, 95 % interval "
        f"{low:+.2f} to {high:+.2f}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
