"""Finding methods: in pfltune.methods, in other installed packages, or in a file.

A reference is a name or ``path/to/file.py:Class``, behind a ``+`` likewise each wrap, and may hold
knobs in brackets, or all that the search of another comparison chose, see :mod:`pfltune.variants`.
"""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from pfltune.errors import UserError, unknown
from pfltune.interface import check_interface
from pfltune.isolation import in_a_line, restored
from pfltune.knobs import Value, checked_values, knobs_of, written
from pfltune.method import Family, Method
from pfltune.plugins import Seam, loaded
from pfltune.plugins import short_name as plugin_name
from pfltune.variants import WRAPPED, Reference, check_agreement, parsed
from pfltune.wrapped import Named, made_of, wrapped
from pfltune.wraps import WRAPS


def available_methods() -> dict[str, type[Method]]:
    """All methods by name: every public module of ``pfltune.methods``, then entry points.

    Raises:
        UserError: a module without exactly one public method, an entry point that cannot be loaded
            or has the name of another method.
    """
    return {name: find_method(name) for name in sorted(METHODS.names())}


def find_method(reference: str) -> type[Method]:
    """The method class behind a reference, whatever it holds.

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
    known = parsed(reference)
    method = METHODS.find(known.method)
    wraps = tuple(Named(plugin_name(wrap), WRAPS.find(wrap)) for wrap in known.wraps)
    return wrapped(method, wraps) if wraps else method  # type: ignore[arg-type]


def by_family(references: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Families that have any of the methods, with these in their order.

    Raises:
        UserError: as :func:`find_method`.
    """
    families = [(reference, find_method(reference).family) for reference in references]
    for family in get_args(Family):
        if members := [reference for reference, of in families if of == family]:
            yield family, members


def reference_to(cls: type[Method]) -> str:
    """The reference that finds a class: its name, or ``path/to/file.py:Class``.

    Raises:
        UserError: no other process could find it.
    """
    made = made_of(cls)
    parts = [_reference_to(METHODS, made.method)]
    return WRAPPED.join([*parts, *(_reference_to(WRAPS, wrap.cls) for wrap in made.wraps)])


def _reference_to(seam: Seam[Any], cls: type) -> str:
    names = (name for name in sorted(seam.names()) if seam.find(name) is cls)
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
    """A method with its hyperparameters.

    What neither ``values`` nor the reference says has its default.

    Raises:
        UserError: unknown method or knob, or a value that is not possible.
    """
    cls = find_method(reference)
    checked: dict[str, Any] = all_held(reference, values)
    code = restored(reference) if hasattr(cls, "__post_init__") else nullcontext()
    with code, in_a_line(f"{reference} cannot be made", inspect.getfile(cls)):
        return cls(**checked)


def all_held(reference: str, values: Mapping[str, object]) -> dict[str, Value]:
    """What a reference holds and ``values``, in the types of the method's knobs.

    What another search chose for it is none of what it holds by itself, and has to be in
    ``values``.

    Raises:
        UserError: a knob that does not exist or has no effect, a value that is not possible, or two
            for one knob.
    """
    cls, known = find_method(reference), parsed(reference)
    every = checked_values(cls, short_name(known.base), {**known.held, **values})
    held = {knob: knobs_of(cls)[knob].check(v, reference) for knob, v in known.held.items()}
    check_agreement(reference, held, {knob: every[knob] for knob in values})
    return every


def canonical(reference: str) -> str:
    """The one text of a variant, however it was written: knobs sorted, values as in a record.

    Raises:
        UserError: there is no such method, or it cannot hold this.
    """
    known = parsed(reference)
    if known.tuned_in:
        there = parsed(canonical(str(known.there)))
        return str(replace(known, held=_typed(known), searched=there.held))
    held = all_held(reference, {})
    return str(Reference(known.base, {knob: written(value) for knob, value in held.items()}))


def _typed(known: Reference) -> dict[str, str]:
    """What a reference holds as in a record, whatever it has an effect beside."""
    name, knobs = short_name(known.base), knobs_of(find_method(known.base))
    for knob in known.held:
        if knob not in knobs:
            raise unknown(f"knob of {name}", knob, knobs)
    return {knob: written(knobs[knob].check(v, name)) for knob, v in known.held.items()}


def short_name(reference: str) -> str:
    """What a method is called in tables: its name, or the class of a file in lower case.

    What a reference holds follows in brackets.
    """
    return parsed(reference).name


def title_of(cls: type[Method]) -> str:
    """How the method is written in a paper."""
    return cls.title or cls.__name__


def reference_title(reference: str) -> str:
    """The same with what a reference holds: ``FedPerfix (prefix=zero)``, ``(tuned in NAME)``."""
    held, title = parsed(reference).words(), title_of(find_method(reference))
    return f"{title} ({held})" if held else title


def _built_in() -> Mapping[str, Callable[[], type[Method]]]:
    package = importlib.import_module("pfltune.methods")
    return _modules_in(tuple(package.__path__))


@cache
def _modules_in(folders: tuple[str, ...]) -> Mapping[str, Callable[[], type[Method]]]:
    """Every public module of ``pfltune.methods``; listed once, since each lookup asks for it."""
    names = (module.name for module in pkgutil.iter_modules(folders))
    return MappingProxyType({n: partial(_in_module, n) for n in names if not n.startswith("_")})


def _in_module(name: str) -> type[Method]:
    """The one public method of a module of ``pfltune.methods``."""
    path = f"pfltune.methods.{name}"
    module = loaded(partial(importlib.import_module, path), path, path)
    classes = METHODS.classes_in(module)
    if len(classes) != 1:
        raise UserError(
            f"{path} must hold one public method class, it holds: {', '.join(classes) or 'none'}"
        )
    return METHODS.checked(next(iter(classes.values())), path)


METHODS = Seam("method", "pfltune.methods", Method, _built_in, lambda _: None)
