"""``pfltune methods``."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from pfltune.cli import options

if TYPE_CHECKING:
    from pfltune.knobs import Knob, Value


@click.command(
    epilog=options.examples(
        "pfltune methods",
        "pfltune methods fedperfix",
        "pfltune methods 'fedperfix[prefix=tokens]'",
        "pfltune methods my_method.py:MyMethod",
    )
)
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the methods, or show one of them with its knobs and its search space.

    A method of your own is one file with a subclass of pfltune.method.Method: name it as
    path/to/file.py:Class wherever a method is asked for. Knobs in brackets are held, as in
    fedperfix[prefix=tokens,prefix_length=8].
    """
    from pfltune.knobs import knobs_of
    from pfltune.registry import (
        all_held,
        available_methods,
        canonical,
        find_method,
        reference_title,
    )
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
    console.print(Text(reference_title(canonical(name)), style="bold"))
    console.print(Markdown((inspect.getdoc(cls) or "").replace("``", "`"), hyperlinks=False))
    console.print()
    held = all_held(name, {})
    knobs = [
        (knob.name, _value(knob, held), knob.describe_range(), _when(knob), knob.doc)
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
    published = space.published
    for point in space.start:
        values = ", ".join(f"{key}={value}" for key, value in point.items())
        kind = "published" if point in published else "start"
        console.print(Text(f"{kind} values, tried first: {values}"))


def _value(knob: "Knob", held: "Mapping[str, Value]") -> str:
    """Its default, or what the reference holds it at."""
    from pfltune.knobs import written

    return f"held at {written(held[knob.name])}" if knob.name in held else str(knob.default)


def _when(knob: "Knob") -> str:
    return ", ".join(f"{key}={value}" for key, value in knob.when.items())


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in heads:
        table.add_column(head)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
