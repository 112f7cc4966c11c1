"""The methods of a comparison as a user names them: in a text, or in a YAML file."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from pfltune.errors import UserError
from pfltune.knobs import Value
from pfltune.settings import Settings, read_data, validated
from pfltune.text import plain
from pfltune.variants import holding, split, wrapping

FILES = (".yaml", ".yml")


class Entry(Settings):
    """One method in a file.

    Attributes:
        method: its name or ``path/to/file.py:Class``; with ``@NAME`` as it was tuned there.
        set: knobs that are held.
        title: how it is written in tables; by default as the method says, with what is held.
    """

    method: str = Field(min_length=1)
    set: dict[str, Value] = Field(default_factory=dict)
    title: str = ""


@dataclass(frozen=True)
class MethodList:
    """Methods in their order.

    Attributes:
        references: of the methods.
        titles: how the user writes them, by reference; empty for those without a title.
    """

    references: tuple[str, ...]
    titles: Mapping[str, str] = field(default_factory=dict)

    def wrapped(self, wraps: str | Iterable[str]) -> "MethodList":
        """The same methods, each wrapped in these.

        Raises:
            UserError: something is no text of a wrap.
        """
        several = [wraps] if isinstance(wraps, str) else list(wraps)
        titles = {wrapping(reference, several): title for reference, title in self.titles.items()}
        return MethodList(tuple(wrapping(each, several) for each in self.references), titles)


def method_list(texts: Iterable[str]) -> MethodList:
    """``["fedavg, fedperfix[prefix=zero]", "more.yaml"]`` as what it stands for.

    A file holds a list of such texts, or of mappings with ``method``, ``set`` and ``title``.

    Raises:
        UserError: there is none, or a file that cannot be read.
    """
    entries = [entry for text in texts for entry in _entries(text)]
    if not entries:
        raise UserError("--methods is empty; `pfltune methods` lists what there is")
    titles = {reference: title for reference, title in entries if title}
    return MethodList(tuple(reference for reference, _ in entries), titles)


def _entries(text: str) -> Iterator[tuple[str, str]]:
    for piece in split(text):
        if piece.endswith(FILES):
            yield from _in_file(Path(piece))
        else:
            yield piece, ""


def _in_file(path: Path) -> Iterator[tuple[str, str]]:
    content = read_data(path)
    if not isinstance(content, list):
        raise UserError(f"{path} must hold a list of methods, not {type(content).__name__}")
    for number, raw in enumerate(content, start=1):
        where = f"{path}, method {number}"
        if isinstance(raw, str):
            yield from ((reference, "") for reference in split(raw))
            continue
        if not isinstance(raw, dict):
            raise UserError(f"{where}: {raw!r} is neither a text nor a mapping")
        entry = validated(Entry, raw, where)
        if entry.title != plain(entry.title):
            raise UserError(f"{where}: title={entry.title!r} must be one line that can be shown")
        yield holding(entry.method, entry.set), entry.title
