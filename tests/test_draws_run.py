"""Draws of clients as they are run: killed, resumed, extended, with any number of workers."""

import json

import pytest

import pfltune
from pfltune.audit.verify import verified
from pfltune.draws import Draws, read_draws
from pfltune.errors import UserError
from pfltune.record import read_record
from pfltune.tracking.runs import own_experiment
from pfltune.tracking.store import Store

COUNTED = '''
from dataclasses import dataclass
from pathlib import Path

from pfltune.methods.fedavg import FedAvg


@dataclass(frozen=True, kw_only=True)
class Counted(FedAvg):
    """Federated averaging that writes down each round that it trains."""

    def aggregate(self, server, uploads, work):
        with Path({path!r}).open("a") as file:
            file.write("round\\n")
        return super().aggregate(server, uploads, work)
'''
ROUNDS = 2
SMALL = [f"protocol.rounds={ROUNDS}", "protocol.evaluate_every=1", "warm_start.epochs=1"]
BUDGET = {"trials": 2, "generation": 2, "eta": 2}
PLAIN = {"precision": "float32", "device": "cpu"}
CLOCKS = ("time/", "memory/")


def told(found):
    """All that is said of methods, trials and clients on each draw, but for clocks."""
    return [
        (name, method.name, method.best, len(method.searched), [of_run(r) for r in method.runs])
        for name, draw in found.draws.items()
        for method in draw.result.methods
    ]


def of_run(run):
    return (
        *(run.seed, run.val, run.test, run.clients),
        *(unclocked(run.curves), unclocked(run.metrics)),
    )


def unclocked(figures):
    return {name: told for name, told in figures.items() if not name.startswith(CLOCKS)}


def killed_at(call, monkeypatch):
    """Have the comparison interrupted when it has written the record of the draw of this number."""
    calls = []

    def interrupted(*_):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt

    monkeypatch.setattr("pfltune.running.opening.claim", interrupted)


@pytest.mark.slow
@pytest.mark.usefixtures("inline", "png_alone")
def test_the_same_table_comes_out_killed_and_extended_or_at_once(tmp_path, monkeypatch, called):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    path = tmp_path / "rounds.txt"
    (tmp_path / "counted.py").write_text(COUNTED.format(path=str(path)))
    methods = [f"{tmp_path / 'counted.py'}:Counted", "local"]

    def trained():
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return len(lines)

    steps = {"results": tmp_path / "steps"}
    asked = {"overrides": SMALL, **BUDGET, **PLAIN, "partitions": 2, "seeds": 1, "name": "d"}
    with monkeypatch.context() as patch:
        killed_at(2, patch)
        with pytest.raises(KeyboardInterrupt):
            pfltune.compare(methods, **asked, **steps, workers=1)
    assert read_record(tmp_path / "steps" / "d.data_seed-1").chosen.keys() == {"counted", "local"}
    found = pfltune.compare(resume="d", **steps, workers=2)
    assert list(found.draws) == ["data_seed=0", "data_seed=1"]
    assert "won" in found._repr_html_()

    trained()
    extended = pfltune.extend("d", partitions=3, seeds=2, **steps)
    assert trained() == (1 + 1 + 2) * ROUNDS, "a seed on each known draw, two on the new one"
    assert not extended.missing
    again = pfltune.compare(resume="d", **steps)
    assert trained() == 0, "what has ended is not run again"
    assert told(again) == told(extended)

    flags = [f"--{key}={value}" for key, value in {**BUDGET, **PLAIN}.items()]
    flags += [each for override in SMALL for each in ("-o", override)]
    at_once = ("--partitions=3", "--seeds=2", "--workers=4", "--name=d", "--json")
    place = ("--results", str(tmp_path / "whole"), "--methods", ",".join(methods))
    code, printed, errors = called("compare", *flags, *at_once, *place)
    assert code == 0, errors
    whole = pfltune.load_results("d", results=tmp_path / "whole")
    assert told(whole) == told(extended)
    summaries = [r.parent / "summary.csv" for r in (whole.report, extended.report)]
    assert summaries[0].read_bytes() == summaries[1].read_bytes()
    shown = json.loads(printed)
    assert [draw["data_seed"] for draw in shown["draws"]] == [0, 1, 2]
    assert [row["method"] for row in shown["methods"]] == [m.name for m in whole.found.methods]

    store = Store(tmp_path / "whole")
    for told_of, draw in zip(shown["draws"], whole.draws.values(), strict=True):
        experiment = own_experiment(store, draw.name, draw.record.id)
        assert experiment.tags["pfltune.draws"] == "d"
        assert experiment.tags["pfltune.data_seed"] == str(told_of["data_seed"])

    for name in ("d.data_seed-0", "d.data_seed-2"):
        certificate = pfltune.certify(name, results=tmp_path / "whole")
        verdict = verified(certificate, print, sample=0, methods=methods[:1])
        assert verdict.holds, "what is certified of a draw follows from its scores"


@pytest.mark.parametrize("tune_each", [False, True])
def test_draws_of_which_none_can_begin_leave_their_folder_as_it_was(tmp_path, tune_each):
    """No Ray is started for draws that wait for one that cannot begin."""
    asked = {"overrides": SMALL, "name": "d", "results": tmp_path, **BUDGET, **PLAIN}
    names = ("d.data_seed-0", "d.data_seed-1") if tune_each else ("d.data_seed-0",)
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"notes\.txt"):
        pfltune.compare(["fedavg"], partitions=2, tune_each=tune_each, **asked)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    Draws(name="d", first=0, partitions=2, tune_each=tune_each).write(tmp_path / "d")
    with pytest.raises(UserError, match=r"notes\.txt"):
        pfltune.compare(["fedavg"], partitions=2, tune_each=tune_each, **asked)
    assert read_draws(tmp_path / "d").partitions == 2


def test_draws_that_cannot_begin_leave_nothing(tmp_path):
    with pytest.raises(UserError, match="alpha"):
        pfltune.compare(overrides={"partition.alpha": -1}, partitions=2, name="d", results=tmp_path)
    assert not (tmp_path / "d").exists()
    with pytest.raises(UserError, match="a sweep is over one partition"):
        pfltune.sweep(overrides={"partition.alpha": [0.1, 1.0]}, partitions=2, results=tmp_path)
    assert read_draws(tmp_path / "d") is None
