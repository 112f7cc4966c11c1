"""Finding what strangers plug in: by a built-in name, from installed packages, or in a file.

A :class:`Seam` is one kind of plugin: methods, data sets, partitions, samplers, backbones. Those
that stand in a scenario are settings too (:class:`Plugin`), so that a stranger's have their own.
"""

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import ConfigDict, GetCoreSchemaHandler, ValidationError, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from pfltune.errors import UserError, unknown
from pfltune.isolation import in_a_line, restored
from pfltune.settings import RECORDED, Settings
from pfltune.strays import see_spelling

T = TypeVar("T")
P = TypeVar("P", bound="Plugin")
GROUPS = "pfltune."
"""What the names of all groups of entry points begin with."""
FROM_FILE = "pfltune_file_"
"""What the names of modules begin with that were loaded by the path of their file."""


@dataclass(frozen=True)
class Seam(Generic[T]):
    """One kind of class that can be plugged in.

    Attributes:
        noun: what one is called.
        group: the entry points under which other packages offer theirs.
        base: what each is a subclass of.
        built_in: loads each of pfltune's own, by name.
        check: raises UserError where a class is not what its author thinks.
    """

    noun: str
    group: str
    base: type[T]
    built_in: Callable[[], Mapping[str, Callable[[], type[T]]]]
    check: Callable[[type[T]], None]

    def names(self) -> list[str]:
        """All that have a name: pfltune's own, then those of other packages."""
        return [*self.built_in(), *self._entries()]

    def is_strangers(self, reference: str) -> bool:
        """Whether a reference leads to a file or to another package."""
        return is_file(reference) or reference in self._entries()

    def find(self, reference: str) -> type[T]:
        """The class behind a name or ``path/to/file.py:Class``.

        Raises:
            UserError: there is none, or it cannot be loaded.
        """
        if is_file(reference):
            return self._in_file(reference)
        built_in, entries = self.built_in(), self._entries()
        if reference in entries:
            entry = entries[reference]
            if reference in built_in:
                raise UserError(
                    f"{self.noun} {reference!r} of {entry.value} has the name of another one"
                )
            return self.checked(loaded(entry.load, entry.value, entry.module), entry.value)
        if reference not in built_in:
            raise unknown(self.noun, reference, [*built_in, *entries])
        return built_in[reference]()

    def classes_in(self, module: ModuleType) -> dict[str, type[T]]:
        """The public plugins that a module defines."""
        return {
            name: cls
            for name, cls in inspect.getmembers(module, inspect.isclass)
            if issubclass(cls, self.base) and cls.__module__ == module.__name__ and name[0] != "_"
        }

    def checked(self, found: object, where: str) -> type[T]:
        """``found`` as one of these.

        Raises:
            UserError: it is none.
        """
        if not (isinstance(found, type) and issubclass(found, self.base)):
            raise UserError(f"{where} is not a subclass of pfltune.{self.base.__name__}")
        self.check(found)
        return found

    def _in_file(self, reference: str) -> type[T]:
        path, _, name = reference.rpartition(":")
        module = _load_file(Path(path), self.noun)
        if not hasattr(module, name):
            raise unknown(f"class in {path}", name, self.classes_in(module))
        return self.checked(getattr(module, name), reference)

    def _entries(self) -> Mapping[str, EntryPoint]:
        return _offered(entry_points, self.group, tuple(sys.path))


@cache
def _offered(
    read: Callable[..., Iterable[EntryPoint]], group: str, _path: tuple[str, ...]
) -> Mapping[str, EntryPoint]:
    """What installed packages offer by name; read once, since all their metadata are searched."""
    return {entry.name: entry for entry in read(group=group)}


class Plugin(Settings):
    """A section of a scenario that says by name who reads it, and holds settings for that.

    A subclass adds settings of its own as pydantic's fields. It holds no state: what it says
    follows from its settings and from what it is asked.
    """

    noun: ClassVar[str]
    """What one of this kind is called."""
    key: ClassVar[str]
    """The setting that holds the reference."""
    hooks: ClassVar[tuple[str, ...]]
    """What every subclass must write."""

    @property
    def reference(self) -> str:
        """Its name, or its file by the absolute path and the class in it."""
        return str(getattr(self, self.key))

    @property
    def is_strangers(self) -> bool:
        """Whether it is none of pfltune's own."""
        return not type(self).__module__.startswith("pfltune.")

    @property
    def called(self) -> str:
        """As messages and records call it, wherever its file lies."""
        return f"{self.noun} {short_name(self.reference)}"

    def by_content(self) -> dict[str, Any]:
        """All settings as plain data, the same wherever its file lies."""
        return {**self.model_dump(mode="json"), self.key: short_name(self.reference)}

    def __reduce__(self) -> tuple[Any, ...]:
        """One from a file travels with its source: other processes need not find the file."""
        cls = type(self)
        source = source_of(cls.__module__)
        home = (source, cls.__name__) if source else cls
        return _remade, (home, self.model_dump_json())


@dataclass(frozen=True)
class Source:
    """A module that was loaded by the path of its file.

    Attributes:
        path: of the file.
        content: what was run.
    """

    path: str
    content: bytes


@dataclass(frozen=True)
class Section(Generic[P]):
    """Reads a section of a scenario as the plugin that it names; an annotation for pydantic.

    Attributes:
        seam: the kind of plugin.
        default: who reads a section that names nobody; None where it must.
        otherwise: the settings behind every name that is no stranger's; None for the seam's own.
        brief: whether a name alone stands for a section.
    """

    seam: Seam[P]
    default: str | None = None
    otherwise: type[Plugin] | None = None
    brief: bool = False

    def models(self, raw: Any) -> list[type[Plugin]]:
        """The settings that a section can have, for messages about one that is wrong."""
        try:
            return [self._model(self._named(raw)[self.key])]
        except (UserError, ValueError):
            return [self.otherwise or self.seam.base]

    @property
    def key(self) -> str:
        """The setting that names the plugin."""
        return self.seam.base.key

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Told by pydantic: read by :meth:`_read`, written as what it is."""
        return core_schema.with_info_before_validator_function(self._read, core_schema.any_schema())

    def _read(self, raw: Any, info: ValidationInfo) -> Plugin:
        if isinstance(raw, (self.seam.base, self.otherwise or self.seam.base)):
            return raw
        named = self._named(raw)
        reference = named[self.key]
        if info.context == RECORDED and self.seam.is_strangers(reference):
            return _recorded(self.seam.base).model_validate(named)
        return self._made({**named, self.key: absolute(reference)})

    def _named(self, raw: Any) -> dict[str, Any]:
        """The settings of a section with the reference among them."""
        given = {self.key: raw} if self.brief and isinstance(raw, str) else raw
        if not isinstance(given, Mapping):
            raise ValueError("Input should be a mapping of settings")
        named = {self.key: self.default, **given}
        if not isinstance(named[self.key], str):
            raise ValueError(f"{self.key!r} must name a {self.seam.noun}")
        return named

    def _made(self, named: dict[str, Any]) -> Plugin:
        reference = named[self.key]
        try:
            model = self._model(reference)
        except UserError as error:
            raise ValueError(str(error)) from error
        if not self.seam.is_strangers(reference):
            return model.model_validate(named)
        wrong: ValidationError
        with restored(reference), in_a_line(reference, inspect.getfile(model)):
            try:
                return model.model_validate(named)
            except ValidationError as error:
                wrong = error
        raise wrong

    def _model(self, reference: str) -> type[Plugin]:
        if self.otherwise is not None and not self.seam.is_strangers(reference):
            return self.otherwise
        return self.seam.find(reference)


def is_file(reference: str) -> bool:
    """Whether a reference is ``path/to/file.py:Class`` and no name."""
    return ".py:" in reference


def file_of(reference: str) -> Path | None:
    """The file that a plugin is named by; None for a name."""
    return Path(reference.rpartition(":")[0]) if is_file(reference) else None


def absolute(reference: str) -> str:
    """A reference with the absolute path of its file: trials run in other folders."""
    path, _, name = reference.rpartition(":")
    return f"{Path(path).resolve()}:{name}" if is_file(reference) else reference


def short_name(reference: str) -> str:
    """What a plugin is called: its name, or the class of a file in lower case."""
    return reference.rpartition(":")[2].lower() if is_file(reference) else reference


def must_have_hooks(cls: type[Plugin]) -> None:
    """See that a class says what all of its kind must say, and nothing that is misspelt.

    Raises:
        UserError: it does not.
    """
    base = next(c for c in reversed(cls.__mro__) if "hooks" in vars(c))
    for hook in cls.hooks:
        if getattr(cls, hook) is getattr(base, hook):
            raise UserError(f"{cls.__name__}: a {cls.noun} must define {hook}()")
    see_spelling(cls, base, cls.noun)


def at_hand(classes: Mapping[str, type[T]]) -> Callable[[], dict[str, Callable[[], type[T]]]]:
    """Built-in plugins that need no loading, see :attr:`Seam.built_in`."""
    return lambda: {name: partial(_same, cls) for name, cls in classes.items()}


@contextmanager
def running(plugin: Plugin, seed: int | None = None) -> Iterator[None]:
    """Around a stranger's code: what it changes is put back, what it raises is one line.

    Args:
        plugin: whose code it is; pfltune's own is run as it is.
        seed: of the global generators inside the block.

    Raises:
        UserError: the code raised anything.
    """
    if not plugin.is_strangers:
        yield
        return
    file = inspect.getfile(type(plugin))
    with restored(plugin.called, seed), in_a_line(plugin.called, file):
        yield


def loaded(load: Callable[[], T], where: str, module: str = "") -> T:
    """What ``load`` returns; whatever a stranger's code raises or changes stays here.

    Args:
        load: imports something.
        where: what is imported, for people.
        module: its name, if nothing is run where a module of that name has been imported.

    Raises:
        UserError: the code raised anything.
    """
    code = nullcontext() if module in sys.modules else restored(where)
    with code, in_a_line(f"{where} cannot be imported"):
        return load()


def source_of(module: str) -> Source | None:
    """What was run as a module that was loaded by its path; None for others."""
    found = vars(sys.modules[module]).get("__plugin_source__") if module in sys.modules else None
    return found if module.startswith(FROM_FILE) else None


def _load_file(path: Path, noun: str) -> ModuleType:
    """The module in a file, by its content: one that was edited is another module."""
    try:
        source = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise UserError(f"there is no {noun} file {str(path)!r}") from None
    except (OSError, ValueError) as error:  # ValueError: no path
        why = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {str(path)!r}: {why}") from error
    return _load_source(Source(str(path), source))


def _load_source(source: Source) -> ModuleType:
    digest = hashlib.blake2b(source.content, digest_size=16).hexdigest()
    name = f"{FROM_FILE}{Path(source.path).stem}_{digest}"
    known = sys.modules.get(name)
    if known is not None and known.__file__ == source.path:
        return known
    module = ModuleType(name)
    vars(module).update(__file__=source.path, __plugin_source__=source)
    sys.modules[name] = module  # dataclasses and inspect look there for a class's module
    try:
        loaded(partial(_execute, source, module), source.path)
    except UserError:
        del sys.modules[name]
        raise
    return module


def _same(thing: T) -> T:
    return thing


def _execute(source: Source, module: ModuleType) -> None:
    # What was hashed is what runs: Python's own loader would read the file, or its cache, again.
    exec(compile(source.content, source.path, "exec"), vars(module))


def _remade(home: type[Plugin] | tuple[Source, str], settings: str) -> Plugin:
    """A plugin in another process."""
    cls = home if isinstance(home, type) else getattr(_load_source(home[0]), home[1])
    return cls.model_validate_json(settings)


@cache
def _recorded(base: type[P]) -> type[P]:
    """Takes whatever settings a stranger's plugin had, without its code, and does nothing."""
    members = {"__module__": "recorded", "model_config": ConfigDict(extra="allow")}
    metaclass: Any = type(base)
    found: type[P] = metaclass(f"Recorded{base.__name__}", (base,), members)
    return found
