"""``pfltune doctor``."""

import json
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pfltune.cli import options
from pfltune.cli.quiet import quiet
from pfltune.text import count, plain

if TYPE_CHECKING:
    from pfltune.doctor.finding import Finding
    from pfltune.doctor.prediction import Counted, Foreseen

WIDTH = 80
MARK, NAME = 7, 12


@click.command(
    epilog=options.examples(
        "pfltune doctor",
        "pfltune doctor --quick",
        "pfltune doctor --device cpu --json",
        "pfltune doctor --predict",
    )
)
@options.device
@options.results
@click.option("--quick", is_flag=True, help="Measure neither memory nor speed.")
@click.option(
    "--predict",
    is_flag=True,
    help="Check nothing; print what a round would take on an A100, H100 and H200, counted without "
    "one.",
)
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    device: str | None,
    results: Path,
    quick: bool,
    predict: bool,
    as_json: bool,
) -> None:
    """See whether everything works on this machine, on a page to paste into an issue.

    Versions, processors and folders; that trials end alike on CPU and GPU and with clients at once,
    and repeat themselves with --deterministic; the memory of a trial and how many fit; the speed of
    matrix products and of a round; that Ray starts and MLflow keeps. Nothing is written but to
    temporary files.

    The exit code is 1 if something is wrong.
    """
    with quiet():
        if predict:
            _predict(as_json)
            return
        found = _examined(device, results, quick, speak=not as_json)
    if as_json:
        click.echo(json.dumps({"checks": [*map(asdict, found)]}, indent=2))
    else:
        click.echo(_summary(found))
    if any(finding.state == "wrong" for finding in found):
        ctx.exit(1)


def _examined(device: str | None, results: Path, quick: bool, speak: bool) -> "list[Finding]":
    """Make all checks, telling of each as it ends if that is wanted."""
    from pfltune.doctor.examination import examine
    from pfltune.doctor.finding import Place
    from pfltune.running.hardware import pick_device
    from pfltune.running.pool import this_machine

    machine = this_machine()
    place = Place(pick_device(device, machine.gpus), machine.cores, results)
    found = []
    for finding in examine(place, quick):
        found.append(finding)
        if speak:
            click.echo("\n".join(_lines(finding)))
    return found


def _lines(finding: "Finding") -> Iterator[str]:
    blank = " " * (MARK + NAME)
    yield from _wrapped(finding.words, f"{finding.state:{MARK}}{finding.check:{NAME}}", blank)
    if finding.advice:
        yield from _wrapped(finding.advice, f"{blank}→ ", f"{blank}  ")


def _wrapped(text: str, first: str, others: str) -> list[str]:
    return textwrap.wrap(plain(text), WIDTH, initial_indent=first, subsequent_indent=others)


def _summary(found: "list[Finding]") -> str:
    wrong = sum(finding.state == "wrong" for finding in found)
    notes = sum(finding.state == "note" for finding in found)
    told = f"{wrong} wrong" if wrong else "nothing is wrong"
    return f"{count(len(found), 'check')}: {told}, {count(notes, 'note')}"


def _predict(as_json: bool) -> None:
    from pfltune.doctor.prediction import counts, foreseen

    counted = counts()
    rows = foreseen(counted)
    if as_json:
        models = [_of_model(each) for each in counted]
        click.echo(json.dumps({"models": models, "rounds": [*map(asdict, rows)]}, indent=2))
    else:
        click.echo("\n".join(_predicted(counted, rows)))


def _of_model(counted: "Counted") -> dict[str, Any]:
    return {
        "workload": counted.workload.title,
        "flops": counted.alone.flops,
        "bytes": counted.alone.moved,
        "kernels": counted.alone.started,
        "bytes_at_once": counted.together.moved,
        "kernels_at_once": counted.together.started,
        "peak_bytes": {str(clients): peak for clients, peak in counted.peaks.items()},
    }


def _predicted(counted: "list[Counted]", rows: "list[Foreseen]") -> Iterator[str]:
    from pfltune.doctor.prediction import CLIENTS, COHORTS

    batch = counted[0].workload.batch
    yield "A prediction by torch's counters and by data sheets; nothing was measured."
    yield f"A round of FedAvg in bfloat16: {CLIENTS} clients, each a step of {batch} images."
    yield ""
    yield "                            one by one            at once          that fit"
    yield "model      GPU               ms  of peak          ms  of peak    trials clients"
    for row in rows:
        yield (
            f"{row.workload:11}{row.card:15}{row.ms:5,.0f}{100 * row.share:7.0f} %"
            f"{row.ms_at_once:12,.0f}{100 * row.share_at_once:7.0f} %"
            f"{row.trials:10}{row.clients:8}"
        )
    yield ""
    yield "                     GB moved        kernels       MB, so many clients at once"
    yield "model      TFLOP   alone at once   alone at once" + _cells(COHORTS)
    for each in counted:
        alone, together = each.alone, each.together
        moved = f"{alone.moved / 1e9:8.0f}{together.moved / 1e9:8.0f}"
        started = f"{alone.started:8,}{together.started:8,}"
        peaks = _cells(each.peaks[size] / 1e6 for size in COHORTS)
        yield f"{each.workload.title:11}{alone.flops / 1e12:5.1f}{moved}{started}{peaks}"


def _cells(values: Iterable[float]) -> str:
    return "".join(f"{value:10,.0f}" for value in values)
