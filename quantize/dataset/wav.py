"""RIFF WAVE files, as the device reads them."""

from __future__ import annotations

from edgeinfer.model.wavefile import Wav

__all__ = ["Wav"]
