"""Pages as a browser shows them: the report from a file, and MLflow's for a comparison."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import comparisons
import numpy as np
import pytest
from ports import free_port

from pfltune.report.analysis import analyse
from pfltune.report.attachment import attach_report
from pfltune.report.writer import write_report
from pfltune.tracking.store import Store
from pfltune.tracking.views import TRIALS, page

selenium = pytest.importorskip("selenium")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(DRIVER is None, reason="no chromedriver; `make debian` installs it"),
]
PFLTUNE = str(Path(sys.executable).with_name("pfltune"))
WAIT_S = 300
# MLflow asks itself for a user, whom a server without log-in does not know.
MLFLOWS_OWN = ("mlflow/users/current",)


@pytest.fixture(scope="module")
def results(cold_store, tmp_path_factory):
    """Three methods, four seeds, eight clients, written by the mirror and reported."""
    folder = tmp_path_factory.mktemp("browser") / "results"
    store, rng = cold_store(folder), np.random.default_rng(0)
    methods = {
        name: comparisons.Fake(title, level + 0.1 * rng.random((4, 8)), up_mb=size)
        for name, title, level, size in (
            ("alpha", "Alpha", 0.7, 2.0), ("beta", "Beta", 0.6, 1.0), ("gamma", "Gamma", 0.5, 0.0),
        )
    }  # fmt: skip
    comparisons.record(store, "pages", methods)
    attach_report(
        folder, analyse(write_report(folder, "pages")), folder / "pages" / "report", pytest.fail
    )
    return folder


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--window-size=1700,1000",
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(WAIT_S)
    yield driver
    driver.quit()


def wait_for(browser, *texts: str) -> str:
    """The text of the page once it holds all of ``texts``."""
    from selenium.webdriver.support.ui import WebDriverWait

    def read(driver) -> str:
        return driver.execute_script("return document.body.innerText")

    WebDriverWait(browser, WAIT_S).until(lambda d: all(text in read(d) for text in texts))
    return read(browser)


def errors(browser) -> list[str]:
    told = [each for each in browser.get_log("browser") if each["level"] == "SEVERE"]
    return [e["message"] for e in told if not any(own in e["message"] for own in MLFLOWS_OWN)]


def test_the_report_is_whole_and_works_from_a_file(results, browser):
    browser.get((results / "pages" / "report" / "report.html").as_uri())
    shown = wait_for(browser, "Alpha", "Beta", "Gamma")
    assert "test accuracy" in shown.lower()
    sizes = browser.execute_script(
        "return [...document.images].map(i => i.complete && i.naturalWidth)"
    )
    assert sizes, "there are figures"
    assert all(sizes), "and every one is shown"
    assert errors(browser) == []


def test_a_click_on_a_heading_sorts_the_table(results, browser):
    browser.get((results / "pages" / "report" / "report.html").as_uri())
    wait_for(browser, "Alpha")

    def first_column() -> list[str]:
        return browser.execute_script(
            "return [...document.querySelector('table').tBodies[0].rows]"
            ".map(row => row.cells[0].innerText)"
        )

    before = first_column()
    assert len(before) == 3
    heading = browser.execute_script("return document.querySelector('table thead th')")
    seen = []
    for _ in range(2):
        browser.execute_script(
            "(arguments[0].querySelector('button') ?? arguments[0]).click()", heading
        )
        seen.append(first_column())
    assert [sorted(order) for order in seen] == [sorted(before)] * 2
    assert seen[0] == seen[1][::-1], "once up, once down"


@pytest.fixture(scope="module")
def served(results):
    command = [PFLTUNE, "ui", "pages", "--port", str(free_port()), "--results", str(results)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    told = server.stdout.readline().split()
    try:
        for line in server.stdout:
            if "Application startup complete" in line:
                break
        yield told[2]
    finally:
        server.terminate()
        server.wait(WAIT_S)


def test_mlflow_opens_with_methods_accuracy_and_megabytes(served, browser):
    """Not in its GenAI pages with name, time and duration as the only columns."""
    browser.get(served)
    shown = wait_for(browser, "alpha", "beta", "gamma", "test/accuracy", "comm/total_mb")
    assert "alpha-search-0" not in shown, "trials are another view"
    assert shown.index("alpha") < shown.index("beta") < shown.index("gamma"), "the best first"
    assert errors(browser) == []


def test_mlflow_shows_the_trials_in_a_view_of_their_own(served, browser):
    experiment = served.partition("/experiments/")[2].partition("/")[0]
    browser.get(served.partition("/#")[0] + page(experiment, TRIALS))
    wait_for(browser, "alpha-search-0", "gamma-confirm-0", "val/best_accuracy")
    assert errors(browser) == []


def test_mlflow_draws_the_tuned_knobs_as_axes_of_numbers(served, browser, results):
    """Its parallel coordinates, of the trials that a search with two values had."""
    experiment = served.partition("/experiments/")[2].partition("/")[0]
    found = Store(results).client.search_runs(
        [experiment], "tags.stage = 'search' and tags.method = 'alpha'"
    )
    runs, of = (
        quote(json.dumps(ids)) for ids in ([run.info.run_id for run in found], [experiment])
    )
    browser.get(served.partition("/#")[0] + f"/#/compare-runs?runs={runs}&experiments={of}")
    wait_for(browser, "Parallel Coordinates Plot", "lr", "0.10000", "0.20000")
    assert errors(browser) == []
