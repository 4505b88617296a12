"""A real file that says everything of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer.model import bundle
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import Frame, FrameFormat
from tests.quantize.test_pack import quantize


@pytest.mark.zoo
def test_mobilenet_is_described_by_its_own_metadata(zoo: Path, tmp_path: Path) -> None:
    """Not one flag: normalisation, colour and 1001 labels are in the file, and a cat is an Egyptian cat."""
    import cv2

    out = tmp_path / "m"
    assert quantize("pack", zoo / "classify/mobilenet_v2_1.0_224_quant.tflite", "-o", out).returncode == 0
    found = bundle.read(out)
    assert len(found.labels) == 1001
    picture = cv2.imread(str(zoo / "classify/cat.bmp"))
    frame = Frame(FrameFormat("BGR", *picture.shape[:2]))
    frame.view[...] = picture
    result = Engine(found, RuntimeOptions()).lane(frame.format).infer(frame)
    assert result.state().lower() == "egyptian cat"
