"""Tables for a paper: booktabs, the best in bold, marks of significance with their note."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pfltune.goal import MINUS
from pfltune.report.analysis import Analysis
from pfltune.report.columns import (
    Column,
    cells,
    paper_columns,
    resource_columns,
)
from pfltune.report.results import MethodResult
from pfltune.report.statistics import ALPHA, pairs_of
from pfltune.report.words import (
    below,
    bold_note,
    finding,
    for_all,
    scope,
    seeds_of,
    test_note,
    together,
    untested,
)
from pfltune.text import plain

WORSE, BETTER = r"$^{\downarrow}$", r"$^{\uparrow}$"
MARKS = {"worse": WORSE, "better": BETTER}
SPECIAL = {
    "\\": r"\textbackslash{}",
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "–": "--",
    "≥": r"$\geq$",
    MINUS: "$-$",
    "η": r"$\eta$",
}


@dataclass(frozen=True)
class Tabular:
    """A table of LaTeX cells.

    Attributes:
        heads: of the columns, the first on the left.
        rows: as long as the heads each.
        caption: above the table.
        note: below it, small; empty for none.
        label: to refer to it.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    note: str
    label: str

    def __str__(self) -> str:
        align = "l" + "r" * (len(self.heads) - 1)
        note = [r"\par\vspace{2pt}", rf"{{\footnotesize {self.note}\par}}"] if self.note else []
        lines = [
            r"% \usepackage{booktabs} \usepackage{graphicx}",
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{self.caption}}}",
            rf"\label{{{self.label}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            " & ".join(self.heads) + r" \\",
            r"\midrule",
            *(" & ".join(row) + r" \\" for row in self.rows),
            r"\bottomrule",
            r"\end{tabular}}",
            *note,
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"


def result_table(analysis: Analysis) -> str:
    """Accuracies with their marks, and what they cost."""
    columns = paper_columns(analysis)
    result = analysis.result
    rows = table_rows(columns, result.methods)
    for row, method in zip(rows, result.methods, strict=True):
        row[1] += _mark(analysis, method)
    scenario = escaped(result.scenario)
    caption = f"Test {result.goal.noun} and communication on {scenario}."
    if analysis.is_tested:
        pairs = pairs_of(len(analysis.differences) + 1)
        caption += f" Intervals of differences and p for {for_all(pairs)}."
    return str(Tabular(_heads(columns), rows, caption, _note(analysis), label(result.name)))


def resource_table(analysis: Analysis) -> str:
    """What the methods cost."""
    columns = resource_columns(analysis)
    result = analysis.result
    caption = f"Resources on {escaped(result.scenario)}."
    rows = table_rows(columns, result.methods)
    return str(Tabular(_heads(columns), rows, caption, "", f"{label(result.name)}-resources"))


def table_rows(columns: Sequence[Column], methods: Sequence[MethodResult]) -> list[list[str]]:
    """Title and cells of each method, the best of each column in bold."""
    best = [column.winners(methods) for column in columns]
    return [
        [
            escaped(method.title),
            *(
                cell(text, bold=method.name in names)
                for text, names in zip(cells(method, columns), best, strict=True)
            ),
        ]
        for method in methods
    ]


def cell(text: str, bold: bool = False) -> str:
    """A cell in LaTeX; what follows ± is small."""
    main, plus_minus, spread = escaped(text).partition(r" $\pm$ ")
    strong = rf"\textbf{{{main}}}" if bold else main
    return strong + (rf" {{\scriptsize $\pm$ {spread}}}" if plus_minus else "")


def escaped(text: str) -> str:
    """``text`` as LaTeX prints it, in one line."""
    return "".join(SPECIAL.get(char, char) for char in plain(text))


def label(name: str) -> str:
    """Of letters, digits and what else a label may hold."""
    return "tab:" + "".join(c if c.isalnum() or c in "-+." else "-" for c in name)


def _heads(columns: Iterable[Column]) -> list[str]:
    return ["method", *(escaped(column.title) for column in columns)]


def _mark(analysis: Analysis, method: MethodResult) -> str:
    found = analysis.differences.get(method.name)
    return MARKS.get(found.verdict, "") if found else ""


def _note(analysis: Analysis) -> str:
    if not analysis.result.confirmed:
        return ""
    over, goal = escaped(seeds_of(analysis.result.confirmed)), analysis.result.goal
    many = any(len(method.runs) > 1 for method in analysis.result.confirmed)
    spread = "Mean over clients" + (
        f" $\\pm$ standard deviation over {over}." if many else f", {over}."
    )
    several = len(analysis.result.confirmed) > 1
    sentences = [spread, escaped(bold_note([analysis.result])) if several else ""]
    sentences += map(escaped, analysis.result.remarks)
    if analysis.differences and _is_raced(analysis):
        sentences += [escaped(test_note(analysis)), escaped(finding(analysis))]
    elif analysis.reference is not None and analysis.differences:
        sentences += [
            f"Differences in {goal.apart}{escaped(below(goal))}.",
            escaped(together(analysis)),
            escaped(scope(analysis)),
            f"{WORSE}/{BETTER}: worse/better than {escaped(analysis.reference.title)} "
            f"($p<{ALPHA}$); without a mark no difference was found."
            if analysis.is_tested
            else "",
            *map(escaped, untested(analysis)),
        ]
    return " ".join(sentence for sentence in sentences if sentence)


def _is_raced(analysis: Analysis) -> bool:
    """Whether figures decided how many seeds there are."""
    return analysis.result.budget.decide is not None
