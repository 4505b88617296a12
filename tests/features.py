"""Cases of features: what a manifest says, a signal, and which reference says what must come out.

The answers stand in tests/cases/features/answers.npz, written by tests/conformance/features.py from librosa, tf.signal,
scipy and pymicro-features.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgeinfer.model.frame import Frame, WindowFormat
from edgeinfer.model.preprocess import build
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["ANSWERS", "CASES", "answer", "computed", "expand", "signal", "spec_of", "tensor_of", "window"]

ANSWERS = Path(__file__).parent / "cases" / "features" / "answers.npz"

_KWS = {"kind": "mfcc", "frame": 480, "step": 320, "bands": 40, "low": 20.0, "high": 4000.0, "triangles": "mel", "power": 1,
        "offset": 1e-6, "floor": 0.0, "dct_norm": "htk", "coefficients": 10}
_MEL = {"kind": "mel", "frame": 256, "step": 128, "fft": 256, "bands": 16}

# name: (length, channels, rate, features, reference)
CASES: dict[str, tuple[int, int, float, dict[str, Any], str]] = {
    "mel_slaney": (1600, 1, 16000, {**_MEL, "mel": "slaney", "norm": "slaney", "log": "none"}, "librosa"),
    "mel_htk": (1600, 1, 16000, {**_MEL, "mel": "htk", "log": "none", "low": 50.0, "high": 7000.0}, "librosa"),
    "mel_db_top": (1600, 1, 16000, {**_MEL, "mel": "slaney", "norm": "slaney", "log": "db", "reference": 0.0, "top_db": 40.0},
                   "librosa"),
    "mel_db_amplitude": (1600, 1, 16000, {**_MEL, "mel": "slaney", "power": 1, "log": "db", "floor": 1e-5, "reference": 2.0},
                         "librosa"),
    "mel_centred": (1600, 1, 16000, {**_MEL, "mel": "slaney", "centre": "zeros", "log": "log10"}, "librosa"),
    "mel_reflected": (1500, 1, 8000, {**_MEL, "centre": "reflect", "window": "hamming"}, "librosa"),
    "mel_short_frame": (1600, 1, 16000, {**_MEL, "frame": 200, "align": "centre", "window": "blackman"}, "librosa"),
    "mel_symmetric": (1600, 1, 16000, {**_MEL, "periodic": False}, "librosa"),
    "mfcc_ortho": (1600, 1, 16000, {**_MEL, "kind": "mfcc", "mel": "slaney", "norm": "slaney", "log": "db", "coefficients": 13},
                   "librosa"),
    "mfcc_lifter": (1600, 1, 16000, {**_MEL, "kind": "mfcc", "mel": "htk", "log": "db", "coefficients": 12, "lifter": 22}, "librosa"),
    "mfcc_dct1": (1600, 1, 16000, {**_MEL, "kind": "mfcc", "log": "db", "coefficients": 10, "dct": 1, "dct_norm": "none"}, "librosa"),
    "mfcc_dct1_ortho": (1600, 1, 16000, {**_MEL, "kind": "mfcc", "log": "db", "coefficients": 16, "dct": 1}, "librosa"),
    "mfcc_dct2": (1600, 1, 16000, {**_MEL, "kind": "mfcc", "log": "db", "coefficients": 10, "dct_norm": "none"}, "librosa"),
    "mfcc_dct3": (1600, 1, 16000, {**_MEL, "kind": "mfcc", "log": "db", "coefficients": 10, "dct": 3}, "librosa"),
    "stft_magnitude": (700, 1, 16000, {"kind": "spectrum", "frame": 128, "step": 100, "power": 1}, "tf"),
    "stft_power_db": (700, 1, 16000, {"kind": "spectrum", "frame": 100, "step": 100, "log": "db"}, "tf"),
    "stft_two_channels": (300, 2, 800, {"kind": "spectrum", "frame": 64, "step": 32, "power": 1, "bins": 8}, "tf"),
    "tf_mel": (1600, 1, 16000, {**_MEL, "triangles": "mel", "low": 80.0, "high": 7600.0, "power": 1, "offset": 1e-6, "floor": 0.0},
               "tf"),
    "tf_mfcc": (1600, 1, 16000, _KWS, "tf"),
    "kws": (16000, 1, 16000, {**_KWS, "scale": "max"}, "tf"),
    "bands": (512, 2, 800, {"kind": "bands", "frame": 256, "step": 128, "edges": [0.0, 50.0, 120.0, 400.0], "log": "none"}, "scipy"),
    "bands_average": (512, 1, 800, {"kind": "bands", "frame": 256, "step": 256, "edges": [10.0, 50.0, 401.0], "average": True,
                                    "log": "log10", "preemphasis": 0.97, "preemphasis_of": "frame"}, "scipy"),
    "emphasised": (512, 1, 800, {"kind": "spectrum", "frame": 128, "step": 64, "preemphasis": 0.9, "bins": 12}, "scipy"),
    "statistics": (512, 3, 800, {"kind": "statistics", "frame": 512, "step": 512, "bands": [[0, 100], [100, 401]], "values": [
        "mean", "rms", "std", "peak", "peak_to_peak", "crest", "shape", "impulse", "skewness", "kurtosis", "zero_crossings"]}, "scipy"),
    "statistics_as_is": (255, 1, 800, {"kind": "statistics", "frame": 100, "step": 50, "centred": False, "bands": [[0, 500]],
                                       "values": ["rms", "std", "peak", "crest", "skewness", "kurtosis", "shape"]}, "scipy"),
    "envelope": (512, 2, 800, {"kind": "statistics", "frame": 512, "step": 512, "envelope_bands": [[1, 20], [20, 100]], "values": [
        "envelope_mean", "envelope_rms", "envelope_peak", "envelope_kurtosis"]}, "scipy"),
    "envelope_of_band": (500, 1, 800, {"kind": "statistics", "frame": 500, "step": 1, "envelope_low": 200.0, "envelope_high": 350.0,
                                       "envelope_bands": [[50, 100]], "values": ["envelope_rms"]}, "scipy"),
    "envelope_rectified": (500, 1, 800, {"kind": "statistics", "frame": 500, "step": 1, "envelope": "rectify", "envelope_low": 100.0,
                                         "envelope_smooth": 60.0, "values": ["envelope_mean", "envelope_peak"]}, "scipy"),
    "micro_frontend": (4800, 1, 16000, {"kind": "micro_frontend", "frame": 480, "step": 160}, "pymicro"),
}


def spec_of(name: str, **changes: Any) -> WindowSpec:
    length, channels, rate, features, _ = CASES[name]
    fields = {"kind": "window", "length": length, "channels": channels, "rate": rate, "hop": features["step"], "features": features}
    return msgspec.convert({**fields, **changes}, WindowSpec)


def tensor_of(spec: WindowSpec) -> TensorSpec:
    return TensorSpec(name="x", shape=(1, spec.rows, spec.columns), dtype="float32")


def signal(length: int, channels: int, rate: float) -> Array:
    """float32 (length, channels), multiples of 2**-15: two tones, noise that comes and goes, a little offset."""
    time = np.arange(length)[:, None] / rate
    channel = np.arange(channels)[None, :]
    noise = np.random.Generator(np.random.PCG64(7)).integers(-1000, 1000, (length, channels)) / 8000
    tones = 0.3 * np.sin(2 * np.pi * (rate / 20 * (1 + channel)) * time) + 0.1 * np.sin(2 * np.pi * (rate / 5.3) * time + channel)
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * time * rate / length * 2)
    return (np.rint((tones * swell + noise * (1 - swell) + 0.02) * 32768) / 32768).astype(np.float32)


def window(name: str) -> Array:
    length, channels, rate, _, _ = CASES[name]
    return signal(length, channels, rate)


def computed(spec: WindowSpec, samples: Array) -> Array:
    """float32 (rows, columns), as calibration sees it."""
    frame = Frame(WindowFormat(spec.length, spec.channels))
    frame.view[...] = samples
    return build(spec, tensor_of(spec), frame.format).reals(frame).reshape(spec.rows, spec.columns)


def expand(features: dict[str, Any]) -> Any:
    """The struct of a case's features, with its defaults."""
    return msgspec.convert({"kind": "window", "length": 1, "features": features}, WindowSpec).features


def answer(name: str) -> Array:
    with np.load(ANSWERS) as answers:
        return np.asarray(answers[name])
