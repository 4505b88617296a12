"""The MQTT sink and the ways in which networks, brokers and processes fail."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from edgeinfer.mqtt.broker import MqttOptions
from edgeinfer.mqtt.connection import Connection
from edgeinfer.mqtt.link import Address, Down, Link
from tests.broker import Broker, Listener, free_port, until
from tests.faults.faultproxy import Fault, FaultProxy
from tests.sinks.running import (
    RESULTS,
    STATUS,
    TOPIC,
    Running,
    balance,
    connected,
    first_occurrences,
    numbers,
    publish,
)
from tests.sinks.scripted import ScriptedBroker, disconnect


@pytest.mark.parametrize("fault", [Fault.NO_PUBACK, Fault.BLACK_HOLE])
def test_a_deaf_broker_is_left(tmp_path: Path, broker: Broker, listener: Listener, fault: Fault) -> None:
    """PUBACKs lost while the connection stays up, or nothing gets through: the link is cut and everything sent anew.
    First occurrences are in order, and nothing is missing."""
    with FaultProxy(broker.port) as proxy, Running(tmp_path, proxy.port) as sink:
        connected(sink)
        publish(sink, *range(30))
        proxy.fault = fault
        publish(sink, *range(30, 60))
        until(lambda: proxy.connections > 1, "a second connection is tried")
        proxy.fault = Fault.NONE
        publish(sink, *range(60, 90))
        until(lambda: balance(sink)["acknowledged"] == 90, "all are acknowledged")
        until(lambda: len(set(numbers(listener.on(RESULTS)))) == 90, "all arrive")
        assert first_occurrences(numbers(listener.on(RESULTS))) == list(range(90))
        if fault is Fault.NO_PUBACK:
            assert proxy.swallowed > 0


def test_duplicates_are_results_sent_again_after_a_cut(tmp_path: Path, broker: Broker, listener: Listener) -> None:
    """Ten resets under load: nothing lost, first occurrences in order, at most a window of duplicates for each."""
    with FaultProxy(broker.port) as proxy, Running(tmp_path, proxy.port, in_flight=10) as sink:
        for cut in range(10):
            connected(sink)
            publish(sink, *range(cut * 50, cut * 50 + 50))
            until(lambda: balance(sink)["acknowledged"] > 1 + cut * 40, "some are acknowledged")  # noqa: B023
            proxy.cut()
        until(lambda: balance(sink)["acknowledged"] == 500, "all are acknowledged")
        until(lambda: len(set(numbers(listener.on(RESULTS)))) == 500, "all arrive")
        received = numbers(listener.on(RESULTS))
        assert first_occurrences(received) == list(range(500))
        assert len(received) - 500 <= 10 * 10


def test_a_refusing_network_is_tried_until_it_accepts(tmp_path: Path, broker: Broker) -> None:
    """Reset connections, then good ones."""
    with FaultProxy(broker.port) as proxy:
        proxy.fault = Fault.REFUSE
        with Running(tmp_path, proxy.port) as sink:
            publish(sink, 1)
            until(lambda: proxy.connections >= 3, "it keeps trying")
            assert not sink.state()["connected"]
            proxy.fault = Fault.NONE
            until(lambda: balance(sink)["acknowledged"] == 1, "it arrives")


def drop(_: object) -> None:
    """Nobody listens."""


def test_delays_double_up_to_the_last_with_jitter() -> None:
    """Many devices that lost one broker do not come back at one moment; a broker that says so is left alone at once."""
    options = MqttOptions(host="broker", first_retry_s=1.0, last_retry_s=8.0)
    for code, nominal in ((0, (1, 2, 4, 8, 8)), (0x8E, (8, 8))):  # session taken over: another device of this name
        delays = []
        for device in range(20):
            connection = Connection(options, f"device-{device}", "", drop, drop)
            link = Link(options, Address("x", "", ()), "5", drop, drop)
            for wanted in nominal:
                connection.down(Down(link, "reset", False, code), 100.0)
                delay = (connection.due() or 0.0) - 100.0
                assert 0.75 * wanted <= delay <= 1.25 * wanted
            delays.append(delay)
        assert len(set(delays)) > 10


def test_an_outage_is_told_to_the_log_once_for_each_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not at each try."""
    caplog.set_level(logging.INFO, "edgeinfer")
    with FaultProxy(free_port()) as proxy, Running(tmp_path, proxy.port):
        until(lambda: proxy.connections >= 6, "several tries")
    told = [record.message for record in caplog.records if "results wait in the outbox" in record.message]
    assert 1 <= len(told) == len(set(told))


PUBLISHER = """
import sys, time
from edgeinfer.outbox import OutboxOptions
from edgeinfer.sinks.mqtt import MqttOptions, MqttSink
sink = MqttSink(MqttOptions(host="127.0.0.1", port=int(sys.argv[1]), plain_text=True), "edgeinfer/cam",
                OutboxOptions(path=sys.argv[2], commit_delay_ms=5))
sink.start()
while not sink.state()["connected"]:
    time.sleep(0.01)
for number in range(100):
    sink.publish("edgeinfer/cam/door/result", b'{"n":%d}' % number, "door")
print("made", flush=True)
time.sleep(60)
"""


def test_the_last_will_tells_of_a_death(tmp_path: Path, broker: Broker, listener: Listener) -> None:
    """SIGKILL: the broker says offline. What was made is sent by the next process, if it was not before."""
    command = [sys.executable, "-c", PUBLISHER, str(broker.port), str(tmp_path / "outbox.db")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    until(lambda: listener.on(RESULTS), "results flow")
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    until(lambda: listener.on(STATUS) == [b"online", b"offline"], "the will is published")
    with Running(tmp_path, broker.port) as sink:
        connected(sink)
        assert sink.drain(10)
        assert balance(sink)["queued"] == 0
    received = first_occurrences(numbers(listener.on(RESULTS)))
    assert received == list(range(len(received)))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_goodbye_that_the_broker_does_not_take_is_left_to_the_will(tmp_path: Path, broker: Broker, listener: Listener,
                                                                     protocol: str) -> None:
    """Its acknowledgements are lost and the window is full, so that "offline" cannot be sent: a DISCONNECT would leave "online"
    at the broker for ever."""
    options = {"protocol": protocol, "in_flight": 2, "ack_timeout_s": 60.0, "will_delay_s": 0}
    with FaultProxy(broker.port) as proxy:
        with Running(tmp_path, proxy.port, **options) as sink:
            until(lambda: b"online" in listener.on(STATUS), "it is online")
            proxy.fault = Fault.NO_PUBACK
            publish(sink, *range(10))
            until(lambda: sink.state()["in_flight"] == 2, "the window is full")
        until(lambda: listener.on(STATUS)[-1] == b"offline", "the broker tells it")


def test_a_poisonous_result_is_parked_and_the_others_pass(tmp_path: Path) -> None:
    """A topic that the access list denies is offered three times, then counted as refused."""
    acl = f"user cam\ntopic readwrite {TOPIC}/#\ntopic deny {TOPIC}/secret/#\n"
    (tmp_path / "password").write_text("p")
    with Broker(tmp_path / "broker", passwords={"cam": "p"}, acl=acl) as broker:
        options = {"username": "cam", "password_file": str(tmp_path / "password")}
        with Running(tmp_path, broker.port, **options) as sink:
            connected(sink)
            publish(sink, 0, topic=f"{TOPIC}/secret/result")
            until(lambda: sink.state()["refused_waiting"], "it is refused")
            publish(sink, *range(1, 40))
            until(lambda: balance(sink)["dropped"] == {"refused": 1}, "it is parked")
            assert sink.drain(5)
            assert balance(sink)["acknowledged"] == 39
            assert sink.state()["reconnects"] == 0


def test_a_broker_that_hangs_up_on_a_refused_result_gets_the_others_first(tmp_path: Path) -> None:
    """mosquitto with max_queued_messages 0 ends the connection after it refused a message: the result is parked all the
    same, and the others pass."""
    acl = f"user cam\ntopic readwrite {TOPIC}/#\ntopic deny {TOPIC}/secret/#\n"
    (tmp_path / "password").write_text("p")
    with Broker(tmp_path / "broker", passwords={"cam": "p"}, acl=acl, settings="max_queued_messages 0") as broker:
        options = {"username": "cam", "password_file": str(tmp_path / "password")}
        with Running(tmp_path, broker.port, **options) as sink:
            publish(sink, 0, topic=f"{TOPIC}/secret/result")
            publish(sink, *range(1, 40))
            until(lambda: balance(sink)["dropped"] == {"refused": 1}, "it is parked")
            until(lambda: balance(sink)["acknowledged"] == 39, "the others pass")
            assert sink.state()["reconnects"] > 0


@pytest.mark.parametrize("goodbye", [disconnect(0x87), disconnect(0x90), disconnect(0x82), b""],
                         ids=["not authorized", "topic name invalid", "protocol error", "without a word"])
def test_a_broker_that_hangs_up_over_a_result_gets_the_others(tmp_path: Path, goodbye: bytes,
                                                                  caplog: pytest.LogCaptureFixture) -> None:
    """Some end the connection instead of refusing a message, with a reason or, as under MQTT 3.1.1, without: the result that is
    in flight each time is found, tried apart from the others, and parked."""
    with ScriptedBroker(poison=b'"n":5', goodbye=goodbye) as broker, \
            Running(tmp_path, broker.port, last_retry_s=0.1) as sink:
        publish(sink, *range(12))
        until(lambda: balance(sink)["acknowledged"] == 11, "the others pass")
        publish(sink, *range(12, 20))
        until(lambda: balance(sink)["dropped"] == {"refused": 1}, "it is parked")
        until(lambda: balance(sink)["acknowledged"] == 19, "all others pass")
        assert any("hangs up over edgeinfer/cam/door/result" in record.message for record in caplog.records)


def test_a_broker_that_hangs_up_over_a_retained_value_gets_the_others(tmp_path: Path) -> None:
    """An access list without the discovery topic, say: that value is withheld, everything else is told."""
    with ScriptedBroker(poison=b"homeassistant/", goodbye=disconnect(0x87)) as broker, Running(tmp_path, broker.port) as sink:
        sink.set_retained("homeassistant/device/cam/config", b"{}")
        sink.set_retained(f"{TOPIC}/health", b"{}")
        publish(sink, *range(12))
        until(lambda: balance(sink)["acknowledged"] == 12, "results pass")
        assert sink.drain(5)


def test_connections_that_end_before_anything_was_acknowledged_change_no_order(tmp_path: Path) -> None:
    """A relay whose broker is gone takes connections and ends them at once: no result is to blame, however often."""
    with ScriptedBroker(poison=TOPIC.encode()) as broker, Running(tmp_path, broker.port, last_retry_s=0.05) as sink:
        publish(sink, *range(12))
        until(lambda: broker.connections > 25, "many connections")
        broker.poison = b""
        until(lambda: balance(sink)["acknowledged"] == 12, "all results pass")
        results = [json.loads(body[body.index(b'{"n":'):]) for body in broker.taken if b'{"n":' in body]
        assert [result["n"] for result in results] == [*range(12)]


def test_a_broker_that_refuses_everything_is_waited_out(tmp_path: Path) -> None:
    """A wrong access list costs no result: all are still queued after many refusals."""
    (tmp_path / "password").write_text("p")
    acl = f"user cam\ntopic write {STATUS}\n"
    with Broker(tmp_path / "broker", passwords={"cam": "p"}, acl=acl) as broker:
        options = {"username": "cam", "password_file": str(tmp_path / "password"), "last_retry_s": 0.05}
        with Running(tmp_path, broker.port, **options) as sink:
            publish(sink, 1, 2, 3)
            until(lambda: any(times > 4 for times, _ in sink._window._refused.values()), "they are refused again and again")
            assert balance(sink)["queued"] == 3
            assert "Not authorized" in sink.state()["last_error"]


def test_a_result_larger_than_the_broker_takes_is_parked_without_being_sent(tmp_path: Path) -> None:
    """Sent, it would end the connection again and again."""
    with Broker(tmp_path / "broker", settings="max_packet_size 1000") as broker, Running(tmp_path, broker.port) as sink:
        connected(sink)
        sink.publish(RESULTS, b'{"n":"' + b"x" * 1000 + b'"}', "door")
        publish(sink, 1)
        until(lambda: balance(sink)["acknowledged"] == 1, "the other one passes")
        assert balance(sink)["dropped"] == {"refused": 1}
        assert sink.state()["reconnects"] == 0


def test_a_fault_of_our_own_costs_the_connection_and_nothing_else(tmp_path: Path, broker: Broker,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """The network thread survives an exception, counts it, and delivers."""
    with Running(tmp_path, broker.port) as sink:
        connected(sink)
        monkeypatch.setattr(sink._window, "add", lambda *_: 1 / 0)
        publish(sink, 1, 2)
        until(lambda: sink.state()["crashes"] > 0, "it is counted")
        monkeypatch.undo()
        until(lambda: balance(sink)["acknowledged"] == 2, "all are acknowledged")
        assert sink.state()["alive"]


def test_a_broker_that_stops_and_starts_loses_nothing(tmp_path: Path, broker: Broker) -> None:
    """Results made before, during and after the outage are all acknowledged."""
    with Running(tmp_path, broker.port) as sink:
        connected(sink)
        publish(sink, *range(100))
        broker.kill()
        publish(sink, *range(100, 200))
        until(lambda: not sink.state()["connected"], "the outage is seen")
        broker.start()
        publish(sink, *range(200, 300))
        until(lambda: balance(sink)["acknowledged"] == 300, "all are acknowledged")


def test_a_connection_that_we_end_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    """A broker that never answers is left again and again; our end is closed each time, not left to the garbage collector."""
    gc.collect()
    gc.disable()
    accepted = []
    try:
        with socket.create_server(("127.0.0.1", 0)) as silent, \
                Running(tmp_path, silent.getsockname()[1], connect_timeout_s=0.2, first_retry_s=0.05, last_retry_s=0.1):
            silent.settimeout(20)
            accepted = [silent.accept()[0] for _ in range(3)]
            before = len(os.listdir("/proc/self/fd"))
            accepted += [silent.accept()[0] for _ in range(8)]
            assert len(os.listdir("/proc/self/fd")) - before <= 8 + 3  # the eight accepted here, and a try under way
    finally:
        gc.enable()
        for connection in accepted:
            connection.close()
