"""A process that reads a model for the first time, and can do little else.

    python -m edgeinfer.model.sandbox CONFINEMENT MODULE ARGUMENT…      calls MODULE.main(ARGUMENT…)

A parser that a malformed model has taken over is a program of somebody else's. What it cannot do then:

    limits                memory, CPU time, processes, descriptors, the size of a file; no core dump
    no new privileges     set-uid programs give it nothing
    user                  started by root, it is nobody (not where nobody may read the program or the bundle)
    no capabilities       root or not
    no network            a network namespace without a device
    read-only             Landlock: writes nothing, reads only programs, libraries and its bundle; no TCP
    calls                 seccomp: no sockets, no other programs, no signals to other processes, no limits or priorities of theirs

Each is taken where the kernel, or the sandbox that systemd has drawn already, allows it; what held is in the verdict. A
delegate for a GPU or an Edge TPU opens devices, and its driver starts helpers and maps far more than it uses: with
accelerators /dev stays open, and there is no memory limit, no namespace and no seccomp filter.

Imports only what starts no thread: a restriction holds for the thread that asks for it, and those it starts.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgeinfer.model import landlock, seccomp

__all__ = ["confine", "memory_limit", "unseen"]

_NOBODY = 65534
_LEAST_MEMORY = 512 << 20  # the runtimes map about half of it before any model
_MOST_FILE = 1 << 20  # of stderr: nothing else is written
_DESCRIPTORS = 256
_PROCESSES = 256  # and threads, beyond those of the user that run now
_PR_SET_PDEATHSIG, _PR_GET_DUMPABLE, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 3, 4, 38
_CAPABILITY_VERSION = 0x20080522  # two words each of effective, permitted, inheritable: capset(2)
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PROGRAMS = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/opt", "/nix/store", "/proc", "/sys", "/etc/ld.so.cache",
             "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime", "/etc/nv_tegra_release",
             "/etc/OpenCL", "/etc/vulkan", "/dev/urandom", "/dev/random", "/dev/zero")
_DEVICE_GROUPS = ("video", "render", "plugdev", "apex")


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def memory_limit() -> int:
    """Bytes that the process may have of its own: what the machine has to spare, and never too little to load a runtime."""
    spare = 0
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        spare = int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) << 10
    return max(spare, _LEAST_MEMORY)


@contextmanager
def unseen() -> Iterator[None]:
    """While such a process runs, the one that started it keeps its memory and its descriptors from all others of its user: where
    there is neither Landlock nor a namespace, they would be as open to the model as its own (ptrace(2), proc_pid_mem(5))."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_DUMPABLE, before == 1, 0, 0, 0)


def confine(folder: str, *, devices: bool, memory: int, cpu_s: int) -> tuple[str, ...]:
    """Give up all that reading the bundle in ``folder`` does not need, for good, and go there. Returns what held.

    Only in a process of its own with one thread. With ``devices`` accelerators can be used.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    os.chdir(folder)
    held = ["limits"] if _limit(devices, memory, cpu_s) else []
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        held.append("no new privileges")
    if not devices and libc.unshare(_CLONE_NEWNET | (_CLONE_NEWUSER if os.geteuid() else 0)) == 0:
        held.append("no network")
    if os.geteuid() == 0 and _everybody_reads():
        _become_nobody(devices)
        held.append("user nobody")
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # forgotten when the user changes, so not earlier
    _at_most(resource.RLIMIT_NPROC, _threads() + _PROCESSES)
    writable = ("/dev",) if devices else ("/dev/null",)
    if landlock.restrict(libc, (".", *_PROGRAMS, *_python()), writable):
        held.append("read-only")
    if not devices and seccomp.forbid(libc):
        held.append("calls")
    if libc.capset(ctypes.byref(_CapabilityHeader(_CAPABILITY_VERSION, 0)), ctypes.byref((ctypes.c_uint32 * 6)())) == 0:
        held.append("no capabilities")
    return tuple(held)


def _limit(devices: bool, memory: int, cpu_s: int) -> bool:
    """Whether all of them could be set: systemd's filter may forbid it."""
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: _MOST_FILE, resource.RLIMIT_CPU: cpu_s}
    if not devices:
        limits |= {resource.RLIMIT_DATA: memory, resource.RLIMIT_NOFILE: _DESCRIPTORS}
    with suppress(OSError):
        os.nice(10)  # a trial runs beside inference
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")  # the first to go when memory runs out
    held = [_at_most(which, wanted) for which, wanted in limits.items()]
    return all(held)


def _at_most(which: int, wanted: int) -> bool:
    hard = resource.getrlimit(which)[1]
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(which, (most, most))
    except (OSError, ValueError):  # ValueError is what Python makes of EPERM
        return False
    return True


def _become_nobody(devices: bool) -> None:
    """With ``devices`` in the groups that own such devices, where there are any."""
    groups = []
    if devices:
        import grp

        for name in _DEVICE_GROUPS:
            with suppress(KeyError):
                groups.append(grp.getgrnam(name).gr_gid)
    os.setgroups(groups)
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)


def _everybody_reads() -> bool:
    """Whether nobody can read the bundle (its folder is where we are: what lies above does not matter) and this program."""
    here = [path.stat().st_mode & stat.S_IROTH for path in Path().iterdir()]
    places = [parent for path in _python() for parent in (Path(path), *Path(path).parents)]
    return all(here) and all(place.stat().st_mode & stat.S_IXOTH for place in [Path(), *places])


def _python() -> list[str]:
    """Where Python and its packages are."""
    return [path for path in {sys.prefix, sys.base_prefix, *sys.path} if path and os.path.exists(path)]


def _threads() -> int:
    """Of all processes of this user: RLIMIT_NPROC counts them."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if process.stat().st_uid == os.geteuid():
                count += len(os.listdir(process / "task"))
    return count


def _main(confinement: str, module: str, *arguments: str) -> None:
    held = confine(**json.loads(confinement))
    importlib.import_module(module).main(held, *arguments)


if __name__ == "__main__":
    _main(*sys.argv[1:])
