"""What the manifest says of features between a window's samples and the model's input. Facts only; ``features`` computes.

A window of ``length`` samples becomes ``rows(length)`` rows, one for each frame of samples, of ``width`` values a channel.
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["BandsSpec", "FeatureSpec", "Framed", "Levelled", "MelSpec", "MfccSpec", "MicroFrontendSpec", "Spectral", "SpectrumSpec",
           "Statistic", "StatisticsSpec"]

Statistic = Literal["mean", "rms", "std", "peak", "peak_to_peak", "crest", "shape", "impulse", "skewness", "kurtosis",
                    "zero_crossings", "envelope_mean", "envelope_rms", "envelope_peak", "envelope_kurtosis"]


class Framed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frames of ``frame`` samples, one each ``step`` samples."""

    frame: int
    step: int

    @property
    def support(self) -> int:
        """Samples that one row is computed from."""
        return self.frame

    @property
    def pad(self) -> int:
        """Samples before and after the window that are made up."""
        return 0

    @property
    def width(self) -> int:
        """Values that one channel has in a row."""
        raise NotImplementedError

    def rows(self, length: int) -> int:
        """Of a window of so many samples; less than 1 where it is too short."""
        return (length + 2 * self.pad - self.support) // self.step + 1


class Spectral(Framed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """|X|**power of each frame, where X is its discrete Fourier transform of ``fft`` points after a window function.

    fft 0 is the next power of two from ``frame`` on. align: where the frame lies among the points, at the "start" (tf.signal)
    or in the "centre" (librosa's win_length; a frame then reaches over ``fft`` samples). centre: how fft // 2 samples before
    and after the window are made up, so that frames are centred on their time. preemphasis a: x[n] - a x[n - 1] before all,
    where before the first sample is 0 ("window"), or of each frame alone, whose first sample is its own predecessor ("frame").
    """

    fft: int = 0
    window: Literal["hann", "hamming", "blackman", "rectangular"] = "hann"
    periodic: bool = True
    align: Literal["start", "centre"] = "start"
    centre: Literal["none", "zeros", "reflect"] = "none"
    preemphasis: float = 0.0
    preemphasis_of: Literal["window", "frame"] = "window"
    power: Literal[1, 2] = 2

    @property
    def points(self) -> int:
        return self.fft or 1 << max(self.frame - 1, 0).bit_length()

    @property
    def support(self) -> int:
        return self.points if self.align == "centre" else self.frame

    @property
    def pad(self) -> int:
        return 0 if self.centre == "none" else self.points // 2


class Levelled(Spectral, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a spectrum's values become levels: v = max(value + offset, floor), then ln(v), log10(v), or decibels,
    10 log10(v / reference) of a power and 20 log10(v / reference) of a magnitude; reference 0 is the window's greatest value.
    top_db above 0 lifts what lies further below the window's greatest level. scale: the window's samples are divided by their
    greatest value ("max") or magnitude ("peak") first, where that is above 0.
    """

    log: Literal["none", "ln", "log10", "db"] = "ln"
    offset: float = 0.0
    floor: float = 1e-10
    reference: float = 1.0
    top_db: float = 0.0
    scale: Literal["none", "max", "peak"] = "none"


class SpectrumSpec(Levelled, frozen=True, kw_only=True, tag="spectrum", tag_field="kind", forbid_unknown_fields=True):
    """The spectrum itself, fft // 2 + 1 values a frame, or the first ``bins`` of them."""

    bins: int = 0
    log: Literal["none", "ln", "log10", "db"] = "none"

    @property
    def width(self) -> int:
        return self.bins or self.points // 2 + 1


class BandsSpec(Levelled, frozen=True, kw_only=True, tag="bands", tag_field="kind", forbid_unknown_fields=True):
    """The sum (or, with ``average``, the mean) of the spectrum between each two ``edges`` (Hz): lower <= f < upper."""

    edges: tuple[float, ...]
    average: bool = False

    @property
    def width(self) -> int:
        return len(self.edges) - 1


class MelSpec(Levelled, frozen=True, kw_only=True, tag="mel", tag_field="kind", forbid_unknown_fields=True):
    """Triangular filters at equal distances on a mel scale from ``low`` to ``high`` (Hz; 0: half the rate).

    mel "htk": 2595 log10(1 + f / 700), "slaney": linear below 1 kHz. The triangles are straight over "hertz" (librosa) or
    over "mel" (HTK, Kaldi, tf.signal). norm "slaney" divides each by half its width in Hz.
    """

    bands: int
    mel: Literal["htk", "slaney"] = "htk"
    norm: Literal["none", "slaney"] = "none"
    triangles: Literal["hertz", "mel"] = "hertz"
    low: float = 0.0
    high: float = 0.0

    @property
    def width(self) -> int:
        return self.bands


class MfccSpec(MelSpec, frozen=True, kw_only=True, tag="mfcc", tag_field="kind", forbid_unknown_fields=True):
    """``coefficients`` of the discrete cosine transform of a mel spectrum's levels, from number ``first`` on.

    dct_norm "ortho": orthonormal; "htk": all of type 2 by sqrt(2 / bands), as HTK and tf.signal; "none": scipy's and
    librosa's own. lifter L above 0: times 1 + L / 2 sin(pi (n + lifter_from) / L), where librosa counts from 1, HTK from 0.
    """

    coefficients: int
    first: int = 0
    dct: Literal[1, 2, 3] = 2
    dct_norm: Literal["ortho", "htk", "none"] = "ortho"
    lifter: int = 0
    lifter_from: Literal[0, 1] = 1

    @property
    def width(self) -> int:
        return self.coefficients


class StatisticsSpec(Framed, frozen=True, kw_only=True, tag="statistics", tag_field="kind", forbid_unknown_fields=True):
    """Figures of each frame's samples, of which ``centred`` subtracts the mean first; then the root mean square in each of
    ``bands`` and, of the envelope, in each of ``envelope_bands``, pairs of Hz: lower <= f < upper.

    envelope: the magnitude of the analytic signal ("hilbert") between ``envelope_low`` and ``envelope_high`` Hz (0: no limit),
    or of what is between them the absolute value without what lies above ``envelope_smooth`` Hz ("rectify").
    """

    values: tuple[Statistic, ...] = ()
    bands: tuple[tuple[float, float], ...] = ()
    envelope_bands: tuple[tuple[float, float], ...] = ()
    centred: bool = True
    envelope: Literal["hilbert", "rectify"] = "hilbert"
    envelope_low: float = 0.0
    envelope_high: float = 0.0
    envelope_smooth: float = 0.0

    @property
    def width(self) -> int:
        return len(self.values) + len(self.bands) + len(self.envelope_bands)


class MicroFrontendSpec(Framed, frozen=True, kw_only=True, tag="micro_frontend", tag_field="kind", forbid_unknown_fields=True):
    """TensorFlow Lite Micro's audio frontend, in its own 16-bit arithmetic; samples are -1 to 1 of full scale.

    Its values are times ``scale``: 10 / 256, as pymicro-features and the micro_speech example have it. Its estimate of the
    noise goes on from window to window, as on a microcontroller; with ``fresh`` each window begins anew, as clips in training.
    """

    bands: int = 40
    low: float = 125.0
    high: float = 7500.0
    smoothing_bits: int = 10
    even_smoothing: float = 0.025
    odd_smoothing: float = 0.06
    min_signal_remaining: float = 0.05
    pcan: bool = True
    pcan_strength: float = 0.95
    pcan_offset: float = 80.0
    gain_bits: int = 21
    log: bool = True
    log_shift: int = 6
    scale: float = 0.0390625
    fresh: bool = False

    @property
    def width(self) -> int:
        return self.bands


FeatureSpec = SpectrumSpec | BandsSpec | MelSpec | MfccSpec | StatisticsSpec | MicroFrontendSpec
