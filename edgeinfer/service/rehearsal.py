"""The configuration, checked before anything is installed: ``edgeinfer check`` inside the sandbox of the service to be."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeinfer import errors
from edgeinfer.errors import ConfigError, EdgeinferError, Fault
from edgeinfer.service import systemd
from edgeinfer.service.layout import USER

__all__ = ["command", "raise_as_said", "rehearse"]

# systemd.exec(5), "Process exit codes": what kept the command from being run at all
_SET_UP = {
    "203": ("that the service's user may run the interpreter", "chmod o+x on the folders above it, or install it below /opt"),
    "216": ("the groups of the unit", "getent group; leave out the --drop-in whose group is missing"),
    "217": ("the user of the unit", "getent passwd edgeinfer"),
    "226": ("the folders of the unit", "the configuration names a folder that cannot be shown to the service"),
    "238": ("the state folder of the unit", "ls -ld /var/lib/edgeinfer"),
    "243": ("the credentials of the unit", "sudo install -m 600 /dev/stdin /etc/edgeinfer/mqtt-password"),
}


def command(word: str, config: Path, *options: str) -> list[str]:
    """A command line of this very interpreter."""
    return [sys.executable, "-m", "edgeinfer", word, str(config), *options]


def rehearse(config: Path, service: Sequence[tuple[str, str]], state: Path, sandbox: bool) -> dict[str, Any]:
    """The document of ``edgeinfer check``. ``service``: directives of the unit; without ``sandbox`` (no systemd, not root, an
    image) the check runs as who calls it.

    Raises what the check said, and ConfigError where the sandbox could not be set up.
    """
    check = command("check", config, "--json")
    if sandbox:
        ended = systemd.sandboxed(service, check)
    else:
        ended = subprocess.run(check, text=True, capture_output=True, check=False,
                               env={**os.environ, "STATE_DIRECTORY": str(state)})
    if ended.returncode:
        raise_as_said(config, ended.returncode, ended.stderr)
    document: dict[str, Any] = json.loads(ended.stdout.strip().rpartition("\n")[2])
    return document


def raise_as_said(config: Path, code: int, said: str) -> None:
    """The error that a child process ended with, as an error of this one."""
    expected, hint = _SET_UP.get(str(code), ("", ""))
    if expected:
        raise ConfigError(str(config), expected, " ".join(said.split())[-300:] or f"exit code {code}", hint)
    faults = [Fault(match["where"], match["expected"], match["got"], match["hint"] or "")
              for match in _FAULT.finditer(said.rpartition("error: ")[2])]
    kinds = [kind for name in errors.__all__ if isinstance(kind := getattr(errors, name), type)
             and issubclass(kind, EdgeinferError) and kind is not EdgeinferError and kind.exit_code == code]
    kind = kinds[0] if kinds else ConfigError
    last = " ".join(said.rpartition("Error: ")[2].split())[-300:]  # what click refuses by itself
    raise kind.of(faults or [Fault(str(config), "a configuration that passes the check", last or f"exit code {code}",
                                   f"sudo -u {USER} cat '{config}'")])


_FAULT = re.compile(r"^(?P<where>.*?): expected (?P<expected>.*?), got (?P<got>.*)$(?:\n  hint: (?P<hint>.*)$)?", re.MULTILINE)
