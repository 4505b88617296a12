"""The way of a frame, from the ring to the outbox. This file and ``model/engine.py`` are the product's main path.

    capture thread              inference thread, one per engine                              network thread
    source ── read_into ─▶ ring ── take ─▶ lane.infer ─▶ result ─▶ gate ─▶ payload ─▶ sink.publish ─▶ outbox ─▶ MQTT
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from time import monotonic_ns
from typing import Any, NamedTuple

from edgeinfer.capture import Capture
from edgeinfer.counters import Latency, Scores
from edgeinfer.errors import EdgeinferError
from edgeinfer.gate import Gate
from edgeinfer.log import log
from edgeinfer.model.engine import Lane
from edgeinfer.model.frame import Frame
from edgeinfer.payload import Encoder
from edgeinfer.probation import Figures
from edgeinfer.ring import Bell
from edgeinfer.sinks import Sink

__all__ = ["Exchange", "InferenceThread", "Pipeline", "Tenure"]

_SCORE_GAP_NS = 500_000_000  # between two scores that are counted


class Tenure:
    """What is counted of one model in one pipeline, from its first frame to its last; all memory is allocated here."""

    __slots__ = ("failed", "inferred", "score_due", "scores", "total_ns")

    def __init__(self) -> None:
        self.inferred = 0
        self.failed = 0
        self.total_ns = Latency()  # from capture to the gate's decision
        self.scores = Scores()  # of a frame now and then
        self.score_due = 0  # CLOCK_MONOTONIC in ns


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
        self.tenure = Tenure()
        self.sequence = 0
        self._encoder = encoder
        self._sink = sink
        self._topic = topic

    def step(self, frame: Frame) -> None:
        """One frame through the model, and its result to the sink if the gate lets it through."""
        result = self.lane.infer(frame)
        now = monotonic_ns()
        reason = self.gate.admit(result, now)
        tenure = self.tenure
        tenure.total_ns.record(now - frame.monotonic_ns)
        if now >= tenure.score_due:
            tenure.score_due = now + _SCORE_GAP_NS
            tenure.scores.add(result.score())
        tenure.inferred += 1
        self.inferred += 1
        if reason:
            self.sequence += 1
            payload = self._encoder.encode(result, self.sequence, frame.wall_ns, now - frame.monotonic_ns, reason)
            self._sink.publish(f"{self._topic}/result", payload, self.name)
            self._sink.set_retained(f"{self._topic}/state", payload, 3 * self.gate.heartbeat_s)

    def fail(self, error: BaseException) -> None:
        """Count a frame that the model or a plug-in failed on; told to the log once for each kind of failure."""
        self.failed += 1
        self.tenure.failed += 1
        text = f"{type(error).__name__}: {error}"
        if text != self.last_error:
            self.last_error = text
            log.error("pipeline %s: a frame was skipped: %s", self.name, text)

    def take_over(self, exchange: Exchange) -> None:
        """Another lane from the next frame on; where another model comes with it, everything is counted anew."""
        self.lane = exchange.lane
        if exchange.tenure is not None:
            self.tenure = exchange.tenure
            self._encoder.speak_for(exchange.model, exchange.task)

    def model_figures(self) -> Figures:
        """Of the model that runs now, for its probation."""
        tenure, drift = self.tenure, self.lane.drift
        return Figures(frames=tenure.inferred + tenure.failed, failed=tenure.failed,
                       p95_ms=tenure.total_ns.quantile(0.95) / 1e6, scores=tuple(tenure.scores.buckets),
                       drift=float(drift.document()["psi"]) if drift is not None and drift.frames else None)

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
            "source": {"working": self.capture.working, "paused": self.capture.paused, "failures": self.capture.failures,
                       "error": self.capture.last_error, **self.capture.counts()},
            "drift": self.lane.drift.document() if self.lane.drift is not None else None,
            "latency_ms": {"preprocess": self.lane.preprocess_ns.summary(), "invoke": self.lane.invoke_ns.summary(),
                           "decode": self.lane.decode_ns.summary(), "total": self.tenure.total_ns.summary()},
        }


class Exchange(NamedTuple):
    """What a pipeline goes on with. Without a ``tenure`` it is the same model, and its figures go on."""

    pipeline: Pipeline
    lane: Lane
    tenure: Tenure | None = None
    model: str = ""  # "name:version"
    task: str = ""


class InferenceThread:
    """Takes frames from the rings of its pipelines in turn and runs them through one engine.

    ``progress`` counts turns in which the engine did not hang: the watchdog of systemd is fed by its movement and by
    nothing else. A turn ends at the latest after ``idle_s`` without a frame.
    """

    def __init__(self, name: str, pipelines: Sequence[Pipeline], bell: Bell, idle_s: float = 1.0) -> None:
        self.progress = 0
        self.finished = threading.Event()
        self.died = ""  # of what; only a fault of our own ends this thread before its time
        self._pipelines = tuple(pipelines)
        self._bell = bell
        self._idle_s = idle_s
        self._stop = False
        self._exchanges: Sequence[Exchange] = ()
        self._exchanged = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"inference {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop:
                self._bell.wait(self._idle_s)
                while self._turn() and not self._stop:
                    pass
                if all(pipeline.finished for pipeline in self._pipelines):
                    break
        except BaseException as error:  # noqa: BLE001  the outermost place of this thread: the daemon ends, and says why
            self.died = type(error).__name__
        self.finished.set()

    def _turn(self) -> bool:
        """One frame of each pipeline that has one; True when there was any."""
        if self._exchanges:
            self._take_over()
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

    def exchange(self, exchanges: Sequence[Exchange], timeout_s: float = 5.0) -> bool:
        """Let pipelines go on with other lanes, between two frames. The main thread; False when the thread hangs in the
        engine and has not done so yet (it will, should it ever come back)."""
        self._exchanged.clear()
        self._exchanges = exchanges
        self._bell.ring()
        self._exchanged.wait(timeout_s if self._thread.is_alive() else 0.0)
        if self._exchanges and not self._thread.is_alive():
            self._take_over()
        return not self._exchanges

    def _take_over(self) -> None:
        for exchange in self._exchanges:
            exchange.pipeline.take_over(exchange)
        self._exchanges = ()
        self._exchanged.set()

    def stop(self) -> None:
        """Ask the thread to end after the frame in hand; any thread."""
        self._stop = True
        self._bell.ring()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; False when it hangs in the engine."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()
