"""The bundle: a model file and everything true about it. A folder at rest, one uncompressed tar (.eib) in transport.

    manifest.json    at most 64 KiB; names every other file with its size and SHA-256
    manifest.sig     optional: a minisign signature (Ed25519) of manifest.json
    the model file, labels, probe frames

Order of trust: cap the size, verify the signature, parse, check names, sizes and digests; only then is a file in its place.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from edgeinfer.durable import sync_folder
from edgeinfer.errors import BundleError, DataError, Fault, ManifestError, StorageError, UsageError
from edgeinfer.model.archive import Entry, entries, write_entries
from edgeinfer.model.consistency import MANIFEST, SIGNATURE, is_member_name
from edgeinfer.model.manifest import MAX_BYTES, Manifest, Member, parse, serialise
from edgeinfer.model.minisign import MOST_SIGNATURE_BYTES, PublicKey, parse_signature
from edgeinfer.model.signature import Trust
from edgeinfer.model.signature import verify as verify_signature

__all__ = ["Bundle", "attach", "head", "lines", "open_model", "pack", "read", "sha256", "unpack", "write"]

MOST_BYTES = 1 << 30  # of a whole bundle, unless the caller says otherwise
_MOST_LABEL_BYTES = 4 << 20
_ANEW = "get the bundle anew, or pack it anew: quantize pack MODEL -o OUT"


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk. ``document`` is the whole manifest, with fields that this version does not know."""

    folder: Path
    manifest: Manifest
    document: dict[str, Any]
    labels: tuple[str, ...]
    trust: Trust
    digest: str  # SHA-256 of the raw manifest.json in hex: the identity of the bundle, since it covers every file's digest

    @property
    def model_path(self) -> Path:
        return self.folder / self.manifest.model

    @property
    def signed(self) -> bool:
        """Signed by a key that this device trusts."""
        return self.trust == "verified"


def open_model(path: Path, cache: Path, keys: Sequence[PublicKey] = ()) -> Bundle:
    """The bundle at ``path``: a folder as it is, an .eib unpacked into a folder of its own below ``cache`` (once).

    Raises UsageError for anything else, and what ``read`` and ``unpack`` raise.
    """
    if path.is_dir():
        return read(path, keys=keys)
    if path.suffix != ".eib":
        got = "no such file" if not path.exists() else f"a file '{path.name}'"
        raise UsageError(str(path), "a bundle: a folder with manifest.json, or an .eib file", got,
                         f"make one of a model file: quantize pack {path} -o {path.stem}.eib")
    with _opened(path, path.name) as stream:
        raw = _first(entries(stream, path.name), path.name)
    folder = cache / hashlib.sha256(raw).hexdigest()[:32]
    if folder.is_dir():
        try:
            return read(folder, keys=keys)
        except DataError:  # damaged since it was unpacked
            shutil.rmtree(folder)
    return unpack(path, folder, keys=keys)


def read(folder: Path, *, verify: bool = True, keys: Sequence[PublicKey] = ()) -> Bundle:
    """The bundle in ``folder``. Without ``verify`` no digest is computed, only names and sizes are checked.

    ``keys``: those that this device trusts; with any given the bundle must be signed by one. Raises ManifestError and
    BundleError (every fault at once), UnavailableError where the signature cannot be checked.
    """
    if not folder.is_dir():
        raise BundleError(str(folder), "a bundle's folder", "none", f"ls -l '{folder.parent}'")
    return _read(folder, folder.name, verify, keys)


def _read(folder: Path, where: str, digests: bool, keys: Sequence[PublicKey]) -> Bundle:
    raw = _content(folder / MANIFEST, MAX_BYTES, f"{where}/{MANIFEST}")
    signed = os.path.lexists(folder / SIGNATURE)
    signature = _content(folder / SIGNATURE, MOST_SIGNATURE_BYTES, f"{where}/{SIGNATURE}") if signed else None
    trust = verify_signature(raw, signature, keys, f"{where}/{SIGNATURE}")
    manifest, document = parse(raw, f"{where}/{MANIFEST}")
    faults = [*_strangers(folder, manifest, where), *_damage(folder, manifest, digests, where)]
    if faults:
        raise BundleError.of(faults)
    return Bundle(folder, manifest, document, _labels(folder, manifest, where), trust, hashlib.sha256(raw).hexdigest())


def write(folder: Path, manifest: Manifest, members: Mapping[str, Path | bytes],
          document: dict[str, Any] | None = None) -> Bundle:
    """A new bundle at ``folder``, complete or not at all; a bundle that was there is replaced.

    ``manifest.files`` is filled in from ``members``; ``document`` carries fields that this version does not know.
    Raises ManifestError where the manifest contradicts itself or the members, StorageError when the disk fails.
    """
    strange = [name for name in members if not is_member_name(name)]
    if strange:
        raise ManifestError("members", "flat file names of letters, digits, '.', '_', '+' and '-'", repr(strange)[:200])
    with _staged(folder) as staging:
        files = {name: _write_member(staging / name, source) for name, source in sorted(members.items())}
        raw = serialise(msgspec.structs.replace(manifest, files=files), document)
        _write_member(staging / MANIFEST, raw)
        _read(staging, folder.name, False, ())  # what would be refused later is refused now
    return _read(folder, folder.name, False, ())


def pack(folder: Path, target: Path) -> Bundle:
    """The bundle in ``folder`` as one file, complete or not at all; the same bundle gives the same bytes.

    Raises what ``read`` raises, and StorageError when the disk fails.
    """
    bundle = read(folder)
    first = [name for name in (MANIFEST, SIGNATURE) if (folder / name).exists()]
    with _storage(target):
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                write_entries(stream, [(name, folder / name) for name in [*first, *sorted(bundle.manifest.files)]])
                _sync(stream)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(target)
        finally:
            Path(temporary).unlink(missing_ok=True)
        sync_folder(target.parent)
    return bundle


def unpack(eib: Path, into: Path, *, max_bytes: int = MOST_BYTES, keys: Sequence[PublicKey] = ()) -> Bundle:
    """The bundle in the file ``eib``, as the folder ``into``, complete or not at all; a bundle that was there is replaced.

    Each member is checked before its first byte is written: a regular file, named by the manifest, of the stated size; its
    digest while it streams. Raises BundleError, ManifestError, UnavailableError (see ``read``) and StorageError.
    """
    where = eib.name
    with _opened(eib, str(eib)) as stream, _staged(into) as staging:
        members = entries(stream, where)
        raw = _first(members, where)
        second = next(members, None)
        signature = None
        if second is not None and second.name == SIGNATURE:
            signature, second = _small(second, MOST_SIGNATURE_BYTES, where), None
        verify_signature(raw, signature, keys, f"{where}: {SIGNATURE}")
        manifest, _ = parse(raw, f"{where}: {MANIFEST}")
        total = sum(member.bytes for member in manifest.files.values())
        if total > max_bytes:
            raise BundleError(where, f"at most {max_bytes} bytes of members", f"{total} bytes")
        _unpack_members(chain([second] if second else [], members), manifest, staging, where)
        for name, content in ((MANIFEST, raw), (SIGNATURE, signature)):
            if content is not None:
                _write_member(staging / name, content)
        _read(staging, where, False, keys)
    return _read(into, into.name, False, keys)


def head(eib: Path) -> tuple[bytes, bytes | None]:
    """The raw manifest and the raw signature of the file ``eib``, neither verified nor parsed: what a decision needs before
    anything is unpacked. Raises BundleError."""
    with _opened(eib, str(eib)) as stream:
        members = entries(stream, eib.name)
        raw = _first(members, eib.name)
        second = next(members, None)
        if second is None or second.name != SIGNATURE:
            return raw, None
        return raw, _small(second, MOST_SIGNATURE_BYTES, eib.name)


def attach(folder: Path, signature: bytes) -> None:
    """Put ``signature`` into the bundle in ``folder`` as its manifest.sig, whole or not at all.

    Raises BundleError for what is no signature, StorageError when the disk fails.
    """
    parse_signature(signature, SIGNATURE)
    with _storage(folder):
        descriptor, temporary = tempfile.mkstemp(prefix=f".{folder.name}.", dir=folder.parent)  # in it, it were a stranger
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(signature)
                _sync(stream)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(folder / SIGNATURE)
        finally:
            Path(temporary).unlink(missing_ok=True)
        sync_folder(folder)


def _first(members: Iterator[Entry], where: str) -> bytes:
    """The raw manifest, which is the first member."""
    entry = next(members, None)
    if entry is None or entry.name != MANIFEST:
        raise BundleError(where, f"{MANIFEST} as the first member", repr(entry.name) if entry else "an empty archive", _ANEW)
    return _small(entry, MAX_BYTES, where)


def _small(entry: Entry, most: int, where: str) -> bytes:
    if entry.size > most:
        raise BundleError(f"{where}: {entry.name}", f"at most {most} bytes", f"{entry.size} bytes", _ANEW)
    return b"".join(entry.content)


def _unpack_members(members: Iterator[Entry], manifest: Manifest, staging: Path, where: str) -> None:
    missing = dict(manifest.files)
    for entry in members:
        stated = missing.pop(entry.name, None)
        if stated is None:
            raise BundleError(where, "each file that the manifest names, once", repr(entry.name)[:120], _ANEW)
        if entry.size != stated.bytes:
            raise BundleError(f"{where}: {entry.name}", f"{stated.bytes} bytes", f"{entry.size} bytes", _ANEW)
        if _write_member(staging / entry.name, entry.content) != stated:
            raise BundleError(f"{where}: {entry.name}", f"SHA-256 {stated.sha256}", "other content", _ANEW)
    if missing:
        raise BundleError(where, "every file that the manifest names", f"none of: {', '.join(sorted(missing))}"[:200], _ANEW)


def _strangers(folder: Path, manifest: Manifest, where: str) -> list[Fault]:
    known = {*manifest.files, MANIFEST, SIGNATURE}
    return [Fault(f"{where}/{name}"[:200], "only files that the manifest names", "another", "remove it")
            for name in sorted(os.listdir(folder)) if name not in known]


def _damage(folder: Path, manifest: Manifest, digests: bool, bundle: str) -> Iterator[Fault]:
    for name, stated in manifest.files.items():
        where = f"{bundle}/{name}"
        try:
            with _opened(folder / name, where) as stream:
                size = os.fstat(stream.fileno()).st_size
                if size != stated.bytes:
                    yield Fault(where, f"{stated.bytes} bytes", f"{size} bytes", _ANEW)
                elif digests and sha256(stream) != stated.sha256:
                    yield Fault(where, f"SHA-256 {stated.sha256}", "other content", _ANEW)
        except BundleError as error:
            yield error.faults[0]


def _labels(folder: Path, manifest: Manifest, bundle: str) -> tuple[str, ...]:
    """One label a line, UTF-8."""
    if not manifest.labels:
        return ()
    where = f"{bundle}/{manifest.labels}"
    try:
        text = _content(folder / manifest.labels, _MOST_LABEL_BYTES, where).decode()
    except UnicodeDecodeError as error:
        raise BundleError(where, "labels in UTF-8", str(error), "save the labels as UTF-8") from error
    labels = lines(text)
    faults = [Fault(f"{where}:{number}", "one label of printable characters", repr(label)[:80] if label else "an empty line")
              for number, label in enumerate(labels, 1) if not label.strip() or not label.isprintable()]
    if faults:
        raise BundleError.of(faults[:10])
    return labels


def lines(text: str) -> tuple[str, ...]:
    """The labels in a text: its lines, ended as Unix or DOS does; ``splitlines`` knows ten more ends."""
    return tuple(line.removesuffix("\r") for line in text.removesuffix("\n").split("\n"))


def _content(path: Path, most: int, where: str) -> bytes:
    with _opened(path, where) as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise BundleError(where, f"at most {most} bytes", "more", _ANEW)
    return content


@contextmanager
def _opened(path: Path, where: str) -> Iterator[BinaryIO]:
    """A regular file, open for reading. No link is followed, and a FIFO does not block."""
    try:
        stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise BundleError(where, "a regular file", str(getattr(error, "strerror", error)), _ANEW) from error
    with stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise BundleError(where, "a regular file", "something else", _ANEW)
        yield stream


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``folder`` at the end, or nothing at all when an error comes."""
    with _storage(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            yield staging
            staging.chmod(0o755)
            sync_folder(staging)
            _replace(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _replace(staging: Path, folder: Path) -> None:
    """Rename into place. What stands there must be a bundle or empty: nothing else is ever removed."""
    if os.path.lexists(folder) and (folder.is_symlink() or not (folder / MANIFEST).is_file()) and not _is_empty(folder):
        raise BundleError(str(folder), "a new name, or a bundle to replace", "something else", "give another name")
    if (folder / MANIFEST).is_file():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
        folder.rename(old)
        staging.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        staging.rename(folder)
    sync_folder(folder.parent)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())


def _write_member(path: Path, source: Path | bytes | Iterator[bytes]) -> Member:
    """Copy, synced to the disk; its size and digest as they were written."""
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as target:
        for chunk in _chunks(source):
            digest.update(chunk)
            size += target.write(chunk)
        _sync(target)
    return Member(sha256=digest.hexdigest(), bytes=size)


def _chunks(source: Path | bytes | Iterator[bytes]) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
    elif isinstance(source, Path):
        with source.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                yield chunk
    else:
        yield from source


def sha256(stream: BinaryIO) -> str:
    """In hex, of what is left of the stream."""
    digest = hashlib.sha256()
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _storage(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(str(target), "a place that can be written to", str(error)) from error


def _sync(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())
