"""What people give the toolkit by mistake: one clear error each, or the right result, and never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from quantize.report import from_json
from tests.conftest import ROOT
from tests.quantize.runs import FLAGS, Ended, network, picture, quantize, save_labels, save_network, save_pictures

Break = Callable[[Path], tuple[object, ...]]  # spoils the task in a folder; flags that go with it


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A folder with net.onnx, labels.txt and the pictures."""
    save_network(tmp_path / "net.onnx")
    save_pictures(tmp_path / "pictures", 4)
    save_labels(tmp_path / "labels.txt")
    return tmp_path


def run(task: Path, capfd: pytest.CaptureFixture[str], *more: object, model: str = "net.onnx") -> Ended:
    """quantize on the task as it is by now. Fast: weights are rounded to the nearest."""
    return quantize(capfd, "run", task / model, "--data", task / "pictures", "--labels", task / "labels.txt", *FLAGS,
                    "--rounding", "nearest", "-o", task / "out", *more)


def save(task: Path, model: onnx.ModelProto) -> tuple[object, ...]:
    (task / "net.onnx").write_bytes(model.SerializeToString())
    return ()


def text(task: Path) -> tuple[object, ...]:
    (task / "net.onnx").write_text("this is no model")
    return ()


def truncated(task: Path) -> tuple[object, ...]:
    data = (task / "net.onnx").read_bytes()
    (task / "net.onnx").write_bytes(data[: len(data) // 2])
    return ()


def old_opset(task: Path) -> tuple[object, ...]:
    model = network()
    model.opset_import[0].version = 6
    return save(task, model)


def open_sides(task: Path) -> tuple[object, ...]:
    model = network()
    for side, name in zip(model.graph.input[0].type.tensor_type.shape.dim, ("batch", "", "height", "width"), strict=True):
        if name:
            side.dim_param = name
    return save(task, model)


def nan_weights(task: Path) -> tuple[object, ...]:
    model = network()
    weights = next(one for one in model.graph.initializer if len(one.dims) == 4)
    values = numpy_helper.to_array(weights).copy()
    values.flat[3] = np.nan
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    return save(task, model)


def custom_operator(task: Path) -> tuple[object, ...]:
    model = network()
    model.graph.node[1].op_type, model.graph.node[1].domain = "MyRelu", "my.company"
    model.opset_import.append(helper.make_opsetid("my.company", 1))
    return save(task, model)


def no_tflite_operator(task: Path) -> tuple[object, ...]:
    model = network()
    last = model.graph.node[-1].output[0]
    model.graph.node.append(helper.make_node("Asinh", [last], ["strange"]))
    model.graph.output[0].name = "strange"
    return save(task, model)


def quantised_already(task: Path) -> tuple[object, ...]:
    model = network()
    scale, zero = numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.int8(0), "z")
    model.graph.initializer.extend([scale, zero])
    last = model.graph.node[-1].output[0]
    model.graph.node.extend([helper.make_node("QuantizeLinear", [last, "s", "z"], ["q"]),
                             helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"])])
    model.graph.output[0].name = "dq"
    return save(task, model)


def no_pictures(task: Path) -> tuple[object, ...]:
    (task / "empty").mkdir()
    return ("--data", task / "empty")


def only_broken_pictures(task: Path) -> tuple[object, ...]:
    for path in (task / "pictures").rglob("*.png"):
        path.write_bytes(path.read_bytes()[:60])
    return ()


def no_folder(task: Path) -> tuple[object, ...]:
    return ("--data", task / "nowhere")


def other_labels(task: Path) -> tuple[object, ...]:
    (task / "labels.txt").write_text("cat\ndog\nbird\n")
    return ("--annotations", "folders")


def too_few_labels(task: Path) -> tuple[object, ...]:
    (task / "labels.txt").write_text("red\ngreen\n")
    return ()


def samples_of_a_sensor(task: Path) -> tuple[object, ...]:
    (task / "data.csv").write_text("a,b,c\n1,2,3\n4,5,6\n")
    return ("--data", task / "data.csv")


def unknown_target(task: Path) -> tuple[object, ...]:
    return ("--target", "raspberry-pi-44")


def target_without_int8(task: Path) -> tuple[object, ...]:
    return ("--target", "jetson-nano")


def wrong_split(task: Path) -> tuple[object, ...]:
    return ("--calibrate", "half")


def wrong_drop(task: Path) -> tuple[object, ...]:
    return ("--max-drop", "-3")


def unknown_key(task: Path) -> tuple[object, ...]:
    (task / "recipe.yaml").write_text("max_dorp: 1\n")
    return ("--recipe", task / "recipe.yaml")


def no_yaml(task: Path) -> tuple[object, ...]:
    (task / "recipe.yaml").write_text("a: [1,\n b")
    return ("--recipe", task / "recipe.yaml")


def out_is_a_file(task: Path) -> tuple[object, ...]:
    (task / "out").write_text("")
    return ()


def unknown_decoder(task: Path) -> tuple[object, ...]:
    return ("--decoder", "clasify")


ERRORS: list[tuple[Break, int, str]] = [
    (text, 65, "ONNX"),
    (truncated, 65, "net.onnx"),
    (old_opset, 65, "operator set 7"),
    (open_sides, 65, "--shape"),
    (nan_weights, 65, "NaN"),
    (custom_operator, 65, "MyRelu"),
    (no_tflite_operator, 65, "Asinh"),
    (quantised_already, 65, "float model"),
    (no_pictures, 66, "empty"),
    (only_broken_pictures, 65, "can be read"),
    (no_folder, 66, "nowhere"),
    (other_labels, 65, "cat"),
    (too_few_labels, 65, "label"),
    (samples_of_a_sensor, 65, "pictures"),
    (unknown_target, 64, "raspberry-pi-4"),
    (target_without_int8, 64, "FP16"),
    (wrong_split, 64, "every:"),
    (wrong_drop, 78, "max_drop"),
    (unknown_key, 78, "max_drop"),
    (no_yaml, 78, "YAML"),
    (out_is_a_file, 74, "out"),
    (unknown_decoder, 64, "classify"),
]


@pytest.mark.parametrize(("spoil", "code", "word"), ERRORS, ids=[spoil.__name__ for spoil, _, _ in ERRORS])
def test_a_mistake_has_one_clear_error(spoil: Break, code: int, word: str, task: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The exit code of its kind, where it is, what was expected, and no traceback."""
    flags = spoil(task)
    ended = run(task, capfd, *flags)
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    assert word in ended.err, ended.err
    assert ended.err.count("error:") == 1, ended.err


def test_a_mean_that_nobody_states_is_asked_for(task: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A wrong guess would look right."""
    ended = quantize(capfd, task / "net.onnx", "--data", task / "pictures", "--target", "raspberry-pi-4", "-o", task / "out")
    assert ended.code == 65
    assert "--mean 0 --std 255" in ended.err


@pytest.mark.parametrize("name", ["model.pt", "model.pth"])
def test_a_pickle_is_never_opened(name: str, task: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It may run any code; the hint says how to save a program instead."""
    (task / name).write_bytes(b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR.")
    ended = run(task, capfd, model=name)
    assert ended.code == 65, ended.err
    assert "torch.export" in ended.err
    assert not Path("pwned").exists()


def as_grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def as_rgba(image: np.ndarray) -> np.ndarray:
    return np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])


def as_16_bits(image: np.ndarray) -> np.ndarray:
    return image.astype(np.uint16) * 257


@pytest.mark.parametrize("change", [as_rgba, as_16_bits])
def test_other_kinds_of_pictures_are_the_same_pictures(change: Callable[[np.ndarray], np.ndarray], task: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With an opaque alpha channel, or 16 bits: the same files come out."""
    assert run(task, capfd).code == 0
    for path in (task / "pictures").rglob("*.png"):
        cv2.imwrite(str(path), change(cv2.imread(str(path))))
    before = (task / "out/net.tflite").read_bytes()
    assert run(task, capfd).code == 0
    assert (task / "out/net.tflite").read_bytes() == before


def test_grey_pictures_are_pictures(task: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One channel becomes three equal ones."""
    for path in (task / "pictures").rglob("*.png"):
        cv2.imwrite(str(path), as_grey(cv2.imread(str(path))))
    assert run(task, capfd).code == 0


def test_some_broken_pictures_are_left_out_and_named(task: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The others do."""
    (task / "pictures/red/000.png").write_bytes(b"\x89PNG broken")
    ended = run(task, capfd)
    assert ended.code == 0
    assert "red/000.png" in ended.err


def test_one_sample_is_enough_for_a_warning(task: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A result, and a warning that it is worth little."""
    for path in (task / "pictures").rglob("*.png"):
        if path.parent.name != "red" or path.name != "000.png":
            path.unlink()
    ended = run(task, capfd)
    assert ended.code == 0, ended.err
    report = from_json((task / "out/report.json").read_bytes())
    assert report.calibration is not None
    assert report.calibration.severity == "warning"


def test_a_full_disk_is_told(small_disk: Path, task: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit code 74, and the folder that has no room."""
    with suppress(OSError):
        (small_disk / "ballast").write_bytes(bytes(16 << 20))
    ended = run(task, capfd, "-o", small_disk / "out")
    assert ended.code == 74, ended.err
    assert "Traceback" not in ended.err
    assert str(small_disk) in ended.err


def test_an_interrupted_run_goes_on_where_it_was(task: Path) -> None:
    """Killed while it observed ranges; the next one resumes, and its files are those of a run in one go."""
    (task / "pictures/red/more").mkdir()
    for number in range(600):
        cv2.imwrite(str(task / f"pictures/red/more/{number:03}.png"), picture("red", 1000 + number))
    command = [sys.executable, "-m", "quantize.cli", "run", str(task / "net.onnx"), "--data", str(task / "pictures"), *FLAGS,
               "--calibrate", "all", "--rounding", "nearest", "-o"]
    killed = subprocess.Popen([*command, str(task / "out")], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    cache = task / "out/cache"
    while killed.poll() is None and not any(cache.glob("*.npz")):
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    again = subprocess.run([*command, str(task / "out")], cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "resumed behind sample" in again.stderr or "known from before" in again.stderr
    whole = subprocess.run([*command, str(task / "whole")], cwd=ROOT, capture_output=True, text=True, check=False)
    assert whole.returncode == 0, whole.stderr
    for name in ("net.tflite", "net.onnx"):
        assert (task / "out" / name).read_bytes() == (task / "whole" / name).read_bytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_model_that_may_not_be_read(task: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its permissions are the error."""
    (task / "net.onnx").chmod(0)
    assert run(task, capfd).code in (65, 66)


def test_a_forgotten_normalisation_is_warned_of(tmp_path: Path, zoo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """EfficientNet-Lite0 with pixels of 0 to 255, which cost 20 to 72 points without a word from any other tool."""
    ended = quantize(capfd, "calibrate", zoo / "quantize/efficientnet_lite0_fp32.onnx", "--data", zoo / "quantize/photos",
                     "--calibrate", "32", "--mean", "0", "--std", "1", "-o", tmp_path)
    assert ended.code == 0, ended.err
    assert "warning: normalisation" in ended.err


