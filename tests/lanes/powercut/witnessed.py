"""Runs in the guest in the daemon's place: the daemon, which tells the host what is on its disk as soon as SQLite says so.

    -ID   is about to be removed: the broker has acknowledged it
    +ID   was committed
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from edgeinfer import storage
from edgeinfer.cli import main

_port = os.open("/dev/virtio-ports/witness", os.O_WRONLY)
_write = storage.Database.write


def _witnessed(self: storage.Database, rows: Sequence[storage.Row], removed: Iterable[int], *more: Any, **others: Any) -> None:
    removed = list(removed)
    _tell("-", removed)
    _write(self, rows, removed, *more, **others)
    _tell("+", [row.id for row in rows])


def _tell(sign: str, numbers: Sequence[int]) -> None:
    text = "".join(f"{sign}{number}\n" for number in numbers).encode()
    while text:
        text = text[os.write(_port, text):]


storage.Database.write = _witnessed  # type: ignore[method-assign]
sys.exit(main())
