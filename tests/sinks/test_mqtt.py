"""The MQTT sink against a real broker: order, retained values, replay, the next boot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeinfer.sinks import SINKS
from edgeinfer.sinks.mqtt import MqttSink, mark_replayed
from tests.broker import Broker, Listener, until
from tests.sinks.running import (
    RESULTS,
    STATUS,
    TOPIC,
    Running,
    balance,
    connected,
    numbers,
    publish,
)


def test_results_arrive_in_order_and_leave_the_outbox(tmp_path: Path, broker: Broker, listener: Listener,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, unmarked, and all acknowledged after drain."""
    monkeypatch.setattr("edgeinfer.outbox._REPLAYED_AFTER_NS", 100 * 10**9)  # a busy disk is no outage
    with Running(tmp_path, broker.port) as sink:
        connected(sink)
        publish(sink, *range(200))
        assert sink.drain(10)
        counts = balance(sink)
        assert (counts["acknowledged"], counts["queued"], counts["undurable"]) == (200, 0, 0)
    until(lambda: len(listener.on(RESULTS)) == 200, "all arrive")
    assert listener.on(RESULTS) == [b'{"n":%d}' % number for number in range(200)]


def test_status_is_online_until_a_stop_publishes_offline(tmp_path: Path, broker: Broker, listener: Listener) -> None:
    """A clean end publishes offline itself, and the will does not come on top."""
    with Running(tmp_path, broker.port) as sink:
        until(lambda: listener.on(STATUS) == [b"online"], "online")
        connected(sink)
    until(lambda: listener.on(STATUS) == [b"online", b"offline"], "offline, once")
    with Listener(broker.port) as late:
        until(lambda: (STATUS, b"offline", True) in late.messages, "the status is retained")


def test_the_newest_retained_value_is_told_and_told_again_to_a_broker_that_forgot(tmp_path: Path, broker: Broker) -> None:
    """A restarted broker without persistence gets status and values again."""
    with Running(tmp_path, broker.port) as sink:
        sink.set_retained(f"{TOPIC}/health", b"1")
        sink.set_retained(f"{TOPIC}/health", b"2")
        connected(sink)
        assert sink.drain(5)
        broker.kill()
        until(lambda: not sink.state()["connected"], "the sink has seen it")
        broker.start()
        connected(sink)
        assert sink.drain(5)
        with Listener(broker.port) as late:
            until(lambda: len(late.messages) == 2, "both are retained")
            assert sorted(late.messages) == [(f"{TOPIC}/health", b"2", True), (STATUS, b"online", True)]
        assert sink.state()["reconnects"] == 1


def test_an_empty_retained_value_removes_the_topic(tmp_path: Path, broker: Broker) -> None:
    """For discovery: what is no longer there is taken back."""
    with Running(tmp_path, broker.port) as sink:
        connected(sink)
        sink.set_retained("homeassistant/x", b"{}")
        assert sink.drain(5)
        sink.set_retained("homeassistant/x", b"")
        assert sink.drain(5)
        with Listener(broker.port) as late:
            until(lambda: late.messages, "the status")
            assert [topic for topic, _, _ in late.messages] == [STATUS]


def test_without_a_broker_results_wait_on_disk_and_come_marked_as_replayed(tmp_path: Path) -> None:
    """Absent at start: start does not fail, drain means durable, and the backlog precedes what is new."""
    broker = Broker(tmp_path / "broker")
    with Running(tmp_path, broker.port) as sink:
        publish(sink, *range(50))
        assert sink.drain(5)
        assert balance(sink)["queued"] == 50
        assert "refused" in sink.state()["last_error"].lower()
        with broker, Listener(broker.port) as listener:
            until(lambda: len(listener.on(RESULTS)) == 50, "the backlog arrives")
            publish(sink, 50)
            until(lambda: len(listener.on(RESULTS)) == 51, "the live one arrives")
            received = [json.loads(payload) for payload in listener.on(RESULTS)]
            assert [result["n"] for result in received] == list(range(51))
            assert [result.get("replayed", False) for result in received] == [True] * 50 + [False]


def test_results_survive_the_process_that_made_them(tmp_path: Path) -> None:
    """A stopped sink leaves them on disk; the next one sends them."""
    broker = Broker(tmp_path / "broker")
    with Running(tmp_path, broker.port) as sink:
        publish(sink, 1, 2)
    with broker, Listener(broker.port) as listener, Running(tmp_path, broker.port) as sink:
        until(lambda: numbers(listener.on(RESULTS)) == [1, 2], "they arrive")
        assert sink.drain(5)
        assert (balance(sink)["carried"], balance(sink)["acknowledged"]) == (2, 2)


@pytest.mark.parametrize(("payload", "marked"), [
    (b'{"n":1}', b'{"n":1,"replayed":true}'), (b"{}", b'{"replayed":true}'), (b"{ }", b'{ "replayed":true}'),
    (b"[1]", b"[1]"), (b"", b""), (b"{", b"{"),
])
def test_replayed_is_put_into_objects_only(payload: bytes, marked: bytes) -> None:
    """Anything else is sent as it is."""
    assert mark_replayed(payload) == marked


def test_the_table_names_the_sink() -> None:
    """A configuration's ``kind: mqtt``."""
    assert SINKS.load("mqtt", "sink") is MqttSink
