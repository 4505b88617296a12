"""Latency: ratios of the product's pipeline to what it is built on, in alternating rounds of one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgeinfer.benchmark import Discard, Replay
from edgeinfer.capture import Capture
from edgeinfer.gate import Gate, GateOptions
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import FrameFormat, WindowFormat
from edgeinfer.payload import Encoder
from edgeinfer.pipeline import InferenceThread, Pipeline
from edgeinfer.ring import Bell, FrameRing
from tests.zoo_bundles import kws, mobilenet_tflite

ROUNDS = 15


def run_pipelines(engine: Engine, format: FrameFormat | WindowFormat, frames: int, pipelines: int = 1) -> float:
    """Seconds a frame through whole pipelines on one engine, threads and all."""
    bell = Bell()
    made = []
    for index in range(pipelines):
        capture = Capture(f"bench{index}", Replay(format, frames), FrameRing(format, bell, lossless=True))
        encoder = Encoder("bench", f"bench{index}", "bench:1", "classify", "boot")
        made.append(Pipeline(f"bench{index}", capture, engine.lane(format), Gate(GateOptions(on_change=True)), encoder,
                             Discard(), "bench"))
    thread = InferenceThread("bench", made, bell)
    started = time.perf_counter()
    thread.start()
    for pipeline in made:
        pipeline.capture.start()
    thread.finished.wait()
    elapsed = time.perf_counter() - started
    assert all(pipeline.inferred == frames for pipeline in made)
    return elapsed / (frames * pipelines)


def alternate(one: Callable[[], float], other: Callable[[], float]) -> tuple[float, float, float]:
    """Medians of both and of the ratio of neighbours, over rounds that alternate (and swap who goes first)."""
    one(), other()
    pairs = []
    for index in range(ROUNDS):
        pairs.append((one(), other()) if index % 2 else (other(), one())[::-1])
    return (statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs),
            statistics.median(a / b for a, b in pairs))


def hand_written(zoo: Path, folder: Path) -> None:
    """640x480 RGB to a decoded result, over exact resize into a reused array, table, invoke and argmax by hand."""
    import cv2
    from ai_edge_litert.interpreter import Interpreter

    bundle = mobilenet_tflite(zoo, folder / "mobilenet")
    engine = Engine(bundle, RuntimeOptions())
    format = FrameFormat("RGB", 480, 640)
    interpreter = Interpreter(str(bundle.model_path), num_threads=1)
    interpreter.allocate_tensors()
    write = interpreter.tensor(interpreter.get_input_details()[0]["index"])
    read = interpreter.tensor(interpreter.get_output_details()[0]["index"])
    frame = Replay(format, 1)._pixels
    small = np.zeros((224, 224, 3), np.uint8)
    shrunk = np.zeros((240, 320, 3), np.uint8)
    table = np.arange(256, dtype=np.uint8)

    def by_hand() -> float:
        started = time.perf_counter()
        for _ in range(60):
            cv2.resize(frame, (320, 240), dst=shrunk, interpolation=cv2.INTER_AREA)
            cv2.resize(shrunk, (224, 224), dst=small, interpolation=cv2.INTER_LINEAR_EXACT)
            cv2.LUT(small, table, dst=write()[0])
            interpreter.invoke()
            int(read()[0].argmax())
        return (time.perf_counter() - started) / 60

    ours, theirs, ratio = alternate(lambda: run_pipelines(engine, format, 60), by_hand)
    print(f"mobilenet_v2: pipeline {ours * 1e3:.3f} ms, by hand {theirs * 1e3:.3f} ms, ratio {ratio:.4f}")


def window(zoo: Path, folder: Path) -> None:
    """Microseconds that capture thread, ring, preprocess, decode and gate add to a window's invoke."""
    engine = Engine(kws(zoo, folder / "kws"), RuntimeOptions())
    format = WindowFormat(49, 10)
    invoke = engine.session.invoke

    def bare() -> float:
        started = time.perf_counter()
        for _ in range(4000):
            invoke()
        return (time.perf_counter() - started) / 4000

    ours, theirs, ratio = alternate(lambda: run_pipelines(engine, format, 4000), bare)
    print(f"kws: window {ours * 1e6:.1f} us, bare invoke {theirs * 1e6:.1f} us, over it {(ours - theirs) * 1e6:.1f} us, "
          f"ratio {ratio:.3f}")


def sharing(zoo: Path, folder: Path) -> None:
    """Time a frame with four pipelines on one engine over one pipeline."""
    for name, engine, format, frames in (
            ("mobilenet_v2", Engine(mobilenet_tflite(zoo, folder / "mobilenet4"), RuntimeOptions()),
             FrameFormat("RGB", 480, 640), 20),
            ("kws", Engine(kws(zoo, folder / "kws4"), RuntimeOptions()), WindowFormat(49, 10), 1000)):
        def four(engine: Engine = engine, format: FrameFormat | WindowFormat = format, frames: int = frames) -> float:
            return run_pipelines(engine, format, frames, 4)

        def one(engine: Engine = engine, format: FrameFormat | WindowFormat = format, frames: int = frames) -> float:
            return run_pipelines(engine, format, frames * 4)

        ours, theirs, ratio = alternate(four, one)
        print(f"{name}: four pipelines {ours * 1e6:.1f} us a frame, one {theirs * 1e6:.1f} us, ratio {ratio:.4f}")
