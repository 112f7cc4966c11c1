"""Digests of the code that moves figures: a class with all of its own that its module imports."""

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import distributions
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType

from pfltune.plugins import GROUPS, source_of
from pfltune.wrapped import made_of

INSTALLED = {"site-packages", "dist-packages"}
"""Folders of libraries; a virtual environment may look into those of another."""


def code_digest(cls: type) -> str:
    """Of a class: its name, its module, those of its bases and all that they import.

    Libraries are left out.
    """
    names = [cls.__qualname__, *(wrap.cls.__qualname__ for wrap in made_of(cls).wraps)]
    return digest({"class": "+".join(names).encode(), **_sources(cls)})


def digest(contents: Mapping[str, bytes]) -> str:
    """Of files by name."""
    whole = hashlib.blake2b(digest_size=16)
    for name, content in sorted(contents.items()):
        whole.update(f"{name} {len(content)};".encode())
        whole.update(content)
    return whole.hexdigest()


def _sources(cls: type) -> dict[str, bytes]:
    """The files of a class by names that are the same wherever they lie."""
    found: dict[Path, bytes] = {}
    packages = _packages_with_plugins(tuple(sys.path))
    wraps = [wrap.cls for wrap in made_of(cls).wraps]
    waiting = [sys.modules[base.__module__] for each in (cls, *wraps) for base in each.__mro__]
    while waiting:
        module = waiting.pop()
        path = _file_of(module)
        if path is None or path in found or not _is_own(module.__name__, path, packages):
            continue
        found[path] = _executed(module, path)
        if path.suffix == ".py":
            waiting += _imported(module, found[path])
    return {f"{number}/{path.name}": text for number, (path, text) in enumerate(found.items())}


def _executed(module: ModuleType, path: Path) -> bytes:
    """What was run as a module, even if its file has been edited since."""
    source = source_of(module.__name__)
    return path.read_bytes() if source is None else source.content


def _file_of(module: ModuleType) -> Path | None:
    try:
        return Path(inspect.getfile(module)).resolve()
    except TypeError:  # built in, or no file at all
        return None


def _is_own(name: str, path: Path, packages: set[str]) -> bool:
    """Whether a module belongs to a plugin: not pfltune's engine, not Python's, no library.

    What is installed is a library, unless it is one of the ``packages`` that bring plugins.
    """
    top = name.partition(".")[0]
    if top == "pfltune":
        return name.startswith("pfltune.methods.")
    if top in sys.stdlib_module_names:
        return False
    return not INSTALLED & {folder.name for folder in path.parents} or top in packages


@cache
def _packages_with_plugins(_path: tuple[str, ...]) -> set[str]:
    """Names of the packages that bring plugins, read once: all that is installed is searched."""
    offered = (entry for installed in distributions() for entry in installed.entry_points)
    return {e.module.partition(".")[0] for e in offered if e.group.startswith(GROUPS)}


def _imported(module: ModuleType, source: bytes) -> Iterator[ModuleType]:
    """The modules named by the imports in a source, wherever in it, as far as they are loaded."""
    package = module.__package__ or ""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            base = resolve_name(base, package) if node.level and package else base
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        yield from (sys.modules[name] for name in names if name in sys.modules)
