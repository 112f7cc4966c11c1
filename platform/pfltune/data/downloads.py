"""Files from the internet: fetched once, checked, and told about in one line where that fails."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from pfltune.data.home import data_root, writing_in
from pfltune.errors import UserError
from pfltune.storage import remove_files

# Of silence, not of the whole download.
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class RemoteFile:
    """A file that is published for download.

    Attributes:
        name: of the file here.
        url: where it is.
        md5: of its content.
    """

    name: str
    url: str
    md5: str


def fetch(dataset: str, files: Sequence[RemoteFile]) -> tuple[Path, ...]:
    """The ``files`` of a data set below the data root, downloaded if they are not there yet.

    A file counts as there only if its md5 is right, wherever it came from.

    Raises:
        UserError: a file cannot be had; the line says which one to put where.
    """
    from torchvision.datasets.utils import check_integrity

    folder = data_root() / "downloads" / dataset
    with writing_in(folder, "download"):
        missing = [file for file in files if not check_integrity(folder / file.name, file.md5)]
        for done, file in enumerate(missing):
            try:
                _download(file, folder)
            # RuntimeError is torchvision's word for a wrong md5 and for too many redirects.
            except (OSError, HTTPException, RuntimeError, ValueError) as error:
                raise _by_hand(dataset, folder, missing[done:], error) from error
    return tuple(folder / file.name for file in files)


def _download(file: RemoteFile, folder: Path) -> None:
    """Download into a folder of its own, so that what is half there has another name."""
    from torchvision.datasets.utils import download_url

    if (folder / file.name).exists():
        raise ValueError("what is there may be somebody's own: move it away")
    part = folder / ".part"
    try:
        with _timeout(TIMEOUT_SECONDS):
            download_url(file.url, part, filename=file.name, md5=file.md5)
        (part / file.name).replace(folder / file.name)
    finally:
        remove_files(part, [file.name], with_folder=True)


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    """Let sockets give up: torchvision's downloads have no timeout of their own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _by_hand(
    dataset: str, folder: Path, missing: Sequence[RemoteFile], error: Exception
) -> UserError:
    wrong = {file for file in missing if (folder / file.name).exists()}
    names = ", ".join(
        f"{file.name} (the one there has another md5)" if file in wrong else file.name
        for file in missing
    )
    reason = " ".join(str(error).split()) or type(error).__name__
    urls = ", ".join(file.url for file in missing)
    return UserError(
        f"data set {dataset!r} needs {names}, which cannot be downloaded ({reason}); "
        f"put {'it' if len(missing) == 1 else 'them'} into {folder} (from {urls}), "
        "or use digits, folder:PATH, domains:PATH or npz:PATH, which need no download"
    )
