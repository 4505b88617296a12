"""The outbox's file: SQLite in WAL mode, made to survive what SD cards do.

``synchronous=FULL``: a commit is on the disk when it returns (with NORMAL, power cuts lost a hundred committed rows each).
``locking_mode=EXCLUSIVE``: no shared-memory file, and no forgotten reader that keeps the WAL growing.
Rows carry ids of our own, so that a commit of unknown outcome is simply made again. https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from edgeinfer.errors import StorageError

__all__ = ["HIGHEST", "LOWEST", "OVERHEAD", "PARKED_ROWS", "Database", "Refusal", "Row", "is_corruption", "is_full"]

LOWEST, HIGHEST = -(2**63), 2**63 - 1  # SQLite's integers
OVERHEAD = 64  # bytes a row costs beyond its texts: the record's header, its share of the pages, the id
PARKED_ROWS = 100  # refused rows are kept for a look, so many at most, and an eighth of the outbox's bytes
_APPLICATION_ID = 0x45494F42  # "EIOB"
_SQLITE = b"SQLite format 3\0"  # how every database begins
_VERSION = 1
_PAGE = 4096
_BALLAST = 1024 * 1024  # room for the log (64 pages and a group commit) to move into the database, and for removing rows
_COLUMNS = "id INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, pipeline TEXT NOT NULL"
_SCHEMA = (f"CREATE TABLE results ({_COLUMNS}, made_ns INTEGER NOT NULL)",
           f"CREATE TABLE parked ({_COLUMNS}, reason TEXT NOT NULL)")


class Row(NamedTuple):
    """One result on its way. ``made_ns`` is CLOCK_MONOTONIC of the boot that made it."""

    id: int
    topic: str
    payload: bytes
    pipeline: str
    made_ns: int

    @property
    def cost(self) -> int:
        """Bytes that it counts for."""
        return len(self.payload) + len(self.topic) + len(self.pipeline) + OVERHEAD


class Refusal(NamedTuple):
    """A row that the broker does not take, and why."""

    row: Row
    reason: str


def is_full(error: sqlite3.Error) -> bool:
    """SQLITE_FULL, told by its text: ``sqlite_errorcode`` came with Python 3.11."""
    return "full" in str(error)


def is_corruption(error: sqlite3.Error) -> bool:
    """SQLITE_CORRUPT and SQLITE_NOTADB: Python raises DatabaseError itself for these, a subclass for all others."""
    return type(error) is sqlite3.DatabaseError


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:  # raised again: whatever it is, a transaction left open would swallow the next one
        with suppress(sqlite3.Error):  # SQLite may have rolled back by itself
            connection.execute("ROLLBACK")
        raise


class Database:
    """Results on disk. Used by one thread at a time; every method but ``lock`` may raise sqlite3.Error or OSError."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._parked_bytes = max_bytes // 8
        # Rows a little over half a page waste the other half; the rest is for what is parked or not yet removed.
        self._max_pages = 5 * max_bytes // (2 * _PAGE) + 256
        self._ballast = path.with_name(path.name + "-ballast")
        self._connection: sqlite3.Connection | None = None
        self._lock_file: int | None = None

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    @property
    def is_locked(self) -> bool:
        return self._lock_file is not None

    def lock(self) -> None:
        """Claim the file for this process until ``close``; makes the folder if its parent is there.

        Raises StorageError when the folder cannot be used or another process has the outbox, OSError when the disk fails.
        """
        if self._lock_file is not None:
            return
        name = str(self.path)
        self._refuse_a_strangers_file()
        try:
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            self._lock_file = os.open(f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EEXIST, errno.EISDIR}:
                hint = f"mkdir -p '{self.path.parent}' as the user that runs edgeinfer, or set outbox.path"
                raise StorageError(name, "a folder to write to", error.strerror or str(error), hint) from error
            raise
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.unlock()
            raise StorageError(name, "an outbox that nobody else uses", "one that another edgeinfer has open",
                               "give each daemon its own outbox.path (fuser shows who has it)") from error

    def _refuse_a_strangers_file(self) -> None:
        """A damaged outbox is set aside; what never was one must not be taken for it: /etc/passwd in outbox.path, say.
        An outbox that was ever in use has a lock file beside it; a new name is free or an empty file."""
        if Path(f"{self.path}.lock").exists():
            return
        try:
            if not stat.S_ISREG(self.path.stat().st_mode):
                start = b"something else than a file"
            else:
                with self.path.open("rb") as file:
                    start = file.read(len(_SQLITE))
        except FileNotFoundError:
            return
        except OSError as error:
            hint = "name another file in outbox.path"
            raise StorageError(str(self.path), "a file to read", error.strerror or str(error), hint) from error
        if start not in {b"", _SQLITE}:
            raise StorageError(str(self.path), "an outbox, or a new name", "another program's file",
                               "name another file in outbox.path; this one is left as it is")

    def open(self) -> None:
        """Open or make the database. Raises StorageError for a file that is somebody else's or a later version's."""
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self.path, timeout=1.0, isolation_level=None, check_same_thread=False)
        try:
            self._set_up(connection)
        except BaseException:  # raised again: the connection would keep its lock on the file
            connection.close()
            raise
        self._connection = connection
        self.fill_ballast()

    def _set_up(self, connection: sqlite3.Connection) -> None:
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=64",
                       "journal_size_limit=1048576", "cache_size=-1024", "mmap_size=0", f"max_page_count={self._max_pages}"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        application, version, tables = (connection.execute(question).fetchone()[0] for question in (
            "PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master"))
        if not tables:
            with _transaction(connection):
                for statement in (*_SCHEMA, f"PRAGMA application_id={_APPLICATION_ID}", f"PRAGMA user_version={_VERSION}"):
                    connection.execute(statement)
        elif (application, version) != (_APPLICATION_ID, _VERSION):
            raise StorageError(str(self.path), f"an outbox of version {_VERSION}",
                               f"version {version}" if application == _APPLICATION_ID else "another program's database",
                               "name another file in outbox.path; this one is left as it is")

    def shift(self, by: int) -> None:
        """Lower every id, so that rows found late stay before those that were made while the disk did not answer."""
        connection = self._open_connection()
        with _transaction(connection):
            connection.execute("UPDATE results SET id = id - ?", (by,))
            connection.execute("UPDATE parked SET id = id - ?", (by,))

    def totals(self) -> tuple[int, int, int]:
        """Of the results on disk: how many, their bytes, the highest id (0: none)."""
        texts = "length(payload) + length(CAST(topic AS BLOB)) + length(CAST(pipeline AS BLOB))"
        count, size, last = self._execute(
            f"SELECT count(*), coalesce(sum({texts} + {OVERHEAD}), 0), "  # noqa: S608  constants only
            "max(coalesce(max(id), 0), (SELECT coalesce(max(id), 0) FROM parked)) FROM results").fetchone()
        return count, size, last

    def read(self, limit: int, after: int = LOWEST, until: int = HIGHEST) -> list[Row]:
        """The oldest rows with after < id <= until."""
        rows = self._execute("SELECT id, topic, payload, pipeline, made_ns FROM results WHERE id > ? AND id <= ? "
                             "ORDER BY id LIMIT ?", (after, until, limit))
        return [Row(*row) for row in rows]

    def write(self, rows: Sequence[Row], removed: Iterable[int], refused: Sequence[Refusal], above: int = HIGHEST) -> None:
        """Remove, add and park, in one transaction: all of it or nothing, and on the disk when this returns. Rows with an id
        ``above`` are removed too: what a transaction of unknown outcome may have left."""
        connection = self._open_connection()
        with _transaction(connection):
            connection.execute("DELETE FROM results WHERE id > ?", (above,))
            connection.executemany("DELETE FROM results WHERE id = ?", ((number,) for number in removed))
            connection.executemany("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?)", rows)
            if refused:
                self._park(connection, refused)

    def _park(self, connection: sqlite3.Connection, refused: Sequence[Refusal]) -> None:
        connection.executemany("INSERT OR REPLACE INTO parked VALUES (?, ?, ?, ?, ?)",
                               ((*refusal.row[:4], refusal.reason) for refusal in refused))
        size = 0
        newest_first = connection.execute("SELECT id, length(payload) FROM parked ORDER BY id DESC").fetchall()
        for kept, (number, length) in enumerate(newest_first):
            size += length + OVERHEAD
            if kept >= PARKED_ROWS or size > self._parked_bytes:
                connection.execute("DELETE FROM parked WHERE id <= ?", (number,))
                break

    def touch(self) -> None:
        """Write the header anew: does the disk take anything at all?"""
        connection = self._open_connection()
        with _transaction(connection):
            connection.execute(f"PRAGMA user_version={_VERSION}")

    def fill_ballast(self) -> None:
        """Hold back a little of the disk while there is plenty: in WAL mode a DELETE needs space too."""
        disk = os.statvfs(self.path.parent)
        if self._ballast.exists() or disk.f_bavail * disk.f_frsize < 4 * _BALLAST:
            return
        try:
            file = os.open(self._ballast, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(file, 0, _BALLAST)
            finally:
                os.close(file)
        except OSError:
            self.drop_ballast()

    def drop_ballast(self) -> None:
        """Give the space back to the file system, so that the next transaction can remove rows."""
        with suppress(OSError):
            self._ballast.unlink()

    def rewind_log(self) -> None:
        """Move what is in the write-ahead log into the database; the next transaction overwrites the log from its start and
        so needs no new space."""
        self._execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def set_aside(self) -> Path:
        """Move a corrupt database out of the way, to be looked at; at most three are kept. Where it went."""
        self.disconnect()
        names = [Path(f"{self.path}.corrupt-{number}") for number in (1, 2, 3)]
        aside = next((name for name in names if not name.exists()), names[-1])
        for suffix in ("-wal", "-journal", ""):
            with suppress(FileNotFoundError):
                os.replace(f"{self.path}{suffix}", f"{aside}{suffix}")
        with suppress(FileNotFoundError):
            os.unlink(f"{self.path}-shm")
        return aside

    def disconnect(self) -> None:
        """Close the connection, keep the lock: the first half of opening anew."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        self.disconnect()
        self.unlock()

    def unlock(self) -> None:
        """Let another process have the outbox."""
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("the outbox's database is used before it is opened")
        return self._connection

    def _execute(self, statement: str, parameters: tuple[int, ...] = ()) -> sqlite3.Cursor:
        return self._open_connection().execute(statement, parameters)
