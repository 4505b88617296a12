"""Convolutions, pools, pads, cuts and resizing of any size: the same numbers as ONNX Runtime, in floats and in integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from quantize.graph import Graph, Node
from quantize.tflite import write_float, write_int8
from tests.quantize.graphs import chain, weights
from tests.quantize.tflite.running import miss, quantized, steps_apart

NEAR = 1e-5
FEW = settings(max_examples=40, deadline=None)
FEWER = settings(max_examples=15, deadline=None)

sides = st.integers(7, 13)
pairs = st.tuples


def near(net: Graph, steps: float = 2, islands: bool = False) -> None:
    """In floats within NEAR of the range, in integers within ``steps`` of the grid, with and without XNNPACK."""
    assert miss(net, write_float(net)) < NEAR
    result = quantized(net)
    converted = write_int8(result)
    assert islands or not converted.islands
    assert steps_apart(result, converted) <= steps
    assert steps_apart(result, converted, delegate=False) <= steps


@st.composite
def windows(draw: st.DrawFn, dilated: bool = True) -> dict[str, list[int]]:
    """Kernel, strides, pads and dilations of a picture."""
    kernel = [draw(st.integers(1, 4)) for _ in range(2)]
    dilations = [draw(st.integers(1, 2)) for _ in range(2)] if dilated else [1, 1]
    strides = [draw(st.integers(1, 3)) if max(dilations) == 1 else 1 for _ in range(2)]
    pads = [draw(st.integers(0, taps - 1)) for taps in [*kernel, *kernel]]
    return {"kernel_shape": kernel, "strides": strides, "pads": pads, "dilations": dilations}


@FEW
@given(windows(), pairs(sides, sides), st.sampled_from([(1, 1), (1, 4), (4, 4), (4, 8), (2, 4)]), st.booleans())
def test_convolutions(window: dict[str, Any], size: tuple[int, int], groups: tuple[int, int], relu: bool) -> None:
    """Any padding, stride and dilation; whole, depthwise, with a multiplier, in groups."""
    group, out = groups
    kernel = window["kernel_shape"]
    net = chain((1, 4, *size), ("Conv", {**window, "group": group}, weights(out, 4 // group, *kernel), weights(out)), *([("Relu",)] if relu else []))
    near(net)


@FEWER
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.integers(0, 2), st.integers(6, 14), st.sampled_from([1, 2, 4]))
def test_convolutions_of_windows(taps: int, stride: int, before: int, after: int, length: int, group: int) -> None:
    """1-D, with what comes before and after staying in the same layout."""
    conv = {"strides": [stride], "pads": [min(before, taps - 1), min(after, taps - 1)], "group": group}
    near(chain((1, 4, length), ("Conv", conv, weights(4, 4 // group, taps), weights(4)), ("Relu",), ("Conv", weights(3, 4, 1), weights(3))))


@FEW
@given(windows(dilated=False), pairs(st.integers(2, 6), st.integers(2, 6)), st.tuples(st.integers(0, 1), st.integers(0, 1)), st.sampled_from([1, 2]))
def test_transposed_convolutions(window: dict[str, Any], size: tuple[int, int], more: tuple[int, int], group: int) -> None:
    """Pads are cut off, output padding is added."""
    more_ = [min(side, stride - 1) for side, stride in zip(more, window["strides"], strict=True)]
    kernel = window["kernel_shape"]
    made = [(side - 1) * stride + taps + extra - first - last for side, stride, taps, extra, first, last in
            zip(size, window["strides"], kernel, more_, window["pads"][:2], window["pads"][2:], strict=True)]
    assume(min(made) >= 1)
    net = chain((1, 4, *size), ("ConvTranspose", {**window, "output_padding": more_, "group": group}, weights(4, 6 // group, *kernel), weights(6)))
    near(net)


@FEW
@given(windows(dilated=False), pairs(sides, sides), st.sampled_from(["MaxPool", "AveragePool"]), st.booleans(), st.integers(0, 1), st.booleans())
def test_pools(window: dict[str, Any], size: tuple[int, int], op: str, ceil: bool, counted: int, relu: bool) -> None:
    """Padding is never the maximum, and is in the average only where it is to be."""
    window = {name: value for name, value in window.items() if name != "dilations"} | {"ceil_mode": int(ceil)}
    assume(not (ceil and op == "AveragePool"))
    if op == "AveragePool":
        window["count_include_pad"] = counted
    net = chain((1, 3, *size), *([("Relu",)] if relu else []), (op, window))
    near(net, steps=1, islands=op == "AveragePool" and not counted)


@FEWER
@given(st.lists(st.integers(-1, 2), min_size=4, max_size=4), st.sampled_from(["constant", "reflect", "edge"]), st.sampled_from([0.0, 0.7]), st.booleans())
def test_pads(pads: list[int], mode: str, value: float, conv: bool) -> None:
    """Every mode, in the file's layout or the graph's; negative pads cut."""
    if mode != "constant":
        pads = [max(side, 0) for side in pads]
    spec = np.array([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64)
    more = [np.float32(value)] if mode == "constant" else []
    net = chain((1, 3, 5, 6), *([("Conv", weights(3, 3, 1, 1), weights(3))] if conv else []), ("Pad", {"mode": mode}, spec, *more), ("Relu",))
    near(net)


@FEW
@given(st.data())
def test_cuts(data: st.DataObject) -> None:
    """Slices of any start, end and step, forwards and backwards."""
    shape, starts, ends, steps = (1, 4, 6, 7), [], [], []
    for side in shape[1:]:
        step = data.draw(st.sampled_from([1, 2, 3, -1, -2]))
        first, last = sorted(data.draw(st.lists(st.integers(0, side - 1), min_size=2, max_size=2)))
        starts.append(first if step > 0 else last)
        ends.append(last + 1 if step > 0 else first - 1 if first else -100)
        steps.append(step)
    conv = [("Conv", weights(4, 4, 1, 1), weights(4))] if data.draw(st.booleans()) else []
    near(chain(shape, *conv, ("Slice", np.array(starts), np.array(ends), np.array([1, 2, 3]), np.array(steps))))


MODES = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"]


@FEW
@given(st.sampled_from(["nearest", "linear"]), st.sampled_from(MODES), st.sampled_from(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]),
       pairs(st.integers(2, 6), st.integers(2, 6)), pairs(st.integers(1, 12), st.integers(1, 12)), st.booleans())
def test_resizing(mode: str, where: str, nearest: str, size: tuple[int, int], wanted: tuple[int, int], conv: bool) -> None:
    """Every way to count coordinates and to round them, to any size: one operator of TFLite where it does the same."""
    assume(where != "half_pixel_symmetric" or mode == "linear")  # half-way, rounding to the nearest hangs on the last bit
    assume(all(int(side * float(np.float32(made / side))) == made for side, made in zip(size, wanted, strict=True)))  # ONNX Runtime reads others both ways
    net = resized((1, 3, *size), (1, 3, *wanted), mode, where, nearest, conv)
    assert miss(net, write_float(net)) < NEAR
    result = quantized(net)
    converted = write_int8(result)
    if mode == "nearest":
        assert not converted.islands
    assert steps_apart(result, converted) <= 2


def resized(shape: tuple[int, ...], wanted: tuple[int, ...], mode: str, where: str, nearest: str = "floor", conv: bool = False) -> Graph:
    attributes = {"mode": mode, "coordinate_transformation_mode": where, **({"nearest_mode": nearest} if mode == "nearest" else {})}
    none = np.array([], np.float32)
    return chain(shape, *([("Conv", weights(3, 3, 1, 1), weights(3))] if conv else []), ("Resize", attributes, none, none, np.array(wanted)), opset=19)


@pytest.mark.parametrize("where", MODES)
def test_cubic_resizing(where: str) -> None:
    """TFLite has none: it is summed up from what each tap gathers."""
    net = resized((1, 3, 5, 6), (1, 3, 9, 4), "cubic", where)
    assert miss(net, write_float(net)) < NEAR


@pytest.mark.parametrize(("where", "kernel"), [("half_pixel", "RESIZE_BILINEAR"), ("align_corners", "RESIZE_BILINEAR"), ("asymmetric", "RESIZE_BILINEAR")])
def test_what_tflite_can_do_is_one_operator(where: str, kernel: str) -> None:
    """The usual ways to enlarge are not taken apart."""
    assert dict(write_float(resized((1, 3, 5, 6), (1, 3, 10, 12), "linear", where)).kernels) == {kernel: 1}


@FEW
@given(st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True), st.booleans(), st.sampled_from(["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"]), st.booleans())
def test_reductions(axes: list[int], keep: bool, op: str, conv: bool) -> None:
    """Over any sides, kept or not, wherever they are held."""
    given = {"keepdims": int(keep)} if op == "ReduceSum" else {"keepdims": int(keep), "axes": sorted(axes)}
    more = [np.array(sorted(axes))] if op == "ReduceSum" else []
    near(chain((2, 3, 4, 5), *([("Conv", weights(3, 3, 1, 1), weights(3))] if conv else []), (op, given, *more)))


@FEW
@given(st.permutations(range(4)), st.integers(0, 3), st.booleans())
def test_transposes_and_softmax(perm: list[int], axis: int, conv: bool) -> None:
    """Along any side, in any order of sides."""
    net = chain((2, 3, 4, 5), *([("Conv", weights(3, 3, 1, 1), weights(3))] if conv else []), ("Transpose", {"perm": list(perm)}), ("Softmax", {"axis": axis}))
    near(net)


def test_a_node_that_tflite_has_not_is_named() -> None:
    """The error says which node, what it is and what else can be done."""
    from edgeinfer.errors import ModelError
    net = chain((1, 3), ("Relu",))
    net.nodes[0] = Node("Mystery", net.nodes[0].inputs, net.nodes[0].outputs)
    with pytest.raises(ModelError, match=r"Mystery 'relu0': expected an operator .*\n.*--format onnx"):
        write_float(net)
