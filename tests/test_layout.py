"""The shape of the repository: what may import what, and what must not exist."""

import ast
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from pfltune.registry import available_methods

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "platform" / "pfltune"
METHODS = sorted((ROOT / "methods").glob("*.py"))
ENGINE = sorted((PACKAGE / "federation").glob("*.py"))
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
FORBIDDEN = {
    "report": ("search", "running", "studies", "audit", "cli"),
    "tracking": ("search", "running", "studies", "report", "audit", "cli", "models"),
    "search": ("running", "studies", "report", "audit", "cli", "tracking"),
    "running": ("studies", "report", "audit", "cli"),
    "studies": ("report", "audit", "cli"),
    "models": ("search", "running", "studies", "report", "audit", "cli"),
    "trials": ("search", "running", "studies", "report", "audit", "cli"),
    "audit": ("cli",),
    "doctor": ("search", "studies", "report", "audit", "cli"),
    "testing": ("search", "running", "studies", "report", "tracking", "audit", "cli", "doctor"),
}
"""What a room knows nothing of."""


def python(code: str) -> None:
    """Run code in a fresh interpreter, started in the repository root."""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, wherever in it; relative ones begin with a dot."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def strings(path: Path) -> set[str]:
    """The string literals of a file."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def test_platform_is_no_package_and_hides_no_standard_library():
    assert not (ROOT / "platform" / "__init__.py").exists()
    python("import platform; assert platform.system()")


@pytest.mark.parametrize("module", ["pfltune", "pfltune.cli"])
def test_importing_the_package_or_its_command_line_is_light(module):
    heavy = ("torch", "timm", "ray", "mlflow", "optuna")
    python(
        f"import sys, {module}\n"
        f"found = [name for name in {heavy} if name in sys.modules]\n"
        "assert not found, found"
    )


def test_the_engine_knows_neither_ray_nor_mlflow_nor_what_is_above_it():
    above = [
        f"pfltune.{name}"
        for name in ("search", "running", "studies", "tracking", "report", "cli", "methods")
    ]
    found = [
        (path.name, name)
        for path in ENGINE
        for name in imports(path)
        if within(name, "ray", "mlflow", "optuna", *above)
    ]
    assert not found


def test_the_engine_names_no_method():
    methods = set(available_methods())
    assert not {(path.name, *found) for path in ENGINE if (found := strings(path) & methods)}


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.name)
def test_a_method_imports_only_what_methods_are_made_of(path):
    allowed = [f"pfltune.{name}" for name in ("method", "figures", "knobs", "parts", "errors")]
    ours = [name for name in imports(path) if within(name, "pfltune") or name.startswith(".")]
    found = [
        name
        for name in ours
        if not within(name, *allowed) and (not name.startswith(".") or name.startswith(".."))
    ]
    assert not found, f"{path.name} imports {found}"


def room(module: str) -> str:
    """The folder below the package that a module is in, or the module itself."""
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize("of", [str, room], ids=["modules", "rooms"])
def test_imports_point_one_way(of):
    """No circle of imports, wherever in a file they stand, between modules or between rooms."""
    graph = defaultdict(set)
    for module, path in MODULES.items():
        for name in set(imports(path)) & MODULES.keys() - {module, "pfltune"}:
            if of(name) != of(module):
                graph[of(module)].add(of(name))
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("above", FORBIDDEN)
def test_a_room_knows_nothing_of_those_above_it(above):
    names = [f"pfltune.{name}" for name in FORBIDDEN[above]]
    found = {
        (path.name, name)
        for path in (PACKAGE / above).glob("**/*.py")
        for name in imports(path)
        if within(name, *names)
    }
    assert not found


def test_what_to_try_knows_neither_ray_nor_mlflow():
    found = {
        (path.name, name)
        for path in (PACKAGE / "search").glob("*.py")
        for name in imports(path)
        if within(name, "ray", "mlflow")
    }
    assert not found


def test_only_the_command_line_speaks_to_a_terminal():
    found = {
        module
        for module, path in MODULES.items()
        if not module.startswith("pfltune.cli")
        and any(within(name, "click", "rich") for name in imports(path))
    }
    assert not found


def test_every_package_is_listed_for_the_wheel():
    """A folder that setuptools does not know works from the checkout and is missing in a wheel."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("__init__.py")}
    here = {".".join(folder.parts) for folder in folders}
    assert set(listed) == here | {"pfltune.methods", "pfltune.search_spaces"}
