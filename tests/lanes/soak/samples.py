"""What a process holds, over time."""

from __future__ import annotations

import csv
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

__all__ = ["Sample", "Sampler"]

_ROLLUP = re.compile(r"^(Pss|Pss_Anon|Rss):\s+(\d+) kB$", re.MULTILINE)


class Sample(NamedTuple):
    """``pss`` and ``anonymous`` (its part that no other process can share) in kB; ``fault`` is what the network does."""

    seconds: float
    process: int
    pss: int
    anonymous: int
    resident: int
    threads: int
    descriptors: int
    fault: str


class Sampler:
    """One sample each ``interval_s`` of the process that ``process()`` names, into memory and a CSV file."""

    def __init__(self, path: Path, process: Callable[[], int], fault: Callable[[], str], interval_s: float) -> None:
        self.samples: list[Sample] = []
        self._process, self._fault, self._interval_s = process, fault, interval_s
        self._begun = time.monotonic()
        self._stop = threading.Event()
        path.parent.mkdir(exist_ok=True)
        self._file = path.open("w", newline="")
        self._table = csv.writer(self._file)
        self._table.writerow(Sample._fields)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._begun

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            sample = self.take()
            if sample is not None:
                self.samples.append(sample)
                self._table.writerow(sample)
                self._file.flush()

    def take(self) -> Sample | None:
        """Now; None where the process is not there."""
        process = self._process()
        folder = Path(f"/proc/{process}")
        try:
            sizes = {name: int(size) for name, size in _ROLLUP.findall((folder / "smaps_rollup").read_text())}
            threads, descriptors = (sum(1 for _ in (folder / name).iterdir()) for name in ("task", "fd"))
        except (OSError, ValueError):
            return None
        if len(sizes) < 3:  # a zombie has none
            return None
        return Sample(round(self.seconds, 1), process, sizes["Pss"], sizes["Pss_Anon"], sizes["Rss"], threads, descriptors,
                      self._fault())

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._file.close()
