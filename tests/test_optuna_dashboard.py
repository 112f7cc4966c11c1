"""Optuna's own dashboard over an exported search, in a real browser."""

import json
import subprocess
import sys
import time
from types import SimpleNamespace
from urllib.request import urlopen

import numpy as np
import pytest
from browsers import DRIVER, WAIT_S, errors, headless, wait_for
from comparisons import Fake, record
from ports import free_port

import pfltune

SERVE = (
    "import sys, optuna_dashboard as d;"
    "d.run_server(sys.argv[1], host='127.0.0.1', port=int(sys.argv[2]))"
)
pytest.importorskip("optuna_dashboard")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(DRIVER is None, reason="no chromedriver; `make debian` installs it"),
]


@pytest.fixture
def served(tmp_path):
    """The address of a dashboard over the searches of two methods."""
    store = SimpleNamespace(results=tmp_path / "results")
    methods = {
        "fedperfix": Fake("FedPerfix", np.full((1, 2), 0.6), searched=(0.3, 0.7, 0.5), failed=1),
        "fedavg": Fake("FedAvg", np.full((1, 2), 0.5), searched=(0.4, 0.6)),
    }
    space = {"search": {"lr": [0.01, 10.0, True], "prefix": ["adapter", "tokens"]}}
    record(store, "mine", methods, mirrored=False, spaces=dict.fromkeys(methods, space))
    file = f"sqlite:///{tmp_path / 'studies.db'}"
    pfltune.export("mine", file, results=store.results)
    port = str(free_port())
    command = [sys.executable, "-c", SERVE, file, port]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(WAIT_S)


def answer(address):
    """What a server says, once it is there."""
    end = time.monotonic() + WAIT_S
    while True:
        try:
            with urlopen(address) as found:
                return json.load(found)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def test_optunas_dashboard_shows_the_searches(served):
    """Its API has the trials, and its pages show them without an error."""
    studies = answer(f"{served}/api/studies")["study_summaries"]
    names = {each["study_name"]: each["study_id"] for each in studies}
    assert names.keys() == {"pfltune/mine/fedperfix", "pfltune/mine/fedavg"}
    number = names["pfltune/mine/fedperfix"]
    study = answer(f"{served}/api/studies/{number}")
    assert [trial["state"] for trial in study["trials"]] == ["Complete"] * 3 + ["Fail"]
    assert {each["name"] for each in study["union_search_space"]} == {"lr", "prefix"}
    with headless() as browser:
        browser.get(f"{served}/dashboard/studies/{number}")
        shown = wait_for(browser, "Best Trial (number=1)", "Hyperparameter Importance")
        assert "pfltune/mine/fedperfix" in shown
        browser.get(f"{served}/dashboard/studies/{number}/trials")
        assert "4 Trials" in wait_for(browser, "Trial 3", "Intermediate Values")
        assert errors(browser) == []
