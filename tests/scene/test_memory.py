"""A scene allocates at set-up: frames leave nothing behind."""

from __future__ import annotations

import gc
import random
import tracemalloc

import numpy as np

from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.scene.crossing import LineOptions
from edgeinfer.scene.motion import Motion, MotionOptions
from edgeinfer.scene.scene import Scene, SceneOptions
from edgeinfer.scene.zones import ZoneOptions
from tests.scene.boxes import SECOND, at, detections

HALVES = {"left": ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)), "right": ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0))}


def test_thousands_of_frames_with_coming_and_going_leave_memory_as_it_was() -> None:
    scene = Scene(SceneOptions(zones={name: ZoneOptions(points=points, dwell_s=1) for name, points in HALVES.items()},
                               lines={"middle": LineOptions(points=((0.5, 0.0), (0.5, 1.0)))}))
    frame, chance = Frame(FrameFormat("GREY", 2, 2)), random.Random(3)
    crowd = [detections([at(chance.random(), chance.random()) for _ in range(chance.randrange(8))]) for _ in range(64)]

    def run(frames: int) -> None:
        for number in range(frames):
            frame.monotonic_ns += SECOND // 15
            if number % 7:
                seen = scene.see(crowd[number % 64], frame)
                seen.state()
            else:
                scene.rest(frame.monotonic_ns)
            scene.changed()

    run(300)
    tracemalloc.start()
    run(300)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    run(1500)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 16 * 1024
    assert scene.tracker is not None
    assert scene.tracker.begun > 200


def test_the_motion_gate_keeps_nothing_of_frames() -> None:
    gate, frame = Motion(MotionOptions(), FrameFormat("BGR", 240, 320)), Frame(FrameFormat("BGR", 240, 320))
    pictures = np.random.default_rng(1).integers(0, 256, (4, 240, 320, 3), np.uint8)

    def run(frames: int) -> None:
        for number in range(frames):
            frame.view[:] = pictures[number % 4]
            frame.monotonic_ns += SECOND // 15
            gate.admit(frame)

    run(20)
    tracemalloc.start()
    run(20)
    before = tracemalloc.get_traced_memory()[0]
    run(500)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 8 * 1024
