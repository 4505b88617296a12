"""Notifications to systemd, over a real datagram socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeinfer import notify


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The receiving end, where systemd would be: a socket with a path, and one in the abstract namespace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.settimeout(2)
        if request.param == "path":
            server.bind(str(tmp_path / "notify"))
            monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        else:
            server.bind(f"\0edgeinfer-test-{os.getpid()}")
            monkeypatch.setenv("NOTIFY_SOCKET", f"@edgeinfer-test-{os.getpid()}")
        yield server


def test_each_notification_is_one_datagram_as_systemd_reads_it(systemd: socket.socket) -> None:
    """READY, STATUS on one line, WATCHDOG and STOPPING arrive word by word."""
    assert notify.ready()
    assert notify.status("2 pipelines,\n29.8 frames/s ✓")
    assert notify.watchdog()
    assert notify.stopping()
    received = [systemd.recv(4096).decode() for _ in range(4)]
    assert received == ["READY=1", "STATUS=2 pipelines, 29.8 frames/s ✓", "WATCHDOG=1", "STOPPING=1"]


def test_a_reload_carries_the_time_of_the_monotonic_clock(systemd: socket.socket) -> None:
    """Type=notify-reload ignores a RELOADING=1 without MONOTONIC_USEC of CLOCK_MONOTONIC in microseconds."""
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert notify.reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    first, second = systemd.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= after


@pytest.mark.parametrize("path", [None, "", "relative", "vsock:2:1234", "/nowhere/notify", "@nobody-listens-here"])
def test_without_systemd_nothing_happens(path: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset, of another kind, or nobody there: False, and no error."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if path is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", path)
    assert not any([notify.ready(), notify.status("x"), notify.watchdog(), notify.reloading(), notify.stopping()])


def test_a_full_queue_does_not_stall_the_daemon(systemd: socket.socket) -> None:
    """A systemd that reads nothing fills its queue; then a notification fails within a second or so, and never hangs."""
    for _ in range(100_000):
        if not notify.watchdog():
            break
    else:
        pytest.fail("the queue never filled")


@pytest.mark.parametrize(("usec", "pid", "expected"), [
    ("30000000", None, 30.0), ("500000", "own", 0.5), ("30000000", "1", 0.0), (None, None, 0.0),
    ("0", None, 0.0), ("-5", None, 0.0), ("soon", None, 0.0), ("30000000", "me", 0.0),
])
def test_the_watchdog_interval_is_that_of_this_process(usec: str | None, pid: str | None, expected: float,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """WATCHDOG_USEC counts when WATCHDOG_PID is this process, or not set."""
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, str(os.getpid()) if value == "own" else value)
    assert notify.watchdog_interval() == expected
