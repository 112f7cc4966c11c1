"""``pfltune check``."""

import json
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pfltune.cli import options
from pfltune.cli.quiet import quiet
from pfltune.text import count, plain

if TYPE_CHECKING:
    from pfltune.method import Method
    from pfltune.testing.examination import Complaint, Obstacle, Outcome
    from pfltune.testing.lookalikes import Lookalike

WORDS = {"kept": "ok", "broken": "FAILED", "idle": "-"}
INDENT = 9
WIDEST = 100


@click.command(
    epilog=options.examples(
        "pfltune check my_method.py:MyMethod",
        "pfltune check fedper fedrep",
        "pfltune check my_method.py:MyMethod --json",
    )
)
@click.argument("references", metavar="REFERENCE...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def command(ctx: click.Context, references: tuple[str, ...], as_json: bool) -> None:
    """See whether methods keep what every method must keep.

    REFERENCE is a name (see `pfltune methods`) or path/to/file.py:Class. The contract is checked on
    a small federation of random images, within seconds: that a resumed run equals the straight one,
    that bytes are counted, that nothing personal travels, that every knob has an effect, and so on.
    A check that fails says what was expected, what was found, and the hook to look at. At the end
    stands what keeps the method's clients from training at once.

    The exit code is 1 if a check fails, 2 if a method cannot be loaded.
    """
    from pfltune.registry import load_method, short_name

    classes = [(short_name(reference), load_method(reference)) for reference in references]
    with quiet():
        found = [_checked(name, cls, speak=not as_json) for name, cls in classes]
    if as_json:
        click.echo(json.dumps(found, indent=2))
    if not all(each["kept"] for each in found):
        ctx.exit(1)


def _checked(name: str, cls: "type[Method]", speak: bool) -> dict[str, Any]:
    """Run all checks of a method, telling each as it ends if that is wanted."""
    from pfltune.testing.examination import examine, obstacles
    from pfltune.testing.lookalikes import lookalikes

    say = _say if speak else _nothing
    say(name)
    outcomes = []
    for outcome in examine(cls, name):
        outcomes.append(outcome)
        for line in _told(outcome):
            say(line)
    trains = len(outcomes) > 1 and outcomes[1].state != "broken"
    kept = all(outcome.state != "broken" for outcome in outcomes)
    hindering = obstacles(cls, name) if trains else []
    suspects = lookalikes(cls)
    for line in (*_noticed(suspects), *_slowed(hindering, trains), _summary(outcomes, trains)):
        say(line)
    return {
        "method": name,
        "kept": kept,
        "checks": [asdict(outcome) for outcome in outcomes],
        "lookalikes": [asdict(each) for each in suspects],
        "cohorts": [asdict(each) for each in hindering],
    }


def _told(outcome: "Outcome") -> Iterator[str]:
    reason = f" ({outcome.reason})" if outcome.reason else ""
    yield from _line(WORDS[outcome.state], outcome.promise + reason)
    for complaint in outcome.complaints:
        yield from _complained(complaint)


def _complained(complaint: "Complaint") -> Iterator[str]:
    if complaint.expected:
        yield from _line("", f"expected {complaint.expected}")
    yield from _line("", f"{'found ' if complaint.expected else ''}{complaint.found}")
    if "-" in complaint.subject:
        yield from _line("", f"in {complaint.subject}")
    if complaint.hook or complaint.line:
        hook = f"{complaint.hook}()" if complaint.hook else "it"
        yield from _line("", f"look at {hook}{_place(complaint.line)}")
    if complaint.advice:
        yield from _line("", complaint.advice)


def _noticed(suspects: "list[Lookalike]") -> Iterator[str]:
    for each in suspects:
        yield from _line("look", f"{each.words}{_place(each.line)}")


def _slowed(hindering: "list[Obstacle]", trains: bool) -> Iterator[str]:
    if trains and not hindering:
        yield from _line("cohorts", "clients can train at once")
    for each in hindering:
        yield from _line(
            "cohorts", f"clients train one after the other: {each.words}{_place(each.line)}"
        )


def _summary(outcomes: "list[Outcome]", trains: bool) -> str:
    broken = sum(outcome.state == "broken" for outcome in outcomes)
    rest = "" if trains else "; the others need that first"
    if broken:
        return f"{broken} of {count(len(outcomes), 'check')} failed{rest}"
    return f"{count(len(outcomes), 'check')}, none failed"


def _line(mark: str, text: str) -> list[str]:
    """A text beside a mark, broken to the width of the terminal."""
    width = min(shutil.get_terminal_size().columns, WIDEST)
    blank = " " * INDENT
    first = f"{mark:{INDENT}}"
    return textwrap.wrap(plain(text), width, initial_indent=first, subsequent_indent=blank)


def _place(line: tuple[str, int] | None) -> str:
    return f" ({Path(line[0]).name} line {line[1]})" if line else ""


def _say(line: str) -> None:
    click.echo(line)


def _nothing(_: str) -> None:
    pass
