"""All benchmarks: a table, `results/benchmarks.json` and the table in docs/speed.md.

Each benchmark's rows are renewed as soon as it has run; the others stay. A quick run writes to
`results/benchmarks-quick.json` only.

python tests/benchmarks/run.py --quick
python tests/benchmarks/run.py --only overhead --only growth
"""

from collections.abc import Callable

import click
import reporting
import torch
from cohort import cohort
from frozen import frozen
from growth import growth
from many_trials import many_trials
from memory import memory
from overhead import overhead
from precision import precision
from report_writing import report_writing
from rows import Row
from scale import scale
from start_up import start_up
from whole_comparison import whole_comparison
from workers import workers
from zeroth_order_memory import zeroth_order_memory

BENCHMARKS: dict[str, Callable[[bool], list[Row]]] = {
    "overhead": overhead,
    "precision": precision,
    "cohort": cohort,
    "frozen": frozen,
    "growth": growth,
    "start-up": start_up,
    "memory": memory,
    "side by side": workers,
    "whole comparison": whole_comparison,
    "many trials": many_trials,
    "report": report_writing,
    "scale": scale,
    "zeroth-order memory": zeroth_order_memory,
}


@click.command()
@click.option("--quick", is_flag=True, help="Everything once and small: does it still work?")
@click.option(
    "--only",
    type=click.Choice(list(BENCHMARKS)),
    multiple=True,
    help="This benchmark; repeatable.",
)
@click.option(
    "--threads", type=click.IntRange(min=1), default=None, help="torch threads; default: all cores."
)
def main(quick: bool, only: tuple[str, ...], threads: int | None) -> None:
    """Measure, print, write down."""
    if threads is not None:
        torch.set_num_threads(threads)
    path = reporting.QUICK if quick else reporting.WHOLE
    for name in only or BENCHMARKS:
        click.echo(f"{name} …", err=True)
        rows = BENCHMARKS[name](quick)
        reporting.renew(path, name, rows)
        if not quick:
            reporting.write_page(rows)
    reporting.show(reporting.read(path, BENCHMARKS))


if __name__ == "__main__":
    main()
