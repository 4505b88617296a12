"""minisign's secret key file, made and read. https://jedisct1.github.io/minisign/, "Format"; the limits of scrypt are those
of libsodium's crypto_pwhash_scryptsalsa208sha256. After a comment, base64 of:

    "Ed"   "Sc", or zeros where there is no password   "B2"   salt (32)   opslimit (8)   memlimit (8)
    xor'ed with scrypt's output:   key number (8)   seed (32)   public key (32)   BLAKE2b-256 of "Ed" and these three
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path

from edgeinfer.errors import DataError, UnavailableError, UsageError
from edgeinfer.model.minisign import MOST_KEY_BYTES, UNTRUSTED, PublicKey

__all__ = ["MEMORY", "SecretKey", "is_encrypted", "read", "serialise"]

MEMORY = 1 << 30  # bytes that one guess at a password costs: libsodium's "sensitive" limit, as minisign has it
_NO_KDF, _SCRYPT = b"\0\0", b"Sc"
_FORM = struct.Struct("<2s2s2s32sQQ104s")


@dataclass(frozen=True)
class SecretKey:
    """What signs: an Ed25519 seed (32 bytes), and its public half."""

    public: PublicKey
    seed: bytes = field(repr=False)


def serialise(key: SecretKey, password: bytes | None, memory: int = MEMORY) -> bytes:
    """The content of a secret key file; encrypted, unless ``password`` is None. ``memory`` is a power of 2, of bytes."""
    content = key.public.number + key.seed + key.public.raw
    kdf, salt, operations, sealed = _NO_KDF, bytes(32), 0, content + bytes(32)  # minisign -W has no checksum
    if password is None:
        memory = 0
    else:
        kdf, salt, operations = _SCRYPT, os.urandom(32), memory // 32
        sealed = _xor(content + _checksum(content), _stretched(password, salt, operations, memory, "password"))
    raw = _FORM.pack(b"Ed", kdf, b"B2", salt, operations, memory, sealed)
    kind = "unencrypted" if password is None else "encrypted"
    return f"{UNTRUSTED}minisign {kind} secret key\n{base64.b64encode(raw).decode()}\n".encode()


def is_encrypted(path: Path) -> bool:
    """Whether a secret key file needs a password. Raises DataError for what is no secret key."""
    return bool(_FORM.unpack(_decoded(path))[1] == _SCRYPT)


def read(path: Path, password: bytes | None = None) -> SecretKey:
    """The key in a secret key file. A password is ignored where none is needed.

    Raises DataError for what is no secret key, UsageError for a missing or wrong password.
    """
    algorithm, kdf, checksum, salt, operations, memory, sealed = _FORM.unpack(_decoded(path))
    if algorithm != b"Ed" or checksum != b"B2" or kdf not in (_NO_KDF, _SCRYPT):
        raise DataError(str(path), "an Ed25519 secret key of minisign", f"algorithms {algorithm + kdf + checksum!r}")
    if kdf == _SCRYPT:
        if password is None:
            raise UsageError(str(path), "the password of this key", "none")
        sealed = _xor(sealed, _stretched(password, salt, operations, memory, str(path)))
        if sealed[72:] != _checksum(sealed[:72]):
            raise UsageError(str(path), "the password of this key", "another one")
    return SecretKey(PublicKey(sealed[:8], sealed[40:72]), sealed[8:40])


def _decoded(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_KEY_BYTES + 1)
    except OSError as error:
        raise DataError(str(path), "a secret key", error.strerror or str(error), f"quantize keygen {path}") from error
    lines = content.split(b"\n")
    try:
        raw = base64.b64decode(lines[1].strip(), validate=True)
    except (ValueError, IndexError):
        raw = b""
    if len(raw) != _FORM.size or not lines[0].startswith(UNTRUSTED.encode()) or any(line.strip() for line in lines[2:]):
        raise DataError(str(path), "a secret key of minisign", "something else", "name the file that quantize keygen wrote")
    return raw


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(b"Ed" + content, digest_size=32).digest()


def _stretched(password: bytes, salt: bytes, operations: int, memory: int, where: str) -> bytes:
    """104 bytes by scrypt, with N, r and p as libsodium's ``pickparams`` makes them of its two limits."""
    if not 1 << 15 <= operations <= 1 << 27 or not 1 << 20 <= memory <= MEMORY:
        raise DataError(where, "limits of scrypt of at most 1 GiB", f"{operations} operations and {memory} bytes")
    little = operations < memory // 32
    log_n = max((operations // 32 if little else memory // 1024).bit_length() - 1, 1)
    parallel = 1 if little else max((operations // 4 >> log_n) // 8, 1)
    try:
        return hashlib.scrypt(password, salt=salt, n=1 << log_n, r=8, p=parallel, maxmem=MEMORY + (64 << 20), dklen=104)
    except (MemoryError, ValueError) as error:  # OpenSSL's own errors are ValueErrors
        raise UnavailableError(where, f"{memory >> 20} MiB of memory for the password", "less",
                               "sign on a machine with more memory") from error


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
