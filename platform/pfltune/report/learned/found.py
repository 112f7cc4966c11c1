"""What is learned from a search, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass

from pfltune.knobs import Value
from pfltune.report.learned.surrogate import Surrogate


@dataclass(frozen=True)
class Tried:
    """A configuration that the search tried. Scores are in [0, 1].

    Attributes:
        index: of its search trial.
        knobs: the configuration.
        values: its score at the last round by fresh seed; empty for one that is no finalist.
        mean: of these values; NaN without any.
        standard_error: of the mean; NaN for fewer than two values.
        mb: MB up and down in a round; NaN where none is told.
        personal: personal parameters; NaN where they are not told.
        search_value: its score in the search at the last round; NaN if it was stopped before.
    """

    index: int
    knobs: Mapping[str, Value]
    values: Mapping[int, float]
    mean: float
    standard_error: float
    mb: float
    personal: float
    search_value: float


@dataclass(frozen=True)
class Equal:
    """A configuration that is not told apart from the chosen one, and by what it was tried to."""

    tried: Tried
    why: str


@dataclass(frozen=True)
class Importance:
    """A knob's share of what the score varies by, from 0 to 1, with its 95 % interval."""

    knob: str
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class KnobRange:
    """The values of a knob that are within one standard error of the best, over all others.

    Attributes:
        knob: its name.
        values: of a knob with choices, those choices; empty for one with a range.
        low, high: of a knob with a range, in its type; NaN for one with choices.
    """

    knob: str
    values: tuple[Value, ...] = ()
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True)
class Learned:
    """What a search learned.

    Attributes:
        rounds: the round that all of it is about: the last that a trial reached; 0 for none. Under
            a budget the share of it that was spent, 1 for the whole.
        surrogate: None where it predicts no better than the mean, or cannot be fitted.
        why_none: why there is no surrogate, in words; empty if there is one.
        importances: the largest first; empty without a surrogate.
        importance_note: that the trials say little of which knob matters more; empty if they do
            not.
        chosen: the chosen configuration, while none is chosen the one in the lead; None if no
            trial has a figure.
        fall: percentage points by which the search's value of the chosen one is above its mean
            with fresh seeds; NaN where either is unknown.
        equals: configurations not told apart from the chosen one, the best first; see
            :mod:`pfltune.report.learned.equals` for how sure that is.
        cheapest_mb: of the chosen one and its equals the one with the fewest MB in a round; None
            where that is told of none.
        cheapest_personal: the same by personal parameters, which are told at the end of a trial:
            those that were stopped early are left out.
        ranges: of each knob, as in the space; empty without a surrogate.
    """

    rounds: float
    surrogate: Surrogate | None = None
    why_none: str = ""
    importances: tuple[Importance, ...] = ()
    importance_note: str = ""
    chosen: Tried | None = None
    fall: float = float("nan")
    equals: tuple[Equal, ...] = ()
    cheapest_mb: Tried | None = None
    cheapest_personal: Tried | None = None
    ranges: tuple[KnobRange, ...] = ()
