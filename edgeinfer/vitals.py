"""Figures of this process and this board for health, read from /proc and /sys, and ``trim``, which gives memory back."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CpuShare", "Mapping", "descriptors", "pss_bytes", "read_mappings", "share_heap", "temperature_c", "threads",
           "trim", "trim_heap", "uptime_s"]

_SOC = re.compile(r"cpu|soc|pkg|package", re.IGNORECASE)  # cpu-thermal (Pi, Jetson), soc0-thermal (Jetson), x86_pkg_temp
_HEADER = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+) *(.*)")
_M_ARENA_MAX = -8  # glibc's malloc.h; musl has one heap and no mallopt
_MADV_DONTNEED = 4  # the same number on every Linux architecture but alpha


def pss_bytes() -> int:
    """This process's proportional share of memory; its resident set where the kernel does not tell the share."""
    try:
        with open("/proc/self/smaps_rollup", encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        resident = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(resident) * os.sysconf("SC_PAGESIZE")


class CpuShare:
    """How much of one core this process used since the last call: 1.0 is one core, 2.5 two and a half."""

    def __init__(self) -> None:
        self._cpu_s, self._at_s = time.process_time(), time.monotonic()

    def share(self) -> float:
        cpu_s, at_s = time.process_time(), time.monotonic()
        share = (cpu_s - self._cpu_s) / max(at_s - self._at_s, 1e-9)
        self._cpu_s, self._at_s = cpu_s, at_s
        return share


def temperature_c(root: Path = Path("/")) -> float | None:
    """Degrees Celsius of the hottest thermal zone of the processor (of any, where none is named so); None without zones."""
    processor: list[float] = []
    other: list[float] = []
    for zone in (root / "sys/class/thermal").glob("thermal_zone*"):
        try:
            degrees = int((zone / "temp").read_text(encoding="ascii")) / 1000
            name = (zone / "type").read_text(encoding="utf-8")
        except (OSError, ValueError):  # a zone that is switched off gives EAGAIN or EINVAL
            continue
        (processor if _SOC.search(name) else other).append(degrees)
    return max(processor or other, default=None)


def uptime_s() -> float:
    """Seconds since this process was started (field 22 of /proc/self/stat, proc(5))."""
    fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def threads() -> int:
    """Threads of this process, those of native libraries included."""
    return len(os.listdir("/proc/self/task"))


def descriptors() -> int:
    """Open file descriptors of this process."""
    return len(os.listdir("/proc/self/fd")) - 1  # without the one that lists them


@dataclass(frozen=True)
class Mapping:
    """One mapping of this process, as /proc/self/smaps tells it (proc_pid_smaps(5)). Sizes in bytes.

    ``anonymous`` counts pages that are no longer the file's own, ``swapped`` those of them that are in swap.
    """

    start: int
    end: int
    permissions: str
    inode: int
    path: str
    resident: int
    dirty: int
    anonymous: int
    swapped: int

    @property
    def disposable(self) -> bool:
        """Whether every page can be read again from the file, so that dropping them loses nothing.

        A page that was written (a relocation in a part that is read-only since: RELRO) is anonymous for ever after. It need
        not be *private* dirty: after a fork it is shared dirty, in swap it is not resident at all. So all of it must be 0.
        """
        of_a_file = self.inode != 0 and self.path.startswith("/") and not self.path.startswith("/dev/")
        read_only = self.permissions[0] == "r" and self.permissions[1] == "-" and self.permissions[3] == "p"
        return of_a_file and read_only and self.dirty == self.anonymous == self.swapped == 0 < self.resident


def read_mappings(smaps: str) -> Iterator[Mapping]:
    """The mappings in the text of a smaps file."""
    header: re.Match[str] | None = None
    sizes: dict[str, int] = {}
    for line in [*smaps.splitlines(), "0-0 ---p 0 0 0"]:
        match = _HEADER.fullmatch(line)
        if match is None:
            name, _, value = line.partition(":")
            if value.endswith(" kB"):
                sizes[name] = int(value[:-3]) * 1024
            continue
        if header is not None:
            start, end, permissions, inode, path = header.groups()
            dirty = sizes["Private_Dirty"] + sizes["Shared_Dirty"]
            yield Mapping(int(start, 16), int(end, 16), permissions, int(inode), path, sizes["Rss"], dirty,
                          sizes["Anonymous"], sizes["Swap"])
        header, sizes = match, {}


def share_heap() -> None:
    """Let all threads allocate from one heap: mallopt(3), M_ARENA_MAX. Before threads are started.

    glibc gives threads heaps of their own, and what is free in one serves no other: after a few exchanges of a model of 3.5 MB,
    each loaded on a thread of its own, a daemon held 94 MB instead of 73 (ONNX Runtime) and 51 instead of 49 (LiteRT). Frames
    allocate next to nothing, so the threads do not wait for each other.
    """
    import ctypes

    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)


def trim_heap() -> None:
    """Give free heap back (malloc_trim(3)), as after a model was exchanged. Any thread; others go on meanwhile."""
    import ctypes

    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # not in musl
        libc.malloc_trim(ctypes.c_size_t(0))


def trim() -> int:
    """Give back the memory that only start-up needed; bytes that were dropped from file mappings.

    Called once after warm-up, by the main thread. malloc_trim(3) returns free heap; then the pages of libraries and other
    files that are mapped read-only and unchanged are dropped. What is still used comes back from the page cache.

    Other threads may run code in these pages meanwhile. madvise(2) says of MADV_DONTNEED that "subsequent accesses of pages
    in the range will succeed", from the file or, where a page was anonymous, as zeros; a page of a private mapping that was
    never written is the file's own, so a thread that needs it faults and goes on. What must not happen at that very moment
    is that a thread unmaps a library or a file: another mapping could take its place between the reading of smaps and the
    call. Opening and using anything is fine.
    """
    import ctypes

    libc = ctypes.PyDLL(None, use_errno=True)  # PyDLL keeps the GIL: no Python thread maps anything between two calls
    if hasattr(libc, "malloc_trim"):  # not in musl
        libc.malloc_trim(ctypes.c_size_t(0))
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    try:
        smaps = Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace")
    except OSError:  # no such kernel option
        return 0
    dropped = 0
    for mapping in [mapping for mapping in read_mappings(smaps) if mapping.disposable]:
        if libc.madvise(mapping.start, mapping.end - mapping.start, _MADV_DONTNEED) == 0:  # locked ones refuse: EINVAL
            dropped += mapping.resident
    return dropped
