"""A pipeline as it runs, for its owner's eyes: the same source, schedule, motion gate, model, tracker, zones and gate as the
daemon's, and no payload, no outbox, no broker. A command of its own: the daemon never starts it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeinfer.attention import Attention
from edgeinfer.capture import Capture
from edgeinfer.composition import compose
from edgeinfer.config import Config
from edgeinfer.errors import SourceError
from edgeinfer.gate import Gate, GateOptions
from edgeinfer.introductions import Introductions
from edgeinfer.looking.view import View
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.engine import Engine, Lane
from edgeinfer.model.frame import Frame
from edgeinfer.model.result import Detections, Result
from edgeinfer.model.tensor import Array
from edgeinfer.plan import make_plan
from edgeinfer.ring import Bell, FrameRing
from edgeinfer.scene.motion import Motion
from edgeinfer.scene.scene import Scene
from edgeinfer.scene.schedule import Schedule
from edgeinfer.sources import FrameSource

__all__ = ["Preview"]

_REFRESH_S = 1.0  # between two looks at who is enrolled


class Preview:
    """``pictures`` is for one thread; ``figures`` for any; ``stop`` ends the pictures, from any thread."""

    def __init__(self, name: str, source: FrameSource, lane: Lane, view: View, state: Path, gate: Gate | None = None,
                 schedule: Schedule | None = None, motion: Motion | None = None, scene: Scene | None = None) -> None:
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
        self._gate = gate or Gate(GateOptions())
        self._schedule, self._motion = schedule, motion
        self._attention = Attention(self._gate, schedule, motion, scene)
        self._result: Result | None = None  # of the frame that was looked at last
        self._over = False
        self._frames = {"": 0, "still": 0, "schedule": 0, "failed": 0}  # looked at, and skipped for what
        self._fault = ""  # that the model failed with last
        self._began = time.monotonic()

    @classmethod
    def of_pipeline(cls, config: Config, name: str) -> Preview:
        """Raises EdgeinferErrors as ``edgeinfer check`` does."""
        plan = make_plan(config, name, config.bundle_path(name), config.keys())
        lane = Engine(plan.bundle, plan.config.runtime).lane(plan.format, plan.threshold)
        then = plan.composition.then
        second = Engine(then.bundle, then.options.runtime) if then is not None else None
        schedule, motion, scene = compose(plan.config, plan.composition, plan.format, second, 0)
        view = View(plan.bundle, name, plan.config.zones, plan.config.lines, motion)
        return cls(name, plan.source, lane, view, config.state_folder, Gate(plan.config.gate), schedule, motion, scene)

    @classmethod
    def of_model(cls, bundle: Bundle, source: FrameSource, runtime: RuntimeOptions, threshold: float | None,
                 state: Path) -> Preview:
        """Without a configuration. Raises EdgeinferErrors."""
        lane = Engine(bundle, runtime).lane(source.format(), threshold)
        name = f"{bundle.manifest.name} {bundle.manifest.version}"
        return cls(name, source, lane, View(bundle, name), state)

    def pictures(self, fps: float, every: bool = False) -> Iterator[Array]:
        """BGR, at most ``fps`` a second, or ``every`` one of a replay. Ends with the source's stream; a camera that fails is
        waited for. Raises SourceError where a replay delivered nothing."""
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
        if not any(self._frames.values()) and not self._over:
            raise SourceError(self.name, "at least one frame or a whole window", self._capture.last_error or "none")

    def _look(self, frame: Frame, wanted: bool) -> Array | None:
        held = self._attention.hold_back(frame, time.monotonic_ns())
        if held == "schedule":
            self._result = None  # nobody is known to be anywhere
        elif not held:
            try:
                self._result = self._infer(frame)
            except Exception as error:  # noqa: BLE001  as in the daemon: a plug-in's fault costs one frame
                held, self._fault = "failed", f"{type(error).__name__}: {error}"
        self._frames[held] += 1
        return self._view.draw(frame, self._result, held) if wanted else None

    def _infer(self, frame: Frame) -> Result:
        result: Result = self._lane.infer(frame)
        if self._scene is not None and isinstance(result, Detections):
            result = self._scene.see(result, frame)
        self._gate.admit(result, time.monotonic_ns())
        return result

    def stop(self) -> None:
        self._over = True
        self._bell.ring()

    def figures(self) -> dict[str, Any]:
        """What stands below the picture. Any thread."""
        lane = self._lane
        total = {key: sum(stage.summary()[key] for stage in (lane.preprocess_ns, lane.invoke_ns, lane.decode_ns))
                 for key in ("p50", "p95")}
        trouble = "" if self._capture.working or self._capture.ended.is_set() else self._capture.last_error
        if self._frames["failed"]:
            trouble = f"{self._frames['failed']} skipped, since the model failed: {self._fault}"
        frames = sum(self._frames.values())
        return {"frames": frames, "per_second": round(frames / max(time.monotonic() - self._began, 1e-3), 1),
                "p50_ms": round(total["p50"], 2), "p95_ms": round(total["p95"], 2), "runs_on": lane.engine.session.runs_on,
                "told": self._gate.told, **self._attended(),
                "scene": self._scene.figures() if self._scene is not None else None, "trouble": trouble,
                "over": self._capture.ended.is_set()}

    def _attended(self) -> dict[str, Any]:
        """What held frames back; of no motion gate and no schedule None."""
        schedule, motion, frames = self._schedule, self._motion, self._frames
        return {"motion": {"share": round(motion.share, 4), "still": frames["still"]} if motion is not None else None,
                "schedule": {"active": schedule.active(time.time_ns()), "skipped": frames["schedule"]}
                if schedule is not None else None}
