"""Whether what is installed is what pfltune was made for."""

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pfltune.doctor.finding import Finding, Place
from pfltune.text import count

SHOWN = ("torch", "timm", "ray", "optuna", "mlflow")
"""What an issue must say; the others are named only where they do not fit."""
OURS = "pfltune"
FOR_DEVELOPERS = "dev"


def versions(_: Place) -> Finding:
    """Python and all distributions that pfltune needs are within the ranges that it names."""
    try:
        told = metadata(OURS)
    except PackageNotFoundError:
        advice = "pip install -e . in the checkout, or install the wheel"
        return Finding("versions", "wrong", "pfltune is not installed", advice)
    needed = [Requirement(line) for line in told.get_all("Requires-Dist") or ()]
    extras = [e for e in told.get_all("Provides-Extra") or () if e != FOR_DEVELOPERS]
    own = [each for each in needed if _is_for(each, "")]
    python = platform.python_version()
    wrong = [(_unmet(each), _shown(each)) for each in own if _unmet(each)]
    if python not in SpecifierSet(told["Requires-Python"] or ""):
        wrong.insert(0, (f"Python {python} is not {told['Requires-Python']}", "another Python"))
    if wrong:
        unmet, wanted = zip(*wrong, strict=True)
        return Finding("versions", "wrong", ", ".join(unmet), f"install {', '.join(wanted)}")
    shown = ", ".join(f"{name} {version(name)}" for name in SHOWN)
    words = f"Python {python}, {OURS} {version(OURS)}, {shown}"
    odd = [*_odd(needed, extras)]
    if odd:
        return Finding("versions", "note", f"{words}; {', '.join(odd)}", "see pyproject.toml")
    return Finding("versions", "ok", f"{words}; {count(len(own), 'requirement')}, all met")


def _odd(needed: list[Requirement], extras: list[str]) -> Iterator[str]:
    """What is there for an extra of pfltune, and does not fit."""
    for extra in extras:
        for each in needed:
            if _is_for(each, extra) and not _is_for(each, "") and _installed(each) and _unmet(each):
                yield f"{_unmet(each)} for pfltune[{extra}]"


def _is_for(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _installed(requirement: Requirement) -> str | None:
    try:
        return version(requirement.name)
    except PackageNotFoundError:
        return None


def _unmet(requirement: Requirement) -> str:
    """Why it is not met; empty where it is."""
    there = _installed(requirement)
    if there is None:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(there, prereleases=True):
        return ""
    return f"{requirement.name} {there} is not {requirement.specifier}"


def _shown(requirement: Requirement) -> str:
    return f"'{requirement.name}{requirement.specifier}'"
