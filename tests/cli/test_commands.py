"""The commands as a user runs them: real processes, real bundles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from edgeinfer.cli.infer import describe
from edgeinfer.model.framelog import FrameLogReader
from tests import bundles
from tests.broker import Broker
from tests.conftest import ROOT
from tests.models import Op, Tensor, tiny_tflite, write_onnx


def _run(*arguments: str, code: int = 0) -> str:
    outcome = subprocess.run([sys.executable, "-m", "edgeinfer", *arguments], text=True, capture_output=True, check=False)
    assert outcome.returncode == code, outcome.stdout + outcome.stderr
    assert "Traceback" not in outcome.stderr
    return outcome.stdout if code == 0 else outcome.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bundles, a red picture, a recording of a sensor."""
    cv2 = pytest.importorskip("cv2")
    folder = tmp_path_factory.mktemp("commands")
    bundles.colours(folder)
    bundles.vibration(folder)
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[..., 2] = 255
    (folder / "pictures").mkdir()
    cv2.imwrite(str(folder / "red.png"), picture)
    cv2.imwrite(str(folder / "pictures/a.png"), picture)
    cv2.imwrite(str(folder / "pictures/b.png"), picture[:24, :32, ::-1])
    np.save(folder / "recording.npy", np.sin(np.arange(400) / 3).astype(np.float32))
    return folder


def _config(folder: Path, source: dict[str, Any], bundle: str = "colours", **more: Any) -> str:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"pipelines": {"door": {"bundle": bundle, "source": source}}, "sink": {"kind": "stdout"}, **more}))
    return str(path)


def test_help_imports_nothing_heavy() -> None:
    """--help does not import numpy, OpenCV, a runtime or paho."""
    script = ("import sys\nsys.argv = ['edgeinfer', '--help']\nfrom edgeinfer.cli import main\n"
              "try: main()\nexcept SystemExit: pass\n"
              "heavy = {'numpy', 'cv2', 'onnxruntime', 'ai_edge_litert', 'paho', 'yaml', 'msgspec', 'sqlite3'} & set(sys.modules)\n"
              "sys.exit(f'imported {heavy}' if heavy else 0)")
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize("program", ["edgeinfer", "quantize.cli"])
@pytest.mark.parametrize("arguments", [["inspect", "colours.tflite"], ["inspect", "colours.tflite", "--json"]])
def test_a_disk_that_is_full_and_a_reader_that_is_gone_are_no_traceback(folder: Path, program: str, arguments: list[str]) -> None:
    """74 for the one. The other is no error: who reads only the beginning has what he wants."""
    command = [sys.executable, "-m", program, *arguments]
    with open("/dev/full", "w") as full:
        outcome = subprocess.run(command, cwd=folder, text=True, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (outcome.returncode, outcome.stderr) == (74, "error: stdout: expected a file that takes what is written, got No space left on device\n")
    reader, writer = os.pipe()
    os.close(reader)
    outcome = subprocess.run(command, cwd=folder, text=True, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (outcome.returncode, outcome.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [
    ["run", "colours.tflite", "--data", "pictures", "-o", "out"], ["check", "some.onnx", "--target", "raspberry-pi-4"],
    ["calibrate", "colours.tflite", "--data", "pictures", "-o", "out"], ["evaluate", "colours", "--data", "pictures"]])
def test_the_toolkit_without_its_packages_says_what_to_install(folder: Path, arguments: list[str]) -> None:
    """As on a device, where only the daemon was installed."""
    write_onnx(folder / "some.onnx", [Tensor("x", (1, 4)), Tensor("y", (1, 4))], [Op("Relu", ("x",), ("y",))], ["x"], ["y"])
    script = ("import sys\nsys.modules['onnx'] = None\nfrom quantize.cli import main\n"
              "sys.argv[0] = 'quantize'\nmain()")
    outcome = subprocess.run([sys.executable, "-c", script, *arguments], cwd=folder, text=True, capture_output=True, check=False)
    assert "Traceback" not in outcome.stderr
    assert outcome.returncode == 69, outcome.stderr
    assert "hint: pip install 'edgeinfer[quantize]'" in outcome.stderr


def test_infer_shows_results_and_saves_the_annotated_picture(folder: Path, tmp_path: Path) -> None:
    """One picture: one line and one picture; a folder: one of each for every picture."""
    import cv2

    assert "red 1.00" in _run("infer", str(folder / "colours"), str(folder / "red.png"), "--save", str(tmp_path / "out.png"))
    drawn = cv2.imread(str(tmp_path / "out.png"))
    assert drawn is not None
    assert not (drawn == drawn[0, 0]).all(), "nothing was drawn"
    lines = _run("infer", str(folder / "colours"), str(folder / "pictures"), "--save", str(tmp_path / "several")).splitlines()
    assert len(lines) == 2
    assert len(list((tmp_path / "several").glob("*.png"))) == 2


def test_infer_keeps_the_pictures_of_files_of_one_name_apart(folder: Path, tmp_path: Path) -> None:
    """Two folders with an a.png each: two pictures drawn, none in the place of the other."""
    (tmp_path / "front").mkdir()
    (tmp_path / "front/a.png").write_bytes((folder / "red.png").read_bytes())
    given = (str(tmp_path / "front/a.png"), str(folder / "pictures/a.png"))
    assert len(_run("infer", str(folder / "colours"), *given, "--save", str(tmp_path / "drawn")).splitlines()) == 2
    assert sorted(file.name for file in (tmp_path / "drawn").iterdir()) == ["a-0000.png", "a-0001.png"]


@pytest.mark.parametrize(("result", "line"), [
    ({"classes": [{"label": "cat", "index": 0, "score": 0.5}]}, "cat 0.50"), ({"classes": []}, "nothing"),
    ({"text": "Ausfahrt frei", "score": 0.93}, "'Ausfahrt frei' 0.93"), ({"text": "", "score": 0.0}, "nothing"),
    ({"name": "ada", "known": True, "similarity": 0.7}, "ada 0.70"), ({"values": {"wear": 0.25}}, "wear 0.25"),
    ({"anomalous": True, "score": 3, "threshold": 2}, "ANOMALY 3 (threshold 2)"), ({"tensors": {"out": {"shape": [1, 3]}}}, "out [1, 3]")])
def test_a_result_is_a_line_for_a_person(result: dict[str, Any], line: str) -> None:
    """Whatever the task."""
    assert describe({"input": "a.png", "index": 2, "latency_ms": 1.0, "result": result}) == f"a.png[2]  1.00 ms  {line}"


def test_infer_goes_on_behind_a_broken_picture_of_a_folder(folder: Path, tmp_path: Path) -> None:
    """The other pictures' results are printed, the broken one is named on stderr, and the exit code says that one is missing."""
    for name in ("a.png", "c.png"):
        (tmp_path / name).write_bytes((folder / "red.png").read_bytes())
    (tmp_path / "b.png").write_bytes(b"not a picture")
    outcome = subprocess.run([sys.executable, "-m", "edgeinfer", "infer", str(folder / "colours"), str(tmp_path), "--json"],
                             text=True, capture_output=True, check=False)
    assert outcome.returncode == 66
    assert [Path(row["input"]).name for row in json.loads(outcome.stdout)["results"]] == ["a.png", "c.png"]
    assert "b.png" in outcome.stderr


def test_check_finds_a_password_file_that_is_missing(folder: Path) -> None:
    """What needs no broker is checked without one."""
    sink = {"kind": "mqtt", "host": "127.0.0.1", "plain_text": True, "username": "u", "password_file": "nowhere"}
    assert "sink.password: expected to read" in _run("check", _config(folder, {"kind": "images", "path": "pictures"}, sink=sink), code=78)


def test_infer_prints_one_json_document(folder: Path) -> None:
    """--json: pictures and windows alike, nothing else on stdout."""
    document = json.loads(_run("infer", str(folder / "colours"), str(folder / "pictures"), "--json"))
    assert [row["result"]["classes"][0]["label"] for row in document["results"]] == ["red", "blue"]
    document = json.loads(_run("infer", str(folder / "vibration"), str(folder / "recording.npy"), "--json"))
    assert len(document["results"]) == (400 - 16) // 8 + 1
    assert not any(row["result"]["anomalous"] for row in document["results"])


def test_infer_takes_a_bare_model_with_its_facts(folder: Path, tmp_path: Path) -> None:
    """A bare file is packed on the way; where facts are missing the error says how to state them."""
    model = tiny_tflite(tmp_path / "bare.tflite")
    labels = tmp_path / "labels.txt"
    labels.write_text("red\ngreen\nblue\n")
    facts = ("--fact", "decoder=classify", "--fact", f"labels={labels}")
    assert "red 1.00" in _run("infer", str(model), str(folder / "red.png"), *facts)
    assert "--decoder NAME" in _run("infer", str(model), str(folder / "red.png"), code=65)


def test_bench_measures_every_stage(folder: Path) -> None:
    """The document has the stages, the share over bare invoke, PSS and what a frame allocates."""
    (document,) = json.loads(_run("bench", str(folder / "vibration"), "--frames", "200", "--device", "raspberry-pi-4", "--json"))["benches"]
    assert set(document["stages_ms"]) == {"preprocess", "invoke", "decode", "capture_to_result"}
    assert document["stages_ms"]["invoke"]["count"] == document["frames"] == 200
    assert document["over_bare_invoke"] > 1
    assert document["allocations"]["bytes_a_frame"] < 400
    assert document["energy"]["device"] == "raspberry-pi-4"
    assert "allocations a frame" in _run("bench", str(folder / "colours"), "--frames", "20", "--size", "64x48")


def test_check_prints_the_bill_and_refuses_what_does_not_fit(folder: Path) -> None:
    """Every holder of memory is a line; over the budget it is an error with exit code 78."""
    config = _config(folder, {"kind": "images", "path": "pictures", "interval_s": 1})
    text = _run("check", config)
    assert "ring, 3 slots of 9216 bytes" in text
    assert "model and runtime (measured)" in text
    document = json.loads(_run("check", config, "--json"))
    assert document["total_bytes"] == sum(line["bytes"] for line in document["bill"])
    assert "memory.budget_mb" in _run("check", _config(folder, {"kind": "images", "path": "pictures"}, memory={"budget_mb": 3}), code=78)


def test_check_online_opens_source_and_broker(folder: Path, tmp_path: Path) -> None:
    """--online reads a frame and connects; a broker that is not there is exit code 69 with a hint."""
    with Broker(tmp_path / "broker") as broker:
        sink = {"kind": "mqtt", "host": "127.0.0.1", "port": broker.port, "plain_text": True}
        config = _config(folder, {"kind": "images", "path": "pictures"}, sink=sink)
        text = _run("check", config, "--online")
        assert "door: delivers" in text
        assert "accepts, MQTT 5" in text
    assert "expected a broker" in _run("check", config, "--online", code=69)


@pytest.mark.parametrize(("source", "bundle", "rows"), [
    ({"kind": "images", "path": "pictures"}, "colours", 2),
    ({"kind": "npy", "path": "recording.npy", "rate": 400, "pace": "fast"}, "vibration", 10),
])
def test_record_writes_what_the_source_delivers(folder: Path, tmp_path: Path, source: dict[str, Any], bundle: str, rows: int) -> None:
    """A framelog of pictures, or of samples in chunks of a tenth of a second, that infer replays to the same answers."""
    _run("record", _config(folder, source, bundle), "-o", str(tmp_path / "log.framelog"))
    with FrameLogReader(tmp_path / "log.framelog") as log:
        assert len(log) == rows
    replayed = json.loads(_run("infer", str(folder / bundle), str(tmp_path / "log.framelog"), "--json"))["results"]
    direct = json.loads(_run("infer", str(folder / bundle), str(folder / source["path"]), "--json"))["results"]
    assert [row["result"] for row in replayed] == [row["result"] for row in direct]


def test_inspect_says_why_it_proposes_no_decoder(tmp_path: Path) -> None:
    """Outputs whose sides are open could be anyone's; a table that nobody has is said to be unknown."""
    for sides, line in ((("n", 3, "h", "w"), "open sides"), ((1, 7, 999, 5), "none is known")):
        tensors = [Tensor("x", (1, 3, 64, 64)), Tensor("y", sides)]
        model = write_onnx(tmp_path / "m.onnx", tensors, [Op("Relu", ("x",), ("y",))], ("x",), ("y",))
        assert f"decoder?      {line}" in _run("inspect", str(model))


def test_a_recording_of_samples_knows_of_its_gaps(folder: Path, tmp_path: Path) -> None:
    """A number is left out where samples were lost; and every chunk is kept, since they belong together."""
    times = [*range(0, 120), *range(200, 320)]
    (tmp_path / "gap.csv").write_text("t,x\n" + "".join(f"{time / 400},{time}\n" for time in times))
    source = {"kind": "csv", "path": str(tmp_path / "gap.csv"), "rate": 400, "pace": "fast", "time": "t"}
    config = _config(folder, source, "vibration")
    _run("record", config, "-o", str(tmp_path / "log.framelog"))
    with FrameLogReader(tmp_path / "log.framelog") as log:
        assert [(frame.sequence, frame.view[0, 0]) for frame in log] == [(0, 0), (1, 40), (2, 80), (4, 200), (5, 240), (6, 280)]
    assert "expected 1 for a source of samples" in _run("record", config, "-o", str(tmp_path / "x"), "--every", "2", code=64)


def test_inspect_and_devices_say_what_there_is(folder: Path) -> None:
    """Both print for people and for programs."""
    assert "AVERAGE_POOL_2D x 1" in _run("inspect", str(folder / "colours"))
    document = json.loads(_run("inspect", str(folder / "colours"), "--json"))
    assert document["bundle"]["manifest"]["decoder"]["name"] == "classify"
    assert document["bundle"]["signature"] == "unsigned"
    assert json.loads(_run("inspect", str(folder / "colours.tflite"), "--json"))["bundle"] is None
    names = [device["name"] for device in json.loads(_run("devices", "--json"))["devices"]]
    assert {"raspberry-pi-zero-2", "raspberry-pi-4", "raspberry-pi-5", "jetson-orin-nano", "coral-dev", "x86-64"} <= set(names)
    assert "did you mean 'raspberry-pi-4'?" in _run("devices", "rasberry-pi-4", code=64)


def test_demo_writes_a_configuration_that_checks(tmp_path: Path) -> None:
    """The starting point that the README names is valid as it is."""
    pytest.importorskip("cv2")
    _run("demo", "--write-config", str(tmp_path / "edgeinfer.yaml"))
    assert "ok: 1 pipelines" in _run("check", str(tmp_path / "edgeinfer.yaml"))


def test_the_demo_runs_both_examples_and_leaves_a_picture(tmp_path: Path) -> None:
    """Results of both pipelines arrive, the summary has them all, the picture is drawn, the exit code is 0."""
    cv2 = pytest.importorskip("cv2")
    pytest.importorskip("amqtt")
    pytest.importorskip("onnxruntime")
    text = _run("demo", "--save", str(tmp_path / "demo.png"))
    assert "edgeinfer/demo/digits/result" in text
    assert "edgeinfer/demo/vibration/result" in text
    assert "ANOMALY" in text
    assert "memory: " in text
    picture = cv2.imread(str(tmp_path / "demo.png"))
    assert picture.shape[0] >= 120
    assert (ROOT / "examples/digits/bundle/manifest.json").is_file()
