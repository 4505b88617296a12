"""The engine: tensors that must agree, state that is fed back, lanes that do not disturb each other."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeinfer.errors import ManifestError
from edgeinfer.model.backends import RuntimeOptions, open_session
from edgeinfer.model.bundle import read
from edgeinfer.model.engine import Engine, check_tensors
from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from quantize.pack import Given, pack
from tests import bundles
from tests.models import stateful_tflite


def _infer(engine: Engine, frame: Frame) -> dict[str, object]:
    return engine.lane(frame.format).infer(frame).document()


@pytest.mark.parametrize("make", [bundles.colours, bundles.colours_onnx], ids=["litert", "onnxruntime"])
def test_a_picture_gives_the_mean_of_its_colours(make: object, tmp_path: Path) -> None:
    """The tiny model's answer is known: each class scores the mean of its colour, on both runtimes."""
    if make is bundles.colours_onnx:
        pytest.importorskip("onnxruntime")
    engine = Engine(make(tmp_path), RuntimeOptions())  # type: ignore[operator]
    frame = Frame(FrameFormat("BGR", 20, 30))
    frame.view[...] = (51, 102, 204)
    rows = _infer(engine, frame)["classes"]
    assert [row["label"] for row in rows] == ["red", "green", "blue"]  # type: ignore[attr-defined, union-attr]
    assert [row["score"] for row in rows] == pytest.approx([0.8, 0.4, 0.2], abs=0.003)  # type: ignore[attr-defined, union-attr]
    engine.close()


def test_lanes_of_one_engine_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Two pipelines with cameras of different sizes and formats take turns on one session, each with its own answer."""
    engine = Engine(bundles.colours(tmp_path), RuntimeOptions())
    frames = [Frame(FrameFormat("RGB", 40, 30)), Frame(FrameFormat("GREY", 9, 7))]
    frames[0].view[...] = (255, 0, 0)
    frames[1].view[...] = 128
    lanes = [engine.lane(frame.format) for frame in frames]
    for _ in range(3):
        answers = [lane.infer(frame).document()["classes"] for lane, frame in zip(lanes, frames, strict=True)]
        assert answers[0][0] == {"label": "red", "index": 0, "score": 1.0}
        assert [row["score"] for row in answers[1]] == pytest.approx([0.5] * 3, abs=0.01)
    engine.close()


def test_state_is_fed_back_and_reset(tmp_path: Path) -> None:
    """A recurrent model's output goes back to its input at each frame; reset() forgets it."""
    model = stateful_tflite(tmp_path / "sum.tflite")
    given = Given(decoder="raw", state={"state": "sum"},
                  preprocess={"kind": "window", "length": 4, "channels": 1, "hop": 4, "normalize": "none"})
    engine = Engine(pack(model, tmp_path / "sum", given).bundle, RuntimeOptions())
    assert engine.stateful
    frame = Frame(WindowFormat(4, 1))
    frame.view[:, 0] = (1, 2, 3, 4)
    lane = engine.lane(frame.format)
    for count in (1, 2, 3):
        assert lane.infer(frame).document()["tensors"]["sum"]["data"] == [count * value for value in (1, 2, 3, 4)]
    engine.reset()
    assert lane.infer(frame).document()["tensors"]["sum"]["data"] == [1, 2, 3, 4]
    engine.close()


@pytest.mark.parametrize(("change", "text"), [
    ({"dtype": "int8"}, r"inputs\[0\]"),
    ({"shape": (1, 8, 9, 3)}, r"inputs\[0\]"),
    ({"quantization": None}, r"inputs\[0\]"),
])
def test_a_manifest_that_contradicts_the_model_is_refused(change: dict[str, object], text: str, tmp_path: Path) -> None:
    """Name, shape, dtype, scale and zero point of every tensor are those of the file."""
    bundle = bundles.colours(tmp_path)
    wrong = msgspec.structs.replace(bundle.manifest, inputs=(msgspec.structs.replace(bundle.manifest.inputs[0], **change),))
    session = open_session(bundle.model_path, "tflite", RuntimeOptions())
    check_tensors(bundle.manifest, session)
    with pytest.raises(ManifestError, match=text):
        check_tensors(wrong, session)
    session.close()


def test_latencies_of_each_stage_are_counted(tmp_path: Path) -> None:
    """Three histograms have as many entries as frames were inferred."""
    bundle = bundles.vibration(tmp_path)
    engine = Engine(read(bundle.folder), RuntimeOptions())
    lane = engine.lane(WindowFormat(16, 1))
    frame = Frame(WindowFormat(16, 1))
    frame.view[...] = np.linspace(-1, 1, 16)[:, None]
    for _ in range(5):
        lane.infer(frame)
    assert [latency.count for latency in (lane.preprocess_ns, lane.invoke_ns, lane.decode_ns)] == [5, 5, 5]
    assert lane.nbytes > 0
    engine.close()
