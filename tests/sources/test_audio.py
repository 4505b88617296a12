"""Sound from a program in arecord's place; a real card (the kernel's loopback) is tried in the virtual machine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.sources import SampleFormat
from edgeinfer.sources.audio import Audio, AudioOptions

Fails = Callable[..., str]
FULL = np.array([[0, 1], [-32768, 32767], [16384, -16384]], "<i2")
EXPECTED = FULL.astype(np.float32) / 32768


def _arecord(folder: Path, script: str, patch: pytest.MonkeyPatch) -> None:
    """A program in arecord's place."""
    program = folder / "arecord"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    patch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_a_device_is_read_through_arecord(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the device, the rate and the channels that were asked for; an overrun must end it."""
    (tmp_path / "raw").write_bytes(np.tile(FULL, (100, 1)).tobytes())
    _arecord(tmp_path, f'echo "$@" > {tmp_path}/asked; cat {tmp_path}/raw; exec sleep 100', monkeypatch)
    source = Audio(AudioOptions(device="plughw:1", rate=8000, channels=2))
    assert source.format() == SampleFormat(2, 8000.0)
    source.open()
    samples = np.zeros((300, 2), np.float32)
    assert source.read_into(samples) == 300
    assert np.array_equal(samples, np.tile(EXPECTED, (100, 1)))
    source.close()
    asked = (tmp_path / "asked").read_text()
    assert "-D plughw:1 -t raw -f S16_LE -r 8000 -c 2" in asked
    assert "--fatal-errors" in asked


def test_an_arecord_that_ends_is_an_error_with_its_words_and_is_started_anew(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Fails) -> None:
    """Unplugged, busy, or an overrun: the samples before it are not joined to those after."""
    _arecord(tmp_path, "head -c 40 /dev/zero; echo 'arecord: audio open error: No such device' >&2; exit 1", monkeypatch)
    source = Audio(AudioOptions(device="hw:9", channels=2))
    for _ in range(2):
        source.open()
        fails(lambda: source.read_into(np.zeros((20, 2), np.float32)), "hw:9: expected sound", "exit code 1", "No such device")
    source.close()


def test_a_machine_without_arecord_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Fails) -> None:
    """The package that has it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    fails(Audio(AudioOptions()).open, "sudo apt install alsa-utils")


@pytest.mark.timeout(30)
def test_an_interruption_ends_a_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a card that is silent for an hour."""
    _arecord(tmp_path, "exec sleep 3600", monkeypatch)
    source = Audio(AudioOptions(timeout_s=600.0))
    source.open()
    answers: list[int] = []
    reading = threading.Thread(target=lambda: answers.append(source.read_into(np.zeros((20, 1), np.float32))))
    reading.start()
    source.interrupt()
    reading.join(20)
    assert answers == [0]
    source.close()
