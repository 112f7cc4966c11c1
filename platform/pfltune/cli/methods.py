"""``pfltune methods``."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pfltune.cli import options
from pfltune.cli.grouped import add_group

if TYPE_CHECKING:
    from pfltune.knobs import Knob, Value
    from pfltune.search.space import SearchSpace

_ROLE = re.compile(r":[a-z:]+:`~?([^`]*)`")
_PARAGRAPHS = re.compile(r"\n\s*\n")


@click.command(
    epilog=options.examples(
        "pfltune methods",
        "pfltune methods fedperfix",
        "pfltune methods 'fedperfix[prefix=tokens]'",
        "pfltune methods fedperfix@my-search",
        "pfltune methods fedavg+topk",
        "pfltune methods my_method.py:MyMethod",
    )
)
@click.argument("name", required=False)
@options.results
def command(name: str | None, results: Path) -> None:
    """List the methods by family, or show one with its knobs, its figures and its search space.

    A method of your own is one file with a subclass of pfltune.method.Method: name it as
    path/to/file.py:Class wherever a method is asked for. Knobs in brackets are held, as in
    fedperfix[prefix=tokens,prefix_length=8]; fedperfix@NAME holds what the search of NAME chose;
    fedavg+topk is FedAvg whose payloads pass a wrap.
    """
    console = Console()
    if name is None:
        _show_all(console)
    else:
        _show_one(console, name, results)


def _show_all(console: Console) -> None:
    from pfltune.registry import available_methods, by_family

    known = available_methods()
    table = _table(("name", "paper"), ())
    for family, names in by_family(known):
        add_group(table, family, [(name, _first_line(known[name])) for name in names])
    console.print(table)
    _show_wraps(console)


def _show_wraps(console: Console) -> None:
    from pfltune.wraps import WRAPS

    rows = [(name, _first_line(WRAPS.find(name))) for name in WRAPS.names()]
    console.print(_below(_table(("wrap, as in fedavg+topk", "what becomes of payloads"), rows)))


def _show_one(console: Console, name: str, results: Path) -> None:
    from pfltune.knobs import knobs_of
    from pfltune.registry import all_held, canonical, find_method, reference_title
    from pfltune.search.space import load_space
    from pfltune.studies.tuned import values_of
    from pfltune.variants import parsed

    cls = find_method(name)
    held = all_held(name, values_of(name, results, {}))
    console.print(Text(reference_title(canonical(name)), style="bold"))
    for block in paragraphs(cls):
        console.print(Text(block))
        console.print()
    console.print(f"family: {cls.family}\n")
    knobs = [
        (knob.name, _value(knob, held), knob.describe_range(), _when(knob), knob.doc)
        for knob in knobs_of(cls).values()
    ]
    console.print(_table(("knob", "default", "possible", "when", "meaning"), knobs))
    if cls.own_figures:
        figures = [(figure.name, figure.unit, figure.words) for figure in cls.own_figures]
        console.print(_below(_table(("figure of its own", "unit", "meaning"), figures)))
    _show_space(console, load_space(parsed(name).base).hold(held))


def _show_space(console: Console, space: "SearchSpace") -> None:
    searched = [
        (knob.name, knob.describe_range(), "logarithmic" if knob.log else "", _when(knob))
        for knob in space.dimensions
    ]
    if not searched:
        console.print("\nNothing is searched.")
        return
    console.print(_below(_table(("searched", "over", "scale", "when"), searched)))
    published = space.published
    for point in space.start:
        values = ", ".join(f"{key}={value}" for key, value in point.items())
        kind = "published" if point in published else "start"
        console.print(Text(f"{kind} values, tried first: {values}"))


def paragraphs(cls: type) -> Iterator[str]:
    """What a class says of itself, without marks of markup; a line each, lists line by line."""
    import inspect

    from pfltune.text import plain

    for block in _PARAGRAPHS.split(inspect.getdoc(cls) or ""):
        lines = _ROLE.sub(r"\1", block).replace("``", "").splitlines()
        if any(line.startswith((" ", "- ", "* ")) for line in lines):
            yield "\n".join(f"{_indent(line)}{plain(line)}" for line in lines)
        else:
            yield plain(" ".join(lines))


def _first_line(cls: type) -> str:
    return next(paragraphs(cls), "")


def _indent(line: str) -> str:
    return " " * (len(line) - len(line.lstrip()))


def _value(knob: "Knob", held: "Mapping[str, Value]") -> str:
    """Its default, or what the reference holds it at."""
    from pfltune.knobs import written

    return f"held at {written(held[knob.name])}" if knob.name in held else str(knob.default)


def _when(knob: "Knob") -> str:
    return ", ".join(f"{key}={value}" for key, value in knob.when.items())


def _below(table: Table) -> Padding:
    """A table with an empty line before it."""
    return Padding(table, (1, 0, 0, 0))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
