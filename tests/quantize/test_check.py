"""The verdict on a float graph: what leaves the INT8 path on each target, why, and how it is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from quantize import targets
from quantize.check import Verdict, check, file_faults, render
from quantize.graph import Graph
from tests.quantize.graphs import chain, graph, weights

BIAS = np.zeros(4, np.float32)
CONV = ("Conv", {"pads": [1] * 4}, weights(4, 4, 3, 3), BIAS)


def verdict(net: Graph, target: str) -> Verdict:
    return check(net, targets.load(target))


@pytest.fixture(scope="module")
def plain() -> Graph:
    """Convolutions with ReLU6, a mean and a matrix: what every target computes in INT8."""
    return chain((1, 4, 8, 8), CONV, ("Clip", np.float32(0), np.float32(6)), CONV, ("Relu",), ("GlobalAveragePool",),
                 ("Flatten",), ("Gemm", {"transB": 1}, weights(3, 4), np.zeros(3, np.float32)))


@pytest.fixture(scope="module")
def mixed() -> Graph:
    """A convolution, then what few targets have: HardSwish, a mean of logarithms, Softmax."""
    return chain((1, 4, 8, 8), CONV, ("HardSwish",), CONV, ("Exp",), CONV, ("GlobalAveragePool",), ("Softmax", {"axis": 1}))


@pytest.mark.parametrize("target", targets.names())
def test_a_plain_network_stays_in_int8_everywhere(target: str, plain: Graph) -> None:
    """Nothing leaves the INT8 path in any format; every operator is accounted for, once and in order."""
    found = verdict(plain, target)
    assert found.clean
    for path in found.paths:
        assert path.leaving == path.slower == []
        assert path.share == 1
        assert [placement.node for placement in path.placements] == [node.name for node in plain.nodes]


def test_what_leaves_is_named_with_a_reason_and_a_source(mixed: Graph) -> None:
    """On a Raspberry Pi, Exp is float in both formats; HardSwish and Softmax are slower in one and float in the other."""
    found = verdict(mixed, "raspberry-pi-4")
    tflite, onnx_path = found.paths
    assert (tflite.format, onnx_path.format) == ("tflite", "onnx")
    assert [placement.op for placement in tflite.leaving] == ["Exp"]
    assert [placement.op for placement in tflite.slower] == ["HardSwish", "Softmax"]
    assert [placement.op for placement in onnx_path.leaving] == ["HardSwish", "Exp"]
    assert not found.clean
    for placement in [*tflite.leaving, *tflite.slower, *onnx_path.leaving]:
        assert placement.why
        assert placement.source


def test_the_edge_tpus_part_ends_at_the_first_operator_that_it_lacks(mixed: Graph) -> None:
    """All that comes after HardSwish runs on the CPU, though the Edge TPU has most of it."""
    path = verdict(mixed, "coral-dev").paths[0]
    assert [placement.where for placement in path.placements[:2]] == ["edgetpu", "litert"]
    assert path.placements[1].why == "the Edge TPU has no HARD_SWISH"
    assert all("after HardSwish" in placement.why for placement in path.placements[2:])
    assert [placement.integer for placement in path.placements] == [True, True, True, False, True, True, True]
    assert path.share == pytest.approx(1 / 3)


def test_multiplications_are_counted_where_they_are_made() -> None:
    """Convolutions by their windows, matrices by their size, transposed convolutions by what they spread."""
    net = graph([("Conv", ["x", weights(8, 2, 3, 3), np.zeros(8, np.float32)], "a", {"pads": [1] * 4, "group": 2}),
                 ("ConvTranspose", ["a", weights(8, 4, 2, 2), BIAS], "b", {"strides": [2, 2]}),
                 ("Relu", ["b"], "c"), ("Flatten", ["c"], "d"),
                 ("Gemm", ["d", weights(3, 1024), np.zeros(3, np.float32)], "e", {"transB": 1})], {"x": (1, 4, 8, 8)}, ["e"])
    counts = {placement.op: placement.multiplications for placement in verdict(net, "raspberry-pi-5").paths[0].placements}
    assert counts == {"Conv": 8 * 64 * 2 * 9, "ConvTranspose": 8 * 64 * 4 * 4, "Relu": 0, "Reshape": 0, "Gemm": 3 * 1024}


def test_the_verdict_is_told_worst_first(mixed: Graph) -> None:
    """Each format has its share, then what leaves with where it runs and why, then what is only slower."""
    text = "\n".join(render(verdict(mixed, "raspberry-pi-4")))
    assert text.startswith("raspberry-pi-4: Raspberry Pi 4 Model B")
    assert "TFLite on LiteRT: 6 of 7 operators in INT8, 100 % of the multiply-accumulates" in text
    assert text.index("not in INT8") < text.index("Exp") < text.index("in INT8, but outside XNNPACK") < text.index("HardSwish")
    assert "LiteRT, float" in text
    assert "ONNX on ONNX Runtime: 5 of 7 operators in INT8" in text


def test_operators_alike_share_a_line() -> None:
    """A hundred of the same are one line with a count, and the Edge TPU's rest is one sentence."""
    net = chain((1, 4, 8, 8), CONV, *[("HardSwish",)] * 30)
    assert any("HardSwish x 30" in line for line in render(verdict(net, "raspberry-pi-5")))
    text = "\n".join(render(verdict(net, "coral-dev")))
    assert "and the 29 after it run on the CPU, none of them in float" in text
    assert len(text.splitlines()) < 15


@pytest.mark.parametrize("target", targets.names())
def test_the_document_says_the_same(target: str, mixed: Graph) -> None:
    """One JSON document with every operator of every format."""
    found = verdict(mixed, target)
    document = json.loads(json.dumps(found.document()))
    assert (document["v"], document["target"], document["clean"]) == (1, target, False)
    for path, made in zip(found.paths, document["formats"], strict=True):
        assert made["operators"] == len(mixed.nodes)
        assert made["leaving"] == len(path.leaving)
        assert [node["node"] for node in made["nodes"]] == [node.name for node in mixed.nodes]


def test_a_file_is_held_against_the_rules_of_its_accelerator(tmp_path: Path) -> None:
    """A QDQ model with zero points is refused for a Jetson, and of no concern for a Raspberry Pi."""
    from tests.quantize.targets.quantized import qdq

    onnx.save(qdq("raspberry-pi-4"), tmp_path / "m.onnx")
    assert file_faults(tmp_path / "m.onnx", targets.load("raspberry-pi-4")) == []
    faults = file_faults(tmp_path / "m.onnx", targets.load("jetson-orin-nano"))
    assert any("zero points of 0" in str(fault) for fault in faults)
