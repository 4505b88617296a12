"""What is heard from a broker, and where its sender may have an answer."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

__all__ = ["Message", "answered", "own_response_topic"]

_MOST_ERROR = 1000  # characters


class Message(NamedTuple):
    """What came on a topic that we listen to. ``retained``: it was stored at the broker, and may be of any age.

    ``response_topic`` and ``correlation`` are the sender's wish for an answer (MQTT 5.0, 4.10); empty: none.
    """

    topic: str
    payload: bytes
    retained: bool = False
    response_topic: str = ""
    correlation: bytes = b""


def own_response_topic(wanted: str, root: str) -> str:
    """The sender's own topic for the answer; empty where it is none, or one that this device (``root``: edgeinfer/<node>)
    speaks on with authority: an answer must not be taken for a status or a result."""
    own = wanted.startswith("edgeinfer/") and not wanted.startswith(f"{root}/response/")
    bad = own or len(wanted) > 256 or wanted.startswith("$") or any(sign in wanted for sign in "+#\0") or wanted.endswith("/config")
    return "" if bad else wanted


def answered(error: str, data: Any, transaction: str | int | None) -> bytes:
    """The payload of an answer: status, data, error and transaction where there are any. ``error`` empty: it went well."""
    document: dict[str, Any] = {"status": "error" if error else "ok", "data": data}
    if error:
        document["error"] = error[:_MOST_ERROR]
    if transaction is not None:
        document["transaction"] = transaction
    return msgspec.json.encode(document)
