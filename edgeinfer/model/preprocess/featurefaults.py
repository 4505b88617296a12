"""What features cannot be computed. Checked where a manifest is read, before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from edgeinfer.errors import Fault
from edgeinfer.model.preprocess.featurespec import (
    BandsSpec,
    FeatureSpec,
    Levelled,
    MelSpec,
    MfccSpec,
    MicroFrontendSpec,
    Spectral,
    SpectrumSpec,
    StatisticsSpec,
)

__all__ = ["feature_faults"]

MOST = 1 << 20  # samples of a frame, and values of a row
_MOST_BANDS = 4096
_MOST_CELLS = 1 << 24  # of filters, and of frames that reach beyond the window


def feature_faults(spec: FeatureSpec, length: int, rate: float) -> Iterator[Fault]:
    """What cannot be computed of windows of ``length`` samples, ``rate`` a second."""
    if not 1 <= spec.frame <= MOST or not 1 <= spec.step <= MOST:
        yield Fault("preprocess.features", "a frame and a step of at least 1 sample", f"{spec.frame} and {spec.step}")
        return
    if isinstance(spec, Spectral):
        yield from _spectral_faults(spec, length)
    if not 1 <= spec.width <= MOST:
        yield Fault("preprocess.features", "at least one value a frame", str(spec.width))
    elif max(spec.frame * spec.width, 2 * (spec.pad // spec.step + 1) * spec.support) > _MOST_CELLS:
        yield Fault("preprocess.features", f"tables of at most {_MOST_CELLS} entries",
                    f"{spec.width} values a frame of {spec.frame}", "a shorter frame or a longer step")
    elif not spec.rows(length) >= 1:
        yield Fault("preprocess.features", f"a frame within the window of {length} samples", f"{spec.support} samples")
    if not isinstance(spec, SpectrumSpec) and not rate > 0:
        yield Fault("preprocess.rate", "the samples a second, which these features need", f"{rate:g}")
    elif isinstance(spec, MelSpec):
        yield from _mel_faults(spec, rate)
    elif isinstance(spec, BandsSpec):
        if not all(0 <= lower < upper for lower, upper in zip(spec.edges, spec.edges[1:], strict=False)):
            yield Fault("preprocess.features.edges", "rising frequencies, 0 or more", str(list(spec.edges))[:80])
        else:
            yield from _empty("edges", zip(spec.edges, spec.edges[1:], strict=False), rate, spec.points)
    elif isinstance(spec, StatisticsSpec):
        yield from _statistics_faults(spec, rate)
    elif isinstance(spec, MicroFrontendSpec):
        yield from _micro_faults(spec, rate)


def _spectral_faults(spec: Spectral, length: int) -> Iterator[Fault]:
    if not spec.frame <= spec.points <= MOST:
        yield Fault("preprocess.features.fft", f"0, or {spec.frame} to {MOST} points", str(spec.fft))
    if spec.centre == "reflect" and spec.pad >= length:
        yield Fault("preprocess.features.centre", f"a window longer than the {spec.pad} samples to reflect", f"{length}")
    if not math.isfinite(spec.preemphasis):
        yield Fault("preprocess.features.preemphasis", "a finite number", str(spec.preemphasis))
    if isinstance(spec, SpectrumSpec) and not 0 <= spec.bins <= spec.points // 2 + 1:
        yield Fault("preprocess.features.bins", f"0 to {spec.points // 2 + 1}", str(spec.bins))
    if isinstance(spec, Levelled):
        yield from _level_faults(spec)


def _level_faults(spec: Levelled) -> Iterator[Fault]:
    for field in ("offset", "floor", "reference", "top_db"):
        if not 0 <= getattr(spec, field) < math.inf:
            yield Fault(f"preprocess.features.{field}", "0 or more", str(getattr(spec, field)))
    if spec.log != "none" and not spec.floor + spec.offset > 0:
        yield Fault("preprocess.features.floor", "a floor or an offset above 0, since the logarithm of 0 is none", "0")


def _mel_faults(spec: MelSpec, rate: float) -> Iterator[Fault]:
    high = spec.high or rate / 2
    if not 0 <= spec.low < high <= rate / 2:
        yield Fault("preprocess.features", f"0 <= low < high <= {rate / 2:g} Hz, half the rate", f"{spec.low:g} and {high:g}")
    if not 1 <= spec.bands <= _MOST_BANDS or spec.points * spec.bands > _MOST_CELLS:
        yield Fault("preprocess.features.bands", f"1 to {min(_MOST_BANDS, _MOST_CELLS // spec.points)}", str(spec.bands))
    if isinstance(spec, MfccSpec):
        if spec.first < 0 or spec.first + spec.coefficients > spec.bands:
            yield Fault("preprocess.features.coefficients", f"numbers 0 to {spec.bands - 1}, of {spec.bands} bands",
                        f"{spec.first} to {spec.first + spec.coefficients - 1}")
        if spec.dct_norm == "htk" and spec.dct != 2:
            yield Fault("preprocess.features.dct_norm", "ortho or none, for a transform of another type than 2", "htk")
        if spec.dct == 1 and spec.bands < 2:
            yield Fault("preprocess.features.bands", "2 or more, for a transform of type 1", str(spec.bands))
        if spec.lifter < 0:
            yield Fault("preprocess.features.lifter", "0 or more", str(spec.lifter))


def _empty(field: str, bands: Iterable[tuple[float, float]], rate: float, points: int) -> Iterator[Fault]:
    """Bands that no frequency of the spectrum lies in are 0 for ever."""
    apart = rate / points
    for lower, upper in bands:
        near = min(round(lower / apart), points // 2)
        if not any(lower <= n * rate / points < upper for n in range(max(near - 1, 0), min(near + 1, points // 2) + 1)):
            yield Fault(f"preprocess.features.{field}",
                        f"a frequency of the spectrum in each: a multiple of {apart:g} Hz, up to {rate / 2:g}",
                        f"none from {lower:g} to {upper:g}", "a wider band, a longer frame or a higher rate")


def _statistics_faults(spec: StatisticsSpec, rate: float) -> Iterator[Fault]:
    for field in ("bands", "envelope_bands"):
        if not all(0 <= lower < upper < math.inf for lower, upper in getattr(spec, field)):
            yield Fault(f"preprocess.features.{field}", "pairs of rising frequencies, 0 or more", str(getattr(spec, field))[:80])
        elif spec.frame >= 2:
            yield from _empty(field, getattr(spec, field), rate, spec.frame)
    if spec.frame >= 2 and 0 <= spec.envelope_low < math.inf and 0 <= spec.envelope_high < math.inf:
        yield from _empty("envelope_low", [(spec.envelope_low, spec.envelope_high or math.inf)], rate, spec.frame)
    for field in ("envelope_low", "envelope_high", "envelope_smooth"):
        if not 0 <= getattr(spec, field) < math.inf:
            yield Fault(f"preprocess.features.{field}", "a frequency, 0 or more", str(getattr(spec, field)))
    if spec.frame < 2:
        yield Fault("preprocess.features.frame", "at least 2 samples", str(spec.frame))


def _micro_faults(spec: MicroFrontendSpec, rate: float) -> Iterator[Fault]:
    if not 2 <= spec.frame <= 1 << 14:
        yield Fault("preprocess.features.frame", "2 to 16384 samples", str(spec.frame))
        return
    if not 0 < spec.low < spec.high < rate / 2:
        yield Fault("preprocess.features", f"0 < low < high < {rate / 2:g} Hz, half the rate", f"{spec.low:g} and {spec.high:g}")
    if not 1 <= spec.bands <= 512:
        yield Fault("preprocess.features.bands", "1 to 512", str(spec.bands))
    limits = {"smoothing_bits": 20, "gain_bits": 30, "log_shift": 12}
    for field, most in limits.items():
        if not 0 <= getattr(spec, field) <= most:
            yield Fault(f"preprocess.features.{field}", f"0 to {most}", str(getattr(spec, field)))
    for field in ("even_smoothing", "odd_smoothing", "min_signal_remaining"):
        if not 0 <= getattr(spec, field) <= 1:
            yield Fault(f"preprocess.features.{field}", "0 to 1", str(getattr(spec, field)))
    bits = (1 << max(spec.frame - 1, 1).bit_length()).bit_length() - 7
    if spec.pcan and not (spec.gain_bits >= bits + 12 and spec.smoothing_bits >= bits and spec.pcan_offset > 0):
        yield Fault("preprocess.features",
                    f"gain_bits from {bits + 12}, smoothing_bits from {bits} and an offset above 0, with pcan",
                    f"{spec.gain_bits}, {spec.smoothing_bits} and {spec.pcan_offset:g}")
    if not math.isfinite(spec.scale) or spec.scale == 0:
        yield Fault("preprocess.features.scale", "a number other than 0", str(spec.scale))
