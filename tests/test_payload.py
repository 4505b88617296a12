"""Payload v1: what a receiver can rely on."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.errors import ConfigError
from edgeinfer.model.result import Anomaly, Box, Classes, Detections, Label, Raw, Regression, Result
from edgeinfer.payload import Encoder, timestamp

DOCS = Path(__file__).resolve().parent.parent / "docs" / "topics-and-payloads.md"
WALL_NS = 1_700_000_000_123_999_999


class Foreign(Result):
    """A result of a decoder of somebody else, which may return anything."""

    content: Any

    def document(self) -> Any:
        return self.content


def encoder(max_bytes: int = 16384) -> Encoder:
    return Encoder("porch", "door", "mobilenet:1.2", "classification", "b0075eed", max_bytes=max_bytes)


def encode(result: Result, max_bytes: int = 16384) -> dict[str, Any]:
    document = json.loads(encoder(max_bytes).encode(result, 7, WALL_NS, 41_234_567, "change"))
    assert isinstance(document, dict)
    return document


def test_a_payload_holds_the_documented_fields() -> None:
    """Version first, then identity, time, model and task; the result is the decoder's own document."""
    document = encode(Classes([Label(281, "tabby", 0.81999)], 1))
    assert next(iter(document)) == "v"
    assert document == {
        "v": 1, "id": "b0075eed-door-7", "node": "porch", "pipeline": "door", "boot": "b0075eed", "seq": 7,
        "ts": "2023-11-14T22:13:20.123Z", "model": "mobilenet:1.2", "task": "classification", "reason": "change",
        "latency_ms": 41.235, "result": {"classes": [{"label": "tabby", "index": 281, "score": 0.82}]},
    }


def test_the_page_documents_every_field() -> None:
    """docs/topics-and-payloads.md names each field in its table, and its example is a payload of ours."""
    text = DOCS.read_text(encoding="utf-8")
    shown = json.loads(re.findall(r"```json\n(.*?)```", text, re.DOTALL)[0])
    result = Detections([Box(0, "person", 0.91, 0.11, 0.2, 0.38, 0.97), Box(2, "car", 0.58, 0.55, 0.4, 0.98, 0.8)], 2)
    made = Encoder("porch", "door", "ssd-person:3", "detection", "9f2c41d07a3e").encode(
        result, 128, 1_795_535_997_123_000_000, 38_214_000, "change")
    assert shown == json.loads(made)
    named = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert {*shown, "truncated", "replayed"} <= named


RESULTS: list[Result] = [
    Classes([Label(0, "tür", 0.5), Label(1, "猫", float("nan"))], 2),
    Detections([Box(0, "person", 0.9, 0.1, 0.2, 0.3, 0.4)] * 40, 40),
    Anomaly(value=float("inf"), threshold=1.0),
    Regression(("a", "b"), [1.0, float("nan")]),
    Raw(("boxes", "scores"), ((1, 200, 4), (1, 200)), [[0.25] * 800, [0.5] * 200]),
]


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
@pytest.mark.parametrize("max_bytes", [320, 400, 1000, 16384])
def test_every_task_fits_every_cap(result: Result, max_bytes: int) -> None:
    """Each task's result is JSON within the cap; it is whole unless it says that it was truncated."""
    raw = encoder(max_bytes).encode(result, 7, WALL_NS, 1, "frame")
    assert len(raw) <= max_bytes
    document = json.loads(raw)
    if not document.get("truncated"):
        assert document["result"] == json.loads(json.dumps(result.document()), parse_constant=lambda _: None)


def test_rows_are_dropped_from_the_end_and_stay_whole() -> None:
    """A truncated list of detections keeps its first rows as they were, and the count of all."""
    rows = [Box(i, f"thing {i}", 0.9, 0.1, 0.2, 0.3, 0.4) for i in range(40)]
    made = encoder(1000)
    document = json.loads(made.encode(Detections(rows, 40), 7, WALL_NS, 1, "frame"))
    kept = document["result"]["detections"]
    whole = Detections(rows, 40).document()["detections"]
    assert document["truncated"] is True
    assert document["result"]["count"] == 40
    assert 0 < len(kept) < 40
    assert kept == whole[: len(kept)]
    assert made.truncated == 1
    one_more = {**document, "result": {"count": 40, "detections": whole[: len(kept) + 1]}}
    assert len(json.dumps(one_more, separators=(",", ":"))) > 1000, "no more rows are dropped than must be"


def test_the_largest_list_is_cut_first() -> None:
    """Of two tensors the larger one is cut; shapes and the smaller one are left as they are."""
    document = encode(Raw(("big", "small"), ((1, 900), (3,)), [[0.5] * 900, [1.0, 2.0, 3.0]]), 1000)
    tensors = document["result"]["tensors"]
    assert tensors["small"] == {"shape": [3], "data": [1.0, 2.0, 3.0]}
    assert tensors["big"]["shape"] == [1, 900]
    assert 0 < len(tensors["big"]["data"]) < 900


def test_a_result_that_cannot_be_cut_to_fit_is_sent_empty() -> None:
    """Where nothing is left to drop, the result is {} and truncated: the frame loop never fails."""
    document = encode(Regression(tuple(f"value{i}" for i in range(100)), [1.0] * 100), 500)
    assert document["result"] == {}
    assert document["truncated"] is True


def test_a_cap_below_an_empty_payload_is_refused() -> None:
    """At set-up, not in the frame loop."""
    with pytest.raises(ConfigError, match="max_bytes: expected at least"):
        encoder(100)


class Text(str):
    """A string that is not exactly str."""


PICTURE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
REFUSED: dict[str, Any] = {
    "array": PICTURE, "bytes": PICTURE.tobytes(), "bytearray": bytearray(9), "memoryview": memoryview(b"pixels"),
    "array scalar": np.array(3.0), "bool array": np.bool_(True), "date": datetime.date(2026, 1, 1), "set": {1},
    "object": object(), "complex": 1j, "long text": "A" * 1025, "beyond 64 bits": 1 << 63, "huge": Fraction(10**400),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: {"deep": [(x,)]}], ids=["bare", "list", "deep"])
def test_what_is_not_a_plain_value_is_null_and_counted(name: str, wrap: Callable[[Any], Any]) -> None:
    """An array, bytes or an object of a third party's decoder does not leave the device, in any form."""
    made = encoder()
    raw = made.encode(Foreign({"score": 0.5, "leak": wrap(REFUSED[name])}), 1, WALL_NS, 1, "frame")
    result = json.loads(raw)["result"]
    assert result == {"score": 0.5, "leak": json.loads(json.dumps(wrap(None)))}
    assert made.refused == 1
    assert made.truncated == 0


@pytest.mark.parametrize(("value", "expected"), [
    (np.float32(0.5), 0.5), (np.float64(0.5), 0.5), (np.uint8(255), 255), (np.int64(-3), -3), (True, True), (Text("é"), "é"),
    (float("nan"), None), (float("-inf"), None), (None, None), ((1, 2), [1, 2]), ("\ud800", "?"), (-(1 << 63), -(1 << 63)),
])
def test_numbers_of_any_make_are_sent_as_json_has_them(value: Any, expected: Any) -> None:
    """NumPy's numbers are numbers; NaN and infinities, which JSON lacks, are null; nothing is counted as refused."""
    made = encoder()
    document = json.loads(made.encode(Foreign({"value": value}), 1, WALL_NS, 1, "frame"))
    assert document["result"] == {"value": expected}
    assert type(document["result"]["value"]) is type(expected)
    assert made.refused == 0


def test_a_key_that_is_no_text_is_dropped_and_counted() -> None:
    """Keys are strings; bytes as a key would be a way around."""
    made = encoder()
    assert json.loads(made.encode(Foreign({b"pixels": 1, "a": 2}), 1, WALL_NS, 1, "frame"))["result"] == {"a": 2}
    assert made.refused == 1


@pytest.mark.parametrize("content", [PICTURE, b"pixels", [1, 2], None, 3])
def test_a_result_that_is_no_document_is_sent_empty(content: Any) -> None:
    """The result of a payload is always an object."""
    assert encode(Foreign(content))["result"] == {}


def test_a_document_that_contains_itself_ends() -> None:
    """Depth and number of values are bounded, so that even a cycle is a payload within the cap."""
    loop: list[Any] = [1]
    loop.extend([loop] * 50)
    made = encoder()
    raw = made.encode(Foreign({"loop": loop, "wide": {str(i): [0] * 100 for i in range(1000)}}), 1, WALL_NS, 1, "frame")
    assert len(raw) <= 16384
    assert json.loads(raw)["truncated"] is True


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(), inner, max_size=8),
    max_leaves=60,
)
HEAD = len(encoder().encode(Foreign({}), (1 << 63) - 1, WALL_NS, (1 << 63) - 1, "heartbeat")) + len(',"truncated":true')


@given(st.dictionaries(st.text(), plain), st.integers(HEAD, HEAD + 500), st.integers(0, (1 << 63) - 1))
def test_any_document_is_json_within_any_cap(content: dict[str, Any], max_bytes: int, sequence: int) -> None:
    """Whatever a decoder returns, the payload parses and is never longer than the cap."""
    raw = encoder(max_bytes).encode(Foreign(content), sequence, WALL_NS, sequence, "heartbeat")
    document = json.loads(raw)
    assert len(raw) <= max_bytes
    assert document["seq"] == sequence
    assert isinstance(document["result"], dict)


@given(st.integers(-(1 << 62), (1 << 63) - 1))
def test_the_time_of_capture_is_right_to_the_millisecond(wall_ns: int) -> None:
    """The timestamp reads back as the same millisecond, for any time that 64 bits of nanoseconds hold."""
    text = timestamp(wall_ns)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    read = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
    assert (read - epoch) // datetime.timedelta(milliseconds=1) == wall_ns // 1_000_000


def test_identifiers_tell_duplicates_from_gaps() -> None:
    """Another pipeline, another run of the daemon or another sequence is another id; the same is the same."""
    result = Anomaly(value=1.0, threshold=2.0)
    ids = {json.loads(Encoder("n", pipeline, "m:1", "t", boot).encode(result, sequence, 0, 0, "frame"))["id"]
           for pipeline in ("a", "b") for boot in ("x", "y") for sequence in (1, 2)}
    assert len(ids) == 8
