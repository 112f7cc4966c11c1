"""The documentation site, built as `make docs` does, by a process that has no network."""

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from pfltune.cli.app import COMMANDS
from pfltune.knobs import knobs_of
from pfltune.registry import available_methods
from pfltune.scenario import load_scenario, scenario_files

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
DRIVER = shutil.which("chromedriver")
WAIT_S = 300
NO_NETWORK = """
import socket

def refuse(*_, **__):
    raise OSError("this process has no network")

socket.getaddrinfo = socket.socket.connect = socket.socket.connect_ex = refuse
"""
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
FAR = re.compile(r"^(?:[a-z]+:)?//")
OPENS_IN_CSS = re.compile(r"""(?:url\(|@import)\s*["']?([^"')\s]+)""")


class Page(HTMLParser):
    """What a page loads, where it leads, and the text below each of its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.below: dict[str, str] = defaultdict(str)
        self._section = ""
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if address := found.get(LOADED.get(tag, "")):
            self.loads.append(address)
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if identity := found.get("id"):
            self.anchors.add(identity)
            self._section = identity if tag == "h2" else self._section

    def handle_data(self, data):
        self.below[self._section] += data


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """An environment in which Python reaches no other machine."""
    guard = tmp_path_factory.mktemp("guard")
    (guard / "sitecustomize.py").write_text(NO_NETWORK)
    return {**os.environ, "PYTHONPATH": str(guard), "NO_MKDOCS_2_WARNING": "1"}


@pytest.fixture(scope="module")
def site(offline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "site"
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        build, cwd=ROOT, env=offline, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    found = {path.relative_to(site): Page(path) for path in sorted(site.rglob("*.html"))}
    found.pop(Path("404.html"))  # its addresses are those of a server's root
    return found


def test_a_process_without_network_is_one(offline):
    call = "import socket; socket.create_connection(('192.0.2.1', 9), timeout=1)"
    done = subprocess.run(
        [sys.executable, "-c", call], env=offline, capture_output=True, text=True, check=False
    )
    assert "this process has no network" in done.stderr


def test_every_page_of_the_docs_is_there(pages):
    written = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    assert pages.keys() == written


@pytest.mark.parametrize("name", available_methods())
def test_every_method_has_its_section_with_its_paper_and_knobs(name, pages):
    told = " ".join(pages[Path("reference/methods.html")].below[name].split())
    cls = available_methods()[name]
    papers = re.findall(r"arXiv \d{4}\.\d{5}", cls.__doc__ or "")
    assert told
    assert [paper for paper in papers if paper not in told] == []
    assert [knob.name for knob in knobs_of(cls).values() if f"{knob.name} " not in told] == []
    assert [k.doc for k in knobs_of(cls).values() if " ".join(k.doc.split()) not in told] == []


@pytest.mark.parametrize("name", scenario_files())
def test_every_scenario_has_its_section(name, pages):
    told = pages[Path("reference/scenarios.html")].below[name]
    scenario = load_scenario(name)
    assert scenario.title in told
    assert scenario.partition.describe() in told
    assert [method for method in scenario.published if method not in told] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_section_with_options_and_examples(name, pages):
    from pfltune.cli.app import root

    told = pages[Path("reference/cli.html")].below[name]
    command = root.get_command(None, name)  # type: ignore[arg-type]
    options = [o for p in command.params for o in p.opts if o.startswith("--")]
    assert f"pfltune {name}" in told
    assert [option for option in options if option not in told] == []
    examples = re.findall(r"pfltune .*", command.epilog)
    assert examples
    assert [example for example in examples if example not in told] == []


def test_public_names_are_documented_by_their_docstrings(pages):
    import pfltune

    python = pages[Path("reference/python.html")]
    assert [name for name in pfltune.__all__ if f"pfltune.{name}" not in python.anchors] == []
    assert "The base class" not in python.below["methods"]  # of the module, not of the class
    assert "Federated averaging, and the defaults of every other method." in python.below["methods"]


def test_no_role_of_sphinx_and_no_marker_is_left(site):
    for path in site.rglob("*.html"):
        text = path.read_text()
        assert not re.search(r":(attr|class|data|func|meth|mod):(<|`)", text), path
        assert "generated:" not in text, path


def test_pages_load_nothing_from_another_host(pages, site):
    far = {(page, each) for page, p in pages.items() for each in p.loads if FAR.match(each)}
    for sheet in site.rglob("*.css"):
        far |= {(sheet, a) for a in OPENS_IN_CSS.findall(sheet.read_text()) if FAR.match(a)}
    assert far == set()


def test_every_address_within_the_site_leads_somewhere(pages, site):
    """Of links, scripts, sheets and images; and anchors of pages are on them."""
    lost = []
    for place, page in pages.items():
        for address in page.links + page.loads:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = site / place if not parts.path else site / place.parent / unquote(parts.path)
            target = target.resolve()
            if target.is_dir():
                target /= "index.html"
            known = pages.get(target.relative_to(site.resolve()))
            anchor = unquote(parts.fragment)
            if not target.is_file() or (known and anchor and anchor not in known.anchors):
                lost.append(f"{place}: {address}")
    assert lost == []


def test_the_gallery_shows_each_figure_that_is_drawn_and_no_other(pages):
    entries = yaml.safe_load((DOCS / "gallery.yaml").read_text())
    named = [figure["image"] for entry in entries for figure in entry["figures"]]
    drawn = {path.name for path in (DOCS / "images").iterdir()}
    shown = [Path(each).name for each in pages[Path("gallery.html")].loads if "images/" in each]
    figures = [name for name in shown if name in named]
    assert len(set(named)) == len(named)
    assert drawn <= set(named), "docs/gallery.yaml does not say how these are drawn"
    assert figures == [name for name in named if name in drawn]
    assert len(figures) > 10


@pytest.mark.skipif(DRIVER is None, reason="no chromedriver; `make debian` installs it")
def test_the_search_finds_a_word_from_the_disk(site):
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.add_argument("--window-size=1400,1000")
    browser = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        browser.get((site / "howto" / "tune.html").as_uri())
        box = browser.find_element(By.CSS_SELECTOR, ".md-search__input")
        browser.execute_script("arguments[0].focus()", box)
        box.send_keys("safetensors")
        found = WebDriverWait(browser, WAIT_S).until(
            lambda b: b.find_elements(By.CSS_SELECTOR, ".md-search-result__item")
        )
        assert any("protocol" in item.text for item in found)
    finally:
        browser.quit()
