"""Scans from the kernel's buffer of a sensor: a folder that looks as sysfs does, and a pipe in place of its device."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.sources import iio, iio_buffer
from edgeinfer.sources.iio import Iio, IioOptions
from edgeinfer.sources.iio_buffer import BufferOptions
from edgeinfer.sources.iio_scan import layout

Fails = Callable[..., str]
TYPES = {"accel_x": (0, "le:s12/16>>4"), "accel_y": (1, "be:s16/16>>0"), "voltage0-voltage1": (2, "le:u24/32>>0"),
         "timestamp": (3, "le:s64/64>>0")}
FILES = {"name": "lis3dh", "sampling_frequency": "100", "in_accel_scale": "0.5", "in_accel_offset": "2", "in_voltage-voltage_scale": "0.25",
         "buffer/enable": "0", "buffer/length": "2", "buffer/watermark": "1", "trigger/current_trigger": ""}


class Sensor:
    """``scan`` writes one: two accelerations, a voltage, the time in ms."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "iio:device0"
        parts = {f"scan_elements/in_{name}_{kind}": text for name, (index, stated) in TYPES.items()
                 for kind, text in (("en", "0"), ("index", str(index)), ("type", stated))}
        for name, text in {**FILES, **parts}.items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{text}\n")
        os.mkfifo(folder / "dev")
        os.renames(folder / "dev", folder / "nodes" / "iio:device0")
        self._node = os.open(folder / "nodes" / "iio:device0", os.O_RDWR)

    def scan(self, x: int, y: int, ms: int) -> None:
        os.write(self._node, struct.pack("<h", x << 4) + struct.pack(">h", y) + bytes(4) + struct.pack("<q", ms * 10**6))

    def state(self, *names: str) -> list[str]:
        return [(self.folder / name).read_text().strip() for name in names]

    def close(self) -> None:
        os.close(self._node)


@pytest.fixture
def sensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sensor]:
    monkeypatch.setattr(iio, "_DEVICES", tmp_path)
    monkeypatch.setattr(iio_buffer, "_NODES", tmp_path / "nodes")
    sensor = Sensor(tmp_path)
    yield sensor
    sensor.close()


def _source(**options: Any) -> Iio:
    return Iio(IioOptions(**{"device": "lis3dh", "channels": ("accel_y", "accel_x"), "rate": 100.0,
                             "buffer": BufferOptions(length=16, timeout_s=1.0), **options}))


def test_scans_are_the_channels_in_the_drivers_units(sensor: Sensor) -> None:
    """Whatever the order of bytes and the place of the bits; (raw + offset) * scale. What was set up is taken back."""
    source = _source()
    source.open()
    assert sensor.state("buffer/enable", "buffer/length", "scan_elements/in_accel_x_en", "scan_elements/in_timestamp_en") == ["1", "16", "1", "1"]
    assert sensor.state("scan_elements/in_voltage0-voltage1_en") == ["0"]
    samples = np.zeros((2, 2), np.float32)
    sensor.scan(-2048, 300, 0)
    sensor.scan(2047, -300, 10)
    assert source.read_into(samples) == 2
    assert samples.tolist() == [[151, -1023], [-149, 1024.5]]
    source.close()
    assert sensor.state("buffer/enable") == ["0"]


def test_scans_that_a_full_buffer_lost_are_a_gap(sensor: Sensor) -> None:
    """The kernel's time stamps tell: the read ends before it, the next begins behind it."""
    source = _source(channels=("accel_x",))
    source.open()
    for ms in (0, 10, 21, 60, 70, 81):
        sensor.scan(ms, 0, ms)
    samples = np.zeros((6, 1), np.float32)
    assert [source.read_into(samples), source.gaps, source.counts()] == [3, 1, {"missed": 3}]
    assert [source.read_into(samples[:3]), source.gaps] == [3, 1]
    assert samples[:3, 0].tolist() == [(ms + 2) / 2 for ms in (60, 70, 81)]
    source.close()


def test_what_a_udev_rule_has_set_up_is_left_as_it_is(sensor: Sensor) -> None:
    """Then no right to write is needed, elements of others may be on, and what the buffer held is not of now."""
    for name in TYPES:
        (sensor.folder / f"scan_elements/in_{name}_en").write_text("1")
    (sensor.folder / "buffer/length").write_text("16")
    (sensor.folder / "buffer/enable").write_text("1")
    files = [file for file in sensor.folder.rglob("*") if file.is_file()]
    times = [file.stat().st_mtime_ns for file in files]
    sensor_scan = struct.pack("<h", 7 << 4) + bytes(2) + struct.pack("<I", 1000) + struct.pack("<q", 0)
    os.write(sensor._node, sensor_scan)
    source = _source(channels=("voltage0-voltage1",))
    source.open()
    os.write(sensor._node, sensor_scan[:4] + struct.pack("<I", 2000) + sensor_scan[8:])
    samples = np.zeros((1, 1), np.float32)
    assert source.read_into(samples) == 1
    assert samples[0, 0] == 500
    source.close()
    assert [file.stat().st_mtime_ns for file in files] == times


def test_a_trigger_and_a_rate_are_set(sensor: Sensor) -> None:
    """A trigger's own rate goes before the device's."""
    trigger = sensor.folder.parent / "trigger0"
    trigger.mkdir()
    (trigger / "name").write_text("beat\n")
    (trigger / "sampling_frequency").write_text("10\n")
    source = _source(rate=50.0, buffer=BufferOptions(length=16, trigger="beat"))
    source.open()
    assert (trigger / "sampling_frequency").read_text() == "50"
    assert sensor.state("trigger/current_trigger", "sampling_frequency") == ["beat", "100"]
    source.close()


def test_what_is_not_there_is_told(sensor: Sensor, fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel, a rate, a right, a scan, the sensor."""
    fails(_source(channels=("temp",)).open, "channel temp", "only accel_x, accel_y, timestamp, voltage0-voltage1")
    (sensor.folder / "sampling_frequency_available").write_text("100 400\n")
    with monkeypatch.context() as patch:  # a driver that answers EINVAL
        patch.setattr(Path, "write_text", _refusing(Path.write_text))
        fails(_source(rate=200.0).open, "sampling_frequency: expected 200 samples a second, got 100", "it has 100 400")
    (sensor.folder / "scan_elements/in_accel_x_type").write_text("le:s16/16X3>>0")
    fails(_source().open, "one whole number", "accel_x: 'le:s16/16X3>>0'")
    (sensor.folder / "scan_elements/in_accel_x_type").write_text("le:s12/16>>4")
    source = _source(buffer=BufferOptions(length=16, timeout_s=0.2))
    source.open()
    fails(lambda: source.read_into(np.zeros((1, 2), np.float32)), "expected a scan within 0.2 s, got none")
    source.close()
    (sensor.folder / "buffer/length").unlink()
    fails(_source().open, "buffer/length: expected a buffer that this user may set up and read, got No such file")


def _refusing(write: Callable[..., int]) -> Callable[..., int]:
    def refuse(file: Path, text: str) -> int:
        if file.name == "sampling_frequency":
            raise OSError(22, "Invalid argument")
        return write(file, text)
    return refuse


def test_a_wait_ends_when_it_is_interrupted(sensor: Sensor) -> None:
    """As soon as a pipeline is paused."""
    source = _source(buffer=BufferOptions(length=16, timeout_s=600))
    source.open()
    threading.Timer(0.1, source.interrupt).start()
    assert source.read_into(np.zeros((1, 2), np.float32)) == 0
    source.close()


@given(size=st.sampled_from([1, 2, 4, 8]), order=st.sampled_from(["le", "be"]), sign=st.sampled_from("su"), data=st.data())
def test_every_type_of_element_is_the_number_that_was_stored(size: int, order: str, sign: str, data: st.DataObject) -> None:
    """Whatever stands in the bits beside it."""
    shift = data.draw(st.integers(0, 8 * size - 1))
    bits = data.draw(st.integers(1, 8 * size - shift))
    low, high = (-1 << (bits - 1), (1 << (bits - 1)) - 1) if sign == "s" else (0, (1 << bits) - 1)
    value, noise = data.draw(st.integers(low, high)), data.draw(st.integers(0, 2 ** (8 * size) - 1))
    mask = ((1 << bits) - 1) << shift
    word = (noise & ~mask | (value << shift & mask)).to_bytes(size, "little" if order == "le" else "big")
    elements, length = layout({"a": (5, "le:u8/8>>0"), "b": (9, f"{order}:{sign}{bits}/{8 * size}>>{shift}")})
    scan = bytes([1]) + bytes(size - 1) + word
    assert length == len(scan)
    scans = np.frombuffer(scan * 3, np.uint8).reshape(3, length)
    assert elements["b"].of(scans).tolist() == [value] * 3
