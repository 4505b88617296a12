"""Requests over a real broker: every one is answered, to whoever asked."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import paho.mqtt.publish
import pytest

from tests.broker import Broker, Listener, until
from tests.bundles import configuration
from tests.daemon import check_equations
from tests.e2e.running import Running
from tests.texts import texts
from tests.transactions import Asking, fraud, transactions

TOPIC = "edgeinfer/test/fraud/request"


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(transactions(tmp_path_factory.mktemp("transactions")).folder)


def test_a_transaction_is_scored_for_whoever_asks(broker: Broker, bundle: str, tmp_path: Path) -> None:
    """Named columns, in any order and among others; a hundred at once each get their own; what is wrong is told, and counted."""
    config = configuration(broker.port, {"fraud": {"bundle": bundle, "source": {"kind": "requests"}, "gate": {"min_score": 2.0}}})
    with Running(tmp_path, config) as daemon, Asking(broker.port) as asking, Listener(broker.port) as listener:
        asking.ready(TOPIC)
        connection = daemon.sink._connection.link._client.socket()  # type: ignore[attr-defined]
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), "an answer does not wait for the acknowledgement of its question"
        answer = asking.ask(TOPIC, {"night": True, "country": "FR", "amount": 250, "who": "x"})
        assert answer["status"] == "ok"
        assert answer["data"]["model"] == "transactions:1"
        assert answer["data"]["result"]["classes"][0]["label"] == "fraud"
        assert answer["data"]["result"]["classes"][0]["score"] == pytest.approx(fraud(250, "FR", True), abs=1e-4)

        for number in range(60):
            asking.send(TOPIC, json.dumps({"amount": number * 10, "country": "IT", "night": None}).encode(), b"%d" % number)
        until(lambda: all(b"%d" % number in asking.answers for number in range(60)), "all are answered")
        for number in range(60):
            score = fraud(number * 10, "", False)
            assert asking.answers[b"%d" % number]["data"]["result"]["classes"][0]["score"] == pytest.approx(max(score, 1 - score), abs=1e-4)

        for row, words in [({"country": "DE"}, "amount: expected a value"), ({"amount": "1", "country": "DE"}, "a finite number"),
                           ({"amout": 1, "country": "DE"}, "did you mean 'amout'"), (b"{", "expected JSON"), (b"[1]", "named values"),
                           (b'"a text"', "named values"), (b"[" * 30000, "bytes"), (b"[" * 9000, "expected JSON"), ({"amount": 1, "country": 7, "transaction": 9}, "")]:
            answer = asking.ask(TOPIC, row)
            assert answer["status"] == ("error" if words else "ok")
            assert words in answer.get("error", "")
        assert answer["transaction"] == 9
        assert listener.on("edgeinfer/test/fraud/result") == [], "the gate holds back what only the sender wants"

        paho.mqtt.publish.single(TOPIC, json.dumps({"amount": 1, "country": "DE", "transaction": "t7"}), 1,
                                 hostname="127.0.0.1", port=broker.port)
        until(lambda: listener.on("edgeinfer/test/response/fraud/prediction"), "a client of MQTT 3.1.1 is answered")
        assert json.loads(listener.on("edgeinfer/test/response/fraud/prediction")[0])["transaction"] == "t7"
        asking.send(TOPIC, b"{}", b"retained", retain=True)
        asking.ask(TOPIC, {"amount": 1, "country": "DE"})
        assert b"retained" not in asking.answers

        daemon.set_enabled("fraud", False)
        until(lambda: daemon.health()["pipelines"]["fraud"]["source"]["paused"] and not daemon.health()["pipelines"]["fraud"]["source"]["working"], "it is paused")
        health = daemon.health()
        check_equations(health)
        source = health["pipelines"]["fraud"]["source"]
        assert source["retained"] == 1
        assert source["answered"] == health["pipelines"]["fraud"]["inferred"]
        daemon.set_enabled("fraud", True)
        asking.answers.clear()
        asking.ready(TOPIC)


def test_a_sentence_is_classified_for_whoever_asks(broker: Broker, tmp_path: Path) -> None:
    """As a JSON text, or an object's field; on a topic of one's own."""
    bundle = texts(tmp_path)
    source = {"kind": "requests", "topic": "shop/opinions", "max_bytes": 200}
    with Running(tmp_path, configuration(broker.port, {"opinion": {"bundle": str(bundle.folder), "source": source}})), Asking(broker.port) as asking:
        asking.ready("shop/opinions")
        for sentence, label in (("it is good", "for"), ({"text": "Bad!"}, "against"), ({"text": "good good bad"}, "for")):
            assert asking.ask("shop/opinions", sentence)["data"]["result"]["classes"][0]["label"] == label
        assert "text: expected a text" in asking.ask("shop/opinions", {"words": "good"})["error"]
        assert "at most 200 bytes" in asking.ask("shop/opinions", "good " * 100)["error"]
