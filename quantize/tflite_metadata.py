"""What a .tflite says of itself beyond its tensors.

    TFLITE_METADATA    a buffer with a flatbuffer of its own ("M001"; schema: tensorflow/lite/support/metadata_schema.fbs):
                       normalisation, colour space, and the names of associated files
    associated files   label files in a zip archive appended to the model
    metadata.json, temp_meta.txt    in that archive: Ultralytics' export
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from edgeinfer.errors import ModelError
from edgeinfer.model import tflite_schema as schema
from edgeinfer.model.bundle import lines
from edgeinfer.model.flatbuffer import Flatbuffer, Table
from quantize import ultralytics
from quantize.facts import Learnt

__all__ = ["quantised_tensors", "read"]

_MOST_BYTES = 4 << 20  # of a label file
_IMAGE_PROPERTIES, _NORMALIZATION = 2, 1  # members of the unions ContentProperties and ProcessUnitOptions
_COLOURS = {1: "RGB", 2: "GREY"}  # ColorSpaceType
_LABEL_FILES = (2, 3)  # AssociatedFileType TENSOR_AXIS_LABELS and TENSOR_VALUE_LABELS


class _ModelMetadata:
    SUBGRAPHS = 3


class _SubGraphMetadata:
    INPUTS, OUTPUTS = 2, 3


class _TensorMetadata:
    CONTENT, PROCESS_UNITS, ASSOCIATED_FILES = 3, 4, 6


def read(path: Path) -> Learnt:
    """Facts of the first input, and the labels of an output. Raises ModelError for metadata that is damaged."""
    files = _associated_files(path)
    for name in ("metadata.json", "temp_meta.txt"):
        if name in files:
            learnt = ultralytics.read(_text(files[name], f"{path.name}: {name}"), f"{path.name}: {name}")
            if learnt.source:
                return learnt
    metadata = _metadata(path)
    graphs = metadata.tables(_ModelMetadata.SUBGRAPHS) if metadata is not None else []
    if not graphs:
        return Learnt()
    learnt = Learnt("TFLite metadata")
    for tensor in graphs[0].tables(_SubGraphMetadata.INPUTS)[:1]:
        learnt.preprocess = dict(_preprocess(tensor))
    for name in _label_files(graphs[0]):
        if name in files:
            learnt.labels = lines(_text(files[name], f"{path.name}: {name}"))
            break
    return learnt


def quantised_tensors(path: Path) -> int:
    """How many tensors of the first subgraph are quantised integers of 8 or 16 bits."""
    model = Flatbuffer(memoryview(path.read_bytes()), path.name).root()
    kinds = [schema.TENSOR_TYPES.index(name) for name in ("uint8", "int8", "int16")]
    tensors = model.tables(schema.Model.SUBGRAPHS)[0].tables(schema.SubGraph.TENSORS)
    return sum(tensor.number(schema.Tensor.TYPE, "b") in kinds for tensor in tensors)


def _metadata(path: Path) -> Table | None:
    content = memoryview(path.read_bytes())
    model = Flatbuffer(content, path.name).root()
    buffers = model.tables(schema.Model.BUFFERS)
    for entry in model.tables(schema.Model.METADATA):
        index = entry.number(schema.Metadata.BUFFER, "I")
        if entry.text(schema.Metadata.NAME) == "TFLITE_METADATA" and index < len(buffers):
            start, size = buffers[index].extent(schema.Buffer.DATA, 1)
            return Flatbuffer(content[start:start + size], f"{path.name}: TFLITE_METADATA").root()
    return None


def _preprocess(tensor: Table) -> Iterator[tuple[str, object]]:
    content = tensor.table(_TensorMetadata.CONTENT)
    if content is not None and content.number(0, "B") == _IMAGE_PROPERTIES:
        image = content.table(1)
        colour = _COLOURS.get(image.number(0, "b")) if image is not None else None
        if colour:
            yield "colour", colour
    for unit in tensor.tables(_TensorMetadata.PROCESS_UNITS):
        options = unit.table(1) if unit.number(0, "B") == _NORMALIZATION else None
        if options is not None:
            yield "mean", tuple(map(float, options.numbers(0, "f")))
            yield "std", tuple(map(float, options.numbers(1, "f")))


def _label_files(graph: Table) -> Iterator[str]:
    for tensor in graph.tables(_SubGraphMetadata.OUTPUTS):
        for file in tensor.tables(_TensorMetadata.ASSOCIATED_FILES):
            if file.number(2, "b") in _LABEL_FILES:
                yield file.text(0)


def _associated_files(path: Path) -> dict[str, bytes]:
    """The files of the appended archive; none where there is no archive."""
    if not zipfile.is_zipfile(path):
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info for info in archive.infolist() if info.file_size <= _MOST_BYTES][:16]
            return {info.filename: _first_bytes(archive, info) for info in names}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        raise ModelError(path.name, "an appended zip archive of label files", str(error)[:200],
                         "convert the model anew, or give --labels FILE with a model without metadata") from error


def _first_bytes(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as stream:
        return stream.read(_MOST_BYTES)


def _text(content: bytes, where: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ModelError(where, "UTF-8", str(error), "give the labels in UTF-8: --labels FILE") from error
