"""Certificates: a stranger's table is checked, and what was forged in it is found."""

import json
import shutil

import numpy as np
import pytest
from comparisons import Fake, record
from trained import compare_small

import pfltune
from pfltune.audit.certificate import canonical, read_certificate
from pfltune.audit.draw import drawn
from pfltune.audit.issue import _without_folder
from pfltune.audit.kept import first_of_the_best
from pfltune.audit.table import table_of
from pfltune.budget import Budget
from pfltune.errors import UserError
from pfltune.record import Change
from pfltune.registry import short_name
from pfltune.report.results import read_results
from pfltune.seal import digest
from pfltune.tracking.journal import JOURNAL

pytestmark = pytest.mark.usefixtures("png_alone")

FRAGILE = '''
from dataclasses import dataclass
from pathlib import Path

from pfltune import Method, knob

Path(__file__).with_suffix(".ran").touch()


@dataclass(frozen=True, kw_only=True)
class Fragile(Method):
    """FedAvg that breaks in some moods."""

    mood: str = knob("calm", choices=("calm", "angry"), doc="whether it breaks")

    def aggregate(self, server, updates, work):
        if self.mood == "angry":
            raise RuntimeError("it broke")
        return super().aggregate(server, updates, work)
'''
SPACE = """
search:
  lr: {}
  mood: {}
start:
  - {lr: 0.05, mood: calm}
  - {lr: 0.05, mood: angry}
"""
TEST, VAL = "selected/test_accuracy", "selected/val_accuracy"


@pytest.fixture(scope="module")
def fragile(tmp_path_factory):
    """The file of a method of its author's, one of whose search trials fails."""
    path = tmp_path_factory.mktemp("author") / "fragile.py"
    path.write_text(FRAGILE)
    path.with_suffix(".yaml").write_text(SPACE)
    return path


@pytest.fixture(scope="module")
def results(tmp_path_factory, fragile):
    """A results folder with a comparison of a built-in method and a stranger's."""
    folder = tmp_path_factory.mktemp("certified") / "results"
    budget = Budget(trials=4, generation=2, eta=2, seeds=2)
    compare_small(folder, "both", ["fedavg", f"{fragile}:Fragile"], budget)
    return folder


@pytest.fixture(scope="module")
def honest(results):
    """Its certificate."""
    return pfltune.certify("both", results=results)


@pytest.fixture(scope="module")
def check(fragile):
    """``check(path, **more)``: the verdict of a reviewer who has read the method's file."""

    def checked(path, **more):
        return pfltune.verify(path, **{"methods": f"{fragile}:Fragile", "sample": 0, **more})

    return checked


@pytest.fixture
def forged(honest, tmp_path):
    """``forged(change)``: a certificate that a forger has changed, and sealed again."""

    def forge(change):
        content = json.loads(honest.read_text())
        del content["digest"]
        change(content, {name_of(trial): trial for trial in content["trials"]})
        path = tmp_path / "forged.json"
        path.write_bytes(canonical({**content, "digest": digest(canonical(content))}))
        return path

    return forge


def name_of(trial):
    return f"{trial['method']}-{trial['stage']}-{trial['index']}"


def retabled(content):
    """Let the table follow from forged trials."""
    from pfltune.audit.certificate import CertifiedTrial

    trials = [CertifiedTrial.model_validate(trial) for trial in content["trials"]]
    table = table_of([row["method"] for row in content["table"]], trials)
    content["table"] = [row.model_dump(mode="json") for row in table]


def raised_test(content, trials):
    trials["fedavg-confirm-1"]["figures"][TEST] += 0.3
    retabled(content)


def test_an_honest_certificate_holds_to_the_last_bit(honest, check):
    told = []
    verdict = check(honest, sample=100, progress=told.append)
    assert verdict.holds
    assert verdict.exact
    assert {each.answer for each in verdict.checks} == {"matches"}
    assert len(verdict.checks) == len(read_certificate(honest).trials) == 12
    assert told[-1] == verdict.line
    assert "fedavg-search-0: matches: bit for bit" in told


def test_it_has_failed_and_stopped_trials_and_the_table_of_the_report(honest, results):
    certificate, found = read_certificate(honest), read_results(results, "both")
    assert {t.outcome for t in certificate.trials} == {"finished", "stopped early", "failed"}
    for row in certificate.table:
        method = next(each for each in found.methods if each.name == row.method)
        assert row.figures[TEST] == pytest.approx(method.mean(TEST), rel=1e-12)
        assert row.figures["seeds/std"] == pytest.approx(method.std(TEST), rel=1e-12)
        assert row.figures["comm/total_mb"] == method.mean("comm/total_mb")


def test_it_is_small_and_tells_no_place_of_its_author(honest, fragile):
    text = honest.read_text()
    assert len(text) < 20_000
    assert str(fragile.parent) not in text
    assert "a/place/of" not in text
    assert "fragile.py:Fragile" in text


def test_a_second_one_differs_in_its_time_only(honest, results, tmp_path):
    again = pfltune.certify("both", results=results, out=tmp_path / "again.json")
    one, two = read_certificate(honest), read_certificate(again)
    assert two.model_copy(update={"issued": one.issued}) == one


def other_accuracy(content, trials):
    content["table"][0]["figures"][TEST] += 0.01


def other_round(content, trials):
    figures = trials["fedavg-confirm-0"]["figures"]
    figures["selected/round"] = 1 + figures["selected/round"] % 4


def other_val(content, trials):
    trials["fedavg-confirm-0"]["figures"][VAL] += 0.01
    retabled(content)


def other_knob(content, trials):
    trials["fedavg-search-3"]["knobs"]["lr"] *= 1.5


def other_winner(content, trials):
    for index in (0, 1):
        trials[f"fedavg-confirm-{index}"]["knobs"]["lr"] *= 1.5


def other_seed(content, trials):
    trials["fedavg-confirm-0"]["seed"] += 1
    retabled(content)


def missing_trial(content, trials):
    content["trials"].remove(trials["fedavg-search-2"])


def third_seed(content, trials):
    content["trials"].append({**trials["fedavg-confirm-0"], "index": 2})
    retabled(content)


def twice(content, trials):
    content["trials"].append(trials["fedavg-search-0"])


def other_halving(content, trials):
    stopped = next(t for t in trials.values() if t["outcome"] == "stopped early")
    stopped["scores"] = [0.99] * len(stopped["scores"])


def falling(content, trials):
    trials["fedavg-search-0"]["scores"][1] = -1.0


def too_long(content, trials):
    trials["fedavg-confirm-0"]["scores"].append(0.999)


def unfinished(content, trials):
    trials["fedavg-confirm-0"]["scores"].pop()


def no_row(content, trials):
    content["table"].pop()


def other_range(content, trials):
    content["record"]["spaces"]["fedavg"]["search"]["lr"][1] = 0.9


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (other_accuracy, "table's fedavg"),
        (other_round, "fedavg-confirm-0 chose round"),
        (other_val, "fedavg-confirm-0 has another validation"),
        (other_knob, "fedavg-search-3 has lr="),
        (other_winner, "fedavg-confirm-1 has lr="),
        (other_seed, "fedavg-confirm-0 has seed"),
        (missing_trial, "fedavg-search-2"),
        (third_seed, "fedavg-confirm-2"),
        (twice, "fedavg-search-0 stands in it twice"),
        (other_halving, "should have gone on"),
        (falling, "fedavg-search-0 has scores that fall"),
        (too_long, "fedavg-confirm-0 has 5 rounds of 4"),
        (unfinished, "fedavg-confirm-0 finished after 3 rounds of 4"),
        (no_row, "table has other rows"),
        (other_range, "search space of fedavg"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_contradicts_itself_is_found_without_training(forged, check, change, word):
    verdict = check(forged(change))
    assert not verdict.holds
    assert word in "\n".join(verdict.faults)


def test_a_best_round_that_was_never_evaluated_is_a_fault_and_no_crash():
    assert first_of_the_best([0.1, 0.4, 0.4], [1, 3]) == 3
    assert first_of_the_best([0.1, 0.4], [1]) is None


def no_rounds(content, trials):
    trials["fedavg-confirm-0"]["scores"] = []


def no_round_chosen(content, trials):
    del trials["fedavg-confirm-0"]["figures"]["selected/round"]


def chosen_by_nobody(content, trials):
    content["record"]["chosen"] = {"fedavg": []}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (no_rounds, "finished without a round"),
        (no_round_chosen, "finished without selected/round"),
        (chosen_by_nobody, "chosen has 0 of fedavg, and there are 1"),
    ],
)
def test_what_no_trial_can_be_is_refused_in_a_line(forged, check, change, word):
    with pytest.raises(UserError, match=word) as told:
        check(forged(change))
    assert "\n" not in str(told.value)


def other_curve(content, trials):
    trials["fedavg-confirm-1"]["curve"] = "0" * 32


def other_score(content, trials):
    scores = trials["fedavg-confirm-1"]["scores"]
    scores[0] -= 1e-9


def less_sent(content, trials):
    trials["fedavg-confirm-1"]["figures"]["comm/total_mb"] /= 2
    retabled(content)


@pytest.mark.thorough
@pytest.mark.parametrize("change", [raised_test, other_curve, other_score, less_sent])
def test_a_forged_number_is_found_when_its_trial_is_drawn(forged, check, change):
    path = forged(change)
    assert check(path).holds, "without training nothing contradicts it"
    assert check(path, trials=["fedavg-confirm-0"]).holds, "another trial is honest"
    verdict = check(path, trials=["fedavg-confirm-1"])
    assert not verdict.holds
    assert [each.answer for each in verdict.checks] == ["differs"]
    drawn_all = check(path, sample=12)
    assert [c.trial for c in drawn_all.checks if c.answer == "differs"] == ["fedavg-confirm-1"]


def hidden_failure(content, trials):
    failed = next(t for t in trials.values() if t["outcome"] == "failed")
    failed["knobs"]["mood"] = "calm"


def test_a_trial_that_does_not_fail_again_is_found(forged, check, honest):
    failed = next(t.name for t in read_certificate(honest).trials if t.outcome == "failed")
    verdict = check(forged(hidden_failure), trials=[failed])
    assert "did not fail" in verdict.checks[0].words


def other_processor(content, trials):
    content["record"]["program"]["processor"] = "an abacus"


def test_on_another_processor_figures_are_held_within_stated_bounds(forged, check):
    told = []
    verdict = check(forged(other_processor), sample=100, progress=told.append)
    assert verdict.holds
    assert not verdict.exact
    assert {each.answer for each in verdict.checks} == {"within bounds"}
    assert any("the processor was an abacus" in line for line in told)
    assert any("within bounds: validation accuracy ±" in line for line in told)


@pytest.mark.parametrize(("change", "word"), [(raised_test, "test"), (less_sent, "comm/total_mb")])
def test_beyond_the_bounds_is_found(forged, check, change, word):
    def both(content, trials):
        other_processor(content, trials)
        change(content, trials)

    (found,) = check(forged(both), trials=["fedavg-confirm-1"]).checks
    assert found.answer == "differs"
    assert word in found.words


def test_another_optuna_leaves_the_suggestions_unchecked_and_says_so(forged, check):
    def change(content, trials):
        content["record"]["program"]["versions"]["optuna"] = "1.0"
        other_knob(content, trials)

    told = []
    assert check(forged(change), progress=told.append).holds
    assert "Suggestions of the search are taken as they are" in told


def test_other_code_is_refused_or_held_within_bounds(forged, check):
    def change(content, trials):
        content["record"]["program"]["source"]["pfltune itself"] = "0" * 32

    with pytest.raises(UserError, match="the code of pfltune itself is another here"):
        check(forged(change))
    verdict = check(forged(change), accept_new_code=True, trials=["fedavg-confirm-0"])
    assert verdict.holds
    assert not verdict.exact


def test_a_strangers_method_is_run_only_where_the_reviewer_names_it(honest, tmp_path):
    with pytest.raises(UserError, match=r"fragile is code .* --methods path/to/fragile.py:Fragile"):
        pfltune.verify(honest, sample=0)
    other = tmp_path / "fragile.py"
    other.write_text(FRAGILE + "\n# harmless\n")
    with pytest.raises(UserError, match="is not the file"):
        pfltune.verify(honest, sample=0, methods=f"{other}:Fragile")
    assert not other.with_suffix(".ran").exists()
    with pytest.raises(UserError, match="unknown method of the certificate 'fedper'"):
        pfltune.verify(honest, sample=0, methods="fedper")


def test_code_that_its_scenario_names_is_not_run(forged, check, tmp_path):
    trap = tmp_path / "trap.py"
    trap.write_text("from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\n")

    def change(content, trials):
        content["record"]["scenario"]["data"]["name"] = f"{trap}:Trap"

    with pytest.raises(UserError, match=r"data.name is code of whoever wrote"):
        check(forged(change))
    assert not trap.with_suffix(".ran").exists()


def test_other_data_is_another_experiment(honest, check):
    with pytest.raises(UserError, match="another experiment"):
        check(honest, overrides=["data_seed=1"])


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda data: data[: len(data) // 2], "only a part"),
        (lambda data: data.replace(b"fedavg", b"fedavh"), "not what pfltune wrote"),
        (lambda data: b"no json", "no certificate"),
        (lambda data: b"[1]", "no certificate"),
        (lambda data: b"{}", "no certificate"),
        (lambda data: data.replace(b'"format":1', b'"format":NaN'), "NaN"),
        (lambda data: b'{"kind":"pfltune certificate","record":7}', "no certificate"),
        (lambda data: b"\xff", "no certificate"),
        (lambda data: b"[" * 100_000, "no certificate"),
    ],
)
def test_what_is_no_certificate_is_told_in_a_line(honest, tmp_path, damage, word):
    path = tmp_path / "damaged.json"
    path.write_bytes(damage(honest.read_bytes()))
    with pytest.raises(UserError, match=word) as told:
        pfltune.verify(path)
    assert "\n" not in str(told.value)


def test_a_missing_file_and_an_unknown_trial_are_told(honest, check, tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        pfltune.verify(tmp_path / "nothing.json")
    with pytest.raises(UserError, match="unknown trial 'fedavg-confirm-9'"):
        check(honest, trials=["fedavg-confirm-9"])


def test_a_draw_repeats_with_its_seed_and_leaves_no_method_out(honest):
    trials = read_certificate(honest).trials
    one, same, other = (drawn(trials, 4, seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert sorted(trial.method for trial in one) == ["fedavg"] * 2 + ["fragile"] * 2
    every = drawn(trials, 99, 3)
    assert sorted(t.name for t in every) == sorted(t.name for t in trials)
    assert drawn(trials, 0, 3) == []


def test_what_a_machine_ended_is_not_drawn(forged, check, honest):
    failed = next(t.name for t in read_certificate(honest).trials if t.outcome == "failed")

    def change(content, trials):
        trials[failed]["own_fault"] = False

    path = forged(change)
    assert failed not in [t.name for t in drawn(read_certificate(path).trials, 99, 0)]
    (found,) = check(path, trials=[failed]).checks
    assert found.answer == "not checked"


def test_one_method_and_one_seed(tmp_path):
    budget = Budget(trials=1, generation=1, seeds=1)
    compare_small(tmp_path, "one", ["local[lr=0.05]"], budget)
    path = pfltune.certify("one", results=tmp_path)
    (row,) = read_certificate(path).table
    assert "seeds/std" not in row.figures
    verdict = pfltune.verify(path, sample=1, seed=0)
    assert verdict.holds
    assert len(verdict.checks) == 1


def test_a_table_over_studies_says_how_many_there_are(tmp_path):
    budget = Budget(trials=1, generation=1, seeds=2, studies=2)
    compare_small(tmp_path, "twice", ["local[lr=0.05]"], budget)
    path, told = pfltune.certify("twice", results=tmp_path), []
    assert pfltune.verify(path, sample=0, progress=told.append).holds
    (row,) = (line for line in told if line.startswith("  local"))
    assert row.endswith("2 studies with 2 seeds")


def test_what_has_not_ended_or_changed_hands_is_refused(tmp_path):
    from pfltune.tracking.store import Store

    store = Store(tmp_path)
    fake = {"fedavg": Fake("FedAvg", np.full((2, 3), 0.5))}
    bare = {"mirrored": False}
    record(store, "running", fake, over=False, **bare)
    changed = (Change(at="2026-11-26", differences=("torch",)),)
    record(store, "changed", fake, changes=changed, **bare)
    record(store, "damaged", fake, **bare)
    with (tmp_path / "damaged" / JOURNAL).open("ab") as file:
        file.write(b"torn")
    for name, word in (("running", "not ended"), ("changed", "another program")):
        with pytest.raises(UserError, match=word):
            pfltune.certify(name, results=tmp_path)
    with pytest.raises(UserError, match="damaged cannot be certified"):
        pfltune.certify("damaged", results=tmp_path)
    assert not list(tmp_path.glob("*/certificate.json"))


def test_no_file_of_somebody_else_is_written_over(honest, results, tmp_path):
    own = tmp_path / "mine.json"
    own.write_text("mine")
    with pytest.raises(UserError, match="name another --out"):
        pfltune.certify("both", results=results, out=own)
    assert own.read_text() == "mine"
    shutil.copy(honest, own)
    assert pfltune.certify("both", results=results, out=own) == own


def test_the_command_line_says_it_line_by_line_and_by_its_exit_code(
    called, forged, results, honest, fragile, tmp_path
):
    code, out, _ = called("certify", "both", "--results", str(results))
    assert code == 0
    assert "certificate.json" in out
    methods = ["--methods", f"{fragile}:Fragile"]
    words = ["--trial", "fedavg-confirm-1", *methods]
    code, out, _ = called("verify", str(honest), *words)
    assert code == 0, out
    assert "fedavg-confirm-1: matches: bit for bit" in out
    code, out, _ = called("verify", str(forged(raised_test)), *words, "--json")
    assert code == 1
    assert json.loads(out)["holds"] is False
    code, _, err = called("verify", str(tmp_path / "none.json"))
    assert code == 2
    assert err.count("\n") == 1


def test_a_file_whose_name_has_a_plus_keeps_its_method_without_its_folder():
    assert short_name(_without_folder("/x/fed+avg.py:Mine")) == short_name("/x/fed+avg.py:Mine")
    assert _without_folder("/x/y.py:Mine") == "y.py:Mine"
