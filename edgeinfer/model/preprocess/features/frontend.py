"""The audio frontend of TensorFlow Lite Micro, in its own integers.

Window, fixed-point Fourier transform, mel filters, square root, noise reduction, per-channel automatic gain (PCAN) and logarithm,
as tensorflow/lite/experimental/microfrontend does them with 16, 32 and 64 bits, so that a model trained on that hears the same
here. Filters and tables are made with its float32 arithmetic.

Estimates of the noise go from frame to frame, so rows are computed in order, and each once.
"""

from __future__ import annotations

import math

import numpy as np

from edgeinfer.model.frame import Frame
from edgeinfer.model.preprocess.features.fixedpoint import RealTransform
from edgeinfer.model.preprocess.featurespec import MicroFrontendSpec
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.tensor import Array

__all__ = ["MicroFrontend"]

_WEIGHT_BITS = 12  # of window and filters
_NOISE_BITS = 14
_SNR_BITS, _OUTPUT_BITS = 12, 6
_LOG_BITS, _SEGMENT_BITS, _LN2 = 16, 7, 45426  # ln 2 * 2**16
_U32 = np.uint64(0xFFFFFFFF)


class MicroFrontend:
    """See ``Features``."""

    def __init__(self, spec: WindowSpec, features: MicroFrontendSpec) -> None:
        self._step, self._frame, self._fresh = features.step, features.frame, features.fresh
        self._channels = [_Channel(features, spec.rate) for _ in range(spec.channels)]
        self._samples = np.empty(spec.length)
        self._whole = np.empty(spec.length, np.int16)
        self._rows = np.zeros((spec.rows, spec.channels, features.bands), np.float32)
        self._scale = np.float32(features.scale)
        self._position, self._breaks = -1, 0
        self.nbytes = (self._rows.nbytes + self._samples.nbytes + self._whole.nbytes
                       + sum(channel.nbytes for channel in self._channels))

    def of(self, frame: Frame) -> Array:
        first = self._first_new(frame)
        kept = len(self._rows) - first if 0 < first < len(self._rows) else 0
        if kept:
            self._rows[:kept] = self._rows[first:]
        for index, channel in enumerate(self._channels):
            self._to_int16(frame.view[:, index])
            for row in range(kept, len(self._rows)):
                start = row * self._step
                values = channel.next(self._whole[start : start + self._frame])
                np.multiply(values, self._scale, out=self._rows[row, index], casting="unsafe")
        return self._rows.reshape(len(self._rows), -1)

    def _first_new(self, frame: Frame) -> int:
        """By how many rows the stream went on; 0 where it began anew."""
        moved, beside = divmod(frame.position - self._position, self._step)
        goes_on = (moved > 0 and beside == 0 and frame.breaks == self._breaks and self._position >= 0 and not self._fresh)
        self._position, self._breaks = frame.position, frame.breaks
        if goes_on:
            return moved
        for channel in self._channels:
            channel.forget()
        return 0

    def forget(self) -> None:
        self._position = -1

    def _to_int16(self, samples: Array) -> None:
        """-1 to 1 of full scale, to the nearest of 16 bits, half to even; a NaN is 0."""
        np.multiply(samples, 32768.0, out=self._samples, dtype=np.float64)
        np.nan_to_num(self._samples, copy=False, nan=0.0)
        np.rint(self._samples, out=self._samples)
        np.clip(self._samples, -32768.0, 32767.0, out=self._samples)
        np.copyto(self._whole, self._samples, casting="unsafe")


class _Channel:
    """One channel's stream of frames."""

    def __init__(self, spec: MicroFrontendSpec, rate: float) -> None:
        size = 1 << (spec.frame - 1).bit_length()
        self._spec = spec
        self._window = _window(spec.frame)
        self._transform = RealTransform(size)
        self._weights, self._start, self._end = _filters(spec, rate, size // 2 + 1)
        self._correction = size.bit_length() - 1 - _WEIGHT_BITS // 2
        self._smoothing = _by_turns(spec.even_smoothing, spec.odd_smoothing, spec.bands)
        self._remaining = np.uint64(int(np.float32(spec.min_signal_remaining) * np.float32(1 << _NOISE_BITS)))
        self._estimate = np.zeros(spec.bands, np.uint64)
        self._gains = _gains(spec, self._correction) if spec.pcan else np.zeros(0, np.int64)
        self._logs = _logs()
        self.nbytes = (self._window.nbytes + self._transform.nbytes + self._weights.nbytes + self._gains.nbytes
                       + self._logs.nbytes + self._estimate.nbytes + self._smoothing.nbytes)

    def forget(self) -> None:
        self._estimate[:] = 0

    def next(self, samples: Array) -> Array:
        """uint64 (bands,) of the next frame of int16 samples."""
        windowed = ((samples.astype(np.int32) * self._window) >> _WEIGHT_BITS).astype(np.int16)
        loudest = int(np.abs(windowed).max())  # -32768 has no positive twin, and does not count
        shift = 15 - max(loudest, 0).bit_length()
        spectrum = self._transform.of(windowed, shift)[self._start : self._end]
        power = spectrum.real * spectrum.real + spectrum.imag * spectrum.imag
        sums = power @ self._weights  # whole numbers below 2**53: exact in any order
        signal = _roots(sums) >> np.uint64(shift)
        signal = self._denoise(signal)
        if self._spec.pcan:
            signal = self._amplify(signal)
        values: Array = np.minimum(self._logarithm(signal) if self._spec.log else signal, np.uint64(0xFFFF))
        return values

    def _denoise(self, signal: Array) -> Array:
        bits, noise = np.uint64(self._spec.smoothing_bits), np.uint64(_NOISE_BITS)
        scaled = (signal << bits) & _U32
        estimate = ((scaled * self._smoothing + self._estimate * (np.uint64(1 << _NOISE_BITS) - self._smoothing)) >> noise) & _U32
        self._estimate = estimate
        floor = (signal * self._remaining) >> noise
        left: Array = np.maximum((scaled - np.minimum(estimate, scaled)) >> bits, floor)
        return left

    def _amplify(self, signal: Array) -> Array:
        """Y. Wang et al., "Trainable frontend for robust and far-field keyword spotting" (2017), by a table."""
        gain = _interpolate(self._estimate.astype(np.int64), self._gains).astype(np.uint64)
        snr = ((signal * gain) >> np.uint64(self._spec.gain_bits - self._correction - _SNR_BITS)) & _U32
        low = ((snr * snr) & _U32) >> np.uint64(2 + 2 * _SNR_BITS - _OUTPUT_BITS)
        high = (snr >> np.uint64(_SNR_BITS - _OUTPUT_BITS)) - np.uint64(1 << _OUTPUT_BITS)
        return np.asarray(np.where(snr < np.uint64(2 << _SNR_BITS), low, high))

    def _logarithm(self, signal: Array) -> Array:
        """ln(x) * 2**log_shift, from a table of log2's second part."""
        bits = self._correction
        x = ((signal << np.uint64(bits)) & _U32 if bits >= 0 else signal >> np.uint64(-bits)).astype(np.int64)
        whole = _bit_length(np.maximum(x, 1)) - 1
        fraction = x - (np.int64(1) << whole)
        up, down = np.maximum(_LOG_BITS - whole, 0), np.maximum(whole - _LOG_BITS, 0)
        fraction = fraction << up >> down  # one of them is 0
        segment = fraction >> (_LOG_BITS - _SEGMENT_BITS)
        low, high = self._logs[segment], self._logs[segment + 1]
        beyond = ((high - low) * (fraction - (segment << (_LOG_BITS - _SEGMENT_BITS)))) >> _LOG_BITS
        log2 = (whole << _LOG_BITS) + fraction + low + beyond
        half = 1 << (_LOG_BITS - 1)
        natural = (_LN2 * log2 + half) >> _LOG_BITS
        scaled = ((natural << self._spec.log_shift) + half) >> _LOG_BITS
        return np.asarray(np.where(x > 1, scaled, 0), np.uint64)


def _window(size: int) -> Array:
    """int32 (size,): a Hann window at half samples, in 12 bits."""
    half = np.float32(0.5)
    angle = np.float32(math.pi * 2.0 / size) * (np.arange(size, dtype=np.float32) + half)
    values = half - half * np.cos(angle.astype(np.float64)).astype(np.float32)
    made: Array = np.floor(values * np.float32(1 << _WEIGHT_BITS) + half).astype(np.int32)
    return made


def _mel(hertz: Array) -> Array:
    """float32 throughout, as log1pf gives it."""
    share = (np.asarray(hertz, np.float32) / np.float32(700.0)).astype(np.float64)
    made: Array = np.float32(1127.0) * np.log1p(share).astype(np.float32)
    return made


def _filters(spec: MicroFrontendSpec, rate: float, bins: int) -> tuple[Array, int, int]:
    """float64 (end - start, bands) of whole numbers, and the first bin and the one after the last that they are for.

    Bin f between the centres of filters i - 1 and i has a weight for i - 1's falling side and the rest for i's rising one.
    """
    low, high = _mel(np.float32(spec.low)), _mel(np.float32(spec.high))
    spacing = np.float32((high - low) / np.float32(spec.bands + 1))
    centres = (low + spacing * np.arange(1, spec.bands + 2, dtype=np.float32)).astype(np.float32)
    width = np.float32(0.5 * rate / float(np.float32(bins) - np.float32(1)))
    start = int(1.5 + float(np.float32(spec.low) / width))
    mels = _mel(np.arange(bins + 1).astype(np.float32) * width)
    weights = np.zeros((bins, spec.bands + 1))
    rests = np.zeros((bins, spec.bands + 1))
    at = start
    for channel, centre in enumerate(centres):
        below = low if channel == 0 else centres[channel - 1]
        while at < bins and mels[at] <= centre:
            weight = float(np.float32(np.float32(centre - mels[at]) / np.float32(centre - below)))
            weights[at, channel] = _fixed(np.float32(weight))
            rests[at, channel] = _fixed(np.float32(1.0 - weight))
            at += 1
    summed = weights[:, 1:] + rests[:, :-1]  # a filter falls where the next one's rest ends
    return np.ascontiguousarray(summed[start:at]), start, at


def _fixed(weight: np.float32) -> int:
    """In 12 bits, to the nearest."""
    return math.floor(float(np.float32(weight * np.float32(1 << _WEIGHT_BITS)) + np.float32(0.5)))


def _roots(sums: Array) -> Array:
    """uint64: the square root to the nearest, of whole numbers in float64."""
    roots = np.floor(np.sqrt(sums))
    rest = sums - roots * roots
    up = (rest > roots) & ~((sums < 2.0**32) & (roots == 0xFFFF))
    made: Array = (roots + up).astype(np.uint64)
    return made


def _by_turns(even: float, odd: float, count: int) -> Array:
    """uint64 (count,) in 14 bits."""
    made = np.empty(count, np.uint64)
    made[::2] = int(np.float32(even) * np.float32(1 << _NOISE_BITS))
    made[1::2] = int(np.float32(odd) * np.float32(1 << _NOISE_BITS))
    return made


def _gains(spec: MicroFrontendSpec, correction: int) -> Array:
    """int64 (33, 3) of the piecewise quadratic (x / 2**bits + offset)**-strength: value, slope and curve for each bit length."""
    def gain(x: int) -> int:
        share = np.float32(np.float32(x) / np.float32(1 << (spec.smoothing_bits - correction)))
        base = np.float32(share + np.float32(spec.pcan_offset))
        power = np.float32(float(base) ** -float(np.float32(spec.pcan_strength)))
        value = np.float32(np.float32(1 << spec.gain_bits) * power)
        return 0x7FFF if value > 0x7FFF else int(np.float32(value + np.float32(0.5)))

    table = np.zeros((33, 3), np.int64)
    table[0], table[1] = (gain(0), 0, 0), (gain(1), 0, 0)
    for bits in range(2, 33):
        x0 = 1 << (bits - 1)
        y0, y1 = gain(x0), gain(x0 + (x0 >> 1))
        y2 = gain(x0 + (x0 - 1) if bits == 32 else 2 * x0)
        slope = 4 * (y1 - y0) - (y2 - y0)
        table[bits] = y0, _int16(slope), _int16(y2 - y0 - slope)
    return table


def _interpolate(x: Array, table: Array) -> Array:
    bits = _bit_length(x)
    value, slope, curve = table[bits, 0], table[bits, 1], table[bits, 2]
    share = np.where(bits < 11, x << np.maximum(11 - bits, 0), x >> np.maximum(bits - 11, 0)) & 0x3FF
    result = ((curve * share) >> 5) + (slope << 5)
    result = ((result * share + (1 << 14)) >> 15) + value
    return np.asarray(np.where(x <= 2, np.where(x == 2, table[2, 0], value), result))


def _logs() -> Array:
    """int64 (130,): (log2(1 + s) - s) * 2**16 at each of 128 segments s."""
    share = np.arange((1 << _SEGMENT_BITS) + 1) / (1 << _SEGMENT_BITS)
    return np.append(np.rint((np.log2(1 + share) - share) * (1 << _LOG_BITS)), 0).astype(np.int64)


def _bit_length(x: Array) -> Array:
    """int64: exact, since a float64 holds these whole numbers."""
    return np.frexp(x.astype(np.float64))[1].astype(np.int64)


def _int16(value: int) -> int:
    return (value + 0x8000) % 0x10000 - 0x8000
