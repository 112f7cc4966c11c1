"""A race through the command line: killed, resumed, extended and verified."""

import pytest
from chaos.outcome import Differences, differences, outcome_of
from inline import command, killed

import pfltune
from pfltune.audit.certificate import read_certificate
from pfltune.audit.table import table_of
from pfltune.report.results import read_results

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("png_alone")]

NAME = "race"
OPTIONS = [
    *("--methods", "fedavg,local", "--decide", "--seeds", "2", "--max-seeds", "7"),
    *("--trials", "1", "--precision", "float32", "--checkpoint-seconds", "0"),
    *("-o", "protocol.rounds=1", "-o", "protocol.evaluate_every=1", "-o", "partition.clients=5"),
    *("-o", "backbone.weights=random"),
]


@pytest.mark.usefixtures("inline")
def test_a_race_that_is_killed_goes_on_to_the_table_of_one_that_is_not(tmp_path, monkeypatch):
    """In a step after the first seeds; then more seeds are asked for, and a stranger checks it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    words = [*OPTIONS, "--name", NAME]
    whole = command(folders[0], "compare", *words)
    assert whole.returncode == 0, whole.stderr
    # Each trial has three lines: it starts, has a round, and ends.
    killed(folders[1], NAME, 3 * (2 + 2 * 3) + 1, ["compare", *words])
    resumed = command(folders[1], "compare", "--resume", NAME)
    assert resumed.returncode == 0, resumed.stderr
    outcomes = [outcome_of(folder / "results", NAME) for folder in folders]
    assert differences(outcomes[1], outcomes[0]) == Differences()
    results = folders[1] / "results"
    found = read_results(results, NAME)
    assert found.race is not None
    assert found.race.is_over
    assert {len(method.runs) for method in found.methods} == {found.race.seeds}
    told = whole.stdout
    assert "2 to 7 confirmation seeds" in told
    assert "of up to 16 rounds" in told
    assert "ecided" in told.splitlines()[-3]

    path = pfltune.certify(NAME, results=results)
    assert pfltune.verify(path, sample=0).holds
    _leave_out_a_seed(path)
    faults = pfltune.verify(path, sample=0).faults
    assert [fault for fault in faults if fault.endswith("is missing")]

    more = pfltune.extend(NAME, max_seeds=8, results=results)
    assert more.record.budget.most_seeds == 8
    states = {q.of[0]: (q.state, len(q.course)) for q in more.result.race.questions}
    told = zip(more.race["of"], more.race["state"], more.race["seeds"], strict=True)
    assert {of: (state, seeds) for of, state, seeds in told} == states


def _leave_out_a_seed(path) -> None:
    """Stop the race a seed early, as somebody might who liked its table better then."""
    whole = read_certificate(path)
    last = max(trial.index for trial in whole.trials if trial.stage == "confirm")
    kept = tuple(t for t in whole.trials if (t.stage, t.index) != ("confirm", last))
    table = table_of([row.method for row in whole.table], kept)
    whole.model_copy(update={"trials": kept, "table": table}).write(path)
