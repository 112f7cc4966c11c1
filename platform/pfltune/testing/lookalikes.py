"""What in a method's file looks like a hook, and is none."""

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pfltune.errors import UserError
from pfltune.federation.work import Line
from pfltune.interface import FUNCTIONS, faults
from pfltune.method import Method
from pfltune.testing.places import files_of

CLOSE = 0.8


@dataclass(frozen=True)
class Lookalike:
    """A function that nothing calls and whose name is, or almost is, a hook's.

    Attributes:
        words: what it is, and what to do.
        line: where it is written.
    """

    words: str
    line: Line


def interface_faults(cls: type[Method]) -> list[str]:
    """All that the engine would refuse in a class, each in a line."""
    found = []
    try:
        for fault in faults(cls):
            found.append(fault)
    except UserError as error:
        found.append(str(error))
    return found


def lookalikes(cls: type[Method]) -> list[Lookalike]:
    """Helpers that may be meant as hooks, in the class's own files."""
    return [each for file in sorted(files_of(cls)) for each in _in_file(cls, file)]


def _in_file(cls: type[Method], file: str) -> Iterator[Lookalike]:
    text = Path(file).read_text()
    owners = {base.__name__ for base in cls.__mro__ if inspect.getmodule(base)}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            yield from _outside(node, file)
        elif isinstance(node, ast.ClassDef) and node.name in owners:
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield from _unused(inner, text, file)


def _outside(node: ast.FunctionDef, file: str) -> Iterator[Lookalike]:
    """A function of the module with ``self``: a hook that slipped out of its class."""
    first = node.args.args[:1]
    if node.name in FUNCTIONS and first and first[0].arg == "self":
        words = f"{node.name}(self, …) stands outside the class, where nothing calls it: indent it"
        yield Lookalike(words, (file, node.lineno))


def _unused(node: ast.FunctionDef, text: str, file: str) -> Iterator[Lookalike]:
    """A helper with almost the name of a hook, which its file names nowhere else."""
    near = get_close_matches(node.name.strip("_"), FUNCTIONS, n=1, cutoff=CLOSE)
    is_helper = node.name.startswith("_") and not node.name.endswith("__")
    if near and is_helper and len(re.findall(rf"\b{node.name}\b", text)) == 1:
        words = f"{node.name}() looks like the hook {near[0]}(), and nothing calls it: rename it"
        yield Lookalike(words, (file, node.lineno))
