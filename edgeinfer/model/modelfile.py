"""What a .tflite or .onnx file says of itself, read without the runtimes and without their schemas.

Nothing in the file is trusted: sizes and offsets are checked before they are followed, so that a damaged or hostile file
gives a ModelError here instead of a crash in a runtime's parser.
"""

from __future__ import annotations

import mmap
import stat
from pathlib import Path

from edgeinfer.errors import ModelError
from edgeinfer.model import onnxfile, tflitefile
from edgeinfer.model.modelfacts import ModelFile
from edgeinfer.model.tflite_schema import IDENTIFIER

__all__ = ["ModelFile", "describe"]

_NOT_MODELS = (  # how files begin that are often taken for a model
    (b"PK\x03\x04", "a zip archive (a PyTorch or Keras file?)",
     "export it first: torch.onnx.export(model, inputs, 'model.onnx')"),
    (b"\x89HDF", "an HDF5 file (a Keras .h5?)", "convert it first: tf.lite.TFLiteConverter.from_keras_model(model)"),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file that it points to: git lfs pull"),
    (b"<", "a web page", "download the file itself, not the page that shows it"),
)


def describe(path: Path, format: str = "") -> ModelFile:
    """Read the file, as ``format`` ("tflite", "onnx") or as what its first bytes say.

    Raises ModelError (where=the file's name) for a file that cannot be read or is no whole model of that format.
    """
    try:
        if not path.is_dir() and not stat.S_ISREG(path.stat().st_mode):  # opening a FIFO would wait for a writer
            raise ModelError(path.name, "a model file", "something else than a file", f"ls -l {path}")
        with path.open("rb") as file:
            if file.seek(0, 2) == 0:
                raise ModelError(path.name, "a model file", "an empty file", "copy the file anew: it did not arrive")
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ModelError(path.name, "a readable model file", error.strerror or str(error), f"ls -l {path}") from error
    view = memoryview(content)  # the mapping goes when nobody looks at it any more, an error's traceback included
    wanted = format or ("tflite" if bytes(view[4:8]) == IDENTIFIER or path.suffix == ".tflite" else "onnx")
    _check_first_bytes(view, path.name, wanted)
    return tflitefile.read(view, path.name) if wanted == "tflite" else onnxfile.read(view, path.name)


def _check_first_bytes(view: memoryview, where: str, format: str) -> None:
    """ONNX has no magic number; its first field is ir_version, the number 1, in files of every known writer."""
    head = bytes(view[:32])
    if head[4:8] == IDENTIFIER if format == "tflite" else head[0] == 0x08:
        return
    expected = "a TFLite flatbuffer ('TFL3' at byte 4)" if format == "tflite" else "an ONNX protobuf (ir_version first)"
    for start, got, hint in _NOT_MODELS:
        if head.startswith(start):
            raise ModelError(where, expected, got, hint)
    if head[4:8] == IDENTIFIER:
        raise ModelError(where, expected, "a TFLite flatbuffer", "name it *.tflite and set the format to tflite")
    raise ModelError(where, expected, repr(head[:8])[1:], "copy the model file anew: it is damaged or another format")
