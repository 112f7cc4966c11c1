"""What a check of the machine found, and what everything is looked at on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True)
class Finding:
    """How one check ended.

    Attributes:
        check: its name.
        state: ``wrong`` where something does not work; ``note`` where a helper should know of it.
        words: what was found.
        advice: what to do; empty where nothing is.
        figures: what was measured, by name with its unit.
    """

    check: str
    state: State
    words: str
    advice: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """What is looked at.

    Attributes:
        device: ``cpu`` or ``cuda``.
        threads: of torch on the CPU.
        results: the results folder that would be written to.
    """

    device: str
    threads: int
    results: Path
