"""Real models through bundles that ``quantize pack`` made give the answers that are known of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import Frame, WindowFormat
from edgeinfer.oneshot import answers
from tests import litert, zoo_bundles
from tests.conftest import ROOT

pytestmark = pytest.mark.zoo


def _answer(bundle: Bundle, path: Path, options: RuntimeOptions | None = None) -> dict[str, Any]:
    """The document of the first frame's result."""
    engine = Engine(bundle, options or RuntimeOptions())
    try:
        return next(iter(answers(engine, path))).result.document()
    finally:
        engine.close()


@pytest.mark.parametrize("accelerators", [(), ("none",)], ids=["xnnpack", "built-in kernels"])
def test_the_cat_is_an_egyptian_cat_on_litert(zoo: Path, tmp_path: Path, accelerators: tuple[str, ...]) -> None:
    """cat.bmp is Egyptian cat at 0.82, tabby and tiger cat behind, with XNNPACK and without."""
    bundle = zoo_bundles.mobilenet_tflite(zoo, tmp_path / "bundle")
    rows = _answer(bundle, zoo / "classify/cat.bmp", RuntimeOptions(accelerators=accelerators))["classes"]
    assert rows[0]["label"] == "Egyptian cat"
    assert rows[0]["score"] == pytest.approx(0.82, abs=0.02)
    assert [row["label"].split(",")[0] for row in rows[1:3]] == ["tabby", "tiger cat"]


def test_the_orange_is_an_orange_or_a_lemon_on_onnx_runtime(zoo: Path, tmp_path: Path) -> None:
    """orange.png is orange or lemon first."""
    pytest.importorskip("onnxruntime")
    rows = _answer(zoo_bundles.mobilenet_onnx(zoo, tmp_path / "bundle"), zoo / "classify/orange.png")["classes"]
    assert rows[0]["label"] in {"orange", "lemon"}


def _windows() -> Iterator[tuple[str, np.ndarray]]:
    """Random windows over the range of the INT8 input, -84 to 14 dB, and structured ones: ripples along the bands."""
    generator = np.random.default_rng(1)
    for _ in range(12):
        yield "random", generator.uniform(-84, 14, (5, 128)).astype(np.float32)
        yield "structured", (-30 + 10 * np.sin(np.arange(640) / generator.uniform(5, 40))).reshape(5, 128).astype(np.float32)


def _bare_score(model: Path, window: np.ndarray) -> float:
    """The same score, by the bare interpreter and the formulas of the quantisation specification."""
    interpreter = litert.interpreter().Interpreter(str(model))
    interpreter.allocate_tensors()
    (into,), (out,) = interpreter.get_input_details(), interpreter.get_output_details()
    values = window.reshape(1, 640).astype(np.float64)
    scale, zero_point = into["quantization"]
    if scale:
        values = np.clip(np.rint(values / scale) + zero_point, -128, 127)
    interpreter.set_tensor(into["index"], values.astype(into["dtype"]))
    interpreter.invoke()
    real = [(tensor.astype(np.float64) - detail["quantization"][1]) * (detail["quantization"][0] or 1.0)
            for tensor, detail in ((values, into), (interpreter.get_tensor(out["index"]), out))]
    return float(np.mean((real[0] - real[1]) ** 2))


def test_ad01_scores_the_same_in_int8_and_float(zoo: Path, tmp_path: Path) -> None:
    """INT8 and float autoencoder agree within 5 % on each random window and, on average, on structured ones; both are what the
    bare interpreter gives (single structured windows differ by up to 15 % in the reference INT8 file itself)."""
    scores: dict[str, dict[str, list[float]]] = {"random": {}, "structured": {}}
    for kind in ("int8", "fp32"):
        engine = Engine(zoo_bundles.ad01(zoo, tmp_path / kind, kind), RuntimeOptions())
        lane = engine.lane(WindowFormat(5, 128))
        frame = Frame(WindowFormat(5, 128))
        for name, window in _windows():
            frame.view[...] = window
            score = lane.infer(frame).score()
            assert score == pytest.approx(_bare_score(engine.bundle.model_path, window), rel=1e-4)
            scores[name].setdefault(kind, []).append(score)
        engine.close()
    assert scores["random"]["int8"] == pytest.approx(scores["random"]["fp32"], rel=0.05)
    assert np.mean(scores["structured"]["int8"]) == pytest.approx(np.mean(scores["structured"]["fp32"]), rel=0.05)


@pytest.mark.parametrize("make", [zoo_bundles.kws, zoo_bundles.micro_speech], ids=["kws", "micro_speech"])
def test_keyword_models_run_and_tell_windows_apart(zoo: Path, tmp_path: Path, make: Any) -> None:
    """Both keyword models take their feature windows and do not give one answer to everything."""
    engine = Engine(make(zoo, tmp_path / "bundle"), RuntimeOptions())
    spec = engine.bundle.manifest.preprocess
    format = WindowFormat(spec.length, spec.channels)  # type: ignore[union-attr]
    lane, frame, seen = engine.lane(format), Frame(format), set()
    generator = np.random.default_rng(3)
    for spread in (0.0, 20.0, 40.0, 60.0, 80.0):
        frame.view[...] = generator.normal(0, spread + 1e-6, format.shape)
        row = lane.infer(frame).document()["classes"][0]
        assert 0 < row["score"] <= 1
        seen.add((row["label"], row["score"]))
    engine.close()
    assert len(seen) > 1


def test_movenet_finds_the_nose_through_raw(zoo: Path, tmp_path: Path) -> None:
    """The nose of squat.bmp is at y 0.33, x 0.58, and the mean score of the key points is 0.54."""
    tensors = _answer(zoo_bundles.movenet(zoo, tmp_path / "bundle"), zoo / "pose/squat.bmp")["tensors"]
    (tensor,) = tensors.values()
    points = np.array(tensor["data"]).reshape(17, 3)
    assert points[0, 0] == pytest.approx(0.33, abs=0.02)
    assert points[0, 1] == pytest.approx(0.58, abs=0.02)
    assert points[:, 2].mean() == pytest.approx(0.54, abs=0.07)  # 0.60 with the built-in kernels of tflite-runtime


def test_a_third_partys_decoder_finds_the_crowd(zoo: Path, tmp_path: Path) -> None:
    """FastestDet runs through a decoder of a separate package, installed beside edgeinfer and found by its entry point."""
    pytest.importorskip("onnxruntime")
    site = tmp_path / "site"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), "--disable-pip-version-check",
                    str(ROOT / "examples/third-party-decoder")], check=True)
    script = (
        "import sys, json; from pathlib import Path\n"
        "from tests import zoo_bundles; from edgeinfer.model.engine import Engine; from edgeinfer.oneshot import answers\n"
        "from edgeinfer.model.backends import RuntimeOptions\n"
        "zoo, out = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "engine = Engine(zoo_bundles.fastestdet(zoo, out), RuntimeOptions())\n"
        "print(json.dumps(next(iter(answers(engine, zoo / 'detect/3.jpg'))).result.document()))\n")
    outcome = subprocess.run([sys.executable, "-c", script, str(zoo), str(tmp_path / "bundle")], check=True, text=True,
                             capture_output=True, env={"PYTHONPATH": f"{site}:{ROOT}", "PATH": "/usr/bin:/bin"})
    import json

    found = json.loads(outcome.stdout.strip().splitlines()[-1])["detections"]
    sure = [row for row in found if row["score"] > 0.65]
    assert len(sure) >= 4
    assert {row["label"] for row in sure} == {"person"}
