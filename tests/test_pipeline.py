"""A pipeline's figures balance at every instant, whatever runs at that instant and whatever fails."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.gate import Gate
from edgeinfer.model.result import Classes, Result
from edgeinfer.payload import Encoder
from tests import bundles
from tests.daemon import check_frames
from tests.scene.film import Film
from tests.scene.stage import Stage

GREY = Film(np.full((480, 640, 3), 120, np.uint8), [])


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, {"bundle": str(bundles.colours(tmp_path).folder)})


def show(stage: Stage) -> None:
    """One frame as the inference thread takes it: captured, inferred, or counted as failed."""
    ring = stage.pipeline.capture.ring
    ring.writing.view[:] = GREY.picture(0)
    ring.publish()
    frame = ring.take()
    assert frame is not None
    try:
        stage.pipeline.step(frame)
    except Exception as error:  # as the thread does
        stage.pipeline.fail(error, frame)


def test_figures_read_between_two_counters_of_a_frame_balance(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Health is written while the gate has decided and the frame is not counted yet: it waits for that, and no longer."""
    found: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: found.append(stage.pipeline.figures()))
    decide = Gate.admit

    def admit(gate: Gate, result: Result, now_ns: int) -> str:
        reason = decide(gate, result, now_ns)
        reader.start()
        reader.join(0.3)  # were nothing in its way, it would be through
        return reason

    monkeypatch.setattr(Gate, "admit", admit)
    show(stage)
    reader.join(5)
    check_frames(found[0])
    assert found[0]["inferred"] == found[0]["published"] == 1


def test_a_result_that_cannot_be_scored_is_a_frame_that_failed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate has not counted it."""
    monkeypatch.setattr(Gate, "_state", _breaks)
    show(stage)
    figures = stage.pipeline.figures()
    check_frames(figures)
    assert (figures["inferred"], figures["skipped"]["failed"], figures["published"]) == (0, 1, 0)
    assert "on purpose" in stage.pipeline.last_error


@pytest.mark.parametrize(("owner", "name"), [(Encoder, "encode"), (Classes, "document")])
def test_a_result_that_cannot_be_told_is_counted_once(stage: Stage, monkeypatch: pytest.MonkeyPatch, owner: type,
                                                      name: str) -> None:
    """Its frame was inferred and let through; that its payload is missing is counted beside, and told to the log."""
    monkeypatch.setattr(owner, name, _breaks)
    show(stage)
    figures = stage.pipeline.figures()
    check_frames(figures)
    assert (figures["inferred"], figures["skipped"]["failed"], figures["published"]) == (1, 0, 1)
    assert figures["payloads"]["failed"] == 1
    assert stage.notes.results == []
    assert "on purpose" in stage.pipeline.last_error
    probation = stage.pipeline.model_figures()
    assert (probation.frames, probation.failed) == (1, 1)  # it takes it as the model's fault


def _breaks(*_: Any) -> Any:
    raise ValueError("on purpose")
