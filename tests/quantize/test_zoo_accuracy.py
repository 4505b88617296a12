"""The networks of MLPerf Tiny, quantised by one run each, beside the INT8 files that MLPerf publishes of them.

The float files are the source and the truth; each INT8 file answers the samples that did not calibrate, and its outputs are
read by its own grids. ``tests/quantize/tiny.py`` says what the samples are.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.model.backends import RuntimeOptions, open_session
from quantize.compare import Parity
from quantize.dataset import tensors
from quantize.graph.execute import Runner
from quantize.metrics.fidelity import SQNR
from quantize.progress import Silent
from quantize.run import run
from quantize.setting import establish
from tests import litert
from tests.conftest import ROOT
from tests.quantize.answers import answers
from tests.quantize.tiny import NETS, recipe

pytest.importorskip("cv2")
pytestmark = pytest.mark.zoo


@dataclass(frozen=True)
class Made:
    """``files``: the reference and ours. ``feeds``: what they answered, ``truth``: float's answers. ``decibels``: signal to noise
    of each file's outputs against them. ``parity``: as reported."""

    files: dict[str, Path]
    feeds: list[np.ndarray]
    truth: list[np.ndarray]
    decibels: dict[str, float]
    parity: Parity

    @property
    def tflite(self) -> Path:
        return self.files["tflite"]


@pytest.fixture(scope="module", params=NETS)
def made(request: pytest.FixtureRequest, zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One run on a net, and all answers of its files."""
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    wanted = recipe(name, zoo, folder)
    parity = run(wanted, folder / "out", Silent()).document.parity
    assert parity is not None
    setting = establish(wanted)
    feeds = [next(iter(feed.values())) for _, feed in tensors(setting.judging, setting.spec, setting.inputs)]
    runner = Runner(setting.graph)
    truth = [np.ravel(next(iter(runner.run({setting.graph.inputs[0]: feed}).values()))) for feed in feeds]
    stem = Path(wanted.model).stem
    files = {"reference": zoo / NETS[name].reference, **{kind: folder / f"out/{stem}.{kind}" for kind in ("tflite", "onnx")}}
    decibels = {kind: signal_to_noise(truth, answers(file, feeds)) for kind, file in files.items()}
    print(f"\n{name}: {len(feeds)} samples, dB {decibels}")
    return Made(files, feeds, truth, decibels, parity)


def signal_to_noise(truth: Iterable[np.ndarray], found: Iterable[np.ndarray]) -> float:
    metric = SQNR()
    for expected, got in zip(truth, found, strict=True):
        metric.add(expected, got)
    return round(metric.result().value, 2)


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_int8_files_are_as_close_to_float_as_mlperfs_own(kind: str, made: Made) -> None:
    """Signal to noise of the outputs on the same samples is at least that of the reference file."""
    assert made.decibels[kind] >= made.decibels["reference"]


def test_they_keep_that_on_tflite_runtime(made: Made, tmp_path: Path) -> None:
    """The last tflite-runtime, 2.14, whose kernels round otherwise than XNNPACK: it runs them, as close to float as MLPerf's."""
    python = Path(os.environ.get("EDGEINFER_TFLITE_RUNTIME", ROOT / ".venv-tflite-runtime/bin/python"))
    if not python.is_file():
        pytest.skip(f"no {python}: scripts/test-tflite-runtime makes it")
    np.save(tmp_path / "in.npy", [feed.transpose(0, 2, 3, 1) if feed.ndim == 4 else feed for feed in made.feeds])
    found = {}
    for kind in ("reference", "tflite"):
        subprocess.run([python, ROOT / "tests/quantize/run_tflite.py", made.files[kind], tmp_path / "in.npy", tmp_path / "out.npy"], check=True)
        found[kind] = signal_to_noise(made.truth, np.load(tmp_path / "out.npy"))
    print(f"tflite-runtime: dB {found}")
    assert found["tflite"] >= found["reference"]


def test_both_files_give_one_answer(made: Made) -> None:
    """TFLite in LiteRT and ONNX in ONNX Runtime: the same class on 99.5 % of samples, no output further than two steps apart."""
    (output,) = made.parity.outputs
    print(f"at most {output.max_lsb} steps apart, {100 * output.identical:.2f} % equal; agreement {made.parity.agreement}")
    assert output.max_lsb <= 2.01
    assert made.parity.agreement is None or made.parity.agreement.value >= 99.5


def test_xnnpack_takes_all_that_it_has_kernels_for(made: Made, zoo: Path) -> None:
    """One partition of all operators but Softmax, for which XNNPACK has no 8-bit kernel."""
    if not partitions(zoo / NETS["ad01"].reference)[0]:
        pytest.skip("this runtime hands XNNPACK no 8-bit file at all, as tflite-runtime 2.14 on x86-64")
    count, operators = partitions(made.tflite)
    assert count == 1
    session = open_session(made.tflite, "tflite", RuntimeOptions())
    print(session.runs_on)
    taken = re.search(r"XNNPACK(?: \((\d+) of (\d+) operators\))?", session.runs_on)
    session.close()
    assert taken is not None
    if taken[1]:
        assert int(taken[2]) - int(taken[1]) <= operators.count("SOFTMAX")


def partitions(file: Path) -> tuple[int, list[str]]:
    """How many partitions of a file are delegated, and its operators."""
    interpreter = litert.interpreter().Interpreter(str(file))
    interpreter.allocate_tensors()
    operators = [detail["op_name"] for detail in interpreter._get_ops_details()]
    return operators.count("DELEGATE"), operators
