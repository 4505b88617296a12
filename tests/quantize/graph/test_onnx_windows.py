"""Windows that slide: whatever pads, strides and rounding a file has, the graph computes the same with pads in numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgeinfer.errors import ModelError
from tests.quantize.graph.test_onnx_reader import same_numbers
from tests.quantize.graphs import model, run, weights

few = settings(deadline=None, max_examples=80, derandomize=True)
SIDES = st.lists(st.integers(3, 9), min_size=1, max_size=2)
AUTO = st.sampled_from(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])


def drawn_windows(data: Any, rank: int, auto: str) -> dict[str, Any]:
    numbers = st.lists(st.integers(1, 3), min_size=rank, max_size=rank)
    attributes: dict[str, Any] = {"kernel_shape": data.draw(numbers), "strides": data.draw(numbers), "auto_pad": auto}
    if auto == "NOTSET":
        attributes["pads"] = [data.draw(st.integers(0, attributes["kernel_shape"][side % rank] - 1)) for side in range(2 * rank)]
    return attributes


def runs(proto: Any, shape: tuple[int, ...]) -> bool:
    """Whether ONNX Runtime runs the original and it makes numbers."""
    try:
        (made,) = run(proto, {"x": np.zeros(shape, np.float32)})
    except Exception:
        return False
    return made.size > 0


@few
@given(st.data(), SIDES, AUTO, st.booleans(), st.sampled_from([10, 11, 17, 22]))
def test_a_max_pool_has_its_pads_in_numbers(data: Any, sides: list[int], auto: str, ceil: bool, opset: int) -> None:
    """auto_pad, ceil_mode and dilations of any size."""
    attributes = drawn_windows(data, len(sides), auto) | {"ceil_mode": int(ceil)}
    if auto == "NOTSET" and not ceil:
        attributes["dilations"] = data.draw(st.lists(st.integers(1, 2), min_size=len(sides), max_size=len(sides)))
    proto = model([("MaxPool", ["x"], "y", attributes)], {"x": (1, 2, *sides)}, ["y"], opset)
    assume(runs(proto, (1, 2, *sides)))
    (node,) = same_numbers(proto).nodes
    assert set(node.attributes) == {"kernel_shape", "strides", "pads", "dilations"}


def test_a_dilated_window_beyond_the_pads_is_refused() -> None:
    """ONNX Runtime takes no pad as large as the window, which rounding up would make here."""
    attributes = {"kernel_shape": [2], "strides": [3], "dilations": [2], "ceil_mode": 1}
    with pytest.raises(ModelError, match="MaxPool 'y': expected pads smaller than the window"):
        same_numbers(model([("MaxPool", ["x"], "y", attributes)], {"x": (1, 2, 4)}, ["y"]))


@few
@given(st.data(), SIDES, AUTO, st.booleans(), st.booleans(), st.sampled_from([10, 11, 17, 19, 22]))
def test_an_average_pool_counts_as_before(data: Any, sides: list[int], auto: str, ceil: bool, counted: bool, opset: int) -> None:
    """Pads count where the file says so; what ceil_mode hangs over the end never does."""
    attributes = drawn_windows(data, len(sides), auto) | {"ceil_mode": int(ceil), "count_include_pad": int(counted)}
    if auto.startswith("SAME"):  # ONNX Runtime fails, or counts from another number, where windows are smaller than their stride
        attributes["strides"] = [min(stride, size) for stride, size in zip(attributes["strides"], attributes["kernel_shape"], strict=True)]
    proto = model([("AveragePool", ["x"], "y", attributes)], {"x": (1, 2, *sides)}, ["y"], opset)
    assume(runs(proto, (1, 2, *sides)))
    graph = same_numbers(proto)
    assert [node.op for node in graph.nodes][-1:] == ["AveragePool"]
    assert set(graph.nodes[-1].attributes) == {"kernel_shape", "strides", "pads", "count_include_pad"}


@few
@given(st.data(), SIDES, AUTO, st.integers(1, 2))
def test_a_conv_has_its_pads_in_numbers(data: Any, sides: list[int], auto: str, group: int) -> None:
    """auto_pad, strides, groups and dilations."""
    attributes = drawn_windows(data, len(sides), auto) | {"group": group}
    if auto != "SAME_LOWER":
        attributes["dilations"] = data.draw(st.lists(st.integers(1, 2), min_size=len(sides), max_size=len(sides)))
    w = weights(4, 4 // group, *attributes["kernel_shape"])
    proto = model([("Conv", ["x", w], "y", attributes)], {"x": (1, 4, *sides)}, ["y"])
    assume(runs(proto, (1, 4, *sides)))
    (node,) = same_numbers(proto).nodes
    assert set(node.attributes) == {"strides", "pads", "dilations", "group"}
    assert len(node.inputs) == 3


@few
@given(st.data(), SIDES, AUTO, st.integers(1, 2), st.booleans())
def test_a_transposed_conv_has_its_pads_in_numbers(data: Any, sides: list[int], auto: str, group: int, sized: bool) -> None:
    """auto_pad, output_padding and output_shape."""
    attributes = drawn_windows(data, len(sides), auto) | {"group": group}
    rank = len(sides)
    attributes["output_padding"] = [data.draw(st.integers(0, max(stride - 1, 0))) for stride in attributes["strides"]]
    if sized and auto == "NOTSET":
        attributes.pop("pads")
        attributes["output_shape"] = [side * stride for side, stride in zip(sides, attributes["strides"], strict=True)]
    w = weights(4, 2, *attributes["kernel_shape"])
    proto = model([("ConvTranspose", ["x", w], "y", attributes)], {"x": (1, 4, *sides)}, ["y"])
    assume(runs(proto, (1, 4, *sides)))
    (node,) = same_numbers(proto).nodes
    assert set(node.attributes) == {"strides", "pads", "dilations", "group", "output_padding"}
    assert len(node.attributes["pads"]) == 2 * rank


@few
@given(st.sampled_from(["nearest", "linear", "cubic"]), st.sampled_from(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]),
       st.sampled_from(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]), st.lists(st.sampled_from([0.5, 0.6, 1.0, 1.5, 2.0, 3.0]), min_size=2, max_size=2),
       st.booleans(), st.sampled_from([11, 13, 18, 19]))
def test_a_resize_has_scales_and_sizes(mode: str, coordinates: str, nearest: str, scales: list[float], by_size: bool, opset: int) -> None:
    """By scales or by sizes, in every mode and from every operator set."""
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates, "nearest_mode": nearest}
    empty = np.zeros(0, np.float32)
    sizes = [1, 2, *(max(1, int(np.floor(6 * np.float32(scale)))) for scale in scales)]
    inputs = ["x", empty, empty, np.array(sizes, np.int64)] if by_size else ["x", empty, np.array([1, 1, *scales], np.float32)]
    proto = model([("Resize", inputs, "y", attributes)], {"x": (1, 2, 6, 6)}, ["y"], opset)
    assume(runs(proto, (1, 2, 6, 6)))
    graph = same_numbers(proto)
    for node in graph.nodes:
        if node.op == "Resize":
            assert node.attributes["sizes"] == sizes
            assert len(node.attributes["scales"]) == 4


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(("op", "opset", "scale"), [("Upsample", 7, 2.0), ("Upsample", 9, 3.0), ("Resize", 10, 0.5), ("Resize", 10, 2.0)])
def test_upsample_is_a_resize(op: str, opset: int, mode: str, scale: float) -> None:
    """Of sets 7 to 10, with scales as an attribute or an input."""
    scales = [1.0, 1.0, scale, scale]
    spec = ("Upsample", ["x"], "y", {"mode": mode, "scales": scales}) if opset == 7 else (op, ["x", np.array(scales, np.float32)], "y", {"mode": mode})
    graph = same_numbers(model([spec], {"x": (1, 2, 6, 6)}, ["y"], opset))
    assert [node.op for node in graph.nodes] == ["Resize"]


def test_a_region_is_not_resized() -> None:
    """tf_crop_and_resize is refused with the node's name."""
    inputs = ["x", np.array([0, 0, 0, 0, 1, 1, 0.5, 0.5], np.float32), "", np.array([1, 2, 3, 3], np.int64)]
    proto = model([("Resize", inputs, "y", {"coordinate_transformation_mode": "tf_crop_and_resize"})], {"x": (1, 2, 6, 6)}, ["y"])
    with pytest.raises(ModelError, match=r"Resize 'y'.*tf_crop_and_resize"):
        same_numbers(proto)
