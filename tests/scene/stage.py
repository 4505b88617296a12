"""A film through a real pipeline: configuration, plans, engines, scene, gate and payloads, in the film's own time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from edgeinfer.assembly import Assembly
from edgeinfer.benchmark import Discard
from edgeinfer.config import Config, parse
from edgeinfer.model.frame import Frame
from edgeinfer.plan import make_plans
from tests.scene.film import Film

__all__ = ["Notes", "Stage", "configured"]

SECOND = 1_000_000_000


class Notes(Discard):
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.results: list[dict[str, Any]] = []
        self.retained: dict[str, Any] = {}

    def publish(self, topic: str, payload: bytes, pipeline: str) -> None:
        self.results.append(json.loads(payload))

    def set_retained(self, topic: str, payload: bytes, expiry_s: float = 0) -> None:
        self.retained[topic.removeprefix("edgeinfer/test/door/")] = json.loads(payload)


def configured(folder: Path, pipeline: dict[str, Any], width: int = 640, height: int = 480) -> Config:
    """One pipeline "door" of BGR pictures of that size."""
    source = {"kind": "synthetic", "width": width, "height": height, "fps": 10}
    return parse(yaml.safe_dump({"node": "test", "pipelines": {"door": {"source": source, **pipeline}},
                                 "sink": {"kind": "stdout"}}).encode(), folder)


class Stage:
    """Nothing runs by itself: ``show`` is a frame captured and inferred. ``results`` are the payloads, in order."""

    def __init__(self, folder: Path, pipeline: dict[str, Any], **size: int) -> None:
        config = configured(folder, pipeline, **size)
        self.notes = Notes()
        self.plans = make_plans(config)
        self.assembly = Assembly(config, self.plans, self.notes, "boot", {})
        (self.pipeline,) = self.assembly.pipelines
        self._frame = Frame(self.plans[0].format)

    def show(self, film: Film, t: float) -> list[dict[str, Any]]:
        """One picture of the film; what was published of it."""
        self._frame.view[:] = film.picture(t)
        self._frame.monotonic_ns = self._frame.wall_ns = round((t + 1000) * SECOND)
        before = len(self.notes.results)
        self.pipeline.step(self._frame)
        return self.notes.results[before:]

    def play(self, film: Film, seconds: float, fps: float = 10) -> list[tuple[float, dict[str, Any]]]:
        """All of it: (time, payload)."""
        times = [number / fps for number in range(round(seconds * fps))]
        return [(t, payload) for t in times for payload in self.show(film, t)]

    def close(self) -> None:
        for group in self.assembly.groups:
            group.engine.close()
            for second in group.seconds:
                second.close()
