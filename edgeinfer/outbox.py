"""The outbox: results wait here, on disk, until the broker has acknowledged them.

    inference threads                     network thread
    put ─▶ staged (memory, bounded) ─▶ commit (disk, bounded) ─▶ take ─▶ acknowledge | refuse | release

The equation, true in every snapshot: produced + carried = acknowledged + queued + dropped (by reason).

    staging   more was put than the disk took: the oldest in memory went
    full      the oldest on disk made room within ``max_bytes``
    refused   the broker does not take it; parked in the database for a look
    lost      the database was corrupt, or could not be written before the process ended

A row is on disk before it is sent. Only while the disk fails are results sent straight from memory (``undurable`` counts
them): one that is neither on disk nor sent would be worth less. A process killed then loses at most what is staged.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import monotonic, monotonic_ns
from typing import Any, NamedTuple

import msgspec

from edgeinfer.errors import StorageError
from edgeinfer.ledger import Ledger
from edgeinfer.log import log
from edgeinfer.storage import HIGHEST, LOWEST, PARKED_ROWS, Database, Refusal, Row, is_corruption, is_full

__all__ = ["Outbox", "OutboxOptions", "Outgoing"]

_REMOVE_AFTER_S = 2.0  # what is acknowledged waits so long for a group commit of new results: one fsync instead of two
_REPLAYED_AFTER_NS = 5 * 10**9  # a result that waited longer than this tells of the past
_ROW_OBJECT = 400  # bytes of Python objects around a staged result
_FIRST_RETRY_S, _LAST_RETRY_S = 0.25, 30.0  # of a disk that fails


class OutboxOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``max_bytes`` counts topics, payloads and 64 bytes a row; the file is at most 2.5 times that, and a few MiB."""

    path: str = ""  # the daemon names a file in its state folder where this is empty
    max_bytes: int = 64 * 1024 * 1024
    commit_delay_ms: int = 100  # a result is at most so long only in memory; each commit is one fsync
    staging: int = 4096  # results in memory that wait for the commit; beyond, the oldest is dropped
    staging_bytes: int = 2 * 1024 * 1024
    live_first: bool = False  # after an outage: new results before the backlog

    def __post_init__(self) -> None:
        for name, low, high in (("max_bytes", 65536, 2**40), ("commit_delay_ms", 0, 60000), ("staging", 1, 10**6),
                                ("staging_bytes", 1024, 2**31)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"expected {name} between {low} and {high}, got {value}")

    @property
    def memory_bytes(self) -> int:
        """The most it holds in memory: results staged, results being written, SQLite's page cache."""
        return 2 * (self.staging_bytes + self.staging * _ROW_OBJECT) + 2 * 1024 * 1024


class Outgoing(NamedTuple):
    """A row to send. ``replayed``: it waited out an outage, or comes from an earlier boot."""

    row: Row
    replayed: bool


class Outbox:
    """``put`` and ``counts`` are for any thread and never wait for the disk; all else is for the one network thread.

    ``wake`` is called by the thread that puts, when staging was empty: ``due`` has a new answer.
    """

    def __init__(self, options: OutboxOptions, wake: Callable[[], None] = lambda: None) -> None:
        if not options.path:
            raise RuntimeError("OutboxOptions.path is empty: the daemon names the file")
        self._options = options
        self._wake = wake
        self._ledger = Ledger(options.staging, options.staging_bytes)
        self._database = Database(Path(options.path), options.max_bytes)
        self._in_flight: dict[int, Row] = {}
        self._gone: list[int] = []  # left the queue, not yet removed from disk
        self._gone_at = 0.0
        self._refusals: deque[Refusal] = deque(maxlen=PARKED_ROWS)  # not yet parked
        self._backlog_until = 0
        self._spans: list[list[int]] = []  # [after, until]: ids not taken yet, in the order of sending
        self._written_until = 0  # the highest id that is known to have reached the disk
        self._carried = False  # what an earlier boot left on disk has been entered
        self._doubtful = False  # the outcome of the last transaction is unknown
        self._fault = ""
        self._faults = self._corrupt_files = 0
        self._retry_at, self._retry_s = 0.0, _FIRST_RETRY_S
        self.rewind()

    def put(self, topic: str, payload: bytes, pipeline: str) -> None:
        """Stage a result; any thread. Where there is no room the oldest staged one is dropped and counted."""
        if self._ledger.put(topic, payload, pipeline):
            self._wake()

    def counts(self) -> dict[str, Any]:
        """A consistent snapshot for health; any thread."""
        return {**self._ledger.counts(), "storage": self._fault or "ok", "storage_faults": self._faults,
                "corrupt_files": self._corrupt_files}

    # The disk

    def open(self) -> None:
        """Raises StorageError when the place cannot be used or another process uses it. A disk that fails (full, read-only,
        I/O errors) is only counted: the outbox works in memory until it recovers."""
        try:
            self._connect()
        except StorageError:
            self._database.close()
            raise
        except (sqlite3.Error, OSError) as error:
            self._fail(error)

    def _connect(self) -> None:
        self._database.lock()
        try:
            self._database.open()
            self._carry()
        except sqlite3.Error as error:
            if not is_corruption(error):
                raise
            self._set_aside(error)
            self._database.open()
        self._carried = True
        self._reset_spans()

    def _carry(self) -> None:
        """Enter the rows of an earlier boot. When the disk answers late, their ids may be in use: then they are lowered."""
        if not self._carried:
            count, size, last_id = self._database.totals()
            lower = self._ledger.follow(last_id)
            if lower:
                self._database.shift(lower)
            self._ledger.carry(count, size)
            self._written_until = last_id - lower

    def _set_aside(self, error: sqlite3.Error) -> None:
        aside = self._database.set_aside()
        self._corrupt_files += 1
        lost = self._ledger.lose_disk([row for row in self._in_flight.values() if not self._ledger.is_undurable(row)])
        self._gone.clear()
        log.error("outbox: the database was corrupt (%s) and is now %s; %d results were in it", error, aside, lost)

    def due(self) -> float | None:
        """When ``commit`` is due (CLOCK_MONOTONIC, s); None: there is nothing to write."""
        if self._fault:
            return self._retry_at
        times = []
        if self._ledger.has_staged:
            times.append(self._ledger.staged_at + self._options.commit_delay_ms / 1000)
        if self._gone or self._refusals:
            times.append(self._gone_at + _REMOVE_AFTER_S)
        return min(times, default=None)

    def commit(self, force: bool = False) -> None:
        """Write what is staged and remove what is done, in one transaction. Never raises: while the disk fails it is tried
        again with back-off, sooner only with ``force``."""
        if self._fault and not force and monotonic() < self._retry_at:
            return
        try:
            if not self._database.is_open:
                self._connect()
            self._write()
            if self._fault:
                self._database.touch()
                self._recover()
        except (sqlite3.Error, OSError, StorageError, MemoryError) as error:  # MemoryError: SQLITE_NOMEM, even from a COMMIT
            self._fail(error)

    def _write(self) -> None:
        rows = self._ledger.begin_write()
        try:
            victims, rows = self._make_room(rows)
            removed = [*self._gone, *(row.id for row in victims)]
            if self._doubtful:
                removed += [row.id for row in self._in_flight.values() if self._ledger.is_undurable(row)]
                self._database.write(rows, removed, self._refusals, above=self._written_until)
            elif rows or removed or self._refusals:
                self._database.write(rows, removed, self._refusals)
        except BaseException:  # raised again: whatever it is, these results are neither written nor lost
            self._ledger.abort_write()
            raise
        self._ledger.end_write(rows, victims)
        self._written_until = max(self._written_until, rows[-1].id if rows else LOWEST)
        self._gone.clear()
        self._refusals.clear()
        if self._doubtful:
            self._ledger.correct(*self._database.totals()[:2])
            self._doubtful = False

    def _make_room(self, rows: list[Row]) -> tuple[list[Row], list[Row]]:
        """The rows on disk that must go, oldest first, for these to fit; and the newest of these that then fit."""
        excess = self._ledger.stored_bytes + sum(row.cost for row in rows) - self._options.max_bytes
        victims: list[Row] = []
        position, spared = LOWEST, {*self._in_flight, *self._gone}
        while excess > 0 and (batch := self._database.read(64, position)):
            position = batch[-1].id
            for row in batch:
                if excess > 0 and row.id not in spared:
                    victims.append(row)
                    excess -= row.cost
        first = 0
        while excess > 0 and first < len(rows):
            excess -= rows[first].cost
            first += 1
        return victims, rows[first:]

    def _fail(self, error: Exception) -> None:
        """Count a fault of the disk; told to the log when it is a new one."""
        text = (str(error) or type(error).__name__).splitlines()[0]
        if text != self._fault:
            log.error("outbox: %s: %s; results wait in memory until the disk recovers", self._options.path, text)
        self._fault = text
        self._faults += 1
        self._retry_at = monotonic() + self._retry_s
        self._retry_s = min(self._retry_s * 2, _LAST_RETRY_S)
        if isinstance(error, sqlite3.Error) and is_full(error) and self._database.is_open:
            self._shrink()
            return
        self._doubtful = self._carried
        self._database.disconnect()
        if isinstance(error, sqlite3.Error) and is_corruption(error):
            self._retry_at = 0.0
            try:
                self._set_aside(error)
            except OSError as cause:
                self._fail(cause)

    def _shrink(self) -> None:
        """The disk is full. Removing needs space too (WAL): the ballast gives it, then the log is used again and again."""
        self._database.drop_ballast()
        try:
            self._database.rewind_log()
            self._database.write([], self._gone, self._refusals)
            self._database.rewind_log()
        except sqlite3.Error:
            return  # the next try comes with the next commit
        self._gone.clear()
        self._refusals.clear()

    def _recover(self) -> None:
        log.info("outbox: the disk takes results again (it was: %s)", self._fault)
        self._fault = ""
        self._retry_s = _FIRST_RETRY_S
        self._database.fill_ballast()
        self._reset_spans()

    def close(self) -> None:
        """Write everything that can be written and let go of the file. May be called twice."""
        self.release()
        if self._database.is_locked:
            self.commit(force=True)
            lost = self._ledger.lose_staged()
            if lost:
                log.error("outbox: %d results are lost: the disk does not take them (%s)", lost, self._fault)
        self._database.close()

    # Sending

    def rewind(self) -> None:
        """The connection is up: all that is in the outbox now is backlog, and sending starts from the beginning."""
        self._backlog_until = self._ledger.last_id
        self._reset_spans()

    def _reset_spans(self) -> None:
        until = self._backlog_until
        self._spans = [[until, HIGHEST], [LOWEST, until]] if self._options.live_first else [[LOWEST, HIGHEST]]

    def take(self, limit: int) -> list[Outgoing]:
        """The next rows to send, at most ``limit``. Each is then in flight until it is acknowledged, refused or released."""
        rows: list[Row] = []
        if self._database.is_open:
            try:
                self._read(rows, limit)
            except (sqlite3.Error, MemoryError) as error:
                self._fail(error)
        if self._fault:
            rows += self._ledger.take_staged(limit - len(rows))
        self._in_flight.update((row.id, row) for row in rows)
        old_ns = monotonic_ns() - _REPLAYED_AFTER_NS
        return [Outgoing(row, row.id <= self._backlog_until or row.made_ns < old_ns) for row in rows]

    def _read(self, rows: list[Row], limit: int) -> None:
        skipped = {*self._in_flight, *self._gone}
        for span in self._spans:
            while len(rows) < limit and (batch := self._database.read(limit - len(rows), *span)):
                span[0] = batch[-1].id
                rows += [row for row in batch if row.id not in skipped]

    def acknowledge(self, number: int) -> None:
        """The broker has it. An id that is not in flight is ignored."""
        row = self._in_flight.pop(number, None)
        if row is not None:
            self._remove(row)
            self._ledger.acknowledge(row)

    def refuse(self, number: int, reason: str) -> None:
        """The broker does not take it: parked, and counted as dropped. An id that is not in flight is ignored."""
        row = self._in_flight.pop(number, None)
        if row is not None:
            self._remove(row)
            self._refusals.append(Refusal(row, reason))
            self._ledger.refuse(row)

    def _remove(self, row: Row) -> None:
        if not self._gone and not self._refusals:
            self._gone_at = monotonic()
        if not self._ledger.is_undurable(row):
            self._gone.append(row.id)

    def release(self) -> None:
        """The connection is down: what was in flight waits again."""
        rows = sorted(self._in_flight.values())
        self._in_flight.clear()
        self._ledger.put_back([row for row in rows if self._ledger.is_undurable(row)])
