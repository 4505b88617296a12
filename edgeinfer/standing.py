"""What is retained of each pipeline beside its results: whether its source delivers, what was set, which model runs.

    edgeinfer/<node>/<pipeline>/availability   online, offline: the source delivers; a pipeline that was switched off, or rests by
                                               its schedule, keeps what it was: nothing is broken, and its switch must stay usable
    edgeinfer/<node>/<pipeline>/enabled        ON, OFF
    edgeinfer/<node>/<pipeline>/threshold      the threshold in force; not there for a decoder without one
    edgeinfer/<node>/<pipeline>/model          {"installed_version", "latest_version", "in_progress"}

Home Assistant's availability has two values only, and "offline" makes every entity of the pipeline unavailable, its switch
too: so "offline" is for faults alone, and automations on "unavailable" do not fire when somebody switches a camera off.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import msgspec

from edgeinfer.assembly import Assembly
from edgeinfer.errors import DataError
from edgeinfer.log import log
from edgeinfer.model.bundle import read
from edgeinfer.pipeline import Pipeline
from edgeinfer.plan import Plan
from edgeinfer.sinks import Sink
from edgeinfer.store import Store
from edgeinfer.update import Updates

__all__ = ["Standing", "threshold_of"]

_BY_ITSELF = b""  # told by the pipeline at once; here it is only known, so that it is removed with the pipeline
_VERSIONS = 64  # of bundles that wait
_OPENING_S = 5.0  # a camera that is opened anew after a reload, and has not failed, is not told as offline


class Standing:
    """Publishes what changed, each time ``publish`` is called. The main thread."""

    def __init__(self) -> None:
        self._told: dict[str, bytes] = {}
        self._delivered_s: dict[str, float] = {}  # CLOCK_MONOTONIC
        self._sink: Sink | None = None
        self._versions: dict[Path, str] = {}

    def publish(self, node: str, assembly: Assembly, updates: Updates, store: Store, sink: Sink) -> None:
        """Tell what is not as it was told last; what belongs to no pipeline any more is removed."""
        if sink is not self._sink:  # after a reload: another broker, which was told nothing
            self._sink, self._told = sink, {}
        wanted: dict[str, bytes] = {}
        for group in assembly.groups:
            for pipeline, plan in zip(group.pipelines, group.plans, strict=True):
                topic = f"edgeinfer/{node}/{pipeline.name}"
                wanted[f"{topic}/availability"] = self._availability(pipeline, f"{topic}/availability")
                wanted[f"{topic}/enabled"] = b"OFF" if pipeline.capture.paused else b"ON"
                threshold = threshold_of(pipeline, plan)
                if threshold is not None:  # all digits: rounded it may be below the least one allowed
                    wanted[f"{topic}/threshold"] = str(threshold).removesuffix(".0").encode()
                wanted[f"{topic}/model"] = self._model(plan, updates, store)
                if pipeline.scene is not None:
                    wanted |= {f"{topic}/{place}": _BY_ITSELF for place in pipeline.scene.topics}
        for topic in self._told.keys() - wanted.keys():
            sink.set_retained(topic, b"")
            if topic.endswith("/availability"):
                sink.set_retained(f"{topic.removesuffix('/availability')}/state", b"")
        for topic, payload in wanted.items():
            if payload and self._told.get(topic) != payload:
                sink.set_retained(topic, payload)
        self._told = wanted

    def _availability(self, pipeline: Pipeline, topic: str) -> bytes:
        capture, now_s = pipeline.capture, time.monotonic()
        if capture.working:
            self._delivered_s[topic] = now_s
            return b"online"
        if capture.paused or capture.rests or (capture.ended.is_set() and not capture.last_error):
            return self._told.get(topic, b"online")
        opening = not capture.last_error and now_s - self._delivered_s.get(topic, -math.inf) < _OPENING_S
        return b"online" if opening else b"offline"

    def _model(self, plan: Plan, updates: Updates, store: Store) -> bytes:
        installed = plan.bundle.manifest.version
        candidate = store.candidate(plan.config.model) if plan.config.model else None
        waits = self._version(candidate) if candidate is not None else ""
        return msgspec.json.encode({"installed_version": installed, "latest_version": waits or installed,
                                    "in_progress": updates.in_progress(plan.config.model)})

    def _version(self, folder: Path) -> str:
        """Of a bundle in the store, which never changes; read once. "" for one that cannot be read: it is not offered, and what
        runs goes on."""
        if folder not in self._versions:
            try:
                version = read(folder, verify=False).manifest.version
            except (DataError, OSError) as error:
                log.warning("the bundle that waits cannot be read, and is not offered: %s", error)
                version = ""
            self._versions = {**self._versions, folder: version} if len(self._versions) < _VERSIONS else {folder: version}
        return self._versions[folder]


def threshold_of(pipeline: Pipeline, plan: Plan) -> float | None:
    """The threshold in force; None where the decoder has none."""
    return pipeline.lane.threshold if pipeline.lane.threshold is not None else plan.own_threshold
