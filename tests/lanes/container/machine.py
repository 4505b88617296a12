"""A Debian container with systemd as process 1, on a layer above a root file system that is never written to."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Machine", "until"]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    """``root`` is its file system as this machine sees it; ``run`` a command inside it."""

    def __init__(self, base: Path, work: Path) -> None:
        self.root = work / "root"
        self._work = work
        for folder in ("upper", "layer", "root"):
            (work / folder).mkdir()
        layers = f"lowerdir={base},upperdir={work}/upper,workdir={work}/layer"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(self.root)], check=True)

    def boot(self) -> float:
        """Seconds until systemd has started everything."""
        begun = time.monotonic()
        command = ["systemd-nspawn", "--quiet", f"--directory={self.root}", "--boot", "--private-network", "--register=no",
                   "--keep-unit", "--console=pipe", "--hostname=box"]
        with (self._work / "console").open("wb") as console:
            self._nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT)
        (self._work / "pid").write_text(str(self._nspawn.pid))
        until(lambda: self._leader() and self.run("systemctl is-system-running", check=False).stdout.strip() in
              {"running", "degraded"}, "the container has started", 60)
        return time.monotonic() - begun

    def _leader(self) -> str:
        found = subprocess.run(["pgrep", "-P", str(self._nspawn.pid)], capture_output=True, text=True, check=False)
        return found.stdout.split("\n")[0]

    def run(self, command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """A line for bash, as root."""
        variables = [f"{name}={value}" for name, value in {"PATH": PATH, "LANG": "C.UTF-8", **environment}.items()]
        ended = subprocess.run(["nsenter", "-t", self._leader(), "--all", "env", "-i", *variables, "bash", "-c", f"cd /; {command}"],
                               capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=240)
        if check and ended.returncode:
            pytest.fail(f"{command}: exit code {ended.returncode}\n{ended.stdout}{ended.stderr}{self._failures()}")
        return ended

    def _failures(self) -> str:
        return self.run("journalctl --no-pager -n 30 -o cat -u 'edgeinfer*' -u mosquitto", check=False).stdout

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.run(f"systemctl show --property={name} --value {unit}").stdout.strip()

    def journal(self, unit: str) -> str:
        return self.run(f"journalctl --no-pager -o cat -u {unit}").stdout

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def remove(self, path: str) -> None:
        file = self.root / path.lstrip("/")
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        else:
            file.unlink(missing_ok=True)

    def health(self, path: str = "/run/edgeinfer/health.json") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run(f"cat {path}").stdout)
        return found

    def files(self) -> set[str]:
        """Every file there is, but for what systemd, dpkg and the account tools keep of their own doings."""
        own = r"^/(proc|sys|dev|run|tmp|var/tmp|var/log|var/lib/systemd|var/lib/mosquitto|var/cache|var/lib/dpkg)(/|$)"
        left = r"^/etc/(passwd-|group-|shadow-|gshadow-|subuid-|subgid-|\.pwd\.lock|\.updated)$|__pycache__"
        listing = self.run(f"find / -xdev | grep -vE '{own}' | grep -vE '{left}'").stdout
        return set(listing.splitlines())

    def stop(self) -> None:
        if leader := self._leader():
            subprocess.run(["kill", "-s", "RTMIN+4", leader], check=False)  # systemd(1): power off
        try:
            self._nspawn.wait(20)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
        (self._work / "pid").unlink()
        subprocess.run(["umount", "-l", str(self.root)], check=False)


def until(condition: Callable[[], Any], what: str, seconds: float) -> float:
    """Wait for a state of the machine; how long it took (s). The test fails when it does not come."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            pytest.fail(f"within {seconds:g} s: {what}")
        time.sleep(0.1)
    return time.monotonic() - begun
