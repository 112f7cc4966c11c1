"""``pfltune extend``."""

from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from pfltune.cli import options
from pfltune.cli.compare import run_and_report, show_comparison
from pfltune.cli.resume import check_files, repeated
from pfltune.errors import UserError

if TYPE_CHECKING:
    from pfltune.budget import Budget
    from pfltune.record import Record

DECIDING = ("scenario", "eta", "seed", "threads", "device", "precision", "deterministic", "fixed")
"""Settings that are the record's."""


@click.command(
    epilog=options.examples(
        "pfltune extend digits-20261121-064956 --methods apfl,ditto",
        "pfltune extend my-run --seeds 10",
        "pfltune extend my-run --trials 16",
        "pfltune extend my-run --generation 4,4,8",
        "pfltune extend my-search --methods 'fedperfix[prefix=zero]' --seeds 5",
    )
)
@click.argument("name")
@click.option("--methods", default=None, help=f"More methods. {options.METHODS_HELP}")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=None,
    help="Confirmation seeds that there shall be, not fewer than there are.",
)
@click.option(
    "--trials",
    type=int,
    default=None,
    help="Search trials per method that there shall be: whole generations are added.",
)
@click.option(
    "--generation",
    type=options.GenerationSizes(),
    default=None,
    help="Size of each added generation, by default that of the first one; or the sizes of all, "
    "those that are there included, e.g. 4,4,8.",
)
@options.free
@options.as_json
def command(name: str, methods: str | None, **settings: Any) -> None:
    """Add methods, confirmation seeds or search trials to the comparison NAME, finished or not.

    Only what is new is trained. The table is the one of a comparison that was asked for all of it
    at once. One that was begun by `pfltune tune` can be extended too. After an interruption,
    the same command goes on, or the one that it prints.
    """
    if methods is None and not any(settings[key] for key in ("seeds", "trials", "generation")):
        raise UserError("say what to add: --methods, --seeds, --trials or --generation")
    console = Console(markup=False, quiet=settings["as_json"])
    from pfltune.report.results import find_record

    record = find_record(settings["results"], name)
    old = _budget_of(record)
    sizes = {key: settings[key] for key in ("seeds", "trials", "generation")}
    budget = old.grown(**sizes)
    added = options.chosen(methods) if methods is not None else {"methods": [], "titles": {}}
    all_methods = _together(record, added["methods"])
    check_files(record, all_methods, settings["accept_new_code"])
    known = repeated({**settings, **dict.fromkeys(DECIDING)}, record)
    wanted = {
        "name": None,
        "resume": name,
        "overrides": (),
        "methods": all_methods,
        "titles": added["titles"],
        "seeds": budget.seeds,
        "trials": None,
        "generation": budget.generations,
    }
    more_methods = len(all_methods) > len(record.methods)
    goes_on = "compare" if more_methods else record.command
    folder, result = run_and_report(goes_on, {**known, **wanted}, record, console, extends=True)
    show_comparison(console, folder, result, settings)


def _budget_of(record: "Record") -> "Budget":
    from pfltune.budget import Budget

    if not isinstance(record.budget, Budget):
        raise UserError(f"{record.name} is a sensitivity study; it cannot be extended")
    return record.budget


def _together(record: "Record", added: list[str]) -> list[str]:
    """All methods, each once; one that is there already is read from where it lies now."""
    from pfltune.registry import canonical, short_name

    found = {short_name(method): method for method in record.methods}
    new = [canonical(method) for method in added]
    names = [short_name(method) for method in new]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"methods named twice: {', '.join(repeated)}")
    return list((found | dict(zip(names, new, strict=True))).values())
