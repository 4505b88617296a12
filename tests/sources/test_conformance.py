"""What every source must do, run over the whole table."""

from __future__ import annotations

import atexit
import functools
import math
import os
import tempfile
import threading
import tty
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import paho.mqtt.publish
import pytest

from edgeinfer.errors import Fault, SourceError
from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.framelog import FrameLogWriter
from edgeinfer.mqtt.message import Message
from edgeinfer.sources import SOURCES, SampleFormat
from edgeinfer.typed import convert
from tests.broker import Broker

Make = Callable[[Path, Path], dict[str, Any]]


def _images(folder: Path, video: Path) -> dict[str, Any]:
    for number in range(2):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((4, 6, 3), number, np.uint8))
    return {"path": str(folder)}


def _csv(folder: Path, video: Path) -> dict[str, Any]:
    (folder / "s.csv").write_text("x,y\n1,2\n3,4\n5,6\n")
    return {"path": str(folder / "s.csv"), "rate": 50.0}


def _npy(folder: Path, video: Path) -> dict[str, Any]:
    np.save(folder / "s.npy", np.arange(12).reshape(6, 2))
    return {"path": str(folder / "s.npy"), "rate": 50.0}


def _sensor(folder: Path, video: Path) -> dict[str, Any]:
    (folder / "in_temp_input").write_text("25080\n")
    (folder / "in_accel_x_raw").write_text("-12\n")
    return {"device": str(folder), "channels": ["temp", "accel_x"], "rate": 4.0}


def _wav(folder: Path, video: Path) -> dict[str, Any]:
    with wave.open(str(folder / "s.wav"), "wb") as file:
        file.setparams((2, 2, 100, 3, "NONE", ""))
        file.writeframes(np.arange(6, dtype="<i2").tobytes())
    return {"path": str(folder / "s.wav")}


def _jsonl(folder: Path, video: Path) -> dict[str, Any]:
    (folder / "s.jsonl").write_text('{"x": 1}\n{"x": 2}\n{"x": 3}\n')
    return {"path": str(folder / "s.jsonl"), "interval_s": 0.02}


def _serial(folder: Path, video: Path) -> dict[str, Any]:
    """A device that says the same for ever."""
    near, far = os.openpty()
    tty.setraw(near)

    def write() -> None:
        while True:
            os.write(near, b"1,2\n")

    threading.Thread(target=write, daemon=True).start()
    return {"device": os.ttyname(far), "columns": [0, 1]}


@functools.cache
def _broker() -> Broker:
    broker = Broker(Path(tempfile.mkdtemp(prefix="edgeinfer-broker-"))).start()
    atexit.register(broker.stop)
    paho.mqtt.publish.single("sensor", "21.5", 1, retain=True, hostname="127.0.0.1", port=broker.port)
    return broker


def _mqtt(folder: Path, video: Path) -> dict[str, Any]:
    broker = {"host": "127.0.0.1", "port": _broker().port, "plain_text": True}
    return {"broker": broker, "channels": [{"topic": "sensor"}], "rate": 50.0, "retained": True}


def _log(folder: Path, format: FrameFormat | WindowFormat) -> dict[str, Any]:
    path = folder / "log"
    with FrameLogWriter(path, format, 10**6, rate=50.0) as writer:
        frame = Frame(format)
        for sequence in range(3):
            frame.sequence, frame.monotonic_ns = sequence, sequence * 20_000_000
            frame.memory[:] = sequence
            writer.append(frame)
    return {"path": str(path)}


CASES: dict[str, tuple[str, Make]] = {
    "video": ("video", lambda _, video: {"path": str(video)}),
    "images": ("images", _images),
    "command of frames": ("command", lambda _, __: {"command": ["cat", "/dev/zero"], "width": 8, "height": 4}),
    "command of samples": ("command", lambda _, __: {"command": "cat /dev/zero", "dtype": "s16le", "channels": 2}),
    "csv": ("csv", _csv),
    "npy": ("npy", _npy),
    "iio": ("iio", _sensor),
    "wav": ("wav", _wav),
    "jsonl": ("jsonl", _jsonl),
    "serial": ("serial", _serial),
    "mqtt at a rate": ("mqtt", _mqtt),
    "requests": ("requests", lambda _, __: {}),
    "framelog of frames": ("framelog", lambda folder, _: _log(folder, FrameFormat("BGR", 4, 6))),
    "framelog of samples": ("framelog", lambda folder, _: _log(folder, WindowFormat(2, 2))),
    "synthetic frames": ("synthetic", lambda _, __: {"width": 8, "height": 4, "fps": 50.0}),
    "synthetic samples": ("synthetic", lambda _, __: {"yields": "samples", "channels": 2, "rate": 50.0}),
}

# sources that block: a thread reads until it is interrupted
BLOCKING: dict[str, tuple[str, Make]] = {
    "images": ("images", lambda folder, video: {**_images(folder, video), "interval_s": 3600.0}),
    "command": ("command", lambda _, __: {"command": "sleep 3600", "width": 8, "height": 4, "timeout_s": 3600.0}),
    "csv": ("csv", lambda folder, video: {**_csv(folder, video), "rate": 0.0001}),
    "npy": ("npy", lambda folder, video: {**_npy(folder, video), "rate": 0.0001}),
    "iio": ("iio", lambda folder, video: {**_sensor(folder, video), "rate": 0.0001}),
    "jsonl": ("jsonl", lambda folder, video: {**_jsonl(folder, video), "interval_s": 3600.0}),
    "serial": ("serial", lambda folder, video: {**_serial(folder, video), "columns": [9], "timeout_s": 3600.0}),
    "mqtt": ("mqtt", lambda folder, video: {**_mqtt(folder, video), "rate": 0.0, "retained": False}),
    "requests": ("requests", lambda _, __: {}),
    "synthetic": ("synthetic", lambda _, __: {"fps": 0.0001}),
    "video": ("video", lambda _, video: {"path": str(video), "loop": True}),
    "framelog": ("framelog", lambda folder, _: {**_log(folder, FrameFormat("BGR", 4, 6)), "loop": True}),
}


def _make(kind: str, options: dict[str, Any]) -> Any:
    """As the configuration does it: plain values, converted."""
    cls = SOURCES.load(kind, "test")
    faults: list[Fault] = []
    typed = convert(options, cls.Options, "source", faults)
    assert not faults, faults
    return cls(typed)


def _read(source: Any) -> tuple[int, bytes]:
    """One read: what came, and its bytes."""
    if source.yields == "rows":
        if hasattr(source, "desk"):
            source.desk.post(Message("topic", b'{"x": 1}'))
        row = source.read()
        return row is not None, repr(row).encode()
    stated = source.format()
    if isinstance(stated, SampleFormat):
        samples = np.full((2, stated.channels), np.nan, np.float32)
        return source.read_into(samples), samples.tobytes()
    frame = Frame(stated)
    delivered = source.read_into(frame)
    assert frame.monotonic_ns > 0
    return delivered, frame.view.tobytes()


def test_every_source_of_the_table_has_a_case() -> None:
    """A source cannot be added without being tried here; a camera and a sound card are devices and have their own tests."""
    assert {kind for kind, _ in CASES.values()} == set(SOURCES.entries) - {"camera", "audio"}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("value", [math.inf, math.nan, -1.0])
def test_a_rate_or_a_time_is_a_number_that_can_be(name: str, value: float, tmp_path: Path, video: Path) -> None:
    """Infinitely many samples a second, or a time-out that never comes, would be waited for."""
    kind, make = CASES[name]
    options = SOURCES.load(kind, "test").Options
    plain = make(tmp_path, video)
    for field in msgspec.structs.fields(options):
        if field.type is float:
            faults: list[Fault] = []
            assert convert({**plain, field.name: value}, options, "source", faults) is None, field.name
            assert any(field.name in str(fault) for fault in faults), faults


@pytest.mark.parametrize("kind", list(SOURCES.entries))
def test_options_are_frozen_and_refuse_unknown_keys(kind: str) -> None:
    """A mistyped option is an error, never ignored."""
    options = SOURCES.load(kind, "test").Options
    assert issubclass(options, msgspec.Struct)
    assert options.__struct_config__.frozen
    assert options.__struct_config__.forbid_unknown_fields
    faults: list[Fault] = []
    assert convert({"colour_of_the_sky": 1}, options, "source", faults) is None
    assert "source.colour_of_the_sky" in [fault.where for fault in faults]


@pytest.mark.parametrize("case", CASES)
def test_a_source_says_before_it_opens_what_it_will_deliver(case: str, tmp_path: Path, video: Path) -> None:
    """``yields``, ``live`` and ``format`` are known without ``open``, and agree."""
    kind, make = CASES[case]
    source = _make(kind, make(tmp_path, video))
    assert isinstance(source.live, bool)
    if source.yields == "rows":  # what a model makes of them stands in its bundle
        return
    assert isinstance(source.format(), SampleFormat if source.yields == "samples" else FrameFormat)


@pytest.mark.parametrize("case", CASES)
def test_a_source_opens_again_after_it_was_closed_and_starts_anew(case: str, tmp_path: Path, video: Path) -> None:
    """The same first bytes come after ``close`` and ``open``; closing twice, or before opening, does no harm."""
    kind, make = CASES[case]
    source = _make(kind, make(tmp_path, video))
    source.close()
    firsts = []
    for _ in range(2):
        source.open()
        firsts.append(_read(source))
        source.close()
        source.close()
    assert firsts[0] == firsts[1]
    assert firsts[0][0]


@pytest.mark.parametrize("case", CASES)
def test_opening_an_open_source_starts_it_anew(case: str, tmp_path: Path, video: Path) -> None:
    """The capture loop opens after an error without asking whether it was open."""
    kind, make = CASES[case]
    source = _make(kind, make(tmp_path, video))
    source.open()
    first = _read(source)
    source.open()
    assert _read(source) == first
    source.close()


@pytest.mark.timeout(30)
@pytest.mark.parametrize("case", BLOCKING)
def test_an_interruption_ends_a_read_that_blocks(case: str, tmp_path: Path, video: Path) -> None:
    """A reader that would wait for an hour, or go on for ever, is let go by another thread; then the source opens again."""
    kind, make = BLOCKING[case]
    source = _make(kind, make(tmp_path, video))
    source.open()
    reading = threading.Event()

    def read_all() -> None:
        while True:
            reading.set()
            if not _read_quietly(source):
                return

    thread = threading.Thread(target=read_all)
    thread.start()
    reading.wait()
    source.interrupt()
    thread.join(20)
    assert not thread.is_alive()
    source.close()
    source.open()
    source.close()


def _read_quietly(source: Any) -> int:
    if source.yields == "rows":
        return source.read() is not None
    stated = source.format()
    target = np.zeros((2, stated.channels), np.float32) if isinstance(stated, SampleFormat) else Frame(stated)
    return source.read_into(target)


@pytest.mark.parametrize("kind", ["video", "images", "csv", "npy", "framelog", "jsonl"])
def test_a_file_that_is_not_there_is_named(kind: str, tmp_path: Path) -> None:
    """``format`` and ``open`` both raise a SourceError that names the path and says what was expected."""
    path = str(tmp_path / "not there.dat")
    source = _make(kind, {"path": path, "rate": 1.0} if kind in ("csv", "npy") else {"path": path})
    for action in (getattr(source, "format", source.open), source.open):
        with pytest.raises(SourceError) as caught:
            action()
        assert path in str(caught.value)
        assert ": expected " in str(caught.value)
        assert caught.value.faults[0].hint
    source.close()


BAD_OPTIONS = [
    ("camera", {"width": 0}, "width"), ("camera", {"fps": -1.0}, "fps"), ("camera", {"buffers": 9}, "buffers"),
    ("camera", {"timeout_s": 0.0}, "timeout_s"), ("camera", {"frozen_s": -1.0}, "frozen_s"), ("camera", {"pixel_format": "NV12", "width": 641}, "even"),
    ("camera", {"pixel_format": "MJPG"}, "pixel_format"),
    ("video", {}, "neither"), ("video", {"path": "a", "url": "rtsp://b"}, "both"), ("video", {"url": "rtsp://b"}, "width"),
    ("video", {"url": "file:///etc/passwd", "width": 1, "height": 1}, "scheme"),
    ("video", {"path": "a", "width": 3}, "path"), ("video", {"path": "a", "timeout_s": 0.0}, "timeout_s"),
    ("images", {"path": ""}, "path"), ("images", {"path": []}, "path"),
    ("images", {"path": "a", "interval_s": -1.0}, "interval_s"),
    ("command", {"command": "", "dtype": "s8"}, "command"), ("command", {"command": "a 'b", "dtype": "s8"}, "quotation"),
    ("command", {"command": "a"}, "neither"), ("command", {"command": "a", "dtype": "s8", "width": 3, "height": 3}, "both"),
    ("command", {"command": "a", "width": 3}, "3x0"), ("command", {"command": "a", "dtype": "s24le"}, "dtype"),
    ("command", {"command": "a", "dtype": "s8", "channels": 0}, "channels"),
    ("csv", {"path": "a"}, "rate"), ("csv", {"path": "", "rate": 1.0}, "path"), ("csv", {"path": "a", "rate": -1.0}, "rate"),
    ("csv", {"path": "a", "rate": 1.0, "delimiter": ",,"}, "delimiter"),
    ("csv", {"path": "a", "rate": 1.0, "columns": ["x", "x"]}, "once"),
    ("npy", {"path": "a"}, "rate"), ("npy", {"path": "", "rate": 1.0}, "path"),
    ("audio", {"device": ""}, "device"), ("audio", {"rate": 1}, "rate"), ("audio", {"channels": 0}, "channels"),
    ("audio", {"timeout_s": 0.0}, "timeout_s"),
    ("iio", {"device": "a", "channels": ["x"]}, "rate"), ("iio", {"device": "", "channels": ["x"], "rate": 1.0}, "device"),
    ("iio", {"device": "a", "channels": [], "rate": 1.0}, "channels"),
    ("iio", {"device": "a", "channels": ["../x"], "rate": 1.0}, "channels"),
    ("iio", {"device": "a", "channels": ["x", "x"], "rate": 1.0}, "once"),
    ("iio", {"device": "a", "channels": ["x"], "rate": -1.0}, "rate"),
    ("serial", {"device": ""}, "device"), ("serial", {"device": "a"}, "columns"), ("serial", {"device": "a", "columns": ["x"]}, "numbers"),
    ("serial", {"device": "a", "columns": [0], "format": "json"}, "paths"), ("serial", {"device": "a", "columns": ["a..b"], "format": "json"}, "path"),
    ("serial", {"device": "a", "format": "binary"}, "binary"), ("serial", {"device": "a", "columns": [0], "baud": 1}, "baud"),
    ("serial", {"device": "a", "format": "binary", "binary": {"header": "xy", "values": "<h"}}, "header"),
    ("serial", {"device": "a", "format": "binary", "binary": {"header": "aa", "values": "<4s"}}, "values"),
    ("serial", {"device": "a", "format": "binary", "binary": {"header": "aa", "values": "<2h"}, "columns": [2]}, "0 to 1"),
    ("serial", {"device": "a", "columns": [0], "delimiter": "ab"}, "delimiter"), ("serial", {"device": "a", "columns": [0], "timeout_s": 0.0}, "timeout_s"),
    ("mqtt", {"broker": {"host": "a"}, "channels": []}, "channels"), ("mqtt", {"channels": [{"topic": "a"}]}, "broker"),
    ("mqtt", {"broker": {"host": "a"}, "channels": [{"topic": "a/#"}]}, "topic"),
    ("mqtt", {"broker": {"host": "a"}, "channels": [{"topic": "a", "path": "[x]"}]}, "path"),
    ("mqtt", {"broker": {"host": "a"}, "channels": [{"topic": "a"}], "rate": -1.0}, "rate"),
    ("mqtt", {"broker": {"host": "a"}, "channels": [{"topic": "a"}], "stale_s": 0.0}, "stale_s"),
    ("jsonl", {"path": ""}, "path"), ("jsonl", {"path": "a", "interval_s": -1.0}, "interval_s"),
    ("requests", {"topic": "a/+"}, "topic"), ("requests", {"max_bytes": 1}, "max_bytes"), ("requests", {"per_second": 0.0}, "per_second"),
    ("requests", {"waiting": 0}, "waiting"),
    ("framelog", {"path": ""}, "path"),
    ("synthetic", {"width": 0}, "width"), ("synthetic", {"fps": -1.0}, "fps"), ("synthetic", {"count": -1}, "count"),
    ("synthetic", {"pixel_format": "YUYV", "width": 3}, "even"),
]


@pytest.mark.parametrize(("kind", "options", "word"), BAD_OPTIONS)
def test_a_bad_option_is_refused_before_anything_opens(kind: str, options: dict[str, Any], word: str) -> None:
    """Each comes as a fault "expected X, got Y" that names the option."""
    faults: list[Fault] = []
    assert convert(options, SOURCES.load(kind, "test").Options, "source", faults) is None
    assert word in str(faults[0])
    assert faults[0].expected
    assert faults[0].got
