"""What is set while the daemon runs and holds after a restart: ``<state>/settings.json``, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgeinfer import durable
from edgeinfer.errors import StorageError

__all__ = ["PipelineSettings", "Settings"]

_MOST_BYTES = 1 << 20
_MOST_ACCEPTED = 3  # as many as the store keeps


class PipelineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``threshold`` None: the configuration's."""

    enabled: bool = True
    threshold: float | None = None


class _File(msgspec.Struct, frozen=True, kw_only=True):
    v: int = 1
    pipelines: dict[str, PipelineSettings] = {}
    accepted: dict[str, tuple[str, ...]] = {}  # by installed model, digests of bundles that passed their probation, the latest last


class Settings:
    """The settings in the folder ``state``. The main thread. What cannot be read is as if nothing had been set, and is told
    in ``damage``; every change raises StorageError where it cannot be kept, and holds until the end of the process even so."""

    def __init__(self, state: Path) -> None:
        self.damage = ""
        self._path = state / "settings.json"
        self._file = self._read()

    def _read(self) -> _File:
        try:
            with self._path.open("rb") as stream:
                return msgspec.json.decode(stream.read(_MOST_BYTES), type=_File)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, RecursionError) as error:  # RecursionError: brackets within brackets
            self.damage = f"{self._path} is left aside: {error}"
        return _File()

    def of(self, pipeline: str) -> PipelineSettings:
        return self._file.pipelines.get(pipeline, PipelineSettings())

    def thresholds(self) -> dict[str, float]:
        """Those that were set, by pipeline."""
        return {name: one.threshold for name, one in self._file.pipelines.items() if one.threshold is not None}

    def accepted(self, model: str, digest: str) -> bool:
        """Whether the bundle of this digest (or of one that begins so) passed its probation here."""
        return any(known.startswith(digest) for known in self._file.accepted.get(model, ()))

    def set(self, pipeline: str, settings: PipelineSettings) -> None:
        self._write(msgspec.structs.replace(self._file, pipelines={**self._file.pipelines, pipeline: settings}))

    def accept(self, model: str, digest: str) -> None:
        before = self._file.accepted.get(model, ())
        if before[-1:] != (digest,):
            kept = (*(known for known in before if known != digest), digest)[-_MOST_ACCEPTED:]
            self._write(msgspec.structs.replace(self._file, accepted={**self._file.accepted, model: kept}))

    def _write(self, file: _File) -> None:
        self._file = file
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            durable.write(self._path, msgspec.json.encode(file))
        except OSError as error:
            raise StorageError(str(self._path), "a place that can be written to", str(error),
                               f"ls -ld {self._path.parent}") from error
