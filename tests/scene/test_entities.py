"""What Home Assistant is told of zones and lines, its templates filled in by the real Jinja."""

from __future__ import annotations

import json
from typing import Any

import jinja2
import pytest

from edgeinfer.discovery import Described
from edgeinfer.gate import GateOptions
from edgeinfer.scene.events import REASONS
from tests.test_discovery import made, obeys_the_rules

YARD = Described(name="yard", task="detection", labels=("person",), gate=GateOptions(on_change=True), zones=("door", "lawn"),
                 lines=("gate",))


def shown(component: dict[str, Any], payload: dict[str, Any]) -> str:
    environment = jinja2.Environment(autoescape=False)
    environment.filters["tojson"] = json.dumps
    return environment.from_string(component["value_template"]).render(value_json=payload)


def test_each_zone_and_line_has_its_entities_and_topics() -> None:
    payload = made(YARD)
    obeys_the_rules(payload)
    components = payload["components"]
    assert components["yard.zone.door.occupied"]["state_topic"] == "edgeinfer/porch/yard/zone/door"
    assert shown(components["yard.zone.door.occupied"], {"count": 2, "occupied": True, "entered": 3}) == "ON"
    assert shown(components["yard.zone.lawn.count"], {"count": 2, "occupied": True, "entered": 3}) == "2"
    assert shown(components["yard.line.gate.in"], {"in": 5, "out": 4}) == "5"
    assert components["yard.line.gate.out"]["state_topic"] == "edgeinfer/porch/yard/line/gate"
    assert components["yard.line.gate.out"]["state_class"] == "total_increasing"
    assert components["yard.scene"]["event_types"] == list(REASONS)


@pytest.mark.parametrize(("reason", "result", "scene"), [
    ("enter", "", True), ("crossed", "", True), ("change", "change", False), ("heartbeat", "", False)])
def test_what_happens_and_what_the_gate_tells_are_two_entities(reason: str, result: str, scene: bool) -> None:
    components = made(YARD)["components"]
    told = {"id": "b-yard-1", "ts": "2026-11-24T12:00:00.000Z", "reason": reason,
            "result": {"count": 0, "detections": []} if reason in ("change", "heartbeat") else
            {"event": {"zone": "door", "track": 3, "label": "person", "count": 1}}}
    assert (json.loads(shown(components["yard.result"], told) or "{}").get("event_type") or "") == result
    event = json.loads(shown(components["yard.scene"], told) or "{}")
    assert (event.get("event_type") == reason) is scene
    if scene:
        assert (event["zone"], event["track"], event["line"]) == ("door", 3, None)
    assert shown(components["yard.scene"], {**told, "replayed": True}) == ""


def test_a_pipeline_without_zones_has_none_of_them() -> None:
    components = made(Described(name="yard", task="detection"))["components"]
    assert not [key for key in components if "zone" in key or "line" in key or key.endswith(".scene")]
