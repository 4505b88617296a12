"""Feed one case to a target and judge what comes back: nothing, or an error of ours, within a second."""

from __future__ import annotations

import gc
import hashlib
import signal
import time
from pathlib import Path
from types import FrameType

from edgeinfer.errors import EdgeinferError
from tests.lanes.fuzz.targets import Target

__all__ = ["Judge"]

MOST_S = 1.0  # of this thread's time on the processor
_HANGS_S = 30.0


class Judge:
    """Counts; keeps a case that fails in ``folder``. Used by the main thread, whose alarm clock it takes."""

    def __init__(self, folder: Path) -> None:
        self.fed = self.refused = 0
        self.slowest_s = 0.0
        self._folder = folder
        signal.signal(signal.SIGALRM, _hangs)

    def feed(self, target: Target, data: bytes) -> None:
        gc.disable()  # or its time, with all that the tests hold, would be taken for the target's
        signal.setitimer(signal.ITIMER_REAL, _HANGS_S)
        begun = time.thread_time()
        try:
            target.feed(data)
        except EdgeinferError as error:
            self.refused += 1
            self._check(str(error) and 64 <= error.exit_code <= 78, target, data, f"an error without words: {error!r}")
        except BaseException as error:  # whatever it is, the case that led to it is worth keeping
            raise AssertionError(f"{target.name}: {type(error).__name__}: {error}; the case is {self._keep(target, data)}") from error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            gc.enable()
        took = time.thread_time() - begun
        self.fed += 1
        self.slowest_s = max(self.slowest_s, took)
        self._check(took < MOST_S, target, data, f"{took:.2f} s")

    def _check(self, right: object, target: Target, data: bytes, what: str) -> None:
        if not right:
            raise AssertionError(f"{target.name}: {what}; the case is {self._keep(target, data)}")

    def _keep(self, target: Target, data: bytes) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{target.name}-{hashlib.sha256(data).hexdigest()[:12]}"
        path.write_bytes(data)
        return path


def _hangs(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"no end within {_HANGS_S:g} s")
