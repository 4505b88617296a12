"""Fix the dynamic sides of an .onnx, so that its memory is known before it runs.

Works on the wire format: the sides are rewritten where inputs, outputs and intermediate values state them; all else is
copied. Field numbers: onnx.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from edgeinfer.errors import Fault, ManifestError
from edgeinfer.model.modelfile import ModelFile
from edgeinfer.model.protobuf import Reader

__all__ = ["fix"]

_GRAPH, _VALUES = 7, (11, 12, 13)  # ModelProto.graph; GraphProto.input, output, value_info
_TYPE, _TENSOR, _SHAPE, _DIM = 2, 1, 2, 1  # ValueInfoProto.type, TypeProto.tensor_type, .shape, TensorShapeProto.dim
_DIM_VALUE, _DIM_PARAM = 1, 2


def fix(content: bytes, file: ModelFile, shapes: Mapping[str, Sequence[int]], where: str) -> bytes:
    """The model with its inputs of these ``shapes`` (by name). Raises ManifestError where they do not fit the file."""
    symbols = _symbols(file, shapes)
    return _Rewriter(Reader(where), shapes, symbols).model(memoryview(content))


def _symbols(file: ModelFile, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """What each symbolic side ("N", "batch") stands for, everywhere in the graph."""
    symbols: dict[str, int] = {}
    faults: list[Fault] = []
    inputs = {spec.name: file.symbols.get(spec.name, tuple(map(str, spec.shape))) for spec in file.inputs}
    for name, shape in shapes.items():
        stated = inputs.get(name, ())
        pairs = zip(stated, shape, strict=False)
        if len(stated) != len(shape) or any(old.isdigit() and int(old) != new for old, new in pairs):
            known = "; ".join(f"{input_}={','.join(sides)}" for input_, sides in inputs.items())
            faults.append(Fault(f"--shape {name}", f"an input with its fixed sides: {known}", str(list(shape))))
            continue
        for old, new in zip(stated, shape, strict=True):
            if not old.isdigit() and symbols.setdefault(old, new) != new and old != "?":
                faults.append(Fault(f"--shape {name}", f"{old} = {symbols[old]}, as for another side", str(new)))
    if faults:
        raise ManifestError.of(faults)
    symbols.pop("?", None)  # sides without a symbol have nothing in common
    return symbols


class _Rewriter:
    def __init__(self, reader: Reader, shapes: Mapping[str, Sequence[int]], symbols: Mapping[str, int]) -> None:
        self._reader = reader
        self._shapes = shapes
        self._symbols = symbols

    def model(self, message: memoryview) -> bytes:
        return self._edited(message, {_GRAPH: self._graph})

    def _graph(self, message: memoryview) -> bytes:
        return self._edited(message, dict.fromkeys(_VALUES, self._value))

    def _value(self, message: memoryview) -> bytes:
        name = self._text(message, 1)
        sides = iter(self._shapes.get(name, ()))
        return self._edited(message, {_TYPE: lambda type_: self._edited(type_, {_TENSOR: lambda tensor: self._edited(
            tensor, {_SHAPE: lambda shape: self._edited(shape, {_DIM: lambda side: self._side(side, sides)})})})})

    def _side(self, message: memoryview, sides: Iterator[int]) -> bytes:
        """The side that --shape gives this input, or what its symbol stands for, or the side as it is."""
        length = next(sides, self._symbols.get(self._text(message, _DIM_PARAM)))
        return bytes(message) if length is None else _key(_DIM_VALUE, 0) + _varint(length)

    def _text(self, message: memoryview, wanted: int) -> str:
        return next((self._reader.text(value) for number, value in self._reader.fields(message) if number == wanted), "")

    def _edited(self, message: memoryview, edits: Mapping[int, Callable[[memoryview], bytes]]) -> bytes:
        """The message with some of its fields rewritten. These messages have numbers and nested ones only."""
        parts: list[bytes | memoryview] = []
        for number, value in self._reader.fields(message):
            if isinstance(value, int):
                parts += [_key(number, 0), _varint(value)]
            else:
                content = edits[number](value) if number in edits else value
                parts += [_key(number, 2), _varint(len(content)), content]
        return b"".join(parts)


def _key(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])
