"""Samples from a NumPy array file."""

from __future__ import annotations

import math
import tokenize
from typing import ClassVar, Literal

import msgspec
import numpy as np

from edgeinfer.errors import SourceError
from edgeinfer.model.tensor import Array
from edgeinfer.sources import SampleFormat
from edgeinfer.sources.pacing import Pace

__all__ = ["Npy"]

# what numpy.load lets out on a damaged header, which it reads as a Python literal
_DAMAGED = (ValueError, EOFError, OverflowError, TypeError, MemoryError, RecursionError, SyntaxError, tokenize.TokenError)


class NpyOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: str
    rate: float = 0.0  # samples a second; 0: not stated
    pace: Literal["realtime", "fast"] = "realtime"  # at ``rate``, or as fast as the reader
    loop: bool = False

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("expected path to name a .npy file, got an empty one")
        if not 0 <= self.rate < math.inf:
            raise ValueError(f"expected rate of 0 or more, got {self.rate}")
        if self.pace == "realtime" and self.rate == 0:
            raise ValueError("expected a rate above 0, or pace: fast, got neither")


class Npy:
    """An array (n,) or (n, channels), or windows (k, length, channels) one after the other, of any real dtype.

    The file is mapped, never loaded, and must not be cut short while it plays. Nothing pickled is accepted.
    """

    Options = NpyOptions
    yields: ClassVar[Literal["frames", "samples"]] = "samples"

    def __init__(self, options: NpyOptions) -> None:
        self.live = options.pace == "realtime"
        self._options = options
        self._pace = Pace()
        self._samples: Array | None = None
        self._next = 0

    def format(self) -> SampleFormat:
        """From the file's header. Raises SourceError."""
        return SampleFormat(self._map().shape[1], self._options.rate)

    def open(self) -> None:
        """Raises SourceError when the file is not such an array."""
        self._samples = self._map()
        self._next = 0
        self._pace.start()

    def _map(self) -> Array:
        """The file as (n, channels), without reading it."""
        path = self._options.path
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except OSError as error:
            raise SourceError(path, "a .npy file", error.strerror or str(error), f"ls -l '{path}'") from error
        except _DAMAGED as error:
            raise SourceError(path, "a whole .npy file", " ".join(str(error).split())[:120]) from error
        if not isinstance(array, np.ndarray):  # an archive of several
            array.close()
            raise SourceError(path, "one array (.npy)", "an archive (.npz)", f"unzip -l '{path}'")
        if array.dtype.kind not in "iufb" or array.ndim not in (1, 2, 3) or array.size == 0:
            raise SourceError(path, "real numbers of shape (n,), (n, channels) or (k, length, channels)",
                              f"{array.dtype} of shape {array.shape}")
        if array.ndim == 3 and not array.flags.c_contiguous:
            raise SourceError(path, "windows in C order", "Fortran order",
                              f"python3 -c \"import numpy; numpy.save('{path}', numpy.load('{path}').copy('C'))\"")
        return array.reshape(-1, array.shape[-1] if array.ndim > 1 else 1)

    def read_into(self, samples: Array) -> int:
        """Fill float32 (n, channels) from the front, at the pace of ``rate``; 0 at the end, or when interrupted."""
        assert self._samples is not None
        done = 0
        while done < len(samples):
            if self._next >= len(self._samples):
                if not self._options.loop:
                    break
                self._next = 0
            rows = self._samples[self._next : self._next + len(samples) - done]
            np.copyto(samples[done : done + len(rows)], rows, casting="unsafe")
            done += len(rows)
            self._next += len(rows)
        return done if self._pace.wait(done / self._options.rate if self.live else 0.0) else 0

    def interrupt(self) -> None:
        self._pace.interrupt()

    def close(self) -> None:
        self._samples = None
