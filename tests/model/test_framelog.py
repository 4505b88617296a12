"""The framelog: what was written comes back, and nothing damaged passes for a frame."""

from __future__ import annotations

import contextlib
import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeinfer.errors import DataError, StorageError
from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.framelog import FrameLogReader, FrameLogWriter

ANY_TMP = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
INT64 = st.integers(-(2**63), 2**63 - 1)
FORMATS = st.one_of(
    st.builds(FrameFormat, st.sampled_from(["RGB", "BGR", "GREY"]), st.integers(1, 9), st.integers(1, 9)),
    st.builds(lambda kind, h, w: FrameFormat(kind, 2 * h, 2 * w), st.sampled_from(["YUYV", "NV12", "I420"]),
              st.integers(1, 5), st.integers(1, 5)),
    st.builds(WindowFormat, st.integers(1, 9), st.integers(1, 4)),
)


def _write(path: Path, format: FrameFormat | WindowFormat = FrameFormat("BGR", 4, 6), count: int = 3, **options: Any) -> Path:  # noqa: B008
    path.unlink(missing_ok=True)
    with FrameLogWriter(path, format, 10**7, **options) as writer:
        frame = Frame(format)
        for number in range(count):
            frame.memory[:] = np.random.default_rng(number).integers(0, 256, frame.memory.shape, np.uint8)
            frame.sequence, frame.monotonic_ns, frame.wall_ns = number, 10 * number, 20 * number
            assert writer.append(frame)
    return path


def _facts(frame: Frame) -> tuple[Any, ...]:
    return frame.sequence, frame.monotonic_ns, frame.wall_ns, frame.format, frame.view.tobytes()


@ANY_TMP
@given(format=FORMATS, stamps=st.lists(st.tuples(st.integers(0, 2**64 - 1), INT64, INT64), max_size=5), seed=st.integers(0, 99),
       source=st.text(max_size=300))
def test_what_was_written_comes_back(tmp_path: Path, format: FrameFormat | WindowFormat, stamps: list[tuple[int, int, int]],
                                     seed: int, source: str) -> None:
    """Every format, any stamps, any bytes; the reader knows the format, the rate and the name of the source."""
    path = tmp_path / "log"
    path.unlink(missing_ok=True)
    frame, written = Frame(format), []
    with FrameLogWriter(path, format, 10**6, source=source, rate=12.5) as writer:
        for index, (frame.sequence, frame.monotonic_ns, frame.wall_ns) in enumerate(stamps):
            frame.memory[:] = np.random.default_rng(seed + index).integers(0, 256, frame.memory.shape, np.uint8)
            assert writer.append(frame)
            written.append(_facts(frame))
    with FrameLogReader(path) as reader:
        assert (reader.format, reader.rate, reader.source) == (format, 12.5, source[:256])
        assert len(reader) == len(stamps)
        assert [_facts(frame) for frame in reader] == written
        if written:
            reader.read_into(len(written) - 1, frame)
            assert _facts(frame) == written[-1]


def test_pictures_smaller_than_the_largest_keep_their_size(tmp_path: Path) -> None:
    """As a folder of pictures delivers them."""
    largest, frame = FrameFormat("BGR", 10, 10), Frame(FrameFormat("BGR", 10, 10))
    sizes = [FrameFormat("BGR", 10, 10), FrameFormat("BGR", 3, 7), FrameFormat("BGR", 7, 3)]
    with FrameLogWriter(tmp_path / "log", largest, 10**5) as writer:
        for value, size in enumerate(sizes):
            frame.reshape(size)
            frame.view[:] = value
            writer.append(frame)
    with FrameLogReader(tmp_path / "log") as reader:
        read = [(frame.format, set(frame.view.ravel().tolist())) for frame in reader]
    assert read == [(size, {value}) for value, size in enumerate(sizes)]


def test_the_file_never_passes_its_limit(tmp_path: Path) -> None:
    """``append`` says False instead, and what is there is whole."""
    format = FrameFormat("GREY", 10, 10)
    for limit in range(400, 900, 37):
        path = tmp_path / f"log {limit}"
        with FrameLogWriter(path, format, limit) as writer:
            appended = [writer.append(Frame(format)) for _ in range(10)]
        assert path.stat().st_size <= limit
        assert appended == sorted(appended, reverse=True)
        with FrameLogReader(path) as reader:
            assert len(reader) == sum(appended) == writer.count > 0


def test_a_limit_below_one_record_is_refused(tmp_path: Path) -> None:
    """Before a file is made."""
    with pytest.raises(StorageError, match="expected room for one record"):
        FrameLogWriter(tmp_path / "log", FrameFormat("GREY", 10, 10), 100)
    assert not (tmp_path / "log").exists()


def test_a_file_that_exists_is_never_written_over(tmp_path: Path) -> None:
    """A recording may be the only one."""
    path = _write(tmp_path / "log")
    content = path.read_bytes()
    with pytest.raises(StorageError, match="File exists"):
        FrameLogWriter(path, FrameFormat("GREY", 1, 1), 10**6)
    assert path.read_bytes() == content


def test_a_full_disk_leaves_whole_records_only(tmp_path: Path) -> None:
    """What was cut off is taken back (here by the limit on file sizes, which cuts a write short as a full disk does)."""
    import signal

    format, path = FrameFormat("GREY", 100, 100), tmp_path / "log"
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with FrameLogWriter(path, format, 10**6) as writer:
        assert writer.append(Frame(format))
        whole = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (whole + 5000, before[1]))
        try:
            with pytest.raises(StorageError, match="No space left on device"):
                writer.append(Frame(format))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, ignored)
        assert path.stat().st_size == whole
        assert writer.append(Frame(format)), "it goes on when there is room again"
    with FrameLogReader(path) as reader:
        assert len(list(reader)) == 2


def test_a_torn_last_record_is_ignored_wherever_it_was_torn(tmp_path: Path) -> None:
    """A power cut may leave any number of its bytes."""
    content = _write(tmp_path / "log", FrameFormat("GREY", 2, 2), count=3).read_bytes()
    record = 32 + 4 + 4
    for torn in range(1, record + 1):
        (tmp_path / "log").write_bytes(content[:-torn])
        with FrameLogReader(tmp_path / "log") as reader:
            assert len(reader) == 2
            assert [frame.sequence for frame in reader] == [0, 1]


def test_every_flipped_bit_of_a_record_is_noticed(tmp_path: Path) -> None:
    """In the facts, in the payload and in the checksum, one bit at a time; the other records are still read."""
    path = _write(tmp_path / "log", FrameFormat("GREY", 2, 2), count=3)
    content = path.read_bytes()
    record, start = 40, len(content) - 3 * 40
    frame = Frame(FrameFormat("GREY", 2, 2))
    for bit in range(8 * record):
        damaged = bytearray(content)
        damaged[start + record + bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with FrameLogReader(path) as reader:
            with pytest.raises(DataError, match="log: record 1: expected a matching checksum"):
                reader.read_into(1, frame)
            reader.read_into(0, frame)
            reader.read_into(2, frame)
            assert frame.sequence == 2


GREY = {"pixel_format": "GREY", "height": 2, "width": 2}
BAD_HEADERS = [
    (b"", "a file that starts with"), (b"\x89PNG", "a file that starts with"), (b"edgeinfer-framelog 2\n{}\n", "a file that starts with"),
    (b"edgeinfer-framelog 1\n", "a longer or a torn one"), (b"edgeinfer-framelog 1\n{}", "a longer or a torn one"),
    (b"edgeinfer-framelog 1\n" + b" " * 4096 + b"\n", "a header of at most 4096 bytes"), ("no JSON", "the JSON of a framelog"),
    ("[]", "the JSON of a framelog"), ("[" * 4000, "the JSON of a framelog"), ({}, "got neither"),
    ({"frames": GREY, "samples": {"length": 1, "channels": 1}}, "got both"), ({"frames": {**GREY, "height": 0}}, "a frame of 1 to"),
    ({"frames": {**GREY, "height": -2, "width": -2}}, "a frame of 1 to"), ({"frames": {**GREY, "width": 2**40}}, "a frame of 1 to"),
    ({"frames": {**GREY, "width": 2**62, "height": 4}}, "a frame of 1 to"), ({"frames": {**GREY, "width": 10**30}}, "a frame of 1 to"),
    ({"frames": {**GREY, "pixel_format": "MJPG"}}, "the JSON"), ({"samples": {"length": 1}}, "the JSON"),
    ({"samples": {"length": 10**9, "channels": 9}}, "a frame of 1 to"),
    ({"frames": {"pixel_format": "NV12", "height": 1, "width": 1, }, "rate": "fast"}, "the JSON"),
]


@pytest.mark.parametrize(("header", "word"), BAD_HEADERS, ids=[str(case[0])[:60] for case in BAD_HEADERS])
def test_a_bad_header_is_one_clear_error(tmp_path: Path, header: bytes | str | dict[str, Any], word: str) -> None:
    """Another file, another version, half of one, an absurd size: never a huge allocation, never anything but a DataError."""
    path = tmp_path / "log"
    text = json.dumps(header) if isinstance(header, dict) else header
    path.write_bytes(text if isinstance(text, bytes) else b"edgeinfer-framelog 1\n" + text.encode() + b"\n" + bytes(999))
    with pytest.raises(DataError, match=word):
        FrameLogReader(path)


@pytest.mark.parametrize("path", [".", "not there"])
def test_what_cannot_be_read_is_one_clear_error(tmp_path: Path, path: str) -> None:
    """A folder, and nothing at all."""
    with pytest.raises(DataError, match="expected a framelog"):
        FrameLogReader(tmp_path / path)


@ANY_TMP
@given(content=st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_data_error(tmp_path: Path, content: bytes) -> None:
    """Behind the magic line, too."""
    path = tmp_path / "log"
    for start in (b"", b"edgeinfer-framelog 1\n", b'edgeinfer-framelog 1\n{"samples":{"length":2,"channels":1}}\n'):
        path.write_bytes(start + content)
        with contextlib.suppress(DataError), FrameLogReader(path) as reader:
            list(reader)


def test_an_unknown_field_of_the_header_is_ignored(tmp_path: Path) -> None:
    """A later minor version may say more."""
    path = _write(tmp_path / "log", FrameFormat("GREY", 2, 2))
    path.write_bytes(path.read_bytes().replace(b'{"frames"', b'{"lens":"wide","frames"', 1))
    with FrameLogReader(path) as reader:
        assert len(list(reader)) == 3


def test_a_frame_of_another_format_is_wrong_use(tmp_path: Path) -> None:
    """It is the caller's mistake, not the file's."""
    with FrameLogWriter(tmp_path / "a", FrameFormat("GREY", 2, 2), 10**6) as writer, pytest.raises(RuntimeError):
        writer.append(Frame(FrameFormat("GREY", 3, 3)))
    with FrameLogReader(_write(tmp_path / "b")) as reader:
        with pytest.raises(RuntimeError):
            reader.read_into(0, Frame(FrameFormat("GREY", 3, 3)))
        with pytest.raises(IndexError):
            reader.read_into(3, Frame(reader.format))
