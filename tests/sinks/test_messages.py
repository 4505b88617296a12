"""What comes in and what is answered, at a real broker: commands over outages, answers, expiry, a will that waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgeinfer.mqtt.client import BoundedClient
from edgeinfer.mqtt.listening import MAX_PAYLOAD, Listening, matches
from edgeinfer.sinks import Message
from edgeinfer.sinks.transient import Transient, Unstored
from tests.broker import PATIENCE, Broker, Listener, until
from tests.faults.faultproxy import FaultProxy
from tests.sinks.running import STATUS, TOPIC, Running, connected, publish

COMMANDS = f"{TOPIC}/command/#"
ENABLED = f"{TOPIC}/command/door/enabled"
BOTH = pytest.mark.parametrize("protocol", ["5", "3.1.1"])


class Hearing(Running):
    """A sink that listens to commands; ``heard`` is what came."""

    def __init__(self, folder: Path, port: int, **options: Any) -> None:
        super().__init__(folder, port, **options)
        self.heard: list[Message] = []
        self.sink.listen([COMMANDS, "homeassistant/status"], self.heard.append)


class Speaker:
    """A program of MQTT 5 that commands."""

    def __init__(self, port: int) -> None:
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="speaker", protocol=paho.MQTTv5)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def say(self, payload: bytes, topic: str = ENABLED, retain: bool = False, **properties: Any) -> None:
        said = Properties(PacketTypes.PUBLISH)
        for name, value in properties.items():
            setattr(said, name, value)
        self._client.publish(topic, payload, 1, retain, said).wait_for_publish(5)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def speaker(broker: Broker) -> Iterator[Speaker]:
    made = Speaker(broker.port)
    yield made
    made.close()


def subscribed(speaker: Speaker, running: Hearing) -> None:
    """A first message has come."""

    def came() -> bool:
        speaker.say(b"?", f"{TOPIC}/command/ready")
        return bool(running.heard)

    until(came, "the sink is subscribed")
    time.sleep(0.05)
    running.heard.clear()


@BOTH
def test_what_is_published_on_its_topics_is_heard(tmp_path: Path, broker: Broker, speaker: Speaker, protocol: str) -> None:
    """Only there; with the sender's response topic and correlation data where the protocol has them."""
    running = Hearing(tmp_path, broker.port, protocol=protocol)
    with running as sink:
        subscribed(speaker, running)
        speaker.say(b"no", f"{TOPIC}/door/result")
        speaker.say(b"ON", ResponseTopic="app/answers", CorrelationData=b"\x01")
        speaker.say(b"online", "homeassistant/status")
        until(lambda: len(running.heard) == 2, "two are heard")
        asked, birth = running.heard
        assert (asked.topic, asked.payload, asked.retained) == (ENABLED, b"ON", False)
        wish = ("app/answers", b"\x01") if protocol == "5" else ("", b"")
        assert (asked.response_topic, asked.correlation) == wish
        assert birth.payload == b"online"
        assert sink.state()["heard"]["unasked"] == 0


@BOTH
def test_commands_sent_while_it_was_away_arrive(tmp_path: Path, broker: Broker, speaker: Speaker, protocol: str) -> None:
    """The broker keeps the session of a device that was stopped."""
    running = Hearing(tmp_path, broker.port, protocol=protocol)
    with running:
        subscribed(speaker, running)
    speaker.say(b"OFF")
    again = Hearing(tmp_path, broker.port, protocol=protocol)
    with again:
        until(lambda: [message.payload for message in again.heard] == [b"OFF"], "it arrives")
        assert not again.heard[0].retained


def test_a_session_ends_when_nobody_came_for_so_long(tmp_path: Path, broker: Broker, speaker: Speaker) -> None:
    """A command of yesterday is not carried out today."""
    running = Hearing(tmp_path, broker.port, session_expiry_s=1, will_delay_s=0)
    with running:
        subscribed(speaker, running)
    speaker.say(b"OFF")
    time.sleep(2.5)
    again = Hearing(tmp_path, broker.port, session_expiry_s=1, will_delay_s=0)
    with again:
        subscribed(speaker, again)
        assert again.heard == []


@BOTH
def test_a_broker_that_lost_the_session_gets_the_subscriptions_anew(tmp_path: Path, broker: Broker, protocol: str) -> None:
    """It was killed and keeps nothing."""
    running = Hearing(tmp_path, broker.port, protocol=protocol)
    with running as sink:
        connected(sink)
        broker.kill()
        until(lambda: not sink.state()["connected"], "the sink has seen it")
        broker.start()
        speaker = Speaker(broker.port)
        subscribed(speaker, running)
        speaker.say(b"ON")
        until(lambda: [message.payload for message in running.heard] == [b"ON"], "it is heard")
        speaker.close()


def test_a_retained_command_is_known_as_such_at_any_time(tmp_path: Path, broker: Broker, speaker: Speaker) -> None:
    """Stored before, and published with the flag while we are there (retain as published)."""
    speaker.say(b"ON", retain=True)
    running = Hearing(tmp_path, broker.port)
    with running:
        until(lambda: running.heard, "the stored one")
        speaker.say(b"OFF", retain=True)
        until(lambda: len(running.heard) == 2, "the live one")
        assert [message.retained for message in running.heard] == [True, True]


@BOTH
def test_what_is_too_long_is_not_heard(tmp_path: Path, broker: Broker, speaker: Speaker, protocol: str) -> None:
    """Under MQTT 5 the broker does not even send it; under 3.1.1 it is counted."""
    running = Hearing(tmp_path, broker.port, protocol=protocol)
    with running as sink:
        subscribed(speaker, running)
        speaker.say(b"x" * (MAX_PAYLOAD + 4096))
        speaker.say(b"x" * MAX_PAYLOAD)
        until(lambda: running.heard, "the other one")
        assert [len(message.payload) for message in running.heard] == [MAX_PAYLOAD]
        assert sink.state()["heard"]["too_long"] == (0 if protocol == "5" else 1)
        assert sink.state()["reconnects"] == 0


def test_a_message_of_many_megabytes_is_not_kept(tmp_path: Path, broker: Broker, speaker: Speaker,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """MQTT 3.1.1 cannot forbid it. It is read, left, acknowledged and counted, and what comes behind it is heard."""
    most = 0

    def watch(client: BoundedClient, size: int) -> bytes:
        nonlocal most
        data = receive(client, size)
        most = max(most, len(client._in_packet["packet"]) + len(data))
        return data

    receive = BoundedClient._sock_recv
    monkeypatch.setattr(BoundedClient, "_sock_recv", watch)
    running = Hearing(tmp_path, broker.port, protocol="3.1.1")
    with running as sink:
        subscribed(speaker, running)
        speaker.say(b"x" * 8_000_000)
        speaker.say(b"ON")
        until(lambda: running.heard, "the other one")
        assert [message.payload for message in running.heard] == [b"ON"]
        assert sink.state()["heard"]["too_long"] == 1
        assert sink.state()["reconnects"] == 0
    assert 0 < most < 300_000


def test_a_receiver_that_raises_does_not_harm_the_connection(tmp_path: Path, broker: Broker, speaker: Speaker) -> None:
    """Counted; results flow."""
    running = Running(tmp_path, broker.port)
    running.sink.listen([COMMANDS], lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
    with running as sink:
        connected(sink)
        until(lambda: speaker.say(b"ON") or sink.state()["heard"]["failed"] > 0, "it is counted")
        publish(sink, 1)
        assert sink.drain(5)
        assert sink.state()["reconnects"] == 0


def test_what_an_earlier_configuration_listened_to_is_left_aside(tmp_path: Path, broker: Broker, speaker: Speaker) -> None:
    """The broker still has its subscription: counted, not posted."""
    running = Hearing(tmp_path, broker.port)
    with running:
        subscribed(speaker, running)
    later = Running(tmp_path, broker.port)
    heard: list[Message] = []
    later.sink.listen(["homeassistant/status"], heard.append)
    with later as sink:
        until(lambda: speaker.say(b"ON") or sink.state()["heard"]["unasked"] > 0, "it is left aside")
        assert heard == []


@BOTH
def test_an_answer_reaches_whoever_asked(tmp_path: Path, broker: Broker, protocol: str) -> None:
    """With the correlation data under MQTT 5; over an outage, too."""
    answers: list[Any] = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="app", protocol=paho.MQTTv5)
    client.on_message = lambda _c, _u, message: answers.append(message)
    client.connect("127.0.0.1", broker.port)
    client.subscribe("app/answers", 1)
    client.loop_start()
    with FaultProxy(broker.port) as proxy, Running(tmp_path, proxy.port, protocol=protocol) as sink:
        connected(sink)
        sink.send("app/answers", b"1", correlation=b"\x07", expiry_s=60)
        until(lambda: answers, "the answer")
        proxy.cut()
        sink.send("app/answers", b"2")
        until(lambda: answers[-1].payload == b"2", "the second one")
        assert sink.drain(5)
        assert list(dict.fromkeys(message.payload for message in answers)) == [b"1", b"2"]  # QoS 1: the first may come twice
        if protocol == "5":
            assert answers[0].properties.CorrelationData == b"\x07"
            assert 50 <= answers[0].properties.MessageExpiryInterval <= 60
        assert sink.state()["unstored_dropped"] == 0
    client.disconnect()
    client.loop_stop()


def test_answers_that_nobody_can_get_are_dropped_and_counted(tmp_path: Path, broker: Broker) -> None:
    """Bounded in number and in size, the oldest first."""
    broker.kill()
    with Running(tmp_path, broker.port) as sink:
        for number in range(1100):
            sink.send("app/answers", b"%d" % number)
        sink.send("app/answers", b"x" * 100_000)
        assert sink.state()["unstored_dropped"] == 77
        broker.start()
        connected(sink)
        assert sink.drain(10 * PATIENCE)


def test_messages_in_memory_are_bounded_in_their_bytes() -> None:
    """A MiB, whatever waits or is in flight; what was acknowledged makes room."""
    transient = Transient()
    for number in range(40):
        transient.put(Unstored("t", b"%2d" % number * 16384, b"", 0.0))
    assert transient.dropped == 8
    taken = [transient.take(0.0) for _ in range(4)]
    for message in taken:
        assert message is not None
        transient.acknowledge(message)
    assert taken[0] is not None
    assert taken[0].payload[:2] == b" 8"
    for _ in range(4):
        transient.put(Unstored("t", b"x" * 32768, b"", 0.0))
    assert transient.dropped == 8


def test_messages_from_memory_are_sent_again_over_the_next_connection() -> None:
    """In order; what has expired meanwhile is not."""
    transient = Transient()
    for number in range(3):
        transient.put(Unstored("t", b"%d" % number, b"", 10.0 if number == 1 else 0.0))
    first = transient.take(0.0)
    second = transient.take(0.0)
    assert first is not None
    assert second is not None
    transient.release()
    transient.acknowledge(first)  # an acknowledgement that came too late
    taken = [transient.take(20.0), transient.take(20.0), transient.take(20.0)]
    assert [message.payload if message else None for message in taken] == [b"0", b"2", None]
    assert transient.dropped == 1
    assert not transient.settled


def test_a_retained_value_is_forgotten_when_it_is_stale(tmp_path: Path, broker: Broker) -> None:
    """By the broker (MQTT 5), and by the sink, which does not tell it again."""
    with Running(tmp_path, broker.port) as sink:
        connected(sink)
        sink.set_retained(f"{TOPIC}/health", b"1", expiry_s=1)
        sink.set_retained(f"{TOPIC}/model", b"2", expiry_s=60)
        assert sink.drain(5)
        time.sleep(2.2)
        sink.repeat_retained()
        assert sink.drain(5)
        with Listener(broker.port) as late:
            until(lambda: len(late.messages) == 2, "what is retained")
            assert {topic for topic, _, _ in late.messages} == {f"{TOPIC}/model", STATUS}


def test_a_short_absence_is_not_told_as_offline(tmp_path: Path, broker: Broker, listener: Listener) -> None:
    """The will waits for its delay: nobody's automations run over a flicker of the network."""
    with FaultProxy(broker.port) as proxy, Running(tmp_path, proxy.port) as sink:
        connected(sink)
        for _ in range(3):
            proxy.cut()
            until(lambda: not sink.state()["connected"], "it is gone")
            connected(sink)
        assert sink.drain(5)
        assert set(listener.on(STATUS)) == {b"online"}


def test_a_longer_absence_is_told(tmp_path: Path, broker: Broker, listener: Listener) -> None:
    """After the delay; and online again afterwards."""
    options = {"will_delay_s": 1, "first_retry_s": 3.0, "last_retry_s": 3.0}
    with FaultProxy(broker.port) as proxy, Running(tmp_path, proxy.port, **options) as sink:
        connected(sink)
        assert sink.drain(5)
        proxy.cut()
        until(lambda: listener.on(STATUS) == [b"online", b"offline"], "the will")
        until(lambda: listener.on(STATUS) == [b"online", b"offline", b"online"], "it is back")


@pytest.mark.parametrize(("pattern", "topic", "fits"), [
    ("a/b", "a/b", True), ("a/b", "a/b/c", False), ("a/+", "a/b", True), ("a/+", "a", False), ("a/+", "a/b/c", False),
    ("a/#", "a/b/c", True), ("a/#", "a", True), ("#", "a/b", True), ("+/b", "a/b", True), ("a/b", "a", False), ("a/#", "b/c", False),
])
def test_topics_match_as_the_standard_says(pattern: str, topic: str, fits: bool) -> None:
    """MQTT 5.0, 4.7.1."""
    assert matches(pattern, topic) is fits


def test_nobody_listens_without_being_asked() -> None:
    """A sink without ``listen`` hears nothing."""
    listening = Listening()
    listening.hear(Message("t", b""))
    assert listening.counts() == {"posted": 0, "unasked": 1, "too_long": 0, "failed": 0}


def test_listen_comes_before_start(tmp_path: Path, broker: Broker) -> None:
    """Wrong use of the code is a RuntimeError."""
    with Running(tmp_path, broker.port) as sink, pytest.raises(RuntimeError):
        sink.listen(["t"], lambda _: None)
