"""What a report says in sentences."""

from pfltune.report.analysis import Analysis
from pfltune.report.results import ComparisonResult, MethodResult
from pfltune.report.statistics import ALPHA


def status(result: ComparisonResult) -> str:
    """How far a comparison is that has not ended; empty if it has."""
    if not result.is_partial:
        return ""
    waiting = [method.title for method in result.methods if not method.runs]
    rest = f"; without a confirmed run so far: {', '.join(waiting)}" if waiting else ""
    return f"partial: {result.ended} of {result.planned} trials have ended{rest}"


def accuracy_note(result: ComparisonResult) -> str:
    """What an accuracy is."""
    seeds = _count(result.settings["budget"]["seeds"], "seed")
    return (
        "Test accuracy is the mean over clients at the round with the best validation accuracy, ± "
        f"the sample standard deviation over {seeds} that the search never used."
    )


SPREAD_NOTE = (
    "The interval is a 95 % bootstrap over seeds and clients, drawn independently of each other. "
    "Client std is the standard deviation over clients, the worst decile the mean of the lowest "
    "tenth of them; both are means over seeds."
)


def test_note(analysis: Analysis) -> str:
    """What was tested, against whom, and what that does not say."""
    reference = analysis.reference
    if reference is None or not analysis.differences:
        return "Nothing was tested: there are not two methods with confirmed runs."
    why = "named by the user" if analysis.chosen else "the method with the best validation accuracy"
    sentences = [
        f"Reference: {reference.title}, {why}. Differences of test accuracy are paired by client "
        "and seed, in percentage points. Wilcoxon's signed-rank test on the clients' differences "
        "(mean over seeds; zeros after Pratt), p-values after Holm's correction for "
        f"{_count(len(analysis.differences), 'comparison')}. That no difference was found does "
        "not say that there is none. A p-value speaks of these clients under these seeds; what a "
        "seed does to all clients at once is not in it, so the seeds that agree are counted."
    ]
    if analysis.is_too_small:
        sentences.append(
            f"With so few clients, no difference could be found at p < {ALPHA} after the "
            "correction, however large."
        )
    return " ".join(sentences)


def finding(analysis: Analysis) -> str:
    """What came out, in a sentence or two; empty if nothing was compared."""
    if analysis.reference is None or not analysis.differences:
        return ""
    name = analysis.reference.title
    groups = {
        f"Worse than {name} (p < {ALPHA}): ": _titles(analysis, "worse"),
        f"Better than {name} (p < {ALPHA}): ": _titles(analysis, "better"),
        f"Different from {name} (p < {ALPHA}), but not one way: ": _titles(analysis, "different"),
        f"No difference from {name} was found: ": _titles(analysis, "no difference was found"),
        f"Not tested against {name}: ": _titles(analysis, "no test"),
    }
    return " ".join(f"{head}{', '.join(titles)}." for head, titles in groups.items() if titles)


def communication_note(analysis: Analysis) -> str:
    """What MB, the target and the front are."""
    front = ", ".join(method.title for method in analysis.front)
    return (
        "MB are 10⁶ bytes of safetensors payloads, up and down. Per round and in total: all "
        "sampled clients together. Rounds and MB to the target: until the validation accuracy, "
        f"mean over clients and seeds, first reached {100 * analysis.target:.2f} %. On the Pareto "
        f"front of test accuracy and total MB: {front}. Seconds are local training and "
        "aggregation of one trial; peak MB is the process' high-water mark or the GPU's."
    )


def start_weights(result: ComparisonResult) -> str:
    """Where every method's start weights come from."""
    scenario = result.settings["scenario"]
    source, recipe = scenario["backbone"]["weights"], scenario["warm_start"]
    if source != "warm-start":
        return "random, by seed" if source == "random" else source
    return (
        f"trained for {recipe['epochs']} epochs on {recipe['share']:.0%} of the data set, "
        "set aside and given to no client"
    )


def _titles(analysis: Analysis, verdict: str) -> list[str]:
    return [
        method.title
        for method in _others(analysis)
        if analysis.differences[method.name].verdict.startswith(verdict)
    ]


def _others(analysis: Analysis) -> list[MethodResult]:
    return [m for m in analysis.result.confirmed if m.name in analysis.differences]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
