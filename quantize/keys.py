"""Signing keys, and the signing of bundles. The files are minisign's: what either program makes, the other reads."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

from edgeinfer.errors import DataError, StorageError, UnavailableError, UsageError
from edgeinfer.model import bundle as bundles
from edgeinfer.model.consistency import MANIFEST
from edgeinfer.model.minisign import TRUSTED, UNTRUSTED, PublicKey
from quantize.secretkey import MEMORY, SecretKey, read, serialise

__all__ = ["generate", "public_path", "sign", "signature_of"]


def public_path(secret: Path) -> Path:
    """Where ``generate`` puts the public half of a key: maker.key, maker.pub."""
    return secret.with_suffix(".pub")


def generate(path: Path, password: bytes | None, *, force: bool = False, memory: int = MEMORY) -> PublicKey:
    """A new key: the secret half at ``path`` (mode 0600), the public half beside it with the suffix .pub.

    With ``password`` None the secret half is not encrypted. ``memory``: bytes that one guess at the password costs, a power
    of 2 from 1 MiB to 1 GiB. Raises UsageError where a key stands already (unless ``force``), StorageError when the disk
    fails, UnavailableError where Ed25519 is not installed.
    """
    public_file = public_path(path)
    if public_file == path:
        raise UsageError(str(path), "a name for the secret key", "the suffix of public keys",
                         f"use {path.with_suffix('.key')}")
    if password == b"":
        raise UsageError(str(path), "a password", "an empty one")
    for there in (path, public_file):
        if os.path.lexists(there) and not force:
            raise UsageError(str(there), "a new file: a lost key cannot be made again", "one that is there",
                             f"use another name, or move it away: mv {there} {there}.old")
    seed, number = os.urandom(32), os.urandom(8)
    public = PublicKey(number, _ed25519(str(path), seed).public_key().public_bytes_raw())
    _write(path, serialise(SecretKey(public, seed), password, memory), 0o600, force)
    key = base64.b64encode(b"Ed" + public.number + public.raw).decode()
    _write(public_file, f"{UNTRUSTED}minisign public key {public.name}\n{key}\n".encode(), 0o644, force)
    return public


def sign(bundle: Path, secret: Path, password: bytes | None = None, trusted_comment: str = "") -> PublicKey:
    """Sign the bundle at ``bundle``, a folder or an .eib, with the key in the file ``secret``; the key's public half is
    returned. The bundle is checked first, then rewritten whole or not at all; a signature that is there is replaced.

    ``trusted_comment`` is one line that is signed, too: name, version and sequence of the model where it is empty. Raises
    what ``secretkey.read`` and ``bundle.read`` raise, UsageError for another comment, StorageError when the disk fails.
    """
    if not trusted_comment.isprintable() or len(trusted_comment.encode()) > 1024:
        raise UsageError("comment", "one line of at most 1024 bytes", repr(trusted_comment)[:80])
    if not bundle.is_dir() and (bundle.suffix != ".eib" or not bundle.is_file()):
        got = "another file" if bundle.exists() else "no such file"
        raise UsageError(str(bundle), "a bundle: a folder with manifest.json, or an .eib file", got,
                         "make one of a model file: quantize pack MODEL -o OUT.eib")
    key = read(secret, password)
    if _ed25519(str(secret), key.seed).public_key().public_bytes_raw() != key.public.raw:
        raise DataError(str(secret), "a secret key and its public half", "two that do not belong together",
                        "restore the file from a copy")
    if bundle.is_dir():
        _sign_folder(bundle, key, trusted_comment)
        return key.public
    try:
        with tempfile.TemporaryDirectory(prefix=f".{bundle.name}.", dir=bundle.parent) as scratch:
            folder = Path(scratch) / bundle.stem
            bundles.unpack(bundle, folder)
            _sign_folder(folder, key, trusted_comment)
            bundles.pack(folder, bundle)
    except OSError as error:
        raise StorageError(str(bundle), "a place that can be written to", str(error)) from error
    return key.public


def _sign_folder(folder: Path, key: SecretKey, trusted_comment: str) -> None:
    manifest = bundles.read(folder).manifest
    comment = trusted_comment or f"{manifest.name}:{manifest.version} sequence {manifest.sequence}"
    bundles.attach(folder, signature_of((folder / MANIFEST).read_bytes(), key, comment))


def signature_of(content: bytes, key: SecretKey, trusted_comment: str) -> bytes:
    """A .minisig file's content: a signature of the BLAKE2b-512 of ``content``. The same input gives the same bytes."""
    private = _ed25519(MANIFEST, key.seed)
    raw = private.sign(hashlib.blake2b(content).digest())
    whole = private.sign(raw + trusted_comment.encode())
    lines = [f"{UNTRUSTED}signature by key {key.public.name}", base64.b64encode(b"ED" + key.public.number + raw).decode(),
             f"{TRUSTED}{trusted_comment}", base64.b64encode(whole).decode()]
    return "".join(f"{line}\n" for line in lines).encode()


def _ed25519(where: str, seed: bytes) -> Any:
    """The private key of a seed."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise UnavailableError(where, "Ed25519 to sign with", str(error), "pip install 'edgeinfer[sign]'") from error
    return ed25519.Ed25519PrivateKey.from_private_bytes(seed)


def _write(path: Path, content: bytes, mode: int, force: bool) -> None:
    """A file that is there whole or not at all, and never with another mode than ``mode``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = path
        if force:
            target = path.with_name(f".{path.name}.new")
            target.unlink(missing_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
            target.replace(path)
        except OSError:
            target.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(str(path), "a place that can be written to", str(error)) from error
