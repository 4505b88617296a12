"""What was made on one architecture is the same on another: bytes of preprocessing, known answers, outputs to the last step.

The folder EDGEINFER_ANSWERS holds bundles and answers.npz, written by ``python -m tests.lanes.arm.answers`` on x86-64.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.model import probe
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle, read
from edgeinfer.model.engine import Engine
from tests.lanes.arm.answers import bundles, run, synthetic, told

FOLDER = Path(os.environ.get("EDGEINFER_ANSWERS", "/nonexistent"))
ANSWERS = np.load(FOLDER / "answers.npz") if FOLDER.is_dir() else {}


# Files of 2018 and of ONNX Runtime's own quantiser, with one scale for all channels and unsigned weights: no XNNPACK kernel takes the
# first, and ONNX Runtime adds residuals of the second in float on one architecture and in integers on the other.
FOREIGN = ("mobilenet_onnx", "mobilenet_tflite")


@pytest.fixture(params=[bundle.folder.name for bundle in bundles(FOLDER)])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    """Each bundle of the folder; skipped where this architecture has no runtime for it."""
    found = read(FOLDER / request.param)
    if found.manifest.format == "onnx":
        pytest.importorskip("onnxruntime", reason="ONNX Runtime has no wheel for this architecture")
    return found


def test_known_answers_and_fingerprint_hold(bundle: Bundle) -> None:
    """The bundle's own probes and its preprocessing fingerprint, made elsewhere, hold here."""
    engine = Engine(bundle, RuntimeOptions())
    probe.check(engine.session, bundle.manifest, bundle.folder)
    engine.close()


def test_preprocessing_gives_the_same_bytes(bundle: Bundle) -> None:
    """Every pixel format of a camera, and windows, become the same input tensor, byte for byte."""
    for number, (made, _) in enumerate(run(bundle, synthetic(bundle))):
        stated = ANSWERS[f"{bundle.folder.name}/input/{number}"]
        assert made.dtype == stated.dtype
        assert made.tobytes() == stated.tobytes(), f"frame {number}"


def test_outputs_are_within_one_step(bundle: Bundle) -> None:
    """For real pictures, INT8 and uint8 outputs differ by at most one step; float outputs of a quantised model by at most two hundredths of
    their range. Of files that no kernel on ARM computes as on x86-64, and where the runtime has kernels of its own (tflite-runtime, the only one
    for 32 bits), only what a classifier answers is the same; the bundle's probes say what else must be."""
    photos = [ANSWERS[name] for name in ANSWERS if name.startswith("photo/")]
    apart: dict[tuple[int, int], float] = {}
    tops = 0
    for number, (_, outputs) in enumerate(run(bundle, told(bundle, photos))):
        for index, output in enumerate(outputs):
            stated = ANSWERS[f"{bundle.folder.name}/output/{number}/{index}"]
            differences = np.abs(output.astype(np.float64) - stated.astype(np.float64))
            apart[number, index] = float(differences.max()) / ((float(np.ptp(stated)) or 1.0) if output.dtype.kind == "f" else 1.0)
            tops += int(output.argmax() == stated.argmax())
    unit, allowed = ("of the range", 0.02) if output.dtype.kind == "f" else ("steps", 1)
    print(f"\n{platform.machine()} {bundle.folder.name}: at most {max(apart.values()):.3g} {unit}, the same largest in {tops} of {len(apart)}")
    if bundle.folder.name in FOREIGN:
        assert tops == len(apart)
    elif bundle.manifest.format == "tflite" and "XNNPACK" not in _runs_on(bundle):
        assert bundle.manifest.decoder.name != "classify" or tops >= 0.9 * len(apart)
    else:
        assert not {where: value for where, value in apart.items() if value > allowed}


def _runs_on(bundle: Bundle) -> str:
    engine = Engine(bundle, RuntimeOptions())
    engine.close()
    return engine.session.runs_on


def test_the_demo_runs() -> None:
    """``edgeinfer demo`` gives the results of both examples."""
    ended = subprocess.run([sys.executable, "-m", "edgeinfer", "demo"], capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr
    print(ended.stdout)
