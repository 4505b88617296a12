"""Keywords in a stream of sound, by the zoo's models, with all that they need to hear in their manifests."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.engine import Engine
from edgeinfer.model.tensor import Array
from edgeinfer.oneshot import answers
from tests.zoo_bundles import kws_of_sound, micro_speech_of_sound

pytestmark = pytest.mark.zoo
RATE = 16_000


def sound(zoo: Path, word: str) -> Array:
    with wave.open(str(zoo / f"audio/{word}_1000ms.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def stream(zoo: Path, path: Path, words: list[str], channels: int = 1, rate: int = RATE) -> Path:
    """Each word after a second of a quiet room."""
    room = np.random.default_rng(0).integers(-30, 30, (len(words) + 1, RATE)).astype("<i2")
    parts = [part for index, word in enumerate(words) for part in (room[index], sound(zoo, word))]
    samples = np.concatenate([*parts, room[-1]])
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(np.repeat(samples, channels).tobytes())
    return path


def heard(bundle: Bundle, path: Path, least: float) -> list[tuple[str, float]]:
    """(word, seconds at the window's end) where eight windows one after the other (160 ms) agree, once for each time it is said."""
    spec = bundle.manifest.preprocess
    engine, found, row, last = Engine(bundle, RuntimeOptions()), [], 0, ""
    for answer in answers(engine, path):
        best = answer.result.document()["classes"][0]
        word = best["label"] if best["score"] >= least else ""
        row = row + 1 if word == last else 1
        last = word
        if row == 8 and word not in ("", "silence", "unknown"):
            found.append((word, (answer.index * spec.hop + spec.length) / RATE))  # type: ignore[union-attr]
    engine.close()
    return found


def test_kws_hears_yes_in_a_stream(zoo: Path, tmp_path: Path) -> None:
    """Once, while the word is in its second; and no keyword in silence. (It takes this "no" for a "go", in float as well.)"""
    bundle = kws_of_sound(zoo, tmp_path / "kws")
    found = heard(bundle, stream(zoo, tmp_path / "s.wav", ["silence", "yes"]), 0.9)
    assert [word for word, _ in found] == ["yes"]
    assert 3.0 < found[0][1] < 4.5


def test_micro_speech_hears_yes_and_no_in_a_stream(zoo: Path, tmp_path: Path) -> None:
    """Each once and in order, with noise estimates that go on from window to window."""
    bundle = micro_speech_of_sound(zoo, tmp_path / "micro_speech")
    found = heard(bundle, stream(zoo, tmp_path / "s.wav", ["yes", "no"]), 0.9)
    assert [word for word, _ in found] == ["yes", "no"]
    assert 1.0 < found[0][1] < 2.5
    assert 3.0 < found[1][1] < 4.5


@pytest.mark.parametrize(("word", "wanted"), [("yes", "yes"), ("silence", "silence")])
def test_a_second_of_sound_is_one_window(zoo: Path, tmp_path: Path, word: str, wanted: str) -> None:
    """What ``edgeinfer infer MODEL yes.wav`` says."""
    engine = Engine(kws_of_sound(zoo, tmp_path / "kws"), RuntimeOptions())
    results = [answer.result.document()["classes"][0] for answer in answers(engine, zoo / f"audio/{word}_1000ms.wav")]
    assert [result["label"] for result in results] == [wanted]
    assert results[0]["score"] > 0.85
