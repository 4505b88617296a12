"""Input drift: what a lane says of frames like those of the calibration, and of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.drift import HALF_LIFE, Drift, facts_of
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.tensor import Quantization, TensorSpec
from tests import bundles
from tests.growth import growth

QUANTIZATION = {"uint8": Quantization(scale=(1 / 255,), zero_point=(0,)), "int8": Quantization(scale=(1 / 255,), zero_point=(-128,)),
                "int16": Quantization(scale=(1 / 255,), zero_point=(0,)), "float32": None}
TENSORS = {kind: TensorSpec(name="x", shape=(1, 32, 32, 3), dtype=kind, quantization=quantization)  # type: ignore[arg-type]
           for kind, quantization in QUANTIZATION.items()}


def _reals(seed: int = 0, mean: float = 0.5, spread: float = 0.1) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, spread, TENSORS["uint8"].shape).clip(0, 1)


def _calibration(values: np.ndarray) -> dict[str, Any]:
    half = 0.5 / 255
    counts, _ = np.histogram(values, 32, (-half, 1 + half))
    histogram = {"low": -half, "high": 1 + half, "counts": counts.tolist()}
    return {"inputs": {"x": {"mean": float(values.mean()), "std": float(values.std()), "histogram": histogram}}}


def _drift(kind: str) -> Drift:
    facts = facts_of(_calibration(_reals(1)), TENSORS[kind])
    assert facts is not None
    return Drift(facts, TENSORS[kind])


@pytest.mark.parametrize("kind", TENSORS)
def test_frames_like_those_of_the_calibration_have_not_drifted(kind: str) -> None:
    """Stability index below 0.1, no shift, nothing saturated, whatever the input's type."""
    drift = _drift(kind)
    for seed in range(2, 12):
        drift.see(TENSORS[kind].quantize(_reals(seed)))
    found = drift.document()
    assert found["frames"] == 10
    assert found["psi"] < 0.1
    assert abs(found["mean_shift"]) < 0.1
    assert found["saturated"] < 0.01


@pytest.mark.parametrize("kind", TENSORS)
def test_a_lighter_scene_has_a_shift_of_as_many_standard_deviations(kind: str) -> None:
    """0.2 lighter, which is two standard deviations: the index is far beyond 0.25."""
    drift, lighter = _drift(kind), _reals(3, mean=0.7)
    drift.see(TENSORS[kind].quantize(lighter))
    found = drift.document()
    assert found["mean_shift"] == pytest.approx(2, abs=0.15)
    assert found["psi"] > 1


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_an_overexposed_scene_is_saturated(kind: str) -> None:
    """A third of the values at the end of the range is a third saturated."""
    values = _reals(4)
    values[:, :, :, 0] = 1.0
    drift = _drift(kind)
    drift.see(TENSORS[kind].quantize(values))
    assert drift.document()["saturated"] == pytest.approx(1 / 3, abs=0.02)


def test_what_was_seen_long_ago_fades() -> None:
    """After two half-lives of other frames a quarter is left of the first."""
    drift = _drift("uint8")
    dark, light = (np.full(TENSORS["uint8"].shape, value, np.uint8) for value in (0, 255))
    for _ in range(4 * HALF_LIFE):
        drift.see(dark)
    before = drift.document()["mean_shift"]
    for _ in range(2 * HALF_LIFE):
        drift.see(light)
    mean = (drift.document()["mean_shift"] - before) / (1 / _reals(1).std())
    assert mean == pytest.approx(0.75, abs=0.05)


BROKEN: dict[str, Any] = {
    "none": {}, "no inputs": {"inputs": {}}, "of an older toolkit": {"inputs": {"x": {"low": 0, "high": 1, "mean": 0.5}}},
    "not a mapping": {"inputs": [1]}, "no spread": {"inputs": {"x": {
        "mean": 0.5, "std": 0, "histogram": {"low": 0, "high": 1, "counts": [1, 2]}}}},
    "upside down": {"inputs": {"x": {"mean": 0.5, "std": 1, "histogram": {"low": 1, "high": 0, "counts": [1, 2]}}}},
    "empty": {"inputs": {"x": {"mean": 0.5, "std": 1, "histogram": {"low": 0, "high": 1, "counts": [0, 0]}}}},
    "of two other inputs": {"inputs": {"a": {}, "b": {}}},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_bundle_without_such_a_calibration_has_no_drift(name: str) -> None:
    """Older bundles and those packed without data stay readable: there is nothing to compare with."""
    assert facts_of(BROKEN[name], TENSORS["uint8"]) is None


@given(st.recursive(st.none() | st.integers() | st.floats() | st.text(max_size=3),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["inputs", "x", "mean", "std", "histogram", "low", "high", "counts"]), inner, max_size=4),
                    max_leaves=10))
def test_any_calibration_is_usable_or_none(value: Any) -> None:
    """A manifest may hold anything under ``calibration``."""
    facts = facts_of({"inputs": value}, TENSORS["uint8"])
    if facts is not None:
        Drift(facts, TENSORS["uint8"]).see(np.zeros(TENSORS["uint8"].shape, np.uint8))


def test_nothing_grows_with_samples() -> None:
    """Memory is fixed."""
    drift, frame = _drift("int8"), np.zeros(TENSORS["int8"].shape, np.int8)
    assert growth(lambda: drift.see(frame)) < 2000


def test_a_lane_takes_a_sample_now_and_then(tmp_path: Path) -> None:
    """Many frames at once are one sample; a bundle without calibration has none at all."""
    import msgspec

    made = bundles.colours(tmp_path)
    assert Engine(made, RuntimeOptions()).lane(FrameFormat("RGB", 8, 8)).drift is None
    calibrated = msgspec.structs.replace(made.manifest, calibration=_calibration(_reals(1)))
    engine = Engine(bundles.with_manifest(made, tmp_path / "calibrated", calibrated), RuntimeOptions())
    lane, frame = engine.lane(FrameFormat("RGB", 8, 8)), Frame(FrameFormat("RGB", 8, 8))
    frame.view[...] = 255
    for _ in range(50):
        lane.infer(frame)
    assert lane.drift is not None
    found = lane.drift.document()
    assert found["frames"] < 50
    assert found["saturated"] == 1
    engine.close()
