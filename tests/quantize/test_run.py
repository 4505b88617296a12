"""The whole way: one command from a float model and pictures to bundles that the device runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeinfer.model import bundle
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import Frame, FrameFormat
from quantize.report import from_json
from tests.quantize.runs import FLAGS, Ended, picture, quantize, save_labels, save_network, save_pictures

Run = Callable[..., Ended]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A folder with net.onnx, labels.txt and the pictures."""
    save_network(tmp_path / "net.onnx")
    save_pictures(tmp_path / "pictures")
    save_labels(tmp_path / "labels.txt")
    return tmp_path


@pytest.fixture
def run(task: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """quantize with the task's model, pictures and labels, into its folder ``out``."""
    def call(*more: object, out: str = "out") -> Ended:
        return quantize(capfd, task / "net.onnx", "--data", task / "pictures", "--labels", task / "labels.txt", *FLAGS,
                        "-o", task / out, *more)
    return call


def test_one_command_makes_proven_bundles(task: Path, run: Run) -> None:
    """Both files, a bundle of each, the page and its JSON; INT8 answers as float does, and the device's engine runs it."""
    ended = run("--max-drop", "1")
    assert ended.code == 0, ended.err
    assert {path.name for path in (task / "out").iterdir()} == {
        "net.tflite", "net.onnx", "net.eib", "net-onnx.eib", "report.html", "report.json", "cache"}
    report = from_json((task / "out/report.json").read_bytes())
    assert report.verdict.outcome == "passed"
    assert report.accuracy is not None
    assert [run.title for run in report.accuracy.runs] == ["float", "INT8 TFLite", "INT8 ONNX"]
    assert all(run.figures[0].value == 100 for run in report.accuracy.runs)
    made = bundle.open_model(task / "out/net.eib", task / "unpacked")
    engine = Engine(made, RuntimeOptions())
    frame = Frame(FrameFormat("BGR", 24, 24))
    frame.view[...] = picture("green", 7)
    assert engine.lane(frame.format).infer(frame).state() == "green"
    engine.close()


def test_the_manifest_holds_what_was_proven(task: Path, run: Run) -> None:
    """Accuracy, origin and the ranges of the inputs while calibrating travel with the model."""
    run()
    manifest = bundle.open_model(task / "out/net.eib", task / "unpacked").manifest
    assert manifest.accuracy["figures"]["float"]["top-1"] == 100
    assert manifest.provenance["hashes"]["net.onnx"]
    inputs = manifest.calibration["inputs"]["input"]
    assert -1.01 <= inputs["low"] < inputs["high"] <= 1.01
    assert inputs["std"] > 0
    assert len(inputs["histogram"]["counts"]) == 32
    assert manifest.target == "raspberry-pi-4"


def test_the_device_tells_frames_like_the_calibrations_from_others(task: Path, run: Run) -> None:
    """Pictures of the calibration have not drifted in the engine of the device, black ones have, for both formats."""
    run()
    for name in ("net.eib", "net-onnx.eib"):
        engine = Engine(bundle.open_model(task / "out" / name, task / "unpacked"), RuntimeOptions())
        frame = Frame(FrameFormat("BGR", 24, 24))
        indices = []
        for black in (False, True):
            lane = engine.lane(frame.format)
            assert lane.drift is not None
            for seed in range(12):
                frame.view[...] = 0 if black else picture(("red", "green", "blue")[seed % 3], seed)
                lane.infer(frame)
                lane.drift.see(engine.session.input(0))
            indices.append(lane.drift.document()["psi"])
        engine.close()
        assert indices[0] < 0.5 < 5 < indices[1], (name, indices)


def test_the_same_inputs_give_the_same_bytes(task: Path, run: Run) -> None:
    """Models and bundles of two runs are equal, byte for byte, without anything kept from the first."""
    run(out="one")
    run(out="two")
    for name in ("net.tflite", "net.onnx"):
        assert (task / "one" / name).read_bytes() == (task / "two" / name).read_bytes()


def test_a_recipe_is_the_flags_in_yaml(task: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """``quantize run recipe.yaml``, with paths relative to it."""
    (task / "recipe.yaml").write_text(
        "model: net.onnx\ndata: pictures\nlabels: labels.txt\ntarget: raspberry-pi-4\ndecoder: classify\n"
        "parameters: {softmax: true}\npreprocess: {mean: [127.5], std: [127.5]}\nformats: [tflite]\n")
    ended = quantize(capfd, "run", task / "recipe.yaml", "-o", task / "out")
    assert ended.code == 0, ended.err
    assert (task / "out/net.eib").is_file()
    assert not (task / "out/net.onnx").exists()


def test_json_is_the_report_on_stdout(task: Path, run: Run) -> None:
    """And nothing else is there."""
    ended = run("--json")
    assert json.loads(ended.out) == json.loads((task / "out/report.json").read_bytes())


def test_a_missed_bar_ends_with_one(task: Path, run: Run) -> None:
    """No loss may be under zero per cent of disagreement with a net of noise; the bundles are there all the same."""
    ended = run("--min-parity", "100.1")
    assert ended.code == 1, ended.err
    assert (task / "out/net.eib").is_file()


def test_a_jetson_gets_onnx_for_tensorrt(task: Path, run: Run) -> None:
    """One file, of operators that TensorRT parses, with zero points of 0."""
    ended = run("--target", "jetson-orin-nano")
    assert ended.code == 0, ended.err
    assert (task / "out/net.onnx").is_file()
    assert not (task / "out/net.tflite").exists()


def test_an_edge_tpu_gets_integers_throughout(task: Path, run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    """Its checker finds nothing in the file."""
    assert run("--target", "coral-dev").code == 0
    assert quantize(capfd, "check", task / "out/net.tflite", "--target", "coral-dev").code == 0


def test_ranges_are_observed_once(task: Path, run: Run) -> None:
    """A second run with the same inputs reads what the first has kept."""
    run()
    ended = run("--ranges", "minmax")
    assert "known from before" in ended.err


def test_every_other_command_takes_what_run_made(task: Path, run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    """check, calibrate, compare, evaluate and report, one after the other."""
    run()
    common = ("--data", task / "pictures", "--mean", "127.5", "--std", "127.5", "--labels", task / "labels.txt")
    calls = {
        "check": (task / "net.onnx", "--target", "raspberry-pi-5"),
        "calibrate": (task / "net.onnx", *common, "-o", task / "out"),
        "compare": (task / "net.onnx", task / "out/net.onnx", *common),
        "evaluate": (task / "out/net-onnx.eib", task / "out/net.eib", "--data", task / "pictures"),
        "report": (task / "out/report.json", "-o", task / "again.html")}
    for name, arguments in calls.items():
        ended = quantize(capfd, name, *arguments)
        assert ended.code == 0, (name, ended.err)
        assert "known from before" in ended.err or name != "calibrate"
    assert (task / "again.html").read_text() == (task / "out/report.html").read_text()
    assert quantize(capfd, "compare", task / "net.onnx", task / "out/net.tflite", *common).code == 0
