"""The program that makes a comparison's figures: sources, versions, processor."""

import hashlib
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import Field

from pfltune.devices import processor_name
from pfltune.plugins import Plugin, file_of
from pfltune.plugins import short_name as plugin_name
from pfltune.registry import find_method, short_name
from pfltune.settings import Settings
from pfltune.sources import code_digest, digest
from pfltune.variants import parsed

ENGINE = "pfltune itself"
NUMERIC = (
    *("pfltune", "torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn"),
    *("pillow", "medmnist", "safetensors", "optuna"),
)
"""Distributions whose version can move a figure or a suggestion."""
SUGGESTING = ("pfltune", "optuna")
"""Those of them that move no figure of a given trial: pfltune's own code has a digest."""
SILENT = (
    "api.py",
    "audit",
    "cli",
    "doctor",
    "draws.py",
    "jobs.py",
    "model_api.py",
    "models",
    "report",
    "sweeps.py",
    "testing",
    "tracking",
    "trials",
    "views.py",
)
"""Folders and files of pfltune whose code tells of figures and moves none."""


class Program(Settings):
    """What a figure depends on beside its settings, its seed and its data.

    Attributes:
        source: digests of code: that of pfltune itself, and that of each method by short name, with
            everything of its own that the method's module imports.
        plugins: likewise of what strangers brought into the scenario, as ``partition rare``.
        files: digests of the files of methods and plugins that were named by their file, by the
            same names, and of wraps' files; they can be held against the files before these run.
        versions: of the numeric dependencies, and of Python.
        processor: its name and the vector instructions in use.
    """

    source: Mapping[str, str]
    plugins: Mapping[str, str] = Field(default_factory=dict)
    files: Mapping[str, str]
    versions: Mapping[str, str]
    processor: str

    @classmethod
    def of(cls, methods: Collection[str], device: str, plugins: Iterable[Plugin] = ()) -> "Program":
        """The program that runs here.

        Args:
            methods: references of the methods.
            device: on which they run.
            plugins: what strangers brought into the scenario.
        """
        classes = {short_name(method): find_method(method) for method in methods}
        brought = {plugin.called: plugin for plugin in plugins}
        references = {
            **{short_name(method): method for method in methods},
            **{name: plugin.reference for name, plugin in brought.items()},
        }
        files = {k: path for name, ref in references.items() for k, path in files_of(name, ref)}
        return cls(
            source={ENGINE: engine_digest(), **{n: code_digest(c) for n, c in classes.items()}},
            plugins={name: code_digest(type(plugin)) for name, plugin in brought.items()},
            files={name: file_digest(path) for name, path in files.items()},
            versions=_versions(),
            processor=processor_name(device),
        )

    def changes(self, now: "Program") -> list[str]:
        """What is another in the program ``now``, in words; empty if nothing is."""
        gone = "not there"
        mine, its = ({**program.source, **program.plugins} for program in (self, now))
        code = [
            f"the code of {name} has changed"
            for name in sorted(mine.keys() | its.keys())
            if mine.get(name) != its.get(name)
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
    return digest({str(path.relative_to(root)): path.read_bytes() for path in files})


def method_digest(reference: str) -> str:
    """Of a method's class, its module and all modules that it imports, libraries left out."""
    return code_digest(find_method(reference))


def files_of(name: str, reference: str) -> Iterator[tuple[str, Path]]:
    """The files of a method, of its wraps or of a plugin, each by its key in :attr:`files`.

    Args:
        name: what it is called.
        reference: of it, whatever it holds.
    """
    known = parsed(reference)
    if path := file_of(known.method):
        yield name, path
    for wrap in known.wraps:
        if path := file_of(wrap):
            yield f"{name}, wrap {plugin_name(wrap)}", path


def file_digest(path: Path) -> str:
    """Of one file alone."""
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _versions() -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in NUMERIC:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
