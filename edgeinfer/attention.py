"""Which frames are worth the model's time: a pipeline's schedule and its motion gate, asked in this order."""

from __future__ import annotations

from edgeinfer.gate import Gate
from edgeinfer.model.frame import Frame
from edgeinfer.scene.motion import Motion
from edgeinfer.scene.scene import Scene
from edgeinfer.scene.schedule import Schedule

__all__ = ["Attention"]


class Attention:
    """Of one pipeline; its scene is told of the frames that are not looked at. The inference thread."""

    def __init__(self, gate: Gate, schedule: Schedule | None = None, motion: Motion | None = None,
                 scene: Scene | None = None) -> None:
        self._gate, self._schedule, self._motion, self._scene = gate, schedule, motion, scene

    def hold_back(self, frame: Frame, now_ns: int) -> str:
        """Why this frame is not worth it, "schedule" or "still"; "" when it is. A heartbeat that is due always is, and
        so is a scene that is not clear yet. ``now_ns``: CLOCK_MONOTONIC, the gate's clock."""
        if self._schedule is not None and not self._schedule.active(frame.wall_ns):
            if self._scene is not None:
                self._scene.leave()
            return "schedule"
        if self._motion is None or self._motion.admit(frame) or self._gate.due(now_ns):
            return ""
        if self._scene is not None:
            if self._scene.unsettled:
                return ""
            self._scene.rest(frame.monotonic_ns)
        return "still"
