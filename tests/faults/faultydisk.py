"""A disk that fails on demand under a real daemon's outbox: a shim of libc's calls, compiled on the spot (disk_faults.c)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["FaultyDisk"]


class FaultyDisk:
    """``environment`` puts it under a daemon. It works until ``fail`` says how, and again after ``heal``.

    The test is skipped where there is no C compiler.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("a disk that fails needs a C compiler: apt install gcc")
        library = folder / "disk_faults.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(Path(__file__).with_name("disk_faults.c"))],
                       check=True)
        self._control = folder / "disk-fault"
        self.environment = {"LD_PRELOAD": str(library), "DISK_FAULT": str(self._control)}

    def fail(self, how: str) -> None:
        """One line of disk_faults.c, as "write 28"."""
        fresh = self._control.with_suffix(".new")
        fresh.write_text(how)
        fresh.replace(self._control)

    def heal(self) -> None:
        self.fail("")
