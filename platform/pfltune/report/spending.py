"""How good methods are for what they spend: MB, local steps, operations, seconds.

Within a budget, the round with the best validation score counts among those that were evaluated
before it was spent; what is told is the test score of that round. So a budget chooses a round as
a trial itself does, and the whole of what was spent gives the figure of the result table.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pfltune import figures
from pfltune.federation.trial_budget import FIGURES, IN_FIGURE, TrialBudget, told, unit_for
from pfltune.figures import Figure
from pfltune.report.balance import spread
from pfltune.report.results import ComparisonResult, ConfirmedRun, MethodResult

KINDS = {figure: kind for kind, figure in FIGURES.items()}
SPENT = tuple(KINDS)
"""The figures that add up what a trial spends."""
NOUNS = {
    figures.TOTAL: "bytes up and down, all sampled clients",
    figures.STEPS: "local steps",
    figures.PFLOP: "operations of local training",
    figures.SECONDS: "local training and aggregation",
}
"""What is spent, as it stands above a table and below an axis."""
SHARES = (0.1, 0.2, 0.5, 1.0)
"""Of the largest budget that a table tells of."""


@dataclass(frozen=True)
class Within:
    """What a method came to within a budget.

    Attributes:
        values: test score by study and seed; NaN where no evaluated round is within it.
        studies: how many independent searches chose what was trained.
        ended: whether every trial ended within it, so that more rounds would have been paid for.
    """

    values: tuple[float, ...]
    ended: bool
    studies: int = 1

    @property
    def mean(self) -> float:
        """Over studies and seeds; NaN where one has no evaluated round within the budget."""
        return float(np.mean(self.values)) if self.values else math.nan

    @property
    def std(self) -> float:
        """As that of a test score, see :func:`spread`; NaN for a single run."""
        return spread(np.reshape(self.values, (self.studies, -1))) if self.values else math.nan


def within(method: MethodResult, figure: Figure, budget: float) -> Within:
    """What a method came to within a budget of a figure, in the figure's own unit."""
    values = tuple(_best(run, figure, budget) for run in method.runs)
    ends = [run.metrics.get(figure.name, math.inf) for run in method.runs]
    return Within(values, all(end <= budget for end in ends), max(1, len(method.studies)))


def budgets(result: ComparisonResult, figure: Figure) -> tuple[float, ...]:
    """The budgets of a figure that a table tells of, ascending; none where nobody spent any.

    Shares of what each trial could spend; or else of the most that a trial spent; in two digits.
    """
    given = result.record.scenario.protocol.budget
    if given is not None and given.figure == figure:
        most = in_figure(given)
    else:
        spent = [run.metrics.get(figure.name, 0.0) for m in result.confirmed for run in m.runs]
        most = _rounded_up(max(spent, default=0.0))
    if not most:
        return ()
    smaller = (float(f"{share * most:.2g}") for share in SHARES[:-1])
    whole = figure == figures.STEPS
    every = (*(float(math.ceil(each)) if whole else each for each in smaller), most)
    return tuple(dict.fromkeys(every))  # of a few steps, shares round up to the same number


def in_figure(budget: TrialBudget) -> float:
    """A budget in the unit of the figure that adds up what is spent of it."""
    return budget.amount / IN_FIGURE[budget.kind]


def in_words(figure: Figure, amount: float) -> str:
    """An amount in the unit of a figure as people read it: ``26 MB``."""
    return told(KINDS[figure], amount * IN_FIGURE[KINDS[figure]])


def axis_of(figure: Figure, most: float) -> tuple[str, float]:
    """The unit of an axis that reaches so far, and what values of the figure are multiplied by."""
    name, factor = unit_for(KINDS[figure], most * IN_FIGURE[KINDS[figure]])
    return name, IN_FIGURE[KINDS[figure]] / factor


def curve(method: MethodResult, figure: Figure) -> list[tuple[float, float]]:
    """(spent, test score within it) where that of any seed may change, ascending."""
    courses = [_course(run, figure) for run in method.runs]
    places = sorted({place for course in courses for place, _ in course})
    if not places:
        return []
    values = np.mean([_held(course, places) for course in courses], axis=0)
    return [(p, float(v)) for p, v in zip(places, values, strict=True) if not math.isnan(v)]


def rows(result: ComparisonResult) -> Iterator[dict[str, str | float | int | bool]]:
    """A row for each confirmed method, figure and budget."""
    goal = result.goal
    for figure in SPENT:
        for budget in budgets(result, figure):
            for method in result.confirmed:
                found = within(method, figure, budget)
                yield {
                    "method": method.name,
                    "figure": figure.name,
                    "budget": budget,
                    "seeds": len(method.seeds),
                    goal.of("test").name: goal.score(found.mean),
                    goal.of_table(figures.TEST_STD_SEEDS).name: found.std,
                    "ended": found.ended,
                }


def _evaluated(run: ConfirmedRun, figure: Figure) -> Sequence[tuple[float, float, float]]:
    """(spent, validation, test score) of the evaluated rounds, in their order."""
    spent = dict(run.curves.get(figure.name, ()))
    val, test = dict(run.course("val")), dict(run.course("test"))
    return [(spent[n], val[n], test[n]) for n in val if n in test and n in spent]


def _best(run: ConfirmedRun, figure: Figure, budget: float) -> float:
    """Test score of the best round within a budget on validation, the first among equals."""
    fitting = [(val, test) for spent, val, test in _evaluated(run, figure) if spent <= budget]
    return max(fitting, key=lambda each: each[0])[1] if fitting else math.nan


def _course(run: ConfirmedRun, figure: Figure) -> list[tuple[float, float]]:
    """(spent, test score within it) after each evaluated round, ascending."""
    best, course = (-math.inf, math.nan), []
    for spent, val, test in sorted(_evaluated(run, figure), key=lambda each: each[0]):
        best = (val, test) if val > best[0] else best
        course.append((spent, best[1]))
    return course


def _held(course: Sequence[tuple[float, float]], places: Sequence[float]) -> np.ndarray:
    """What a course stands at in each place; NaN before its first."""
    spent = [place for place, _ in course]
    values = np.array([math.nan, *(value for _, value in course)])
    return np.asarray(values[np.searchsorted(spent, places, side="right")])


def _rounded_up(number: float) -> float:
    """In two digits."""
    if not number:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return float(f"{math.ceil(number / unit - 1e-9) * unit:.6g}")
