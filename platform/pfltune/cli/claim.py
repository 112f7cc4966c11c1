"""``pfltune claim``."""

import json
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pfltune.cli import options

if TYPE_CHECKING:
    from pfltune.claim_file import Claim
    from pfltune.orderings import Subject
    from pfltune.report.claims.notebook import ClaimResults
    from pfltune.report.claims.replayed import Replayed
    from pfltune.report.claims.verdicts import Verdict

COLOURS = {"holds": "green", "reversed": "red"}
SHOWN = {"not told apart": "not told", "not tested": "untested"}
"""Verdicts where there is little room."""
MOST_WIDE = 2
"""Footings whose figures have room in one line."""


@click.command(
    epilog=options.examples(
        "pfltune claim",
        "pfltune claim fedperfix --show",
        "pfltune claim fedperfix --name fedperfix-digits",
        "pfltune claim fedperfix --footings trials,bytes --seeds 5",
        "pfltune claim fedperfix --scale images -o data.name=npz:cifar10_10k.npz",
        "pfltune claim my_claim.yaml",
        "pfltune claim --resume fedperfix-digits",
    )
)
@click.argument("claim", required=False)
@click.option(
    "--scale",
    default=None,
    help="How large it is replayed, by the claim's own names; default: the first one.",
)
@click.option(
    "--footings",
    default=None,
    metavar="FOOTING,…",
    help="What shall be equal: trials, bytes, steps; draws repeats the comparison over draws of "
    "the clients, sensitivity keeps each kind of layer personal.  [default: all that the scale "
    "has]",
)
@click.option(
    "--scenario", default=None, help="Name or path of a YAML file, in place of the scale's own."
)
@options.override
@click.option("--trials", type=int, default=None, help="Search trials per method.")
@click.option(
    "--generation",
    type=options.GenerationSizes(),
    default=None,
    help="Trials suggested together; one size for all generations, or the size of each.",
)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=None, help="Fresh seeds of the confirmation."
)
@options.hardware
@click.option(
    "--show", is_flag=True, help="Print what the paper says and what would be run; run nothing."
)
@options.as_json
def command(claim: str | None, show: bool, as_json: bool, **_: Any) -> None:
    """Replay what a paper claims: which of its orderings hold, and on which footing.

    CLAIM is a name, or the path of a YAML file; without one, the claims are listed. On each footing
    the claim's methods are compared anew, as `pfltune compare` does, in a comparison of its own
    named NAME.footing. An ordering holds, is reversed, is not told apart, or is not tested.
    """
    given = {
        name: value for name, value in options.given().items() if name not in ("claim", "show")
    }
    console = Console(markup=False, quiet=as_json)
    if claim is None and "resume" not in given and not show:
        _list(console)
        return
    if show:
        _show_claim(console, claim, given)
        return
    console.print("Loading torch and timm")
    from pfltune.api import claim as replay_claim
    from pfltune.cli.view import Terminal

    shown = _print_json if as_json else partial(show_replayed, console)
    replay_claim(claim, progress=Terminal(console, shown), **given)


def show_replayed(console: Console, found: "ClaimResults") -> None:
    """The verdicts, what they say in words, and where there is more."""
    from pfltune.cli.compare import show_report

    print_replayed(console, found.found)
    show_report(console, found.folder)


def print_replayed(console: Console, found: "Replayed") -> None:
    """The verdicts, and what they say in words."""
    from pfltune.report.claims import words

    print_verdicts(console, found)
    for line in (*words.statuses(found), *words.origins(found), *words.findings(found)):
        console.print(line, soft_wrap=True, highlight=False)


def print_verdicts(console: Console, found: "Replayed") -> None:
    """A row for each ordering, a column for each footing: methods, then layers."""
    from pfltune.cli.tables import WIDE
    from pfltune.report.claims import words
    from pfltune.report.claims.tables import SUBJECTS

    width = console.width if console.is_terminal or "COLUMNS" in os.environ else WIDE
    wide = Console(file=console.file, width=width, markup=False, quiet=console.quiet)
    wide.print(words.heading(found), highlight=False)
    for of in SUBJECTS:
        if found.pairs(of) and found.footings(of):
            wide.print(_verdicts(found, of))
    wide.print(
        "differences of test accuracy in points, first minus second; p for all orderings of a "
        "footing together",
        highlight=False,
    )


def _verdicts(found: "Replayed", of: "Subject") -> Table:
    from pfltune.claim_file import TITLES
    from pfltune.report.claims import words
    from pfltune.report.claims.tables import HEADS

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(HEADS[of], overflow="fold")
    table.add_column("paper", justify="right", no_wrap=True)
    for footing in found.footings(of):
        table.add_column(TITLES[footing].replace(" ", "\n"), no_wrap=True)
    narrow = len(found.footings(of)) > MOST_WIDE
    for pair in found.pairs(of):
        cells = [_cell(found.verdict(pair, f), narrow) for f in found.footings(of)]
        table.add_row(words.title(pair), words.paper(found, pair), *cells)
    return table


def _cell(verdict: "Verdict | None", narrow: bool) -> Text:
    """The word, and below it its figures, in one line or, where that is too wide, in two."""
    from pfltune.report.claims.words import in_short

    word, *figures = in_short(verdict)
    text = Text(SHOWN.get(word, word), style=COLOURS.get(word, ""))
    below = ("\n" if narrow else " ").join(filter(None, figures))
    return text.append(f"\n{below}", style="default") if below else text


def _print_json(found: "ClaimResults") -> None:
    from pfltune.report.claims.writer import content_of

    content = content_of(found.found) | {"report": str(found.report)}
    click.echo(json.dumps(content, indent=2))


def _list(console: Console) -> None:
    """All claims, and at which scales each is replayed."""
    from pfltune.claim_file import claim_files, load_claim

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("name", "claim", "scales"):
        table.add_column(column)
    for name in claim_files():
        claim = load_claim(name)
        table.add_row(name, f"{claim.title} ({claim.citation})", ", ".join(claim.scales))
    console.print(table)


def _show_claim(console: Console, name: str | None, given: dict[str, Any]) -> None:
    """What a claim says, and the commands that its replay stands for."""
    from pfltune.claim_file import TITLES, load_claim
    from pfltune.studies.claims import command_of, replay_of

    if name is None:
        raise click.UsageError("--show needs a CLAIM; `pfltune claim` lists them")
    claim = load_claim(name)
    replay = replay_of(name, given)
    for line in _said(claim, replay.scale):
        console.print(line, highlight=False)
    for part in replay.parts:
        console.print(f"{TITLES[part.footing].capitalize()}:", highlight=False)
        console.print(f"    {command_of(part)}", soft_wrap=True, highlight=False)


def _said(claim: "Claim", scale: str) -> list[str]:
    from pfltune.report.claims.words import title

    printed = [
        f"    {title(pair)}" + (f"   paper {difference:+.2f}" if difference is not None else "")
        for pair in claim.pairs
        for difference in [claim.printed(pair)]
    ]
    source = f" Paper's figures: {claim.published.source}." if claim.published.source else ""
    about = claim.scales[scale].about
    return [
        f"{claim.title}. {claim.paper} ({claim.citation}).{source}",
        *([claim.about] if claim.about else []),
        "Orderings:",
        *printed,
        f"Scale {scale}{f': {about}' if about else ''}; others: "
        f"{', '.join(s for s in claim.scales if s != scale) or 'none'}",
    ]
