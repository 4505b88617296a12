"""Reaching a broker: options, credentials, TLS, versions of MQTT."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeinfer.errors import ConfigError, StorageError, UnavailableError
from edgeinfer.mqtt.broker import MqttOptions, TlsOptions, check_files
from edgeinfer.outbox import OutboxOptions
from edgeinfer.sinks.mqtt import MqttSink
from tests.broker import Broker, OldBroker, free_port, until
from tests.certificates import Certificates
from tests.faults.faultproxy import FaultProxy
from tests.sinks.running import (
    QUICK,
    TOPIC,
    Running,
    balance,
    connected,
    publish,
)


def test_probe_says_what_the_broker_is_or_why_not(tmp_path: Path, broker: Broker) -> None:
    """For edgeinfer check --online."""
    unused = OutboxOptions(path=str(tmp_path / "unused"))
    assert "accepts, MQTT 5" in MqttSink(MqttOptions(**QUICK, port=broker.port), TOPIC, unused).probe(5)
    with pytest.raises(UnavailableError, match="refused"):
        MqttSink(MqttOptions(**QUICK, port=free_port()), TOPIC, unused).probe(5)


def test_start_refuses_what_cannot_work(tmp_path: Path) -> None:
    """Credentials that are not there, and an outbox that is taken."""
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigError, match="not empty"), \
            Running(tmp_path, 1, username="cam", password_file=str(tmp_path / "empty")):
        pass
    with pytest.raises(ConfigError, match=r"sink\.tls\.ca"), \
            Running(tmp_path, 1, plain_text=False, tls=TlsOptions(ca=str(tmp_path / "absent"))):
        pass
    with Running(tmp_path, free_port()), pytest.raises(StorageError), Running(tmp_path, free_port()):
        pass


@pytest.mark.parametrize("word", ["", " \n", "changeme", "Password\n", "mosquitto", "admin", "CAM", "123456", "\nsecond line"])
def test_a_password_that_anyone_would_guess_is_refused(tmp_path: Path, word: str) -> None:
    """Empty, well known, or the name again; the word itself is not repeated."""
    (tmp_path / "password").write_text(word)
    with pytest.raises(ConfigError, match=r"sink\.password") as refused, \
            Running(tmp_path, 1, username="cam", password_file=str(tmp_path / "password")):
        pass
    assert not word.strip() or word.strip() not in str(refused.value).replace("a password of your own", "").replace("sink.password", "")


def test_a_name_alone_is_no_proof(tmp_path: Path) -> None:
    """A username needs a password, or a client certificate, which proves more."""
    with pytest.raises(ConfigError, match=r"sink\.username"), Running(tmp_path, 1, username="cam"):
        pass
    certificates = Certificates(tmp_path / "certificates")
    certificate, key = map(str, certificates.device)
    options = MqttOptions(host="broker", username="cam", tls=TlsOptions(certificate=certificate, key=key))
    check_files(options)


def test_a_password_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """The wrong file was named."""
    (tmp_path / "password").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"), \
            Running(tmp_path, 1, username="cam", password_file=str(tmp_path / "password")):
        pass


@pytest.mark.parametrize("wrong", [
    {"will_delay_s": 3601}, {"will_delay_s": 10, "session_expiry_s": 5}, {"session_expiry_s": -1},
    {"host": ""}, {"port": 70000}, {"tls": TlsOptions()}, {"password_file": "x"}, {"in_flight": 0}, {"last_retry_s": 0.01},
    {"username": "u", "password_file": "x", "password_credential": "y"}, {"ack_timeout_s": 0}, {"keepalive_s": 0},
    {"username": "u", "password_credential": "../shadow"}, {"username": "u", "password_credential": "a\nUser=root"},
    {"host": "mqtt://broker"}, {"host": "broker:1883"}, {"host": "[::1]"}, {"host": "a b"}, {"host": "user@broker"},
    *({name: value} for name in ("connect_timeout_s", "ack_timeout_s", "first_retry_s", "last_retry_s")
      for value in (math.nan, math.inf, 1e9)),
])
def test_options_that_contradict_themselves_are_refused(wrong: dict[str, Any]) -> None:
    """With what was expected and what was got."""
    with pytest.raises(ValueError, match=r"expected .*, got"):
        MqttOptions(**{**QUICK, **wrong})


@pytest.mark.parametrize("host", ["broker", "broker.local.", "192.0.2.1", "::1", "fe80::1%eth0", "bücher.example", "my_broker"])
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    """IPv4, IPv6 with its zone, and names as they are written."""
    assert MqttOptions(host=host).host == host


def test_tls_is_on_unless_the_configuration_says_otherwise() -> None:
    """And the port follows."""
    assert MqttOptions(host="broker").address == ("broker", 8883)
    assert MqttOptions(host="broker", plain_text=True).address == ("broker", 1883)


def test_plain_text_is_told_at_each_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever reads the log sees that anyone on the way can read and change results."""
    for start in (1, 2):
        with Running(tmp_path, free_port()):
            pass
        assert caplog.text.count("plain text: anyone on the way can read") == start


def test_a_wrong_password_is_shown_and_the_right_one_is_picked_up(tmp_path: Path) -> None:
    """The file is read anew at each try, so that a rotated password needs no restart."""
    (tmp_path / "password").write_text("wrong\n")
    with Broker(tmp_path / "broker", passwords={"cam": "right"}) as broker:
        options = {"username": "cam", "password_file": str(tmp_path / "password")}
        with Running(tmp_path, broker.port, **options) as sink:
            publish(sink, 1)
            until(lambda: sink.state()["last_error"], "it is refused")
            assert sink.state()["last_error"] in {"Not authorized", "Bad user name or password"}
            (tmp_path / "password").write_text("right\n")
            until(lambda: balance(sink)["acknowledged"] == 1, "it arrives")


def test_a_password_comes_from_the_services_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd's LoadCredential=mqtt:… becomes $CREDENTIALS_DIRECTORY/mqtt."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "mqtt").write_text("right")
    with Broker(tmp_path / "broker", passwords={"cam": "right"}) as broker, \
            Running(tmp_path, broker.port, username="cam", password_credential="mqtt") as sink:
        connected(sink)


def test_tls_with_a_client_certificate(tmp_path: Path) -> None:
    """The broker demands one; a wrong authority gives a clear error, is tried on, and is never connected to."""
    certificates = Certificates(tmp_path / "certificates")
    device, key = map(str, certificates.device)
    with Broker(tmp_path / "broker", certificates=certificates) as broker:
        tls = TlsOptions(ca=str(certificates.ca), certificate=device, key=key)
        with Running(tmp_path, broker.port, plain_text=False, tls=tls) as sink:
            publish(sink, 1)
            until(lambda: balance(sink)["acknowledged"] == 1, "it arrives")
        with FaultProxy(broker.port, tls=True) as proxy:
            stranger = msgspec.structs.replace(tls, ca=str(certificates.stranger))
            with Running(tmp_path, proxy.port, plain_text=False, tls=stranger) as sink:
                until(lambda: proxy.connections >= 2, "it keeps trying")
                assert "certificate verify failed" in sink.state()["last_error"]
        with Running(tmp_path, broker.port, plain_text=False, tls=TlsOptions(ca=str(certificates.ca))) as sink:
            until(lambda: sink.state()["last_error"], "it is refused")
            assert "certificate" in sink.state()["last_error"]
            assert not sink.state()["connected"]
        with Running(tmp_path, broker.port, host="127.0.0.2", plain_text=False, tls=tls) as sink:
            until(lambda: sink.state()["last_error"], "it fails")
            assert not sink.state()["connected"], "the broker's certificate does not bear this address"


def test_tls_files_that_cannot_work_are_refused_at_the_start(tmp_path: Path) -> None:
    """No certificate, a key of another one, or a key with a pass phrase, which OpenSSL would ask for at the terminal."""
    certificates = Certificates(tmp_path / "certificates")
    ca = str(certificates.ca)
    (device, key), (_, other) = (map(str, pair) for pair in (certificates.device, certificates.server))
    locked = certificates.lock("device")
    for tls, told in ((TlsOptions(ca=key), "no certificate"), (TlsOptions(ca=ca, certificate=device, key=other), "mismatch"),
                      (TlsOptions(ca=ca, certificate=key, key=key), "expected"),
                      (TlsOptions(ca=ca, certificate=device, key=str(locked)), "pass phrase")):
        with pytest.raises(ConfigError, match=rf"sink\.tls: .*{told}"):
            check_files(MqttOptions(host="broker", tls=tls))
    check_files(MqttOptions(host="broker", tls=TlsOptions(ca=ca, certificate=device, key=key)))


def test_a_broker_that_speaks_only_3_1_1_is_served(tmp_path: Path) -> None:
    """amqtt refuses MQTT 5; the sink falls back by itself."""
    with OldBroker() as old, Running(tmp_path, old.port) as sink:
        publish(sink, *range(30))
        until(lambda: balance(sink)["acknowledged"] == 30, "all are acknowledged")
        assert sink.state()["protocol"] == "3.1.1"
        assert "3.1.1" in MqttSink(MqttOptions(**QUICK, port=old.port), TOPIC, OutboxOptions(path="unused")).probe(5)
