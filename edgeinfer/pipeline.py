"""The way of a frame, from the ring to the outbox. This file and ``model/engine.py`` are the product's main path.

    capture thread              inference thread, one per engine                              network thread
    source ── read_into ─▶ ring ── take ─▶ lane.infer ─▶ result ─▶ gate ─▶ payload ─▶ sink.publish ─▶ outbox ─▶ MQTT
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from time import monotonic_ns
from typing import Any

from edgeinfer.capture import Capture
from edgeinfer.counters import Latency
from edgeinfer.errors import EdgeinferError
from edgeinfer.gate import Gate
from edgeinfer.log import log
from edgeinfer.model.engine import Lane
from edgeinfer.model.frame import Frame
from edgeinfer.payload import Encoder
from edgeinfer.ring import Bell
from edgeinfer.sinks import Sink

__all__ = ["InferenceThread", "Pipeline"]


class Pipeline:
    """One source, one lane of an engine, one gate. ``step`` belongs to the inference thread; figures may be read by any.

    The equation of frames: captured = inferred + skipped (overwritten, failed) + waiting (in a ring, or in the model now).
    """

    def __init__(self, name: str, capture: Capture, lane: Lane, gate: Gate, encoder: Encoder, sink: Sink,
                 topic: str) -> None:
        self.name = name
        self.capture = capture
        self.lane = lane
        self.gate = gate
        self.inferred = 0
        self.failed = 0
        self.last_error = ""
        self.total_ns = Latency()
        self.sequence = 0
        self._encoder = encoder
        self._sink = sink
        self._topic = topic

    def step(self, frame: Frame) -> None:
        """One frame through the model, and its result to the sink if the gate lets it through."""
        result = self.lane.infer(frame)
        now = monotonic_ns()
        reason = self.gate.admit(result, now)
        self.total_ns.record(now - frame.monotonic_ns)
        self.inferred += 1
        if reason:
            self.sequence += 1
            payload = self._encoder.encode(result, self.sequence, frame.wall_ns, now - frame.monotonic_ns, reason)
            self._sink.publish(f"{self._topic}/result", payload, self.name)
            self._sink.set_retained(f"{self._topic}/state", payload)

    def fail(self, error: BaseException) -> None:
        """Count a frame that the model or a plug-in failed on; told to the log once for each kind of failure."""
        self.failed += 1
        text = f"{type(error).__name__}: {error}"
        if text != self.last_error:
            self.last_error = text
            log.error("pipeline %s: a frame was skipped: %s", self.name, text)

    @property
    def finished(self) -> bool:
        """The stream is over and every frame of it was inferred."""
        return self.capture.ended.is_set() and not self.capture.ring.waiting

    def figures(self) -> dict[str, Any]:
        """Counters and latencies for health."""
        inferred, failed = self.inferred, self.failed  # read before the ring: a frame may be counted there meanwhile
        captured, overwritten, _ = self.capture.ring.counts()
        return {
            "captured": captured,
            "inferred": inferred,
            "skipped": {"overwritten": overwritten, "failed": failed},
            "waiting": captured - inferred - overwritten - failed,
            "published": self.sequence,
            "held_back": self.gate.suppressed(),
            "payloads": {"truncated": self._encoder.truncated, "refused": self._encoder.refused},
            "source": {"working": self.capture.working, "failures": self.capture.failures, "error": self.capture.last_error},
            "latency_ms": {"preprocess": self.lane.preprocess_ns.summary(), "invoke": self.lane.invoke_ns.summary(),
                           "decode": self.lane.decode_ns.summary(), "total": self.total_ns.summary()},
        }


class InferenceThread:
    """Takes frames from the rings of its pipelines in turn and runs them through one engine.

    ``progress`` counts turns in which the engine did not hang: the watchdog of systemd is fed by its movement and by
    nothing else. A turn ends at the latest after ``idle_s`` without a frame.
    """

    def __init__(self, name: str, pipelines: Sequence[Pipeline], bell: Bell, idle_s: float = 1.0) -> None:
        self.progress = 0
        self.finished = threading.Event()
        self._pipelines = tuple(pipelines)
        self._bell = bell
        self._idle_s = idle_s
        self._stop = False
        self._thread = threading.Thread(target=self._run, name=f"inference {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while not self._stop:
            self._bell.wait(self._idle_s)
            while self._turn() and not self._stop:
                pass
            if all(pipeline.finished for pipeline in self._pipelines):
                break
        self.finished.set()

    def _turn(self) -> bool:
        """One frame of each pipeline that has one; True when there was any."""
        any_frame = False
        for pipeline in self._pipelines:
            frame = pipeline.capture.ring.take()
            if frame is None:
                continue
            any_frame = True
            try:
                pipeline.step(frame)
            except EdgeinferError as error:
                pipeline.fail(error)
            except Exception as error:  # noqa: BLE001  the outermost place of this thread: a plug-in's fault costs one frame
                pipeline.fail(error)
        self.progress += 1
        return any_frame

    def stop(self) -> None:
        """Ask the thread to end after the frame in hand; any thread."""
        self._stop = True
        self._bell.ring()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; False when it hangs in the engine."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()
