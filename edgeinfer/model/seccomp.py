"""A seccomp filter for a process that only computes: no sockets, no other programs, no signals to others, nor
anything else that changes how they run. seccomp(2).

Classic BPF over struct seccomp_data: the number of the system call at 0, the architecture at 4, the first argument at 16.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

__all__ = ["forbid"]

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FIRST = 0, 4, 16
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_X32 = 0x40000000  # a second set of numbers on x86-64
_PR_SET_SECCOMP, _FILTER = 22, 2

# audit architecture; numbers of: socket, connect, execve, execveat, ptrace, process_vm_readv, process_vm_writev, setsid, setpgid,
# kill, tkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal, io_uring_setup, pidfd_getfd, setpriority, ioprio_set,
# sched_setparam, sched_setscheduler, sched_setaffinity, sched_setattr; and of tgkill, prlimit64
_NUMBERS = {
    "x86_64": (0xC000003E, (41, 42, 59, 322, 101, 310, 311, 112, 109, 62, 200, 129, 297, 424, 425, 438, 141, 251,
                            142, 144, 203, 314), (234, 302)),
    "aarch64": (0xC00000B7, (198, 203, 221, 281, 117, 270, 271, 157, 154, 129, 130, 138, 240, 424, 425, 438, 140, 30,
                             118, 119, 122, 274), (131, 261)),
    "arm": (0x40000028, (281, 283, 11, 387, 26, 376, 377, 66, 57, 37, 238, 178, 363, 424, 425, 438, 97, 314,
                         154, 156, 241, 380), (268, 369)),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def forbid(libc: ctypes.CDLL) -> bool:
    """Those calls give EPERM from now on, in this thread and what it starts. False where the kernel or the architecture does
    not have it: then nothing is forbidden. Needs no_new_privs."""
    machine = os.uname().machine
    if struct.calcsize("P") == 4:
        machine = "arm" if machine in {"aarch64", "armv6l", "armv7l", "armv8l"} else machine
    if machine not in _NUMBERS:
        return False
    code = b"".join(struct.pack("=HBBI", *step) for step in _steps(*_NUMBERS[machine]))
    program = _Program(len(code) // 8, code)
    return bool(libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) == 0)


def _steps(architecture: int, numbers: tuple[int, ...], own: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """(code, jump if true, jump if false, value). ``own``: calls whose first argument is a process, which must be this one (or 0,
    which means this one): threads signal each other, and ask for their limits."""
    refuse, allow = (_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)
    steps = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), refuse, (_LOAD, 0, 0, _NUMBER),
             (_AT_LEAST, 0, 1, _X32), refuse]
    for number in numbers:
        steps += [(_EQUAL, 0, 1, number), refuse]
    for number in own:
        steps += [(_EQUAL, 0, 5, number), (_LOAD, 0, 0, _FIRST), (_EQUAL, 1, 0, os.getpid()), (_EQUAL, 0, 1, 0), allow, refuse]
    return [*steps, allow]
