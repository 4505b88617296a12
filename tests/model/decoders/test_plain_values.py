"""Anomaly, regression and raw tensors: real values, each tensor by its own scale and zero point."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeinfer.model.decoders.anomaly import AnomalyScore
from edgeinfer.model.decoders.raw import RawTensors
from edgeinfer.model.decoders.regress import Regress
from edgeinfer.model.preprocess.geometry import Geometry
from tests.model.decoders.cases import tensor

HERE = Geometry()
LARGEST = float(np.finfo(np.float32).max)


def test_reconstruction_uses_each_sides_own_scale() -> None:
    """The scales of the MLPerf autoencoder's input and output differ: a mean squared error of the real values."""
    given, output = tensor("input", (1, 640), "int8", 0.391, 89), tensor("output", (1, 640), "int8", 0.364, 96)
    x, y = np.random.default_rng(5).integers(-128, 128, (2, 1, 640)).astype(np.int8)
    expected = sum((0.391 * (int(a) - 89) - 0.364 * (int(b) - 96)) ** 2 for a, b in zip(x[0], y[0], strict=True)) / 640
    result = AnomalyScore({"threshold": 10}, [output], [], [given]).decode([y], [x], HERE)
    assert math.isclose(result.value, expected, rel_tol=1e-9)
    assert result.state() == "anomaly"


def test_a_reconstruction_may_differ_in_dtype_and_shape() -> None:
    """A float input and a uint8 output of another shape, as long as the elements are as many."""
    decoder = AnomalyScore({"threshold": 1}, [tensor("out", (1, 2, 2), "uint8", 0.5, 2)], [], [tensor("in", (4,))])
    result = decoder.decode([np.array([[[2, 4], [6, 8]]], np.uint8)], [np.array([0, 1, 2, 2], np.float32)], HERE)
    assert (result.value, result.state()) == (0.25, "normal")


def test_a_score_is_one_dequantised_number() -> None:
    """Mode "score": a value above the threshold is an anomaly, at the threshold it is not."""
    decoder = AnomalyScore({"mode": "score", "threshold": 0.5}, [tensor("s", (1, 1), "uint8", 1 / 256)], [], [])
    assert decoder.decode([np.array([[128]], np.uint8)], [], HERE).state() == "normal"
    assert decoder.decode([np.array([[129]], np.uint8)], [], HERE).state() == "anomaly"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, LARGEST])
def test_what_is_not_finite_is_far_from_normal(bad: float) -> None:
    """A model that gives NaN is not normal: the value is the largest float32, which JSON can say."""
    decoder = AnomalyScore({"threshold": 1}, [tensor("out", (1, 2))], [], [tensor("in", (1, 2))])
    result = decoder.decode([np.array([[0, bad]], np.float32)], [np.zeros((1, 2), np.float32)], HERE)
    assert (result.value, result.state()) == (LARGEST, "anomaly")


def test_regression_scales_and_names() -> None:
    """value = real * scale + offset, for each name; the labels are the names where the parameters have none."""
    outputs = [tensor("out", (1, 2), "int8", 0.01, -10)]
    decoder = Regress({"scale": [100, 1], "offset": [0, -1]}, outputs, ["left", "right"], [])
    result = decoder.decode([np.array([[40, 90]], np.int8)], [], HERE)
    assert result.document() == {"values": {"left": 50.0, "right": 0.0}}
    assert Regress({"names": ["a", "b"]}, [tensor("out", (2,))], [], []).decode([np.ones(2)], [], HERE).names == ("a", "b")
    assert Regress({}, [tensor("out", (1, 2, 1))], [], []).decode([np.ones(2)], [], HERE).names == ("value 0", "value 1")


def test_raw_tensors_are_dequantised_each_by_its_own_scale() -> None:
    """Every output with its name and shape, in real values."""
    outputs = [tensor("a", (1, 2), "uint8", 0.5, 2), tensor("b", (1, 1, 2), "int8", 0.25, -4), tensor("c", (1,), "int64")]
    stored = [np.array([[0, 4]], np.uint8), np.array([[[0, -8]]], np.int8), np.array([7])]
    assert RawTensors({}, outputs, [], []).decode(stored, [], HERE).document() == {"tensors": {
        "a": {"shape": [1, 2], "data": [-1.0, 1.0]}, "b": {"shape": [1, 1, 2], "data": [1.0, -1.0]},
        "c": {"shape": [1], "data": [7.0]}}}


@pytest.mark.parametrize("kind", [Regress, RawTensors])
def test_no_value_is_ever_not_a_number(kind: type[Regress] | type[RawTensors]) -> None:
    """NaN is 0 and an infinity the largest float."""
    result = kind({}, [tensor("out", (1, 3))], [], []).decode([np.array([[np.nan, np.inf, 1]], np.float32)], [], HERE)
    values = result.values if kind is Regress else result.values[0]
    assert values[0] == 0.0
    assert values[1] >= LARGEST
    assert math.isfinite(values[1])
    assert values[2] == 1.0
