"""Figures as a table in the terminal, as JSON and as a table in the documentation."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table
from rows import Row

from pfltune.storage import write_whole
from pfltune.text import count

ROOT = Path(__file__).parents[2]
WHOLE = ROOT / "results" / "benchmarks.json"
QUICK = WHOLE.with_stem("benchmarks-quick")
PAGE = ROOT / "docs" / "speed.md"
LOG_WIDTH = 160
BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"
HEADER = (
    "| benchmark | case | figure | target | spread |",
    "| --- | --- | ---: | --- | --- |",
)


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, side in (
        ("benchmark", "left"),
        ("case", "left"),
        ("figure", "right"),
        ("unit", "left"),
        ("target", "left"),
        ("spread", "left"),
    ):
        table.add_column(column, justify=side)  # type: ignore[arg-type]  # one of rich's words
    for row in rows:
        table.add_row(row.benchmark, row.case, readable(row), row.unit, row.target, row.spread)
    console = Console()
    Console(width=console.width if console.is_terminal else LOG_WIDTH).print(table)


def renew(path: Path, benchmark: str, rows: Sequence[Row]) -> None:
    """Put the rows of one benchmark into the file, and what they depend on."""
    content = {**machine(), "rows": {**_kept(path), benchmark: [asdict(row) for row in rows]}}
    write_whole(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def _kept(path: Path) -> dict[str, Any]:
    """The rows that are there.

    Raises:
        ClickException: it is somebody else's file.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError:
        content = None
    if not isinstance(content, dict) or not {*machine(), "rows"} <= content.keys():
        raise click.ClickException(f"{path} is no file of these benchmarks; move it away")
    return content["rows"]


def read(path: Path, benchmarks: Iterable[str]) -> list[Row]:
    """All rows in the file, in the order of ``benchmarks``."""
    found = json.loads(path.read_text())["rows"]
    return [Row(**row) for name in benchmarks for row in found.get(name, [])]


def write_page(rows: Sequence[Row]) -> None:
    """Put rows into the tables between the marks in docs/speed.md, if they are there.

    Other benchmarks' rows stay below the line that says on what they were measured.
    """
    text = PAGE.read_text() if PAGE.exists() else ""
    before, begin, rest = text.partition(BEGIN)
    tables, end, after = rest.partition(END)
    if begin and end:
        PAGE.write_text(f"{before}{BEGIN}\n{renewed(tables, rows)}\n{END}{after}")


def renewed(tables: str, rows: Sequence[Row]) -> str:
    """Tables, each below its line, in which the rows of some benchmarks are others.

    Args:
        tables: as this function has made them.
        rows: all of some benchmarks, measured here and now.
    """
    names = {row.benchmark for row in rows}
    places: dict[str, list[str]] = {}
    for line in filter(None, tables.splitlines()):
        if not line.startswith("|"):
            lines = places.setdefault(line, [])
        elif line not in HEADER and line.split("|")[1].strip() not in names:
            lines.append(line)
    at = machine()
    here = f"{at['date']}, {at['cpu']}, {count(int(at['threads']), 'thread')}, torch {at['torch']}."
    places.setdefault(here, []).extend(map(_line, rows))
    told = ((place, "", *HEADER, *lines) for place, lines in places.items() if lines)
    return "\n\n".join(map("\n".join, told))


def _line(row: Row) -> str:
    figure = f"{readable(row)} {row.unit}"
    return f"| {row.benchmark} | {row.case} | {figure} | {row.target} | {row.spread} |"


def readable(row: Row) -> str:
    """Three digits after the point for what is small, none for what is large."""
    return f"{row.figure:,.0f}" if abs(row.figure) >= 100 else f"{row.figure:.3f}"


def machine() -> dict[str, str | int]:
    """What the figures depend on beside the code."""
    return {
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "cpu": cpu_model(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
    }


def cpu_model() -> str:
    """As Linux calls it, else as Python does."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
