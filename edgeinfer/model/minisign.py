"""minisign's files: a public key and a detached signature, parsed. https://jedisct1.github.io/minisign/, "Format".

    untrusted comment: minisign public key EC8A745C03A42449
    base64 of: "Ed", 8 bytes of key number, 32 bytes of Ed25519 public key

    untrusted comment: signature from minisign secret key
    base64 of: "ED" (of the content's BLAKE2b-512) or "Ed" (of the content), 8 bytes of key number, 64 bytes of signature
    trusted comment: shown to people, and signed
    base64 of: 64 bytes, a signature of the signature and the trusted comment

Sizes are those of the format, and nothing here is longer than the caps below: parsing happens before anything is trusted.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.errors import BundleError, DataError

__all__ = ["MOST_KEY_BYTES", "MOST_SIGNATURE_BYTES", "TRUSTED", "UNTRUSTED", "PublicKey", "Signature", "key_name",
           "parse_public_key", "parse_signature", "read_public_key"]

MOST_KEY_BYTES = 2048
MOST_SIGNATURE_BYTES = 4096
UNTRUSTED, TRUSTED = "untrusted comment: ", "trusted comment: "


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key (``raw``, 32 bytes) and the number (8 bytes) by which its signatures name it."""

    number: bytes
    raw: bytes

    @property
    def name(self) -> str:
        """The number as minisign prints it: 16 hexadecimal digits."""
        return key_name(self.number)


@dataclass(frozen=True)
class Signature:
    """``prehashed``: of the content's BLAKE2b-512, else of the content itself. ``comment_raw`` is a signature of ``raw`` and
    ``comment``."""

    number: bytes
    raw: bytes
    prehashed: bool
    comment: str
    comment_raw: bytes


def key_name(number: bytes) -> str:
    """A key's number as people see it: the bytes are of a little-endian integer."""
    return number[::-1].hex().upper()


def read_public_key(path: Path) -> PublicKey:
    """The key in a ``.pub`` file. Raises DataError for anything else."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_KEY_BYTES + 1)
    except OSError as error:
        raise DataError(str(path), "a minisign public key", error.strerror or str(error), f"ls -l {path}") from error
    return parse_public_key(content, str(path))


def parse_public_key(content: bytes, where: str) -> PublicKey:
    """The key in the content of a ``.pub`` file. Raises DataError."""
    try:
        lines = _lines(content, MOST_KEY_BYTES, (UNTRUSTED, ""))
        raw = _decoded(lines[1], 42, (b"Ed",))
    except ValueError as error:
        raise DataError(where, "a minisign public key", str(error), "quantize keygen KEY makes one: KEY.pub") from error
    return PublicKey(raw[2:10], raw[10:])


def parse_signature(content: bytes, where: str) -> Signature:
    """The signature in a ``.minisig`` file, not yet verified. Raises BundleError."""
    try:
        lines = _lines(content, MOST_SIGNATURE_BYTES, (UNTRUSTED, "", TRUSTED, ""))
        raw = _decoded(lines[1], 74, (b"ED", b"Ed"))
        comment_raw = _decoded(lines[3], 64)
    except ValueError as error:
        raise BundleError(where, "a minisign signature", str(error), "sign anew: quantize sign BUNDLE --key KEY") from error
    return Signature(raw[2:10], raw[10:], raw[:2] == b"ED", lines[2].removeprefix(TRUSTED), comment_raw)


def _lines(content: bytes, most: int, starts: tuple[str, ...]) -> list[str]:
    """The lines of a file, each with the start it must have. Raises ValueError."""
    if len(content) > most:
        raise ValueError(f"more than {most} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ValueError("bytes that are not UTF-8") from error
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    if len(lines) != len(starts):
        raise ValueError(f"{len(lines)} lines instead of {len(starts)}")
    for number, (line, start) in enumerate(zip(lines, starts, strict=True), 1):
        if not line.startswith(start):
            raise ValueError(f"no '{start.strip()}' in line {number}")
        if not line.replace("\t", " ").isprintable():
            raise ValueError(f"a character in line {number} that cannot be printed")
    return lines


def _decoded(line: str, size: int, kinds: tuple[bytes, ...] = (b"",)) -> bytes:
    """The bytes of a line of base64. Raises ValueError."""
    try:
        raw = base64.b64decode(line, validate=True)
    except ValueError as error:
        raise ValueError("a line that is not base64") from error
    if len(raw) != size:
        raise ValueError(f"{len(raw)} bytes in base64 instead of {size}")
    if not raw.startswith(kinds):
        raise ValueError(f"the algorithm {raw[:2]!r} instead of {' or '.join(map(repr, kinds))}")
    return raw
