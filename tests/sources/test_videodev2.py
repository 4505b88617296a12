"""The structures of <linux/videodev2.h>: the compiler's word on sizes, offsets and request numbers, where there is one."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from edgeinfer.sources import videodev2 as abi

STRUCTURES = {"v4l2_capability": abi.Capability, "v4l2_format": abi.Format, "v4l2_pix_format": abi.PixFormat,
              "v4l2_requestbuffers": abi.RequestBuffers, "v4l2_buffer": abi.Buffer, "v4l2_streamparm": abi.StreamParm,
              "v4l2_captureparm": abi.CaptureParm, "v4l2_event_subscription": abi.EventSubscription, "v4l2_event": abi.Event}
REQUESTS = [name for name in abi.__all__ if name.startswith("VIDIOC_")]
CONSTANTS = [name for name in abi.__all__ if name.split("_")[0] in {"BUF", "CAP", "EVENT", "FIELD", "MEMORY"}]
# sizes by bytes of a pointer: 64 bits, and 32-bit ARM with 64-bit time
SIZES = {8: {"v4l2_capability": 104, "v4l2_format": 208, "v4l2_buffer": 88, "v4l2_event": 136, "v4l2_streamparm": 204},
         4: {"v4l2_capability": 104, "v4l2_format": 204, "v4l2_buffer": 80, "v4l2_event": 136, "v4l2_streamparm": 204}}


def _fields(structure: type[ctypes.Structure]) -> list[str]:
    return [name for name, _ in structure._fields_ if not name.startswith("_")]  # type: ignore[misc]  # bit fields: none here


def _program() -> str:
    """Prints the size and the offsets of each structure, and each number."""
    lines = ["#include <linux/videodev2.h>", "#include <stddef.h>", "#include <stdio.h>", "int main(void) {"]
    for name, structure in STRUCTURES.items():
        offsets = [f"(unsigned) offsetof(struct {name}, {field})" for field in _fields(structure)]
        values = [f"(unsigned) sizeof(struct {name})", *offsets]
        lines.append(f'printf("{name}{" %u" * len(values)}\\n", {", ".join(values)});')
    lines += [f'printf("{name} %lu\\n", (unsigned long) {name});' for name in REQUESTS]
    lines += [f'printf("{name} %lu\\n", (unsigned long) V4L2_{name});' for name in CONSTANTS]
    return "\n".join([*lines, "return 0; }"])


def test_layouts_and_numbers_are_the_headers(tmp_path: Path) -> None:
    """Compiled against the header of this machine's kernel."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not Path("/usr/include/linux/videodev2.h").exists():
        pytest.skip("no C compiler, or no kernel headers: sudo apt install gcc linux-libc-dev")
    (tmp_path / "abi.c").write_text(_program())
    subprocess.run([compiler, "-D_TIME_BITS=64", "-D_FILE_OFFSET_BITS=64", "-o", tmp_path / "abi", tmp_path / "abi.c"], check=True)
    said = subprocess.run([tmp_path / "abi"], check=True, capture_output=True, text=True).stdout
    expected = [f"{name} {ctypes.sizeof(structure)} " + " ".join(str(getattr(structure, field).offset) for field in _fields(structure))
                for name, structure in STRUCTURES.items()]
    expected += [f"{name} {getattr(abi, name)}" for name in REQUESTS + CONSTANTS]
    assert said.splitlines() == expected


def test_sizes_are_those_of_the_word_size() -> None:
    """Known beforehand for 64 bits and for 32-bit ARM: a compiler is seldom on a device."""
    sizes = SIZES[ctypes.sizeof(ctypes.c_void_p)]
    assert {name: ctypes.sizeof(STRUCTURES[name]) for name in sizes} == sizes


def test_a_pixel_formats_name_and_number_are_one() -> None:
    """YUYV is 0x56595559, as the header's macro has it."""
    assert abi.fourcc("YUYV") == 0x56595559
    assert abi.fourcc_name(0x56595559 | 1 << 31) == "YUYV"
