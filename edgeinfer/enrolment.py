"""Who is enrolled on this device: names with the average of their embeddings, one file a set. Nothing of it leaves.

``<state>/enrolled/<set>.npz`` is NumPy's format without pickle: names, vectors (normalised averages), how many pictures each
is the average of, and the model that they are of. It is written aside and renamed, and only its owner may read it.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from edgeinfer.durable import locked, sync_folder
from edgeinfer.errors import DataError, StorageError, UsageError
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.decoders import DECODERS
from edgeinfer.model.tensor import Array

__all__ = ["Enrolled", "Register", "change", "introduce", "path_of", "read", "set_of", "write"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MOST_BYTES = 16 << 20
_MOST_NAME = 100  # characters
_PATIENCE_S = 10.0


@dataclass(frozen=True)
class Enrolled:
    """``vectors`` (names, size) float64, each of length 1; ``pictures`` (names,): of how many each is the average. ``model``:
    the SHA-256 of the model file that made them, as vectors of different models cannot be compared."""

    names: tuple[str, ...]
    vectors: Array
    pictures: tuple[int, ...]
    model: str

    @classmethod
    def nobody(cls, size: int, model: str) -> Enrolled:
        """A set without a name."""
        return cls((), np.empty((0, size)), (), model)

    @property
    def digest(self) -> str:
        """Which set this is, in hex; the same for the same names with the same vectors, empty for nobody."""
        content = hashlib.sha256("\0".join(self.names).encode() + self.vectors.astype(np.float32).tobytes())
        return content.hexdigest() if self.names else ""

    def with_pictures(self, name: str, vectors: Array) -> Enrolled:
        """Another set, in which ``name`` has these vectors (n, size), of length 1 each, besides those it had.

        Raises UsageError for a name that is no name, DataError where the vectors average to nothing.
        """
        if not name.strip() or len(name) > _MOST_NAME or not name.isprintable():
            raise UsageError("NAME", f"a name of 1 to {_MOST_NAME} characters", repr(name))
        had = self.names.index(name) if name in self.names else None
        total = vectors.sum(axis=0) + (self.vectors[had] * self.pictures[had] if had is not None else 0.0)
        length = float(np.linalg.norm(total))
        if not 1e-6 < length < np.inf:
            raise DataError(f"the pictures of {name}", "embeddings that are alike", "ones that cancel each other out")
        rest = self.without(name) if had is not None else self
        count = len(vectors) + (self.pictures[had] if had is not None else 0)
        return Enrolled((*rest.names, name), np.vstack((rest.vectors, total / length)), (*rest.pictures, count), self.model)

    def without(self, name: str) -> Enrolled:
        """Another set, in which ``name`` is not. Raises UsageError where it is not in this one."""
        if name not in self.names:
            raise UsageError("--remove", "a name that is enrolled", f"'{name}'",
                             f"enrolled are: {', '.join(self.names) or 'none'}")
        kept = [index for index, other in enumerate(self.names) if other != name]
        return Enrolled(tuple(self.names[index] for index in kept), self.vectors[kept],
                        tuple(self.pictures[index] for index in kept), self.model)


class Recogniser(Protocol):
    """A decoder that compares with the enrolled: embed, or a third party's. All three make it one."""

    enrolled_set: str
    size: int

    def know(self, names: Sequence[str], vectors: Array) -> None: ...


class Register:
    """Keeps a lane's decoder up to date with the set that it names: ``refresh`` at the start, then each tick. Main thread."""

    def __init__(self, decoder: Recogniser, state: Path, model: str) -> None:
        """``state``: the state folder; ``model``: SHA-256 of the model file. Raises UsageError for a set that is no name."""
        self.path = path_of(state, decoder.enrolled_set)
        self._decoder, self._model = decoder, model
        self._seen: tuple[int, int] | None = None

    @classmethod
    def of(cls, decoder: object, state: Path, model: str) -> Register | None:
        """One for a decoder that compares, None for any other."""
        recogniser = _recogniser(decoder)
        return cls(recogniser, state, model) if recogniser is not None else None

    def refresh(self) -> bool:
        """Whether the set had changed, and is known from the next frame on; costs a stat(2) where it had not.

        Raises DataError and StorageError, once for each change; the decoder goes on with what it knew.
        """
        try:
            found = self.path.stat()
            seen = (found.st_ino, found.st_mtime_ns)
        except OSError:
            seen = (0, 0)
        if seen == self._seen:
            return False
        self._seen = seen
        enrolled = read(self.path, self._decoder.size, self._model)
        self._decoder.know(enrolled.names, enrolled.vectors)
        return True


def _recogniser(decoder: object) -> Recogniser | None:
    compares = all(hasattr(decoder, name) for name in ("enrolled_set", "size", "know"))
    return cast("Recogniser", decoder) if compares else None


def set_of(bundle: Bundle, state: Path) -> tuple[Path, Enrolled] | None:
    """The file of those whom the bundle's decoder compares with, and who they are now; None for one that compares with nobody.
    Raises what making a decoder and ``read`` raise."""
    manifest = bundle.manifest
    decoder = _recogniser(DECODERS.load(manifest.decoder.name, "manifest.json: decoder.name")(
        manifest.decoder.parameters, manifest.outputs, bundle.labels, manifest.inputs))
    if decoder is None:
        return None
    path = path_of(state, decoder.enrolled_set)
    return path, read(path, decoder.size, manifest.files[manifest.model].sha256)


def introduce(enrolled: Enrolled, decoder: object) -> None:
    """Let a decoder that compares know them."""
    recogniser = _recogniser(decoder)
    if recogniser is not None:
        recogniser.know(enrolled.names, enrolled.vectors)


def path_of(state: Path, name: str) -> Path:
    """The file of a set below a state folder. Raises UsageError for a name that is none of a set."""
    if not _NAME.fullmatch(name):
        raise UsageError("--set", "1 to 64 letters, digits, _ and -", f"'{name}'")
    return state / "enrolled" / f"{name}.npz"


def read(path: Path, size: int, model: str) -> Enrolled:
    """The set in a file; nobody where there is no file. ``size``: of a vector; ``model``: SHA-256 of the model file.

    Raises DataError for a file that is none of ours or of another model, StorageError where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return Enrolled.nobody(size, model)
    except OSError as error:
        raise StorageError(str(path), "a file that can be read", error.strerror or str(error)) from error
    enrolled = _parse(path, raw)
    if enrolled.names and (enrolled.model != model or enrolled.vectors.shape[1] != size):
        raise DataError(str(path), "embeddings of this model", "those of another, which cannot be compared",
                        f"enroll anew, or keep both: another --set and decoder.parameters.enrolled (rm {path})")
    return enrolled if enrolled.names else Enrolled.nobody(size, model)


def _parse(path: Path, raw: bytes) -> Enrolled:
    try:
        if len(raw) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
        with np.load(io.BytesIO(raw), allow_pickle=False) as found:
            names, vectors = tuple(str(name) for name in found["names"]), np.array(found["vectors"], np.float64)
            pictures, model = tuple(int(count) for count in found["pictures"]), str(found["model"])
        lengths = np.linalg.norm(vectors, axis=1) if vectors.ndim == 2 else np.zeros(1)
        if not len(names) == len(vectors) == len(pictures) or len(set(names)) != len(names) or (abs(lengths - 1) > 1e-3).any():
            raise ValueError("names and vectors that do not go together")
    except Exception as error:  # zipfile and numpy raise whatever a damaged file makes them
        raise DataError(str(path), "names and embeddings, as edgeinfer enroll writes them", f"{error}" or type(error).__name__,
                        f"rm {path}, and enroll anew") from error
    return Enrolled(names, vectors, pictures, model)


def change(path: Path, size: int, model: str, how: Callable[[Enrolled], Enrolled]) -> Enrolled:
    """What ``how`` makes of the set in a file, written in its place; meanwhile nobody else changes it.

    Raises UsageError where another change takes too long, and what reading, ``how`` and writing raise.
    """
    lock = path.with_name(".lock")
    busy = UsageError(str(path), "one change at a time", "another that is running", "wait for it, and try again")
    try:
        _make_folder(path.parent)
        with locked(lock, _PATIENCE_S, busy):
            _give(lock, path.parent.parent.stat())
            enrolled = how(read(path, size, model))
            write(path, enrolled)
            return enrolled
    except OSError as error:
        raise _refused(path, error) from error


def write(path: Path, enrolled: Enrolled) -> None:
    """The set as a file, whole or not at all, for its owner alone: that of the state folder, whom the daemon runs as.

    Raises StorageError.
    """
    buffer = io.BytesIO()
    np.savez(buffer, names=np.array(enrolled.names, np.str_), vectors=enrolled.vectors.astype(np.float32),
             pictures=np.array(enrolled.pictures, np.int64), model=np.array(enrolled.model))
    if buffer.tell() > _MOST_BYTES:
        raise StorageError(str(path), f"a set of at most {_MOST_BYTES} bytes", str(buffer.tell()), "enroll in another --set")
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _make_folder(path.parent)
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(buffer.getvalue())
            file.flush()
            os.fsync(file.fileno())
        _give(aside, path.parent.parent.stat())
        aside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> StorageError:
    return StorageError(str(path), "a file that can be written", error.strerror or str(error),
                        "give --state a folder that is there and that you may write to")


def _make_folder(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        _give(folder, folder.parent.stat())


def _give(path: Path, owner: os.stat_result) -> None:
    """Root's file becomes that of the state folder's owner."""
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)
