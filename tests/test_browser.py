"""Pages as a browser shows them: the report from a file, and MLflow's for a comparison."""

import re
import subprocess
import sys
from pathlib import Path

import browsed
import comparisons
import numpy as np
import pytest
import tunings
from browsers import DRIVER, WAIT_S, errors, headless, wait_for
from ports import free_port

from pfltune.report.analysis import analyse
from pfltune.report.attachment import attach_report
from pfltune.report.writer import write_report
from pfltune.tracking.store import Store
from pfltune.tracking.views import Views, page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(DRIVER is None, reason="no chromedriver; `make debian` installs it"),
]
PFLTUNE = str(Path(sys.executable).with_name("pfltune"))


@pytest.fixture(scope="module")
def results(cold_store, tmp_path_factory):
    """Three methods, four seeds, eight clients, reported; a search and a grid. MLflow has them."""
    folder = tmp_path_factory.mktemp("browser") / "results"
    store, rng = cold_store(folder), np.random.default_rng(0)
    methods = {
        name: comparisons.Fake(title, level + 0.1 * rng.random((4, 8)), up_mb=size)
        for name, title, level, size in (
            ("alpha", "Alpha", 0.7, 2.0), ("beta", "Beta", 0.6, 1.0), ("gamma", "Gamma", 0.5, 0.0),
        )
    }  # fmt: skip
    comparisons.record(store, "pages", methods)
    views = Views("tune", {browsed.METHOD: browsed.SPACE}, (browsed.RUNG,))
    browsed.write(store, "tuned", "tune", views, "search", browsed.SEARCH)
    cells = Views("grid", {browsed.METHOD: (browsed.LR, browsed.LENGTH)})
    browsed.write(store, "cells", "tune", cells, "grid", browsed.GRID)
    analysis = analyse(write_report(folder, "pages"))
    attach_report(folder, analysis, folder / "pages" / "report", pytest.fail)
    return folder


@pytest.fixture(scope="module")
def window():
    with headless() as driver:
        yield driver


@pytest.fixture
def browser(window):
    """A window so high that MLflow draws all charts of a view: it leaves out what is below."""
    window.set_window_size(1700, 2600)
    return window


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


@pytest.mark.parametrize("width", [1600, 1000])
def test_the_page_of_a_tuning_answers_first_and_fits(tmp_path, browser, width):
    tunings.write(tmp_path, "look", tunings.chosen())
    write_report(tmp_path, "look")
    browser.set_window_size(width, 1000)
    browser.get((tmp_path / "look" / "report" / "report.html").as_uri())
    shown = wait_for(browser, "FedPerfix: lr = ", "Next.")
    assert shown.index("Test accuracy 65.00 ± 1.00 %") < shown.index("The best configurations")
    first = browser.execute_script(
        "const table = document.querySelector('table');"
        "const read = row => [...row.cells].map(cell => cell.innerText.trim());"
        "return [read(table.tHead.rows[0]), read(table.tBodies[0].rows[0])]"
    )
    row = dict(zip(*first, strict=True))
    assert row["trial"].endswith("chosen")
    assert float(row["lr"]) > 0
    assert row["prefix_length"].isdigit()
    drawn = browser.execute_script(
        "return [...document.images].map(i => [i.alt, i.complete && i.naturalWidth > 0,"
        "i.getBoundingClientRect().right <= window.innerWidth])"
    )
    assert any("slices" in alt and "prefix_length" in alt and "lr" in alt for alt, *_ in drawn)
    assert any("contour" in alt and "prefix_length" in alt and "lr" in alt for alt, *_ in drawn)
    assert all(is_there and fits for _, is_there, fits in drawn)
    assert not browser.execute_script(
        "return document.documentElement.scrollWidth > window.innerWidth"
    )
    assert errors(browser) == []


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


def address(served: str, store: Store, name: str, view: str, charts: bool = True) -> str:
    """Where a view of an experiment is opened, as charts or as a table."""
    experiment = store.client.get_experiment_by_name(name).experiment_id
    mode = "CHART" if charts else "TABLE"
    return served.partition("/#")[0] + re.sub(r"(?<=Mode=)\w+", mode, page(experiment, view))


def cards(browser) -> dict[str, list[list[str]]]:
    """The lines of each chart below the headings that are not folded."""
    found = browser.execute_script(
        """
        const test = name => `[data-testid=experiment-view-compare-runs-${name}]`;
        const text = element => element.innerText.split('\\n');
        return [...document.querySelectorAll('[class*=collapse-item-active]')].map(part =>
            [text(part.querySelector(test('section-header')))[0],
             [...part.querySelectorAll(test('card'))].map(text)]);
        """
    )
    return dict(found)


def rows(browser) -> list[str]:
    """What the table of runs says, row by row; MLflow keeps the names in a part of its own."""
    return browser.execute_script(
        """
        const found = {};
        for (const row of document.querySelectorAll('.ag-row'))
            (found[row.getAttribute('row-index')] ??= []).push(row.innerText);
        return Object.keys(found).sort((a, b) => a - b).map(row => found[row].join(' '));
        """
    )


def test_mlflow_shows_the_trials_in_a_view_of_their_own(served, browser, results):
    browser.get(address(served, Store(results), "pages", "trials", charts=False))
    wait_for(browser, "alpha-search-0", "gamma-confirm-0", "val/best_accuracy")
    assert errors(browser) == []


def test_mlflow_draws_what_methods_learn(served, browser, results):
    """A curve and a point for each method: groups of its confirmation trials."""
    browser.get(address(served, Store(results), "pages", "curves"))
    shown = wait_for(browser, "Validation accuracy", "Test accuracy and MB", "gamma (val/accuracy)")
    drawn = cards(browser)
    by_round, by_mb = drawn["Validation accuracy"]
    assert {"Step", "alpha (val/accuracy)", "gamma (val/accuracy)"} <= set(by_round)
    assert {"comm/total_mb", "alpha (val/accuracy)"} <= set(by_mb)
    points, bars = drawn["Test accuracy and MB"]
    assert {"comm/total_mb", "selected/test_accuracy", "alpha", "beta", "gamma"} <= set(points)
    assert {"selected/test_accuracy", "alpha", "gamma"} <= set(bars)
    assert "-search-" not in shown
    assert errors(browser) == []


def test_mlflow_draws_what_a_search_found_at_equal_rounds(served, browser, results):
    store = Store(results)
    browser.get(address(served, store, "tuned", "tuning"))
    wait_for(browser, "prefix=tokens", "prefix_length vs. lr vs. val/best_at_round_3", "rounds")
    drawn = cards(browser)
    assert list(drawn)[:3] == ["All trials", "prefix=tokens", "prefix=adapter"]
    lines, plane = drawn["prefix=tokens"]
    assert {"prefix_length", "lr", "rounds", "val/best_accuracy"} <= set(lines)
    assert plane[0] == "prefix_length vs. lr vs. val/best_at_round_3"
    assert {"prefix_length", "lr", "alpha-search-0"} <= set(plane)
    assert drawn["All trials"][0][0] == "Parallel Coordinates"
    assert errors(browser) == []

    browser.get(address(served, store, "tuned", "tuning", charts=False))
    wait_for(browser, "selected/val_accuracy", "alpha-search-5", "prefix_length")
    names = re.findall(r"alpha-search-\d", " ".join(rows(browser)))
    assert names[:2] == ["alpha-search-1", "alpha-search-0"], (
        "the full ones first, the best at the top"
    )


def test_mlflow_draws_the_cells_of_a_grid(served, browser, results):
    """The mean over the seeds of each."""
    browser.get(address(served, Store(results), "cells", "grid"))
    wait_for(browser, "Means over seeds", "prefix_length vs. lr vs. selected/val_accuracy")
    plane, bars = cards(browser)["Means over seeds"]
    assert plane[0] == "prefix_length vs. lr vs. selected/val_accuracy"
    assert {"prefix_length", "lr"} <= set(plane)
    assert bars[0] == "selected/val_accuracy"
    assert errors(browser) == []


def test_the_menu_of_mlflow_has_the_views_in_their_order(served, browser, results):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser.get(address(served, Store(results), "tuned", "methods", charts=False))
    wait_for(browser, "methods", "alpha")
    menu = browser.find_element(By.CSS_SELECTOR, "[data-testid=saved-views-trigger]")
    menu.send_keys(Keys.ENTER)
    shown = wait_for(browser, "curves", "tuning", "trials")
    assert shown.index("curves") < shown.index("tuning") < shown.index("trials")
