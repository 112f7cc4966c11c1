"""A browser for tests, and what it shows."""

import shutil
from contextlib import contextmanager

import pytest

pytest.importorskip("selenium")
DRIVER = shutil.which("chromedriver")
WAIT_S = 300
# MLflow asks itself for a user, whom a server without log-in does not know, and lays its charts out
# until they fit, which a browser remarks on.
MLFLOWS_OWN = ("mlflow/users/current", "ResizeObserver loop")


@contextmanager
def headless(width: int = 1700, height: int = 1000):
    """A browser without a window."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--window-size={width},{height}",
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(WAIT_S)
    try:
        yield driver
    finally:
        driver.quit()


def wait_for(browser, *texts: str) -> str:
    """The text of the page once it holds all of ``texts``."""
    from selenium.webdriver.support.ui import WebDriverWait

    def read(driver) -> str:
        return driver.execute_script("return document.body.innerText")

    WebDriverWait(browser, WAIT_S).until(lambda d: all(text in read(d) for text in texts))
    return read(browser)


def errors(browser) -> list[str]:
    """What the browser's console tells of errors."""
    told = [each for each in browser.get_log("browser") if each["level"] == "SEVERE"]
    return [e["message"] for e in told if not any(own in e["message"] for own in MLFLOWS_OWN)]
