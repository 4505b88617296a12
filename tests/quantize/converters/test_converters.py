"""Model files of any format: told apart by their bytes, read by the converter of the format, and never unpickled."""

from __future__ import annotations

import importlib.util
import json
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeinfer.errors import ModelError, UnavailableError
from quantize.converters import CONVERTERS, load
from quantize.converters.apart import convert
from quantize.converters.formats import format_of
from tests.conftest import ROOT
from tests.models import tiny_onnx, tiny_tflite


def archive(path: Path, *names: str, content: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, content)
    return path


def saved_model(path: Path) -> Path:
    path.mkdir()
    (path / "saved_model.pb").touch()
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


FORMATS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "tflite": (lambda folder: tiny_tflite(folder / "m", dtype="float32"), "tflite"),
    "tflite under a wrong name": (lambda folder: tiny_tflite(folder / "m.onnx", dtype="float32"), "tflite"),
    "a file called .tflite": (lambda folder: written(folder / "m.tflite", b"nothing"), "tflite"),
    "onnx": (lambda folder: tiny_onnx(folder / "m.onnx"), "onnx"),
    "program of torch.export": (lambda folder: archive(folder / "m.pt2", "m/models/model.json", "m/archive_format"), "torch"),
    "program of an older torch": (lambda folder: archive(folder / "m.pt", "serialized_exported_program.json", "version"), "torch"),
    "keras": (lambda folder: archive(folder / "m.keras", "config.json", "model.weights.h5", "metadata.json"), "keras"),
    "hdf5": (lambda folder: written(folder / "m.h5", b"\x89HDF\r\n\x1a\n" + bytes(64)), "keras"),
    "saved model": (lambda folder: saved_model(folder / "m"), "keras"),
    "anything else is left to the ONNX reader": (lambda folder: written(folder / "m.bin", b"\x01\x02"), "onnx"),
}


@pytest.mark.parametrize("case", FORMATS)
def test_a_format_is_known_by_its_bytes(case: str, tmp_path: Path) -> None:
    make, expected = FORMATS[case]
    assert format_of(make(tmp_path)) == expected


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "pickled module": (lambda folder: archive(folder / "m.pt", "m/data.pkl", "m/data/0", "m/version"), "pickled PyTorch file"),
    "state dict": (lambda folder: archive(folder / "m.pth", "state/data.pkl", "state/byteorder"), "torch.export.save("),
    "pickle of an older torch": (lambda folder: written(folder / "m.pth", pickle.dumps({"weight": 1}, 2)), "a pickle"),
    "torchscript": (lambda folder: archive(folder / "m.pt", "m/data.pkl", "m/code/__torch__.py"), "TorchScript"),
    "archive of photos": (lambda folder: archive(folder / "m.zip", "a.jpg", "b.jpg"), "an archive of other files"),
    "archive cut off": (lambda folder: written(folder / "m.pt2", b"PK\x03\x04" + bytes(10)), "truncated"),
    "folder of photos": (lambda folder: folder, "saved_model.pb"),
    "nothing": (lambda folder: folder / "none.onnx", "No such file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_model_is_refused(case: str, tmp_path: Path) -> None:
    """With a hint how to save it, where it is one that was saved in another way."""
    make, words = REFUSED[case]
    with pytest.raises(ModelError) as error:
        load(make(tmp_path))
    assert words in str(error.value)


def test_onnx_and_tflite_come_as_the_same_graph(tmp_path: Path) -> None:
    """The mean of each colour: channels second in both, and the file's order beside it."""
    onnx, tflite = load(tiny_onnx(tmp_path / "m.onnx", height=4, width=6)), load(tiny_tflite(tmp_path / "m.tflite", dtype="float32", height=4, width=6))
    assert [onnx.format, tflite.format] == ["onnx", "tflite"]
    assert onnx.graph.shapes["image"] == tflite.graph.shapes["image"] == (1, 3, 4, 6)
    assert onnx.input_perms.get("image") is None
    assert tflite.input_perms["image"] == (0, 2, 3, 1)


def test_a_third_partys_converter_reads_its_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point with the suffix as its name; what has another suffix is read as ever."""
    monkeypatch.setattr(CONVERTERS, "_entry_points", lambda: {"odd": "quantize.converters.onnx:load", "keras": "nothing:load"})
    assert load(tiny_onnx(tmp_path / "m.odd")).graph.inputs == load(tiny_onnx(tmp_path / "m.bin")).graph.inputs
    monkeypatch.setattr(CONVERTERS, "_entry_points", lambda: {"odd": "no_such_package:load"})
    with pytest.raises(UnavailableError, match="no_such_package"):
        load(tmp_path / "m.odd")


def test_shapes_are_given_in_the_files_order(tmp_path: Path) -> None:
    loaded = load(tiny_onnx(tmp_path / "m.onnx", batch="N"), {"image": (2, 3, 8, 8)})
    assert loaded.graph.shapes["image"] == (2, 3, 8, 8)


@pytest.mark.parametrize(("package", "extra", "case"), [("torch", "torch", "program of torch.export"), ("tensorflow", "tf", "saved model")])
def test_a_missing_package_is_named_with_its_extra(package: str, extra: str, case: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    path = FORMATS[case][0](tmp_path)
    with pytest.raises(UnavailableError) as error:
        load(path)
    assert f"pip install 'edgeinfer[{extra}]'" in str(error.value)


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    """Neither torch nor TensorFlow in this process, ever: they run apart."""
    assert {"torch", "tensorflow"}.isdisjoint(sys.modules)
    assert set(CONVERTERS.entries) == {"onnx", "tflite", "torch", "keras"}


def test_an_archive_with_pickled_tensors_is_refused(tmp_path: Path) -> None:
    """torch.export.load would unpickle what the archive's tables mark so."""
    path = tmp_path / "m.pt2"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("m/models/model.json", "{}")
        table = {"config": {"weight": {"path_name": "weight_0", "use_pickle": False}, "odd": {"path_name": "w1", "use_pickle": True}}}
        file.writestr("m/data/weights/model_weights_config.json", json.dumps(table))
    with pytest.raises(ModelError, match="'odd' as a pickle"):
        load(path)


CHILD = """
from pathlib import Path
from edgeinfer.errors import ModelError
from quantize.converters.apart import run_apart

def export(path, out, shapes):
    print("chatter")
    text = path.read_text()
    if text == "bad":
        raise ModelError(path.name, "good", "bad", "make it good")
    if text == "worse":
        raise RuntimeError("first line\\nsecond line")
    if text == "worst":
        import os
        os._exit(9)
    out.write_text(f"{text} {shapes} {Path.cwd().name}")

if __name__ == "__main__":
    run_apart(export)
"""


@pytest.mark.parametrize(("text", "words"), [
    ("bad", ["expected good, got bad", "hint: make it good"]), ("worse", ["RuntimeError: first line"]), ("worst", ["exit code 9"])])
def test_what_a_converter_says_is_the_error(text: str, words: list[str], tmp_path: Path) -> None:
    """Its own ModelError as it is, other exceptions by their first line, a crash by its exit code."""
    (tmp_path / "child.py").write_text(CHILD)
    model = written(tmp_path / "model", text.encode())
    with pytest.raises(ModelError) as error:
        convert("child", model, tmp_path / "out", packages=["numpy"], extra="torch",
                environment={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert all(word in str(error.value) for word in words)


def test_a_converter_works_in_the_scratch_folder(tmp_path: Path) -> None:
    """So that a module of the user's own folder cannot take the place of one that the converter imports."""
    (tmp_path / "child.py").write_text(CHILD)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    convert("child", written(tmp_path / "model", b"good"), scratch / "out", packages=["numpy"], extra="torch", shapes={"x": (1, 2)},
            environment={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert (scratch / "out").read_text() == "good {'x': [1, 2]} scratch"
