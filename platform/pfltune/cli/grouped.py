"""Tables in the terminal whose rows stand in groups."""

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text


def add_group(table: Table, heading: str, rows: Iterable[Sequence[str]]) -> None:
    """Rows below their heading, with an empty line before it where others stand above."""
    if table.row_count:
        table.add_row()
    table.add_row(Text(heading.capitalize(), style="bold"))
    for row in rows:
        table.add_row(*map(Text, row))
