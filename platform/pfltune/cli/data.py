"""``pfltune data``."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from pfltune.cli import options
from pfltune.cli.tables import wide_enough
from pfltune.errors import UserError
from pfltune.text import count

if TYPE_CHECKING:
    from pfltune.data.dataset import Dataset
    from pfltune.data.survey import Group, Survey

INSTEAD = "name another folder with --out"
PICTURE = "images.png"
ROWS = 30
"""Classes, clients or domains that are shown; --json has all of them."""


@click.command(
    epilog=options.examples(
        "pfltune data digits",
        "pfltune data folder:photos -o data.size=32",
        "pfltune data patients.csv -o data.columns.client=hospital",
        "pfltune data npz:my_images.npz --json",
        "pfltune data cifar10-small --out look",
    )
)
@click.argument("data")
@options.change
@options.results
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder for the picture; default: data/<name> in the results.",
)
@options.as_json
def command(
    data: str, overrides: tuple[str, ...], results: Path, out: Path | None, as_json: bool
) -> None:
    """Show what a data set is when it has been read: counts, sizes, range, copies, pictures.

    DATA is a data set (digits, folder:PATH, …), a path, or a scenario, whose data are meant. Below
    the tables stands what was done to the samples that is not to be expected, and what was passed
    over; the picture has some images of each class.
    """
    from pfltune.data.survey import survey
    from pfltune.looking import dataset_of, short_name_of

    dataset = dataset_of(data, overrides)
    found = survey(dataset)
    folder = out or results / "data" / short_name_of(dataset)
    _write(dataset, folder)
    if as_json:
        click.echo(json.dumps({**asdict(found), "picture": str(folder / PICTURE)}, indent=2))
        return
    console = wide_enough(Console(markup=False))
    tell = partial(console.print, soft_wrap=True, highlight=False)
    for line in _about(found):
        tell(line)
    for noun, groups in _groups(found).items():
        console.print(_table(noun, groups))
        if len(groups) > ROWS:
            tell(f"and {len(groups) - ROWS:,} more, see --json; each has {_spread(groups)}")
    for line in (*_told_of_copies(found), *found.notes):
        tell(line)
    click.echo(folder / PICTURE)


def _write(dataset: "Dataset", folder: Path) -> None:
    from pfltune.ownership import published
    from pfltune.report.contact_sheet import contact_sheet
    from pfltune.storage import write_whole

    picture = contact_sheet(dataset)
    try:
        with published(folder, f"the data set {dataset.name}", INSTEAD) as draft:
            write_whole(draft / PICTURE, picture)
    except OSError as error:
        raise UserError(
            f"{str(folder)!r} cannot be written ({error.strerror}); {INSTEAD}"
        ) from error


def _about(found: "Survey") -> Iterator[str]:
    channels, height, width = found.shape
    kind = {1: "gray", 3: "colour"}.get(channels, f"{channels} channels")
    yield f"{found.name}: {count(found.samples, 'image')}, {width}×{height} pixels, {kind}"
    yield from found.sizes.lines()
    values = found.values
    yield f"values {values.low} to {values.high}, mean {values.mean:.1f}, std {values.std:.1f}"
    if values.blank:
        yield f"{count(values.blank, 'image')} of one colour only"
    if found.parts:
        given = ", ".join(f"{part} {samples:,}" for part, samples in found.parts.items())
        yield f"given splits: {given}"


def _groups(found: "Survey") -> "dict[str, Sequence[Group]]":
    """What there is to be counted, the classes first."""
    every = {"class": found.classes, "client": found.clients, "domain": found.domains}
    return {noun: groups for noun, groups in every.items() if groups}


def _table(noun: str, groups: "Sequence[Group]") -> Table:
    from pfltune.data.names import on_one_line

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    several = {"class": "classes"}.get(noun, f"{noun}s")
    table.add_column(f"{len(groups):,} {several if len(groups) > 1 else noun}")
    parts = list(groups[0].parts)
    for column in ("images", *parts):
        table.add_column(column, justify="right")
    for group in groups[:ROWS]:
        counts = (group.samples, *(group.parts[part] for part in parts))
        table.add_row(on_one_line(group.name), *(f"{number:,}" for number in counts))
    return table


def _spread(groups: "Sequence[Group]") -> str:
    """How many images one has."""
    sizes = [group.samples for group in groups]
    return f"{min(sizes):,} to {max(sizes):,} images, median {median(sizes):,.0f}"


def _told_of_copies(found: "Survey") -> Iterator[str]:
    copies = found.copies
    if not copies.images:
        yield "no two images are the same, pixel for pixel"
        return
    yield (
        f"{count(copies.images, 'image')} have copies, pixel for pixel: "
        f"{count(copies.different, 'different picture')}"
    )
    for pair, images in copies.leaked.items():
        part, _, other = pair.partition(" in ")
        yield (
            f"leakage: {count(images, 'image')} of {found.parts[part]:,} given for {part} "
            f"{'is' if images == 1 else 'are'} given for {other}, too"
        )
    if copies.contradictory:
        yield f"{count(copies.contradictory, 'image')} of these are of several classes"
    if copies.shared:
        yield f"{count(copies.shared, 'image')} of these are at several clients"
