"""What the references give for the cases of tests/features.py. ``python -m tests.conformance.features`` writes their answers down.

Each function is written with the reference's own calls; none of ours is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from edgeinfer.model.tensor import Array
from tests.features import ANSWERS, CASES, expand, window

__all__ = ["REFERENCES", "reference"]


def librosa_rows(x: Array, rate: float, f: Any) -> Array:
    import librosa
    import scipy.fft
    import scipy.signal

    name = {"hann": "hann", "hamming": "hamming", "blackman": "blackman"}[f.window]
    taps = scipy.signal.get_window(name, f.frame, fftbins=f.periodic)
    points = f.fft or f.frame
    padding = {"none": {"center": False}, "zeros": {"center": True, "pad_mode": "constant"},
               "reflect": {"center": True, "pad_mode": "reflect"}}[f.centre]
    mel = librosa.feature.melspectrogram(
        y=x.astype(np.float64), sr=rate, n_fft=points, hop_length=f.step, win_length=f.frame, window=taps, power=float(f.power),
        n_mels=f.bands, fmin=f.low, fmax=f.high or rate / 2, htk=f.mel == "htk", norm="slaney" if f.norm == "slaney" else None,
        dtype=np.float64, **padding)
    if f.log == "db":
        convert = librosa.power_to_db if f.power == 2 else librosa.amplitude_to_db
        mel = convert(mel, ref=f.reference or np.max, amin=f.floor, top_db=f.top_db or None)
    elif f.log != "none":
        mel = (np.log if f.log == "ln" else np.log10)(np.maximum(mel, f.floor))
    if not hasattr(f, "coefficients"):
        return mel.T
    if f.dct_norm == "ortho":
        return librosa.feature.mfcc(S=mel, n_mfcc=f.coefficients, dct_type=f.dct, norm="ortho", lifter=f.lifter).T
    return scipy.fft.dct(mel, axis=0, type=f.dct, norm=None)[: f.coefficients].T


def tf_rows(x: Array, rate: float, f: Any) -> Array:
    import tensorflow as tf

    if getattr(f, "scale", "none") == "max":
        x = x / x.max()
    taps = {"hann": tf.signal.hann_window}[f.window]
    spectrum = tf.abs(tf.signal.stft(tf.constant(x, tf.float64), f.frame, f.step, f.fft or None, taps))
    spectrum = spectrum if f.power == 1 else spectrum * spectrum
    if f.width and hasattr(f, "bands"):
        matrix = tf.signal.linear_to_mel_weight_matrix(f.bands, spectrum.shape[-1], int(rate), f.low, f.high or rate / 2, tf.float64)
        spectrum = tf.tensordot(spectrum, matrix, 1)
    elif f.bins:
        spectrum = spectrum[:, : f.bins]
    if f.log == "ln":
        spectrum = tf.math.log(spectrum + f.offset)
    elif f.log == "db":
        spectrum = 10 * tf.math.log(tf.maximum(spectrum, f.floor)) / np.log(10.0)
    if hasattr(f, "coefficients"):
        spectrum = tf.signal.mfccs_from_log_mel_spectrograms(spectrum)[..., : f.coefficients]
    return np.asarray(spectrum)


def scipy_rows(x: Array, rate: float, f: Any) -> Array:
    x = x.astype(np.float64)
    if hasattr(f, "preemphasis") and f.preemphasis and f.preemphasis_of == "window":
        x = np.append(x[0], x[1:] - f.preemphasis * x[:-1])
    frames = [x[start : start + f.frame] for start in range(0, len(x) - f.frame + 1, f.step)]
    if hasattr(f, "values"):
        return np.array([list(_statistics(frame, rate, f)) for frame in frames])
    return np.array([_bands(frame, rate, f) for frame in frames])


def _bands(x: Array, rate: float, f: Any) -> Array:
    import scipy.fft
    import scipy.signal

    if f.preemphasis and f.preemphasis_of == "frame":
        x = np.append(x[0] * (1 - f.preemphasis), x[1:] - f.preemphasis * x[:-1])
    power = np.abs(scipy.fft.rfft(x * scipy.signal.get_window("hann", f.frame), f.fft or None)) ** f.power
    if not hasattr(f, "edges"):
        return power[: f.bins]
    hertz = scipy.fft.rfftfreq(f.fft or f.frame, 1 / rate)
    sums = [(np.mean if f.average else np.sum)(power[(hertz >= low) & (hertz < high)])
            for low, high in zip(f.edges, f.edges[1:], strict=False)]
    return np.log10(sums) if f.log == "log10" else np.array(sums)


def _statistics(x: Array, rate: float, f: Any) -> Iterator[float]:
    import scipy.fft
    import scipy.signal
    import scipy.stats

    mean = x.mean()
    if f.centred:
        x = x - mean
    hertz = scipy.fft.rfftfreq(len(x), 1 / rate)

    def only(signal: Array, low: float, high: float) -> Array:
        transform = scipy.fft.rfft(signal)
        return scipy.fft.irfft(np.where((hertz >= low) & (hertz < high), transform, 0), len(signal))

    def figures(x: Array) -> dict[str, float]:
        size, rms = len(x), np.sqrt(np.mean(x**2))
        return {"rms": rms, "std": np.std(x), "peak": np.abs(x).max(), "peak_to_peak": np.ptp(x), "crest": np.abs(x).max() / rms,
                "shape": rms / np.abs(x).mean(), "impulse": np.abs(x).max() / np.abs(x).mean(), "skewness": scipy.stats.skew(x),
                "kurtosis": scipy.stats.kurtosis(x, fisher=False), "mean": x.mean(),
                "zero_crossings": np.count_nonzero(np.diff(np.signbit(x))) / size}

    band = only(x, f.envelope_low, f.envelope_high or np.inf)
    envelope = np.abs(scipy.signal.hilbert(band))
    if f.envelope == "rectify":
        envelope = only(np.abs(band), 0, f.envelope_smooth + 1e-9)
    found = {**figures(x), **{f"envelope_{name}": value for name, value in figures(envelope).items()}, "mean": mean}
    yield from (found[name] for name in f.values)
    yield from (np.sqrt(np.mean(only(x, low, high) ** 2)) for low, high in f.bands)
    yield from (np.sqrt(np.mean(only(envelope - envelope.mean(), low, high) ** 2)) for low, high in f.envelope_bands)


def pymicro_rows(x: Array, rate: float, f: Any) -> Array:
    """Its frame, step and rate are fixed: 480, 160 and 16 kHz."""
    from pymicro_features import MicroFrontend

    frontend, rows, sound, at = MicroFrontend(), [], np.rint(x * 32768).astype("<i2").tobytes(), 0
    while at + 320 <= len(sound):
        output = frontend.process_samples(sound[at : at + 320])
        at += output.samples_read * 2
        if output.features:
            rows.append(output.features)
    return np.array(rows)


REFERENCES: dict[str, Callable[[Array, float, Any], Array]] = {
    "librosa": librosa_rows, "tf": tf_rows, "scipy": scipy_rows, "pymicro": pymicro_rows}


def reference(name: str) -> Array:
    """(rows, columns); each channel by itself, side by side."""
    _, channels, rate, features, source = CASES[name]
    samples, struct = window(name), expand(features)
    return np.concatenate([REFERENCES[source](samples[:, channel], rate, struct) for channel in range(channels)], 1)


def main(sources: list[str]) -> None:
    """Write the answers of these sources, and keep those of the others."""
    old = dict(np.load(ANSWERS)) if ANSWERS.exists() else {}
    new = {name: reference(name).astype(np.float32) for name, case in CASES.items() if case[4] in sources}
    ANSWERS.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(ANSWERS, **{name: answer for name, answer in {**old, **new}.items() if name in CASES})


if __name__ == "__main__":
    import sys

    main(sys.argv[1:] or list(REFERENCES))
