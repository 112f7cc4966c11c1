"""The figures that a trial has when it has ended."""

from pfltune.federation.evaluation import over_clients, summary
from pfltune.figures import CHOSEN, GLOBAL, PARTS, POOLED, ROUNDS, selected
from pfltune.tracking.events import TrialEnded


def final_figures(event: TrialEnded) -> dict[str, float]:
    """How far it came, and its clients' figures at the round chosen on validation, if any."""
    final = {ROUNDS.name: float(event.round)}
    if event.selected is None:
        return final
    final[CHOSEN.name] = float(event.selected["round"])
    for part in PARTS:
        told = summary(event.selected[part]) if event.selected[part] else {}
        for measured in event.selected.get("metrics", ()):
            told |= over_clients(measured["name"], measured[part], measured["better"])
        final |= {selected(part, name): value for name, value in told.items()}
    for ending, found in ((POOLED, "pooled"), (GLOBAL, "global")):
        of_all = event.selected.get(found, {}).get("figures", {})  # type: ignore[attr-defined]
        final |= {selected("test", name + ending): value for name, value in of_all.items()}
    return final
