"""A voice without a throat: words made of formants. Run by hand: python speak.py (needs numpy)

Writes room.wav (16 s, 8000 samples a second): a room in which somebody says "on", "off" and other words, and truth.json (which of
the two, and when it is over, in seconds). ``train.py`` lets many other voices speak.

A vowel is a buzz at the pitch of the voice, louder where the throat resonates: at the formants, whose places make the vowel (G. E.
Peterson and H. L. Barney, "Control methods used in a study of the vowels", 1952). "f" and "s" are noise in a band.
"""

from __future__ import annotations

import json
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
RATE = 8000
# three formants in Hz and how loud; a band of noise in Hz and how loud; seconds
SOUNDS: dict[str, tuple[tuple[float, float, float], float, tuple[float, float], float, float]] = {
    "o": ((590, 880, 2540), 1.0, (0, 0), 0.0, 0.17), "n": ((260, 1350, 2300), 0.35, (0, 0), 0.0, 0.13),
    "f": ((300, 1200, 2400), 0.0, (1500, 3900), 0.14, 0.15), "s": ((300, 1500, 2500), 0.0, (2800, 3950), 0.30, 0.15),
    "e": ((530, 1840, 2480), 1.0, (0, 0), 0.0, 0.14), "i": ((270, 2290, 3010), 0.9, (0, 0), 0.0, 0.13),
    "a": ((730, 1090, 2440), 1.0, (0, 0), 0.0, 0.15), "u": ((300, 870, 2240), 0.9, (0, 0), 0.0, 0.14),
    "t": ((300, 1700, 2600), 0.0, (1800, 3900), 0.35, 0.035), "-": ((300, 1500, 2500), 0.0, (0, 0), 0.0, 0.06),
    "m": ((250, 1000, 2200), 0.4, (0, 0), 0.0, 0.11), "l": ((350, 1100, 2700), 0.6, (0, 0), 0.0, 0.09),
    "r": ((330, 1060, 1400), 0.6, (0, 0), 0.0, 0.09),
}
RESONANCES = ((1, 60), (0.6, 80), (0.3, 120))  # how loud, and half how wide in Hz
KEYWORDS = {"on": "on", "off": "of"}
OTHERS = {"yes": "ies", "no": "nou", "stop": "s-to-t", "lamp": "lam-", "tea": "-ti", "moon": "mun", "seven": "sefen",
          "toast": "tous-t", "fan": "fan", "roof": "ruf", "all": "ol", "art": "ar-t", "soon": "sun", "leaf": "lif", "nest": "nes-t"}


@dataclass(frozen=True)
class Voice:
    """Pitch in Hz, length of the throat (1: a man's), speed, and how breathy."""

    pitch: float
    throat: float
    speed: float
    breath: float


def somebody(rng: np.random.Generator) -> Voice:
    pitch = float(np.exp(rng.uniform(np.log(90), np.log(250))))
    return Voice(pitch, float(np.clip(1.0 + 0.16 * np.log2(pitch / 120) + rng.normal(0, 0.05), 0.86, 1.3)),
                 float(rng.uniform(0.8, 1.3)), float(rng.uniform(0.0, 0.05)))


def say(sounds: str, voice: Voice, rng: np.random.Generator) -> np.ndarray:
    """float64 (n,): these sounds one after the other, gliding into each other; about -0.5 to 0.5."""
    lengths = [SOUNDS[sound][4] / voice.speed * rng.uniform(0.85, 1.2) for sound in sounds]
    count = int(sum(lengths) * RATE)
    time, middles = np.arange(count) / RATE, np.cumsum(lengths) - np.array(lengths) / 2
    formants = [np.interp(time, middles, [SOUNDS[sound][0][k] * voice.throat * rng.uniform(0.96, 1.04) for sound in sounds])
                for k in range(3)]
    voiced = _smooth(np.repeat([SOUNDS[sound][1] for sound in sounds], [round(length * RATE) for length in lengths]), count)
    pitch = voice.pitch * (1 + rng.uniform(-0.1, 0.15) * np.linspace(0, 1, count)) * np.interp(time, [0, time[-1]], [1.06, 0.9])
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    sound = np.zeros(count)
    for harmonic in range(1, int(RATE / 2 / voice.pitch) + 1):
        at = harmonic * pitch
        loud = sum(gain / (1 + ((at - formant) / width) ** 2) for formant, (gain, width) in zip(formants, RESONANCES, strict=True))
        sound += np.where(at < RATE / 2 - 100, loud / harmonic ** 0.3, 0) * np.sin(harmonic * phase)
    sound *= voiced
    for sound_of, length, middle in zip(sounds, lengths, middles, strict=True):
        low, high = SOUNDS[sound_of][2]
        if high:
            _hiss(sound, middle, length, low, high, SOUNDS[sound_of][3], rng)
    sound += voice.breath * rng.normal(0, 1, count) * voiced
    edge = min(160, count // 4)
    sound[:edge] *= np.linspace(0, 1, edge)
    sound[-edge:] *= np.linspace(1, 0, edge)
    return 0.5 * sound / max(abs(sound).max(), 1e-9)


def _smooth(steps: np.ndarray, count: int) -> np.ndarray:
    steps = np.interp(np.arange(count), np.arange(len(steps)), steps)
    width = int(0.03 * RATE)
    return np.convolve(np.pad(steps, width, mode="edge"), np.hanning(2 * width + 1) / width, "valid")


def _hiss(sound: np.ndarray, middle: float, length: float, low: float, high: float, loud: float, rng: np.random.Generator) -> None:
    start, end = max(0, int((middle - length * 0.6) * RATE)), min(len(sound), int((middle + length * 0.6) * RATE))
    spectrum = np.fft.rfft(rng.normal(0, 1, end - start))
    hertz = np.fft.rfftfreq(end - start, 1 / RATE)
    spectrum[(hertz < low) | (hertz > high)] = 0
    noise = np.fft.irfft(spectrum, end - start)
    sound[start:end] += 1.6 * loud * noise / max(noise.std(), 1e-9) * np.hanning(end - start)


def room(count: int, rng: np.random.Generator, loud: float) -> np.ndarray:
    """A quiet room: noise that is louder below, and a hum."""
    noise = np.fft.irfft(np.fft.rfft(rng.normal(0, 1, count)) / np.sqrt(1 + (np.fft.rfftfreq(count, 1 / RATE) / 300) ** 2), count)
    return loud * (noise / noise.std() + 0.3 * np.sin(2 * np.pi * 100 * np.arange(count) / RATE + rng.uniform(0, 6)))


SCRIPT = ((1.2, "yes"), (2.6, "on"), (4.6, "toast"), (6.2, "off"), (7.9, "moon"), (9.5, "on"), (11.2, "stop"), (12.6, "off"),
          (14.2, "tea"))


def main() -> None:
    rng = np.random.default_rng(8)
    sound = room(16 * RATE, rng, 0.004)
    truth = []
    for second, word in SCRIPT:
        spoken = say({**KEYWORDS, **OTHERS}[word], somebody(rng), rng) * rng.uniform(0.6, 1.0)
        at = int(second * RATE)
        sound[at:at + len(spoken)] += spoken
        if word in KEYWORDS:
            truth.append({"word": word, "ends_s": round(second + len(spoken) / RATE, 2)})
    with wave.open(str(HERE / "room.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    (HERE / "truth.json").write_text(json.dumps(truth) + "\n")


if __name__ == "__main__":
    main()
