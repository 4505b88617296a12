"""Runtimes. A backend knows tensors only: neither what they mean nor where they go."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from edgeinfer.errors import ModelError
from edgeinfer.model.tensor import Array, TensorSpec
from edgeinfer.registry import Table, closest

__all__ = ["BACKENDS", "FORMATS", "RuntimeOptions", "Session", "open_session"]


MOST_THREADS = 256  # beyond, runtimes die of it


class RuntimeOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a session runs. ``accelerators`` are names of delegates (LiteRT) or execution providers (ONNX Runtime), tried in
    order; the CPU comes last by itself. With ``strict`` the absence of the first is an error, not a fallback."""

    threads: int = 1
    accelerators: tuple[str, ...] = ()
    strict: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= MOST_THREADS:
            raise ValueError(f"expected threads from 1 to {MOST_THREADS}, got {self.threads}")


class Session(Protocol):
    """A loaded model with memory of its own, used by one thread at a time.

    The constructor takes (path, options) and raises ModelError for a file that does not load (where=the file's name) and
    UnavailableError when the runtime is not installed or a strict accelerator is missing.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    runs_on: str  # what really runs, e.g. "LiteRT 2.3.0, XNNPACK, 2 threads"
    fallbacks: tuple[str, ...]  # why a wished-for accelerator is not what runs; empty when all is as wished
    variables: bool  # the model remembers inside what it was given before

    def __init__(self, path: Path, options: RuntimeOptions) -> None: ...

    def input(self, index: int) -> Array:
        """A writable view of the session's own input memory. It must be let go before ``invoke``."""
        ...

    def invoke(self) -> None:
        """Run the model once. Raises ModelError; RuntimeError when a view is still held."""
        ...

    def output(self, index: int) -> Array:
        """A view of the output, valid until the next ``invoke``."""
        ...

    def reset(self) -> None:
        """Forget what the model remembers inside. Inputs may be lost with it. No view may be held, as for ``invoke``."""
        ...

    def close(self) -> None: ...


BACKENDS = Table("backends", {
    "litert": "edgeinfer.model.backends.litert:LiteRtSession",
    "onnxruntime": "edgeinfer.model.backends.onnxruntime:OnnxRuntimeSession",
})

FORMATS = {"tflite": "litert", "onnx": "onnxruntime"}  # a manifest's format to the backend that runs it


def open_session(path: Path, format: str, options: RuntimeOptions) -> Session:
    """The model file loaded by the backend of its format. Raises ModelError and UnavailableError, as that backend does."""
    if format not in FORMATS:
        raise ModelError(path.name, f"one of the formats {', '.join(FORMATS)}", f"'{format}'", closest(format, FORMATS))
    session: Session = BACKENDS.load(FORMATS[format], path.name)(path, options)
    return session
