"""Real streaming models from packages, on speech that espeak-ng makes: microWakeWord's INT8 with variables inside, silero-vad's
recurrent ONNX with a constant input.

Run by scripts/test-conformance, which fetches both wheels by name without what they depend on, into the folder that
EDGEINFER_SPEECH names, and installs espeak-ng.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import Frame
from edgeinfer.model.tensor import Array
from edgeinfer.sliding import frame_source
from edgeinfer.sources.wav import WavOptions, WavSource
from quantize.pack import Given, pack

PACKAGES = Path(os.environ.get("EDGEINFER_SPEECH", "/nowhere"))
RATE = 16_000

pytestmark = pytest.mark.skipif(not PACKAGES.is_dir() or shutil.which("espeak-ng") is None,
                                reason="scripts/test-conformance fetches the models and espeak-ng")


def spoken(text: str, path: Path, before_s: float = 1.0, after_s: float = 1.0) -> Path:
    """A voice of espeak-ng at its own 22050 samples a second, between seconds of silence."""
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "140", "-w", str(path), text], check=True)
    with wave.open(str(path)) as file:
        rate, samples = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2")
    parts = np.zeros(int(before_s * rate), "<i2"), samples, np.zeros(int(after_s * rate), "<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.concatenate(parts).tobytes())
    return path


def outputs(engine: Engine, path: Path, index: int = 0) -> Array:
    """The dequantised first value of an output for each window of a file, which is resampled."""
    spec = engine.bundle.manifest.preprocess
    source = frame_source(WavSource(WavOptions(path=str(path), pace="fast")), spec, "test", resample=True)
    frame = Frame(source.format())
    lane, tensor, found = engine.lane(frame.format), engine.session.outputs[index], []
    engine.reset()
    source.open()
    while source.read_into(frame):
        lane.infer(frame)
        found.append(float(tensor.dequantize(engine.session.output(index)).reshape(-1)[0]))
    source.close()
    return np.array(found)


def wakeword(out: Path, name: str) -> Bundle:
    """Three frames of 10 ms each 30 ms; what came before is in the model's variables."""
    folder = PACKAGES / "pymicro_wakeword/models"
    features = {"kind": "micro_frontend", "frame": 480, "step": 160}
    return pack(folder / f"{name}.tflite", out, Given(
        decoder="regress", parameters={"names": [name]},
        preprocess={"kind": "window", "length": 800, "hop": 480, "rate": RATE, "normalize": "none", "features": features})).bundle


@pytest.mark.parametrize("name", ["alexa", "okay_nabu"])
def test_a_streaming_int8_model_hears_its_wake_word(tmp_path: Path, name: str) -> None:
    """The mean of as many windows as its own description says is beyond its own threshold, and far below for other words."""
    rule = json.loads((PACKAGES / f"pymicro_wakeword/models/{name}.json").read_text())["micro"]
    bundle = wakeword(tmp_path / "bundle", name)
    assert bundle.manifest.variables
    assert bundle.manifest.stateful
    engine = Engine(bundle, RuntimeOptions())
    window = np.ones(rule["sliding_window_size"]) / rule["sliding_window_size"]
    word = outputs(engine, spoken(name.replace("_", " "), tmp_path / "word.wav"))
    other = outputs(engine, spoken("good morning everybody", tmp_path / "other.wav"))
    again = outputs(engine, tmp_path / "word.wav")
    print(f"{name}: {np.convolve(word, window).max():.3f}, other words {np.convolve(other, window).max():.3f}")
    assert np.convolve(word, window).max() > rule["probability_cutoff"] > 0.5 > np.convolve(other, window).max()
    assert np.array_equal(word, again)  # nothing of the file between is remembered
    engine.close()


def test_what_is_remembered_inside_is_forgotten_when_the_stream_breaks(tmp_path: Path) -> None:
    """In the middle of the word nothing is left of its beginning."""
    engine = Engine(wakeword(tmp_path / "bundle", "alexa"), RuntimeOptions())
    word = outputs(engine, spoken("alexa", tmp_path / "word.wav"))
    loud = int(np.argmax(word > 0.9))
    spec = engine.bundle.manifest.preprocess
    for breaks, expected in ((0, 0.9), (1, 0.0)):
        source = frame_source(WavSource(WavOptions(path=str(tmp_path / "word.wav"), pace="fast")), spec, "test", resample=True)
        frame, found = Frame(source.format()), 0.0
        lane = engine.lane(frame.format)
        engine.reset()
        source.open()
        for index in range(loud + 1):
            source.read_into(frame)
            frame.breaks = breaks if index == loud else 0
            lane.infer(frame)
        found = float(engine.session.outputs[0].dequantize(engine.session.output(0)).reshape(-1)[0])
        source.close()
        assert (found > expected) if expected else (found < 0.1)


@pytest.mark.parametrize("name", ["silero_vad_16k_op15", "silero_vad_op18_ifless"])
def test_a_recurrent_model_with_a_constant_input_tells_speech_from_silence(tmp_path: Path, name: str) -> None:
    """silero-vad: 512 new samples after 64 known ones, a state that is fed back, and the rate as an int64 input."""
    given = Given(decoder="raw", state={"state": "stateN"}, constants={"sr": float(RATE)}, shape={"input": (1, 576), "state": (2, 1, 128)},
                  preprocess={"kind": "window", "length": 576, "hop": 512, "rate": RATE, "normalize": "none"})
    bundle = pack(PACKAGES / f"silero_vad/data/{name}.onnx", tmp_path / "bundle", given).bundle
    engine = Engine(bundle, RuntimeOptions())
    path = spoken("The quick brown fox jumps over the lazy dog.", tmp_path / "fox.wav")
    speech = outputs(engine, path)
    before, within = speech[: int(0.9 * RATE / 512)], speech[int(1.2 * RATE / 512) : int(2.2 * RATE / 512)]
    print(f"silence {before.max():.3f}, speech {within.mean():.3f}")
    assert before.max() < 0.1
    assert within.mean() > 0.8
    assert np.array_equal(speech, outputs(engine, path))
    assert np.allclose(speech, by_the_packages_rule(path, name), atol=1e-3)
    engine.close()


def by_the_packages_rule(path: Path, name: str) -> Array:
    """As silero_vad/utils_vad.py calls the model, but for its first 64 samples of nothing: the windows are the same."""
    import onnxruntime

    from edgeinfer.model.preprocess.resampling import Resampler, ratio

    with wave.open(str(path)) as file:
        samples, share = np.frombuffer(file.readframes(file.getnframes()), "<i2") / np.float32(32768), ratio(RATE, file.getframerate())
    assert share is not None
    whole, at = np.zeros((-(-len(samples) * share.numerator // share.denominator), 1), np.float32), [0]

    def read(out: Array) -> int:
        count = min(len(out), len(samples) - at[0])
        out[:count, 0] = samples[at[0] : at[0] + count]
        at[0] += count
        return count

    Resampler(share.numerator, share.denominator, 1, read).read_into(whole)
    session = onnxruntime.InferenceSession(str(PACKAGES / f"silero_vad/data/{name}.onnx"))
    state, found = np.zeros((2, 1, 128), np.float32), []
    for start in range(0, len(whole) - 575, 512):
        answer, state = session.run(None, {"input": whole[start : start + 576, 0][None], "state": state, "sr": np.array(RATE, np.int64)})
        found.append(float(answer[0, 0]))
    return np.array(found)
