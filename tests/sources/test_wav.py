"""Samples from WAVE files of every usual coding."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.errors import SourceError
from edgeinfer.model.tensor import Array
from edgeinfer.model.wavefile import Wav
from edgeinfer.sources.wav import WavOptions, WavSource

STEPS = np.array([[-128, 127], [0, 1], [64, -64], [-1, 2]])  # 128ths of full scale, two channels


def written(path: Path, coding: int, bits: int, raw: bytes, channels: int = 2, rate: int = 8000) -> Path:
    """RIFF, an unknown chunk of odd size, format, data."""
    width = channels * bits // 8
    chunks = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    chunks += b"fmt " + struct.pack("<IHHIIHH", 16, coding, channels, rate, rate * width, width, bits)
    chunks += b"data" + struct.pack("<I", len(raw)) + raw
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    return path


def _int24(steps: Array) -> bytes:
    return (steps.astype("<i4") << 16).tobytes() and b"".join(int(value << 16).to_bytes(3, "little", signed=True) for value in steps.flat)


CODINGS = {
    "8 bits": (1, 8, (STEPS + 128).astype(np.uint8).tobytes()),
    "16 bits": (1, 16, (STEPS.astype("<i2") << 8).tobytes()),
    "24 bits": (1, 24, _int24(STEPS)),
    "32 bits": (1, 32, (STEPS.astype("<i4") << 24).tobytes()),
    "floats": (3, 32, (STEPS / 128).astype("<f4").tobytes()),
    "doubles": (3, 64, (STEPS / 128).astype("<f8").tobytes()),
}


def made(path: Path, **options: Any) -> WavSource:
    source = WavSource(WavOptions(path=str(path), **{"pace": "fast", **options}))
    source.open()
    return source


def read(source: WavSource, rows: int, channels: int = 2) -> Array:
    samples = np.full((rows, channels), np.nan, np.float32)
    return samples[: source.read_into(samples)]


@pytest.mark.parametrize("coding", CODINGS)
def test_integers_become_shares_of_full_scale(tmp_path: Path, coding: str) -> None:
    """-1 to 1, whatever the bits; floats as they are; rate and channels are the file's."""
    path = written(tmp_path / "sound.wav", *CODINGS[coding])
    source = made(path)
    assert source.format().rate == 8000.0
    assert source.format().channels == 2
    assert np.array_equal(read(source, 3), (STEPS / 128)[:3].astype(np.float32))
    assert np.array_equal(read(source, 3), (STEPS / 128)[3:].astype(np.float32))  # fewer: the end
    assert len(read(source, 3)) == 0
    source.close()


@pytest.mark.parametrize(("change", "rows"), [
    ((b"data" + struct.pack("<I", 16), b"data" + bytes(4)), 0), ((b"data" + struct.pack("<I", 16), b"data\xff\xff\xff\xff"), 8),
    ((b"RIFF", b"RF64"), 4), ((b"RIFF", b"BW64"), 4)])
def test_what_is_behind_the_sound_is_none(tmp_path: Path, change: tuple[bytes, bytes], rows: int) -> None:
    """A chunk of text behind the data: of an empty recording, and of one whose size is told elsewhere. Without any size, as programs
    write that stream, all is sound."""
    content = written(tmp_path / "sound.wav", *CODINGS["16 bits"]).read_bytes() + b"LIST" + struct.pack("<I", 8) + b"a note.."
    content = content[:4] + struct.pack("<I", len(content) - 8) + content[8:]
    content = content.replace(*change)
    if content[:4] != b"RIFF":
        content = content[:4] + b"\xff\xff\xff\xffWAVEds64" + struct.pack("<IQQQI", 28, 0, 16, 4, 0) + content[12:]
        content = content.replace(b"data" + struct.pack("<I", 16), b"data\xff\xff\xff\xff")
    (tmp_path / "sound.wav").write_bytes(content)
    assert Wav(tmp_path / "sound.wav").rows == rows


def test_a_recording_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """Its sizes are those of its start."""
    content = written(tmp_path / "sound.wav", *CODINGS["16 bits"]).read_bytes()
    content = content[:4] + struct.pack("<I", 36) + content[8:].replace(b"data" + struct.pack("<I", 16), b"data" + bytes(4))
    (tmp_path / "sound.wav").write_bytes(content)
    assert Wav(tmp_path / "sound.wav").rows == 4


def test_samples_in_wider_containers_are_refused(tmp_path: Path) -> None:
    """24 bits in 4 bytes each, without the format that says so, would be noise."""
    content = written(tmp_path / "sound.wav", *CODINGS["24 bits"]).read_bytes().replace(struct.pack("<HH", 6, 24), struct.pack("<HH", 8, 24))
    (tmp_path / "sound.wav").write_bytes(content)
    with pytest.raises(SourceError, match="6 bytes for all channels, got 8"):
        made(tmp_path / "sound.wav")


def test_channels_are_chosen_and_the_end_is_the_beginning(tmp_path: Path) -> None:
    """One of two, in a loop; a reader of several rows crosses the end."""
    path = written(tmp_path / "sound.wav", *CODINGS["16 bits"])
    source = made(path, channels=[1], loop=True)
    assert source.format().channels == 1
    assert (read(source, 10, 1)[:, 0] * 128).tolist() == [127, 1, -64, 2, 127, 1, -64, 2, 127, 1]
    source.close()


def test_pace_is_the_files(tmp_path: Path) -> None:
    """Only a file in real time counts as live."""
    path = written(tmp_path / "sound.wav", *CODINGS["16 bits"])
    assert WavSource(WavOptions(path=str(path))).live
    assert not WavSource(WavOptions(path=str(path), pace="fast")).live
    source = made(path, pace="realtime")
    source.interrupt()
    assert len(read(source, 2)) == 0
    source.close()


@pytest.mark.parametrize(("content", "options", "message"), [
    (b"", {}, "a WAVE file"),
    (b"RIFF\0\0\0\0WAVEfmt ", {}, "ends within its header"),
    (b"ID3 an mp3 file", {}, "a WAVE file"),
    (None, {"channels": [2]}, "a file of 2"),
    (b"empty", {}, "a WAVE file with samples"),
])
def test_what_is_no_such_sound_is_one_clear_error(tmp_path: Path, content: bytes | None, options: Any, message: str) -> None:
    """From format and open alike."""
    path = written(tmp_path / "sound.wav", 1, 16, b"" if content == b"empty" else CODINGS["16 bits"][2])
    if content is not None and content != b"empty":
        path.write_bytes(content)
    source = WavSource(WavOptions(path=str(path), **options))
    for call in (source.format, source.open):
        with pytest.raises(SourceError, match=message):
            call()


def test_a_file_that_is_not_there_is_a_source_error(tmp_path: Path) -> None:
    """It may come yet: the capture thread tries again."""
    with pytest.raises(SourceError, match="a WAVE file"):
        WavSource(WavOptions(path=str(tmp_path / "none.wav"))).open()
