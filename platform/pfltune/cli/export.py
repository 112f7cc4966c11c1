"""``pfltune export``."""

import shlex
from pathlib import Path

import click

from pfltune.cli import options
from pfltune.errors import UserError
from pfltune.text import count


@click.command(
    epilog=options.examples(
        "pfltune export my-search --optuna sqlite:///my-search.db",
        "pfltune export my-comparison --optuna postgresql://me@host/studies",
        "pfltune export my-comparison --tensorboard runs/my-comparison",
        "pfltune export my-comparison --method fedperfix --client 3 --to client-3.safetensors",
        "pfltune export my-comparison --method fedavg --to fedavg.onnx",
    )
)
@click.argument("name")
@click.option(
    "--optuna",
    "address",
    default=None,
    metavar="URL",
    help="Address of a storage of Optuna's, such as sqlite:///FILE. A file that is not there is "
    "made; to what is there the studies are added.",
)
@click.option(
    "--tensorboard",
    "events",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FOLDER",
    help="Write every trial's figures by round into this folder, for tensorboard --logdir FOLDER.",
)
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE.safetensors|FILE.onnx",
    help="Write the model of one client to this file.",
)
@options.whose_model
@options.results
def command(
    name: str,
    address: str | None,
    events: Path | None,
    target: Path | None,
    method: str | None,
    client: int | None,
    trial: str | None,
    results: Path,
) -> None:
    """Write the searches of NAME for Optuna, its trials for TensorBoard, or a client's model.

    --optuna: one study for each method that was searched. They have the recorded space, every trial
    in its order, its score at every evaluated round, and what is known of it beside. Trials that
    were stopped early are pruned ones. Whatever reads studies of Optuna's reads them:
    optuna-dashboard, optuna.visualization, pfltune tune --start-from. All are written or none; what
    is there already as it shall be is left alone.

    --tensorboard: a run for each trial, below its method, with its figures by round at the hour at
    which they came, and its knobs as hyperparameters. Writing again replaces what was written.

    --to: a model that was kept with --keep-models. In FILE.safetensors are the tensors of a plain
    timm model wherever the method leaves it plain; pfltune.load_model reads it in any case.
    FILE.onnx is written only if onnxruntime says with it what torch says.
    """
    if sum(place is not None for place in (address, events, target)) != 1:
        raise UserError(
            "say with --optuna where searches go, with --tensorboard where trials go, or with --to "
            "where a model goes"
        )
    if target is not None:
        from pfltune.model_api import export_model

        read_with = export_model(
            name, target, method=method, client=client, trial=trial, results=results
        )
        click.echo(f"{target}: read it with {read_with}")
        return
    if (method, client, trial) != (None, None, None):
        raise UserError("--method, --client and --trial are of a model, which needs --to FILE")
    if events is not None:
        from pfltune.api import export_tensorboard

        trials = export_tensorboard(name, events, results=results)
        click.echo(f"{events}: {count(trials, 'trial')}")
        click.echo(f"Browse: tensorboard --logdir {shlex.quote(str(events))}")
        return
    _export_searches(name, str(address), results)


def _export_searches(name: str, address: str, results: Path) -> None:
    from pfltune.api import export
    from pfltune.tracking.optuna_storage import parsed_address, shown

    studies = export(name, address, results=results)
    where = shown(parsed_address(address))
    click.echo(f"In {where}:")
    for study, trials in studies.items():
        click.echo(f"  {study}: {count(trials, 'trial')}")
    click.echo(f"Browse: optuna-dashboard {shlex.quote(where)}")
