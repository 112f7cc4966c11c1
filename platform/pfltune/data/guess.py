"""Which data set a bare path means."""

from pathlib import Path

from pfltune.data.columns import PART_NAMED
from pfltune.data.hub_loading import is_saved
from pfltune.data.names import on_one_line
from pfltune.data.table import SUFFIXES
from pfltune.errors import UserError


def name_of_path(path: Path) -> str:
    """``folder:PATH``, ``npz:PATH``, ``manifest:PATH`` or ``hf:PATH``, by what lies there.

    Args:
        path: of a file or folder that is there.

    Raises:
        UserError: it could be several of them, or is none.
    """
    if path.is_file():
        return _name_of_file(path)
    if is_saved(path):
        return f"hf:{path}"
    tops = [inner for inner in path.iterdir() if _is_visible_folder(inner)]
    given = tops and all(top.name.lower() in PART_NAMED for top in tops)
    below = path.glob("*/*/*" if given else "*/*")
    deeper = next((inner for inner in below if _is_visible_folder(inner)), None)
    if deeper is None:
        return f"folder:{path}"
    raise UserError(
        f"{path} has folders in folders, as {on_one_line(str(deeper.relative_to(path)))}: say what "
        f"the upper ones are, domains:{path} or clients:{path}"
    )


def _name_of_file(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return f"npz:{path}"
    if suffix in SUFFIXES:
        return f"manifest:{path}"
    raise UserError(f"{path} is none of: *.npz, {', '.join(f'*{known}' for known in SUFFIXES)}")


def _is_visible_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith((".", "@"))
