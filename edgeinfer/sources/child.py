"""A child process whose stdout is read without ever blocking for good."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Sequence

from edgeinfer.errors import SourceError

__all__ = ["Child", "masked"]

_PIPE_BYTES = (64 * 1024, 1024 * 1024)  # Linux's default, and what an unprivileged process may ask for (pipe(7))
_SLICE_MS = 100  # how soon an interruption is noticed
_KEPT_STDERR_BYTES = 2048
_GRACE_S = 1.0  # from SIGTERM to SIGKILL: rpicam-vid lets go of the camera
_PACKAGES = {"rpicam-vid": "rpicam-apps", "libcamera-vid": "libcamera-apps", "gst-launch-1.0": "gstreamer1.0-tools",
             "arecord": "alsa-utils", "v4l2-ctl": "v4l-utils"}


def masked(text: str) -> str:
    """Without the user and the password that a URL in it has: a program's arguments and last words go to the log and to health."""
    return re.sub(r"://[^\s'\"]*@", "://", text)


class Child:
    """A running command with its own process group. ``interrupt`` may be called by any thread, the rest by one.

    What ends it with the daemon: ``close`` ends the whole group; after a SIGKILL of the daemon the pipe has no reader, so
    that the next write ends the child (SIGPIPE); under systemd the unit's control group is emptied in any case. (A
    PR_SET_PDEATHSIG would need a preexec_fn, which is unsafe beside threads.)
    """

    def __init__(self, argv: Sequence[str], frame_bytes: int, timeout_s: float, interrupted: threading.Event) -> None:
        """Start it. ``timeout_s`` limits the time without a byte. Raises SourceError when there is no such program."""
        self._name = argv[0]
        self._timeout_s = timeout_s
        self._interrupted = interrupted
        try:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                             bufsize=0, start_new_session=True)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            by_name = isinstance(error, FileNotFoundError) and "/" not in self._name
            hint = f"sudo apt install {_PACKAGES.get(self._name, self._name)}" if by_name else f"ls -l '{self._name}'"
            raise SourceError(self._name, "a program on PATH", reason, hint) from error
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdout, self._stderr = self._process.stdout.fileno(), self._process.stderr.fileno()
        self._said = bytearray()
        self._poll = select.poll()
        for descriptor in (self._stdout, self._stderr):
            os.set_blocking(descriptor, False)
            self._poll.register(descriptor, select.POLLIN)
        with contextlib.suppress(OSError):  # the user's quota of pipe memory is used up: the default serves, only slower
            fcntl.fcntl(self._stdout, fcntl.F_SETPIPE_SZ, min(max(frame_bytes, _PIPE_BYTES[0]), _PIPE_BYTES[1]))

    def fill(self, target: memoryview) -> int:
        """Read ``target`` full from stdout; fewer bytes at the end of the stream, or when interrupted.

        Raises SourceError when nothing comes for ``timeout_s``."""
        done = 0
        deadline = time.monotonic() + self._timeout_s
        while done < len(target):
            if self._interrupted.is_set():
                return done
            try:
                count = os.readv(self._stdout, [target[done:]])
            except BlockingIOError:
                self._wait(deadline)
                continue
            if count == 0:
                return done
            done += count
            deadline = time.monotonic() + self._timeout_s
        return done

    def _wait(self, deadline: float) -> None:
        """Until stdout has something, or a slice of time is over. What stderr has is taken, or the child would block."""
        for descriptor, events in self._poll.poll(_SLICE_MS):
            if descriptor == self._stderr and not self._take_stderr() and not events & select.POLLIN:
                self._poll.unregister(self._stderr)
        if time.monotonic() >= deadline:
            raise SourceError(self._name, f"bytes within {self._timeout_s:g} s", f"none{self._last_words()}")

    def _take_stderr(self) -> bool:
        try:
            said = os.read(self._stderr, 65536)
        except BlockingIOError:
            return False
        self._said = (self._said + said)[-_KEPT_STDERR_BYTES:]
        return bool(said)

    def _last_words(self) -> str:
        self._take_stderr()
        lines = [line.strip() for line in masked(self._said.decode(errors="replace")).splitlines() if line.strip()]
        return f"; it said: {' | '.join(lines[-3:])[-400:]}" if lines else ""

    def death(self) -> tuple[int, str]:
        """After the end of the stream: the exit code (negative: killed by that signal) and what it said last."""
        try:
            code = self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:  # it closed its stdout and lives on
            self._end()
            code = self._process.wait()
        return code, self._last_words()

    def close(self) -> None:
        """End the group and reap the child."""
        self._end()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _end(self) -> None:
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        self._signal(signal.SIGKILL)  # also what the child itself started and left behind
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
