"""Windows that slide over a stream are what numpy cuts out of the whole recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeinfer.errors import ConfigError, SourceError
from edgeinfer.model.frame import Frame
from edgeinfer.model.preprocess.spec import ImageSpec, WindowSpec
from edgeinfer.sliding import SlidingWindow, frame_source
from edgeinfer.sources.npy import Npy, NpyOptions


def _windows(path: Path, spec: WindowSpec) -> list[np.ndarray]:
    source = SlidingWindow(Npy(NpyOptions(path=str(path), pace="fast")), spec, "test")
    frame = Frame(source.format())
    source.open()
    windows = []
    while source.read_into(frame):
        windows.append(frame.view.copy())
    source.close()
    return windows


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(samples=st.integers(0, 60), length=st.integers(1, 12), hop=st.integers(1, 20), channels=st.integers(1, 3))
def test_windows_are_those_of_the_whole_recording(tmp_path: Path, samples: int, length: int, hop: int, channels: int) -> None:
    """For any length and hop, overlapping or with gaps: window k is samples k*hop to k*hop+length, and an incomplete one is left out."""
    recording = np.arange(samples * channels, dtype=np.float32).reshape(samples, channels)
    np.save(tmp_path / "recording.npy", recording)
    spec = WindowSpec(length=length, channels=channels, hop=hop)
    expected = [recording[start:start + length] for start in range(0, samples - length + 1, hop)]
    if samples == 0:
        return
    windows = _windows(tmp_path / "recording.npy", spec)
    assert len(windows) == len(expected)
    for window, cut in zip(windows, expected, strict=True):
        assert np.array_equal(window, cut)


def test_a_stream_that_is_opened_anew_starts_a_new_window(tmp_path: Path) -> None:
    """No window spans the gap of an outage: after an open the first window is of fresh samples only."""
    np.save(tmp_path / "recording.npy", np.arange(20, dtype=np.float32))
    source = SlidingWindow(Npy(NpyOptions(path=str(tmp_path / "recording.npy"), pace="fast")),
                           WindowSpec(length=8, channels=1, hop=2), "test")
    frame = Frame(source.format())
    for _ in range(2):
        source.open()
        assert source.read_into(frame)
        assert frame.view[:, 0].tolist() == list(range(8))
        assert source.read_into(frame)
        source.close()


@pytest.mark.parametrize(("spec", "text"), [
    (WindowSpec(length=4, channels=2), "expected 2 channels, as the model wants, got 1"),
    (WindowSpec(length=4, channels=1, rate=100.0), "expected 100 samples a second, as the model wants, got 50"),
])
def test_a_sensor_that_is_not_the_models_is_refused(tmp_path: Path, spec: WindowSpec, text: str) -> None:
    """Channels and rate are facts of the model; another sensor is an error at set-up, never a silent resampling."""
    np.save(tmp_path / "recording.npy", np.zeros(20, np.float32))
    source = SlidingWindow(Npy(NpyOptions(path=str(tmp_path / "recording.npy"), rate=50.0)), spec, "sensor")
    with pytest.raises(SourceError, match=text):
        source.format()


def test_samples_for_a_model_of_pictures_are_a_config_error(tmp_path: Path) -> None:
    """What a source yields must be what the model takes."""
    np.save(tmp_path / "recording.npy", np.zeros(20, np.float32))
    with pytest.raises(ConfigError, match="a source of frames"):
        frame_source(Npy(NpyOptions(path=str(tmp_path / "recording.npy"), pace="fast")), ImageSpec(height=8, width=8), "source")
