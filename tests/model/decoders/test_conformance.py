"""What every decoder of the table promises, whatever it decodes."""

from __future__ import annotations

import inspect
import itertools
import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgeinfer.model.decoders import DECODERS
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Area, Box, Label
from edgeinfer.model.tensor import Array, TensorSpec
from tests.growth import growth
from tests.model.decoders.cases import tensor

PICTURE = [tensor("picture", (1, 64, 64, 3))]
HERE = Geometry(input_width=64, input_height=64)
LISTS = [tensor("boxes", (1, 10, 4)), tensor("classes", (1, 10)), tensor("scores", (1, 10)), tensor("count", (1,))]
SSD = {"recipe": "ssd", "strides": [32, 64]}
FACES = {"recipe": "blazeface", "strides": [32, 64, 64]}
RAW = [tensor("b", (1, 18, 4)), tensor("s", (1, 18, 3))]

KINDS: dict[str, tuple[str, dict[str, Any], list[TensorSpec]]] = {
    "classify": ("classify", {}, [tensor("s", (1, 12))]),
    "classify-softmax": ("classify", {"softmax": True, "background": 0}, [tensor("s", (1, 12))]),
    "classify-sigmoid": ("classify", {"sigmoid": True}, [tensor("s", (1, 12))]),
    "yolo-v5": ("yolo", {"variant": "v5", "threshold": 0.01}, [tensor("o", (1, 84, 7))]),
    "yolo-v8": ("yolo", {"variant": "v8", "threshold": 0.01}, [tensor("o", (1, 6, 84))]),
    "yolo-v8-turned": ("yolo", {"variant": "v8", "threshold": 0.01}, [tensor("o", (1, 84, 6))]),
    "yolo-x": ("yolo", {"variant": "x", "threshold": 0.01}, [tensor("o", (1, 84, 7))]),
    "ssd": ("ssd", {"threshold": 0.01}, LISTS),
    "ssd-sigmoid": ("ssd", {"threshold": 0.01, "anchors": SSD}, RAW),
    "ssd-softmax": ("ssd", {"threshold": 0.01, "anchors": SSD, "activation": "softmax", "background": 0}, RAW),
    "ssd-softmax-bare": ("ssd", {"threshold": 0.01, "anchors": SSD, "activation": "softmax"}, RAW),
    "ssd-faces": ("ssd", {"threshold": 0.01, "anchors": FACES, "keypoints": 6}, [tensor("b", (1, 12, 16)), tensor("s", (1, 12, 1))]),
    "ssd-plain": ("ssd", {"threshold": 0.01, "corners": "xyxy", "box_unit": "pixel"}, LISTS[:3]),
    "grid-v5": ("grid", {"encoding": "v5", "threshold": 0.01, "strides": [32], "anchors": [[[9, 9], [20, 30]]]},
                [tensor("o", (1, 14, 2, 2))]),
    "grid-dfl": ("grid", {"encoding": "dfl", "threshold": 0.01, "strides": [32, 64], "bins": 4}, [tensor("o", (1, 5, 18))]),
    "grid-fastestdet": ("grid", {"encoding": "fastestdet", "threshold": 0.01, "strides": [16]}, [tensor("o", (1, 7, 4, 4))]),
    "end_to_end": ("end_to_end", {"threshold": 0.01, "iou": 0.5}, [tensor("o", (1, 10, 6))]),
    "detr": ("detr", {"threshold": 0.01, "boxes": "b"}, [tensor("b", (1, 10, 4)), tensor("s", (1, 10, 2))]),
    "detr-softmax": ("detr", {"threshold": 0.01, "activation": "softmax"}, [tensor("b", (1, 10, 4)), tensor("s", (1, 10, 3))]),
    "instances": ("instances", {"threshold": 0.01, "mask": True}, [tensor("o", (1, 9, 30)), tensor("p", (1, 3, 16, 16))]),
    "segment": ("segment", {"mask": 8}, [tensor("o", (1, 16, 16, 3))]),
    "segment-map": ("segment", {"min_area": 0}, [tensor("o", (1, 16, 16), "int32")]),
    "segment-one": ("segment", {"logits": True, "mask": 4, "max_runs": 8}, [tensor("o", (1, 16, 16, 1))]),
    "pose-movenet": ("pose", {"variant": "movenet", "threshold": 0.01}, [tensor("o", (1, 1, 17, 3))]),
    "pose-multi": ("pose", {"variant": "movenet", "threshold": 0.01}, [tensor("o", (1, 6, 56))]),
    "pose-heatmap": ("pose", {"variant": "heatmap", "threshold": 0.01}, [tensor("o", (1, 4, 4, 17)), tensor("p", (1, 4, 4, 34))]),
    "pose-yolo": ("pose", {"variant": "yolo", "threshold": 0.01}, [tensor("o", (1, 56, 84))]),
    "landmarks": ("landmarks", {"presence": "s", "landmarks": "o"}, [tensor("o", (1, 42)), tensor("s", (1, 1))]),
    "embed": ("embed", {}, [tensor("o", (1, 8))]),
    "embed-published": ("embed", {"publish_embedding": True}, [tensor("o", (1, 8))]),
    "ctc": ("ctc", {}, [tensor("o", (1, 12, 4))]),
    "ctc-turned": ("ctc", {"blank": -1}, [tensor("o", (1, 4, 12))]),
    "ctc-softmax": ("ctc", {"softmax": True, "min_length": 2}, [tensor("o", (1, 12, 4))]),
    "anomaly": ("anomaly", {"threshold": 1}, [tensor("r", (1, 64, 64, 3))]),
    "anomaly-score": ("anomaly", {"threshold": 1, "mode": "score"}, [tensor("r", (1, 1))]),
    "regress": ("regress", {}, [tensor("r", (1, 3))]),
    "raw": ("raw", {}, [tensor("r", (1, 3)), tensor("q", (1, 2, 2))]),
}
BOUNDED = [kind for kind in KINDS if kind.startswith(("classify-s", "yolo-v5", "yolo-x", "ssd-s", "grid", "detr", "pose-m",
                                                      "pose-h"))]


def _make(kind: str, threshold: float | None = None) -> Any:
    name, parameters, outputs = KINDS[kind]
    labels = ["a", "b", "␣"] if name == "ctc" else []
    decoder = DECODERS.load(name, "test")(parameters, outputs, labels, PICTURE, threshold)
    if name == "embed":
        decoder.know(["ada", "bob"], np.eye(2, 8))
    return decoder


def _stored(kind: str, rng: np.random.Generator) -> list[Array]:
    return [(rng.random(spec.shape) * (4 if np.dtype(spec.dtype).kind == "i" else 1)).astype(spec.dtype)
            for spec in KINDS[kind][2]]


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, (int, float)):
        yield value


def test_every_decoder_of_the_table_is_here() -> None:
    """A decoder that is added to the table is added to this file."""
    assert {name for name, _, _ in KINDS.values()} == set(DECODERS.entries)


@pytest.mark.parametrize("name", DECODERS.entries)
def test_the_constructor_is_the_protocols(name: str) -> None:
    """Same parameters, same order, same default."""
    theirs = inspect.signature(DECODERS.load(name, "test")).parameters
    expected = {"parameters": inspect.Parameter.empty, "outputs": inspect.Parameter.empty, "labels": inspect.Parameter.empty,
                "inputs": inspect.Parameter.empty, "threshold": None}  # Python 3.10 hides a Protocol's own signature
    assert {parameter.name: parameter.default for parameter in theirs.values()} == expected


@pytest.mark.parametrize("kind", KINDS)
def test_the_result_is_one_object_filled_anew(kind: str) -> None:
    """decode returns the same object and rows each time, and what it says does not depend on the frames before."""
    decoder, rng = _make(kind), np.random.default_rng(1)
    first, second = _stored(kind, rng), _stored(kind, rng)
    window = [rng.random((1, 64, 64, 3)).astype(np.float32)]
    result = decoder.decode(first, window, HERE)
    rows, said = [id(row) for row in getattr(result, "rows", [])], result.document()
    decoder.decode(second, window, HERE)
    assert decoder.decode(first, window, HERE) is result
    assert [id(row) for row in getattr(result, "rows", [])] == rows
    assert result.document() == said
    assert decoder.nbytes > 0 or kind.startswith("anomaly")


@pytest.mark.parametrize("kind", KINDS)
def test_the_batch_dimension_may_be_gone(kind: str) -> None:
    """Views with and without the leading 1 mean the same."""
    decoder, rng = _make(kind), np.random.default_rng(2)
    stored, window = _stored(kind, rng), [rng.random((1, 64, 64, 3)).astype(np.float32)]
    said = decoder.decode(stored, window, HERE).document()
    bare = [array.reshape(array.shape[1:] or (1,)) for array in stored]
    assert decoder.decode(bare, [window[0][0]], HERE).document() == said


@pytest.mark.parametrize("kind", KINDS)
def test_views_are_not_kept(kind: str) -> None:
    """A runtime refuses to run while a view of its memory is alive: after decode nobody holds one."""
    decoder = _make(kind)
    stored, window = _stored(kind, np.random.default_rng(3)), [np.zeros((1, 64, 64, 3), np.float32)]
    before = [sys.getrefcount(array) for array in (*stored, *window)]
    decoder.decode(stored, window, HERE)
    assert [sys.getrefcount(array) for array in (*stored, *window)] == before


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(draw=st.data())
def test_no_value_raises_or_gives_what_json_cannot_say(kind: str, draw: st.DataObject) -> None:
    """For any floats, NaN and infinities among them, every number of the result is finite, and scores that come from a
    sigmoid, a softmax or two probabilities are within 0..1."""
    any_float = st.floats(width=32) | st.sampled_from([0.5, 0.875, 2.0**127, math.nan, math.inf, -math.inf])
    stored = [draw.draw(arrays.arrays(spec.dtype, spec.shape, elements=any_float if spec.dtype == "float32" else None))
              for spec in KINDS[kind][2]]
    window = np.zeros((1, 64, 64, 3), np.float32)
    result = _make(kind).decode(stored, [window], HERE)
    assert all(math.isfinite(number) for number in _numbers(result.document()))
    for row in getattr(result, "rows", [])[: getattr(result, "count", 0)]:
        assert isinstance(row, (Label, Box, Area))
        if not isinstance(row, Area):
            assert kind not in BOUNDED or row.score <= 1
        for point in getattr(row, "keypoints", []):
            assert 0 <= point.x <= 1
            assert 0 <= point.y <= 1
        if isinstance(row, Box):
            assert 0 <= row.left < row.right <= 1
            assert 0 <= row.top < row.bottom <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_many_frames_leave_no_memory_behind(kind: str) -> None:
    """After a warm-up, traced memory does not grow with frames: by less than 8 KiB in 300, 16 in 2500."""
    decoder, rng = _make(kind, 0.9 if kind.startswith(("yolo", "ssd")) else None), np.random.default_rng(4)
    frames = [_stored(kind, rng) for _ in range(4)]
    window = [np.zeros((1, 64, 64, 3), np.float32)]
    count, limit = (2500, 16) if kind == "classify" else (300, 8)
    endless = itertools.cycle(frames)
    for _ in frames:
        decoder.decode(next(endless), window, HERE)
    assert growth(lambda: decoder.decode(next(endless), window, HERE), count, 2) < limit * 1024
