"""The motion gate on an empty scene: CPU of a frame with it and without, side by side; 640x480 with a camera's noise."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from edgeinfer.benchmark import Discard
from edgeinfer.capture import Capture
from edgeinfer.gate import Gate, GateOptions
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.payload import Encoder
from edgeinfer.pipeline import InferenceThread, Pipeline
from edgeinfer.ring import Bell, FrameRing
from edgeinfer.scene.motion import Motion, MotionOptions
from tests.zoo_bundles import mobilenet_onnx, mobilenet_tflite

__all__ = ["motion"]

FORMAT = FrameFormat("BGR", 480, 640)
FRAMES, ROUNDS, FPS = 300, 3, 15


class Empty:
    """A camera in front of nothing: the same picture, another noise (sigma 2) each time; copied into the slot, as a camera
    does. Its clock is that of a camera; frames come as fast as they are taken."""

    live = False
    yields: ClassVar[Literal["frames", "samples"]] = "frames"

    def __init__(self, frames: int, start: int) -> None:
        generator = np.random.default_rng(4)
        scenery = np.tile(np.linspace(40, 200, 640)[None, :, None], (480, 1, 3))
        self._pictures = [np.clip(scenery + generator.normal(0, 2, scenery.shape), 0, 255).astype(np.uint8) for _ in range(8)]
        self._next, self._last = start, start + frames

    def format(self) -> FrameFormat:
        return FORMAT

    def open(self) -> None: ...

    def interrupt(self) -> None: ...

    def close(self) -> None: ...

    def read_into(self, frame: Frame) -> bool:
        if self._next >= self._last:
            return False
        np.copyto(frame.view, self._pictures[self._next % 8])
        frame.monotonic_ns = frame.wall_ns = self._next * 1_000_000_000 // FPS
        self._next += 1
        return True


def motion(zoo: Path, folder: Path) -> None:
    """MobileNet v2 INT8 (3.5 MB, 300 million multiplications, as Lite0) on both runtimes."""
    for name, make in (("LiteRT", mobilenet_tflite), ("ONNX Runtime", mobilenet_onnx)):
        engine = Engine(make(zoo, folder / f"motion-{name.replace(' ', '')}"), RuntimeOptions())
        gate = Motion(MotionOptions(look_s=0), FORMAT)
        _run(engine, gate, 10 * FPS, 0)  # the first frames are movement
        plain, gated, start = [], [], 10 * FPS
        for _ in range(ROUNDS):
            plain.append(_run(engine, None, FRAMES, start)[0])
            cost, pipeline = _run(engine, gate, FRAMES, start)
            gated.append(cost)
            assert pipeline.held["still"] == FRAMES, "a frame of the empty scene was looked at"
            start += FRAMES
        cut = 1 - min(gated) / min(plain)
        print(f"{name}: {min(plain):.2f} ms of CPU a frame without the gate, {min(gated):.2f} ms with it: {cut:.1%} less")
        engine.close()


def _run(engine: Engine, gate: Motion | None, frames: int, start: int) -> tuple[float, Pipeline]:
    """Milliseconds of this process's CPU a frame, capture and inference together."""
    bell = Bell()
    capture = Capture("bench", Empty(frames, start), FrameRing(FORMAT, bell, lossless=True))
    encoder = Encoder("test", "bench", "bench:1", "test", "boot")
    pipeline = Pipeline("bench", capture, engine.lane(FORMAT), Gate(GateOptions(on_change=True)), encoder, Discard(), "bench",
                        motion=gate)
    thread = InferenceThread("bench", [pipeline], bell)
    before = time.process_time()
    thread.start()
    capture.start()
    thread.finished.wait(300)
    used = time.process_time() - before
    thread.join(5)
    capture.join(5)
    return used * 1e3 / frames, pipeline
