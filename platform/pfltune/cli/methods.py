"""``pfltune methods``."""

import inspect
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from pfltune.cli import options

if TYPE_CHECKING:
    from pfltune.knobs import Knob


@click.command(
    epilog=options.examples(
        "pfltune methods", "pfltune methods fedperfix", "pfltune methods my_method.py:MyMethod"
    )
)
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the methods, or show one of them with its knobs and its search space.

    A method of your own is one file with a subclass of pfltune.method.Method: name it as
    path/to/file.py:Class wherever a method is asked for.
    """
    from pfltune.knobs import knobs_of
    from pfltune.registry import available_methods, find_method, title_of
    from pfltune.search.space import load_space

    console = Console()
    if name is None:
        rows = [
            (known, (inspect.getdoc(cls) or "").partition("\n")[0])
            for known, cls in available_methods().items()
        ]
        console.print(_table(("name", "paper"), rows))
        return
    cls = find_method(name)
    console.print(Text(title_of(cls), style="bold"))
    console.print(Markdown((inspect.getdoc(cls) or "").replace("``", "`"), hyperlinks=False))
    console.print()
    knobs = [
        (knob.name, str(knob.default), knob.describe_range(), _when(knob), knob.doc)
        for knob in knobs_of(cls).values()
    ]
    console.print(_table(("knob", "default", "possible", "when", "meaning"), knobs))
    space = load_space(name)
    searched = [
        (knob.name, knob.describe_range(), "logarithmic" if knob.log else "", _when(knob))
        for knob in space.dimensions
    ]
    console.print()
    console.print(_table(("searched", "over", "scale", "when"), searched))
    for point in space.start:
        values = ", ".join(f"{key}={value}" for key, value in point.items())
        console.print(Text(f"start values, tried first: {values}"))


def _when(knob: "Knob") -> str:
    return ", ".join(f"{key}={value}" for key, value in knob.when.items())


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in heads:
        table.add_column(head)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
