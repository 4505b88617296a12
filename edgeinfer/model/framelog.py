"""A framelog: what a source delivered, in one file, to replay and to calibrate on. Format version 1.

    edgeinfer-framelog 1\\n            the magic line
    {"frames": {…}, …}\\n              one line of JSON, at most 4096 bytes (``_Header``)
    record, record, …                 all of one size

A record is 32 bytes of little-endian facts (uint64 sequence, int64 monotonic_ns, int64 wall_ns, uint32 rows, uint32
columns), the payload, and a CRC-32 (as zlib's, uint32) over both. The payload is a whole slot, which starts with the frame
of rows x columns: pictures may be smaller than the largest. Records are only ever appended; after a power cut the torn last
one is ignored.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

import msgspec

from edgeinfer.errors import DataError, StorageError
from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat

__all__ = ["FrameLogReader", "FrameLogWriter"]

_MAGIC = b"edgeinfer-framelog 1\n"
_MAX_HEADER_BYTES = 4096
_MAX_FRAME_BYTES = 256 * 1024 * 1024  # a header that asks for more is damaged
_FACTS = struct.Struct("<QqqII")
_CRC = struct.Struct("<I")


class _Header(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Either ``frames`` or ``samples``. ``rate`` is in samples a second (0: not stated), ``created`` is RFC 3339."""

    frames: FrameFormat | None = None
    samples: WindowFormat | None = None
    rate: float = 0.0
    source: str = ""
    created: str = ""


class FrameLogWriter:
    """Writes a new framelog of at most ``max_bytes``; used by one thread, as a context manager.

    ``format`` is the largest frame, or the chunk of samples that makes one record. Raises StorageError when the file exists,
    cannot be written, or is too small for one record.
    """

    def __init__(self, path: Path, format: FrameFormat | WindowFormat, max_bytes: int, source: str = "",
                 rate: float = 0.0) -> None:
        created = datetime.now(timezone.utc).isoformat(timespec="seconds")
        samples = format if isinstance(format, WindowFormat) else None
        frames = format if isinstance(format, FrameFormat) else None
        head = _Header(frames=frames, samples=samples, rate=rate, source=source[:256], created=created)
        text = _MAGIC + msgspec.json.encode(head) + b"\n"
        self.count = 0
        self._where = str(path)
        self._record_bytes = _FACTS.size + format.nbytes + _CRC.size
        self._size = 0
        self._max_bytes = max_bytes
        self._payload_bytes = format.nbytes
        least = len(text) + self._record_bytes
        if least > max_bytes:
            raise StorageError(self._where, f"room for one record: {least} bytes", f"a limit of {max_bytes} bytes")
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as error:
            hint = f"rm '{path}', or take another name" if isinstance(error, FileExistsError) else f"ls -ld '{path.parent}'"
            raise StorageError(self._where, "a new file", error.strerror or str(error), hint) from error
        self._write([text])

    def append(self, frame: Frame) -> bool:
        """Write one frame (made for the log's format); False when it would pass ``max_bytes``. Raises StorageError."""
        if frame.memory.nbytes != self._payload_bytes:
            raise RuntimeError(f"a frame of {frame.memory.nbytes} bytes in a framelog of {self._payload_bytes}")
        if self._size + self._record_bytes > self._max_bytes:
            return False
        rows, columns = frame.view.shape[:2]
        if isinstance(frame.format, FrameFormat):
            rows, columns = frame.format.height, frame.format.width
        facts = _FACTS.pack(frame.sequence, frame.monotonic_ns, frame.wall_ns, rows, columns)
        checksum = zlib.crc32(frame.memory.data, zlib.crc32(facts))
        self._write([facts, frame.memory.data, _CRC.pack(checksum)])
        self.count += 1
        return True

    def _write(self, parts: list[bytes | memoryview]) -> None:
        """All parts, or none: what a full disk cut off is taken back."""
        wanted = sum(map(len, parts))
        try:
            written = os.writev(self._fd, parts)
            if written < wanted:
                os.ftruncate(self._fd, self._size)
                os.lseek(self._fd, self._size, os.SEEK_SET)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise StorageError(self._where, f"{wanted} bytes written", error.strerror or str(error), "df -h .") from error
        self._size += wanted

    def close(self) -> None:
        """May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> FrameLogWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class FrameLogReader:
    """Reads a framelog in bounded memory; used by one thread, as a context manager. Raises DataError for a damaged file.

    ``format`` is the largest frame, or the chunk of samples of one record; ``rate`` (samples a second), ``source`` and
    ``created`` are as written. ``len`` counts the whole records that the file held when it was opened.
    """

    def __init__(self, path: Path) -> None:
        self._where = str(path)
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DataError(self._where, "a framelog", error.strerror or str(error), f"ls -l '{path}'") from error
        try:
            header, self._start = self._read_header()
            self.format = self._checked(header)
        except DataError:
            self.close()
            raise
        self.rate, self.source, self.created = header.rate, header.source, header.created
        self._record_bytes = _FACTS.size + self.format.nbytes + _CRC.size
        self._count = (os.fstat(self._fd).st_size - self._start) // self._record_bytes
        self._facts = bytearray(_FACTS.size)
        self._checksum = bytearray(_CRC.size)

    def _read_header(self) -> tuple[_Header, int]:
        hint = "edgeinfer record CONFIG -o FILE writes one"
        try:
            head = os.pread(self._fd, len(_MAGIC) + _MAX_HEADER_BYTES, 0)
        except OSError as error:  # a folder, or a disk that fails
            raise DataError(self._where, "a framelog", error.strerror or str(error), hint) from error
        if not head.startswith(_MAGIC):
            raise DataError(self._where, f"a file that starts with {_MAGIC.decode().strip()!r}", repr(head[:24]), hint)
        end = head.find(b"\n", len(_MAGIC))
        if end < 0:
            raise DataError(self._where, f"a header of at most {_MAX_HEADER_BYTES} bytes", "a longer or a torn one", hint)
        try:
            return msgspec.json.decode(head[len(_MAGIC):end], type=_Header), end + 1
        except (ValueError, RecursionError) as error:  # ValueError: msgspec's own, and bad UTF-8
            raise DataError(f"{self._where}: header", "the JSON of a framelog", str(error), hint) from error

    def _checked(self, header: _Header) -> FrameFormat | WindowFormat:
        stated = header.frames or header.samples
        if stated is None or (header.frames and header.samples):
            raise DataError(f"{self._where}: header", "either frames or samples", "both" if stated else "neither")
        if min(stated.shape) < 1 or _payload_bytes(stated) > _MAX_FRAME_BYTES:
            raise DataError(f"{self._where}: header", f"a frame of 1 to {_MAX_FRAME_BYTES} bytes", f"{stated}")
        return stated

    def __len__(self) -> int:
        return self._count

    def read_into(self, index: int, frame: Frame) -> None:
        """Record ``index`` into a frame made for ``format``: its view takes the record's size, its stamps are as recorded.

        Raises IndexError, and DataError where the checksum or the size is wrong."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        if frame.memory.nbytes != self.format.nbytes:
            raise RuntimeError(f"a frame of {frame.memory.nbytes} bytes for a framelog of {self.format.nbytes}")
        where = f"{self._where}: record {index}"
        offset = self._start + index * self._record_bytes
        if os.preadv(self._fd, [self._facts, frame.memory.data, self._checksum], offset) != self._record_bytes:
            raise DataError(where, f"{self._record_bytes} bytes", "fewer: the file was cut while it was read")
        if zlib.crc32(frame.memory.data, zlib.crc32(self._facts)) != _CRC.unpack(self._checksum)[0]:
            raise DataError(where, "a matching checksum", "damaged bytes", "record it anew, or leave this record out")
        frame.sequence, frame.monotonic_ns, frame.wall_ns, rows, columns = _FACTS.unpack(self._facts)
        if isinstance(self.format, FrameFormat):
            self._reshape(frame, FrameFormat(self.format.pixel_format, rows, columns), where)

    def _reshape(self, frame: Frame, format: FrameFormat, where: str) -> None:
        if min(format.shape) < 1 or _payload_bytes(format) > self.format.nbytes:
            raise DataError(where, f"a picture within {self.format.nbytes} bytes", f"{format.width}x{format.height}")
        frame.reshape(format)

    def __iter__(self) -> Iterator[Frame]:
        """Each record, in the same Frame: whoever keeps pixels copies them. Raises DataError at the first damaged one."""
        frame = Frame(self.format)
        for index in range(self._count):
            self.read_into(index, frame)
            yield frame

    def close(self) -> None:
        """May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> FrameLogReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _payload_bytes(format: FrameFormat | WindowFormat) -> int:
    """As ``format.nbytes``, but exact for sides that a damaged file makes absurd."""
    product = 4 if isinstance(format, WindowFormat) else 1
    for side in format.shape:
        product *= side
    return product
