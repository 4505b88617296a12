"""Measures a model through the real pipeline (capture thread, ring, preprocess, invoke, decode, gate) beside bare invokes.

Rounds of both alternate in one run, so that a noisy machine disturbs both alike.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any, Literal

from edgeinfer import vitals
from edgeinfer.capture import Capture
from edgeinfer.counters import Latency
from edgeinfer.devices import DeviceProfile
from edgeinfer.gate import Gate, GateOptions
from edgeinfer.model.engine import Engine, Lane
from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.preprocess.fingerprint import synthetic_frame
from edgeinfer.payload import Encoder
from edgeinfer.pipeline import InferenceThread, Pipeline
from edgeinfer.ring import Bell, FrameRing
from edgeinfer.sinks import Message

__all__ = ["Discard", "Replay", "bench", "energy"]

_ROUNDS = 5


class Discard:
    """A sink that keeps nothing."""

    def check(self) -> None: ...

    def probe(self, timeout_s: float) -> str:
        return "nothing"

    def start(self) -> None: ...

    def publish(self, topic: str, payload: bytes, pipeline: str) -> None: ...

    def listen(self, topics: Sequence[str], post: Callable[[Message], None]) -> None: ...

    def send(self, topic: str, payload: bytes, *, correlation: bytes = b"", expiry_s: float = 0) -> None: ...

    def set_retained(self, topic: str, payload: bytes, expiry_s: float = 0) -> None: ...

    def repeat_retained(self) -> None: ...

    def drain(self, deadline_s: float) -> bool:
        return True

    def stop(self) -> None: ...

    def state(self) -> dict[str, Any]:
        return {}


class Replay:
    """The same frame, ``count`` times, as fast as the reader takes it: a real copy into the slot each time."""

    def __init__(self, format: FrameFormat | WindowFormat, count: int) -> None:
        self.live = False
        self.yields: Literal["frames", "samples"] = "frames"
        self._format = format
        self._pixels = synthetic_frame(1, format)
        self._count = count
        self._left = count

    def format(self) -> FrameFormat | WindowFormat:
        return self._format

    def open(self) -> None:
        self._left = self._count

    def read_into(self, frame: Frame) -> bool:
        if not self._left:
            return False
        self._left -= 1
        frame.view[...] = self._pixels
        frame.monotonic_ns = time.monotonic_ns()
        frame.wall_ns = time.time_ns()
        return True

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


def bench(engine: Engine, format: FrameFormat | WindowFormat, frames: int) -> dict[str, Any]:
    """All figures as one document; times in milliseconds, memory in bytes. ``frames`` are measured after a warm-up."""
    lane = engine.lane(format)
    bare, piped = Latency(), Latency()
    _bare(engine, max(frames // 10, 5), Latency())
    _piped(lane, engine, format, max(frames // 10, 5), Latency())
    for latency in (lane.preprocess_ns, lane.invoke_ns, lane.decode_ns):
        latency.clear()
    cpu_s = wall_s = 0.0
    for _ in range(_ROUNDS):
        _bare(engine, max(frames // _ROUNDS, 1), bare)
        before_s = time.process_time()
        wall_s += _piped(lane, engine, format, max(frames // _ROUNDS, 1), piped)
        cpu_s += time.process_time() - before_s
    frame_ms = wall_s / piped.count * 1e3
    return {
        "model": engine.bundle.manifest.name, "runs_on": engine.session.runs_on, "frames": piped.count,
        "stages_ms": {"preprocess": lane.preprocess_ns.summary(), "invoke": lane.invoke_ns.summary(),
                      "decode": lane.decode_ns.summary(), "capture_to_result": piped.summary()},
        "bare_invoke_ms": bare.summary(),
        "frame_ms": round(frame_ms, 4), "throughput": round(piped.count / wall_s, 2),
        "over_bare_invoke": round(frame_ms / (bare.total / bare.count / 1e6), 4),
        "cpu_ms_per_frame": round(cpu_s / piped.count * 1e3, 4), "cpu_share": round(cpu_s / wall_s, 4),
        "pss_bytes": vitals.pss_bytes(), "allocations": _allocations(lane, engine, format),
    }


def _bare(engine: Engine, count: int, latency: Latency) -> None:
    invoke = engine.session.invoke
    for _ in range(count):
        started = time.perf_counter_ns()
        invoke()
        latency.record(time.perf_counter_ns() - started)


def _piped(lane: Lane, engine: Engine, format: FrameFormat | WindowFormat, count: int, total: Latency) -> float:
    """Seconds that ``count`` frames took through a whole pipeline."""
    bell = Bell()
    manifest = engine.bundle.manifest
    capture = Capture("bench", Replay(format, count), FrameRing(format, bell, lossless=True))
    encoder = Encoder("bench", "bench", f"{manifest.name}:{manifest.version}", manifest.task, "bench")
    pipeline = Pipeline("bench", capture, lane, Gate(GateOptions(on_change=True)), encoder, Discard(), "bench")
    pipeline.tenure.total_ns = total
    thread = InferenceThread("bench", [pipeline], bell)
    started = time.perf_counter()
    thread.start()
    capture.start()
    thread.finished.wait()
    elapsed = time.perf_counter() - started
    thread.join(1.0)
    return elapsed


def _allocations(lane: Lane, engine: Engine, format: FrameFormat | WindowFormat) -> dict[str, float]:
    """What 200 frames leave behind: Python memory blocks and traced bytes a frame, and the highest transient bytes."""
    count = 200
    _piped(lane, engine, format, count, Latency())
    gc.collect()
    blocks = sys.getallocatedblocks()
    _piped(lane, engine, format, count, Latency())
    gc.collect()
    blocks = sys.getallocatedblocks() - blocks
    tracemalloc.start()
    _piped(lane, engine, format, count, Latency())
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    _piped(lane, engine, format, count, Latency())
    gc.collect()
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"blocks_a_frame": round(blocks / count, 4), "bytes_a_frame": round((after - before) / count, 2),
            "peak_bytes": float(peak - before)}


def energy(document: dict[str, Any], profile: DeviceProfile, price_kwh: float) -> dict[str, float]:
    """Joules an inference and the cost of a million, were this machine the profile's: watts at this CPU share x time."""
    watts = profile.power.idle_watts + (profile.power.busy_watts - profile.power.idle_watts) * min(
        document["cpu_share"] / profile.cpu.cores, 1.0)
    joules = watts * document["frame_ms"] / 1e3
    return {"watts": round(watts, 3), "joules": round(joules, 6),
            "cost_a_million": round(joules * 1e6 / 3.6e6 * price_kwh, 4), "price_kwh": price_kwh}
