"""The one kind of tar that an .eib is: POSIX ustar, regular files with flat names, uncompressed.

Read by hand rather than by ``tarfile``: a reader that knows no links, pax headers and GNU extensions cannot be led astray by
them. Format: POSIX.1-2017, pax, "ustar Interchange Format": blocks of 512 bytes; a header and the content padded with zeros
for each member; two blocks of zeros at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from edgeinfer.errors import BundleError

__all__ = ["Entry", "entries", "write_entries"]

_BLOCK = 512
_CHUNK = 1 << 20
_MAGIC = b"ustar\x0000"
_KINDS = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a character device", b"4": "a block device",
          b"5": "a folder", b"6": "a FIFO", b"x": "a pax header", b"g": "a global pax header", b"L": "a GNU long name",
          b"K": "a GNU long link", b"S": "a GNU sparse file"}


class Entry(NamedTuple):
    """One member. ``content`` yields at most 1 MiB at a time and ``size`` bytes in all."""

    name: str
    size: int
    content: Iterator[bytes]


def write_entries(stream: BinaryIO, files: Iterable[tuple[str, Path]]) -> None:
    """An archive of ``files`` in the given order. The same names and contents give the same bytes. Raises OSError."""
    for name, path in files:
        size = path.stat().st_size
        stream.write(_made_header(name, size))
        with path.open("rb") as source:
            while chunk := source.read(_CHUNK):
                stream.write(chunk)
        stream.write(bytes(-size % _BLOCK))
    stream.write(bytes(2 * _BLOCK))


def _made_header(name: str, size: int) -> bytes:
    """Mode 644, owner 0, time 0: nothing of the machine that packed."""
    nobody, length, time = b"0000000\0", b"%011o\0" % size, b"%011o\0" % 0
    block = b"".join([name.encode("ascii").ljust(100, b"\0"), b"0000644\0", nobody, nobody, length, time, b" " * 8, b"0",
                      bytes(100), _MAGIC, bytes(64), nobody, nobody, bytes(167)])
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def entries(stream: BinaryIO, where: str) -> Iterator[Entry]:
    """The members of the archive, in order; what is not read of one is skipped before the next.

    Raises BundleError for anything that is not a regular file in a plain ustar archive, or an archive that ends early.
    """
    while True:
        block = _exactly(stream, _BLOCK, where)
        if not any(block):
            _check_end(stream, where)
            return
        name, size = _parse_header(block, where)
        content = _content(stream, size, where)
        yield Entry(name, size, content)
        for _ in content:
            pass


def _content(stream: BinaryIO, size: int, where: str) -> Iterator[bytes]:
    left = size
    while left:
        chunk = _exactly(stream, min(left, _CHUNK), where)
        left -= len(chunk)
        yield chunk
    if any(_exactly(stream, -size % _BLOCK, where)):
        raise BundleError(where, "zeros between members", "other bytes")


def _parse_header(block: bytes, where: str) -> tuple[str, int]:
    checksum = sum(block[:148]) + 8 * 32 + sum(block[156:])
    if block[257:265] != _MAGIC or _octal(block[148:156], "checksum", where) != checksum:
        raise BundleError(where, "a bundle: an uncompressed ustar archive", _looks_like(block),
                          "make one of a bundle's folder: quantize pack FOLDER -o OUT.eib")
    if block[156:157] != b"0":
        raise BundleError(where, "regular files only", _KINDS.get(block[156:157], f"a member of type {block[156:157]!r}"),
                          "do not use this file: no bundle has any other member")
    name, _, rest = block[:100].partition(b"\0")
    if any(rest) or any(block[345:500]) or any(block[157:257]):
        raise BundleError(where, "flat names of at most 100 bytes", repr(block[:100])[:80])
    return name.decode("ascii", "backslashreplace"), _octal(block[124:136], f"size of {name[:40]!r}", where)


def _octal(field: bytes, what: str, where: str) -> int:
    """A number as ustar writes it: octal digits, ended by NUL or space. Not GNU's base 256, not a sign."""
    digits = field.rstrip(b"\0 ")
    if not digits or digits.strip(b"01234567"):
        raise BundleError(where, f"an octal number as {what}", repr(field), "get the bundle anew")
    return int(digits, 8)


def _looks_like(block: bytes) -> str:
    if block[:2] == b"\x1f\x8b":
        return "a gzip file"
    if block[:2] == b"PK":
        return "a zip file"
    return "a GNU or old tar" if block[257:262] == b"ustar" else "something else, or a damaged file"


def _check_end(stream: BinaryIO, where: str) -> None:
    """A second block of zeros, then nothing but the zeros that fill tar's record of 20 blocks."""
    second, rest = _exactly(stream, _BLOCK, where), stream.read(20 * _BLOCK)
    if any(second) or any(rest) or len(rest) == 20 * _BLOCK:
        raise BundleError(where, "nothing after the end of the archive", "more bytes")


def _exactly(stream: BinaryIO, count: int, where: str) -> bytes:
    chunk = stream.read(count)
    if len(chunk) != count:
        raise BundleError(where, "a whole archive", "one that ends early", "copy or download the bundle again")
    return chunk
