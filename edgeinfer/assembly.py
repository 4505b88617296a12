"""From a configuration to running threads: plans first (checked, nothing opened), then the bill, then the parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgeinfer.capture import Capture
from edgeinfer.config import Config, PipelineConfig
from edgeinfer.errors import BudgetError, ConfigError, EdgeinferError
from edgeinfer.gate import Gate
from edgeinfer.log import log
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle, open_model
from edgeinfer.model.decoders import DECODERS
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import FrameFormat, WindowFormat
from edgeinfer.model.memory import Bill, check_room, machine_bytes
from edgeinfer.model.preprocess import build
from edgeinfer.model.trial import Verdict, trial
from edgeinfer.payload import Encoder
from edgeinfer.pipeline import InferenceThread, Pipeline
from edgeinfer.ring import Bell, FrameRing, slots_for
from edgeinfer.sinks import Sink
from edgeinfer.sliding import frame_source
from edgeinfer.sources import FrameSource

__all__ = ["Assembly", "Plan", "bill_of", "make_plans", "try_models"]


@dataclass(frozen=True)
class Plan:
    """One pipeline, checked against its bundle and its source; nothing is opened yet."""

    name: str
    config: PipelineConfig
    bundle: Bundle
    source: FrameSource
    format: FrameFormat | WindowFormat
    ring_bytes: int
    lane_bytes: int

    @property
    def engine_key(self) -> tuple[str, RuntimeOptions, str]:
        """Pipelines with the same key share one engine; a stateful model has one engine a pipeline."""
        return self.bundle.digest, self.config.runtime, self.name if self.bundle.manifest.state else ""


def make_plans(config: Config) -> list[Plan]:
    """A plan for each pipeline. Raises one error that lists the faults of all of them."""
    plans: list[Plan] = []
    errors: list[EdgeinferError] = []
    for name in config.pipelines:
        try:
            plans.append(_plan(config, name))
        except EdgeinferError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ConfigError.of([fault for error in errors for fault in error.faults])
    return plans


def _plan(config: Config, name: str) -> Plan:
    where = f"pipelines.{name}"
    pipeline = config.pipelines[name]
    bundle = open_model(config.bundle_path(name), config.state_folder / "unpacked")
    source = frame_source(config.sources[name].make(), bundle.manifest.preprocess, f"{where}.source")
    format = source.format()
    manifest = bundle.manifest
    ring_bytes = slots_for(format, not source.live) * format.nbytes
    check_room(f"{where}.source", "frames", ring_bytes)
    preprocess = build(manifest.preprocess, manifest.inputs[0], format)
    decoder = DECODERS.load(manifest.decoder.name, f"{where}: decoder.name")(
        manifest.decoder.parameters, manifest.outputs, bundle.labels, manifest.inputs, pipeline.threshold)
    return Plan(name, pipeline, bundle, source, format, ring_bytes, preprocess.nbytes + decoder.nbytes)


def try_models(config: Config, plans: list[Plan]) -> dict[str, Verdict]:
    """The verdict on each pipeline's model: loaded for the first time in a child process that a malformed one may kill."""
    verdicts: dict[tuple[str, RuntimeOptions], Verdict] = {}
    for plan in plans:
        key = plan.bundle.digest, plan.config.runtime
        if key not in verdicts:
            verdicts[key] = trial(plan.bundle, plan.config.runtime, config.state_folder / "trials")
    return {plan.name: verdicts[plan.bundle.digest, plan.config.runtime] for plan in plans}


def bill_of(config: Config, plans: list[Plan], verdicts: dict[str, Verdict], resident: int) -> Bill:
    """What everything will hold. ``resident`` is the PSS (bytes) of the interpreter and its libraries as they are now.

    Raises BudgetError when it exceeds the configuration's budget, or what the machine has.
    """
    bill = Bill()
    bill.add("process", "Python, libraries", resident, measured=True)
    seen = set()
    for plan in plans:
        slots = plan.ring_bytes // plan.format.nbytes
        bill.add(plan.name, f"ring, {slots} slots of {plan.format.nbytes} bytes", plan.ring_bytes)
        bill.add(plan.name, "preprocess and decoder", plan.lane_bytes)
        if plan.engine_key not in seen:
            seen.add(plan.engine_key)
            growth = verdicts[plan.name].memory_bytes
            bill.add(plan.bundle.manifest.name, "model and runtime", growth, measured=True)
    bill.add("outbox", "staged results and SQLite's cache", config.outbox.memory_bytes)
    budget = int(config.memory.budget_mb * 1e6) or machine_bytes()
    if bill.total > budget:
        raise BudgetError("memory.budget_mb", f"a bill within {budget / 1e6:.1f} MB", f"{bill.total / 1e6:.1f} MB",
                          "edgeinfer check CONFIG prints the bill; a smaller frame or fewer pipelines shrink it")
    return bill


class Assembly:
    """All pipelines of one configuration, with their engines and threads."""

    def __init__(self, config: Config, plans: list[Plan], sink: Sink, boot: str, sequences: dict[str, int]) -> None:
        """Loads the models and allocates everything. ``sequences`` are the last ones used, by pipeline."""
        self.pipelines: list[Pipeline] = []
        self.engines: dict[tuple[str, RuntimeOptions, str], Engine] = {}
        self.threads: list[InferenceThread] = []
        by_engine: dict[tuple[str, RuntimeOptions, str], list[Plan]] = {}
        for plan in plans:
            by_engine.setdefault(plan.engine_key, []).append(plan)
        for key, sharing in by_engine.items():
            engine = self.engines[key] = Engine(sharing[0].bundle, sharing[0].config.runtime)
            _tell(engine)
            bell = Bell()
            made = [self._pipeline(config, plan, engine, bell, sink, boot) for plan in sharing]
            for pipeline in made:
                pipeline.sequence = sequences.get(pipeline.name, 0)
            self.threads.append(InferenceThread(engine.bundle.manifest.name, made, bell))
            self.pipelines.extend(made)

    @staticmethod
    def _pipeline(config: Config, plan: Plan, engine: Engine, bell: Bell, sink: Sink, boot: str) -> Pipeline:
        manifest = plan.bundle.manifest
        ring = FrameRing(plan.format, bell, lossless=not plan.source.live)
        encoder = Encoder(config.node, plan.name, f"{manifest.name}:{manifest.version}", manifest.task, boot)
        return Pipeline(plan.name, Capture(plan.name, plan.source, ring), engine.lane(plan.format, plan.config.threshold),
                        Gate(plan.config.gate), encoder, sink, f"edgeinfer/{config.node}/{plan.name}")

    def start(self) -> None:
        for thread in self.threads:
            thread.start()
        for pipeline in self.pipelines:
            pipeline.capture.start()

    @property
    def finished(self) -> bool:
        """Every source's stream is over and every frame inferred; never while a camera is among them."""
        return all(thread.finished.is_set() for thread in self.threads)

    @property
    def progress(self) -> tuple[int, ...]:
        """One figure for each inference thread that still works; each moves at least once a second unless it hangs."""
        return tuple(thread.progress for thread in self.threads if not thread.finished.is_set())

    def sequences(self) -> dict[str, int]:
        return {pipeline.name: pipeline.sequence for pipeline in self.pipelines}

    def models(self) -> dict[str, dict[str, Any]]:
        """For health, by pipeline: its model, what that really runs on, and why it is not what was wished for."""
        return {pipeline.name: {"model": f"{bundle.manifest.name}:{bundle.manifest.version}", "signed": bundle.signed,
                                "runs_on": session.runs_on, "fallbacks": list(session.fallbacks)}
                for pipeline in self.pipelines
                for bundle, session in [(pipeline.lane.engine.bundle, pipeline.lane.engine.session)]}

    def stop(self, timeout_s: float = 5.0) -> bool:
        """End captures, then the inference of what was captured. False when a thread hangs in a driver or a model."""
        for pipeline in self.pipelines:
            pipeline.capture.stop()
        for thread in self.threads:
            thread.stop()
        ended = True
        for thread in self.threads:
            ended &= thread.join(timeout_s)
        for pipeline in self.pipelines:
            ended &= pipeline.capture.join(timeout_s)
        if ended:
            for engine in self.engines.values():
                engine.close()
        return ended


def _tell(engine: Engine) -> None:
    log.info("model %s %s runs on %s", engine.bundle.manifest.name, engine.bundle.manifest.version, engine.session.runs_on)
    for reason in engine.session.fallbacks:
        log.warning("model %s: not as configured: %s", engine.bundle.manifest.name, reason)

