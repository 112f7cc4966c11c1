"""``pfltune verify``."""

import json
from pathlib import Path
from typing import Any

import click

from pfltune.cli import options


@click.command(
    epilog=options.examples(
        "pfltune verify certificate.json",
        "pfltune verify certificate.json --sample 20 --seed 7",
        "pfltune verify certificate.json --trial fedperfix-confirm-0",
        "pfltune verify certificate.json --methods sharednorms.py:SharedNorms",
    )
)
@click.argument("certificate", type=click.Path(path_type=Path))
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Trials that are trained again, drawn at random from all methods in turn.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=None,
    help="Of the draw, to repeat one; default: nobody knows it before.",
)
@click.option(
    "--trial",
    "trials",
    multiple=True,
    metavar="NAME",
    help="Train this one again, instead of a draw. Repeatable.",
)
@click.option(
    "--methods",
    default=None,
    metavar="FILE:CLASS,...",
    help="Your copies of methods whose code came with the certificate; no other file is run.",
)
@click.option(
    "--override",
    "-o",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Where its data lie here, e.g. -o data.name=npz:images.npz; their digests must agree.",
)
@click.option(
    "--accept-new-code",
    is_flag=True,
    help="Check within bounds although the code of pfltune or of a method is another here.",
)
@options.as_json
def command(certificate: Path, as_json: bool, methods: str | None, **given: Any) -> None:
    """Check a stranger's CERTIFICATE: what follows from its scores, then some trials trained again.

    Without training it is seen that the table follows from the trials, the rounds that were chosen
    from the scores, and every suggestion of the search from the scores before it. The trials that
    are drawn must come again bit for bit where code, versions, data and processor are the same, and
    within stated bounds on another processor or version. Exit code 1 if something does not.
    """
    from pfltune.api import verify
    from pfltune.variants import split

    named = split(methods) if methods else ()
    tell = (lambda _: None) if as_json else click.echo
    verdict = verify(certificate, methods=named, progress=tell, **given)
    if as_json:
        click.echo(json.dumps(verdict.to_dict(), indent=2))
    if not verdict.holds:
        click.get_current_context().exit(1)
