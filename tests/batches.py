"""Runs of ``edgeinfer batch`` as real processes, that may be killed, and what they should have written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeinfer.model.manifest import DecoderSpec
from tests import bundles, third_party

__all__ = ["batch", "dies_of_blue", "material", "pictures", "rows", "start", "timeless", "wait_for_rows"]


def pictures(folder: Path, count: int, seed: int = 5) -> Path:
    """So many small PNGs, of several sizes, each of its own colour."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    for number in range(count):
        height, width = random.integers(8, 40, 2)
        cv2.imwrite(str(folder / f"{number:05}.png"), np.full((height, width, 3), random.integers(0, 200, 3), np.uint8))
    return folder


def material(folder: Path, count: int) -> Path:
    """A bundle of pictures, one of windows, one whose decoder is deadly, and ``count`` pictures."""
    bundle = bundles.colours(folder)
    bundles.vibration(folder)
    bundles.variant(bundle, folder / "mortal", "2", DecoderSpec("dies_of_blue", {}))
    pictures(folder / "pictures", count)
    return folder


def _command(arguments: Sequence[object]) -> list[str]:
    return [sys.executable, "-m", "edgeinfer", "batch", *map(str, arguments)]


def batch(*arguments: object, code: int = 0, cwd: Path | None = None, env: dict[str, str] | None = None, stdin: str = "") -> str:
    """Run to the end; stdout, or stderr where it is to fail with ``code``."""
    outcome = subprocess.run(_command(arguments), text=True, capture_output=True, check=False, cwd=cwd, input=stdin,
                             env={**os.environ, **(env or {})})
    assert outcome.returncode == code, outcome.stdout + outcome.stderr
    assert "Traceback" not in outcome.stderr
    return outcome.stdout if code == 0 else outcome.stderr


def start(*arguments: object, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Begin; whoever starts it ends it."""
    return subprocess.Popen(_command(arguments), stdout=subprocess.DEVNULL, stderr=None, env={**os.environ, **(env or {})})


def wait_for_rows(output: Path, offset: int, process: subprocess.Popen[bytes], timeout_s: float = 60) -> None:
    """Until a checkpoint covers more than so many bytes."""
    record = output.with_name(f"{output.name}.batch") / "checkpoint.json"
    end = time.monotonic() + timeout_s
    while time.monotonic() < end and process.poll() is None:
        if record.exists() and json.loads(record.read_bytes())["offset"] > offset:
            return
        time.sleep(0.01)
    raise AssertionError(f"no row within {timeout_s} s, exit code {process.poll()}")


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def rows(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.read_bytes().splitlines()]


def timeless(output: Path) -> bytes:
    """The bytes of the output without the figures of latency."""
    lines = []
    for line in output.read_bytes().splitlines(keepends=True):
        before, key, after = line.partition(b'"latency_ms":')
        lines.append(before + key + after[after.index(b",") if key else 0 :])
    return b"".join(lines)


def dies_of_blue(site: Path) -> dict[str, str]:
    """An environment with a third party's decoder ``dies_of_blue``: classify, but the process dies of a picture that is blue,
    raises at a green one, takes NAP_S seconds for each, and the first process that sees a red one dies too (the file ``site/red`` tells that it did)."""
    third_party.install(
        site, "mortal", {"dies_of_blue": "mortal:Mortal"},
        "import os, signal, pathlib, time\n"
        "from edgeinfer.model.decoders.classify import Classify\n"
        "red = pathlib.Path(__file__).parent / 'red'\n"
        "class Mortal(Classify):\n"
        "    def __init__(self, parameters, *rest):\n"
        "        super().__init__({}, *rest)\n"
        "        self.nap_s = float(os.environ.get('NAP_S', 0))\n"
        "    def decode(self, outputs, *rest):\n"
        "        time.sleep(self.nap_s)\n"
        "        means = [int(mean) for mean in outputs[0].flat]\n"
        "        if means == [0, 0, 255] or (means == [255, 0, 0] and not red.exists()):\n"
        "            red.touch()\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        if means == [0, 255, 0]: raise ValueError('green')\n"
        "        return super().decode(outputs, *rest)\n")
    return {"PYTHONPATH": os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])}
