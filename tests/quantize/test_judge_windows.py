"""The verdict on windows of samples, before anything is calibrated."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.tensor import TensorSpec
from quantize.graph.execute import Runner
from quantize.judge import judge, watched
from tests.quantize import judged
from tests.quantize.test_judge import array, found

SENSOR = WindowSpec(length=8, channels=2, normalize="standardize", mean=(1.0, 0.0), std=(2.0, 1.0))
WINDOW = TensorSpec(name="window", shape=(1, 8, 2), dtype="float32")


def samples(unit: tuple[float, float] = (1.0, 1.0)) -> np.ndarray:
    return (np.random.default_rng(0).normal(size=(70, 8, 2)) * (2, 1) + (1, 0)) * unit


def test_windows_in_another_unit_than_the_recipes_are_told(tmp_path: Path) -> None:
    """By mean and deviation after normalisation, for each channel."""
    assert judge(array(tmp_path, samples(), SENSOR, WINDOW)).severity == "ok"
    finding = found(judge(array(tmp_path, samples((1.0, 9.81)), SENSOR, WINDOW)), "normalisation")
    assert finding.severity == "warning"
    assert "channel 1 is normalised to mean" in finding.text
    assert "mean 0 and deviation 1 is meant" in finding.text


def test_the_float_model_is_asked_about_windows_too(tmp_path: Path) -> None:
    """Whether it wants the sensor's own units, or these samples at mean 0 and deviation 1."""
    graph, (made, _) = judged.sensor_net(), judged.windows(96, 2)
    runner = Runner(graph, [*graph.outputs, *watched(graph)])
    plain = WindowSpec(length=8, channels=2)
    scaled = msgspec.structs.replace(plain, normalize="standardize", mean=(500.0, 20.0), std=(35.0, 2.0))
    right, wrong = (found(judge(array(tmp_path, made, spec, WINDOW), run=runner.run, graph=graph), "normalisation")
                    for spec in (scaled, plain))
    assert right.severity == "ok"
    assert wrong.severity == "warning"
    assert "'mean 0 and deviation 1'" in wrong.text
    assert "preprocess.normalize to standardize, preprocess.mean to [" in wrong.advice


@pytest.mark.parametrize(("unit", "warned"), [(1.0, False), (3.0, True), (0.01, True)])
def test_windows_beyond_or_far_within_a_recipes_limits_are_told(tmp_path: Path, unit: float, warned: bool) -> None:
    """Of a recipe with minimum and maximum."""
    spec = WindowSpec(length=8, channels=2, normalize="minmax", minimum=(0.0,), maximum=(1.0,))
    values = np.random.default_rng(0).uniform(0, unit, (70, 8, 2))
    assert (found(judge(array(tmp_path, values, spec, WINDOW)), "normalisation") is not None) == warned


def test_a_channel_that_never_changes_is_told(tmp_path: Path) -> None:
    """A sensor that is not connected."""
    spec = WindowSpec(length=8, channels=2)
    finding = found(judge(array(tmp_path, samples() * (1, 0), spec, WINDOW)), "channels")
    assert finding.text == "channel 1 never changes"


def test_gaps_are_told(tmp_path: Path) -> None:
    """A NaN is the value that normalises to 0."""
    values = samples()
    values[3, 2, 1] = np.nan
    assert "1 of 70 windows" in found(judge(array(tmp_path, values, SENSOR, WINDOW)), "gaps").text


@pytest.mark.parametrize("turned", [False, True])
def test_channels_are_those_of_the_sensor_whatever_the_tensor(tmp_path: Path, turned: bool) -> None:
    """(1, length, channels) or (1, channels, length)."""
    input = TensorSpec(name="window", shape=(1, 2, 8) if turned else (1, 8, 2), dtype="float32")
    values = samples()
    verdict = judge(array(tmp_path, values, SENSOR, input))
    assert np.allclose(verdict.raw.mean, values.mean((0, 1)), atol=1e-5)
    assert np.allclose(verdict.raw.deviation, values.std((0, 1)), atol=1e-5)
    assert np.allclose(verdict.tensor.least, ((values - (1, 0)) / (2, 1)).min((0, 1)), atol=1e-5)
