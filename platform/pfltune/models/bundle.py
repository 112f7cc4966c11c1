"""What is written of a finished trial: with what each client predicts in the selected round.

A tensor of a client's model is looked for in the client's own file, under ``model/`` and then under
``personal/``, then in the state that the client heard of last, and then among those that were
frozen. It stands under ``model/`` wherever the others do not have it to the last bit: what an
adaptation, a channel or a hypernetwork made of a download.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pfltune.federation.trial import FederatedTrial
from pfltune.method import Tensors, found_under, put_under
from pfltune.models.tensors import FileOf, as_bytes, file_of, same_bits
from pfltune.seal import sealed, unsealed
from pfltune.settings import Settings
from pfltune.storage import Storage

Heard = Literal["server", "before"]
"""The server's state after the selected round, or before it: where clients are evaluated right
after their training, those who did not train have heard of that alone."""

SERVER, FROZEN, BUNDLE = "server.safetensors", "frozen.safetensors", "bundle.json"
OURS = re.compile(r"bundle\.json|(server|before|frozen|client-\d+)\.safetensors")
"""The names of a bundle's files; nothing else is ever removed."""
MODEL, PERSONAL = "model/", "personal/"


class Bundle(Settings):
    """What a finished trial wrote.

    Attributes:
        round: that was selected.
        image: channels, height and width of the images that it was given.
        class_names: one per class.
        heard: which of the server's states each client predicts with.
        files: that were written.
    """

    round: int
    image: tuple[int, int, int]
    class_names: tuple[str, ...]
    heard: Mapping[int, Heard]
    files: Mapping[str, FileOf]


def client_file(client: int) -> str:
    """The name of a client's file."""
    return f"client-{client}.safetensors"


def state_file(heard: Heard) -> str:
    """The name of the file of a server's state."""
    return f"{heard}.safetensors"


def write_bundle(trial: FederatedTrial, place: Storage) -> Bundle:
    """Write what each client of a finished trial predicts with.

    Args:
        trial: that keeps its selected round.
        place: where; files of an earlier attempt are written over.

    Raises:
        RuntimeError: the selected round is not kept.
        OSError: it cannot be written.
    """
    writing = _Writing(trial, place)
    trial.each_model(writing.client)
    data = trial.federation.dataset
    _, *image = data.images.shape
    bundle = Bundle(
        round=trial.selection.round,
        image=tuple(image),
        class_names=data.class_names,
        heard=writing.heard,
        files=writing.shared(),
    )
    place.write(BUNDLE, sealed(bundle.model_dump(mode="json")))
    return bundle


def read_bundle(place: Storage) -> Bundle | None:
    """What a trial wrote; None if it has not written all of it.

    Raises:
        OSError: the place cannot be read.
    """
    try:
        found: Any = unsealed(place.read(BUNDLE))
        return Bundle.model_validate(found)
    except (FileNotFoundError, ValueError):
        return None


def remove_bundle(place: Storage) -> None:
    """Remove what a trial wrote, and its place if nothing else is in it.

    Raises:
        OSError: it cannot be written.
    """
    for name in place.names():
        if OURS.fullmatch(name):
            place.remove(name)
    place.remove_if_empty()


@dataclass
class _Writing:
    """The files of a bundle, as they are written.

    Attributes:
        trial: whose they are.
        place: where.
        heard: which state each client has heard of.
        files: those that are there.
        left_out: tensors of the model that a client predicts with as they were made.
    """

    trial: FederatedTrial
    place: Storage
    heard: dict[int, Heard] = field(default_factory=dict)
    files: dict[str, FileOf] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        kept = self.trial.selected
        assert kept is not None
        self._kept = kept
        self._made = self.trial.model_state()

    def client(self, client: int, tensors: Tensors) -> None:
        """Write what a client has that the shared files have not."""
        kept, made = self._kept, self._made
        after = kept.models is None or client in kept.sampled
        self.heard[client] = "server" if after else "before"
        shared = self.trial.selected_server if after else kept.before
        personal = kept.personal[client]
        elsewhere = {**made, **shared, **personal}
        model = {name: tensors.get(name, tensor) for name, tensor in made.items()}
        own = {n: t for n, t in model.items() if not same_bits(t, elsewhere[n].to(t.device))}
        in_states = shared.keys() | personal.keys() | own.keys()
        self.left_out |= {name for name in model if name not in in_states}
        state = {**put_under(PERSONAL, personal), **put_under(MODEL, own)}
        self._write(client_file(client), state)

    def shared(self) -> dict[str, FileOf]:
        """Write what clients have in common; returns what all files are."""
        self._write(SERVER, self.trial.selected_server)
        if "before" in self.heard.values():
            self._write(state_file("before"), self._kept.before)
        self._write(FROZEN, {name: self._made[name] for name in sorted(self.left_out)})
        return self.files

    def _write(self, name: str, tensors: Tensors) -> None:
        content = as_bytes(tensors)
        self.files[name] = file_of(content)
        self.place.write(name, content)


def resolved(client: Tensors, shared: Tensors, frozen: Tensors) -> Tensors:
    """The model's tensors that a client predicts with, and what its states hold beside them.

    Args:
        client: its own file.
        shared: the server's state that it has heard of.
        frozen: what never moved.
    """
    return {**frozen, **shared, **found_under(PERSONAL, client), **found_under(MODEL, client)}
