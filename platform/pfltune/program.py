"""The program that makes a comparison's figures: sources, versions, processor."""

import ast
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType

from pfltune.devices import processor_name
from pfltune.registry import ENTRY_POINTS, find_method, short_name
from pfltune.settings import Settings

ENGINE = "pfltune itself"
NUMERIC = (
    *("pfltune", "torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn"),
    *("pillow", "medmnist", "safetensors", "optuna"),
)
"""Distributions whose version can move a figure or a suggestion."""
SUGGESTING = ("pfltune", "optuna")
"""Those of them that move no figure of a given trial: pfltune's own code has a digest."""
SILENT = ("api.py", "audit", "cli", "report", "sweeps.py", "testing", "tracking", "trials")
"""Folders and files of pfltune whose code tells of figures and moves none."""


class Program(Settings):
    """What a figure depends on beside its settings, its seed and its data.

    Attributes:
        source: digests of code: that of pfltune itself, and that of each method by short name, with
            everything of its own that the method's module imports.
        files: digests of the files of methods that were named by their file, by short name; they
            can be held against the files before these are run.
        versions: of the numeric dependencies, and of Python.
        processor: its name and the vector instructions in use.
    """

    source: Mapping[str, str]
    files: Mapping[str, str]
    versions: Mapping[str, str]
    processor: str

    @classmethod
    def of(cls, methods: Iterable[str], device: str) -> "Program":
        """The program that runs here.

        Args:
            methods: references of the methods.
            device: on which they run.
        """
        named = {short_name(m): m for m in methods}
        files = {name: path for name, m in named.items() if (path := file_of(m)) is not None}
        return cls(
            source={ENGINE: engine_digest(), **{n: method_digest(m) for n, m in named.items()}},
            files={name: file_digest(path) for name, path in files.items()},
            versions=_versions(),
            processor=processor_name(device),
        )

    def changes(self, now: "Program") -> list[str]:
        """What is another in the program ``now``, in words; empty if nothing is."""
        gone = "not there"
        code = [
            f"the code of {name} has changed"
            for name in sorted(self.source.keys() | now.source.keys())
            if self.source.get(name) != now.source.get(name)
        ]
        numbers = [
            f"{name} was {self.versions.get(name, gone)}, is {now.versions.get(name, gone)}"
            for name in sorted(self.versions.keys() | now.versions.keys())
            if self.versions.get(name) != now.versions.get(name)
        ]
        moved = [f"the processor was {self.processor}, is {now.processor}"]
        return code + numbers + (moved if self.processor != now.processor else [])


def engine_digest(root: Path = Path(__file__).parent) -> str:
    """Of all code of pfltune, whose folder is ``root``, that can move a figure."""
    files = (path for path in root.rglob("*.py") if path.relative_to(root).parts[0] not in SILENT)
    return _digest({str(path.relative_to(root)): path for path in files})


def method_digest(reference: str) -> str:
    """Of a method's class, its module and all modules that it imports, libraries left out."""
    return _digest(_sources(reference), find_method(reference).__qualname__)


def file_of(reference: str) -> Path | None:
    """The file that a method is named by; None for a name."""
    return Path(reference.rpartition(":")[0]) if ".py:" in reference else None


def file_digest(path: Path) -> str:
    """Of one file alone."""
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _sources(reference: str) -> dict[str, Path]:
    """The files of a method by names that are the same wherever they lie."""
    cls = find_method(reference)
    found: dict[str, Path] = {}
    waiting = [sys.modules[base.__module__] for base in cls.__mro__]
    while waiting:
        module = waiting.pop()
        path = _file_of(module)
        if path is None or path in found.values() or not _is_own(module.__name__, path):
            continue
        found[f"{len(found)}/{path.name}"] = path
        if path.suffix == ".py":
            waiting += _imported(module, path)
    return found


def _file_of(module: ModuleType) -> Path | None:
    try:
        return Path(inspect.getfile(module)).resolve()
    except TypeError:  # built in, or no file at all
        return None


def _is_own(name: str, path: Path) -> bool:
    """Whether a module belongs to a method: not pfltune's engine, not Python's, no library."""
    top = name.partition(".")[0]
    if top == "pfltune":
        return name.startswith("pfltune.methods.")
    if top in sys.stdlib_module_names:
        return False
    libraries = _library_folders()
    is_installed = any(path.is_relative_to(folder) for folder in libraries)
    return not is_installed or top in _packages_with_methods()


def _library_folders() -> set[Path]:
    """Where packages are installed: this environment's folders, and those it borrows from."""
    own = [sysconfig.get_path(kind) for kind in ("purelib", "platlib")]
    borrowed = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    return {Path(path).resolve() for path in (*own, *borrowed)}


def _packages_with_methods() -> set[str]:
    return {entry.module.partition(".")[0] for entry in entry_points(group=ENTRY_POINTS)}


def _imported(module: ModuleType, path: Path) -> Iterator[ModuleType]:
    """The modules named by the imports in a file, wherever in it, as far as they are loaded."""
    package = module.__package__ or ""
    for node in ast.walk(ast.parse(path.read_bytes())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            base = resolve_name(base, package) if node.level and package else base
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        yield from (sys.modules[name] for name in names if name in sys.modules)


def _versions() -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in NUMERIC:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _digest(files: Mapping[str, Path], whose: str = "") -> str:
    whole = hashlib.blake2b(whose.encode(), digest_size=16)
    for name, path in sorted(files.items()):
        content = path.read_bytes()
        whole.update(f"{name} {len(content)};".encode())
        whole.update(content)
    return whole.hexdigest()
