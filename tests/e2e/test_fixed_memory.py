"""Memory does not grow with frames: the whole pipeline, capture thread to outbox, for 20,000 frames after a warm-up."""

from __future__ import annotations

import gc
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from edgeinfer import vitals
from edgeinfer.benchmark import Replay
from edgeinfer.capture import Capture
from edgeinfer.gate import Gate, GateOptions
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import read
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import FrameFormat, WindowFormat
from edgeinfer.mqtt.broker import MqttOptions
from edgeinfer.outbox import OutboxOptions
from edgeinfer.payload import Encoder
from edgeinfer.pipeline import InferenceThread, Pipeline
from edgeinfer.ring import Bell, FrameRing
from edgeinfer.sinks.mqtt import MqttSink
from tests.broker import Broker, free_port

FRAMES = 20_000


class _Rig:
    """One pipeline on a real engine and a real sink, run for a number of frames at a time."""

    def __init__(self, models: dict[str, str], name: str, sink: MqttSink) -> None:
        self._format: Any = FrameFormat("RGB", 48, 64) if name == "colours" else WindowFormat(16, 1)
        self._sink = sink
        self._engine = Engine(read(Path(models[name])), RuntimeOptions())
        self._lane = self._engine.lane(self._format)
        self._gate = Gate(GateOptions(every=20))
        self._encoder = Encoder("test", name, f"{name}:1", "test", "boot")
        self._sequence = 0

    def run(self, frames: int) -> Pipeline:
        bell = Bell()
        capture = Capture("memory", Replay(self._format, frames), FrameRing(self._format, bell, lossless=True))
        pipeline = Pipeline("memory", capture, self._lane, self._gate, self._encoder, self._sink, "edgeinfer/test/memory")
        pipeline.sequence = self._sequence
        thread = InferenceThread("memory", [pipeline], bell)
        thread.start()
        capture.start()
        assert thread.finished.wait(100)
        thread.join(5)
        capture.join(5)
        self._sequence = pipeline.sequence
        assert pipeline.inferred == frames
        return pipeline

    def close(self) -> None:
        self._engine.close()


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _settle(sink: MqttSink) -> None:
    sink.drain(20)
    gc.collect()


@pytest.mark.parametrize("connected", [True, False], ids=["with a broker", "without one"])
@pytest.mark.parametrize("name", ["colours", "vibration"])
def test_twenty_thousand_frames_leave_memory_as_it_was(name: str, connected: bool, models: dict[str, str],
                                                       tmp_path: Path) -> None:
    """Python's memory grows by at most 64 KiB and what is resident by at most 1 %. (PSS is printed too; it also moves when
    another test's process that shared a library ends, so that it is no claim in a suite that runs in parallel.)"""
    broker = Broker(tmp_path / "broker").start() if connected else None
    options = MqttOptions(host="127.0.0.1", port=broker.port if broker else free_port(), plain_text=True)
    sink = MqttSink(options, "edgeinfer/test", OutboxOptions(path=str(tmp_path / "outbox.db"), commit_delay_ms=20,
                                                             max_bytes=256 * 1024))
    sink.start()
    rig = _Rig(models, name, sink)
    try:
        rig.run(FRAMES // 4)  # fills the outbox, too, where there is no broker
        _settle(sink)
        resident, pss = _resident_bytes(), vitals.pss_bytes()
        rig.run(FRAMES)
        _settle(sink)
        grown, grown_pss = _resident_bytes() - resident, vitals.pss_bytes() - pss
        tracemalloc.start()
        rig.run(FRAMES // 10)
        _settle(sink)
        before, _ = tracemalloc.get_traced_memory()
        rig.run(FRAMES)
        _settle(sink)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        sink.stop()
        rig.close()
        if broker is not None:
            broker.stop()
    print(f"{name}: tracemalloc {after - before:+d} bytes, resident {grown:+d} of {resident}, PSS {grown_pss:+d} of {pss}")
    assert after - before <= 64 * 1024
    assert grown <= 0.01 * resident
