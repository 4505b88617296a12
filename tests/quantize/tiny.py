"""The four networks of MLPerf Tiny as tasks for the toolkit: real photos for those that see, sounds for those that hear.

    vww     person or not: (1, 96, 96, 3), pixel / 255
    resnet  CIFAR-10: (1, 32, 32, 3), pixels as they are
    kws     keywords: 49 frames of 10 MFCC, from the zoo's three recordings moved, stretched, filtered and buried in noise
    ad01    a machine's sound: 5 frames of 128 log-mel bands in dB, from made hums (harmonics of a motor, hiss, knocks)

The features are those of MLPerf Tiny's training scripts: TensorFlow's MFCC with 40 bands from 20 to 4000 Hz over 40 ms every
20 ms, and librosa's mel spectrogram with 128 bands over 1024 samples every 512. The reference files' input grids confirm it:
digital silence has a first coefficient of -123.5, and kws_ref_model.tflite reaches down to -123.4.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from quantize.recipe import Recipe

__all__ = ["NETS", "Net", "ad01_windows", "kws_windows", "recipe", "save_data"]

RATE = 16000
_REACH = {"kws": (-123.3, 25.7), "ad01": (-84.8, 14.8)}  # of the reference files' input grids


@dataclass(frozen=True)
class Net:
    """``float_file`` and ``reference``: of the zoo. ``preprocess``: of the float file, as a recipe has it."""

    float_file: str
    reference: str
    preprocess: dict[str, object]


NETS = {
    "vww": Net("classify/vww_96_float.tflite", "classify/vww_96_int8.tflite", {"mean": (0.0,), "std": (255.0,)}),
    "resnet": Net("classify/pretrainedResnet.tflite", "classify/pretrainedResnet_quant.tflite", {"mean": (0.0,), "std": (1.0,)}),
    "kws": Net("audio/kws_ref_model_float32.tflite", "audio/kws_ref_model.tflite",
               {"kind": "window", "length": 49, "channels": 10, "hop": 49, "normalize": "none"}),
    "ad01": Net("anomaly/ad01_fp32.tflite", "anomaly/ad01_int8.tflite",
                {"kind": "window", "length": 5, "channels": 128, "hop": 5, "normalize": "none"}),
}


def recipe(name: str, zoo: Path, folder: Path, calibration: int = 64, judged: int = 128, **more: object) -> Recipe:
    """One run on a net; its data is written into ``folder``."""
    data = save_data(name, zoo, folder, calibration + judged)
    share = f"every:{(calibration + judged) // calibration}"
    return Recipe(model=str(zoo / NETS[name].float_file), data=str(data), calibrate=share, preprocess=NETS[name].preprocess,
                  **{"target": "raspberry-pi-4", **more})


def save_data(name: str, zoo: Path, folder: Path, count: int) -> Path:
    """At most ``count`` samples: a folder of pictures, or an npy of windows."""
    if name in ("vww", "resnet"):
        size = 96 if name == "vww" else 32
        pictures = folder / f"{name}-pictures"
        pictures.mkdir()
        files = sorted((zoo / "quantize/photos").glob("*.jpg"))
        for file in files[:: max(1, len(files) // count)][:count]:
            cv2.imwrite(str(pictures / f"{file.stem}.png"), cv2.resize(cv2.imread(str(file)), (size, size), interpolation=cv2.INTER_AREA))
        return pictures
    path = folder / f"{name}.npy"
    windows = kws_windows(zoo / "audio", count) if name == "kws" else ad01_windows(count)
    np.save(path, np.clip(windows, *_REACH[name]))  # within the reference's grid, so that it does not lose by saturation
    return path


def kws_windows(folder: Path, count: int, seed: int = 0) -> np.ndarray:
    """(count, 49, 10) MFCC of one second each."""
    rng = np.random.default_rng(seed)
    sounds = [_second(path) for path in sorted(folder.glob("*.wav"))]
    bands = _mel_htk(40, 1024, 20.0, 4000.0)
    cosines = np.cos(np.pi / 40 * (np.arange(40)[None] + 0.5) * np.arange(10)[:, None]) * 2 / np.sqrt(80)
    made = []
    for _ in range(count):
        sound = _varied(sounds[rng.integers(len(sounds))], rng)
        spectra = np.abs(_spectra(sound, 640, 320, 1024))
        made.append(np.log(spectra @ bands + 1e-6) @ cosines.T)
    return np.array(made, np.float32)


def ad01_windows(count: int, seed: int = 0) -> np.ndarray:
    """(count, 5, 128) log-mel bands in dB of machines that differ in pitch, loudness, hiss and knocks."""
    rng = np.random.default_rng(seed)
    bands = _mel_slaney(128, 1024)
    frames = 5
    made = []
    for _ in range(count):
        time = np.arange(1024 + 512 * (frames - 1)) / RATE
        pitch, loudness = rng.uniform(40, 240), 10 ** rng.uniform(-2.7, -1.2)
        harmonics = np.arange(1, 40)
        strength = harmonics ** -rng.uniform(0.8, 1.6) * rng.uniform(0.2, 1, harmonics.size)
        phases = rng.uniform(0, 2 * np.pi, harmonics.size)
        hum = (strength[:, None] * np.sin(2 * np.pi * pitch * harmonics[:, None] * time + phases[:, None])).sum(0)
        hiss = _coloured(time.size, rng.uniform(0, 1), rng)
        knock = np.where(rng.random(time.size) < 2e-4, rng.normal(0, 8, time.size), 0)
        sound = loudness * (hum + rng.uniform(0.05, 1) * hiss + np.convolve(knock, np.exp(-np.arange(200) / 30), "same"))
        power = np.abs(_spectra(sound, 1024, 512, 1024)) ** 2
        made.append(10 * np.log10(power @ bands + np.finfo(np.float64).eps))
    return np.array(made, np.float32)


def _second(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        whole = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768
    return np.resize(whole, RATE)


def _varied(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Moved by up to 0.1 s, up to 20 % faster or slower, from 12 dB softer to 4 dB louder, in coloured noise."""
    places = np.arange(RATE) * rng.uniform(0.8, 1.2) + rng.integers(-1600, 1600)
    moved = np.interp(places, np.arange(RATE), sound, 0, 0) * 10 ** rng.uniform(-0.6, 0.2)
    return moved + 10 ** rng.uniform(-4, -1.5) * _coloured(RATE, rng.uniform(0, 1.5), rng)


def _coloured(count: int, slope: float, rng: np.random.Generator) -> np.ndarray:
    """Noise whose amplitude falls with frequency to the power of ``slope``, of deviation 1."""
    spectrum = np.fft.rfft(rng.normal(size=count)) / np.maximum(np.arange(count // 2 + 1), 1) ** slope
    noise = np.fft.irfft(spectrum, count)
    return noise / noise.std()


def _spectra(sound: np.ndarray, length: int, step: int, size: int) -> np.ndarray:
    frames = np.lib.stride_tricks.sliding_window_view(sound, length)[::step]
    return np.fft.rfft(frames * np.hanning(length + 1)[:-1], size)


def _mel_htk(bands: int, size: int, low: float, high: float) -> np.ndarray:
    """(bins, bands): triangles on the scale 1127 ln(1 + f / 700), as tf.signal.linear_to_mel_weight_matrix makes them."""
    def mel(hertz: np.ndarray | float) -> np.ndarray:
        return 1127 * np.log1p(np.asarray(hertz) / 700)

    edges = np.linspace(mel(low), mel(high), bands + 2)
    return _triangles(mel(np.arange(size // 2 + 1) * RATE / size), edges)


def _mel_slaney(bands: int, size: int) -> np.ndarray:
    """(bins, bands): librosa's, linear to 1 kHz and logarithmic above, each triangle of area 1."""
    top = 15 + 27 * np.log(8000 / 1000) / np.log(6.4)
    mels = np.linspace(0, top, bands + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(np.log(6.4) / 27 * (mels - 15)))
    return _triangles(np.arange(size // 2 + 1) * RATE / size, edges) * (2 / (edges[2:] - edges[:-2]))


def _triangles(places: np.ndarray, edges: np.ndarray) -> np.ndarray:
    rising = (places[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - places[:, None]) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling))
