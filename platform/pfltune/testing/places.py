"""Where in a method's own files something is."""

import inspect
import traceback
from collections.abc import Iterator
from types import CodeType

from pfltune.federation.work import Line
from pfltune.method import Method


def own_classes(cls: type[Method]) -> Iterator[type[Method]]:
    """The class and its parents below ``Method``."""
    return (base for base in cls.__mro__ if base is not Method and issubclass(base, Method))


def files_of(cls: type[Method]) -> set[str]:
    """The files of the class and of its parents below ``Method``."""
    return {inspect.getfile(base) for base in own_classes(cls)}


def line_of(cls: type[Method], hook: str) -> Line | None:
    """Where a hook is written; None if it is the interface's own."""
    found = inspect.unwrap(getattr(cls, hook, None) or line_of)
    code: CodeType | None = getattr(found, "__code__", None)
    if code is None or code.co_filename not in files_of(cls):
        return None
    return code.co_filename, code.co_firstlineno


def raised_in(cls: type[Method], error: BaseException) -> tuple[str, Line] | None:
    """The function of the method's files in which an error arose, and the line."""
    files = files_of(cls)
    frames = reversed([*traceback.walk_tb(error.__traceback__)])
    found = ((f.f_code, line) for f, line in frames if f.f_code.co_filename in files)
    return next(((code.co_name, (code.co_filename, line)) for code, line in found), None)
