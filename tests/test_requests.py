"""The desk where requests come: bounded, and every one that is taken is answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer import config
from edgeinfer.errors import ConfigError
from edgeinfer.model.preprocess.columns import Column
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.mqtt.message import Message
from edgeinfer.plan import make_plans
from edgeinfer.requests import Desk, RequestOptions
from edgeinfer.rows import RowSamples
from edgeinfer.sources.requests import Requests
from tests.bundles import with_manifest
from tests.transactions import transactions


class Sent:
    """What a sink was given."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any], bytes]] = []

    def __call__(self, topic: str, payload: bytes, *, correlation: bytes = b"", expiry_s: float = 0) -> None:
        self.messages.append((topic, json.loads(payload), correlation))


def _desk(**options: Any) -> tuple[Desk, Sent]:
    desk, sent = Desk(RequestOptions(**options)), Sent()
    desk.attach("edgeinfer/n", "fraud", sent)
    desk.open()
    return desk, sent


def _ask(desk: Desk, payload: bytes = b"{}", response_topic: str = "mine", correlation: bytes = b"c", **more: Any) -> None:
    desk.post(Message(desk.topic, payload, response_topic=response_topic, correlation=correlation, **more))


def test_the_topic_is_the_pipelines_unless_the_configuration_says_otherwise() -> None:
    """Below the node's own."""
    assert _desk()[0].topic == "edgeinfer/n/fraud/request"
    assert _desk(topic="shop/transactions")[0].topic == "shop/transactions"


def test_each_frame_is_answered_to_whoever_asked_for_it_once() -> None:
    """In whatever order frames are asked for; refused rows become no frame."""
    desk, sent = _desk()
    for number in range(4):
        _ask(desk, b"{}", f"mine/{number}")
        assert desk.take(1) == {}
        if number == 1:
            desk.refuse("amount: expected a value")
    assert sent.messages == [("mine/1", {"status": "error", "data": {}, "error": "amount: expected a value"}, b"c")]
    for number, topic in ((0, "mine/0"), (1, "mine/2"), (2, "mine/3")):
        asker = desk.asker(number)
        assert asker is not None
        assert asker.topic == topic
        assert desk.asker(number) is None
    desk.fail(2, "again")
    assert len(sent.messages) == 1


@pytest.mark.parametrize("topic", ["edgeinfer/n/status", "edgeinfer/other/response/x", "a/#", "a/+", "$SYS/x", "homeassistant/x/config", "x" * 300, "a\0b"])
def test_an_answer_goes_to_no_topic_that_this_device_speaks_on_with_authority(topic: str) -> None:
    """Nor to one that is none; with a transaction it goes to the device's own instead."""
    desk, sent = _desk()
    _ask(desk, b"", topic)
    desk.interrupt()
    assert desk.take(10) is None
    assert sent.messages == []
    _ask(desk, b'{"transaction": 7}', topic)
    assert desk.take(1) == {"transaction": 7}
    desk.fail(0, "why")
    assert sent.messages == [("edgeinfer/n/response/fraud/prediction", {"status": "error", "data": {}, "error": "why", "transaction": 7}, b"c")]


@given(payload=st.one_of(st.binary(max_size=60), st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=9), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=11), inner, max_size=3), max_leaves=6).map(lambda value: json.dumps(value).encode())))
def test_whatever_comes_is_a_row_or_is_answered_with_an_error(payload: bytes) -> None:
    """Never an exception, never silence."""
    desk, sent = _desk()
    _ask(desk, payload)
    desk.interrupt()
    row = desk.take(10)
    assert (row is None) == (len(sent.messages) == 1)
    assert row is None or isinstance(row, dict | str)


def test_floods_retained_and_late_ones_are_dropped_and_counted() -> None:
    """Never more in memory than the options allow; no answers that would double the flood."""
    desk, sent = _desk(waiting=3, per_second=5.0)
    _ask(desk, retained=True)
    for _ in range(10):
        _ask(desk)
    assert desk.counts()["overflowed"] == 7
    for _ in range(3):
        assert desk.take(1) == {}
    for _ in range(10):
        _ask(desk)
    assert desk.counts()["too_many"] >= 7
    assert sent.messages == []
    waiting = desk.counts()
    desk.close()
    assert {message["error"] for _, message, _ in sent.messages} == {"the pipeline is paused or restarts: ask again later"}
    _ask(desk)
    assert desk.counts() == {**waiting, "refused": len(sent.messages), "while_closed": 1, "retained": 1}


def test_who_asks_a_paused_pipeline_is_told_so() -> None:
    """As those are that waited when it was paused: nobody waits for an answer that never comes. Of a flood, not all."""
    desk, sent = _desk(per_second=5.0)
    desk.close()
    for _ in range(20):
        _ask(desk, correlation=b"late")
    assert 5 <= len(sent.messages) <= 7
    assert sent.messages[0] == ("mine", {"status": "error", "data": {}, "error": "the pipeline is paused or restarts: ask again later"}, b"late")
    assert desk.counts()["while_closed"] == 20
    desk.open()
    assert desk.take(0.01) is None


def test_a_model_without_a_table_or_of_several_rows_takes_no_requests() -> None:
    """Said when the configuration is checked."""
    for spec, words in ((WindowSpec(length=1), "named columns"), (WindowSpec(length=2, table=(Column(name="x"),)), "single rows")):
        with pytest.raises(ConfigError, match=words):
            RowSamples(Requests(RequestOptions()), spec, "pipelines.fraud.source")


def test_a_row_that_does_not_fit_is_answered_and_the_next_one_is_read() -> None:
    """The reader never sees it."""
    source, sent = Requests(RequestOptions()), Sent()
    rows = RowSamples(source, WindowSpec(length=1, table=(Column(name="x"),)), "source")
    source.desk.attach("edgeinfer/n", "fraud", sent)
    rows.open()
    for payload in (b'{"y": 1}', b'"text"', b'{"x": 5}'):
        _ask(source.desk, payload)
    samples = np.zeros((1, 1), np.float32)
    assert rows.read_into(samples) == 1
    assert samples.tolist() == [[5]]
    assert [message["error"] for _, message, _ in sent.messages] == [
        "x: expected a value, got no such column hint: known: y", "row: expected an object of named values, got a text"]
    rows.close()


def test_a_fault_of_ours_never_gives_an_answer_to_the_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row becomes no frame: the next frame is the next one's who asked, after the source was opened anew."""
    source, sent = Requests(RequestOptions()), Sent()
    rows = RowSamples(source, WindowSpec(length=1, table=(Column(name="x"),)), "source")
    source.desk.attach("edgeinfer/n", "fraud", sent)
    rows.open()
    samples = np.zeros((1, 1), np.float32)
    _ask(source.desk, b'{"x": 1}', "mine/0")
    with monkeypatch.context() as patch:
        patch.setattr(rows._columns, "write", lambda row, out: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            rows.read_into(samples)
    rows.close()
    rows.open()
    _ask(source.desk, b'{"x": 2}', "mine/1")
    assert rows.read_into(samples) == 1
    asker = source.desk.asker(0)
    assert asker is not None
    assert asker.topic == "mine/1"
    assert [(topic, answer["status"]) for topic, answer, _ in sent.messages] == [("mine/0", "error")]
    rows.close()


@pytest.mark.parametrize(("change", "stays"), [({}, True), ({"unknown": 1.0}, False), ({"categories": {"DE": 1.0, "FR": 0.0}}, False)])
def test_a_model_with_another_table_gets_a_source_that_has_it(tmp_path: Path, change: dict[str, Any], stays: bool) -> None:
    """When an installed model is exchanged: rows that were read by the old table are not what the new one takes."""
    bundle = transactions(tmp_path)
    spec = bundle.manifest.preprocess
    assert isinstance(spec, WindowSpec)
    table = tuple(msgspec.structs.replace(column, **change) if column.name == "country" else column for column in spec.table)
    other = with_manifest(bundle, tmp_path / "other", msgspec.structs.replace(bundle.manifest, preprocess=msgspec.structs.replace(spec, table=table)))
    text = f"pipelines: {{a: {{bundle: {bundle.folder}, source: {{kind: requests}}}}, b: {{bundle: {other.folder}, source: {{kind: requests}}}}}}\nsink: {{kind: stdout}}"
    one, another = make_plans(config.parse(text.encode(), tmp_path))
    assert one.fits_ring_of(another) == stays
