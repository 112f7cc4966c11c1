"""Every figure of a trial or a method, once: its name, its unit, its words, and how it is shown.

Journal, MLflow, tables, CSVs and documentation read it here. A name has the form ``group/figure``;
a figure over clients stands in ``val/`` and ``test/`` in the rounds that are evaluated, below
``unseen/`` for clients that never trained with the others, and below ``selected/`` as it was in the
round chosen on validation.
"""

import re
from dataclasses import dataclass, replace
from math import isnan
from typing import Literal

from pfltune.stages import Stage, sees_test

Better = Literal["", "high", "low"]
Part = Literal["val", "test"]
When = Literal["round", "so far", "evaluation", "end", "search", "method"]

SPELLING = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""How the name of a figure that others define is spelt."""
PARTS: tuple[Part, ...] = ("val", "test")
STD, WORST = "_std", "_worst_decile"
POOLED, GLOBAL = "_pooled", "_global"
OF_METHOD = "method/"
SELECTED = "selected/"
UNSEEN = "unseen/"
OVER_CLIENTS = {
    "": "mean over clients of the",
    STD: "standard deviation over clients of the",
    WORST: "mean over the worst tenth of the clients of the",
}
"""What is told of a figure that every client has, by the ending of its name."""


@dataclass(frozen=True)
class Figure:
    """A figure, wherever it stands.

    Attributes:
        name: in the journal, in MLflow and in CSVs.
        words: what it is, without a full stop.
        heading: of its column, with its unit.
        unit: of the number as it is kept; empty for a plain number.
        factor: what the number is multiplied by to be shown.
        form: how it is then written.
        better: whether the highest or the lowest is to be striven for; empty if neither.
        when: of one ``round``, from the first round ``so far``, of an ``evaluation``, at the
            ``end`` of a trial, by trial of a ``search``, or of a ``method`` over its seeds.
        repeats: whether the same trial gives it again, to the last bit on one kind of machine.
    """

    name: str
    words: str
    heading: str = ""
    unit: str = ""
    factor: float = 1.0
    form: str = "{:,.4g}"
    better: Better = ""
    when: When = "round"
    repeats: bool = True

    def text(self, number: float) -> str:
        """The number as people read it."""
        return self.form.format(number * self.factor)


@dataclass(frozen=True)
class Measure:
    """What is computed on the samples of each client, and told of all: accuracy and its like.

    Attributes:
        name: of the figure, after its part.
        words: what one client's number is.
        heading: of its column, with its unit; the name if empty.
        unit, factor, form, better: as of a :class:`Figure`.
    """

    name: str
    words: str
    heading: str = ""
    unit: str = ""
    factor: float = 1.0
    form: str = "{:,.4g}"
    better: Better = ""

    def text(self, number: float) -> str:
        """A number as people read it."""
        return self.form.format(number * self.factor)

    def told(self, group: str, when: When) -> tuple[Figure, ...]:
        """Its figures over clients, whose names begin with ``group``."""
        return tuple(
            Figure(
                name=f"{group}{self.name}{ending}",
                words=f"{words} {self.words}{_on(group)}",
                unit=self.unit,
                factor=self.factor,
                form=self.form,
                better="low" if ending == STD else self.better,
                when=when,
            )
            for ending, words in OVER_CLIENTS.items()
            if self.better or ending != WORST
        )

    def pooled(self) -> tuple[Figure, ...]:
        """Those that are of all clients' samples at once."""
        return tuple(
            Figure(
                name=selected("test", self.name + ending),
                words=f"{words} {self.words}",
                unit=self.unit,
                factor=self.factor,
                form=self.form,
                better=self.better,
                when="end",
            )
            for ending, words in OF_ALL_SAMPLES.items()
        )

    def figures(self) -> tuple[Figure, ...]:
        """All that a trial tells of it."""
        over_clients = tuple(
            figure
            for part in PARTS
            for group, when in (
                (f"{part}/", "evaluation"),
                (f"{SELECTED}{part}_", "end"),
                (f"{UNSEEN}{part}/", "end"),
            )
            for figure in self.told(group, when)  # type: ignore[arg-type]  # a When
        )
        return over_clients + self.pooled()


OF_ALL_SAMPLES = {
    POOLED: "over the test samples of all clients together, with each client's model in the chosen "
    "round: the",
    GLOBAL: "over the same samples with the model that the server would hand to anybody in that "
    "round, where the method has one: the",
}
"""What is told of a figure that is not of single clients, by the ending of its name."""


def on(part: Part, name: str) -> str:
    """A figure over clients in an evaluated round."""
    return f"{part}/{name}"


def selected(part: Part, name: str) -> str:
    """A figure over clients in the round that was chosen on validation."""
    return f"{SELECTED}{part}_{name}"


def unseen(name: str) -> str:
    """A figure over the clients that never trained with the others."""
    return f"{UNSEEN}{name}"


def or_none(value: float) -> float | None:
    """A figure as JSON can hold it: None where there is none."""
    return None if isnan(value) else value


def of_method(name: str, words: str, **more: str | float) -> Figure:
    """A figure of a method's own, see :attr:`pfltune.method.Method.own_figures`.

    Args:
        name: in lower case, without a group; it stands below ``method/``.
        words: what it is.
        more: other fields of :class:`Figure`.
    """
    return Figure(name=OF_METHOD + name, words=words, **more)  # type: ignore[arg-type]


def tells_of_test(name: str) -> bool:
    """Whether a figure of this name tells of test samples, whoever defined it."""
    return name.startswith(("test/", UNSEEN + "test/", SELECTED + "test_"))


def best_at(best: Figure, round_number: int) -> Figure:
    """The best so far as it was after a round that all search trials reach, so at equal rounds."""
    words = f"{best.words}, after round {round_number}"
    return replace(best, name=f"val/best_at_round_{round_number}", words=words)


def may_be_shown(name: str, stage: Stage) -> bool:
    """Whether a trial of this stage may have a figure of this name: most see no test."""
    return sees_test(stage) or not tells_of_test(name)


def repeats(name: str) -> bool:
    """Whether the same trial gives the figure again; those that others define must."""
    return name not in FIGURES or FIGURES[name].repeats


def _on(group: str) -> str:
    samples = "test" if tells_of_test(group) else "validation"
    if group.startswith(SELECTED):
        return f" on {samples} samples in the chosen round"
    if group.startswith(UNSEEN):
        return f" on {samples} samples, over clients that trained at the end only"
    return f" on {samples} samples"


ACCURACY = Measure(
    name="accuracy",
    words="top-1 accuracy",
    heading="test accuracy %",
    unit="share",
    factor=100,
    form="{:.2f}",
    better="high",
)
_OF_ACCURACY = {figure.name: figure for figure in ACCURACY.figures()}
VAL, TEST = _OF_ACCURACY["val/accuracy"], _OF_ACCURACY["test/accuracy"]
SELECTED_VAL = _OF_ACCURACY["selected/val_accuracy"]
SELECTED_TEST = _OF_ACCURACY["selected/test_accuracy"]
SELECTED_TEST_STD = _OF_ACCURACY["selected/test_accuracy_std"]
SELECTED_TEST_WORST = _OF_ACCURACY["selected/test_accuracy_worst_decile"]
UNSEEN_TEST = _OF_ACCURACY["unseen/test/accuracy"]

BEST_VAL = Figure(
    name="val/best_accuracy",
    words="best mean validation accuracy so far, which the search maximises",
    unit="share",
    factor=100,
    form="{:.2f}",
    better="high",
    when="evaluation",
)
SEARCH_BEST = Figure(
    name="search/best_accuracy",
    words="best score of the search trials up to this one, of those that ran all rounds and fit",
    unit="share",
    factor=100,
    form="{:.2f}",
    better="high",
    when="search",
)
SEARCH_HYPERVOLUME = Figure(
    name="search/hypervolume",
    words="mean over budgets of MB of the best validation accuracy of the search within the budget",
    unit="share",
    factor=100,
    form="{:.2f}",
    better="high",
    when="method",
)
TEST_HYPERVOLUME = Figure(
    name="test/hypervolume",
    words="mean over budgets of MB of the best test accuracy of a method's front within the budget",
    unit="share",
    factor=100,
    form="{:.2f}",
    better="high",
    when="method",
)
LOSS = Figure(
    name="train/loss", words="mean of what the local steps of the round minimised", better="low"
)
STEPS = Figure(
    name="train/total_steps",
    words="local steps of all clients",
    heading="local steps",
    form="{:,.0f}",
    when="so far",
)
PFLOP = Figure(
    name="compute/total_pflop",
    better="low",
    words="10¹⁵ floating-point operations of local training, backward passes included",
    heading="PFLOP",
    form="{:,.4g}",
    when="so far",
)
SPENT = Figure(
    name="budget/spent",
    words="what is spent of the trial's budget, or of its rounds where nothing of it is",
    unit="share",
    factor=100,
    form="{:.1f}",
    when="so far",
)
AHEAD = Figure(
    name="budget/ahead",
    words="what would be spent of it after a round more, like the costliest so far",
    unit="share",
    factor=100,
    form="{:.1f}",
    when="evaluation",
)
ADAPTATION_STEPS = Figure(
    name="train/total_adaptation_steps",
    words="steps of adapting to a client before its evaluations",
    form="{:,.0f}",
    when="so far",
)
UP = Figure(
    name="comm/up_mb_per_round",
    words="payloads that the sampled clients sent",
    unit="MB",
    form="{:.3f}",
    better="low",
)
DOWN = Figure(
    name="comm/down_mb_per_round",
    words="payloads that the sampled clients received",
    unit="MB",
    form="{:.3f}",
    better="low",
)
TOTAL = Figure(
    name="comm/total_mb",
    better="low",
    words="payloads up and down of all sampled clients",
    heading="total MB",
    unit="MB",
    form="{:.2f}",
    when="so far",
)
SETUP = Figure(
    name="comm/setup_mb",
    better="low",
    words="what all clients must be sent once beside the rounds",
    unit="MB",
    form="{:.2f}",
    when="end",
)
EVALUATION = Figure(
    name="comm/total_evaluation_mb",
    better="low",
    words="what clients would download to be evaluated",
    unit="MB",
    form="{:.2f}",
    when="so far",
)
ROUND_SECONDS = Figure(
    name="time/round_s",
    better="low",
    words="local training and aggregation",
    unit="s",
    form="{:.1f}",
    repeats=False,
)
SECONDS = Figure(
    name="time/total_s",
    better="low",
    words="local training and aggregation",
    heading="seconds",
    unit="s",
    form="{:.1f}",
    when="so far",
    repeats=False,
)
CPU_SECONDS = Figure(
    name="time/total_cpu_s",
    better="low",
    words="what the process computed on all its threads, evaluations too",
    unit="s",
    form="{:.1f}",
    when="so far",
    repeats=False,
)
EVALUATION_SECONDS = Figure(
    name="time/evaluation_s",
    better="low",
    words="the evaluation of all clients",
    unit="s",
    form="{:.1f}",
    when="evaluation",
    repeats=False,
)
PEAK = Figure(
    name="memory/peak_mb",
    better="low",
    words="high-water mark of the process, or of the GPU",
    heading="peak MB",
    unit="MB",
    form="{:,.0f}",
    when="so far",
    repeats=False,
)
GFLOPS = Figure(
    name="compute/gflops",
    better="low",
    words="10⁹ operations with which a client classifies one image",
    heading="GFLOPs per image",
    form="{:.4g}",
    when="end",
)
SHARED = Figure(
    name="params/shared",
    words="numbers that a client downloads in a round",
    heading="shared params",
    form="{:,.0f}",
    when="end",
)
PERSONAL = Figure(
    name="params/personal",
    words="numbers on a client that its model is made of",
    heading="personal params",
    form="{:,.0f}",
    when="end",
)
ROUNDS = Figure(name="rounds", words="rounds that have run", form="{:,.0f}", when="end")
CHOSEN = Figure(
    name="selected/round", words="the round chosen on validation", form="{:,.0f}", when="end"
)

TEST_STD = Figure(
    name="test/accuracy_std",
    words="standard deviation of test accuracy over clients",
    heading="client std",
    unit="share",
    factor=100,
    form="{:.2f}",
    better="low",
    when="evaluation",
)
TEST_WORST = Figure(
    name="test/accuracy_worst_decile",
    words="mean test accuracy of the worst tenth of the clients",
    heading="worst decile %",
    unit="share",
    factor=100,
    form="{:.2f}",
    better="high",
    when="evaluation",
)
TEST_GINI = Figure(
    name="test/accuracy_gini",
    words="Gini index of the test accuracies of the clients, 0 where all are alike",
    heading="Gini",
    form="{:.3f}",
    better="low",
    when="method",
)
TEST_JAIN = Figure(
    name="test/accuracy_jain",
    words="Jain's index of the test accuracies of the clients, 1 where all are alike",
    heading="Jain",
    form="{:.3f}",
    better="high",
    when="method",
)
TEST_STD_SEEDS = Figure(
    name="test/accuracy_std_seeds",
    words="sample standard deviation of the test accuracy over seeds",
    unit="share",
    factor=100,
    form="{:.2f}",
    better="low",
    when="method",
)
TEST_LOW = Figure(
    name="test/accuracy_low",
    words="lower end of the 95 % interval of the test accuracy",
    unit="share",
    factor=100,
    form="{:.2f}",
    when="method",
)
TEST_HIGH = Figure(
    name="test/accuracy_high",
    words="upper end of the 95 % interval of the test accuracy",
    unit="share",
    factor=100,
    form="{:.2f}",
    when="method",
)
MB_PER_ROUND = Figure(
    name="comm/mb_per_round",
    better="low",
    words="payloads up and down of all sampled clients in a round",
    heading="MB per round",
    unit="MB",
    form="{:.3f}",
    when="method",
)
MB_PER_CLIENT = Figure(
    name="comm/mb_per_client_and_round",
    better="low",
    words="payloads up and down of one sampled client in a round",
    heading="MB per client and round",
    unit="MB",
    form="{:.3f}",
    when="method",
)


_LISTED = (
    *_OF_ACCURACY.values(),
    *(TEST_STD, TEST_WORST, BEST_VAL, SEARCH_BEST, LOSS, STEPS, ADAPTATION_STEPS),
    *(UP, DOWN, TOTAL, SETUP, EVALUATION),
    *(ROUND_SECONDS, SECONDS, CPU_SECONDS, EVALUATION_SECONDS, PEAK),
    *(PFLOP, SPENT, AHEAD),
    *(GFLOPS, SHARED, PERSONAL, ROUNDS, CHOSEN),
    *(SEARCH_HYPERVOLUME, TEST_HYPERVOLUME),
    *(TEST_GINI, TEST_JAIN, TEST_STD_SEEDS, TEST_LOW, TEST_HIGH, MB_PER_ROUND, MB_PER_CLIENT),
)
FIGURES = {figure.name: figure for figure in _LISTED}
"""All figures of pfltune itself by name; scenarios and methods may add their own."""
