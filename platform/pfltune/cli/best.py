"""``pfltune best``."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from pfltune.cli import options

if TYPE_CHECKING:
    from pfltune.report.chosen import ChosenValues

Form = Literal["options", "yaml", "start"]


@click.command(
    epilog=options.examples(
        "pfltune best my-search",
        "pfltune best my-comparison fedperfix",
        "pfltune run fedperfix --seed 5 $(pfltune best my-search --as options)",
        "pfltune best my-search --as yaml > tuned.yaml",
    )
)
@click.argument("name")
@click.argument("method", required=False)
@click.option(
    "--as",
    "form",
    type=click.Choice(["options", "yaml", "start"]),
    default=None,
    help="Print one form alone: options of a command, an entry of a YAML file of methods, or the "
    "start points of a search space.  [default: all of them, each below a comment]",
)
@options.results
@options.as_json
def command(name: str, method: str | None, form: Form | None, results: Path, as_json: bool) -> None:
    """Print the values that the search of METHOD in NAME chose, to be pasted, with every digit.

    METHOD is needed where NAME has several. Nothing else is printed, and what is printed below
    comments can be pasted with them. A comparison takes the values without pasting:
    pfltune compare --methods METHOD@NAME,fedavg.
    """
    from pfltune.report.chosen import chosen_values
    from pfltune.report.results import read_results

    result = read_results(results, name)
    tuned = result.find(method)
    found = chosen_values(result, tuned)
    if as_json:
        click.echo(json.dumps(_content(name, result.id, tuned.name, found), indent=2))
    else:
        click.echo("\n".join(_all(found) if form is None else [_text(found, form)]))


def _all(found: "ChosenValues") -> Iterator[str]:
    """Each form below what it is for."""
    yield f"# for pfltune run {found.method}, pfltune tune {found.method}"
    yield found.options()
    yield "# for a file of methods, pfltune compare --methods FILE.yaml"
    yield found.entry()
    if found.searched:
        yield "# for a search space, tried first"
        yield found.start()


def _text(found: "ChosenValues", form: Form) -> str:
    return {"options": found.options, "yaml": found.entry, "start": found.start}[form]()


def _content(name: str, identity: str, method: str, found: "ChosenValues") -> dict[str, Any]:
    return {
        "name": name,
        "id": identity,
        "method": method,
        "reference": found.method,
        "values": dict(found.values),
        "settings": dict(found.settings),
        "searched": list(found.searched),
    }
