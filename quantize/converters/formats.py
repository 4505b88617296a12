"""What a model file is, by its bytes first: suffixes are given freely. No file is unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path

from edgeinfer.errors import ModelError
from edgeinfer.model.tflite_schema import IDENTIFIER

__all__ = ["format_of"]

_EXPORT = "torch.export.save(torch.export.export(model.eval(), (torch.zeros(1, 3, 224, 224),)), 'model.pt2')"
_HDF5 = b"\x89HDF\r\n\x1a\n"


def format_of(path: Path) -> str:
    """The name of the converter: "onnx", "tflite", "torch" or "keras".

    Raises ModelError for what cannot be one, pickled PyTorch files among them: to unpickle is to run what is in the file.
    What has no mark of its own is taken for ONNX, whose reader says what is wrong with it.
    """
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "keras"
        raise ModelError(path.name, "a model file, or a SavedModel folder with saved_model.pb in it", "another folder",
                         f"ls {path}")
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise ModelError(path.name, "a readable model file", error.strerror or str(error), f"ls -l {path}") from error
    if head[4:8] == IDENTIFIER:
        return "tflite"
    if head.startswith(_HDF5):
        return "keras"
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise ModelError(path.name, "a model", "a pickle, which would run what is in it", f"save it thus: {_EXPORT}")
    return "tflite" if path.suffix == ".tflite" else "onnx"


def _archive(path: Path) -> str:
    """Of a zip file. A .pt2 has models/*.json in a folder of any name; of old, serialized_exported_program.json."""
    try:
        names = zipfile.ZipFile(path).namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(path.name, "a whole archive", str(error), "copy the model file anew: it is truncated") from error
    if "config.json" in names and "model.weights.h5" in names:
        return "keras"
    inner = {name.partition("/")[2] for name in names}.union(names)
    if any(name == "serialized_exported_program.json" or (name.startswith("models/") and name.endswith(".json"))
           for name in inner):
        return "torch"
    if any(name.startswith("code/") for name in inner):
        raise ModelError(path.name, "a program that torch.export made", "TorchScript",
                         f"save the model that it was made from thus: {_EXPORT}")
    if "data.pkl" in inner:
        raise ModelError(path.name, "a program that torch.export made",
                         "a pickled PyTorch file: weights without a network, or one that would run what is in it",
                         f"load it where it was trained and save it thus: {_EXPORT}")
    raise ModelError(path.name, "a model: .onnx, .tflite, .pt2, .keras, .h5 or a SavedModel folder",
                     "an archive of other files", f"unzip -l {path}")
