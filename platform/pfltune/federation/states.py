"""The personal states of all clients: made when first asked for, in memory or in files."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from pfltune.devices import moved
from pfltune.errors import UserError
from pfltune.federation.payload import MB
from pfltune.method import Tensors, found_under, not_under, put_under

CHANNEL = "channel/"
"""Before the names of what a client's end of the channel keeps for the next upload."""


class PersonalStates(Sequence[Tensors]):
    """One state per client, by index, with what the channel keeps there beside it.

    A client that has not trained has the state that ``first`` makes, anew each time, so that
    thousands of clients cost nothing before they are sampled. What a client has learned is kept on
    ``device`` as long as there is room, then in the memory of the host, then in files that are
    mapped into memory when they are read.

    Args:
        first: the first state of a client.
        clients: their number.
        device: where states are used.
        room_mb: MB (10^6 bytes) of states to keep on the device, and again in the host's memory
            where that is another one.
    """

    def __init__(
        self,
        first: Callable[[int], Tensors],
        clients: int,
        device: torch.device,
        room_mb: float,
    ) -> None:
        self._first = first
        self._clients = clients
        self._device = device
        self._room_mb = room_mb
        self._room = {place: room_mb * MB for place in {device.type, "cpu"}}
        self._held: dict[int, tuple[str, Tensors]] = {}
        self._folder: tempfile.TemporaryDirectory | None = None
        self._filed: set[int] = set()
        self._at_first = object()
        self._marks: dict[int, object] = {}

    def __len__(self) -> int:
        return self._clients

    def __getitem__(self, client: int) -> Tensors:  # type: ignore[override]
        return not_under(CHANNEL, self.whole(client))

    def of_channel(self, client: int) -> Tensors:
        """What the client's end of the channel keeps; no hook of a method sees it."""
        return found_under(CHANNEL, self.whole(client))

    def whole(self, client: int) -> Tensors:
        """All that the client keeps: its state, and under ``CHANNEL`` that of the channel."""
        if not 0 <= client < self._clients:
            raise IndexError(client)
        if client in self._filed:
            stored = load_file(self._file(client))
        elif client in self._held:
            stored = self._held[client][1]
        else:
            return self._first(client)
        return {name: moved(t, self._device) if t.is_cpu else t for name, t in stored.items()}

    def __setitem__(self, client: int, state: Tensors) -> None:
        if self.is_as_at_first(client) and _same(state, self._first(client)):
            return
        self._forget(client)
        self._marks[client] = object()
        size = _size(state)
        for place in (self._device.type, "cpu"):
            if size <= self._room[place]:
                self._room[place] -= size
                self._held[client] = place, _at(place, state)
                return
        self._filed.add(client)
        self._write(state, self._file(client))

    def is_as_at_first(self, client: int) -> bool:
        """Whether nothing is kept of the client: it has not trained, or kept what it began with."""
        return client not in self._held and client not in self._filed

    def mark(self, client: int) -> object:
        """The very same object as long as the client's state is the same, which it is told by."""
        return self._marks.get(client, self._at_first)

    def as_at_first(self) -> "PersonalStates":
        """Other states for the same clients, of which none has trained."""
        return PersonalStates(self._first, self._clients, self._device, self._room_mb)

    def as_now(self) -> "PersonalStates":
        """The same states as they are now, whatever becomes of these; not to be changed.

        Both have the same tensors, and the same files by two names, until these change.
        """
        there = self.as_at_first()
        there._held = dict(self._held)
        for client in self._filed:
            _link(self._file(client), there._file(client))
            there._filed.add(client)
        return there

    def _forget(self, client: int) -> None:
        if client in self._filed:
            self._filed.remove(client)
            self._file(client).unlink()
        place, state = self._held.pop(client, ("cpu", {}))
        self._room[place] += _size(state)

    def _write(self, state: Tensors, path: Path) -> None:
        """Into a new file; tensors in use may still be mapped from one that was removed."""
        save_file({name: t.cpu().contiguous().clone() for name, t in state.items()}, path)

    def _file(self, client: int) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="pfltune-states-")
        return Path(self._folder.name) / f"{client}.safetensors"


def whole_state(of_method: Tensors, of_channel: Tensors) -> Tensors:
    """All that a client keeps, see :meth:`PersonalStates.whole`.

    Raises:
        UserError: the method keeps something where it would be taken for the channel's.
    """
    see_names(of_method)
    return {**of_method, **put_under(CHANNEL, of_channel)}


def see_names(state: Tensors) -> None:
    """See that nothing of a method's state would be taken for the channel's.

    Raises:
        UserError: something would.
    """
    if taken := next((name for name in state if name.startswith(CHANNEL)), None):
        raise UserError(
            f"a personal state has the name {taken!r}; names that begin with {CHANNEL!r} are the "
            "channel's own, choose another"
        )


def _link(there: Path, here: Path) -> None:
    """The same file by another name; a copy where the disk has no such thing."""
    try:
        here.hardlink_to(there)
    except OSError:
        shutil.copyfile(there, here)


def _same(a: Tensors, b: Tensors) -> bool:
    """Whether both hold the very same tensors, which is known without reading any."""
    return a.keys() == b.keys() and all(t is b[name] for name, t in a.items())


def _size(state: Tensors) -> int:
    return sum(t.nbytes for t in state.values())


def _at(place: str, state: Tensors) -> Tensors:
    """The state on another device; from a GPU into pinned memory, without waiting for it."""
    return {
        name: t
        if t.device.type == place
        else torch.empty_like(t, device=place, pin_memory=True).copy_(t, non_blocking=True)
        for name, t in state.items()
    }
