"""Landlock, by which a process gives up rights to files and the network for good. landlock(7); kernel 5.13 and newer.

By system call: the C library has no functions for it. The three numbers are the same on every architecture.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from contextlib import suppress

__all__ = ["restrict"]

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many rights to files a version knows
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _READ_FILE | _WRITE_FILE | _TRUNCATE | _IOCTL_DEV
_TCP = 1 << 0 | 1 << 1  # bind and connect, version 4
_SCOPES = 1 << 0 | 1 << 1  # abstract sockets and signals, version 6


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"  # what _pack_ means, in words: Python 3.13 and newer ask for it
    _fields_ = (("rights", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


def restrict(libc: ctypes.CDLL, readable: Iterable[str], writable: Iterable[str] = ()) -> int:
    """From now on this thread, and what it starts, reads only below ``readable``, writes only below ``writable`` (existing
    files, devices with their ioctls), and neither binds nor connects TCP. Paths that are not there are passed over.

    Returns the version of Landlock; 0 where the kernel has none: then nothing is restricted. Needs no_new_privs.
    """
    version = libc.syscall(_CREATE_RULESET, None, 0, _VERSION)
    if version < 1:
        return 0
    handled = (1 << _RIGHTS.get(version, 16)) - 1
    size = 8 if version < 4 else 16 if version < 6 else 24
    attributes = _Ruleset(handled, _TCP, _SCOPES)
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(attributes), size, 0)
    if ruleset < 0:
        return 0
    try:
        for paths, rights in ((readable, _READ), (writable, _READ | _WRITE_FILE | _TRUNCATE | _IOCTL_DEV)):
            for path in paths:
                with suppress(OSError):
                    _allow(libc, ruleset, path, rights & handled)
        return version if libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0 else 0
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        beneath = _Beneath(rights if os.path.isdir(path) else rights & _OF_FILES, descriptor)
        libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(beneath), 0)
    finally:
        os.close(descriptor)
