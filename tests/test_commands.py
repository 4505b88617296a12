"""Remote commands: what is taken, what is refused and why, what is answered, and that nothing makes it raise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.commands import Command, CommandOptions, Commands, Inbox, Refusal, Target, answer, parse
from edgeinfer.sinks import Message

TARGETS = {"door": Target(threshold=0.4, installed=True), "motor": Target(), "odd": Target(threshold=2.0, most=20.0)}
ON = CommandOptions(enabled=True)
ROOT = "edgeinfer/porch/command/"


def told(topic: str, payload: bytes | str, options: CommandOptions = ON, **more: Any) -> Command | Refusal:
    raw = payload.encode() if isinstance(payload, str) else payload
    return parse(Message(ROOT + topic, raw, **more), "porch", TARGETS, options)


def request(name: str, **fields: Any) -> Command | Refusal:
    return told(f"request/{name}", json.dumps(fields))


@pytest.mark.parametrize(("asked", "pipeline", "name", "value"), [
    (told("door/enabled", "ON"), "door", "enabled", True),
    (told("motor/enabled", " OFF\n"), "motor", "enabled", False),
    (told("door/threshold", "0.4"), "door", "threshold", 0.4),
    (told("door/threshold", "1"), "door", "threshold", 1.0),
    (told("odd/threshold", "12.5"), "odd", "threshold", 12.5),
    (told("door/update", "install"), "door", "update", None),
    (request("enabled", pipeline="door", value=False), "door", "enabled", False),
    (request("enabled", pipeline="door", value="ON"), "door", "enabled", True),
    (request("threshold", pipeline="door", value=0.75, transaction=7), "door", "threshold", 0.75),
    (request("update", pipeline="door"), "door", "update", None),
])
def test_what_is_well_formed_is_a_command(asked: Command | Refusal, pipeline: str, name: str, value: Any) -> None:
    """Words of a switch, a number and an update entity, and the same in JSON."""
    assert isinstance(asked, Command), asked
    assert (asked.pipeline, asked.name, asked.value) == (pipeline, name, value)


@pytest.mark.parametrize(("asked", "kind", "reason"), [
    (told("door/enabled", "on"), "invalid", "expected ON or OFF, got 'on'"),
    (told("door/enabled", ""), "invalid", "ON or OFF"),
    (told("door/threshold", "0.39"), "invalid", "a number from 0.4 to 1, got '0.39'"),
    (told("door/threshold", "1.01"), "invalid", "0.4 to 1"),
    (told("door/threshold", "nan"), "invalid", "0.4 to 1"),
    (told("door/threshold", "inf"), "invalid", "0.4 to 1"),
    (told("door/threshold", "much"), "invalid", "0.4 to 1"),
    (told("motor/threshold", "0.5"), "invalid", "whose decoder has a threshold"),
    (told("door/update", "now"), "invalid", "expected install"),
    (told("motor/update", "install"), "invalid", "installed model"),
    (told("window/enabled", "ON"), "unknown", "expected a pipeline (door, motor, odd), got 'window'"),
    (told("door/restart", "ON"), "unknown", "enabled, threshold, update"),
    (told("door", "ON"), "unknown", "no command"),
    (told("door/enabled/now", "ON"), "unknown", "no command"),
    (told("door/enabled", "ON", retained=True), "retained", "without retain"),
    (told("door/enabled", "O" * 1025), "too_long", "1025 bytes"),
    (told("door/enabled", "ON", CommandOptions()), "disabled", "switched off"),
    (told("door/enabled", b"\xff\xfe"), "invalid", "ON or OFF"),
    (told("request/enabled", "ON"), "invalid", '"pipeline"'),
    (told("request/enabled", "[" * 500), "invalid", '"pipeline"'),
    (request("enabled", pipeline="door", value=True, more=1), "invalid", "more"),
    (request("enabled", pipeline="door", value=1), "invalid", "ON or OFF"),
    (request("threshold", pipeline="door", value=True), "invalid", "0.4 to 1"),
    (request("enabled", pipeline="door", value=True, transaction="t" * 201), "invalid", "200 characters"),
])
def test_everything_else_is_refused_with_a_reason(asked: Command | Refusal, kind: str, reason: str) -> None:
    """Where it helps, with what was expected and what was got."""
    assert isinstance(asked, Refusal), asked
    assert asked.kind == kind
    assert reason in asked.reason


@given(topic=st.text(max_size=40) | st.sampled_from([f"{ROOT}{end}" for end in (
           "door/enabled", "door/threshold", "request/enabled", "request/threshold", "request/update", "", "/", "request/")]),
       payload=st.binary(max_size=200) | st.text(max_size=50).map(lambda text: text.encode("utf-8", "replace"))
       | st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=9),
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                          st.sampled_from(["pipeline", "value", "transaction", "x"]), inner, max_size=4)
                      ).map(lambda value: json.dumps(value).encode()),
       response_topic=st.text(max_size=30), correlation=st.binary(max_size=20), retained=st.booleans())
def test_nothing_that_comes_makes_it_raise(topic: str, payload: bytes, response_topic: str, correlation: bytes,
                                           retained: bool) -> None:
    """And a command is always within bounds; answers go where they may."""
    asked = parse(Message(topic, payload, retained, response_topic, correlation), "porch", TARGETS, ON)
    if isinstance(asked, Command):
        assert asked.pipeline in TARGETS
        if asked.name == "threshold":
            target = TARGETS[asked.pipeline]
            assert target.threshold is not None
            assert target.threshold <= float(asked.value or 0) <= target.most
    for each in answer(asked):
        assert json.loads(each.payload)["status"] in {"ok", "error"}
        assert not set(each.topic) & set("+#\0")


def test_an_answer_goes_to_both_topics_with_what_the_sender_knows_it_by() -> None:
    """Correlation data of MQTT 5, and the transaction that a program under 3.1.1 gives."""
    asked = parse(Message(f"{ROOT}request/threshold", b'{"pipeline":"door","value":0.5,"transaction":"a1"}', False, "app/answers",
                          b"\x01\x02"), "porch", TARGETS, ON)
    answers = answer(asked, data={"threshold": 0.5})
    assert [each.topic for each in answers] == ["edgeinfer/porch/response/request/threshold", "app/answers"]
    assert {each.correlation for each in answers} == {b"\x01\x02"}
    assert json.loads(answers[0].payload) == {"status": "ok", "data": {"threshold": 0.5}, "transaction": "a1"}
    failed = answer(asked, error="the disk is full")
    assert json.loads(failed[0].payload) == {"status": "error", "data": {}, "error": "the disk is full", "transaction": "a1"}


@pytest.mark.parametrize("wanted", ["edgeinfer/porch/status", "edgeinfer/porch/door/result", "edgeinfer/other/status", "a/+/b", "#",
                                    "$SYS/x", "homeassistant/device/porch/config", "t" * 257, "a\0b"])
def test_an_answer_cannot_be_passed_off_as_something_else(wanted: str) -> None:
    """A sender may not choose a topic on which this device speaks with authority, nor one that is none."""
    asked = parse(Message(f"{ROOT}door/enabled", b"ON", False, wanted), "porch", TARGETS, ON)
    assert [each.topic for each in answer(asked)] == ["edgeinfer/porch/response/door/enabled"]


def test_a_retained_command_or_one_while_switched_off_gets_no_answer() -> None:
    """The sender of a retained one may be long gone; a device that takes no commands does not speak to strangers."""
    assert answer(told("door/enabled", "ON", retained=True)) == ()
    assert answer(told("door/enabled", "ON", CommandOptions())) == ()


def test_more_than_the_rate_are_refused_without_an_answer() -> None:
    """A minute's worth may come at once; then as many as the rate. Retained ones do not count."""
    commands = Commands("porch", CommandOptions(enabled=True, per_minute=6))
    message = Message(f"{ROOT}door/enabled", b"ON")
    for _ in range(20):
        commands.judge(message._replace(retained=True), TARGETS, 99.0)
    outcomes = [commands.judge(message, TARGETS, 100.0) for _ in range(8)]
    assert [isinstance(outcome, Command) for outcome in outcomes] == [True] * 6 + [False] * 2
    assert answer(outcomes[-1]) == ()
    assert isinstance(commands.judge(message, TARGETS, 110.0), Command)
    assert isinstance(commands.judge(message, TARGETS, 110.0), Refusal)
    state = commands.state()
    assert (state["accepted"], {kind: count for kind, count in state["refused"].items() if count}) == (
        7, {"retained": 20, "too_many": 3})


def test_a_pipeline_named_request_is_meant_by_its_name() -> None:
    """Such a name is refused by the configuration; where it comes all the same, nothing is confused."""
    asked = parse(Message(f"{ROOT}request/enabled", b"OFF"), "porch", {"request": Target()}, ON)
    assert isinstance(asked, Command)
    assert asked.pipeline == "request"


def test_the_inbox_is_bounded() -> None:
    """The network thread posts, the main thread takes; a flood in between is counted."""
    woken: list[int] = []
    inbox = Inbox(lambda: woken.append(1))
    for number in range(100):
        inbox.post(Message("t", b"%d" % number))
    assert [int(message.payload) for message in inbox.take()] == list(range(64))
    assert (inbox.overflowed, len(woken)) == (36, 64)
    assert inbox.take() == []


@pytest.mark.parametrize("wrong", [{"max_bytes": 15}, {"max_bytes": 65537}, {"per_minute": 0}, {"per_minute": 6001}])
def test_options_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    """With what was expected and what was got."""
    with pytest.raises(ValueError, match=r"expected .*, got"):
        CommandOptions(**wrong)
