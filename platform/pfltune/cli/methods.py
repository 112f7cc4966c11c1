"""``pfltune methods``."""

import inspect

import click
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from pfltune.cli import options


@click.command(
    epilog=options.examples(
        "pfltune methods", "pfltune methods fedperfix", "pfltune methods my_method.py:MyMethod"
    )
)
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the methods, or show one of them with its knobs.

    A method of your own is one file with a subclass of pfltune.method.Method: name it as
    path/to/file.py:Class wherever a method is asked for.
    """
    from pfltune.knobs import knobs_of
    from pfltune.registry import available_methods, find_method, title_of

    console = Console()
    if name is None:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("name", no_wrap=True)
        table.add_column("paper")
        for known, cls in available_methods().items():
            first = (inspect.getdoc(cls) or "").splitlines()[0]
            table.add_row(known, first)
        console.print(table)
        return
    cls = find_method(name)
    console.print(f"[bold]{title_of(cls)}[/bold]", highlight=False)
    console.print(Markdown((inspect.getdoc(cls) or "").replace("``", "`"), hyperlinks=False))
    console.print()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("knob", "default", "possible", "when", "meaning"):
        table.add_column(column)
    for knob in knobs_of(cls).values():
        when = ", ".join(f"{key}={value}" for key, value in knob.when.items())
        table.add_row(knob.name, str(knob.default), knob.describe_range(), when, knob.doc)
    console.print(table)
