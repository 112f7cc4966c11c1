"""Finding methods: in pfltune.methods, in other installed packages, or in a file."""

import hashlib
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from pfltune.errors import UserError, unknown
from pfltune.interface import check_interface
from pfltune.isolation import in_a_line, restored
from pfltune.knobs import checked_values
from pfltune.method import Method

ENTRY_POINTS = "pfltune.methods"


def available_methods() -> dict[str, type[Method]]:
    """All methods by name: every public module of ``pfltune.methods``, then entry points.

    Raises:
        UserError: a module without exactly one public method, an entry point that cannot be loaded
            or has the name of another method.
    """
    return {name: find_method(name) for name in sorted([*_built_in(), *_entry_points()])}


def find_method(reference: str) -> type[Method]:
    """The method class behind a name or ``path/to/file.py:Class``.

    Raises:
        UserError: there is none, it cannot be loaded, or it says what nothing would read.
    """
    cls = load_method(reference)
    check_interface(cls)
    return cls


def load_method(reference: str) -> type[Method]:
    """As :func:`find_method`, without a look at what the class says.

    Raises:
        UserError: there is none, or it cannot be loaded.
    """
    if ".py:" in reference:
        path, _, name = reference.rpartition(":")
        module = _load_file(Path(path))
        if not hasattr(module, name):
            raise unknown(f"class in {path}", name, _methods_in(module))
        return _method_class(getattr(module, name), reference)
    built_in, entries = _built_in(), _entry_points()
    if reference in entries:
        entry = entries[reference]
        if reference in built_in:
            raise UserError(f"method {reference!r} of {entry.value} has the name of another one")
        return _method_class(_loaded(entry.load, entry.value, entry.module), entry.value)
    if reference not in built_in:
        raise unknown("method", reference, [*built_in, *entries])
    name = f"pfltune.methods.{reference}"
    return _only_method(_loaded(partial(importlib.import_module, name), name, name))


def reference_to(cls: type[Method]) -> str:
    """The reference that finds a class: its name, or ``path/to/file.py:Class``.

    Raises:
        UserError: no other process could find it.
    """
    names = (name for name, known in available_methods().items() if known is cls)
    if name := next(names, None):
        return name
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if cls.__module__ == "__main__" or file is None or cls.__qualname__ != cls.__name__:
        raise UserError(
            f"the class {cls.__qualname__} of {cls.__module__} can be found by no other process: "
            "put it on the top level of a file of its own, and name it path/to/file.py:"
            f"{cls.__name__}"
        )
    return f"{Path(file).resolve()}:{cls.__name__}"


def make_method(reference: str, values: Mapping[str, object]) -> Method:
    """A method with its hyperparameters; what ``values`` leaves out has its default.

    Raises:
        UserError: unknown method or knob, or a value that is not possible.
    """
    cls = find_method(reference)
    checked: dict[str, Any] = dict(checked_values(cls, short_name(reference), values))
    code = restored(reference) if hasattr(cls, "__post_init__") else nullcontext()
    with code, in_a_line(f"{reference} cannot be made", inspect.getfile(cls)):
        return cls(**checked)


def short_name(reference: str) -> str:
    """What a method is called in tables: its name, or the class of a file in lower case."""
    return reference.rpartition(":")[2].lower() if ".py:" in reference else reference


def title_of(cls: type[Method]) -> str:
    """How the method is written in a paper."""
    return cls.title or cls.__name__


def _built_in() -> list[str]:
    package = importlib.import_module("pfltune.methods")
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    return [name for name in names if not name.startswith("_")]


def _entry_points() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


def _loaded(load: Callable[[], Any], where: str, module: str = "") -> Any:
    """What ``load`` returns; whatever a stranger's code raises or changes stays here.

    Args:
        load: imports something.
        where: what is imported, for people.
        module: its name, if nothing is run where a module of that name has been imported.
    """
    code = nullcontext() if module in sys.modules else restored(where)
    with code, in_a_line(f"{where} cannot be imported"):
        return load()


def _methods_in(module: ModuleType) -> dict[str, type[Method]]:
    return {
        name: cls
        for name, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, Method) and cls.__module__ == module.__name__ and name[0] != "_"
    }


def _only_method(module: ModuleType) -> type[Method]:
    classes = _methods_in(module)
    if len(classes) != 1:
        raise UserError(
            f"{module.__name__} must hold one public method class, it holds: "
            f"{', '.join(classes) or 'none'}"
        )
    return _method_class(next(iter(classes.values())), module.__name__)


def _method_class(found: object, where: str) -> type[Method]:
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise UserError(f"{where} is not a subclass of pfltune.Method")
    return found


def _load_file(path: Path) -> ModuleType:
    """The module in a file, by its content: one that was edited is another module."""
    try:
        source = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise UserError(f"there is no method file {str(path)!r}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    digest = hashlib.blake2b(source, digest_size=16).hexdigest()
    name = f"pfltune_file_{path.stem}_{digest}"
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(path):
        return known
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses and inspect look there for a class's module
    try:
        _loaded(partial(_execute, source, module), str(path))
    except UserError:
        del sys.modules[name]
        raise
    return module


def _execute(source: bytes, module: ModuleType) -> None:
    # What was hashed is what runs: Python's own loader would read the file, or its cache, again.
    exec(compile(source, str(module.__file__), "exec"), vars(module))
