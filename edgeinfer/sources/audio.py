"""Sound from a microphone, through ALSA's own arecord."""

from __future__ import annotations

import threading
from typing import ClassVar, Literal

import msgspec
import numpy as np

from edgeinfer.errors import SourceError
from edgeinfer.model.tensor import Array
from edgeinfer.sources import SampleFormat
from edgeinfer.sources.child import Child

__all__ = ["Audio"]

_SCRATCH_BYTES = 64 * 1024


class AudioOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    device: str = "default"  # ALSA's name; plughw:CARD=…, of `arecord -L`, converts what the card does not have
    rate: int = 16000  # samples a second
    channels: int = 1
    timeout_s: float = 5.0  # seconds without a sample until the device counts as dead

    def __post_init__(self) -> None:
        if not self.device:
            raise ValueError("expected device to name an ALSA device, got an empty one")
        if not 1000 <= self.rate <= 384000:
            raise ValueError(f"expected rate from 1000 to 384000, got {self.rate}")
        if not 1 <= self.channels <= 64:
            raise ValueError(f"expected channels from 1 to 64, got {self.channels}")
        if not 0 < self.timeout_s <= 600:
            raise ValueError(f"expected timeout_s above 0 and up to 600, got {self.timeout_s}")

    @property
    def argv(self) -> tuple[str, ...]:
        """Half a second of room; an overrun ends it: samples with a gap between them are no window."""
        return ("arecord", "-q", "-D", self.device, "-t", "raw", "-f", "S16_LE", "-r", str(self.rate), "-c", str(self.channels),
                "--buffer-time=500000", "--fatal-errors")


class Audio:
    """float32 samples, -1 to 1 of full scale. It never ends: arecord's death is a SourceError, with its last words, and it is
    started anew; windows begin anew with it."""

    Options = AudioOptions
    yields: ClassVar[Literal["frames", "samples"]] = "samples"
    live = True
    retry_s: ClassVar[float] = 2.0

    def __init__(self, options: AudioOptions) -> None:
        self._options = options
        self._interrupted = threading.Event()
        self._child: Child | None = None
        self._scratch: Array = np.zeros((_SCRATCH_BYTES // (2 * options.channels), options.channels), "<i2")

    def format(self) -> SampleFormat:
        """As the options state it."""
        return SampleFormat(self._options.channels, float(self._options.rate))

    def open(self) -> None:
        """Raises SourceError when there is no arecord."""
        self.close()
        self._interrupted.clear()
        self._child = Child(self._options.argv, _SCRATCH_BYTES, self._options.timeout_s, self._interrupted)

    def read_into(self, samples: Array) -> int:
        """Fill float32 (n, channels) from the front; 0 when interrupted. Raises SourceError when the sound ends."""
        done = 0
        while done < len(samples):
            scratch = self._scratch[: len(samples) - done]
            if not self._fill(scratch.reshape(-1).view(np.uint8).data):
                return 0
            np.multiply(scratch, np.float32(1 / 32768), out=samples[done : done + len(scratch)], casting="unsafe")  # exact
            done += len(scratch)
        return done

    def _fill(self, target: memoryview) -> bool:
        """False when interrupted."""
        assert self._child is not None
        if self._child.fill(target) == len(target):
            return True
        if self._interrupted.is_set():
            return False
        code, words = self._child.death()
        raise SourceError(self._options.device, "sound that goes on", f"the end of arecord with exit code {code}{words}",
                          "arecord -L lists the devices")

    def interrupt(self) -> None:
        """Make a read return at once; any thread."""
        self._interrupted.set()

    def close(self) -> None:
        """End arecord."""
        if self._child is not None:
            self._child.close()
            self._child = None
