"""A pipeline as it runs, for its owner's eyes: the same source, model, tracker and zones as the daemon's, and no gate, no outbox,
no broker. A command of its own: the daemon never starts it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeinfer.capture import Capture
from edgeinfer.composition import compose
from edgeinfer.config import Config
from edgeinfer.errors import SourceError
from edgeinfer.introductions import Introductions
from edgeinfer.looking.view import View
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.engine import Engine, Lane
from edgeinfer.model.frame import Frame
from edgeinfer.model.result import Detections
from edgeinfer.model.tensor import Array
from edgeinfer.plan import make_plan
from edgeinfer.ring import Bell, FrameRing
from edgeinfer.scene.scene import Scene
from edgeinfer.sources import FrameSource

__all__ = ["Preview"]

_REFRESH_S = 1.0  # between two looks at who is enrolled


class Preview:
    """``pictures`` is for one thread; ``figures`` for any; ``stop`` ends the pictures, from any thread."""

    def __init__(self, name: str, source: FrameSource, lane: Lane, view: View, state: Path, scene: Scene | None = None) -> None:
        """``state``: the folder with who is enrolled."""
        self.name = name
        self.live = source.live
        self._bell = Bell()
        self._ring = FrameRing(source.format(), self._bell, lossless=not source.live)
        self._capture = Capture(name, source, self._ring)
        self._lane, self._view, self._scene, self._state = lane, view, scene, state
        self._introductions = Introductions()
        self._lanes = {name: lane}
        if scene is not None and scene.second is not None:
            self._lanes[f"{name}.then"] = scene.second.lane
        self._over = False
        self._inferred = 0
        self._began = time.monotonic()

    @classmethod
    def of_pipeline(cls, config: Config, name: str) -> Preview:
        """Raises EdgeinferErrors as ``edgeinfer check`` does."""
        plan = make_plan(config, name, config.bundle_path(name), config.keys())
        lane = Engine(plan.bundle, plan.config.runtime).lane(plan.format, plan.threshold)
        then = plan.composition.then
        second = Engine(then.bundle, then.options.runtime) if then is not None else None
        _, _, scene = compose(plan.config, plan.composition, plan.format, second, 0)
        view = View(plan.bundle, name, plan.config.zones, plan.config.lines)
        return cls(name, plan.source, lane, view, config.state_folder, scene)

    @classmethod
    def of_model(cls, bundle: Bundle, source: FrameSource, runtime: RuntimeOptions, threshold: float | None,
                 state: Path) -> Preview:
        """Without a configuration. Raises EdgeinferErrors."""
        lane = Engine(bundle, runtime).lane(source.format(), threshold)
        name = f"{bundle.manifest.name} {bundle.manifest.version}"
        return cls(name, source, lane, View(bundle, name), state)

    def pictures(self, fps: float, every: bool = False) -> Iterator[Array]:
        """BGR, at most ``fps`` a second, or ``every`` one of a replay. Ends with the source's stream; a camera that fails is
        waited for. Raises SourceError where a replay delivered nothing, and what the model raises."""
        self._capture.start()
        due = refresh_due = 0.0
        try:
            while not self._over:
                frame = self._ring.take()
                if frame is None:
                    if self._capture.ended.is_set() and not self._ring.waiting:
                        break
                    self._bell.wait(0.2)
                    continue
                now = time.monotonic()
                if now >= refresh_due:
                    refresh_due = now + _REFRESH_S
                    self._introductions.refresh(self._lanes, self._state)
                picture = self._look(frame, every or not self.live or now >= due)
                if picture is not None:
                    due = max(due + 1 / fps, now)
                    yield picture
                    if not self.live and not every:  # a replay has no pace of its own
                        self._bell.wait(max(0.0, due - time.monotonic()))
        finally:
            self._capture.stop()
            self._capture.join(5.0)
        if not self._inferred and not self._over:
            raise SourceError(self.name, "at least one frame or a whole window", self._capture.last_error or "none")

    def _look(self, frame: Frame, wanted: bool) -> Array | None:
        result = self._lane.infer(frame)
        self._inferred += 1
        if self._scene is not None and isinstance(result, Detections):
            result = self._scene.see(result, frame)
        return self._view.draw(frame, result) if wanted else None

    def stop(self) -> None:
        self._over = True
        self._bell.ring()

    def figures(self) -> dict[str, Any]:
        """What stands below the picture."""
        lane = self._lane
        total = {key: sum(stage.summary()[key] for stage in (lane.preprocess_ns, lane.invoke_ns, lane.decode_ns))
                 for key in ("p50", "p95")}
        trouble = "" if self._capture.working or self._capture.ended.is_set() else self._capture.last_error
        return {"frames": self._inferred, "per_second": round(self._inferred / max(time.monotonic() - self._began, 1e-3), 1),
                "p50_ms": round(total["p50"], 2), "p95_ms": round(total["p95"], 2), "runs_on": lane.engine.session.runs_on,
                "scene": self._scene.figures() if self._scene is not None else None, "trouble": trouble,
                "over": self._capture.ended.is_set()}
