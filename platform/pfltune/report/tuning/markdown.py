"""What a search found, as Markdown."""

from pfltune.report.markdown import escaped, markdown
from pfltune.report.tuning.advice import advice
from pfltune.report.tuning.sentence import sentences
from pfltune.report.tuning.table import best_ten, lines, table_note, ten_columns
from pfltune.report.tuning.tuned import Tuned


def markdown_of(tuned: Tuned) -> str:
    """The answer, what else is known, the table of the best ten and what to try next."""
    answer, *more = [escaped(each) for each in sentences(tuned)]
    table = markdown(lines(ten_columns(tuned), best_ten(tuned)))
    step = advice(tuned)
    next_step = f"{escaped(step.why)}\n\n```sh\n{step.command}\n```\n" if step else ""
    parts = [f"**{answer}**\n", " ".join(more) + "\n", table, escaped(table_note(tuned)) + "\n"]
    return "\n".join([*parts, next_step])
