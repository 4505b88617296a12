"""What tests of the outbox share."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from edgeinfer.outbox import Outbox, OutboxOptions


def options(folder: Path, **changes: Any) -> OutboxOptions:
    return OutboxOptions(path=str(folder / "outbox.db"), commit_delay_ms=0, **changes)


def opened(folder: Path, **changes: Any) -> Outbox:
    outbox = Outbox(options(folder, **changes))
    outbox.open()
    return outbox


def put(outbox: Outbox, *numbers: int, size: int = 0) -> None:
    for number in numbers:
        outbox.put("t", b"%d" % number + b" " * size, "p")


def numbers(taken: list[Any]) -> list[int]:
    return [int(outgoing.row.payload) for outgoing in taken]


def balance(outbox: Outbox) -> dict[str, Any]:
    counts = outbox.counts()
    left = counts["produced"] + counts["carried"]
    assert left == counts["acknowledged"] + counts["queued"] + sum(counts["dropped"].values()), counts
    return counts


@contextmanager
def broken_disk() -> Iterator[None]:
    """Every write beyond the files' first 100 bytes fails with an I/O error (EFBIG; Python ignores SIGXFSZ)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def rows(database: Path, query: str) -> list[Any]:
    """What another program sees in the file."""
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()
