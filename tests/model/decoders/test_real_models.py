"""Known answers of real models, through decoders of ours and of a third party's package."""

from __future__ import annotations

import configparser
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.errors import ManifestError
from edgeinfer.model.decoders import DECODERS
from edgeinfer.model.modelfile import describe
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.proposal import propose
from edgeinfer.model.tensor import Array
from tests import litert
from tests.conftest import ROOT
from tests.model.decoders.cases import tensor

PACKAGE = ROOT / "examples" / "third-party-decoder"


@pytest.fixture
def fastestdet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Any]]:
    """The third party's decoder, installed as pip would leave it: the module, and a dist-info with its entry points."""
    project = configparser.ConfigParser()  # reads this pyproject well enough; tomllib comes with Python 3.11
    project.read(PACKAGE / "pyproject.toml")
    info = tmp_path / "edgeinfer_fastestdet-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: edgeinfer-fastestdet\nVersion: 0.1.0\n")
    points = project['project.entry-points."edgeinfer.decoders"'].items()
    lines = [f"{name} = {target}\n" for name, target in points]
    (info / "entry_points.txt").write_text("[edgeinfer.decoders]\n" + "".join(lines).replace('"', ""))
    (tmp_path / "edgeinfer_fastestdet.py").write_bytes((PACKAGE / "edgeinfer_fastestdet.py").read_bytes())
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield DECODERS.load("fastestdet", "test")
    sys.modules.pop("edgeinfer_fastestdet", None)


def _picture(path: Path, side: int) -> Array:
    cv2 = pytest.importorskip("cv2")
    return np.asarray(cv2.resize(cv2.imread(str(path)), (side, side), interpolation=cv2.INTER_LINEAR_EXACT))


@pytest.mark.zoo
def test_a_third_partys_decoder_finds_the_crowd(zoo: Path, fastestdet: type[Any]) -> None:
    """FastestDet on a picture of four people: some twenty cells over 0.65, all of them a person; four once suppressed."""
    onnxruntime = pytest.importorskip("onnxruntime")
    picture = _picture(zoo / "detect" / "3.jpg", 352)
    session = onnxruntime.InferenceSession(zoo / "detect" / "FastestDet.onnx", providers=["CPUExecutionProvider"])
    given = (picture.astype(np.float32) / 255).transpose(2, 0, 1)[np.newaxis]
    output = session.run(None, {"input.1": given})[0]
    labels = (zoo / "detect" / "coco.names").read_text().split("\n")[:80]
    specs = [tensor("758", output.shape)], labels, [tensor("input.1", given.shape)]
    cells = fastestdet({"iou": 1}, *specs).decode([output], [given], Geometry())
    assert cells.count >= 10
    assert cells.state() == f"person:{cells.count}"
    scores = [row.score for row in cells.rows[: cells.count]]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= 0.65
    people = fastestdet({}, *specs).decode([output], [given], Geometry())
    assert people.state() == "person:4"
    assert [row.left for row in people.rows[:4]] == pytest.approx([0.08, 0.58, 0.32, 0.46], abs=0.02)


def test_a_third_partys_decoder_is_listed_and_refuses_as_ours_do(fastestdet: type[Any]) -> None:
    """Its name is among the decoders, and its errors come from the same place."""
    assert "fastestdet" in DECODERS.names()
    with pytest.raises(ManifestError, match=r"decoder fastestdet: expected one output .* got 'o' \(1, 84, 10\) float32"):
        fastestdet({}, [tensor("o", (1, 84, 10))], [], [])


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_fastestdet_by_hand(fastestdet: type[Any], dtype: Any) -> None:
    """One cell of 2 x 2 with an object: score 0.9^0.6 * 0.8^0.4, centre a quarter and three quarters, half the size."""
    real = np.zeros((1, 7, 2, 2))
    real[0, :, 1, 0] = [0.9, np.arctanh(0.5), np.arctanh(0.5), 0.0, 0.0, 0.1, 0.8]
    spec = tensor("o", (1, 7, 2, 2), dtype, *([1 / 128, 0] if dtype == "int8" else []))
    result = fastestdet({}, [spec], ["a", "b"], []).decode([spec.quantize(real)], [], Geometry())
    row = result.rows[0]
    assert (result.count, row.label) == (1, "b")
    assert [row.score, row.left, row.top, row.right, row.bottom] == pytest.approx([0.8586, 0, 0.5, 0.5, 1], abs=0.005)


@pytest.mark.zoo
def test_mobilenet_sees_the_cat(zoo: Path) -> None:
    """MobileNet V2, uint8: Egyptian cat 0.82, tabby 0.11, tiger cat 0.04; the labels count the background as class 0."""
    interpreter = litert.interpreter()
    model = interpreter.Interpreter(str(zoo / "classify" / "mobilenet_v2_1.0_224_quant.tflite"))
    model.allocate_tensors()
    given, made = model.get_input_details()[0], model.get_output_details()[0]
    model.set_tensor(given["index"], _picture(zoo / "classify" / "cat.bmp", 224)[np.newaxis, :, :, ::-1])
    model.invoke()
    scale, zero_point = made["quantization"]
    labels = ["background", *(f"imagenet {index}" for index in range(1000))]
    labels[282:287] = ["tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"]
    spec = tensor("s", tuple(made["shape"].tolist()), "uint8", scale, zero_point)
    decoder = DECODERS.load("classify", "test")({"top_k": 3, "background": 0}, [spec], labels, [])
    result = decoder.decode([model.get_tensor(made["index"])], [], Geometry())
    best = [(row.label, row.score) for row in result.rows]
    assert [name for name, _ in best] == ["Egyptian cat", "tabby", "tiger cat"]
    assert [score for _, score in best] == pytest.approx([0.82, 0.11, 0.04], abs=0.02)


def _lite(path: Path, picture: Array) -> tuple[list[Any], list[Array]]:
    """The outputs of a .tflite, with their specifications; ``picture`` without its batch."""
    model = litert.interpreter().Interpreter(str(path))
    model.allocate_tensors()
    given = model.get_input_details()[0]
    model.set_tensor(given["index"], picture[np.newaxis].astype(given["dtype"]))
    model.invoke()
    return list(describe(path).outputs), [model.get_tensor(one["index"]) for one in model.get_output_details()]


@pytest.mark.zoo
def test_movenet_finds_the_squatting_person(zoo: Path) -> None:
    """MoveNet Lightning, INT8: one person, mean score 0.54, the nose at y 0.33 and x 0.58."""
    outputs, stored = _lite(zoo / "pose" / "movenet_single_pose_lightning_ptq.tflite",
                            _picture(zoo / "pose" / "squat.bmp", 192)[:, :, ::-1])
    result = DECODERS.load("pose", "test")({"variant": "movenet"}, outputs, [], []).decode(stored, [], Geometry())
    assert result.state() == "person:1"
    assert result.rows[0].score == pytest.approx(0.54, abs=0.02)
    nose = next(point for point in result.rows[0].keypoints if point.name == "nose")
    assert (nose.x, nose.y) == pytest.approx((0.58, 0.33), abs=0.02)


@pytest.mark.zoo
def test_selfie_segmentation_covers_the_person(zoo: Path) -> None:
    """58 % of the picture is the person at 0.5, in one large region."""
    outputs, stored = _lite(zoo / "segment" / "selfie_segmentation.tflite",
                            _picture(zoo / "segment" / "grace_hopper.bmp", 256)[:, :, ::-1] / 255)
    result = DECODERS.load("segment", "test")({"mask": 64}, outputs, ["person"], []).decode(stored, [], Geometry())
    assert result.state() == "person"
    assert result.rows[0].area == pytest.approx(0.58, abs=0.01)
    assert result.regions[0].area > 0.5
    assert sum(result.rows[0].mask.counts[1::2]) / 64**2 == pytest.approx(result.rows[0].area, abs=0.01)


@pytest.mark.zoo
def test_fastestdet_finds_the_crowd(zoo: Path) -> None:
    """The built-in grid decoder, with what is proposed for the file: some twenty cells over 0.65, all a person; four people."""
    onnxruntime = pytest.importorskip("onnxruntime")
    file = describe(zoo / "detect" / "FastestDet.onnx")
    session = onnxruntime.InferenceSession(zoo / "detect" / "FastestDet.onnx", providers=["CPUExecutionProvider"])
    given = (_picture(zoo / "detect" / "3.jpg", 352).astype(np.float32) / 255).transpose(2, 0, 1)[np.newaxis]
    stored = session.run(None, {"input.1": given})
    labels = (zoo / "detect" / "coco.names").read_text().split("\n")[:80]
    best = propose(file.inputs, file.outputs, len(labels))[0]
    assert (best.decoder, best.parameters["encoding"]) == ("grid", "fastestdet")
    here = Geometry(input_height=352, input_width=352)
    cells, people = (DECODERS.load("grid", "test")({**best.parameters, "iou": iou}, file.outputs, labels, file.inputs).decode(
        stored, [], here) for iou in (1.0, 0.45))
    assert 10 <= cells.count <= 30
    assert cells.state() == f"person:{cells.count}"
    assert people.state() == "person:4"
    assert [row.left for row in people.rows[:4]] == pytest.approx([0.08, 0.58, 0.32, 0.46], abs=0.02)
