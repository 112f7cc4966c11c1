"""A trial's state on disk: safetensors and JSON, no pickle."""

import json
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import load_file, save_file

from pfltune.federation.evaluation import Evaluation, Selection
from pfltune.federation.trial import FederatedTrial, Totals
from pfltune.method import Tensors


def save_trial(trial: FederatedTrial, folder: Path) -> None:
    """Write everything that a trial of the same arguments needs to go on after this round."""
    tensors = {f"server/{name}": t for name, t in trial.server.items()}
    for client, personal in trial.personal.learned():
        tensors |= {f"client{client}/{name}": t for name, t in personal.items()}
    # A tensor that two clients still share is written for each: safetensors knows no aliases.
    save_file({n: t.contiguous().clone() for n, t in tensors.items()}, folder / "state.safetensors")
    selected = trial.selection
    state = {
        "round": trial.round,
        "totals": asdict(trial.totals),
        "selection": {"round": selected.round, **asdict(selected.evaluation)},
        "learned": [client for client, _ in trial.personal.learned()],
    }
    (folder / "state.json").write_text(json.dumps(state))


def load_trial(trial: FederatedTrial, folder: Path) -> None:
    """Put a freshly made trial of the same arguments into the saved state."""
    state = json.loads((folder / "state.json").read_text())
    stored = load_file(folder / "state.safetensors", device=str(trial.device))
    trial.round = state["round"]
    trial.totals = Totals(**state["totals"])
    chosen = state["selection"]
    test = None if chosen["test"] is None else tuple(chosen["test"])
    trial.selection = Selection(chosen["round"], Evaluation(tuple(chosen["val"]), test))
    trial.server = _under(stored, "server/")
    trial.personal.reset()
    for client in state["learned"]:
        trial.personal[client] = _under(stored, f"client{client}/")


def _under(stored: Tensors, prefix: str) -> Tensors:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in stored.items()
        if name.startswith(prefix)
    }
