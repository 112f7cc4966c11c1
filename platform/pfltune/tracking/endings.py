"""The figures that a trial has when it has ended."""

from pfltune.federation.evaluation import summary
from pfltune.tracking.events import TrialEnded


def final_figures(event: TrialEnded) -> dict[str, float]:
    """How far it came, and the accuracies at the round that was chosen on validation, if any."""
    final = {"rounds": float(event.round)}
    if event.selected is None:
        return final
    final["selected/round"] = float(event.selected["round"])
    for part in ("val", "test"):
        if event.selected[part]:
            figures = summary(tuple(event.selected[part]))
            final |= {f"selected/{part}_{name}": value for name, value in figures.items()}
    return final
