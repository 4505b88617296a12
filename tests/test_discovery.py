"""The discovery document against the rules that Home Assistant has (its schemas, as data), and what it says for which task."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.discovery import TASKS, Described, Device, DiscoveryOptions, config_topic, document
from edgeinfer.gate import GateOptions

# homeassistant 2026.2.3, components/mqtt/*.py: DISCOVERY_SCHEMA of each platform; its MQTT_ENTITY_COMMON_SCHEMA
COMMON = {"platform", "unique_id", "name", "qos", "availability", "availability_mode", "enabled_by_default", "entity_category",
          "json_attributes_topic", "json_attributes_template"}
READS = {"state_topic", "value_template"}
PLATFORMS: dict[str, tuple[set[str], set[str]]] = {  # required, and further ones that are known
    "binary_sensor": ({"state_topic"}, READS | {"device_class", "expire_after", "off_delay", "payload_on", "payload_off"}),
    "sensor": ({"state_topic"}, READS | {"device_class", "expire_after", "state_class", "suggested_display_precision",
                                         "unit_of_measurement"}),
    "event": ({"state_topic", "event_types"}, READS | {"device_class"}),
    "update": ({"state_topic"}, READS | {"command_topic", "payload_install", "title", "device_class"}),
    "switch": ({"command_topic"}, READS | {"device_class"}),
    "number": ({"command_topic"}, READS | {"device_class", "min", "max", "step", "mode", "unit_of_measurement"}),
}
DEVICE = {"identifiers", "name", "manufacturer", "model", "sw_version", "suggested_area"}
CLASSES = {"binary_sensor": {"occupancy", "problem", "connectivity"}, "sensor": {"temperature", "data_size", "duration", "timestamp"}}

GATED = GateOptions(min_score=0.5, on_change=True)
DOOR = Described(name="door", task="detection", labels=("person", "car"), threshold=0.4, model="ssd", gate=GATED, installed=True)
CLASS = Described(name="class", task="classification", threshold=0.0, model="net", gate=GATED)
MOTOR = Described(name="motor", task="anomaly", threshold=0.06, model="vibration", gate=GATED)
MEAN = Described(name="mean", task="regression", values=("red", "green level"))
SCENE = Described(name="scene", task="segmentation", labels=("road",), model="seg", gate=GATED)
FACE = Described(name="face", task="identity", threshold=0.5, model="embed", gate=GATED)
SIGN = Described(name="sign", task="text", threshold=0.5, model="ctc", gate=GATED)
ODD = Described(name="odd", task="poetry")
ALL = (DOOR, CLASS, MOTOR, MEAN, SCENE, FACE, SIGN, ODD)
ON = DiscoveryOptions(enabled=True)


def made(*pipelines: Described, options: DiscoveryOptions = ON, **device: Any) -> dict[str, Any]:
    return document(options, Device(node="porch", version="1.2", **device), pipelines)


def obeys_the_rules(payload: dict[str, Any]) -> None:
    assert set(payload) == {"device", "origin", "components"}
    assert payload["origin"]["name"]
    assert payload["device"]["identifiers"]
    assert set(payload["device"]) <= DEVICE
    identities = [component["unique_id"] for component in payload["components"].values() if len(component) > 1]
    assert len(identities) == len(set(identities))
    for key, component in payload["components"].items():
        assert " " not in key, "Home Assistant parts by spaces"
        platform = component["platform"]
        required, known = PLATFORMS[platform]
        if set(component) == {"platform"}:
            continue
        assert required | {"unique_id"} <= set(component), key
        assert set(component) <= known | COMMON | required, key
        assert component.get("device_class") in {None, *CLASSES.get(platform, set())}, key
        assert component.get("entity_category") in {None, "diagnostic", "config"}, key
        if platform in {"sensor", "binary_sensor", "event"}:
            assert component.get("entity_category") != "config", "for what acts only"
        for topic in ("state_topic", "command_topic", "json_attributes_topic"):
            assert not set(component.get(topic, "")) & set("+#"), key
        if platform == "number":
            assert component["min"] < component["max"]
            assert component["step"] >= 0.001
        for whole in ("expire_after", "off_delay"):
            assert isinstance(component.get(whole, 1), int)


NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)
TEXTS = st.text(max_size=12)
GATES = st.builds(GateOptions, on_change=st.booleans(), min_score=st.none() | st.floats(0, 1),
                  min_interval_s=st.floats(0, 10), heartbeat_s=st.sampled_from([0.0, 60.0]))
PIPELINES = st.builds(Described, name=NAMES, task=st.sampled_from([*TASKS.values(), "", "other"]),
                      labels=st.lists(TEXTS, max_size=3).map(tuple), threshold=st.none() | st.floats(0, 1), model=TEXTS,
                      values=st.lists(TEXTS, max_size=3, unique=True).map(tuple), installed=st.booleans(), gate=GATES)


@given(node=NAMES, pipelines=st.lists(PIPELINES, max_size=3, unique_by=lambda one: one.name), commands=st.booleans(),
       labels=st.lists(TEXTS, max_size=3).map(tuple))
def test_whatever_runs_the_document_obeys_the_rules(node: str, pipelines: list[Described], commands: bool,
                                                    labels: tuple[str, ...]) -> None:
    """Known keys, required keys, unique identities, and plain JSON."""
    options = DiscoveryOptions(enabled=True, labels=labels, area="Hall")
    payload = document(options, Device(node=node, version="1", commands=commands), pipelines, {"gone.x": "sensor"})
    obeys_the_rules(payload)
    assert payload["components"]["gone.x"] == {"platform": "sensor"}
    assert json.loads(json.dumps(payload)) == payload


@pytest.mark.parametrize(("pipeline", "expected"), [
    (DOOR, {"occupancy": "binary_sensor", "count": "sensor", "class": "sensor", "score": "sensor", "result": "event"}),
    (CLASS, {"class": "sensor", "score": "sensor", "result": "event"}),
    (MOTOR, {"problem": "binary_sensor", "score": "sensor"}),
    (MEAN, {"value.red": "sensor", "value.green%20level": "sensor"}),
    (SCENE, {"class": "sensor", "area": "sensor", "result": "event"}),
    (FACE, {"name": "sensor", "similarity": "sensor", "result": "event"}),
    (ODD, {"last_result": "sensor"}),
], ids=lambda value: value.task if isinstance(value, Described) else "")
def test_a_task_calls_for_its_entities(pipeline: Described, expected: dict[str, str]) -> None:
    """And nothing else but the diagnostics that every pipeline has."""
    components = made(pipeline)["components"]
    told = {key.partition(".")[2]: component["platform"] for key, component in components.items()
            if "." in key and "entity_category" not in component}
    assert told == expected


def test_what_acts_is_announced_only_where_commands_are_accepted() -> None:
    """A switch without effect would be a lie; an update shows the versions in any case."""
    for commands in (False, True):
        components = made(*ALL, commands=commands)["components"]
        acting = {key for key, component in components.items() if "command_topic" in component}
        everything = {*(f"{one.name}.enabled" for one in ALL), "door.threshold", "class.threshold", "motor.threshold",
                      "face.threshold", "sign.threshold", "door.update"}
        assert acting == (everything if commands else set())
        assert components["class.update"]["platform"] == "update"


def test_a_threshold_goes_from_the_bundles_own_to_one() -> None:
    """An anomaly's is in the model's own unit; where nothing is left to set there is no number."""
    components = made(DOOR, MOTOR, commands=True)["components"]
    assert (components["door.threshold"]["min"], components["door.threshold"]["max"]) == (0.4, 1.0)
    assert (components["motor.threshold"]["min"], components["motor.threshold"]["max"]) == (0.06, 1.0)
    strict = Described(name="door", task="detection", threshold=1.0)
    assert "door.threshold" not in made(strict, commands=True)["components"]


def test_availability_is_that_of_the_daemon_and_of_the_source() -> None:
    """All must say online; what can be used without the camera follows the daemon only, and the connection nothing."""
    components = made(DOOR, commands=True)["components"]
    daemon, source = {"topic": "edgeinfer/porch/status"}, {"topic": "edgeinfer/porch/door/availability"}
    assert components["door.occupancy"]["availability"] == [daemon, source]
    assert components["door.occupancy"]["availability_mode"] == "all"
    for key in ("door.enabled", "door.threshold", "door.update", "door.rate", "memory"):
        assert components[key]["availability"] == [daemon]
    assert "availability" not in components["connection"]


def test_what_is_stale_expires_and_what_is_quiet_does_not() -> None:
    """Health comes regularly. Results do so only with a heartbeat: without, silence means that nothing has changed."""
    components = made(DOOR, health_s=30)["components"]
    assert components["memory"]["expire_after"] == 90
    assert "expire_after" not in components["door.count"]
    beating = Described(name="door", task="detection", gate=GateOptions(heartbeat_s=60))
    assert made(beating)["components"]["door.count"]["expire_after"] == 180


def test_a_gate_that_never_tells_off_lets_the_sensor_fall_off_by_itself() -> None:
    """With a minimum and no on_change only hits are told."""
    hits = Described(name="door", task="detection", gate=GateOptions(min_score=0.5, min_interval_s=4))
    assert made(hits)["components"]["door.occupancy"]["off_delay"] == 12
    assert "off_delay" not in made(DOOR)["components"]["door.occupancy"]


def test_events_are_fed_from_results_which_are_never_retained() -> None:
    """Home Assistant ignores retained ones; without a gate each frame is an event, and the entity is off by default."""
    event = made(DOOR)["components"]["door.result"]
    assert event["state_topic"] == "edgeinfer/porch/door/result"
    assert event["enabled_by_default"] is True
    ungated = made(Described(name="door", task="detection"))["components"]["door.result"]
    assert ungated["enabled_by_default"] is False


def test_chosen_labels_get_entities_of_their_own() -> None:
    """Only those that the model knows."""
    options = DiscoveryOptions(enabled=True, labels=("person", "unicorn"))
    labelled = [key for key in made(DOOR, options=options)["components"] if ".label." in key]
    assert labelled == ["door.label.person.occupancy", "door.label.person.count"]


def test_the_topic_lies_below_the_prefix() -> None:
    """homeassistant/device/<node>/config."""
    assert config_topic(ON, "porch") == "homeassistant/device/porch/config"
    assert config_topic(DiscoveryOptions(prefix="ha/discovery"), "porch") == "ha/discovery/device/porch/config"


@pytest.mark.parametrize("wrong", [{"prefix": ""}, {"prefix": "a/+/b"}, {"prefix": "a//b"}, {"name": "n" * 65},
                                   {"labels": tuple("abcdefghijklmnopq")}])
def test_options_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    """With what was expected and what was got."""
    with pytest.raises(ValueError, match=r"expected .*, got"):
        DiscoveryOptions(**wrong)


TWO = {"count": 2, "detections": [{"label": "person", "index": 0, "score": 0.914, "box": [0, 0, 1, 1]},
                                  {"label": "car", "index": 1, "score": 0.5, "box": [0, 0, 1, 1]}]}


@pytest.mark.parametrize(("entity", "payload", "shown"), [
    ("door.occupancy", {"reason": "change", "result": TWO}, "ON"),
    ("door.occupancy", {"reason": "off", "result": TWO}, "OFF"),
    ("door.occupancy", {"reason": "heartbeat", "result": TWO}, "ON"),
    ("door.occupancy", {"reason": "heartbeat", "result": {"count": 1, "detections": [{"label": "car", "score": 0.45}]}}, "OFF"),
    ("door.occupancy", {"reason": "change", "result": {"count": 0, "detections": []}}, "OFF"),
    ("door.occupancy", {"reason": "change", "result": {}}, "OFF"),
    ("door.count", {"reason": "change", "result": TWO}, "2"),
    ("door.count", {"reason": "off", "result": TWO}, "0"),
    ("door.class", {"reason": "change", "result": TWO}, "person"),
    ("door.class", {"reason": "off", "result": TWO}, "none"),
    ("door.score", {"reason": "change", "result": TWO}, "91.4"),
    ("door.score", {"reason": "change", "result": {}}, "0"),
    ("door.label.person.count", {"reason": "change", "result": TWO}, "1"),
    ("door.label.person.occupancy", {"reason": "change", "result": {"count": 0, "detections": []}}, "OFF"),
    ("class.class", {"reason": "change", "result": {"classes": [{"label": "cat", "score": 0.7}]}}, "cat"),
    ("motor.problem", {"reason": "change", "result": {"anomalous": True, "score": 1.5, "threshold": 1}}, "ON"),
    ("mean.value.green%20level", {"reason": "frame", "result": {"values": {"red": 1, "green level": 2.5}}}, "2.5"),
    ("scene.area", {"reason": "change", "result": {"areas": [{"label": "road", "area": 0.6123}], "regions": []}}, "61.23"),
    ("scene.class", {"reason": "heartbeat", "result": {"areas": [{"label": "road", "area": 0.4}], "regions": []}}, "none"),
    ("scene.label.road.area", {"reason": "change", "result": {"areas": [], "regions": []}}, "0"),
    ("face.name", {"reason": "change", "result": {"name": "Ada", "known": True, "similarity": 0.8}}, "Ada"),
    ("door.result", {"reason": "heartbeat", "result": TWO}, ""),
    ("door.result", {"reason": "change", "replayed": True, "result": TWO}, ""),
    ("dropped_results", {"sink": {"outbox": {"dropped": {"full": 2, "refused": 1}}}}, "3"),
])
def test_templates_show_what_payloads_say(entity: str, payload: dict[str, Any], shown: str) -> None:
    """Rendered by the engine that Home Assistant uses."""
    jinja2 = pytest.importorskip("jinja2", reason="Jinja is not installed in this environment")
    options = DiscoveryOptions(enabled=True, labels=("person", "road"))
    template = made(*ALL, options=options)["components"][entity]["value_template"]
    assert jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(template).render(value_json=payload) == shown


def test_an_events_template_makes_json_with_its_type() -> None:
    """The gate's reason."""
    jinja2 = pytest.importorskip("jinja2", reason="Jinja is not installed in this environment")
    template = made(DOOR)["components"]["door.result"]["value_template"]
    payload = {"reason": "change", "id": "b-door-1", "ts": "2026-11-24T15:59:57.123Z", "result": TWO}
    event = json.loads(jinja2.Environment().from_string(template).render(value_json=payload))
    assert event == {"event_type": "change", "id": "b-door-1", "ts": "2026-11-24T15:59:57.123Z", "count": 2,
                     "label": "person", "score": 0.914}


@given(label=st.text(min_size=1, max_size=20))
def test_no_label_breaks_out_of_its_template(label: str) -> None:
    """Quotes, braces and percent signs are a label's text and nothing else."""
    jinja2 = pytest.importorskip("jinja2", reason="Jinja is not installed in this environment")
    pipeline = Described(name="door", task="detection", labels=(label,))
    components = made(pipeline, options=DiscoveryOptions(enabled=True, labels=(label,)))["components"]
    (template,) = [one["value_template"] for key, one in components.items() if ".label." in key and key.endswith(".count")]
    payload = {"reason": "frame", "result": {"count": 1, "detections": [{"label": label}]}}
    assert jinja2.Environment().from_string(template).render(value_json=payload) == "1"
