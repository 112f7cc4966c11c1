"""One figure of a benchmark."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """What a benchmark reports.

    Attributes:
        benchmark: its name in the registry.
        case: what was measured.
        figure: the median where it was measured more than once.
        unit: of the figure; ``×`` for a ratio.
        target: what it should be, as text; empty where nothing was promised.
        spread: lowest and highest of the repeats, or what else says how far to trust the figure.
    """

    benchmark: str
    case: str
    figure: float
    unit: str
    target: str = ""
    spread: str = ""
