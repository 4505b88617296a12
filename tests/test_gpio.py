"""Edges of a GPIO line, and what they let through. The kernel's structures are the header's; its answers are made up here."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeinfer import config, gpio
from edgeinfer.errors import ConfigError, SourceError
from edgeinfer.gpio import EdgeLine, GpioOptions, LineEvent, LineRequest
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.sources.synthetic import Synthetic, SyntheticOptions
from edgeinfer.trigger import Triggered, TriggerOptions
from edgeinfer.typed import convert

STRUCTURES = {"gpio_v2_line_request": LineRequest, "gpio_v2_line_event": LineEvent}


def test_layouts_and_numbers_are_the_headers(tmp_path: Path) -> None:
    """The compiler's word on sizes, offsets, the request's number and a request's bytes."""
    compiler = shutil.which("cc")
    if compiler is None or not Path("/usr/include/linux/gpio.h").is_file():
        pytest.skip("no C compiler, or no kernel headers")
    options = GpioOptions(line=17, edge="both", bias="pull_up", active_low=True, debounce_ms=5)
    lines = ["#include <linux/gpio.h>", "#include <stdio.h>", "#include <string.h>", "int main(void) { struct gpio_v2_line_request r;",
             "memset(&r, 0, sizeof r); r.offsets[0] = 17; r.num_lines = 1; strcpy(r.consumer, \"edgeinfer\");",
             "r.config.flags = GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_EDGE_RISING | GPIO_V2_LINE_FLAG_EDGE_FALLING"
             " | GPIO_V2_LINE_FLAG_BIAS_PULL_UP | GPIO_V2_LINE_FLAG_ACTIVE_LOW;",
             "r.config.num_attrs = 1; r.config.attrs[0].attr.id = GPIO_V2_LINE_ATTR_ID_DEBOUNCE; r.config.attrs[0].mask = 1;",
             "r.config.attrs[0].attr.debounce_period_us = 5000;",
             'printf("%zu %zu %lu ", sizeof r, sizeof(struct gpio_v2_line_event), (unsigned long) GPIO_V2_GET_LINE_IOCTL);',
             'for (unsigned i = 0; i < sizeof r; i++) printf("%02x", ((unsigned char *) &r)[i]); return 0; }']
    (tmp_path / "gpio.c").write_text("\n".join(lines))
    subprocess.run([compiler, "gpio.c", "-o", "gpio"], cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "gpio"], capture_output=True, text=True, check=True).stdout.split()
    assert said == [str(ctypes.sizeof(LineRequest)), str(ctypes.sizeof(LineEvent)), str(gpio._GET_LINE), bytes(options.request()).hex()]


class Chip:
    """What the kernel answers: a pipe that events come over."""

    def __init__(self) -> None:
        self.error = 0
        self._writing = -1

    def ioctl(self, descriptor: int, request: int, argument: LineRequest) -> None:
        assert request == gpio._GET_LINE
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        self.close()
        argument.fd, self._writing = os.pipe()

    def edge(self, at_ns: int | None = None) -> None:
        os.write(self._writing, bytes(LineEvent(timestamp_ns=time.monotonic_ns() if at_ns is None else at_ns, id=1)))

    def close(self) -> None:
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1


@pytest.fixture
def chip(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chip]:
    chip = Chip()
    monkeypatch.setattr(gpio, "_ioctl", chip.ioctl)
    yield chip
    chip.close()


def _triggered(frames: int = 1, count: int = 50) -> Triggered:
    camera = Synthetic(SyntheticOptions(width=8, height=4, count=count))
    return Triggered(camera, TriggerOptions(chip="/dev/null", line=17, frames=frames))


def test_only_frames_taken_after_an_edge_come_and_so_many_of_them(chip: Chip) -> None:
    """What is let go of is counted; an edge in the midst begins anew; the end of the stream stays one."""
    source = _triggered(frames=3)
    frame = Frame(source.format())  # type: ignore[arg-type]
    source.open()
    chip.edge()
    assert source.read_into(frame)
    assert source.read_into(frame)
    chip.edge()
    chip.edge()
    assert [source.read_into(frame) for _ in range(3)] == [True] * 3
    assert not source.read_into(frame), "the end of the stream"
    assert source.counts() == {"edges": 3, "untriggered": 45}
    source.close()
    source.close()


def test_a_frame_that_a_buffer_held_since_before_the_edge_is_let_go_of(chip: Chip) -> None:
    """The picture of a light barrier shows what broke it."""
    source = _triggered(count=0)
    frame = Frame(FrameFormat("BGR", 4, 8))
    source.open()
    chip.edge(time.monotonic_ns() + 2_000_000)
    assert source.read_into(frame)
    assert source.untriggered >= 1
    source.close()


def test_without_an_edge_nothing_comes(chip: Chip) -> None:
    """To the end of the stream."""
    source = _triggered()
    source.open()
    assert not source.read_into(Frame(FrameFormat("BGR", 4, 8)))
    assert source.untriggered == 50
    source.close()


@pytest.mark.parametrize(("error", "words"), [(errno.EBUSY, "a line that is free"), (errno.EINVAL, "a line that tells of edges")])
def test_a_line_that_is_not_to_be_had_is_an_error(chip: Chip, error: int, words: str) -> None:
    """Taken by another program, or not there."""
    chip.error = error
    with pytest.raises(SourceError, match=words) as caught:
        _triggered().open()
    assert "gpioinfo -c /dev/null" in str(caught.value)


def test_a_chip_that_is_not_there_or_goes_is_an_error(chip: Chip) -> None:
    """Named; the capture loop opens it again."""
    with pytest.raises(SourceError, match="/dev/gpiochip99"):
        EdgeLine(GpioOptions(chip="/dev/gpiochip99", line=1))
    line = EdgeLine(GpioOptions(chip="/dev/null", line=1))
    assert line.edges() == (0, 0)
    chip.close()
    with pytest.raises(SourceError, match="/dev/null line 1"):
        line.edges()
    line.close()


def test_a_configuration_names_the_line() -> None:
    """And requests wait for none."""
    text = "pipelines: {{a: {{bundle: b, source: {}, trigger: {{kind: gpio, line: 17, edge: falling, debounce_ms: 5, frames: 3}}}}}}\nsink: {{kind: stdout}}"
    trigger = config.parse(text.format("{kind: camera}").encode(), Path("/")).pipelines["a"].trigger
    assert trigger == TriggerOptions(line=17, edge="falling", debounce_ms=5.0, frames=3)
    with pytest.raises(ConfigError, match="requests"):
        config.parse(text.format("{kind: requests}").encode(), Path("/"))


@pytest.mark.parametrize(("options", "word"), [({}, "line"), ({"line": -1}, "line"), ({"line": 1, "chip": "gpiochip0"}, "chip"), ({"line": 1, "edge": "up"}, "edge"),
                                               ({"line": 1, "debounce_ms": -1.0}, "debounce_ms"), ({"line": 1, "frames": 0}, "frames")])
def test_a_bad_option_is_refused(options: dict[str, Any], word: str) -> None:
    """With its name."""
    faults: list[Any] = []
    assert convert(options, TriggerOptions, "trigger", faults) is None
    assert word in str(faults[0])
