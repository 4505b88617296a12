"""Who is enrolled reaches the decoders that compare."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.enrolment import Enrolled, path_of, write
from edgeinfer.introductions import Introductions
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.engine import Engine, Lane
from edgeinfer.model.frame import FrameFormat
from quantize.pack import Given, pack
from tests.models import tiny_tflite


@pytest.fixture
def lane(tmp_path: Path) -> Lane:
    """A lane that compares vectors of three numbers."""
    bundle = pack(tiny_tflite(tmp_path / "embed.tflite", dtype="uint8"), tmp_path / "bundle", Given(decoder="embed")).bundle
    return Engine(bundle, RuntimeOptions()).lane(FrameFormat("RGB", 8, 8))


def _enrol(state: Path, lane: Lane, *names: str) -> None:
    manifest = lane.engine.bundle.manifest
    vectors = np.eye(len(names), lane.decoder.size)  # type: ignore[attr-defined]  # an embed decoder has one
    write(path_of(state, "default"), Enrolled(names, vectors, (1,) * len(names), manifest.files[manifest.model].sha256))


def test_a_set_that_changes_is_known_at_the_next_look(lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody, then one, then two: each time after the file changed, and only then."""
    told: list[tuple[str, ...]] = []
    monkeypatch.setattr(lane.decoder, "know", lambda names, _: told.append(tuple(names)))
    introductions = Introductions()
    for names in ((), ("ada",), ("ada", "ben")):
        if names:
            _enrol(tmp_path, lane, *names)
        introductions.refresh({"door": lane}, tmp_path)
        introductions.refresh({"door": lane}, tmp_path)
    assert [names for names in told if names] == [("ada",), ("ada", "ben")]


def test_a_damaged_set_is_told_once_and_harms_nothing(lane: Lane, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The decoder goes on with nobody."""
    caplog.set_level(logging.WARNING, "edgeinfer")
    path = path_of(tmp_path, "default")
    path.parent.mkdir()
    path.write_bytes(b"no set")
    introductions = Introductions()
    for _ in range(3):
        introductions.refresh({"door": lane}, tmp_path)
    assert len(caplog.records) == 1


def test_a_lane_that_compares_nothing_costs_nothing(tmp_path: Path) -> None:
    """Any other decoder is left alone."""
    bundle = pack(tiny_tflite(tmp_path / "tiny.tflite", dtype="uint8"), tmp_path / "bundle", Given(decoder="classify")).bundle
    lane = Engine(bundle, RuntimeOptions()).lane(FrameFormat("RGB", 8, 8))
    Introductions().refresh({"door": lane}, tmp_path / "nowhere")
