"""What the outbox knows of its results: those in memory, and how many are where. Every snapshot balances."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from time import monotonic_ns
from typing import Any

from edgeinfer.storage import Row

__all__ = ["Ledger"]


class Ledger:
    """Staged results and the counters of all. Any thread may call any method; each holds the lock for microseconds.

    A result is in exactly one of: staged (memory), writing (memory, a commit is under way), stored (disk), undurable (sent
    from memory because the disk fails), acknowledged, dropped.
    """

    def __init__(self, rows: int, size: int) -> None:
        """Staging holds at most ``rows`` results and ``size`` bytes."""
        self._max_rows, self._max_size = rows, size
        self._lock = threading.Lock()
        self._staged: deque[Row] = deque()
        self._size = 0
        self._writing: list[Row] = []
        self._stored = self._stored_bytes = 0
        self._undurable: set[int] = set()
        self._produced = self._carried = self._acknowledged = self._undurable_total = 0
        self._dropped: Counter[str] = Counter()
        self._last_id = 0
        self.staged_at = 0.0  # CLOCK_MONOTONIC, s: when staging was empty for the last time

    def put(self, topic: str, payload: bytes, pipeline: str) -> bool:
        """Stage a result; the oldest staged ones go where there is no room. True when staging was empty."""
        now_ns = monotonic_ns()
        with self._lock:
            self._last_id += 1
            self._produced += 1
            first = not self._staged
            if first:
                self.staged_at = now_ns / 1e9
            row = Row(self._last_id, topic, payload, pipeline, now_ns)
            self._staged.append(row)
            self._size += row.cost
            self._shed()
        return first

    def _shed(self) -> None:
        while len(self._staged) > self._max_rows or self._size > self._max_size:
            self._size -= self._staged.popleft().cost
            self._dropped["staging"] += 1

    def follow(self, last_id: int) -> int:
        """Ids of this boot come after ``last_id``, the highest on disk. Where results have been made already (the disk
        answers late), by how much those on disk must be lowered instead."""
        with self._lock:
            if not self._produced:
                self._last_id = max(last_id, 0)
            first_id = self._last_id - self._produced + 1
            return max(last_id - first_id + 1, 0)

    def carry(self, count: int, size: int) -> None:
        """Enter the rows that an earlier boot left on disk."""
        with self._lock:
            self._carried += count
            self._stored += count
            self._stored_bytes += size

    def begin_write(self) -> list[Row]:
        """All that is staged, to be written. Ends with ``end_write`` or ``abort_write``."""
        with self._lock:
            self._writing = list(self._staged)
            self._staged.clear()
            self._size = 0
            return self._writing

    def end_write(self, written: Sequence[Row], victims: Sequence[Row]) -> None:
        """``written`` are on disk now; ``victims`` left the disk to make room, and so did what is not among the written."""
        with self._lock:
            self._dropped["full"] += len(victims) + len(self._writing) - len(written)
            self._stored += len(written) - len(victims)
            self._stored_bytes += sum(row.cost for row in written) - sum(row.cost for row in victims)
            self._writing = []

    def abort_write(self) -> None:
        """Nothing was written: back to staging, in front of what came meanwhile."""
        with self._lock:
            self._return(self._writing)
            self._writing = []

    def _return(self, rows: Sequence[Row]) -> None:
        self._staged.extendleft(reversed(rows))
        self._size += sum(row.cost for row in rows)
        self._shed()

    def take_staged(self, limit: int) -> list[Row]:
        """The oldest staged results, to be sent without being on disk."""
        with self._lock:
            rows = [self._staged.popleft() for _ in range(min(limit, len(self._staged)))]
            self._size -= sum(row.cost for row in rows)
            self._undurable.update(row.id for row in rows)
            self._undurable_total += len(rows)
            return rows

    def put_back(self, rows: Sequence[Row]) -> None:
        """Undurable rows that were not acknowledged are staged again; ``rows`` ascend."""
        with self._lock:
            self._undurable.difference_update(row.id for row in rows)
            self._return(rows)

    def is_undurable(self, row: Row) -> bool:
        with self._lock:
            return row.id in self._undurable

    def acknowledge(self, row: Row) -> None:
        with self._lock:
            self._leave(row)
            self._acknowledged += 1

    def refuse(self, row: Row) -> None:
        with self._lock:
            self._leave(row)
            self._dropped["refused"] += 1

    def _leave(self, row: Row) -> None:
        if row.id in self._undurable:
            self._undurable.remove(row.id)
        else:
            self._stored -= 1
            self._stored_bytes -= row.cost

    def lose_disk(self, in_flight: Sequence[Row]) -> int:
        """The database is gone: only its rows that are ``in_flight`` live on, in memory. How many were lost."""
        with self._lock:
            self._undurable.update(row.id for row in in_flight)
            lost = self._stored - len(in_flight)
            self._dropped["lost"] += lost
            self._stored = self._stored_bytes = 0
            return lost

    def lose_staged(self) -> int:
        """The process ends and the disk does not take what is staged. How many were lost."""
        with self._lock:
            lost = len(self._staged)
            self._staged.clear()
            self._size = 0
            self._dropped["lost"] += lost
            return lost

    def correct(self, count: int, size: int) -> None:
        """What is on disk was counted anew, after a transaction whose outcome was unknown."""
        with self._lock:
            self._dropped["lost"] += max(self._stored - count, 0)
            self._carried += max(count - self._stored, 0)
            self._stored, self._stored_bytes = count, size

    @property
    def last_id(self) -> int:
        with self._lock:
            return self._last_id

    @property
    def stored_bytes(self) -> int:
        with self._lock:
            return self._stored_bytes

    @property
    def has_staged(self) -> bool:
        with self._lock:
            return bool(self._staged)

    def counts(self) -> dict[str, Any]:
        """A consistent snapshot."""
        with self._lock:
            staged = len(self._staged) + len(self._writing)
            dropped = {reason: count for reason, count in self._dropped.items() if count}
            return {"produced": self._produced, "carried": self._carried, "acknowledged": self._acknowledged,
                    "queued": staged + self._stored + len(self._undurable), "staged": staged, "dropped": dropped,
                    "bytes": self._stored_bytes, "undurable": self._undurable_total}
