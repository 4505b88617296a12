"""Home Assistant device discovery: one document that says which entities this device has. Pure functions of plain facts.

The format is Home Assistant's (MQTT integration, "device discovery", since 2024.12). What appears for which task, and why, is
told in docs/home-assistant.md; the topics that the entities read, in docs/topics-and-payloads.md.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from edgeinfer.gate import GateOptions
from edgeinfer.scene.events import REASONS

__all__ = ["TASKS", "Described", "Device", "DiscoveryOptions", "config_topic", "document"]

_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,3}")
_MOST_LABELS = 16

#: What a decoder tells, by its name. A decoder that is not here is of an unknown task: when it last told something is shown.
TASKS = {
    **dict.fromkeys(("ssd", "yolo", "grid", "end_to_end", "detr", "instances", "pose", "landmarks"), "detection"),
    "classify": "classification", "segment": "segmentation", "embed": "identity", "ctc": "text", "anomaly": "anomaly",
    "regress": "regression",
}

# Jinja of Home Assistant
_EVENT = ("{{% if not value_json.replayed | default(false) and value_json.reason in {types} %}}"
          "{{{{ {{'event_type': value_json.reason, 'id': value_json.id, 'ts': value_json.ts{more}}} | tojson }}}}{{% endif %}}")
_BOXES = ("{% set found = value_json.result.detections | default([]) %}{{ {'boxes': found | map(attribute='box') | list, "
          "'labels': found | map(attribute='label') | list} | tojson }}")
_EVENT_TYPES = ["change", "off", "score", "frame"]  # the gate's reasons, but for the heartbeat
_HAPPENED = ", ".join(f"'{key}': value_json.result.event.{key} | default(none)" for key in (
    "zone", "line", "direction", "track", "label", "count", "seconds"))


class DiscoveryOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Off unless the configuration says otherwise."""

    enabled: bool = False
    prefix: str = "homeassistant"  # the discovery prefix of Home Assistant's MQTT integration
    name: str = ""  # of the device as people see it; empty: the node's
    area: str = ""  # where Home Assistant suggests to put it
    labels: tuple[str, ...] = ()  # that get entities of their own: occupancy and count of detections, area of segmentations

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError(f"expected prefix of letters, digits, - and _ (levels parted by /), got {self.prefix[:80]!r}")
        if len(self.name) > 64 or len(self.area) > 64:
            raise ValueError("expected name and area of at most 64 characters, got more")
        if len(self.labels) > _MOST_LABELS or any(len(label) > 64 for label in self.labels):
            raise ValueError(f"expected at most {_MOST_LABELS} labels of at most 64 characters, got more")


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of the daemon and its board."""

    node: str
    version: str  # of edgeinfer
    hardware: str = ""  # the board's name
    health_s: float = 30.0  # between two health documents
    temperature: bool = True  # the board tells one
    commands: bool = False  # remote commands are accepted


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of one pipeline. ``threshold`` is the bundle's own, the least that applies; None: its decoder has none."""

    name: str
    task: str = ""  # one of TASKS' values, or any other
    labels: tuple[str, ...] = ()
    threshold: float | None = None
    model: str = ""
    values: tuple[str, ...] = ()  # of a regression
    installed: bool = False  # a model of this device's store: it can be updated
    gate: GateOptions = GateOptions()
    zones: tuple[str, ...] = ()  # that count
    lines: tuple[str, ...] = ()

    @property
    def most(self) -> float:
        """The largest threshold that makes sense: 1 for a score; an anomaly is in the model's own unit."""
        return max(10 * (self.threshold or 0.0), 1.0) if self.task == "anomaly" else 1.0


def config_topic(options: DiscoveryOptions, node: str) -> str:
    """Where the document belongs, retained. An empty payload there removes the device."""
    return f"{options.prefix}/device/{node}/config"


def document(options: DiscoveryOptions, device: Device, pipelines: Sequence[Described],
             gone: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The discovery payload. ``gone``: components that were announced before and are to be removed, to their platform."""
    root = f"edgeinfer/{device.node}"
    components = _of_device(device, root)
    for pipeline in pipelines:
        components |= _of_pipeline(options, device, pipeline, f"{root}/{pipeline.name}")
    components |= {key: {"platform": platform} for key, platform in (gone or {}).items() if key not in components}
    about = {"identifiers": [f"edgeinfer_{device.node}"], "name": options.name or device.node, "manufacturer": "edgeinfer",
             "model": device.hardware or "edge device", "sw_version": device.version}
    if options.area:
        about["suggested_area"] = options.area
    return {"device": about, "origin": {"name": "edgeinfer", "sw_version": device.version}, "components": components}


def _of_device(device: Device, root: str) -> dict[str, Any]:
    """Figures of the daemon. They come with each health document, and without one for three times as long they are stale."""
    add = _Components(device.node, "", [f"{root}/status"])
    health = {"state_topic": f"{root}/health", "expire_after": math.ceil(max(3 * device.health_s, 10)),
              "entity_category": "diagnostic"}
    measured = {**health, "state_class": "measurement"}
    counted = {**health, "state_class": "total_increasing"}
    if device.temperature:
        add("sensor", "temperature", measured, "{{ value_json.process.temperature_c }}", device_class="temperature",
            unit_of_measurement="°C")
    add("sensor", "memory", measured, "{{ (value_json.process.pss_bytes / 1e6) | round(1) }}", device_class="data_size",
        unit_of_measurement="MB")
    add("sensor", "waiting results", measured, "{{ value_json.sink.outbox.queued }}")
    add("sensor", "dropped results", counted, "{{ value_json.sink.outbox.dropped.values() | sum }}")
    add("sensor", "reconnects", counted, "{{ value_json.sink.reconnects | default(0) }}")
    return add.made | {"connection": {  # shows that the daemon is gone, so its own availability must not hide it
        "platform": "binary_sensor", "unique_id": f"edgeinfer.{device.node}.connection", "name": "connection", "qos": 1,
        "device_class": "connectivity", "entity_category": "diagnostic", "state_topic": f"{root}/status",
        "payload_on": "online", "payload_off": "offline"}}


def _of_pipeline(options: DiscoveryOptions, device: Device, pipeline: Described, topic: str) -> dict[str, Any]:
    root = f"edgeinfer/{device.node}"
    add = _Components(device.node, pipeline.name, [f"{root}/status", f"{topic}/availability"])
    state: dict[str, Any] = {"state_topic": f"{topic}/state"}
    if pipeline.gate.heartbeat_s:
        state["expire_after"] = math.ceil(3 * pipeline.gate.heartbeat_s)
    told = {"detection": _detection, "classification": _classification, "segmentation": _segmentation, "identity": _identity,
            "text": _text, "anomaly": _anomaly, "regression": _regression}
    told.get(pipeline.task, _unknown)(add, state, pipeline)
    of_label = {"detection": _label, "segmentation": _area}.get(pipeline.task)
    if of_label is not None:
        for label in options.labels:
            if label in pipeline.labels:
                of_label(add, state, pipeline, label)
    _scene(add, pipeline, topic)
    health = _Components(device.node, pipeline.name, [f"{root}/status"])  # these are told while the camera is away, too
    _diagnostics(health, device, pipeline, root)
    _controls(health, device, pipeline, topic, f"{root}/command/{pipeline.name}")
    return add.made | health.made


def _detection(add: _Components, state: dict[str, Any], pipeline: Described) -> None:
    on = _on(pipeline.gate, "detections")
    add("binary_sensor", "occupancy", {**state, **_off_delay(pipeline.gate)},
        f"{{{{ 'ON' if {on} and value_json.result.count | default(0) else 'OFF' }}}}", device_class="occupancy",
        json_attributes_topic=state["state_topic"], json_attributes_template=_BOXES)
    add("sensor", "count", state, f"{{{{ value_json.result.count | default(0) if {on} else 0 }}}}", state_class="measurement")
    _best(add, state, _first("detections"), on)
    _event(add, pipeline, f", 'count': value_json.result.count | default(0), {_told('detections')}")


def _label(add: _Components, state: dict[str, Any], pipeline: Described, label: str) -> None:
    rows = f"value_json.result.detections | default([]) | selectattr('label', 'eq', {_quoted(label)})"
    count = f"({rows} | list | count if {_on(pipeline.gate, 'detections')} else 0)"
    add("binary_sensor", f"{label} occupancy", {**state, **_off_delay(pipeline.gate)},
        f"{{{{ 'ON' if {count} else 'OFF' }}}}", device_class="occupancy",
        key=f"label.{quote(label, safe='')}.occupancy")
    add("sensor", f"{label} count", state, f"{{{{ {count} }}}}", state_class="measurement",
        key=f"label.{quote(label, safe='')}.count")


def _quoted(text: str) -> str:
    """As a literal of Jinja, which holds none of its delimiters."""
    return re.sub(r"[{}%#]", lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False))


def _classification(add: _Components, state: dict[str, Any], pipeline: Described) -> None:
    _best(add, state, _first("classes"), _on(pipeline.gate, "classes"))
    _event(add, pipeline, f", {_told('classes')}")


def _segmentation(add: _Components, state: dict[str, Any], pipeline: Described) -> None:
    """What covers most of the frame, and how much of it."""
    on, first = _on(pipeline.gate, "areas", "area"), _first("areas")
    add("sensor", "class", state, f"{{{{ ({first}.label | default('none') | string)[:255] if {on} else 'none' }}}}")
    add("sensor", "area", state, f"{{{{ (({first}.area | default(0, true)) * 100) | round(2) if {on} else 0 }}}}",
        state_class="measurement", unit_of_measurement="%")
    _event(add, pipeline, f", 'label': {first}.label | default(none), 'area': {first}.area | default(none)")


def _area(add: _Components, state: dict[str, Any], pipeline: Described, label: str) -> None:
    rows = f"value_json.result.areas | default([]) | selectattr('label', 'eq', {_quoted(label)}) | map(attribute='area')"
    area = f"(({rows} | sum) * 100) | round(2) if {_on(pipeline.gate, 'areas', 'area')} else 0"
    add("sensor", f"{label} area", state, f"{{{{ {area} }}}}", state_class="measurement", unit_of_measurement="%",
        key=f"label.{quote(label, safe='')}.area")


def _identity(add: _Components, state: dict[str, Any], pipeline: Described) -> None:
    name = "value_json.result.name | default('unknown')"  # "unknown" is the decoder's word, and Home Assistant's
    add("sensor", "name", state, f"{{{{ {name} if value_json.reason != 'off' else 'none' }}}}")
    add("sensor", "similarity", state, "{{ value_json.result.similarity | default(0) }}", state_class="measurement")
    _event(add, pipeline, f", 'name': {name}, 'known': value_json.result.known | default(false)")


def _text(add: _Components, state: dict[str, Any], pipeline: Described) -> None:
    text = "value_json.result.text | default('')"
    add("sensor", "text", state, f"{{{{ ({text} | string)[:255] if value_json.reason != 'off' else '' }}}}")
    add("sensor", "score", state, "{{ ((value_json.result.score | default(0)) * 100) | round(1) }}", state_class="measurement",
        unit_of_measurement="%", suggested_display_precision=0)
    _event(add, pipeline, f", 'text': {text}, 'score': value_json.result.score | default(0)")


def _anomaly(add: _Components, state: dict[str, Any], pipeline: Described) -> None:
    add("binary_sensor", "problem", {**state, **_off_delay(pipeline.gate)},
        "{{ 'ON' if value_json.result.anomalous else 'OFF' }}", device_class="problem")
    add("sensor", "score", state, "{{ value_json.result.score }}", state_class="measurement")


def _regression(add: _Components, state: dict[str, Any], pipeline: Described) -> None:
    for name in pipeline.values:
        add("sensor", name, state, f"{{{{ value_json.result['values'][{_quoted(name)}] }}}}", state_class="measurement",
            key=f"value.{quote(name, safe='')}")


def _unknown(add: _Components, state: dict[str, Any], pipeline: Described) -> None:
    add("sensor", "last result", state, "{{ value_json.ts }}", device_class="timestamp")


def _first(rows: str) -> str:
    """The best row, or an empty one; also of a result that was cut to nothing."""
    return f"(value_json.result.{rows} | default([]) | first | default({{}}))"


def _told(rows: str) -> str:
    """Label and score of the best row, for an event."""
    return f"'label': {_first(rows)}.label | default(none), 'score': {_first(rows)}.score | default(none)"


def _on(gate: GateOptions, rows: str, measure: str = "score") -> str:
    """Whether the gate is on: where it is off, the frame at hand shows nothing that counts. A heartbeat does not say."""
    if gate.min_score is None:
        return "true"
    least = gate.min_score if gate.release is None else gate.release
    score = f"({_first(rows)}.{measure} | default(0, true))"
    return f"(value_json.reason != 'off' and (value_json.reason != 'heartbeat' or {score} >= {least}))"


def _best(add: _Components, state: dict[str, Any], first: str, on: str) -> None:
    """The best row: its label (at most what a state holds) and its score."""
    add("sensor", "class", state, f"{{{{ ({first}.label | default('none') | string)[:255] if {on} else 'none' }}}}")
    add("sensor", "score", state, f"{{{{ (({first}.score | default(0, true)) * 100) | round(1) if {on} else 0 }}}}",
        state_class="measurement", unit_of_measurement="%", suggested_display_precision=0)


def _event(add: _Components, pipeline: Described, more: str) -> None:
    """Fed from results, never retained. Without a gate each frame is one: too many to be switched on unasked."""
    gated = pipeline.gate.on_change or pipeline.gate.min_score is not None
    add("event", "result", {"state_topic": f"{add.topic}/result"}, _EVENT.format(types=_EVENT_TYPES, more=more),
        event_types=_EVENT_TYPES, enabled_by_default=gated)


def _scene(add: _Components, pipeline: Described, topic: str) -> None:
    """Zones and lines: what stands there now is retained at topics of their own; what happens is told once."""
    for zone in pipeline.zones:
        state = {"state_topic": f"{topic}/zone/{zone}"}
        add("binary_sensor", f"{zone} occupied", state, "{{ 'ON' if value_json.occupied else 'OFF' }}", device_class="occupancy",
            key=f"zone.{zone}.occupied")
        add("sensor", f"{zone} count", state, "{{ value_json.count }}", state_class="measurement", key=f"zone.{zone}.count")
    for line in pipeline.lines:
        for way in ("in", "out"):
            add("sensor", f"{line} {way}", {"state_topic": f"{topic}/line/{line}"}, f"{{{{ value_json['{way}'] }}}}",
                state_class="total_increasing", key=f"line.{line}.{way}")
    if pipeline.zones or pipeline.lines:
        add("event", "scene", {"state_topic": f"{topic}/result"}, _EVENT.format(types=list(REASONS), more=f", {_HAPPENED}"),
            event_types=list(REASONS))


def _off_delay(gate: GateOptions) -> dict[str, Any]:
    """A gate that tells only what is above its minimum never tells that it is over."""
    tells_off = gate.on_change or gate.min_score is None
    return {} if tells_off else {"off_delay": math.ceil(max(3 * gate.min_interval_s, 5))}


def _diagnostics(add: _Components, device: Device, pipeline: Described, root: str) -> None:
    health = {"state_topic": f"{root}/health", "expire_after": math.ceil(max(3 * device.health_s, 10)),
              "entity_category": "diagnostic"}
    figures = f"value_json.pipelines['{pipeline.name}']"
    chatty = {**health, "state_class": "measurement", "enabled_by_default": False}
    for share in ("p50", "p95"):
        add("sensor", f"latency {share}", chatty, f"{{{{ {figures}.latency_ms.total.{share} }}}}", device_class="duration",
            unit_of_measurement="ms")
    add("sensor", "rate", chatty, f"{{{{ {figures}.rate }}}}", unit_of_measurement="1/s")
    add("sensor", "model", health, f"{{{{ value_json.models['{pipeline.name}'].model }}}}")


def _controls(add: _Components, device: Device, pipeline: Described, topic: str, command: str) -> None:
    """What acts is announced only where commands are accepted; the model's version is shown in any case."""
    acts = device.commands
    install = {"command_topic": f"{command}/update", "payload_install": "install"} if acts and pipeline.installed else {}
    add("update", "model", {"state_topic": f"{topic}/model", **install}, "", key="update",
        entity_category="config" if install else "diagnostic", title=pipeline.model[:128] or "model")
    if not acts:
        return
    add("switch", "enabled", {"state_topic": f"{topic}/enabled", "command_topic": f"{command}/enabled"}, "")
    least, most = pipeline.threshold, pipeline.most
    if least is not None and least < most:
        add("number", "threshold", {"state_topic": f"{topic}/threshold", "command_topic": f"{command}/threshold"}, "",
            entity_category="config", min=least, max=most, step=0.01 if most == 1.0 else 0.001, mode="box")


class _Components:
    """Collects components of one pipeline, or of the device itself (an empty name)."""

    def __init__(self, node: str, pipeline: str, availability: list[str]) -> None:
        self.made: dict[str, Any] = {}
        self.topic = f"edgeinfer/{node}/{pipeline}"
        self._node, self._pipeline, self._availability = node, pipeline, availability

    def __call__(self, platform: str, name: str, topics: Mapping[str, Any], template: str, *, key: str = "",
                 **more: Any) -> None:
        """One entity; it is available when all of its availability topics say so. ``key`` holds no space, since Home Assistant
        parts by them; no pipeline's name holds a dot, so that none can be taken for a figure of the device."""
        shown, key = name, key or name.replace(" ", "_")
        if self._pipeline:
            shown, key = f"{self._pipeline} {name}", f"{self._pipeline}.{key}"
        self.made[key] = {
            "platform": platform, "unique_id": f"edgeinfer.{self._node}.{key}", "name": shown, "qos": 1, **topics,
            **({"value_template": template} if template else {}),
            "availability": [{"topic": topic} for topic in self._availability], "availability_mode": "all", **more}
