"""The figure of a race: what has become of each bet, seed by seed."""

from matplotlib.ticker import NullFormatter

from pfltune.racing.closed import THRESHOLD
from pfltune.racing.question import Question
from pfltune.report.analysis import Analysis
from pfltune.report.canvas import Drawing, canvas, legend, whole_numbers
from pfltune.report.racing import titles_of

LEAST = 1e-3
"""Below which a wealth is not told from nothing."""


def course_of_the_race(analysis: Analysis) -> Drawing | None:
    """E-values by seed; None where there was no race, or it has not begun."""
    race = analysis.result.race
    if race is None or not race.seeds:
        return None
    figure, axes = canvas("seeds", "e-value")
    titles = titles_of(analysis.result)
    for question in race.questions:
        values = [max(value, LEAST) for value in (1.0, *question.course)]
        style = _style(analysis, question)
        axes.plot(range(len(values)), values, label=_label(question, titles), **style)
        if question.state == "decided":
            axes.plot(len(values) - 1, values[-1], "o", color=style["color"], markersize=5)
    axes.axhline(THRESHOLD, color="0.4", linewidth=0.8, linestyle=(0, (5, 3)))
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    whole_numbers(axes.xaxis)
    legend(figure, axes)
    what = "that a method is the best" if race.decide == "best" else "that neither is better"
    caption = (
        f"E-values against each hypothesis {what}, by the number of seeds. A dot is where it was "
        f"rejected; the dashed line is {THRESHOLD:g}, to which comes what other open ones lack."
    )
    return Drawing("race", caption, figure)


def _style(analysis: Analysis, question: Question) -> dict[str, object]:
    """A method has its own look; of pairs, those that were not decided stand out."""
    if len(question.of) == 1:
        style = analysis.styles.get(question.of[0])
        return dict(style.curve) if style else {"color": "0.5"}
    is_decided = question.state == "decided"
    return {"color": "0.75" if is_decided else "0.2", "linewidth": 0.8 if is_decided else 1.4}


def _label(question: Question, titles: dict[str, str]) -> str:
    """Of a pair that is decided none, since there are many."""
    if len(question.of) > 1 and question.state == "decided":
        return ""
    return " / ".join(titles[name] for name in question.of)
