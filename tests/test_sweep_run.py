"""A sweep as it is run: one pool, cells that share what they have in common, one that fails."""

import json

import pytest

import pfltune
from pfltune.errors import Halted, UserError
from pfltune.record import Record, read_record
from pfltune.studies.sweep import jobs_of, sweep_of
from pfltune.sweeps import Sweep, cells_of, read_sweep

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
SMALL = ["protocol.rounds=2", "protocol.evaluate_every=1", "warm_start.epochs=1"]
BUDGET = {"trials": 2, "generation": 2, "eta": 2, "seeds": 1}
PLAIN = {"precision": "float32", "device": "cpu", "workers": 1}
ROUNDS = 2 + 1 + 2
"""Of a cell and method: two trials to the rung after round 1, one to the end, a confirmation."""


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """A method's reference, and a function that says how many rounds it trained since."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    path = tmp_path / "rounds.txt"
    (tmp_path / "counted.py").write_text(COUNTED.format(path=str(path)))

    def count():
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return len(lines)

    return f"{tmp_path / 'counted.py'}:Counted", count


@pytest.mark.slow
@pytest.mark.usefixtures("inline", "png_alone")
def test_a_sweep_is_comparisons_of_which_one_may_fail(counted, tmp_path):
    method, count = counted
    here = {"results": tmp_path / "results", **PLAIN, **BUDGET}
    overrides = [*SMALL, "partition.alpha=0.5,-1,5.0"]
    with pytest.raises(Halted, match="1 of 3 cells could not run"):
        pfltune.sweep([method, "local"], overrides=overrides, name="s", **here)
    assert count() == 2 * ROUNDS
    found = pfltune.load_results("s", results=tmp_path / "results")
    assert found.cells.keys() == {"alpha=0.5", "alpha=5.0"}
    assert found.missing.keys() == {"s.alpha--1"}
    assert found.report.exists()
    assert len(found.table) == 4
    assert "alpha" in found._repr_html_()

    alone = pfltune.compare(
        [method, "local"], overrides=[*SMALL, "partition.alpha=5.0"], name="alone", **here
    )
    assert count() == 0, "a comparison finds the trials of a cell"
    cell = found.cells["alpha=5.0"].result
    assert [m.clients().tolist() for m in alone.result.methods] == [
        m.clients().tolist() for m in cell.methods
    ]
    with pytest.raises(Halted, match="1 of 3 cells could not run"):
        pfltune.sweep(resume="s", results=tmp_path / "results")
    assert count() == 0, "what has ended is not run again"


def given(results, **more):
    return {"results": results, "methods": ["fedavg"], **PLAIN, **BUDGET, **more}


def record_of(job):
    program = {"source": {}, "files": {}, "versions": {}, "processor": "abacus"}
    return Record.model_validate({**job.recorded(), "program": program, "data": {"images": ""}})


def told(job):
    return record_of(job).model_dump(mode="json", exclude={"id"})


def test_cells_that_have_not_begun_are_begun_as_those_that_have(tmp_path):
    asked = given(tmp_path, name="s", overrides=[*SMALL, "partition.alpha=0.5,5.0"], seed=3)
    sweep = sweep_of("compare", asked)
    sweep.write(tmp_path / "s")
    (first, second), failures = jobs_of(sweep, asked)
    assert not failures
    assert first.sweep == "s"
    record_of(first).write(first.folder)

    resumed = sweep_of("compare", {"resume": "s", "results": tmp_path})
    assert resumed == sweep == read_sweep(tmp_path / "s")
    (_, again), failures = jobs_of(resumed, {"resume": "s", "results": tmp_path})
    assert not failures
    assert told(again) == told(second)
    assert read_record(second.folder) is None, "nothing was written"


def test_a_sweep_that_was_killed_before_its_first_cell_is_not_begun_with_other_methods(tmp_path):
    """Its record says which cells there are, and nothing of methods and trials."""
    sweep = sweep_of("compare", given(tmp_path, name="s", overrides=["partition.alpha=0.5,5.0"]))
    sweep.write(tmp_path / "s")
    with pytest.raises(UserError, match="nothing of s has begun; give its command as it was"):
        pfltune.sweep(resume="s", results=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize(
    ("scenario", "override"),
    [("own.yaml", "protocol.rounds=2"), ("digits", "data.name=theirs.py:Theirs")],
)
def test_a_strangers_sweep_runs_no_file_that_nobody_named(
    tmp_path, monkeypatch, scenario, override
):
    """Its record is data: a cell that has not begun names files that were never compared."""
    mark = tmp_path / "executed"
    (tmp_path / "theirs.py").write_text(f"open({str(mark)!r}, 'w')")
    (tmp_path / "own.yaml").write_text("data: {name: 'theirs.py:Theirs'}")
    monkeypatch.chdir(tmp_path)
    options = [override, "partition.alpha=0.5,5.0"]
    cells = cells_of("s", scenario, options)
    Sweep(name="s", command="compare", cells=cells).write(tmp_path / "s")
    resumed = {"resume": "s", "results": tmp_path}
    jobs, failures = jobs_of(sweep_of("compare", resumed), resumed)
    assert not jobs
    assert all("give --scenario and -o again" in why for why in failures.values())
    assert not mark.exists()


@pytest.mark.parametrize("name", ["../s", "a/b", "", "."])
def test_a_cell_whose_name_leads_elsewhere_is_damage(tmp_path, name):
    made = Sweep(name="s", command="compare", cells=cells_of("s", "digits", ["a.b=1,2"]))
    text = made.model_dump_json().replace("s.b-1", name)
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "sweep.json").write_text(text)
    with pytest.raises(UserError, match=r"sweep\.json is damaged"):
        read_sweep(tmp_path / "s")


def test_the_same_command_goes_on_and_another_is_refused(tmp_path):
    asked = given(tmp_path, name="s", overrides=["partition.alpha=0.5,5.0"])
    sweep = sweep_of("compare", asked)
    sweep.write(tmp_path / "s")
    assert sweep_of("compare", asked) == sweep
    for other in (["partition.alpha=0.5,6.0"], ["protocol.rounds=3"], []):
        with pytest.raises(UserError, match=r"s is a sweep over partition\.alpha=0\.5,5\.0"):
            sweep_of("compare", given(tmp_path, name="s", overrides=other))
    with pytest.raises(UserError, match="begun by another command"):
        sweep_of("tune", asked)


def test_a_sweep_of_which_no_cell_can_run_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match="no cell of s can run: "):
        pfltune.sweep(overrides={"partition.alpha": [-1, -2]}, name="s", results=tmp_path)
    assert not (tmp_path / "s").exists()


def test_python_takes_lists_where_the_command_line_has_commas(tmp_path, monkeypatch):
    plans = []

    def stop(plan, *_):
        plans.append(plan)
        raise UserError("so far")

    monkeypatch.setattr("pfltune.api.swept", stop)
    with pytest.raises(UserError, match="so far"):
        pfltune.sweep(
            scenario=["digits", "organamnist-small"],
            overrides={"partition.alpha": [0.1, 1.0], "protocol.rounds": 3},
            name="s",
            results=tmp_path,
        )
    assert [json.loads(cell.model_dump_json())["at"] for cell in plans[0].cells] == [
        {"scenario": scenario, "partition.alpha": alpha}
        for scenario in ("digits", "organamnist-small")
        for alpha in ("0.1", "1.0")
    ]
    with pytest.raises(UserError, match="nothing is swept"):
        pfltune.sweep(overrides={"protocol.rounds": 3}, results=tmp_path)
    with pytest.raises(UserError, match=r"call pfltune\.sweep"):
        pfltune.compare(overrides=["partition.alpha=0.1,1.0"], results=tmp_path)
