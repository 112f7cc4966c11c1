"""Finding methods: in pfltune.methods, in other installed packages, or in a file."""

import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from pfltune.errors import UserError, unknown
from pfltune.knobs import checked_values
from pfltune.method import Method

ENTRY_POINTS = "pfltune.methods"


def available_methods() -> dict[str, type[Method]]:
    """All methods by name: every public module of ``pfltune.methods``, then entry points.

    Raises:
        UserError: two methods under one name, or a module without exactly one public method.
    """
    package = importlib.import_module("pfltune.methods")
    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            found[module.name] = _only_method(
                importlib.import_module(f"pfltune.methods.{module.name}")
            )
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name in found:
            raise UserError(f"method {entry.name!r} of {entry.value} has the name of another one")
        found[entry.name] = _checked_class(entry.load(), entry.value)
    return dict(sorted(found.items()))


def find_method(reference: str) -> type[Method]:
    """The method class behind a name or ``path/to/file.py:Class``."""
    if ".py:" in reference:
        path, _, name = reference.rpartition(":")
        module = _load_file(Path(path))
        if not hasattr(module, name):
            raise unknown(f"class in {path}", name, _methods_in(module))
        return _checked_class(getattr(module, name), reference)
    methods = available_methods()
    if reference not in methods:
        raise unknown("method", reference, methods)
    return methods[reference]


def make_method(reference: str, values: Mapping[str, object]) -> Method:
    """A method with its hyperparameters; what ``values`` leaves out has its default.

    Raises:
        UserError: unknown method or knob, or a value that is not possible.
    """
    cls = find_method(reference)
    checked: dict[str, Any] = dict(checked_values(cls, short_name(reference), values))
    return cls(**checked)


def short_name(reference: str) -> str:
    """What a method is called in tables: its name, or the class of a file in lower case."""
    return reference.rpartition(":")[2].lower() if ".py:" in reference else reference


def title_of(cls: type[Method]) -> str:
    """How the method is written in a paper."""
    return cls.title or cls.__name__


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
    return next(iter(classes.values()))


def _checked_class(found: object, where: str) -> type[Method]:
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise UserError(f"{where} is not a subclass of pfltune.Method")
    return found


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"there is no method file {str(path)!r}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module
