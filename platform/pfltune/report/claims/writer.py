"""Writing the report of a claim's replay."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pfltune.claim_file import TITLES
from pfltune.figures import STEPS, TOTAL, Figure
from pfltune.ownership import published, see_inside
from pfltune.report.canvas import Drawing
from pfltune.report.claims import words
from pfltune.report.claims.drawing import NAME, drawing_of
from pfltune.report.claims.replayed import Ground, Replayed
from pfltune.report.claims.tables import accuracies, details, layers, records, spent, summaries
from pfltune.report.figures import written
from pfltune.report.markdown import escaped, markdown
from pfltune.report.page import pictures, rendered
from pfltune.report.results import MethodResult
from pfltune.report.spreadsheet import text as csv_text
from pfltune.report.words import INSTEAD, accuracy_note


def write_replayed(found: Replayed, results: Path, out: Path | None = None) -> Path:
    """Write tables, figure and page of a replay; returns the folder.

    Args:
        found: what its parts found.
        results: the results folder.
        out: where to write; None for ``report`` in the replay's folder.

    Raises:
        UserError: the folder holds somebody else's files.
        OSError: it cannot be written.
    """
    folder = out or results / found.replay.name / "report"
    if out is None:
        see_inside(folder, results)
    with published(folder, found.replay.owner, INSTEAD) as draft:
        drawings = written([(NAME, lambda: drawing_of(found))], draft)
        texts = {
            "table.md": markdown_of(found),
            "verdicts.csv": _csv(found),
            "claim.json": json.dumps(content_of(found), indent=2) + "\n",
            "report.html": _page(found, draft, drawings),
        }
        for name, content in texts.items():
            (draft / name).write_text(content, encoding="utf-8")
    return folder


def content_of(found: Replayed) -> dict[str, Any]:
    """All that a replay says, for scripts."""
    claim = found.claim
    return {
        "name": found.replay.name,
        "id": found.replay.id,
        "claim": claim.name,
        "scale": found.replay.scale,
        "citation": claim.citation,
        "moment": claim.moment,
        "published": claim.published.model_dump(mode="json"),
        "parts": {ground.part.footing: _part(ground) for ground in found.grounds},
        "verdicts": list(records(found)),
    }


def markdown_of(found: Replayed) -> str:
    """For a README: verdicts, accuracies and what they cost, with what they need."""
    said = [words.heading(found), *words.statuses(found), *words.origins(found)]
    verdicts = "\n".join(map(markdown, summaries(found)))
    rest = [table for table in (accuracies(found), layers(found), spent(found)) if table]
    head = "".join(f"{escaped(line)}\n\n" for line in said)
    sentences = "".join(f"- {escaped(line)}\n" for line in words.findings(found))
    notes = f"{escaped(words.NOTE)}\n\n{sentences}"
    return f"{head}{verdicts}\n{notes}\n" + "\n".join(map(markdown, rest))


def _part(ground: Ground) -> dict[str, Any]:
    draws = [{text: _row(row) for text, row in rows.items() if row.runs} for rows in ground.draws]
    return {"name": ground.part.name, "missing": ground.missing, "draws": draws}


def _row(row: MethodResult) -> dict[str, Any]:
    """Test accuracies in [0, 1], by seed, and what was chosen."""
    tests = {str(run.seed): run.score("test") for run in row.runs}
    spent = {figure.name: row.mean(figure.name) for figure in (TOTAL, STEPS) if _has(row, figure)}
    return {"title": row.title, "best": row.best, "test": tests, **spent}


def _has(row: MethodResult, figure: Figure) -> bool:
    return all(figure.name in run.metrics for run in row.runs)


def _csv(found: Replayed) -> str:
    told = list(records(found))
    heads = list(told[0]) if told else ["ordering"]
    rows = [
        ["" if v is None else repr(v) if isinstance(v, float) else v for v in r.values()]
        for r in told
    ]
    return csv_text(heads, rows)


def _page(found: Replayed, folder: Path, drawings: Sequence[Drawing]) -> str:
    results = [result for ground in found.grounds for result in ground.results]
    return rendered(
        "claim.html.j2",
        title=found.replay.name,
        claim=found.claim,
        heading=words.heading(found),
        statuses=[*words.statuses(found), *words.origins(found)],
        findings=words.findings(found),
        note=words.NOTE,
        accuracy_note=" ".join(filter(None, (accuracy_note(results), words.spread_note(found))))
        if results
        else "",
        summaries=summaries(found),
        details=details(found),
        accuracies=accuracies(found),
        spent=spent(found),
        layers=layers(found),
        parts=[
            (TITLES[g.part.footing], words.MEANING[g.part.footing], g.part.name, g.missing)
            for g in found.grounds
        ],
        figures=pictures(folder, drawings),
    )
