"""Figures of the process, and memory given back without harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from edgeinfer import vitals
from edgeinfer.vitals import read_mappings, temperature_c


def test_the_share_of_memory_is_within_the_resident_set() -> None:
    """PSS is more than nothing and at most what is resident."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    assert 1 << 20 < vitals.pss_bytes() <= peak + (8 << 20)


def test_memory_that_is_written_shows() -> None:
    """64 MB more of written memory are 64 MB more of PSS."""
    before = vitals.pss_bytes()
    block = b"\xff" * (64 << 20)
    assert vitals.pss_bytes() - before > 60 << 20
    assert block


def test_the_cpu_share_is_that_since_the_last_call() -> None:
    """A busy loop shows as a share of a core, the sleep after it as next to nothing."""
    share = vitals.CpuShare()
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    busy = share.share()
    time.sleep(0.1)
    assert share.share() < busy


def test_threads_and_files_are_counted() -> None:
    """One more thread and one more open file are one more each."""
    threads, files, stop = vitals.threads(), vitals.descriptors(), threading.Event()
    waiting = threading.Thread(target=stop.wait)
    waiting.start()
    try:
        with open("/dev/null", encoding="utf-8"):
            assert vitals.descriptors() == files + 1
        assert vitals.threads() == threads + 1
    finally:
        stop.set()
        waiting.join()
    assert vitals.descriptors() == files


def test_the_uptime_is_that_of_the_process() -> None:
    """A child that was just started is younger than this process, and older than nothing."""
    code = "from edgeinfer import vitals; print(vitals.uptime_s())"
    child = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert 0 <= child < vitals.uptime_s()


# zones as (type, temp), and the temperature to report
ZONES: dict[str, tuple[list[tuple[str, str]], float | None]] = {
    "Raspberry Pi": ([("cpu-thermal", "48312")], 48.312),
    "Jetson Orin": ([("cpu-thermal", "51000"), ("gpu-thermal", "60500"), ("soc0-thermal", "52250"), ("tj-thermal", "60500")],
                    52.25),
    "PC": ([("acpitz", "90000"), ("x86_pkg_temp", "45000")], 45.0),
    "no zone named after the processor": ([("acpitz", "27800"), ("wifi", "-5000")], 27.8),
    "a zone that cannot be read": ([("cpu-thermal", ""), ("soc", "40000")], 40.0),
    "below zero": ([("cpu-thermal", "-12500")], -12.5),
    "none": ([], None),
}


@pytest.mark.parametrize("board", ZONES)
def test_the_temperature_is_the_hottest_zone_of_the_processor(board: str, tmp_path: Path) -> None:
    """A tree as the board's kernel shows it gives the board's temperature."""
    zones, expected = ZONES[board]
    for index, (kind, temp) in enumerate(zones):
        zone = tmp_path / f"sys/class/thermal/thermal_zone{index}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{kind}\n", encoding="utf-8")
        (zone / "temp").write_text(f"{temp}\n", encoding="utf-8")
    assert temperature_c(tmp_path) == expected


def smaps(header: str, **sizes: int) -> str:
    known = {"Size": 100, "Rss": 80, "Pss": 80, "Shared_Clean": 0, "Shared_Dirty": 0, "Private_Clean": 80,
             "Private_Dirty": 0, "Anonymous": 0, "Swap": 0, "Locked": 0, **sizes}
    return "\n".join([header, *(f"{name}: {size:>12} kB" for name, size in known.items()), "VmFlags: rd ex mr mw me \n"])


TEXT = "7f00a000-7f00b000 r-xp 00001000 fe:00 190545                     /usr/lib/libx.so.1"
DATA = "7f00c000-7f00d000 r--p 00002000 fe:00 190545                     /usr/lib/libx.so.1"
MAPPINGS: dict[str, tuple[str, bool]] = {
    "the text of a library": (smaps(TEXT), True),
    "its constants": (smaps(DATA), True),
    "a file whose name has blanks": (smaps("1000-2000 r--p 00000000 fe:00 7    /opt/a model (deleted)"), True),
    "relocated data, read-only since": (smaps(DATA, Private_Dirty=4, Anonymous=4), False),
    "the same after a fork": (smaps(DATA, Shared_Dirty=4, Anonymous=4), False),
    "the same in swap": (smaps(DATA, Swap=4), False),
    "the same come back from swap, clean": (smaps(DATA, Anonymous=4), False),
    "writable data": (smaps("7f00c000-7f00d000 rw-p 00002000 fe:00 190545    /usr/lib/libx.so.1"), False),
    "a guard between": (smaps("7f00c000-7f00d000 ---p 00002000 fe:00 190545    /usr/lib/libx.so.1", Rss=0), False),
    "nothing resident": (smaps(TEXT, Rss=0), False),
    "a shared mapping": (smaps("7f00c000-7f00d000 r--s 00002000 fe:00 190545    /var/lib/outbox.db-shm"), False),
    "a device's memory": (smaps("7f00c000-7f00d000 r--p 00000000 00:05 86     /dev/video0"), False),
    "anonymous memory": (smaps("7f00c000-7f00d000 r--p 00000000 00:00 0"), False),
    "the vdso": (smaps("7fffd000-7fffe000 r-xp 00000000 00:00 0                      [vdso]"), False),
    "a memfd": (smaps("7f00c000-7f00d000 r--p 00000000 00:01 1030    memfd:gpu (deleted)"), False),
}


@pytest.mark.parametrize("name", MAPPINGS)
def test_only_what_a_file_gives_back_is_disposable(name: str) -> None:
    """Text and constants of files are; whatever was once written, or is no plain file, is not."""
    text, disposable = MAPPINGS[name]
    others = "".join(smaps(TEXT.replace("7f00", start), Rss=0) for start in ("6000", "8000"))
    first, mapping, last = read_mappings(others[: len(others) // 2] + text + others[len(others) // 2:])
    assert mapping.disposable is disposable
    assert not first.disposable
    assert not last.disposable


def test_the_mappings_of_this_process_are_all_read() -> None:
    """As many mappings as /proc/self/maps has lines, with the same addresses."""
    text = Path("/proc/self/smaps").read_text(encoding="utf-8")
    read = list(read_mappings(text))
    assert [f"{mapping.start:08x}-{mapping.end:08x}" for mapping in read] == [
        line.split()[0] for line in text.splitlines() if "-" in line.split()[0] and not line.split()[0].endswith(":")]
    assert any(mapping.disposable for mapping in read)


CHILD = """
import json, os, sqlite3, sys, threading
import cv2, numpy as np, paho.mqtt.client
from edgeinfer import vitals

interpreter = None
if len(sys.argv) > 1:
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(sys.argv[1], num_threads=1)
    interpreter.allocate_tensors()
ramp = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
database = sqlite3.connect(":memory:", check_same_thread=False)

def work():
    found = [float((ramp.astype(np.float32) @ np.eye(3, dtype=np.float32)).sum()), float(np.linalg.det(np.eye(4) * 3)),
             int(cv2.resize(ramp, (17, 31), interpolation=cv2.INTER_LINEAR_EXACT).sum()),
             database.execute("select sum(value) from json_each('[1, 2, 39]')").fetchone()[0],
             json.loads(json.dumps({"a": [1.5, None]}))]
    if interpreter is not None:
        detail = interpreter.get_input_details()[0]
        interpreter.set_tensor(detail["index"], np.full(detail["shape"], 7, detail["dtype"]))
        interpreter.invoke()
        found.append(int(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).astype(np.int64).sum()))
    return found

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE")

def busy(stop, wrong):
    while not stop.is_set():
        if int(cv2.resize(ramp, (17, 31), interpolation=cv2.INTER_LINEAR_EXACT).sum()) != expected[2]:
            wrong.append("resize")

expected = work()
before = resident()
dropped = vitals.trim()
after = resident()
right = [work() == expected]
stop, wrong = threading.Event(), []
thread = threading.Thread(target=busy, args=(stop, wrong))
thread.start()
for _ in range(5):  # while another thread runs native code
    vitals.trim()
    right.append(work() == expected)
stop.set()
thread.join()
right.append(not wrong)
if os.fork() == 0:  # what was relocated is shared with the parent now
    vitals.trim()
    os._exit(0 if work()[:5] == expected[:5] else 1)
right.append(os.wait()[1] == 0)
print(json.dumps({"before": before, "after": after, "dropped": dropped, "right": right}))
"""


def trimmed(*arguments: str) -> dict[str, Any]:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}  # Python 3.12 warns of the fork
    run = subprocess.run([sys.executable, "-c", CHILD, *arguments], capture_output=True, text=True, env=environment,
                         timeout=100, check=False)
    assert run.returncode == 0, f"exit code {run.returncode}: {run.stderr}"
    document: dict[str, Any] = json.loads(run.stdout)
    return document


def test_a_trimmed_process_is_smaller_and_still_computes_right() -> None:
    """After trim NumPy, OpenCV, SQLite and JSON give the same answers: again, beside a running thread, and after a fork."""
    found = trimmed()
    assert all(found["right"]), found
    assert found["dropped"] > 10 << 20
    assert found["after"] < found["before"] - (10 << 20)


@pytest.mark.zoo
def test_a_trimmed_process_still_infers_the_same(zoo: Path) -> None:
    """With a model loaded the outputs after trim are those before."""
    pytest.importorskip("ai_edge_litert")
    found = trimmed(str(zoo / "classify" / "mobilenet_v2_1.0_224_quant.tflite"))
    assert all(found["right"]), found
    assert found["after"] < found["before"] - (10 << 20)


def test_free_heap_is_given_back() -> None:
    """After many small blocks were freed, and with one heap for all threads, nothing breaks and memory does not grow."""
    code = ("from edgeinfer import vitals; import ctypes, threading; vitals.share_heap(); libc = ctypes.CDLL(None)\n"
            "libc.malloc.restype = ctypes.c_void_p; libc.free.argtypes = [ctypes.c_void_p]\n"
            "def fill():\n"
            "    blocks = [libc.malloc(1000) for _ in range(20000)]\n"
            "    [libc.free(block) for block in blocks]\n"
            "for _ in range(2):\n"
            "    thread = threading.Thread(target=fill); thread.start(); thread.join(); vitals.trim_heap()\n"
            "before = vitals.pss_bytes()\n"
            "for _ in range(5):\n"
            "    thread = threading.Thread(target=fill); thread.start(); thread.join(); vitals.trim_heap()\n"
            "print(vitals.pss_bytes() - before)\n")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(ended.stdout) < 2_000_000
