"""A command that serves a page, and a browser that opens it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.browser import Browser

__all__ = ["Served", "go", "served"]

_START = "import sys\nfrom edgeinfer.cli.{0} import command\nfrom edgeinfer.outermost import run_program\nrun_program(command)"


class Served:
    """``address``; ``end`` gives what the command printed on stdout, stderr and its exit code."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.told = process, ""
        assert process.stderr is not None
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)/[\w-]+/", self.told)):
            line = process.stderr.readline()
            assert line, self.told
            self.told += line
        self.address, self.port = found[0], int(found[1])

    def end(self, interrupt: bool = False) -> tuple[str, str, int]:
        if interrupt:
            self.process.send_signal(2)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        return self.process.stdout.read(), self.told + self.process.stderr.read(), self.process.wait(20)


@contextmanager
def served(name: str, *arguments: str) -> Iterator[Served]:
    """``edgeinfer NAME ARGUMENTS`` until the end of the block."""
    process = subprocess.Popen([sys.executable, "-c", _START.format(name), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    try:
        yield Served(process)
    finally:
        process.kill()
        process.communicate()


def go(browser: Browser, address: str, width: int, height: int = 900, dark: bool = False) -> None:
    """Open an address in a window of that size, and wait until it is there."""
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
    browser.call("Emulation.setEmulatedMedia", media="", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
    browser.events.clear()
    browser.call("Page.navigate", url=address)
    while not any(event.get("method") == "Page.domContentEventFired" for event in browser.events):
        browser.events.append(browser._next())
