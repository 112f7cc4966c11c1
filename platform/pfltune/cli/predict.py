"""``pfltune predict``."""

import json
from pathlib import Path

import click

from pfltune.cli import options


@click.command(
    epilog=options.examples(
        "pfltune predict my-comparison --method fedperfix --client 3 image.png more/",
        "pfltune predict client-3.safetensors image.png --json",
    )
)
@click.argument("name")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.whose_model
@options.code
@options.accept_new_code
@options.results
@options.as_json
def command(
    name: str,
    images: tuple[Path, ...],
    method: str | None,
    client: int | None,
    trial: str | None,
    code: tuple[str, ...],
    accept_new_code: bool,
    results: Path,
    as_json: bool,
) -> None:
    """Say the class of IMAGES, with the model of one client.

    NAME is a comparison that kept models with --keep-models, or a .safetensors file that `pfltune
    export` wrote. IMAGES are files, or folders of them; they are read as those of image folders.
    """
    from pfltune.model_api import load_model
    from pfltune.models.pictures import files_in
    from pfltune.text import plain

    model = load_model(
        name,
        method=method,
        client=client,
        trial=trial,
        results=results,
        code=code,
        accept_new_code=accept_new_code,
    )
    files = files_in(images)
    found = model.predict(files)
    if as_json:
        rows = [
            {
                "image": str(file),
                "label": int(label),
                "class": named,
                "probabilities": dict(zip(model.class_names, map(float, shares), strict=True)),
            }
            for file, label, named, shares in zip(
                files, found.labels, found.names, found.probabilities, strict=True
            )
        ]
        click.echo(json.dumps({"client": model.client, "images": rows}, indent=2))
        return
    for file, named, shares in zip(files, found.names, found.probabilities, strict=True):
        click.echo(f"{plain(str(file))}: {plain(named)} ({100 * shares.max():.1f} %)")
