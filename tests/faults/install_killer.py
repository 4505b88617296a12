"""Changes to a store, each ended by SIGKILL before its n-th step on disk:

    python -m tests.faults.install_killer (CHANGE STATE EIB OUT)…

STATE is copied to OUT/0, OUT/1, …; the change on copy n dies before step n. Ends with the first n that the change survives. A
step is whatever Python tells its audit hooks of: making, opening to write, renaming, linking and removing.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from edgeinfer import admission
from edgeinfer.store import Store
from tests.installs import MAKER, stub_trial

STEPS = {"open", "os.rename", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.truncate", "shutil.rmtree"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def install(store: Store, eib: Path, **terms: bool) -> None:
    admission.install(store, eib, keys=[MAKER.public], **terms)


CHANGES: dict[str, Callable[[Store, Path], object]] = {
    "install": install,
    "stage": lambda store, eib: install(store, eib, stage=True),
    "repair": install,
    "promote": lambda store, _: store.promote("door"),
    "rollback": lambda store, _: store.rollback("door"),
    "reject": lambda store, _: store.rollback("door", "it saw ghosts"),
}


def die_before(step: int) -> None:
    left = step

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event not in STEPS or (event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING)):
            return
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    sys.addaudithook(count)


def kill(change: str, state: str, eib: str, out: str) -> None:
    step = 0
    while True:
        copy = Path(out) / str(step)
        shutil.copytree(state, copy, symlinks=True)
        child = os.fork()
        if child == 0:
            die_before(step)
            CHANGES[change](Store(copy / "models"), Path(eib))
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            return
        step += 1


def main(*arguments: str) -> None:
    admission.trial = stub_trial
    gc.collect()
    gc.freeze()  # a fork then copies less
    for place in range(0, len(arguments), 4):
        kill(*arguments[place:place + 4])


if __name__ == "__main__":
    main(*sys.argv[1:])
