"""Rows on disk, and how far they are: the two things that a kill leaves in agreement.

    rows.jsonl       appended to
    checkpoint.json  written anew each second, after the rows are on disk: how many bytes of them count, and what they cover

What was appended behind the last checkpoint is cut off when the run goes on, and computed again: no row twice, none missing.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from edgeinfer import durable
from edgeinfer.batch.piece import Piece
from edgeinfer.errors import StorageError

__all__ = ["Checkpoint", "Journal"]

_EVERY_S = 1.0
_RESTART = "begin anew: the same command with --restart"


class Checkpoint(msgspec.Struct, frozen=True):
    """``done`` inputs are complete, ``emitted`` rows of the next are there; ``failed`` inputs ended in an error.

    Exchanged whole, so that a signal finds either the one before a piece or the one behind it.
    """

    offset: int = 0  # bytes of rows.jsonl
    done: int = 0
    emitted: int = 0
    rows: int = 0
    failed: int = 0


class Journal:
    """The rows of one run, in a folder of its own. One thread's. Raises StorageError whenever the disk does."""

    def __init__(self, folder: Path) -> None:
        """Opens what is there, at its last checkpoint; or begins."""
        self.path = folder / "rows.jsonl"
        self._record = folder / "checkpoint.json"
        self.state = self._known()
        self._saved_at = time.monotonic()
        self._dirty = False
        try:
            self._file = open(self.path, "ab", buffering=1 << 16)  # noqa: SIM115  see close
            size = self._file.tell()
            if size >= self.state.offset:
                self._file.truncate(self.state.offset)
                durable.sync_folder(folder)
                return
        except OSError as error:
            raise _fault(self.path, error) from error
        self._file.close()
        raise StorageError(str(self.path), f"{self.state.offset} bytes, as the checkpoint says", f"{size}", _RESTART)

    def _known(self) -> Checkpoint:
        try:
            return msgspec.json.decode(durable.small(self._record), type=Checkpoint)
        except FileNotFoundError:
            return Checkpoint()
        except OSError as error:
            raise _fault(self._record, error) from error
        except msgspec.DecodeError as error:
            raise StorageError(str(self._record), "a checkpoint", str(error), _RESTART) from error

    def add(self, piece: Piece) -> None:
        """Append the rows of the next piece."""
        try:
            for row in piece.rows:
                self._file.write(row)
                self._file.write(b"\n")
        except OSError as error:
            raise _fault(self.path, error) from error
        before, rows = self.state, len(piece.rows)
        self.state = Checkpoint(before.offset + piece.nbytes + rows, before.done + piece.done,
                                0 if piece.done else before.emitted + rows, before.rows + rows, before.failed + piece.failed)
        self._dirty = True

    def save_if_due(self) -> None:
        """A checkpoint, where the last is a second old."""
        if self._dirty and time.monotonic() - self._saved_at >= _EVERY_S:
            self.save()

    def save(self) -> None:
        """A checkpoint: what was added lasts from now on."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            durable.write(self._record, msgspec.json.encode(self.state))
        except OSError as error:
            raise _fault(self.path, error) from error
        self._saved_at, self._dirty = time.monotonic(), False

    def close(self) -> None:
        """With a last checkpoint. Raises StorageError."""
        try:
            self.save()
        finally:
            with suppress(OSError):
                self._file.close()


def _fault(path: Path, error: OSError) -> StorageError:
    return StorageError(str(path), "a disk that takes the results", error.strerror or str(error),
                        "make room, then the same command: it goes on where it stopped")
