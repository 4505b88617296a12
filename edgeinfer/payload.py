"""Payload v1: one result as JSON bytes of a bounded size. Numbers, strings and booleans only, whatever a decoder returns.

The format is documented in docs/topics-and-payloads.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import msgspec

from edgeinfer.errors import ConfigError
from edgeinfer.model.result import Result

__all__ = ["Encoder", "timestamp"]

_MAX_TEXT = 1024  # characters: longer than any label, shorter than a picture written as text
_MAX_DEPTH = 8
_REFUSED = object()
_I64 = 1 << 63


def timestamp(wall_ns: int) -> str:
    """RFC 3339 in UTC with milliseconds (rounded down) of CLOCK_REALTIME in ns."""
    seconds, milliseconds = divmod(wall_ns // 1_000_000, 1000)
    t = time.gmtime(seconds)
    return (f"{t.tm_year:04}-{t.tm_mon:02}-{t.tm_mday:02}T{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}"
            f".{milliseconds:03}Z")


class Encoder:
    """Writes the payloads of one pipeline. Belongs to the inference thread; the counters may be read by any.

    ``boot`` names this run of the daemon: drawn anew at each start, so that (boot, pipeline, sequence) never comes twice.
    ``model`` is "name:version". Raises ConfigError when ``max_bytes`` does not even hold an empty result.
    """

    def __init__(self, node: str, pipeline: str, model: str, task: str, boot: str,
                 *, max_bytes: int = 16384) -> None:
        self.truncated = 0  #: payloads whose result was cut to fit
        self.refused = 0  #: values that were neither number, string nor boolean, sent as null
        self._node, self._pipeline, self._model, self._task, self._boot = node, pipeline, model, task, boot
        self._max_bytes = max_bytes
        self._left = 0  # values that may still be taken into the payload at hand
        self._cut = False
        self._json = msgspec.json.Encoder()
        largest = self._envelope(_I64, 0, _I64, "heartbeat")
        least = len(self._json.encode({**largest, "result": {}, "truncated": True}))
        if max_bytes < least:
            raise ConfigError(f"pipeline {pipeline}: the payload's max_bytes", f"at least {least}", str(max_bytes))

    def speak_for(self, model: str, task: str) -> None:
        """What follows are results of this model ("name:version"). The inference thread."""
        self._model, self._task = model, task

    def encode(self, result: Result, sequence: int, wall_ns: int, latency_ns: int, reason: str) -> bytes:
        """The payload, at most ``max_bytes`` long.

        ``sequence`` counts what this pipeline published in this run; ``wall_ns`` is CLOCK_REALTIME at capture;
        ``latency_ns`` is from capture to here; ``reason`` is the gate's. What does not fit is cut: rows from the end of the
        largest list first, and ``truncated`` is set. Bytes, arrays and other objects become null and are counted.
        """
        return self._fitted(self._envelope(sequence, wall_ns, latency_ns, reason), result)

    def answer(self, result: Result, wall_ns: int, latency_ns: int) -> bytes:
        """The same for whoever asked for it: it is published once and to one, so it has neither id nor sequence."""
        return self._fitted({"ts": timestamp(wall_ns), "model": self._model, "task": self._task,
                             "latency_ms": round(latency_ns / 1e6, 3)}, result)

    def _fitted(self, document: dict[str, Any], result: Result) -> bytes:
        self._left, self._cut = 4 * self._max_bytes, False  # several lists that are each too long, and then it ends
        plain = self._plain(result.document(), 0)
        document["result"] = plain if isinstance(plain, dict) else {}
        if not self._cut:
            raw = self._json.encode(document)
            if len(raw) <= self._max_bytes:
                return raw
        self.truncated += 1
        return self._shorten(document)

    def _envelope(self, sequence: int, wall_ns: int, latency_ns: int, reason: str) -> dict[str, Any]:
        return {
            "v": 1, "id": f"{self._boot}-{self._pipeline}-{sequence}", "node": self._node, "pipeline": self._pipeline,
            "boot": self._boot, "seq": sequence, "ts": timestamp(wall_ns), "model": self._model, "task": self._task,
            "reason": reason, "latency_ms": round(latency_ns / 1e6, 3),
        }

    def _plain(self, value: Any, depth: int) -> Any:
        """The value as JSON can hold it, at most ``_left`` values of it; None where it is refused."""
        self._left -= 1
        kind = type(value)
        if kind is float or kind is bool or value is None:
            return value  # NaN and infinities are written as null by msgspec
        if isinstance(value, dict) and depth < _MAX_DEPTH:
            return self._plain_dict(value, depth + 1)
        if isinstance(value, list | tuple) and depth < _MAX_DEPTH:
            return self._plain_list(value, depth + 1)
        plain = _scalar(value)
        if plain is not _REFUSED:
            return plain
        self.refused += 1
        return None

    def _plain_dict(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, item in value.items():
            if self._left <= 0:
                self._cut = True
                break
            name: Any = _scalar(key) if isinstance(key, str) else _REFUSED
            if name is _REFUSED:
                self.refused += 1
            else:
                made[name] = self._plain(item, depth)
        return made

    def _plain_list(self, value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
        made: list[Any] = []
        for item in value:
            if self._left <= 0 or len(made) >= self._max_bytes // 2:  # a row and its comma take two bytes or more
                self._cut = True
                break
            made.append(self._plain(item, depth))
        return made

    def _shorten(self, document: dict[str, Any]) -> bytes:
        """Drop rows from the end of the largest outermost list, then of the next, until the payload fits."""
        document["truncated"] = True
        excess = len(self._json.encode(document)) - self._max_bytes
        for rows in sorted(_outermost_lists(document["result"]), key=lambda rows: -len(self._json.encode(rows))):
            while rows and excess > 0:
                row = rows.pop()
                excess -= len(self._json.encode(row)) + (1 if rows else 0)  # its comma
        if excess > 0:
            document["result"] = {}
        return self._json.encode(document)


def _scalar(value: Any) -> Any:
    """A plain int, float or str of the value (NumPy's numbers included, without NumPy), or ``_REFUSED``."""
    if isinstance(value, str):
        if len(value) > _MAX_TEXT:
            return _REFUSED
        return str.encode(value, "utf-8", "replace").decode()  # a lone surrogate is no UTF-8
    if isinstance(value, (int, Integral)):
        number = int(value)
        return number if -_I64 <= number < _I64 else _REFUSED
    try:
        return float(value) if isinstance(value, Real) else _REFUSED
    except OverflowError:  # a fraction beyond float64
        return _REFUSED


def _outermost_lists(value: dict[str, Any]) -> Iterator[list[Any]]:
    """The lists in a document that are not within another list: rows may be cut, a row itself may not."""
    for item in value.values():
        if isinstance(item, list):
            yield item
        elif isinstance(item, dict):
            yield from _outermost_lists(item)
