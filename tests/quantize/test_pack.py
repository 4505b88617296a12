"""quantize pack: what the user says and what the file says become one bundle, or one error that tells every fault."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from click.testing import CliRunner

from edgeinfer.errors import EdgeinferError
from edgeinfer.model import bundle, probe
from edgeinfer.model.backends import RuntimeOptions, open_session
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.preprocess.spec import WindowSpec
from quantize import onnx_shape
from quantize.cli import program
from tests.models import stateful_tflite, tiny_onnx, tiny_tflite, window_tflite

ROOT = Path(__file__).resolve().parents[2]
NAMES = {"names": "{0: 'red', 1: 'green', 2: 'blue'}", "task": "classify", "imgsz": "[8, 8]", "stride": "1"}


def quantize(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The program itself, in a process of its own."""
    return subprocess.run([sys.executable, "-m", "quantize.cli", *map(str, arguments)], cwd=ROOT, text=True,
                          capture_output=True, check=False)


def packed(model: Path, *flags: object) -> tuple[Bundle, str]:
    """The bundle that pack makes, and its stderr."""
    out = model.with_suffix("")
    ended = quantize("pack", model, "-o", out, *flags)
    assert ended.returncode == 0, ended.stderr
    return bundle.read(out), ended.stderr


def refused(model: Path, *flags: object, code: int = 65) -> str:
    """The error of pack; fails where it leaves anything."""
    before = sorted(model.parent.iterdir())
    ended = quantize("pack", model, "-o", model.parent / "out.eib", *flags)
    assert ended.returncode == code, ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert sorted(model.parent.iterdir()) == before
    return ended.stderr


def labels_file(folder: Path, *names: str) -> Path:
    (folder / "names.txt").write_text("".join(f"{name}\n" for name in names))
    return folder / "names.txt"


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_a_quantised_input_takes_pixels_as_they_are(dtype: str, tmp_path: Path) -> None:
    """Without mean and std, pixel p becomes p (uint8) or p - 128 (int8) for all 256, and that this was assumed is said."""
    zero_point = -3 if dtype == "int8" else 7
    model = tiny_tflite(tmp_path / "m.tflite", dtype=dtype, height=16, width=16, scale=0.0173, zero_point=zero_point)
    found, told = packed(model, "--decoder", "classify")
    assert "assumed preprocess.mean" in told
    assert "assumed preprocess.std" in told
    engine = Engine(found, RuntimeOptions())
    frame = Frame(FrameFormat("RGB", 16, 16))
    frame.view[...] = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    lane = engine.lane(frame.format)
    lane.preprocess.run(frame, engine.session.input(0))
    pixels = frame.view.astype(int) - (128 if dtype == "int8" else 0)
    assert np.array_equal(np.array(engine.session.input(0))[0], pixels)


def test_a_float_input_without_mean_and_std_is_refused(tmp_path: Path) -> None:
    """A wrong mean gives answers that look right: it is asked for, with flags to paste that work."""
    model = tiny_onnx(tmp_path / "m.onnx")
    told = refused(model, "--decoder", "classify")
    assert "preprocess.mean" in told
    assert "--mean 0 --std 255" in told
    found, _ = packed(model, "--decoder", "classify", "--mean", "0", "--std", "255")
    assert found.manifest.preprocess.std == (255.0,)
    assert found.manifest.preprocess.layout == "NCHW"


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """Mean, size, labels and decoder: one run lists them all."""
    told = refused(tiny_onnx(tmp_path / "m.onnx"), "--height", 99, "--labels", labels_file(tmp_path, "a", "b"),
                   "--decoder", "classify", "--param", "tresh=1")
    for part in ("preprocess.height: expected 8", "preprocess.mean", "tresh"):
        assert part in told


def test_as_many_labels_as_elements_make_a_classifier(tmp_path: Path) -> None:
    """The decoder is assumed then, and that is said; the engine names what it sees."""
    found, told = packed(tiny_tflite(tmp_path / "m.tflite"), "--labels", labels_file(tmp_path, "red", "green", "blue"))
    assert "assumed decoder" in told
    assert found.manifest.task == "classify"
    frame = Frame(FrameFormat("RGB", 8, 8))
    frame.view[...] = (10, 20, 240)
    engine = Engine(found, RuntimeOptions())
    assert engine.lane(frame.format).infer(frame).state() == "blue"


def test_the_same_model_gives_the_same_archive(tmp_path: Path) -> None:
    """Packed twice, the bytes are the same: nothing of the clock is in them."""
    model = tiny_tflite(tmp_path / "m.tflite")
    for name in ("a.eib", "b.eib"):
        assert quantize("pack", model, "-o", tmp_path / name, "--decoder", "raw").returncode == 0
    assert (tmp_path / "a.eib").read_bytes() == (tmp_path / "b.eib").read_bytes()


def test_a_folder_becomes_an_archive(tmp_path: Path) -> None:
    """A bundle's folder is packed as it is."""
    found, _ = packed(tiny_tflite(tmp_path / "m.tflite"), "--decoder", "raw")
    assert quantize("pack", found.folder, "-o", tmp_path / "m.eib").returncode == 0
    assert bundle.unpack(tmp_path / "m.eib", tmp_path / "c").digest == found.digest
    assert quantize("pack", found.folder, "-o", tmp_path / "m.tar").returncode == 64


def test_json_tells_every_fact_and_its_origin(tmp_path: Path) -> None:
    """One document on stdout: the manifest, and for each fact "given", "file: …" or "assumed: …"."""
    ended = quantize("pack", tiny_tflite(tmp_path / "m.tflite"), "-o", tmp_path / "m", "--decoder", "raw", "--json")
    document = json.loads(ended.stdout)
    assert document["digest"] == bundle.read(tmp_path / "m").digest
    assert document["origins"]["decoder"] == "given"
    assert document["origins"]["preprocess.height"].startswith("file: ")
    assert document["origins"]["preprocess.colour"].startswith("assumed: ")
    assert document["manifest"]["provenance"]["facts"] == dict(sorted(document["origins"].items()))


def test_a_recipe_says_what_flags_say_and_flags_win(tmp_path: Path) -> None:
    """YAML with the same words; paths are the recipe's; a mistyped key is found."""
    labels_file(tmp_path, "a", "b", "c")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: fromrecipe\nversion: 1.0.0\nlabels: names.txt\ndecoder: classify\nparameters: {top_k: 2}\n"
                      "preprocess: {colour: BGR, mean: [0], std: [255]}\n")
    flags = ["--recipe", recipe, "--name", "fromflag", "--param", "threshold=0.5"]
    found, _ = packed(tiny_tflite(tmp_path / "m.tflite"), *flags)
    assert (found.manifest.name, found.manifest.version, found.labels) == ("fromflag", "1.0.0", ("a", "b", "c"))
    assert found.manifest.decoder.parameters == {"top_k": 2, "threshold": 0.5}
    assert found.manifest.preprocess.colour == "BGR"
    recipe.write_text("decodr: raw\n")
    assert "did you mean 'decoder'" in refused(tmp_path / "m.tflite", "--recipe", recipe, code=78)
    for text in ("[1, 2]", "a: [", "!!python/object/apply:os.system [ls]", "parameters: 3"):
        recipe.write_text(text)
        refused(tmp_path / "m.tflite", "--recipe", recipe, code=78)


@pytest.mark.parametrize("value", ["3", "[1]", "x", "{a: 1}", "null", "1e999", "-1", "[[0], {}]"])
def test_a_recipe_of_any_shape_is_a_typed_error(value: str, tmp_path: Path) -> None:
    """Whatever stands where a fact belongs, and whatever flags come with it."""
    model = tiny_tflite(tmp_path / "m.tflite")
    fields = ["height", "layout", "colour", "mean", "std", "length", "channels", "normalize", "kind", "pad"]
    keys = ["version", "parameters", "preprocess", "state", "shape", "probe", "labels"]
    for key in [*keys, *map("preprocess: {{{}".format, fields)]:
        (tmp_path / "r.yaml").write_text(f"{key}: {value}{'}' if '{' in key else ''}\n")
        for flags in ([], ["--param", "top_k=1", "--mean", "0", "--state", "a=b"]):
            outcome = CliRunner().invoke(program, ["pack", str(model), "-o", str(tmp_path / "o"), "--decoder", "classify",
                                                   "--recipe", str(tmp_path / "r.yaml"), *flags])
            assert outcome.exception is None or isinstance(outcome.exception, EdgeinferError | SystemExit), (key, value)


def test_windows_are_described_by_flags(tmp_path: Path) -> None:
    """Units are asked for, the rest follows from the shape."""
    model = window_tflite(tmp_path / "m.tflite")
    assert "--normalize none" in refused(model, "--decoder", "raw", "--window-length", 8)
    normalisation = ["--normalize", "standardize", "--mean", "1", "--std", "2,3"]
    found, told = packed(model, "--decoder", "raw", "--window-length", 8, *normalisation)
    expected = WindowSpec(length=8, channels=2, hop=8, normalize="standardize", mean=(1.0,), std=(2.0, 3.0))
    assert found.manifest.preprocess == expected
    assert "assumed preprocess.hop = 8" in told


def test_an_input_that_may_be_either_is_asked_about(tmp_path: Path) -> None:
    """One channel may be a grey picture or a table of features."""
    model = tiny_tflite(tmp_path / "m.tflite", channels=1)
    assert "--colour GREY" in refused(model, "--decoder", "raw")
    assert packed(model, "--decoder", "raw", "--colour", "GREY")[0].manifest.preprocess.channels == 1


def test_a_state_is_packed(tmp_path: Path) -> None:
    """INPUT=OUTPUT; the engine feeds it back."""
    model = stateful_tflite(tmp_path / "m.tflite")
    found, _ = packed(model, "--decoder", "raw", "--normalize", "none", "--state", "state=sum")
    assert Engine(found, RuntimeOptions()).stateful


def test_a_probe_of_the_users_own_is_packed(tmp_path: Path) -> None:
    """A frame in a .npy goes into the bundle with its answer."""
    picture = np.full((12, 9, 3), 77, np.uint8)
    np.save(tmp_path / "p.npy", picture)
    found, _ = packed(tiny_tflite(tmp_path / "m.tflite"), "--decoder", "raw", "--probe", tmp_path / "p.npy")
    [own] = [one for one in found.manifest.probes if one.file]
    assert own.expected[0].values == (77.0, 77.0, 77.0)
    assert np.array_equal(probe.read_frame(found.folder / own.file), picture)


def test_dynamic_sides_are_fixed_by_a_flag(tmp_path: Path) -> None:
    """Refused without, with a hint that works when pasted; then the packed file itself has fixed sides."""
    model = tiny_onnx(tmp_path / "m.onnx", batch="N")
    flags = ["--decoder", "raw", "--mean", 0, "--std", 255]
    assert "--shape image=1,3,8,8" in refused(model, *flags)
    assert "fixed sides" in refused(model, *flags, "--shape", "image=1,3,9,9")
    assert "image" in refused(model, *flags, "--shape", "picture=1,3,8,8")
    found, _ = packed(model, *flags, "--shape", "image=1,3,8,8")
    session = open_session(found.model_path, "onnx", RuntimeOptions())
    assert (session.inputs[0].shape, session.outputs[0].shape) == ((1, 3, 8, 8), (1, 3))


def test_fixing_nothing_changes_nothing(tmp_path: Path) -> None:
    """The rewritten file of a model that is fixed already is the same, byte for byte."""
    from edgeinfer.model.modelfile import describe

    model = tiny_onnx(tmp_path / "m.onnx", qdq=True, metadata=NAMES)
    assert onnx_shape.fix(model.read_bytes(), describe(model), {"image": (1, 3, 8, 8)}, "m.onnx") == model.read_bytes()


def test_onnx_metadata_of_ultralytics_is_read(tmp_path: Path) -> None:
    """Names, task and preprocessing come from the file; a flag that says otherwise is refused, unless it overrides."""
    model = tiny_onnx(tmp_path / "m.onnx", metadata=NAMES)
    found, _ = packed(model)
    assert found.labels == ("red", "green", "blue")
    assert found.manifest.decoder.name == "classify"
    assert (found.manifest.preprocess.std, found.manifest.preprocess.resize) == ((255.0,), "crop")
    told = refused(model, "--std", 1, "--mean", 0, "--labels", labels_file(tmp_path, "x", "y", "z"))
    assert "preprocess.std: expected [255.0]" in told
    assert "labels: expected" in told
    (tmp_path / "m").rename(tmp_path / "first")
    assert packed(model, "--std", 1, "--mean", 0, "--override")[0].manifest.preprocess.std == (1.0,)


@pytest.mark.parametrize("names", [
    "{0: 'a', 2: 'b'}", "{'x': 'a'}", "[", "{0: __import__('os')}", "('a',)", "(" * 5000, "3"])
def test_metadata_that_is_damaged_is_refused(names: str, tmp_path: Path) -> None:
    """Names with a gap, or anything but a literal: nothing is executed."""
    assert "names" in refused(tiny_onnx(tmp_path / "m.onnx", metadata={**NAMES, "names": names}))


def test_a_zipped_metadata_json_is_read(tmp_path: Path) -> None:
    """Ultralytics' .tflite has its metadata in an appended archive."""
    model = tiny_tflite(tmp_path / "m.tflite")
    with zipfile.ZipFile(model, "a") as archive:
        names = {"0": "r", "1": "g", "2": "b"}
        archive.writestr("metadata.json", json.dumps({"names": names, "task": "classify", "imgsz": [8, 8]}))
    found, _ = packed(model)
    assert found.labels == ("r", "g", "b")


def test_tflite_metadata_is_read(tmp_path: Path) -> None:
    """Normalisation, colour space and an associated label file, as TensorFlow's metadata writer leaves them."""
    model = tiny_tflite(tmp_path / "m.tflite", metadata=tflite_metadata([127.5], [127.5], 1, "names.txt"))
    with zipfile.ZipFile(model, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("names.txt", "red\ngreen\nblue\n")
    found, told = packed(model)
    spec = found.manifest.preprocess
    assert (spec.mean, spec.std, spec.colour, found.labels) == ((127.5,), (127.5,), "RGB", ("red", "green", "blue"))
    assert "assumed preprocess.mean" not in told
    assert "assumed preprocess.colour" not in told
    assert "file's TFLite metadata" in refused(model, "--colour", "BGR")


@pytest.mark.parametrize("cut", [0, 4, 20, 60, 100])
def test_damaged_tflite_metadata_is_refused(cut: int, tmp_path: Path) -> None:
    """Cut short anywhere: one typed error."""
    whole = tflite_metadata([127.5], [127.5], 1, "names.txt")
    assert "TFLITE_METADATA" in refused(tiny_tflite(tmp_path / "m.tflite", metadata=whole[:cut]), "--decoder", "raw")


def test_inspect_tells_what_a_file_says(tmp_path: Path) -> None:
    """For people on stdout, and as one document."""
    model = tiny_onnx(tmp_path / "m.onnx", batch="N", metadata=NAMES)
    assert "image  float32 [N, 3, 8, 8]" in quantize("inspect", model).stdout
    document = json.loads(quantize("inspect", model, "--json").stdout)
    assert document["labels"] == ["red", "green", "blue"]
    assert document["file"]["operators"]["GlobalAveragePool"] == 1


def test_help_is_quick() -> None:
    """No runtime, no OpenCV and no numpy is imported to show the help."""
    code = ("import sys, quantize.cli\ntry: quantize.cli.program(['pack', '--help'])\nexcept SystemExit: pass\n"
            "print([name for name in ('numpy', 'cv2', 'onnxruntime', 'ai_edge_litert') if name in sys.modules])")
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True)
    assert ended.stdout.endswith("[]\n")


def tflite_metadata(mean: list[float], std: list[float], colour: int, labels: str) -> bytes:
    """ModelMetadata with one input (an image, normalised) and one output (a label file), field by field."""
    builder = flatbuffers.Builder(256)

    def table(fields: dict[int, Any]) -> int:
        builder.StartObject(max(fields, default=-1) + 1)
        for slot, (kind, value) in fields.items():
            getattr(builder, f"Prepend{kind}Slot")(slot, value, 0)
        return builder.EndObject()

    def vector(offsets: list[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    numbers = [builder.CreateNumpyVector(np.array(values, np.float32)) for values in (mean, std)]
    normalization = table({0: ("UOffsetTRelative", numbers[0]), 1: ("UOffsetTRelative", numbers[1])})
    unit = table({0: ("Uint8", 1), 1: ("UOffsetTRelative", normalization)})
    content = table({0: ("Uint8", 2), 1: ("UOffsetTRelative", table({0: ("Int8", colour)}))})
    units = vector([unit])
    image = table({3: ("UOffsetTRelative", content), 4: ("UOffsetTRelative", units)})
    name = builder.CreateString(labels)
    files = vector([table({0: ("UOffsetTRelative", name), 2: ("Int8", 2)})])
    output = table({6: ("UOffsetTRelative", files)})
    sides = [vector([image]), vector([output])]
    graphs = vector([table({2: ("UOffsetTRelative", sides[0]), 3: ("UOffsetTRelative", sides[1])})])
    builder.Finish(table({3: ("UOffsetTRelative", graphs)}), b"M001")
    return bytes(builder.Output())


ZOO: dict[str, list[Any]] = {
    "classify/mobilenet_v2_1.0_224_quant.tflite": [],
    "classify/mobilenet_v2_quant.onnx": ["--decoder", "classify", "--param", "softmax=true",
                                         "--mean", "123.675,116.28,103.53", "--std", "58.395,57.12,57.375"],
    "anomaly/ad01_fp32.tflite": ["--decoder", "raw", "--window-length", 5, "--channels", 128, "--normalize", "none"],
    "anomaly/ad01_int8.tflite": ["--decoder", "raw", "--window-length", 5, "--channels", 128, "--normalize", "none"],
    "audio/kws_ref_model.tflite": ["--decoder", "classify", "--window-length", 49, "--channels", 10, "--normalize", "none"],
    "audio/micro_speech_quantized.tflite": ["--decoder", "classify", "--window-length", 49, "--normalize", "none"],
    "pose/movenet_single_pose_lightning_ptq.tflite": ["--decoder", "raw"],
}


@pytest.mark.zoo
@pytest.mark.parametrize("name", ZOO)
def test_a_real_model_is_packed_and_read_back(name: str, zoo: Path, tmp_path: Path) -> None:
    """Facts, probes and fingerprint of real files hold in a fresh session."""
    out = tmp_path / "m.eib"
    ended = quantize("pack", zoo / name, "-o", out, *ZOO[name])
    assert ended.returncode == 0, ended.stderr
    found = bundle.open_model(out, tmp_path / "cache")
    session = open_session(found.model_path, found.manifest.format, RuntimeOptions(threads=2))
    assert found.manifest.probes
    probe.check(session, found.manifest, found.folder)
