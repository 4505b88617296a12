"""The way of a frame, from the ring to the outbox. This file and ``model/engine.py`` are the product's main path.

    capture thread              inference thread, one per engine                              network thread
    source ── read_into ─▶ ring ── take ─▶ lane.infer ─▶ result ─▶ gate ─▶ payload ─▶ sink.publish ─▶ outbox ─▶ MQTT
                                         ▲               ▲
              schedule, motion: worth it?                scene: tracks, second model, zones, lines ─▶ events
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from time import monotonic_ns, time_ns
from typing import Any, NamedTuple

import msgspec

from edgeinfer.attention import Attention
from edgeinfer.capture import Capture
from edgeinfer.counters import Latency, Scores
from edgeinfer.gate import Gate
from edgeinfer.log import log
from edgeinfer.model.engine import Lane
from edgeinfer.model.frame import Frame
from edgeinfer.model.result import Detections, Result
from edgeinfer.payload import Encoder
from edgeinfer.probation import Figures
from edgeinfer.requests import Desk
from edgeinfer.ring import Bell
from edgeinfer.scene.motion import Motion
from edgeinfer.scene.scene import Scene
from edgeinfer.scene.schedule import Schedule
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
    """One source, one lane of an engine, one gate, and what is composed around them. ``step`` and ``idle`` belong to the
    inference thread; figures may be read by any.

    The equations of frames: captured = inferred + skipped (overwritten, failed, still, schedule) + waiting (in a ring, or in
    the model now); inferred = told by the gate + held back by it.
    """

    def __init__(self, name: str, capture: Capture, lane: Lane, gate: Gate, encoder: Encoder, sink: Sink, topic: str, *,
                 schedule: Schedule | None = None, motion: Motion | None = None, scene: Scene | None = None) -> None:
        self.name = name
        self.capture = capture
        self.lane = lane
        self.gate = gate
        self.inferred = 0
        self.failed = 0
        self.untold = 0  # results that were let through and could not be written
        self.held = {"still": 0, "schedule": 0}  # frames that the model never saw
        self.last_error = ""
        self.schedule = schedule
        self.motion = motion
        self.scene = scene
        self._attention = Attention(gate, schedule, motion, scene)
        self.tenure = Tenure()
        self.sequence = 0
        self._openings = 0  # of the source, when the last frame came
        self.desk: Desk | None = None  # of a source of requests, which are answered
        self._encoder = encoder
        self._sink = sink
        self._topic = topic
        self._counting = threading.Lock()  # what is counted of one frame is counted at once
        self._judged = -1  # the last frame (its sequence) that the gate has counted

    def step(self, frame: Frame) -> None:
        """One frame through the model, and its result to the sink if the gate lets it through."""
        if self.capture.openings != self._openings:
            self._reopen(frame)
        held = self._hold_back(frame)
        if held:
            self.held[held] += 1
            return
        result: Result = self.lane.infer(frame)
        if self.scene is not None and isinstance(result, Detections):
            result = self.scene.see(result, frame)
        now = monotonic_ns()
        reason = self._judge(result, frame, now)
        if reason:
            self.sequence += 1
            payload = self._encoder.encode(result, self.sequence, frame.wall_ns, now - frame.monotonic_ns, reason)
            self._sink.publish(f"{self._topic}/result", payload, self.name)
            self._sink.set_retained(f"{self._topic}/state", payload, 3 * self.gate.heartbeat_s)
        if self.scene is not None:
            self._tell(self.scene, frame.wall_ns, now - frame.monotonic_ns)
        if self.desk is not None:  # written before its asker is taken from the queue: where it cannot be, ``fail`` finds them
            answer = self._encoder.answer(result, frame.wall_ns, now - frame.monotonic_ns)
            if (asker := self.desk.asker(frame.sequence)) is not None:
                self.desk.answer(asker, answer)

    def _judge(self, result: Result, frame: Frame, now_ns: int) -> str:
        """The gate's reason to tell it, "" for none; the frame is counted."""
        tenure = self.tenure
        with self._counting:
            reason = self.gate.admit(result, now_ns)
            self.inferred += 1
            self._judged = frame.sequence
        tenure.inferred += 1
        tenure.total_ns.record(now_ns - frame.monotonic_ns)
        if now_ns >= tenure.score_due:
            tenure.score_due = now_ns + _SCORE_GAP_NS
            tenure.scores.add(result.score())
        return reason

    def _hold_back(self, frame: Frame) -> str:
        """Why this frame is not worth the model's time; "" when it is."""
        held = self._attention.hold_back(frame, monotonic_ns())
        if held and self.scene is not None:
            self._tell(self.scene, frame.wall_ns, 0)
        if held == "schedule" and self.desk is not None:
            self.desk.fail(frame.sequence, "outside of the pipeline's schedule")
        return held

    def _reopen(self, frame: Frame) -> None:
        self._openings = self.capture.openings
        if self.scene is not None and self.scene.reopen(frame.monotonic_ns):
            self._tell(self.scene, frame.wall_ns, 0)

    def idle(self) -> None:
        """There is no frame."""
        if self.schedule is not None and self.scene is not None and not self.schedule.active(time_ns()):
            self._leave()

    def _leave(self) -> None:
        if self.scene is not None:
            self.scene.leave()
            self._tell(self.scene, time_ns(), 0)

    def _tell(self, scene: Scene, wall_ns: int, latency_ns: int) -> None:
        """Each event as a result of its own; figures of zones and lines, where they changed, for late-comers too."""
        for event in scene.events:
            self.sequence += 1
            payload = self._encoder.encode(event, self.sequence, wall_ns, latency_ns, event.reason)
            self._sink.publish(f"{self._topic}/result", payload, self.name)
        for topic, document in scene.changed():
            self._sink.set_retained(f"{self._topic}/{topic}", msgspec.json.encode(document))

    def fail(self, error: BaseException, frame: Frame) -> None:
        """Count a frame that the model or a plug-in failed on, or the result of one that the gate has counted already; told to
        the log once for each kind of failure."""
        judged = frame.sequence == self._judged
        if judged:
            self.untold += 1
            self.tenure.inferred -= 1
        else:
            self.failed += 1
        self.tenure.failed += 1
        text = f"{type(error).__name__}: {error}"
        if text != self.last_error:
            self.last_error = text
            log.error("pipeline %s: a %s: %s", self.name, "result was lost" if judged else "frame was skipped", text)
        if self.desk is not None:
            self.desk.fail(frame.sequence, f"the model failed: {text}")

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
        with self._counting:
            inferred, failed, told = self.inferred, self.failed, self.gate.told
            held, suppressed = dict(self.held), self.gate.suppressed()
        captured, overwritten, _ = self.capture.ring.counts()  # after the others: it may count one meanwhile, which then waits
        scene, second = self.scene, self.scene.second if self.scene is not None else None
        return {
            "captured": captured,
            "inferred": inferred,
            "skipped": {"overwritten": overwritten, "failed": failed, **held},
            "waiting": captured - inferred - overwritten - failed - sum(held.values()),
            "published": told,
            "seq": self.sequence,
            "held_back": suppressed,
            "payloads": {"truncated": self._encoder.truncated, "refused": self._encoder.refused, "failed": self.untold},
            "source": {"working": self.capture.working, "paused": self.capture.paused, "failures": self.capture.failures,
                       "error": self.capture.last_error, **self.capture.counts()},
            "schedule": {"active": self.schedule.active(time_ns())} if self.schedule is not None else None,
            "motion": {"share": round(self.motion.share, 4), "moved": self.motion.moved} if self.motion is not None else None,
            "scene": scene.figures() if scene is not None else None,
            "then": second.figures() if second is not None else None,
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
                pipeline.idle()
                continue
            any_frame = True
            try:
                pipeline.step(frame)
            except Exception as error:  # noqa: BLE001  the outermost place of this thread: a plug-in's fault costs one frame
                pipeline.fail(error, frame)
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
