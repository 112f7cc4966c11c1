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

ROOT = Path(__file__).parents[2]
WHOLE = ROOT / "results" / "benchmarks.json"
QUICK = WHOLE.with_stem("benchmarks-quick")
PAGE = ROOT / "docs" / "speed.md"
LOG_WIDTH = 160
BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"


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
    """Put the table between its marks in docs/speed.md, if they are there."""
    text = PAGE.read_text() if PAGE.exists() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        PAGE.write_text(f"{before}{BEGIN}\n{markdown(rows)}\n{END}{after}")


def markdown(rows: Sequence[Row]) -> str:
    """The table, below a line that says on what it was measured."""
    at = machine()
    lines = [
        f"{at['date']}, {at['cpu']}, {at['threads']} threads, torch {at['torch']}.",
        "",
        "| benchmark | case | figure | target | spread |",
        "| --- | --- | ---: | --- | --- |",
    ]
    for row in rows:
        figure = f"{readable(row)} {row.unit}"
        lines.append(f"| {row.benchmark} | {row.case} | {figure} | {row.target} | {row.spread} |")
    return "\n".join(lines)


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
