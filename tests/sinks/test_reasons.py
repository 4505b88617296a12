"""Reason codes of MQTT 5: what a broker says in trouble is done, shown, and told to the log once."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from tests.broker import Broker, until
from tests.sinks.running import TOPIC, Running, balance, connected, publish
from tests.sinks.scripted import ScriptedBroker, disconnect

PATIENT = {"first_retry_s": 0.02, "last_retry_s": 60.0}
ELSEWHERE = b"\x1c\x00\x0bb.example:1"  # the property Server Reference


@pytest.mark.parametrize(("code", "properties", "text"), [
    (0x89, b"", "Server busy"),
    (0x97, b"", "Quota exceeded"),
    (0x9C, ELSEWHERE, "it sends us to b.example:1 for now, which is not followed: change sink.host"),
    (0x9D, b"", "it sends us to another one for good"),
    (0x9F, b"\x1f\x00\x04slow", "(slow)"),
])
def test_a_broker_that_wants_no_connection_soon_is_left_alone(tmp_path: Path, code: int, properties: bytes, text: str) -> None:
    """The longest back-off at once; another server is not followed, since the configuration says who is trusted."""
    with ScriptedBroker(code, properties) as broker, Running(tmp_path, broker.port, **PATIENT) as sink:
        until(lambda: sink.state()["last_error"], "it is refused")
        assert text in sink.state()["last_error"]
        time.sleep(0.3)
        assert broker.connections == 1


def test_a_broker_that_only_refuses_is_tried_again_soon(tmp_path: Path) -> None:
    """Not authorized may be mended in a moment: the ordinary back-off."""
    with ScriptedBroker(0x87) as broker, Running(tmp_path, broker.port, **PATIENT):
        until(lambda: broker.connections >= 3, "it is tried on")


def test_a_session_taken_over_is_not_taken_back_at_once(tmp_path: Path) -> None:
    """Two devices of one name would throw each other out for ever."""
    with ScriptedBroker(after=disconnect(0x8E)) as broker, Running(tmp_path, broker.port, **PATIENT) as sink:
        until(lambda: "took over" in sink.state()["last_error"], "it is told what happened")
        assert "client_id" in sink.state()["last_error"]
        time.sleep(0.3)
        assert broker.connections == 1


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_two_devices_of_one_name_slow_down(tmp_path: Path, broker: Broker, protocol: str) -> None:
    """At a real broker: under 3.1.1 without a reason, so that the back-off grows by itself."""
    (tmp_path / "other").mkdir()
    options = {"protocol": protocol, "first_retry_s": 0.05, "last_retry_s": 60.0}
    with Running(tmp_path, broker.port, **options) as one:
        connected(one)
        with Running(tmp_path / "other", broker.port, **options) as other:
            until(lambda: one.state()["last_error"], "the first is thrown out")
            time.sleep(1.0)
            assert one.state()["reconnects"] + other.state()["reconnects"] <= 8


def test_a_refused_subscription_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Results flow all the same; over reconnects the log has it once."""
    caplog.set_level(logging.INFO, "edgeinfer")
    with ScriptedBroker(suback=0x87) as broker:
        running = Running(tmp_path, broker.port)
        running.sink.listen([f"{TOPIC}/command/#"], lambda _: None)
        with running as sink:
            publish(sink, 1)
            until(lambda: balance(sink)["acknowledged"] == 1, "results flow")
            sink._connection.cut("a test")
            until(lambda: broker.subscribed == 2, "it is tried at each connection")
            publish(sink, 2)
            until(lambda: balance(sink)["acknowledged"] == 2, "results flow again")
    told = [record.message for record in caplog.records if "refuses a subscription" in record.message]
    assert len(told) == 1
    assert f"{TOPIC}/command/#" in told[0]


def test_a_quota_makes_no_poison(tmp_path: Path) -> None:
    """A result that the broker has no room for now is offered again, as often as it takes, and never parked."""
    with ScriptedBroker(puback=lambda number: 0x97 if number in {2, 4, 6, 8, 10} else 0) as broker, \
            Running(tmp_path, broker.port, first_retry_s=0.02) as sink:
        publish(sink, *range(20))
        until(lambda: balance(sink)["acknowledged"] == 20, "all are taken in the end")
        assert balance(sink)["dropped"] == {}


def test_a_broker_that_does_not_retain_gets_no_retained_messages(tmp_path: Path) -> None:
    """It would end the connection over them (reason 0x9A); what is newest is published all the same."""
    with ScriptedBroker(properties=b"\x25\x00") as broker, Running(tmp_path, broker.port) as sink:
        until(lambda: broker.published, "the status is published")
        until(lambda: "no retained" in sink.state()["last_error"], "it is told")


def test_what_we_ask_of_a_broker(tmp_path: Path) -> None:
    """CONNECT bounds what comes in, keeps the session where something is listened to, and delays the will."""
    with ScriptedBroker() as broker:
        running = Running(tmp_path, broker.port, session_expiry_s=600, will_delay_s=7)
        running.sink.listen([f"{TOPIC}/command/#"], lambda _: None)
        with running:
            until(lambda: broker.connects, "CONNECT")
        (connect,) = broker.connects[:1]
        assert connect[7] & 2 == 0, "no clean start"
        assert b"\x11" + (600).to_bytes(4, "big") in connect, "Session Expiry Interval"
        assert b"\x27" + (64 * 1024 + 1024).to_bytes(4, "big") in connect, "Maximum Packet Size"
        assert b"\x21\x00\x10" in connect, "Receive Maximum"
        assert b"\x18" + (7).to_bytes(4, "big") in connect, "Will Delay Interval"


def test_the_brokers_keep_alive_counts(tmp_path: Path) -> None:
    """It says after how long without a packet it takes us for dead (Server Keep Alive): shorter than ours, it is kept."""
    with ScriptedBroker(properties=b"\x13\x00\x01") as broker, Running(tmp_path, broker.port, keepalive_s=600):
        until(lambda: broker.pings, "PINGREQ")
