"""The page in a real browser: it fits, it is silent, it asks for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quantize.report import render
from tests.browser import CHROMIUM, Browser
from tests.quantize.report.documents import BARE, HOSTILE, full, with_strings

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
PAGES = {"full": full(), "bare": BARE, "hostile": with_strings(full(30, 4), HOSTILE),
         "unbroken": with_strings(full(30, 4), "x" * 300)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as found:
        yield found


@pytest.mark.parametrize("name", PAGES)
def test_the_page_fits_says_nothing_and_asks_for_nothing(name: str, browser: Browser, tmp_path: Path) -> None:
    """At 360 pixels and wide, in light and dark, nothing is wider than the window; no message, no request, a title."""
    page = tmp_path / "report.html"
    page.write_text(render(PAGES[name]), encoding="utf-8")
    for width, dark in ((360, False), (1280, True)):
        browser.open(page, width, dark)
        browser.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert browser.value("document.title")
        assert browser.value("getComputedStyle(document.documentElement).backgroundColor") == (
            "rgb(19, 21, 25)" if dark else "rgb(247, 247, 245)")
        told = [event for event in browser.events if event.get("method") in (
            "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening")]
        assert told == []
        asked = [event["params"]["request"]["url"] for event in browser.events
                 if event.get("method") == "Network.requestWillBeSent"]
        assert [address for address in asked if not address.startswith("data:")] == [page.resolve().as_uri()]


def test_the_table_of_all_tensors_can_be_sorted(browser: Browser, tmp_path: Path) -> None:
    """By signal to noise, up and down, as numbers; the heading says which way."""
    page = tmp_path / "report.html"
    page.write_text(render(full()), encoding="utf-8")
    browser.open(page)
    head = "document.querySelector('table.sortable thead').rows[0].cells[3]"
    column = "[...document.querySelector('table.sortable').tBodies[0].rows].map((row) => parseFloat(row.cells[3].textContent))"
    for order, falling in (("ascending", False), ("descending", True)):
        browser.value(f"{head}.querySelector('button').click()")
        assert browser.value(f"{head}.getAttribute('aria-sort')") == order
        values = browser.value(column)
        assert values == sorted(values, reverse=falling)


def test_on_paper_nothing_is_folded(browser: Browser, tmp_path: Path) -> None:
    """What is behind a triangle on the screen is printed, and the links are not."""
    page = tmp_path / "report.html"
    page.write_text(render(full()), encoding="utf-8")
    browser.open(page, media="print")
    assert browser.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.value("document.querySelector('details table').getBoundingClientRect().height") > 1000
