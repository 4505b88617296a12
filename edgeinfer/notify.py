"""What systemd is told: sd_notify(3) and sd_watchdog_enabled(3), over the datagram socket that it names.

Outside systemd ($NOTIFY_SOCKET is not set) everything here does nothing. Called by the main thread.
"""

from __future__ import annotations

import os
import socket
import time

__all__ = ["ready", "reloading", "status", "stopping", "watchdog", "watchdog_interval"]


def ready() -> bool:
    """Set-up, or a reload, is finished (Type=notify). True when systemd was told; so for all below."""
    return _send("READY=1")


def reloading() -> bool:
    """A reload begins; ``ready`` ends it. With the time that Type=notify-reload asks for."""
    return _send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def stopping() -> bool:
    """The way out begins."""
    return _send("STOPPING=1")


def status(text: str) -> bool:
    """One line for ``systemctl status``."""
    return _send(f"STATUS={' '.join(text.split())}")


def watchdog() -> bool:
    """The service makes progress; must come more often than ``watchdog_interval``."""
    return _send("WATCHDOG=1")


def watchdog_interval() -> float:
    """Seconds within which systemd waits for ``watchdog`` (WatchdogSec=); 0 where it does not watch this process."""
    try:
        microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
        watched = int(os.environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return 0.0
    return microseconds / 1e6 if watched == os.getpid() and microseconds > 0 else 0.0


def _send(message: str) -> bool:
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    address = f"\0{path[1:]}" if path[0] == "@" else path  # "@": the abstract namespace, unix(7)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notification:
            notification.settimeout(1.0)  # a full queue of a stalled systemd must not stall the daemon
            notification.sendto(message.encode("utf-8", "replace"), address)
    except OSError:
        return False
    return True
