"""Nets whose channels are of unlike size keep their accuracy in INT8, in both formats (``tests.conformance.digits``)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.model.backends import RuntimeOptions, open_session
from quantize import targets
from quantize.accuracy.equalize import equalize
from quantize.calibrate import calibrate
from quantize.ladder import Choice
from quantize.method import Method
from quantize.plan import integer_values
from quantize.produce import produce
from quantize.progress import Silent
from quantize.recipe import Recipe
from quantize.setting import establish
from tests.conformance import digits

ALLOWED = {"smallcnn": 0.5, "mbv2": 0.5, "relu": 0.5, "mid": 0.3, "hard": 0.3}  # points of top-1


@pytest.fixture(scope="session")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained nets; EDGEINFER_DIGITS names a folder that holds them from before."""
    known = os.environ.get("EDGEINFER_DIGITS", "")
    if known:
        return Path(known)
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("digits")
    digits.main(folder)
    return folder


def answers(path: Path, pictures: np.ndarray) -> np.ndarray:
    """The class that a file gives for each picture, in the runtime of the device."""
    session = open_session(path, path.suffix[1:], RuntimeOptions())
    spec, found = session.inputs[0], []
    for picture in digits.normalised(pictures):
        session.input(0)[...] = spec.quantize(picture[None] if spec.shape[1] == 3 else picture.transpose(1, 2, 0)[None])
        session.invoke()
        found.append(int(session.output(0).argmax()))
    session.close()
    return np.array(found)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ALLOWED)
def test_int8_keeps_the_accuracy(name: str, nets: Path, tmp_path: Path) -> None:
    """Within the allowed points of float, with 128 samples to calibrate on and 2000 to judge."""
    calibration, test = np.load(nets / "calibration.npz"), np.load(nets / "test.npz")
    np.save(tmp_path / "calibration.npy", calibration["pictures"])
    recipe = Recipe(model=str(nets / f"{name}.onnx"), data=str(tmp_path / "calibration.npy"), calibrate="all", annotations="none",
                    target="raspberry-pi-4", preprocess={"mean": (127.5,), "std": (63.75,)})
    setting = establish(recipe)
    graph, done = equalize(setting.graph)
    observer = calibrate(graph, setting, integer_values(graph), tmp_path, Silent())
    rules = targets.load(recipe.target).rules
    quantized = Method(graph, observer, setting, recipe, rules, Silent()).make(Choice(recipe.ranges))
    pictures, truth = test["pictures"].transpose(0, 3, 1, 2), test["labels"]
    true = 100 * (answers(nets / f"{name}.onnx", pictures) == truth).mean()
    given = {}
    for product in produce(quantized, ["onnx", "tflite"], "int8", rules, tmp_path / name):
        given[product.format] = answers(product.path, pictures)
    figures = {format: 100 * (one == truth).mean() for format, one in given.items()}
    alike = 100 * (given["onnx"] == given["tflite"]).mean()
    print(f"{name}: float {true:.2f}, " + ", ".join(f"{format} {figure:.2f}" for format, figure in figures.items())
          + f", alike on {alike:.2f} %; {'; '.join(done)}")
    assert true >= 90, "a net that was never good proves nothing"
    for format, figure in figures.items():
        assert figure >= true - ALLOWED[name] - 1e-9, format
    assert alike >= 99.5
