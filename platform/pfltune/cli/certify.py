"""``pfltune certify``."""

import shlex
from pathlib import Path

import click

from pfltune.cli import options


@click.command(
    epilog=options.examples(
        "pfltune certify digits-20261121-064956",
        "pfltune certify my-run --out supplement/my-run.certificate.json",
    )
)
@click.argument("name")
@options.results
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="The file; default: certificate.json in the comparison's folder.",
)
def command(name: str, results: Path, out: Path | None) -> None:
    """Write the certificate of the comparison NAME: one small file by which others can check it.

    It holds the configuration, the digests of code and data, every trial with its knobs, its seed,
    its scores and a digest of its whole curve, and the table that follows.
    """
    from pfltune.api import certify

    path = certify(name, results=results, out=out)
    click.echo(f"Certificate: {path} ({path.stat().st_size:,} bytes)")
    click.echo(f"Anybody can check it: pfltune verify {shlex.quote(str(path))} --sample 5")
