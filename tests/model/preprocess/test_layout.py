"""Where a picture lies in the input, and the way back for boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.preprocess import build
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.preprocess.layout import Rect, place
from edgeinfer.model.preprocess.spec import ImageSpec
from tests.model.preprocess.reference import image_tensor


@settings(max_examples=200, deadline=None)
@given(height=st.integers(40, 400), width=st.integers(40, 400),
       model_height=st.integers(16, 64), model_width=st.integers(16, 64),
       resize=st.sampled_from(("stretch", "letterbox", "crop")), down=st.floats(0, 1), right=st.floats(0, 1))
def test_a_square_is_found_where_the_geometry_says(height: int, width: int, model_height: int, model_width: int, resize: Any,
                                                   down: float, right: float) -> None:
    """The middle of a square, taken back from the input, is where it was drawn: within a pixel or half an input pixel."""
    spec = ImageSpec(height=model_height, width=model_width, colour="GREY", resize=resize, pad=0)
    placement = place(height, width, spec)
    step_y, step_x = (placement.source.height / placement.target.height, placement.source.width / placement.target.width)
    half_y, half_x = int(3 * step_y) + 1, int(3 * step_x) + 1
    assume(2 * half_y + 2 <= placement.source.height and 2 * half_x + 2 <= placement.source.width)
    y = placement.source.y + half_y + int(down * (placement.source.height - 2 * half_y))
    x = placement.source.x + half_x + int(right * (placement.source.width - 2 * half_x))
    frame = Frame(FrameFormat("GREY", height, width))
    frame.view[y - half_y : y + half_y, x - half_x : x + half_x] = 255
    preprocess = build(spec, image_tensor(spec), frame.format)
    out = np.empty((1, model_height, model_width, 1), np.uint8)
    preprocess.run(frame, out)
    rows, columns = out[0, :, :, 0].sum(1, dtype=np.float64), out[0, :, :, 0].sum(0, dtype=np.float64)
    middle_y = (rows @ (np.arange(model_height) + 0.5)) / rows.sum() / model_height
    middle_x = (columns @ (np.arange(model_width) + 0.5)) / columns.sum() / model_width
    assert preprocess.geometry.y(middle_y) * height == pytest.approx(y, abs=max(1.0, step_y / 2))
    assert preprocess.geometry.x(middle_x) * width == pytest.approx(x, abs=max(1.0, step_x / 2))


@settings(max_examples=300)
@given(height=st.integers(1, 5000), width=st.integers(1, 5000),
       model_height=st.integers(1, 700), model_width=st.integers(1, 700),
       resize=st.sampled_from(("stretch", "letterbox", "crop")))
def test_a_placement_is_sound(height: int, width: int, model_height: int, model_width: int, resize: Any) -> None:
    """Both rectangles lie inside their pictures, factors divide the source, and what is left shrinks by less than 2
    on an axis whose factor is not at its limit."""
    placed = place(height, width, ImageSpec(height=model_height, width=model_width, resize=resize))
    source, target = placed.source, placed.target
    assert 0 <= source.x <= source.x + source.width <= width
    assert 0 <= source.y <= source.y + source.height <= height
    assert 0 <= target.x <= target.x + target.width <= model_width
    assert 0 <= target.y <= target.y + target.height <= model_height
    assert min(source.width, source.height, target.width, target.height) >= 1
    assert placed.reduced == (source.height / placed.factor_y, source.width / placed.factor_x)
    if placed.factor_x > 1:
        assert placed.factor_x == 8 or placed.reduced[1] < 1.5 * target.width
        assert placed.factor_y == 8 or placed.reduced[0] < 1.5 * target.height
        assert placed.reduced[0] >= target.height
        assert placed.reduced[1] >= target.width


@pytest.mark.parametrize(("resize", "size", "source", "factors", "target"), [
    ("stretch", (480, 640), Rect(0, 0, 640, 480), (2, 2), Rect(0, 0, 224, 224)),
    ("stretch", (1080, 1920), Rect(0, 0, 1920, 1080), (4, 8), Rect(0, 0, 224, 224)),
    ("stretch", (243, 1321), Rect(0, 0, 1321, 243), (1, 1), Rect(0, 0, 224, 224)),
    ("stretch", (1001, 1125), Rect(0, 0, 1125, 1000), (4, 5), Rect(0, 0, 224, 224)),
    ("letterbox", (480, 640), Rect(0, 0, 640, 480), (2, 2), Rect(0, 28, 224, 168)),
    ("letterbox", (640, 480), Rect(0, 0, 480, 640), (2, 2), Rect(28, 0, 168, 224)),
    ("letterbox", (1, 5000), Rect(0, 0, 5000, 1), (1, 1), Rect(0, 111, 224, 1)),
    ("crop", (480, 640), Rect(80, 0, 480, 480), (2, 2), Rect(0, 0, 224, 224)),
    ("crop", (720, 1280), Rect(280, 0, 720, 720), (3, 3), Rect(0, 0, 224, 224)),
    ("crop", (641, 480), Rect(0, 80, 480, 480), (2, 2), Rect(0, 0, 224, 224)),
])
def test_placements_that_were_reckoned_by_hand(resize: Any, size: tuple[int, int], source: Rect, factors: tuple[int, int],
                                               target: Rect) -> None:
    """A letterbox and a crop are centred; factors are those of each axis; a remainder is trimmed from both ends."""
    placed = place(*size, ImageSpec(height=224, width=224, resize=resize))
    assert (placed.source, (placed.factor_y, placed.factor_x), placed.target) == (source, factors, target)


def test_geometry_of_each_way() -> None:
    """Stretch is the identity, a letterbox reaches beyond the picture, a crop stays within it."""
    def of(resize: Any) -> Geometry:
        return place(480, 640, ImageSpec(height=224, width=224, resize=resize)).geometry

    assert of("stretch") == Geometry(input_height=224, input_width=224)
    assert of("letterbox") == Geometry(1.0, 224 / 168, 0.0, -28 / 168, 224, 224)
    assert of("crop") == Geometry(0.75, 1.0, 0.125, 0.0, 224, 224)
