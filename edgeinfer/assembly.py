"""Running threads from plans: each engine with its pipelines, and how an engine is exchanged while they run."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from edgeinfer.capture import Capture
from edgeinfer.composition import compose
from edgeinfer.config import Config
from edgeinfer.errors import ConfigError, EdgeinferError, ModelError
from edgeinfer.gate import Gate
from edgeinfer.log import log
from edgeinfer.model.engine import Engine, Lane
from edgeinfer.model.frame import Frame
from edgeinfer.payload import Encoder
from edgeinfer.pipeline import Exchange, InferenceThread, Pipeline, Tenure
from edgeinfer.plan import EngineKey, Plan
from edgeinfer.requests import Desk
from edgeinfer.ring import Bell, FrameRing
from edgeinfer.sinks import Sink

__all__ = ["Assembly", "Group", "Replacement"]

_NONE: Mapping[str, int] = MappingProxyType({})


class Replacement:
    """An engine and its lanes, made and warmed up beside the one whose place it shall take."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        """Loads the model; any thread. Raises EdgeinferErrors, and ModelError for whatever else a plug-in raises."""
        first = plans[0].bundle.manifest
        try:
            self.plans = tuple(plans)
            self.engine = Engine(plans[0].bundle, plans[0].config.runtime)
            self.lanes = tuple(self.engine.lane(plan.format, plan.threshold) for plan in plans)
            self.tenures = tuple(Tenure() for _ in plans)
            for plan, lane in zip(plans, self.lanes, strict=True):
                lane.warm_up(Frame(plan.format))
        except EdgeinferError:
            raise
        except Exception as error:
            raise ModelError(first.name, "a model that runs", f"{type(error).__name__}: {error}") from error


class Group:
    """One engine, the pipelines that share it, and their inference thread."""

    def __init__(self, plans: Sequence[Plan], engine: Engine, pipelines: Sequence[Pipeline], bell: Bell,
                 seconds: Sequence[Engine] = ()) -> None:
        self.plans = tuple(plans)
        self.engine = engine
        self.seconds = tuple(seconds)  # of the second models of its pipelines
        self.pipelines = tuple(pipelines)
        self.thread = InferenceThread(engine.bundle.manifest.name, pipelines, bell)

    def replace(self, replacement: Replacement) -> bool:
        """Go on with another engine from the next frame on, and close the old one. False when the thread hangs in it."""
        manifest = replacement.engine.bundle.manifest
        exchanges = [Exchange(pipeline, lane, tenure, f"{manifest.name}:{manifest.version}", manifest.task) for
                     pipeline, lane, tenure in zip(self.pipelines, replacement.lanes, replacement.tenures, strict=True)]
        if not self.thread.exchange(exchanges):
            return False
        old, self.engine, self.plans = self.engine, replacement.engine, replacement.plans
        old.close()
        _tell(self.engine)
        return True

    def set_threshold(self, pipeline: Pipeline, threshold: float) -> bool:
        """Go on with another threshold from the next frame on. Raises ConfigError for one below the bundle's."""
        plan = self.plans[self.pipelines.index(pipeline)]
        lane: Lane = self.engine.lane(plan.format, threshold)
        lane.go_on_from(pipeline.lane)
        return self.thread.exchange([Exchange(pipeline, lane)])

    def set_thresholds(self, thresholds: Mapping[str, float]) -> None:
        """Those of this group's pipelines, by name, where they are not in force; one that the bundle does not allow is left."""
        for pipeline in self.pipelines:
            threshold = thresholds.get(pipeline.name, pipeline.lane.threshold)
            if threshold is not None and threshold != pipeline.lane.threshold:
                with suppress(ConfigError):
                    self.set_threshold(pipeline, threshold)


class Assembly:
    """All pipelines of one configuration, with their engines and threads. The main thread."""

    def __init__(self, config: Config, plans: Sequence[Plan], sink: Sink, boot: str, sequences: Mapping[str, int],
                 identities: Mapping[str, int] = _NONE) -> None:
        """Loads the models and allocates everything. ``sequences`` and ``identities`` are the last ones used, by pipeline."""
        self.groups: list[Group] = []
        self.pipelines: list[Pipeline] = []
        by_engine: dict[EngineKey, list[Plan]] = {}
        for plan in plans:
            by_engine.setdefault(plan.engine_key, []).append(plan)
        for sharing in by_engine.values():
            engine = Engine(sharing[0].bundle, sharing[0].config.runtime)
            _tell(engine)
            bell = Bell()
            seconds = _seconds(sharing)
            made = [self._pipeline(config, plan, engine, bell, sink, boot, seconds, identities.get(plan.name, 0))
                    for plan in sharing]
            for pipeline in made:
                pipeline.sequence = sequences.get(pipeline.name, 0)
            self.groups.append(Group(sharing, engine, made, bell, tuple(seconds.values())))
            self.pipelines.extend(made)

    @staticmethod
    def _pipeline(config: Config, plan: Plan, engine: Engine, bell: Bell, sink: Sink, boot: str,
                  seconds: Mapping[Hashable, Engine], identities: int) -> Pipeline:
        manifest = plan.bundle.manifest
        ring = FrameRing(plan.format, bell, lossless=not plan.source.live)
        encoder = Encoder(config.node, plan.name, f"{manifest.name}:{manifest.version}", manifest.task, boot)
        then = plan.composition.then
        schedule, motion, scene = compose(plan.config, plan.composition, plan.format,
                                          seconds[then.engine_key] if then is not None else None, identities)
        pipeline = Pipeline(plan.name, Capture(plan.name, plan.source, ring), engine.lane(plan.format, plan.threshold),
                            Gate(plan.config.gate), encoder, sink, f"edgeinfer/{config.node}/{plan.name}",
                            schedule=schedule, motion=motion, scene=scene)
        pipeline.desk = getattr(plan.source, "desk", None)
        if pipeline.desk is not None:
            pipeline.desk.attach(f"edgeinfer/{config.node}", plan.name, sink.send)
        return pipeline

    @property
    def lanes(self) -> dict[str, Lane]:
        """As they run now, by pipeline; of a second model by ``<pipeline>.then``."""
        lanes = {pipeline.name: pipeline.lane for pipeline in self.pipelines}
        for pipeline in self.pipelines:
            if pipeline.scene is not None and (second := pipeline.scene.second) is not None:
                lanes[f"{pipeline.name}.then"] = second.lane
        return lanes

    @property
    def desks(self) -> list[Desk]:
        """Where requests come, of the pipelines whose source they are."""
        return [pipeline.desk for pipeline in self.pipelines if pipeline.desk is not None]

    def start(self) -> None:
        for group in self.groups:
            group.thread.start()
        for pipeline in self.pipelines:
            pipeline.capture.start()

    @property
    def finished(self) -> bool:
        """Every source's stream is over and every frame inferred; never while a camera is among them."""
        return all(group.thread.finished.is_set() for group in self.groups)

    @property
    def died(self) -> str:
        """Of what an inference thread died; "" while none did."""
        return next((group.thread.died for group in self.groups if group.thread.died), "")

    @property
    def progress(self) -> tuple[int, ...]:
        """One figure for each inference thread that still works; each moves at least once a second unless it hangs."""
        return tuple(group.thread.progress for group in self.groups if not group.thread.finished.is_set())

    @property
    def plans(self) -> list[Plan]:
        """As they run now."""
        return [plan for group in self.groups for plan in group.plans]

    def keep_schedules(self, wall_ns: int) -> None:
        """Close the sources of pipelines whose schedule says so, and open them again. ``wall_ns``: CLOCK_REALTIME."""
        for pipeline in self.pipelines:
            if pipeline.schedule is not None and pipeline.schedule.close:
                pipeline.capture.rest(not pipeline.schedule.active(wall_ns))

    def identities(self) -> dict[str, int]:
        return {pipeline.name: scene.tracker.begun for pipeline in self.pipelines
                if (scene := pipeline.scene) is not None and scene.tracker is not None}

    def sequences(self) -> dict[str, int]:
        return {pipeline.name: pipeline.sequence for pipeline in self.pipelines}

    def found(self, name: str) -> tuple[Group, Pipeline, Plan]:
        """One pipeline. Raises KeyError."""
        for group in self.groups:
            for pipeline, plan in zip(group.pipelines, group.plans, strict=True):
                if pipeline.name == name:
                    return group, pipeline, plan
        raise KeyError(name)

    def models(self) -> dict[str, dict[str, Any]]:
        """For health, by pipeline: its model, what that really runs on, and why it is not what was wished for."""
        return {pipeline.name: {"model": f"{bundle.manifest.name}:{bundle.manifest.version}", "signed": bundle.signed,
                                "sequence": bundle.manifest.sequence, "runs_on": session.runs_on,
                                "fallbacks": list(session.fallbacks)}
                for pipeline in self.pipelines
                for bundle, session in [(pipeline.lane.engine.bundle, pipeline.lane.engine.session)]}

    def stop(self, timeout_s: float = 5.0) -> bool:
        """End captures, then the inference of what was captured. False when a thread hangs in a driver or a model."""
        for pipeline in self.pipelines:
            pipeline.capture.stop()
        for group in self.groups:
            group.thread.stop()
        ended = True
        for group in self.groups:
            ended &= group.thread.join(timeout_s)
        for pipeline in self.pipelines:
            ended &= pipeline.capture.join(timeout_s)
        if ended:
            for group in self.groups:
                group.engine.close()
                for second in group.seconds:
                    second.close()
        return ended


def _seconds(plans: Sequence[Plan]) -> dict[Hashable, Engine]:
    """The second models of pipelines that share an inference thread, each loaded once."""
    engines: dict[Hashable, Engine] = {}
    for then in (plan.composition.then for plan in plans):
        if then is not None and then.engine_key not in engines:
            engines[then.engine_key] = Engine(then.bundle, then.options.runtime)
            _tell(engines[then.engine_key])
    return engines


def _tell(engine: Engine) -> None:
    log.info("model %s %s runs on %s", engine.bundle.manifest.name, engine.bundle.manifest.version, engine.session.runs_on)
    for reason in engine.session.fallbacks:
        log.warning("model %s: not as configured: %s", engine.bundle.manifest.name, reason)
