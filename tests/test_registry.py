"""Methods are found, not listed: in methods/, in other packages, in a file."""

import importlib
import inspect
import os
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import pfltune.methods
from pfltune import plugins
from pfltune.errors import UserError
from pfltune.method import Method
from pfltune.registry import available_methods, find_method, make_method, short_name, title_of

METHODS = Path(__file__).parents[1] / "methods"
BUILT_IN = sorted(p.stem for p in METHODS.glob("*.py") if not p.stem.startswith("_"))

SOURCE = """
from dataclasses import dataclass
from pfltune.knobs import knob
from pfltune.method import Method


@dataclass(frozen=True, kw_only=True)
class Fresh(Method):
    title = "Fresh-FL"
    mu: float = knob(0.1, low=0.0, high=1.0, doc="strength")


class NoMethod:
    pass
"""


@pytest.fixture(autouse=True)
def nothing_else_installed(monkeypatch):
    """Whatever else is installed here, no other package brings methods."""
    offer(monkeypatch)


@pytest.fixture
def method_file(tmp_path):
    path = tmp_path / "fresh_file.py"
    path.write_text(SOURCE)
    yield path
    sys.modules.pop("fresh_file", None)  # an entry point imports it by this name


@pytest.fixture
def methods_folder(tmp_path, monkeypatch):
    """A folder that counts as part of methods/ for one test."""
    monkeypatch.setattr(pfltune.methods, "__path__", [*pfltune.methods.__path__, str(tmp_path)])
    yield tmp_path
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(f"pfltune.methods.{path.stem}", None)
        vars(pfltune.methods).pop(path.stem, None)


def offer(monkeypatch, *entries: EntryPoint) -> None:
    """Have other installed packages offer these entry points."""

    def entry_points(*, group: str) -> list[EntryPoint]:
        return [entry for entry in entries if entry.group == group]

    monkeypatch.setattr(plugins, "entry_points", entry_points)


def refusal(reference: str) -> str:
    """The one line that a user reads when a method cannot be found."""
    with pytest.raises(UserError) as caught:
        find_method(reference)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_every_module_of_methods_is_found():
    assert list(available_methods()) == BUILT_IN
    assert {"fedavg", "local"} <= set(BUILT_IN), "a comparison always has its two baselines"


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_module_holds_exactly_one_public_method_and_it_is_the_one_found(name):
    module = importlib.import_module(f"pfltune.methods.{name}")
    own = [
        cls
        for label, cls in inspect.getmembers(module, inspect.isclass)
        if cls.__module__ == module.__name__ and not label.startswith("_")
    ]
    assert own == [find_method(name)]
    assert issubclass(own[0], Method)
    assert title_of(own[0])


def test_a_new_file_in_methods_is_found_without_being_listed(methods_folder):
    (methods_folder / "fresh_module.py").write_text(SOURCE.split("class NoMethod")[0])
    assert list(available_methods()) == sorted([*BUILT_IN, "fresh_module"])
    assert make_method("fresh_module", {"mu": "0.5"}).mu == 0.5


def test_a_private_module_of_methods_is_no_method(methods_folder):
    (methods_folder / "_shared.py").write_text("raise RuntimeError('imported')")
    assert list(available_methods()) == BUILT_IN


@pytest.mark.parametrize("classes", [(), ("One", "Two")])
def test_a_module_without_exactly_one_method_is_named(methods_folder, classes):
    lines = ["from pfltune.method import Method", *(f"class {c}(Method): ..." for c in classes)]
    (methods_folder / f"bad_{len(classes)}.py").write_text("\n".join(lines))
    message = refusal(f"bad_{len(classes)}")
    assert f"pfltune.methods.bad_{len(classes)}" in message
    assert (", ".join(classes) or "none") in message


def test_an_unknown_method_lists_the_choices_and_the_nearest():
    message = refusal("fedprefix")
    assert "'fedprefix'" in message
    assert "did you mean 'fedperfix'" in message
    for name in BUILT_IN:
        assert name in message


def test_a_method_of_a_file_works_like_any_other(method_file):
    reference = f"{method_file}:Fresh"
    assert issubclass(find_method(reference), Method)
    method = make_method(reference, {"mu": "0.25", "lr": 0.5})
    assert (method.mu, method.lr) == (0.25, 0.5)
    assert title_of(type(method)) == "Fresh-FL"
    assert short_name(reference) == "fresh"


def test_a_method_of_a_file_may_postpone_its_annotations(method_file):
    """``from __future__ import annotations`` is how many people begin a file."""
    method_file.write_text("from __future__ import annotations\n" + SOURCE)
    assert make_method(f"{method_file}:Fresh", {"mu": 0.5}).mu == 0.5


def test_a_value_of_a_file_method_is_checked_under_its_name(method_file):
    with pytest.raises(UserError, match=r"fresh: mu=2 is not valid.*0 to 1"):
        make_method(f"{method_file}:Fresh", {"mu": 2})


def test_a_missing_method_file_is_named(tmp_path):
    assert str(tmp_path / "gone.py") in refusal(f"{tmp_path / 'gone.py'}:Fresh")


def test_a_folder_is_no_method_file(tmp_path):
    (tmp_path / "folder.py").mkdir()
    assert "folder.py" in refusal(f"{tmp_path / 'folder.py'}:Fresh")


def test_a_missing_class_names_those_in_the_file(method_file):
    message = refusal(f"{method_file}:Fersh")
    assert "'Fersh'" in message
    assert "did you mean 'Fresh'" in message
    assert "NoMethod" not in message, "only methods can be chosen"


def test_a_class_that_is_no_method_is_refused(method_file):
    message = refusal(f"{method_file}:NoMethod")
    assert "NoMethod" in message
    assert "pfltune.Method" in message


def test_what_is_no_class_is_refused(method_file):
    method_file.write_text("Fresh = 3")
    assert "pfltune.Method" in refusal(f"{method_file}:Fresh")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("class Fresh(:", "SyntaxError"),
        ("import no_such_package_anywhere", "ModuleNotFoundError"),
        ("raise ValueError('broken')", "broken"),
        ("raise ValueError('broken\\nin two')", "broken"),
    ],
)
def test_a_file_that_cannot_be_imported_is_named_with_its_error(method_file, source, error):
    method_file.write_text(source)
    message = refusal(f"{method_file}:Fresh")
    assert str(method_file) in message
    assert error in message


def test_an_installed_package_offers_methods_by_entry_point(method_file, monkeypatch):
    monkeypatch.syspath_prepend(method_file.parent)
    offer(
        monkeypatch,
        EntryPoint("stranger", "fresh_file:Fresh", "pfltune.methods"),
        EntryPoint("other", "fresh_file:NoMethod", "another.group"),
    )
    assert list(available_methods()) == sorted([*BUILT_IN, "stranger"])
    assert make_method("stranger", {"mu": 1}).mu == 1.0


def test_two_methods_of_one_name_are_refused(method_file, monkeypatch):
    monkeypatch.syspath_prepend(method_file.parent)
    offer(monkeypatch, EntryPoint("fedavg", "fresh_file:Fresh", "pfltune.methods"))
    message = refusal("fedavg")
    assert "'fedavg'" in message
    assert "fresh_file:Fresh" in message


def test_an_entry_point_that_is_no_method_is_refused(method_file, monkeypatch):
    monkeypatch.syspath_prepend(method_file.parent)
    offer(monkeypatch, EntryPoint("stranger", "fresh_file:NoMethod", "pfltune.methods"))
    assert "fresh_file:NoMethod" in refusal("stranger")


def test_an_entry_point_that_cannot_be_imported_is_named(monkeypatch):
    """A broken package of somebody else must not show as a traceback of ours."""
    entry = EntryPoint("stranger", "no_such_package_anywhere:Fresh", "pfltune.methods")
    offer(monkeypatch, entry)
    assert "no_such_package_anywhere" in refusal("stranger")


# What would be passed over without a word


HEADER = """
from dataclasses import dataclass
from typing import ClassVar
from pfltune.knobs import knob
from pfltune.method import Method
"""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("def personal_parts(self, model): return ()", "did you mean 'personal_part'?"),
        ("def phase(self): return ()", "did you mean 'phases'?"),
        ("def agregate(self, server, uploads): return server", "did you mean 'aggregate'?"),
        ("titel = 'Fresh'", "did you mean 'title'?"),
        ("def helper(self): return 1", "what helps begins with _"),
        ("@property\n    def helper(self): return 1", "what helps begins with _"),
        ("lr = 0.5", "lr = 0.5 has no effect; write lr: float = knob(0.5, …)"),
        ("mu = knob(0.5, doc='strength')", "mu"),
        ("mu: float", "mu has no default"),
        ("title = 'Fre\\x1b[31msh'", "characters that cannot be printed"),
        ("mu: float = knob(0.5, low=0, log=True, doc='x')", "knob mu of Fresh is declared wrongly"),
    ],
)
def test_what_nothing_would_read_is_refused_with_what_to_do(body, words, method_file):
    frozen = "@dataclass(frozen=True, kw_only=True)\nclass Fresh(Method):\n    "
    method_file.write_text(HEADER + frozen + body)
    assert words in refusal(f"{method_file}:Fresh")


def test_a_knob_of_a_class_that_is_no_dataclass_is_refused(method_file):
    body = "class Fresh(Method):\n    mu: float = knob(0.1, low=0.0, high=1.0, doc='strength')"
    method_file.write_text(HEADER + body)
    assert "needs @dataclass(frozen=True, kw_only=True)" in refusal(f"{method_file}:Fresh")


def test_helpers_constants_and_plain_fields_are_welcome(method_file):
    body = """
@dataclass(frozen=True, kw_only=True)
class Fresh(Method):
    deep: ClassVar[bool] = True
    LIMIT = 3
    plain: int = 3

    def _helper(self):
        return 1
"""
    method_file.write_text(HEADER + body)
    assert find_method(f"{method_file}:Fresh")().plain == 3


def test_a_file_that_was_edited_is_another_method(method_file):
    """In one process, also when size and time of the file are what they were."""
    stat = method_file.stat()
    first = find_method(f"{method_file}:Fresh")
    method_file.write_text(SOURCE.replace("Fresh-FL", "Other-FL"))
    os.utime(method_file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = find_method(f"{method_file}:Fresh")
    assert (title_of(first), title_of(second)) == ("Fresh-FL", "Other-FL")
    method_file.write_text(SOURCE)
    assert find_method(f"{method_file}:Fresh") is first


def test_a_method_that_refuses_its_values_does_so_in_a_line(method_file):
    body = (
        "@dataclass(frozen=True)\nclass Fresh(Method):\n    def __post_init__(self):\n        1/0"
    )
    method_file.write_text(HEADER + body)
    with pytest.raises(UserError, match=r"cannot be made: ZeroDivisionError.*\(line 9\)"):
        make_method(f"{method_file}:Fresh", {})
