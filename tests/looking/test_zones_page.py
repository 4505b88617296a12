"""The page on which zones are drawn, in a real browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.browser import CHROMIUM, Browser
from tests.looking.site import Served, go, served
from tests.looking.test_drawn import taken

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

SQUARE = ((0.1, 0.1), (0.4, 0.1), (0.4, 0.6), (0.1, 0.6))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as found:
        yield found


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Served]:
    picture = tmp_path / "yard <b>.png"
    cv2.imwrite(str(picture), np.random.default_rng(0).integers(0, 255, (240, 400, 3), np.uint8))
    with served("zones", str(picture)) as site:
        yield site


def shown(browser: Browser, site: Served, width: int, dark: bool = False) -> None:
    go(browser, site.address, width, dark=dark)
    until(browser, "canvas.width > 300 && picture.complete")


def until(browser: Browser, script: str) -> None:
    deadline = time.monotonic() + 10
    while not browser.value(script):
        assert time.monotonic() < deadline, script
        time.sleep(0.02)


def mouse(browser: Browser, kind: str, x: float, y: float) -> None:
    left, top, width, height = browser.value("(() => { const r = canvas.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()")
    browser.call("Input.dispatchMouseEvent", type=kind, x=left + x * width, y=top + y * height, button="left", buttons=1, clickCount=1)


def click(browser: Browser, *points: tuple[float, float]) -> None:
    for point in points:
        for kind in ("mousePressed", "mouseReleased"):
            mouse(browser, kind, *point)


def key(browser: Browser, name: str, times: int = 1) -> None:
    for _ in range(times):
        text = {"text": "\r"} if name == "Enter" else {"text": name} if len(name) == 1 else {}
        browser.call("Input.dispatchKeyEvent", type="keyDown", key=name, code=name, **text)
        browser.call("Input.dispatchKeyEvent", type="keyUp", key=name, code=name)


@pytest.mark.parametrize(("width", "dark"), [(360, False), (1280, True)])
def test_a_zone_and_a_line_are_drawn_and_come_out_as_yaml(browser: Browser, page: Served, width: int, dark: bool) -> None:
    """Clicked, closed on the first corner, a corner dragged, the line turned, named, excluded: and that is what the command prints. The
    page fits, says nothing in the console, and asks for nothing from elsewhere."""
    shown(browser, page, width, dark)
    click(browser, *SQUARE, SQUARE[0])
    mouse(browser, "mousePressed", 0.4, 0.6)
    mouse(browser, "mouseMoved", 0.5, 0.7)
    mouse(browser, "mouseReleased", 0.5, 0.7)
    browser.value("at('list').querySelector('input').value = '12'; at('list').querySelector('input').dispatchEvent(new Event('input'))")
    browser.value("at('list').querySelector('select').value = '1'; at('list').querySelector('select').dispatchEvent(new Event('change'))")
    browser.value("at('line').click()")
    click(browser, (0.6, 0.5), (0.9, 0.5))
    browser.value("[...at('list').querySelectorAll('button')].find((one) => one.textContent === 'Turn').click()")
    assert browser.value("document.documentElement.scrollWidth") <= width
    told = browser.value("at('yaml').value")
    browser.value("at('done').click()")
    out, err, code = page.end()
    assert (out, code) == (told, 0)
    drawn = taken(out)
    assert np.allclose(drawn.zones["12"].points, (*SQUARE[:2], (0.5, 0.7), SQUARE[3]), atol=0.01)
    assert drawn.zones["12"].exclude
    assert np.allclose(drawn.lines["line-1"].points, ((0.9, 0.5), (0.6, 0.5)), atol=0.01)
    assert "On this machine only" in err
    assert [event for event in browser.events if event.get("method") in (
        "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening")] == []
    asked = [event["params"]["request"]["url"] for event in browser.events if event.get("method") == "Network.requestWillBeSent"]
    assert {address.removeprefix(page.address) for address in asked} <= {"", "picture", "done"}


def test_the_keyboard_is_enough(browser: Browser, page: Served) -> None:
    """A triangle by arrows and Enter, closed by C; a point taken back; a line by L; Delete removes what is chosen."""
    shown(browser, page, 800)
    browser.value("canvas.focus()")
    for move, times in (("ArrowLeft", 20), ("ArrowDown", 20), ("ArrowDown", 5)):
        key(browser, move, times)
        key(browser, "Enter")
    key(browser, "Backspace")
    key(browser, "ArrowRight", 30)
    key(browser, "Enter")
    key(browser, "c")
    assert browser.value("shapes[0].points") == [[0.3, 0.5], [0.3, 0.7], [0.6, 0.75]]
    browser.value("canvas.focus()")
    key(browser, "l")
    for move in ("ArrowUp", "ArrowLeft"):
        key(browser, move, 10)
        key(browser, "Enter")
    assert browser.value("shapes[1].kind") == "line"
    browser.value("canvas.focus()")
    key(browser, "Delete")
    assert browser.value("shapes.length") == 1


def test_sides_that_cross_are_told_until_they_do_not(browser: Browser, page: Served) -> None:
    """What a configuration would refuse can neither be sent nor copied; a corner that is dragged makes it right."""
    shown(browser, page, 800)
    click(browser, (0.1, 0.1), (0.5, 0.5), (0.5, 0.1), (0.1, 0.7), (0.1, 0.1))
    assert 'Sides of "zone-1" cross' in browser.value("at('say').textContent")
    assert browser.value("at('done').disabled && at('copy').disabled")
    for kind, point in (("mousePressed", (0.5, 0.1)), ("mouseMoved", (0.6, 0.6)), ("mouseReleased", (0.6, 0.6))):
        mouse(browser, kind, *point)
    assert not browser.value("at('done').disabled")
    assert "cross" not in browser.value("at('say').textContent")
    browser.value("at('done').click()")
    assert taken(page.end()[0]).zones["zone-1"].points[2] == pytest.approx((0.6, 0.6), abs=0.01)


def test_a_wrong_name_is_told_and_not_sent(browser: Browser, page: Served) -> None:
    """Spaces, and a name that is there twice; the page's own check and the command's are the same."""
    shown(browser, page, 800)
    click(browser, *SQUARE, SQUARE[0])
    browser.value("shapes[0].name = 'front yard'; refresh()")
    assert browser.value("at('done').disabled")
    assert "front yard" in browser.value("at('say').textContent")
    browser.value("shapes[0].name = 'yard'; refresh()")
    click(browser, (0.6, 0.6), (0.9, 0.6), (0.9, 0.9), (0.6, 0.6))
    browser.value("shapes[1].name = 'yard'; refresh()")
    assert browser.value("at('done').disabled")
    assert browser.value("document.querySelectorAll('b').length") == 0, "a file's name is text"
