"""``pfltune report``."""

from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from pfltune.cli import options
from pfltune.errors import Halted, UserError

if TYPE_CHECKING:
    from pfltune.draws import Draws
    from pfltune.replays import Replay
    from pfltune.report.analysis import Analysis
    from pfltune.report.results import ComparisonResult
    from pfltune.sweeps import Sweep

LONGEST_NAME = 100


@click.command(
    epilog=options.examples(
        "pfltune report digits-20261121-064956",
        "pfltune report my-run --reference fedavg --target 0.7",
        "pfltune report my-run --without fedprox --without fedbn",
        "pfltune report my-search --pair prefix_length,lr",
        "pfltune report monday tuesday",
        "pfltune report small-digits small-cifar10 small-blood --out results/three",
    )
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@options.results
@click.option(
    "--reference",
    default=None,
    metavar="METHOD",
    help="Hold the others against this one; default: the best on validation data.",
)
@click.option(
    "--target",
    type=float,
    default=None,
    help="Validation accuracy, or whatever it went by, to time methods to, e.g. 0.7; default: 95 % "
    "of the best one's.",
)
@click.option(
    "--without",
    "left_out",
    multiple=True,
    metavar="METHOD",
    help="Leave its row out; tests and corrections are made for the rest. Repeatable.",
)
@options.pair
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder for the files; default: NAME/report in the results, or NAME+NAME for several.",
)
def command(
    names: tuple[str, ...],
    results: Path,
    reference: str | None,
    target: float | None,
    left_out: tuple[str, ...],
    pair: tuple[str, str] | None,
    out: Path | None,
) -> None:
    """Write the report of comparisons anew, from their own folders alone.

    Of one that still runs it shows what there is. Several on the same data, seeds, rounds and
    hardware settings make one paired table, as if they had been one; others make a table with a
    column for each, average ranks and, from three on, a critical-difference diagram. In MLflow the
    report of one comparison is renewed too, unless it is written elsewhere with --out.
    """
    from pfltune.tracking.store import reason

    different = list(dict.fromkeys(names))
    try:
        if len(different) == 1:
            folder = _report_one(results, different[0], out, reference, target, left_out, pair)
        elif pair is not None:
            raise UserError("--pair is of the search of one method: name one")
        else:
            folder = _report_several(results, different, out, reference, target, left_out)
    except OSError as error:
        raise UserError(
            f"the report cannot be written ({reason(error)}); name another folder with --out"
        ) from error
    page = (folder / "report.html").absolute()
    near = page.relative_to(Path.cwd()) if page.is_relative_to(Path.cwd()) else page
    click.echo(f"Report: {near}")


def _report_one(
    results: Path,
    name: str,
    out: Path | None,
    reference: str | None,
    target: float | None,
    left_out: Collection[str],
    pair: tuple[str, str] | None,
) -> Path:
    from pfltune.cli.tuned import print_tuned
    from pfltune.draws import read_draws
    from pfltune.record import Grid
    from pfltune.replays import read_replay
    from pfltune.report.attachment import attach_report
    from pfltune.report.results import find_record
    from pfltune.report.tuning.notebook import TuneResults
    from pfltune.report.writer import read_found, write_found
    from pfltune.sweeps import read_sweep

    if (draws := read_draws(results / name)) is not None:
        if left_out or pair is not None:
            raise UserError(
                f"{name} is a comparison over several partitions: --without and --pair are for its "
                "draws, one by one"
            )
        return _report_draws(results, draws, out, reference, target)
    if (sweep := read_sweep(results / name)) is not None:
        if left_out:
            raise UserError(f"{name} is a sweep: --without is for its cells, one by one")
        if pair is not None:
            raise UserError(f"{name} is a sweep: --pair is for its cells, one by one")
        return _report_sweep(results, sweep, out, reference, target)
    if (replay := read_replay(results / name)) is not None:
        if reference or target or left_out or pair:
            raise UserError(
                f"{name} is a claim: --reference, --target, --without and --pair are for its parts"
            )
        return _report_claim(results, replay, out)
    if isinstance(find_record(results, name).budget, Grid):
        if reference or target or left_out or pair:
            raise UserError(
                f"{name} is a grid: --reference, --target, --without and --pair are for others"
            )
        return _report_grid(results, name, out)
    found = read_found(results, name, reference, target, left_out, pair)
    write_found(found, out)
    result = found.result
    if isinstance(found, TuneResults):
        print_tuned(Console(markup=False), found.tuned, results)
        _tell_status([result])
    else:
        _show(found.analysis, [result])
    if out is None:
        attach_report(
            results, found.analysis, results / name / "report", partial(click.echo, err=True)
        )
    if result.damage:
        raise Halted(f"{result.damage}; the report has what stands before it")
    return out or results / name / "report"


def _report_sweep(
    results: Path, sweep: "Sweep", out: Path | None, reference: str | None, target: float | None
) -> Path:
    from pfltune.cli.tables import print_sweep
    from pfltune.report.sweep import read_sweep_result, write_sweep

    found = read_sweep_result(results, sweep, reference=reference, target=target)
    folder = write_sweep(found, results, out)
    print_sweep(Console(markup=False), found)
    return folder


def _report_claim(results: Path, replay: "Replay", out: Path | None) -> Path:
    from pfltune.cli.claim import print_replayed
    from pfltune.report.claims.replayed import read_replayed
    from pfltune.report.claims.writer import write_replayed

    found = read_replayed(results, replay)
    folder = write_replayed(found, results, out)
    print_replayed(Console(markup=False), found)
    return folder


def _report_draws(
    results: Path, draws: "Draws", out: Path | None, reference: str | None, target: float | None
) -> Path:
    from pfltune.cli.tables import print_draws
    from pfltune.report.draws import read_draws_result
    from pfltune.report.draws_writer import write_draws

    found = read_draws_result(results, draws, reference=reference, target=target)
    folder = write_draws(found, results, out)
    print_draws(Console(markup=False), found)
    return folder


def _report_grid(results: Path, name: str, out: Path | None) -> Path:
    from pfltune.cli.tables import print_grid
    from pfltune.report.attachment import attach_grid
    from pfltune.report.grid_words import finding, status
    from pfltune.report.grid_writer import write_grid

    result = write_grid(results, name, out)
    folder = out or results / name / "report"
    if told := status(result):
        click.echo(f"{name} is {told}")
    click.echo(finding(result))
    print_grid(Console(markup=False), result)
    if out is None:
        attach_grid(results, result, folder, partial(click.echo, err=True))
    if result.damage:
        raise Halted(f"{result.damage}; the report has what stands before it")
    return folder


def _report_several(
    results: Path,
    names: list[str],
    out: Path | None,
    reference: str | None,
    target: float | None,
    left_out: Collection[str],
) -> Path:
    from pfltune.ownership import published
    from pfltune.report.analysis import analyse
    from pfltune.report.results import read_results
    from pfltune.report.side_by_side import rank_note, side_by_side, write_scenarios
    from pfltune.report.together import together, why_apart, without
    from pfltune.report.tuning.versus import sampler_note, sampler_text
    from pfltune.report.words import INSTEAD
    from pfltune.report.writer import write_files

    found = without([read_results(results, name) for name in names], left_out)
    joined = "+".join(names)
    short = joined if len(joined) <= LONGEST_NAME else f"{names[0]}+{len(names) - 1}-others"
    folder = out or results / short
    owner = "the comparisons " + ", ".join(f"{each.name} ({each.id[:8]})" for each in found)
    apart = why_apart(found)
    if apart is None:
        whole = analyse(together(found), reference, target)
        with published(folder, owner, INSTEAD) as draft:
            write_files(whole, draft)
        _show(whole, found)
        return folder
    scenarios = side_by_side([analyse(result, reference, target) for result in found])
    with published(folder, owner, INSTEAD) as draft:
        write_scenarios(scenarios, draft)
    _tell_status(found)
    if apart:
        click.echo(f"A column for each, and not one table: {apart}")
    click.echo(rank_note(scenarios.ranking))
    for line in (*sampler_text(scenarios.analyses), sampler_note(scenarios.analyses)):
        click.echo(line, nl=bool(line))
    return folder


def _show(analysis: "Analysis", read: Iterable["ComparisonResult"]) -> None:
    """The table and what is to be known of it, and of those that it was read from."""
    from pfltune.cli.said import said
    from pfltune.cli.tables import print_table

    print_table(Console(markup=False), analysis.result)
    _tell_status(read)
    for line in said(analysis):
        click.echo(line)


def _tell_status(read: Iterable["ComparisonResult"]) -> None:
    from pfltune.report.words import status

    for result in read:
        if told := status(result):
            click.echo(f"{result.name} is {told}")
