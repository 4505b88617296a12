"""Valid documents, damaged: bits, spans, lines, numbers and words, one to eight times over."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

__all__ = ["Mutator"]

_NASTY = (b"\0", b"\xff", b"\xed\xa0\x80", b"-1", b"0", b"99999999999999999999", b"1e400", b"NaN", b"-Infinity", b"null", b"true", b"[]",
          b"{}", b'""', b"../../etc/passwd", b"%s%n", b"\\u0000", b"\\ud800", b"[" * 200, b'{"a":' * 100, b"&a [*a]", b"!!python/name:os",
          b"<<: *sink", b"9" * 5000, b"\xef\xbb\xbf", b"\r\n", b"\t", b"? ", b": ", b"- ", b"|", b"''", b"A" * 3000, b"[" * 30000, b'{"x":' * 20000)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_VALUE = re.compile(rb'"[^"\n]{0,80}"|\btrue\b|\bfalse\b|\bnull\b')


class Mutator:
    """The same for the same seed. ``words`` are of the format; ``seeds`` are whole documents."""

    def __init__(self, seeds: Sequence[bytes], words: Sequence[bytes], seed: int) -> None:
        self._seeds, self._words = seeds, (*words, *_NASTY)
        self._random = random.Random(seed)
        self._ways: tuple[Callable[[bytearray], None], ...] = (
            self._flip, self._set, self._remove, self._repeat, self._insert, self._number, self._value, self._lines, self._splice,
            self._truncate)

    def next(self) -> bytes:
        """Another damaged document."""
        data = bytearray(self._random.choice(self._seeds))
        for _ in range(self._random.choice((1, 1, 1, 2, 3, 8))):
            self._random.choice(self._ways)(data)
        return bytes(data)

    def _place(self, data: bytearray) -> int:
        return self._random.randrange(len(data) + 1)

    def _span(self, data: bytearray) -> slice:
        start = self._place(data)
        return slice(start, start + self._random.choice((1, 2, 4, 16, 100, 1000)))

    def _word(self) -> bytes:
        return self._random.choice(self._words)

    def _flip(self, data: bytearray) -> None:
        if data:
            data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)

    def _set(self, data: bytearray) -> None:
        if data:
            data[self._random.randrange(len(data))] = self._random.choice((0, 1, 0x7F, 0x80, 0xFF, self._random.randrange(256)))

    def _remove(self, data: bytearray) -> None:
        del data[self._span(data)]

    def _repeat(self, data: bytearray) -> None:
        span = self._span(data)
        data[span.start : span.start] = bytes(data[span]) * self._random.choice((1, 2, 20))

    def _insert(self, data: bytearray) -> None:
        place = self._place(data)
        data[place:place] = self._word()

    def _replace(self, data: bytearray, what: re.Pattern[bytes]) -> None:
        found = list(what.finditer(data))
        if found:
            chosen = self._random.choice(found)
            data[chosen.start() : chosen.end()] = self._word()

    def _number(self, data: bytearray) -> None:
        self._replace(data, _NUMBER)

    def _value(self, data: bytearray) -> None:
        self._replace(data, _VALUE)

    def _lines(self, data: bytearray) -> None:
        lines = bytes(data).split(b"\n")
        first, second = (self._random.randrange(len(lines)) for _ in range(2))
        lines[first], lines[second] = lines[second], self._random.choice((lines[first], lines[second]))
        data[:] = b"\n".join(lines)

    def _splice(self, data: bytearray) -> None:
        other = self._random.choice(self._seeds)
        data[self._place(data) :] = other[self._random.randrange(len(other)) :]

    def _truncate(self, data: bytearray) -> None:
        del data[self._place(data) :]
