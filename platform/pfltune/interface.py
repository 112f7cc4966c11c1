"""Whether a class of a method says what its author thinks that it says."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from typing import Any, get_args
from weakref import WeakSet

from pfltune.errors import UserError
from pfltune.figures import OF_METHOD, SPELLING, Figure
from pfltune.knobs import knobs_of
from pfltune.method import Family, Method
from pfltune.strays import Stray, strays

HOOKS = tuple(name for name in vars(Method) if not name.startswith("_") and name != "lr")
FUNCTIONS = tuple(name for name in HOOKS if inspect.isfunction(vars(Method)[name]))
NEEDS = tuple(name for name in HOOKS if isinstance(vars(Method)[name], property))
_SOUND: WeakSet[type[Method]] = WeakSet()
"""Classes that were found in order."""


def check_interface(cls: type[Method]) -> None:
    """See that nothing in a method's class would be passed over without a word.

    A class that was found in order is not looked at again.

    Raises:
        UserError: the first such thing, in a line that says what to do.
    """
    if cls in _SOUND:
        return
    for fault in faults(cls):
        raise UserError(f"{cls.__name__}: {fault}")
    _SOUND.add(cls)


def faults(cls: type[Method]) -> Iterator[str]:
    """All that would be passed over without a word, or could not be called, in words.

    Raises:
        UserError: a knob is declared in a way that makes no sense.
    """
    if not cls.title.isprintable():
        yield f"its title {cls.title!r} has characters that cannot be printed"
    if cls.family not in get_args(Family):
        yield f"its family is {cls.family!r}; choose from: {', '.join(get_args(Family))}"
    for owner in cls.__mro__:
        if owner is not Method and issubclass(owner, Method):
            yield from _undeclared(owner)
    for field in dataclasses.fields(cls):
        if field.init and field.default is field.default_factory is dataclasses.MISSING:
            yield f"its field {field.name} has no default"
    yield from _uncallable(cls)
    for name in NEEDS:
        found = inspect.getattr_static(cls, name)
        if not isinstance(found, bool | property):
            kind = type(found).__name__
            yield f"its {name} is a {kind}; write {name} = True, or a property"
    knobs_of(cls)
    yield from _own_figures(cls)
    for stray in strays(cls, Method):
        yield from _told(stray)


def signature(owner: type[Method], hook: str) -> list[str]:
    """The arguments of a hook of a class by name, without ``self``."""
    return list(inspect.signature(getattr(owner, hook)).parameters)[1:]


def _uncallable(cls: type[Method]) -> Iterator[str]:
    """Hooks that the engine could not call, or would hand the wrong things."""
    for name in FUNCTIONS:
        found = inspect.getattr_static(cls, name)
        wanted = signature(Method, name)
        if not inspect.isfunction(found):
            kind = type(found).__name__
            yield f"its {name} is a {kind}; it must be a function: def {name}({_listed(wanted)})"
        elif not _takes(found, wanted):
            given = ", ".join(inspect.signature(found).parameters)
            yield f"its hook {name}({given}) is called as {name}({_listed(wanted)})"


def _takes(function: Callable[..., Any], wanted: list[str]) -> bool:
    """Whether a hook can be given what the interface has, each thing where it belongs."""
    try:
        bound = inspect.signature(function).bind(None, *wanted).arguments
    except TypeError:
        return False
    return not any(name in wanted and name != value for name, value in bound.items())


def _listed(arguments: list[str]) -> str:
    return ", ".join(["self", *arguments])


def _own_figures(cls: type[Method]) -> Iterator[str]:
    """Figures of its own that could not be told."""
    for figure in cls.own_figures:
        own = isinstance(figure, Figure) and figure.name.startswith(OF_METHOD)
        if not own or not SPELLING.fullmatch(figure.name.removeprefix(OF_METHOD)):
            yield f"own_figures has {figure!r}; write of_method('name_in_lower_case', 'what it is')"
    if len({figure.name for figure in cls.own_figures}) < len(cls.own_figures):
        yield "own_figures has a name twice"
    if bool(cls.own_figures) != (cls.figures is not Method.figures):
        yield "own_figures declares what figures() returns: give both or neither"


def _undeclared(owner: type[Method]) -> Iterator[str]:
    """Fields that @dataclass has not seen."""
    declared = vars(owner).get("__dataclass_fields__")
    own = vars(owner).get("__annotations__", {})
    fields = {field.name for field in dataclasses.fields(owner)}
    for name, value in vars(owner).items():
        if isinstance(value, dataclasses.Field):
            yield (
                f"its knob {name} needs @dataclass(frozen=True, kw_only=True) above the class, "
                f"and an annotation such as {name}: float"
            )
        elif name in fields and name not in (own if declared else ()):
            yield (
                f"{name} = {value!r} has no effect; write {name}: float = knob({value!r}, …) "
                "in a class below @dataclass(frozen=True, kw_only=True)"
            )


def _told(stray: Stray) -> Iterator[str]:
    """A name that nothing reads: a misspelt hook, or a helper that could be taken for one."""
    near = stray.near(HOOKS, cutoff=0.6)
    if stray.is_code or near:
        hint = f"did you mean {near!r}? " if near else ""
        yield (
            f"{stray.name!r} is no hook of a method; {hint}choose from: {', '.join(HOOKS)}; "
            "what helps begins with _"
        )
