"""What is asked of systemd, through its own programs. Called as root."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edgeinfer.errors import UnavailableError

__all__ = ["last_words", "require", "running", "sandboxed", "show", "systemctl"]

# of the unit, not of the sandbox in which the configuration is checked; RuntimeDirectory= would be the running daemon's
_NOT_OF_THE_SANDBOX = ("Type", "NotifyAccess", "Exec", "Timeout", "Watchdog", "Restart", "OOMPolicy", "RuntimeDirectory", "Memory")


def running() -> bool:
    """systemd is what started this machine, sd_booted(3)."""
    return Path("/run/systemd/system").is_dir()


def require() -> None:
    """Raises UnavailableError where systemd does not run, or where its programs are missing."""
    if not running():
        raise UnavailableError("systemd", "a machine that systemd started", "another init, or a container without one",
                               "edgeinfer run CONFIG, under what starts services here; or --root DIR for an image")
    for program in ("systemctl", "systemd-run", "systemd-sysusers"):
        if shutil.which(program) is None:
            raise UnavailableError(program, "a program on PATH", "none", "apt install systemd")


def show(unit: str, *properties: str) -> dict[str, str]:
    """Properties of a unit, as text; empty where there is none."""
    out = _run(["systemctl", "show", unit, *(f"--property={name}" for name in properties)]).stdout
    return {name: value for name, _, value in (line.partition("=") for line in out.splitlines())}


def systemctl(*arguments: str, hint: str = "") -> None:
    """A command that changes something. Raises UnavailableError with what systemctl said."""
    outcome = _run(["systemctl", *arguments])
    if outcome.returncode:
        raise UnavailableError(f"systemctl {' '.join(arguments)}", "success", _one_line(outcome.stderr), hint)


def sandboxed(service: Sequence[tuple[str, str]], command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command as the service would be run: its user, folders, credentials and devices; until it ends."""
    properties = [f"--property={key}={value}" for key, value in service if not key.startswith(_NOT_OF_THE_SANDBOX)]
    return _run(["systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--service-type=exec", *properties, "--", *command])


def last_words(unit: str) -> str:
    """The end of what the service logged, on one line."""
    outcome = _run(["journalctl", "--unit", unit, "--no-pager", "--output=cat", "--lines=4"])
    return _one_line(outcome.stdout) or "nothing in the journal"


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, text=True, capture_output=True, stdin=subprocess.DEVNULL, check=False, errors="replace")
    except OSError as error:
        raise UnavailableError(command[0], "a program on PATH", error.strerror or str(error)) from error


def _one_line(text: str) -> str:
    return " ".join(text.split())[-600:]
