"""Samples over a pair of pseudo terminals: what a microcontroller writes into one end, the source reads at the other."""

from __future__ import annotations

import os
import struct
import tty
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.sources.serial import Serial, SerialOptions
from edgeinfer.sources.telegrams import BinaryOptions, Frames, Lines

pytest.importorskip("serial")


class Device:
    """The microcontroller's end."""

    def __init__(self) -> None:
        self.plug_in()

    def plug_in(self) -> None:
        self._near, far = os.openpty()
        tty.setraw(self._near)
        self.path = os.ttyname(far)
        self._far = far

    def write(self, content: bytes) -> None:
        os.write(self._near, content)

    def unplug(self) -> None:
        for descriptor in (self._far, self._near):
            with suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device()
    yield device
    device.unplug()


def _source(device: Device, **options: Any) -> Serial:
    return Serial(SerialOptions(device=device.path, **{"timeout_s": 2.0, **options}))


@pytest.mark.parametrize(("options", "sent"), [
    ({"columns": (0, 1)}, b"9\r\n1,2\r\n3,-4.5\n"), ({"columns": (2, 0), "delimiter": ";"}, b"\n2; x;1\n-4.5;y;3\n"),
    ({"format": "json", "columns": ("a.x", "b[1]")}, b'{"a":{"x":1},"b":[0,2]}\n\n{"b":[9,-4.5],"a":{"x":3}}\n'),
    ({"format": "binary", "binary": BinaryOptions(header="aa55", values="<hf")}, b"\xaa\x55" + struct.pack("<hf", 1, 2) + b"\xaa\x55" + struct.pack("<hf", 3, -4.5)),
])
def test_each_format_is_read(device: Device, options: dict[str, Any], sent: bytes) -> None:
    """Two samples of two channels, however they are written."""
    source = _source(device, **options)
    source.open()
    device.write(sent)
    samples = np.zeros((2, 2), np.float32)
    assert source.read_into(samples) == 2
    assert samples.tolist() == [[1, 2], [3, -4.5]]
    assert source.counts() == {"bad": 0}
    source.close()


def test_a_half_first_line_is_nobodys_fault_and_a_bad_one_is_a_gap(device: Device) -> None:
    """A read ends before the gap, and the next begins behind it."""
    source = _source(device, columns=(0,))
    source.open()
    device.write(b"x7\n1\n2\nboot: ready\n\xff\xfe\n3\n4\n5\n")
    samples = np.zeros((4, 1), np.float32)
    assert source.read_into(samples) == 2
    assert samples[:2, 0].tolist() == [1, 2]
    assert (source.gaps, source.counts()) == (1, {"bad": 2})
    assert source.read_into(samples[:3]) == 3
    assert samples[:3, 0].tolist() == [3, 4, 5]
    source.close()


def test_an_unplugged_device_is_an_error_and_comes_back(device: Device, fails: Callable[..., str]) -> None:
    """Told with the device's name; the port is opened again when it is there again."""
    source = _source(device, columns=(0,))
    source.open()
    device.write(b"\n0\n1\n")
    samples = np.zeros((1, 1), np.float32)
    assert source.read_into(samples) == 1
    assert source.read_into(samples) == 1
    device.unplug()
    fails(lambda: source.read_into(samples), device.path, "goes on")
    fails(source.open, device.path, "serial port")
    device.plug_in()
    source = _source(device, columns=(0,))
    source.open()
    device.write(b"0\n5\n")
    assert source.read_into(samples) == 1
    source.close()


@given(lines=st.lists(st.tuples(st.integers(-999, 999), st.integers(-999, 999), st.integers(-999, 999)), min_size=1, max_size=8),
       cut=st.integers(0, 9))
def test_a_port_that_opens_within_a_line_reads_none_of_it(lines: list[tuple[int, int, int]], cut: int) -> None:
    """The rest of 12,3,4 is 2,3,4: numbers, and wrong ones."""
    stream = "".join(f"{x},{y},{z}\r\n" for x, y, z in lines).encode()
    reader = Lines((0, 1, 2), ",", json=False)
    reader.feed(stream[min(cut, stream.index(b"\n")) :])
    seen = []
    while (values := reader.next()) is not None:
        seen.append(tuple(values))
    assert seen == lines[1:]
    assert reader.bad == 0


def test_two_lines_that_became_one_are_bad_and_another_number_of_columns_is_learnt() -> None:
    """Where the end of 1,2,3 is lost, 3 and the next line's first number are one; a device with another program is another."""
    reader = Lines((0, 2), ",", json=False)
    reader.feed(b"\n1,2,3\n1,2,31,2,3\n4,5,6\n7,8\n1,2,31,2,3\n7,8,9\n")
    assert [reader.next() for _ in range(4)] == [[1, 3], [4, 6], [7, 9], None]
    assert reader.bad == 3
    reader.feed(b"1,2,3,4\n5,6,7,8\n9,10,11,12\n")
    assert [reader.next() for _ in range(3)] == [[5, 7], [9, 11], None]
    assert reader.bad == 4


@pytest.mark.parametrize(("sent", "words"), [(b"", ["none"]), (b"a\nb\nc\n", ["none, and 2 that cannot be read", "9600"])])
def test_a_device_that_says_nothing_of_use_is_an_error(device: Device, fails: Callable[..., str], sent: bytes, words: list[str]) -> None:
    """Silence, or noise as of a wrong baud rate."""
    source = _source(device, columns=(0,), timeout_s=0.3, baud=9600)
    source.open()
    device.write(sent)
    fails(lambda: source.read_into(np.zeros((1, 1), np.float32)), *words)
    source.close()


_CHECKSUMS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda body: b"", "sum8": lambda body: bytes([sum(body) % 256]), "xor8": lambda body: bytes([body[0] ^ body[1] ^ body[2] ^ body[3]]),
    "crc32": lambda body: struct.pack("<I", zlib.crc32(body)),
}


@pytest.mark.parametrize("checksum", _CHECKSUMS)
@given(values=st.lists(st.tuples(st.integers(-32768, 32767), st.integers(0, 65535)), max_size=12), piece=st.integers(1, 9))
def test_frames_in_pieces_of_any_size_are_whole(checksum: Any, values: list[tuple[int, int]], piece: int) -> None:
    """Headers within values do no harm while nothing is lost."""
    stream = b"".join(b"\xaa\x55" + struct.pack("<hH", *pair) + _CHECKSUMS[checksum](struct.pack("<hH", *pair)) for pair in values)
    frames = Frames(BinaryOptions(header="AA 55", values="<hH", checksum=checksum), (0, 1))
    seen = []
    for start in range(0, len(stream), piece):
        frames.feed(stream[start : start + piece])
        while (got := frames.next()) is not None:
            seen.append(tuple(got))
    assert seen == values
    assert frames.bad == 0


def test_crc16_is_that_of_modbus() -> None:
    """The usual check value: 123456789 has 0x4B37."""
    frames = Frames(BinaryOptions(header="00", values="9B", checksum="crc16"), (0, 8))
    frames.feed(b"\x00123456789\x37\x4b" + b"\x00123456789\x37\x4c" + b"\x00123456789\x37\x4b")
    assert frames.next() == frames.next() == [0x31, 0x39]
    assert frames.next() is None
    assert frames.bad == 1


@given(noise=st.binary(max_size=300))
def test_noise_neither_raises_nor_stays(noise: bytes) -> None:
    """After any noise the next good line, and a frame behind a few others, are read."""
    lines = Lines((0,), ",", json=False)
    lines.feed(noise + b"\n7\n")
    while (got := lines.next()) is not None:
        last = got
    assert last == [7]
    frames = Frames(BinaryOptions(header="aa", values="<i", checksum="crc32"), (0,))
    good = b"\xaa" + struct.pack("<i", 7) + struct.pack("<I", zlib.crc32(struct.pack("<i", 7)))
    frames.feed(noise + good)
    while (value := frames.next()) is not None:
        last = value
    assert last == [7]


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    """It is dropped after 64 KiB, counted, and what follows its end is read."""
    lines = Lines((0,), ",", json=False)
    lines.feed(b"\n1\n")
    assert lines.next() == [1]
    for _ in range(100):
        lines.feed(b"1" * 10000)
        assert lines.next() is None
        assert len(lines._buffer) <= 80000
    lines.feed(b"\n2\n")
    assert lines.next() == [2]
    assert lines.bad == 1
