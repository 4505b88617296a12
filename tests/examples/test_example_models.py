"""The models that the examples ship, run by the bare runtimes with plain OpenCV and numpy: no code of edgeinfer's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests import litert

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DIGITS, VIBRATION = EXAMPLES / "digits", EXAMPLES / "vibration"
Box = tuple[float, float, float, float]  # left, top, right, bottom in fractions of the picture


def recipe(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "recipe.yaml").read_text())


def truth(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "truth.json").read_text())


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(across, 0.0) * max(down, 0.0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


class Reader:
    """digits.tflite as its recipe says it is to be used."""

    def __init__(self) -> None:
        runtime = litert.interpreter().Interpreter
        self.cv2 = pytest.importorskip("cv2")
        self.interpreter = runtime(model_path=str(DIGITS / "digits.tflite"), num_threads=1)
        self.interpreter.allocate_tensors()
        self.source = self.interpreter.get_input_details()[0]
        self.outputs = {detail["name"]: detail for detail in self.interpreter.get_output_details()}
        self.labels = (DIGITS / "labels.txt").read_text().split()
        self.parameters = recipe(DIGITS)["parameters"]

    def real(self, name: str) -> np.ndarray:
        scale, zero_point = self.outputs[name]["quantization"]
        return (self.interpreter.get_tensor(self.outputs[name]["index"])[0].astype(np.float64) - zero_point) * scale

    def read(self, path: Path) -> list[tuple[str, Box]]:
        picture = self.cv2.imread(str(path))[..., ::-1]
        small = self.cv2.resize(np.ascontiguousarray(picture), (160, 120), interpolation=self.cv2.INTER_AREA)
        self.interpreter.set_tensor(self.source["index"], small[None])
        self.interpreter.invoke()
        boxes, scores = self.real(self.parameters["boxes"]), self.real(self.parameters["scores"])
        kept: list[tuple[str, Box]] = []
        for cell in np.argsort(-scores.max(1), kind="stable"):
            x, y, width, height = boxes[cell]
            box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            sure = scores[cell].max() >= self.parameters["threshold"]
            if sure and all(overlap(box, other) < self.parameters["iou"] for _, other in kept):
                kept.append((self.labels[int(scores[cell].argmax())], box))
        return kept


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def test_the_digits_are_found_and_read(reader: Reader) -> None:
    """On all shipped pictures together, precision and recall are at least 0.9 at overlap 0.5 with the right label."""
    right = found = there = 0
    for file, written in truth(DIGITS).items():
        free = [(row["label"], tuple(row["box"])) for row in written]
        there += len(free)
        for label, box in reader.read(DIGITS / "pictures" / file):
            found += 1
            match = next((row for row in free if row[0] == label and overlap(row[1], box) >= 0.5), None)
            if match:
                free.remove(match)
                right += 1
    print(f"{right} right of {found} found, {there} there")
    assert there >= 20
    assert right / found >= 0.9
    assert right / there >= 0.9


def test_a_picture_without_digits_has_none(reader: Reader) -> None:
    """At least one shipped picture holds no digit, and none is found on it."""
    empty = [file for file, written in truth(DIGITS).items() if not written]
    assert empty
    assert [reader.read(DIGITS / "pictures" / file) for file in empty] == [[]] * len(empty)


def test_the_truth_is_about_the_pictures_that_are_there() -> None:
    """truth.json names each picture of pictures/, and no other."""
    assert sorted(truth(DIGITS)) == sorted(path.name for path in (DIGITS / "pictures").iterdir())


def test_the_digits_input_is_the_pixels(reader: Reader) -> None:
    """By the recipe's mean and std, the quantised value of every pixel value is that value."""
    spec, (scale, zero_point) = recipe(DIGITS)["preprocess"], reader.source["quantization"]
    pixels = np.arange(256)
    stored = np.rint((pixels - spec["mean"][0]) / spec["std"][0] / scale) + zero_point
    assert reader.source["dtype"] == np.uint8
    assert reader.source["shape"].tolist() == [1, spec["height"], spec["width"], 3]
    assert np.array_equal(stored, pixels)


def test_no_tensor_of_the_digits_model_is_float(reader: Reader) -> None:
    """All tensors are integers, and those of 8 bits are more than the biases and shapes of 32."""
    kinds = [np.dtype(detail["dtype"]) for detail in reader.interpreter.get_tensor_details()]
    assert all(kind.kind in "iu" for kind in kinds)
    assert sum(kind.itemsize == 1 for kind in kinds) > len(kinds) / 2


def vibration_session(**settings: Any) -> Any:
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    for name, value in settings.items():
        setattr(options, name, value)
    return onnxruntime.InferenceSession(str(VIBRATION / "vibration.onnx"), options, providers=["CPUExecutionProvider"])


def test_the_broken_bearing_is_told_and_the_healthy_one_is_not() -> None:
    """Every window inside the fault is over the threshold, every window outside it is under; those across are not judged."""
    spec, threshold = recipe(VIBRATION)["preprocess"], recipe(VIBRATION)["parameters"]["threshold"]
    samples = np.loadtxt(VIBRATION / "vibration.csv", np.float32, delimiter=",", skiprows=1)
    start, end = (second * spec["rate"] for second in truth(VIBRATION)["fault"])
    session, healthy, broken = vibration_session(), [], []
    for at in range(0, len(samples) - spec["length"] + 1, spec["hop"]):
        window = ((samples[at:at + spec["length"]] - spec["mean"]) / spec["std"]).astype(np.float32)[None]
        error = float(((session.run(None, {"window": window})[0] - window) ** 2).mean())
        if at >= start and at + spec["length"] <= end:
            broken.append(error)
        elif at >= end or at + spec["length"] <= start:
            healthy.append(error)
    print(f"{len(healthy)} healthy up to {max(healthy):.4f}, {len(broken)} broken from {min(broken):.4f}")
    assert len(healthy) > 50
    assert len(broken) > 25
    assert max(healthy) < threshold < min(broken)


def test_every_convolution_of_the_vibration_model_runs_in_int8(tmp_path: Path) -> None:
    """ONNX Runtime's own profile of a run shows six QLinearConv and not one float convolution."""
    session = vibration_session(enable_profiling=True, profile_file_prefix=str(tmp_path / "profile"))
    session.run(None, {"window": np.zeros((1, 256, 3), np.float32)})
    events = json.loads(Path(session.end_profiling()).read_text())
    kernels = [event["args"]["op_name"] for event in events if event["name"].endswith("_kernel_time")]
    assert kernels.count("QLinearConv") == 6
    assert "Conv" not in kernels


def test_the_recipe_of_the_vibration_model_says_what_it_was_trained_with() -> None:
    """Mean, std and threshold of recipe.yaml are the ones train.py wrote to accuracy.json."""
    stated, written = recipe(VIBRATION), json.loads((VIBRATION / "accuracy.json").read_text())
    assert stated["preprocess"]["mean"] == written["mean"]
    assert stated["preprocess"]["std"] == written["std"]
    assert stated["parameters"]["threshold"] == written["int8"]["threshold"]


@pytest.mark.parametrize(("path", "limit"), [
    ("digits/digits.tflite", 150), ("digits/pictures", 250),
    ("vibration/vibration.onnx", 150), ("vibration/vibration.csv", 250),
])
def test_what_ships_is_small(path: str, limit: int) -> None:
    """Models and inputs stay under their limits, in kB: they are part of the wheel."""
    files = [EXAMPLES / path] if (EXAMPLES / path).is_file() else list((EXAMPLES / path).iterdir())
    assert 0 < sum(file.stat().st_size for file in files) < limit * 1000
