"""The command that trains a tuned configuration again, to the same figures."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pfltune.report.results import ComparisonResult, MethodResult


def again(result: "ComparisonResult", method: "MethodResult", scenario: str) -> str:
    """``pfltune run …`` for the first confirmation trial of a method; empty if there is none.

    Args:
        result: what it was found in; its record is what counts.
        method: with a confirmation trial.
        scenario: name or path of the scenario, before any change of it.
    """
    from pfltune.report.tuning.commands import ground, held, line, method_word

    there = ground(result.record, scenario, method.best)
    if there is None:
        return ""
    computing = result.record.computing
    words = ["run", method_word(result.record, method.method), *there, *held(method.best)]
    words += ["--seed", str(method.runs[0].seed), "--threads", str(computing.threads)]
    words += ["--device", computing.device, "--precision", computing.precision]
    words += ["--deterministic"] if computing.deterministic else []
    return line(*words)
