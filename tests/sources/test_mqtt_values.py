"""Values that sensors publish become samples, over a real broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.publish
import pytest
import yaml

from edgeinfer import config
from edgeinfer.errors import ConfigError
from edgeinfer.jsonpath import number_at, steps
from edgeinfer.mqtt.broker import MqttOptions
from edgeinfer.mqtt.message import Message
from edgeinfer.plan import make_plans
from edgeinfer.sources.mqtt_values import ChannelOptions, MqttValues, MqttValuesOptions
from tests.broker import Broker, free_port, until


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker") as broker:
        yield broker


CHANNELS = (ChannelOptions(topic="zigbee2mqtt/kitchen", path="temperature"), ChannelOptions(topic="zigbee2mqtt/kitchen", path="power.now"),
            ChannelOptions(topic="door", values={"ajar": 0.5}))


def _source(port: int, **options: Any) -> MqttValues:
    broker = MqttOptions(host="127.0.0.1", port=port, plain_text=True, first_retry_s=0.1, last_retry_s=0.2, connect_timeout_s=1.0)
    return MqttValues(MqttValuesOptions(broker=broker, channels=CHANNELS, **options))


def _publish(port: int, topic: str, payload: str, retain: bool = False) -> None:
    paho.mqtt.publish.single(topic, payload, 1, retain, hostname="127.0.0.1", port=port)


def _connected(source: MqttValues) -> None:
    source.open()
    assert source._subscription is not None
    until(lambda: source._subscription.down_s() == 0, "it hears")  # type: ignore[union-attr]


def _subscribed(source: MqttValues, port: int) -> None:
    """What is published before the broker has the subscription is lost: ask until it comes."""
    _connected(source)

    def came() -> bool:
        _publish(port, "door", "open")
        return bool(source._values._came[2])
    until(came, "the first value")


def test_each_message_is_a_sample_once_all_channels_are_known(broker: Broker) -> None:
    """The other channels hold their values; a message without a number where one was expected is counted."""
    source = _source(broker.port)
    _subscribed(source, broker.port)
    samples = np.zeros((3, 3), np.float32)
    for topic, payload in (("zigbee2mqtt/kitchen", '{"temperature": 21.5, "power": {"now": "12.25"}}'), ("door", "ajar"),
                           ("zigbee2mqtt/kitchen", '{"temperature": null}'), ("door", "\x01?"), ("other", "1"), ("door", "OFF")):
        _publish(broker.port, topic, payload)
    assert source.read_into(samples) == 3
    assert samples.tolist() == [[21.5, 12.25, 1], [21.5, 12.25, 0.5], [21.5, 12.25, 0]]
    assert source.counts() == {"bad": 3, "overflowed": 0}
    source.close()


def test_messages_that_found_no_room_are_a_gap_where_they_are_missing() -> None:
    """Not where the reader is when they are lost, a thousand samples before."""
    source = MqttValues(MqttValuesOptions(broker=MqttOptions(host="h", plain_text=True), channels=(ChannelOptions(topic="t"),)))
    for number in range(1030):
        source._values.hear(Message("t", b"%d" % number))
    samples = np.zeros((2000, 1), np.float32)
    assert [source.read_into(samples), source.gaps, source.counts()] == [1024, 1, {"bad": 0, "overflowed": 6}]
    assert samples[1023, 0] == 1023
    source._values.hear(Message("t", b"7"))
    assert [source.read_into(samples[:1]), source.gaps, samples[0, 0]] == [1, 1, 7]


def test_a_rate_holds_the_last_value(broker: Broker) -> None:
    """As many samples as the rate wants, whatever the sensor sends; a value that the broker kept counts where that is asked for."""
    _publish(broker.port, "zigbee2mqtt/kitchen", '{"temperature": 1, "power": {"now": 2}}', retain=True)
    _publish(broker.port, "door", "closed", retain=True)
    source = _source(broker.port, rate=200.0, retained=True)
    _connected(source)
    samples = np.zeros((20, 3), np.float32)
    assert source.read_into(samples) == 20
    assert samples.tolist() == [[1, 2, 0]] * 20
    source.close()


def test_what_the_broker_kept_is_of_any_age(broker: Broker) -> None:
    """So it is left alone; and a channel without a value for too long is an error that names it."""
    _publish(broker.port, "door", "open", retain=True)
    source = _source(broker.port, stale_s=0.5)
    _connected(source)
    with pytest.raises(Exception, match=r"zigbee2mqtt/kitchen temperature: expected a value within 0.5 s, got none"):
        source.read_into(np.zeros((1, 3), np.float32))
    assert source._values._came == [0, 0, 0]
    source.close()


def test_a_broker_that_goes_and_comes_back_is_heard_again(broker: Broker) -> None:
    """The subscription is made anew without the reader's doing."""
    source = _source(broker.port, rate=0.0)
    _subscribed(source, broker.port)
    broker.stop()
    broker.start()
    until(lambda: source._subscription.down_s() == 0, "it hears again")  # type: ignore[union-attr]

    def came() -> bool:
        _publish(broker.port, "zigbee2mqtt/kitchen", '{"temperature": 1, "power": {"now": 2}}')
        return bool(source._values._came[0])
    until(came, "a value")
    assert source.read_into(np.zeros((1, 3), np.float32)) == 1
    source.close()


def test_a_broker_that_is_not_there_is_told_and_does_no_harm(fails: Callable[..., str]) -> None:
    """A SourceError with the broker's name and the reason; the next attempt is the capture loop's."""
    source = _source(free_port())
    source.open()
    fails(lambda: source.read_into(np.zeros((1, 3), np.float32)), "broker 127.0.0.1:", "expected a connection", "refused")
    source.close()


def test_its_brokers_password_is_judged_as_the_sinks(tmp_path: Path) -> None:
    """An empty one, a guessed one and none at all are refused before anything runs, with the place in the configuration."""
    (tmp_path / "guessed").write_text("changeme\n")
    for credentials, told in (({}, "username"), ({"password_file": str(tmp_path / "guessed")}, "password"),
                              ({"password_file": str(tmp_path / "absent")}, "password")):
        broker = {"host": "other", "username": "cam", **credentials}
        source = {"kind": "mqtt", "broker": broker, "channels": [{"topic": "t"}]}
        document = {"sink": {"kind": "stdout"}, "pipelines": {"motor": {"bundle": "b", "source": source}}}
        with pytest.raises(ConfigError, match=rf"pipelines\.motor\.source\.broker\.{told}"):
            make_plans(config.parse(yaml.safe_dump(document).encode(), tmp_path))


def test_a_source_without_a_broker_hears_the_sinks() -> None:
    """With its credentials, so that they stand in one place; one that names its own keeps it."""
    pipelines = "pipelines: {{a: {{bundle: b, source: {{kind: mqtt, channels: [{{topic: t}}]{}}}}}}}"
    sink = "\nsink: {kind: mqtt, host: h, plain_text: true, username: u, password_file: p}"
    ours = config.parse((pipelines.format("") + sink).encode(), Path("/etc/x")).sources["a"].options.broker
    assert (ours.host, ours.plain_text, ours.username, ours.password_file) == ("h", True, "u", "/etc/x/p")
    other = config.parse((pipelines.format(", broker: {host: other}") + sink).encode(), Path("/")).sources["a"].options.broker
    assert (other.host, other.username) == ("other", "")
    with pytest.raises(ConfigError, match=r"pipelines\.a\.source\.broker"):
        config.parse((pipelines.format("") + "\nsink: {kind: stdout}").encode(), Path("/"))


@pytest.mark.parametrize(("path", "document", "expected"), [
    ("", 5, 5), ("", "5.5", 5.5), ("", True, 1), ("a", {"a": 1}, 1), ("a.b[1].c", {"a": {"b": [0, {"c": 7}]}}, 7), ("[0]", [3], 3),
    ("a", {"b": 1}, None), ("a", None, None), ("a", [1], None), ("[1]", [1], None), ("", None, None), ("", {}, None), ("", "nan", None),
    ("[0]", "57", None), ("a[1]", {"a": "57"}, None), ("", "1e99", None), ("", "x", None), ("", 10**400, None), ("", "", None)])
def test_a_path_finds_a_number_or_says_that_there_is_none(path: str, document: Any, expected: float | None) -> None:
    """Whatever the document holds."""
    if expected is None:
        with pytest.raises(ValueError):  # noqa: PT011  any message
            number_at(document, steps(path), {})
    else:
        assert number_at(document, steps(path), {}) == expected
