"""The flatbuffer of a .tflite: tensors, buffers and operators, in the order in which they are first used.

Format: tensorflow/compiler/mlir/lite/schema/schema.fbs ("TFL3"), by the classes that ai-edge-litert generates from it. Nothing
depends on the run: the same graph gives the same bytes. Constants that are equal share a buffer; each starts at a multiple of
16 bytes, as the schema asks (``force_align: 16``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeinfer.errors import UnavailableError
from edgeinfer.model.tensor import Array
from quantize.graph import Graph, Node
from quantize.grid import Grid
from quantize.tflite.versions import version

__all__ = ["File"]

_ALIGNMENT = 16


class File:
    """A model of one subgraph, from a graph whose dtypes are the file's. ``tensor`` gives the index of a value, ``operator``
    writes an operator."""

    def __init__(self, graph: Graph, grids: Mapping[str, Grid]) -> None:
        try:
            import flatbuffers
            from ai_edge_litert import schema_py_generated as schema
        except ImportError as error:
            raise UnavailableError(graph.name, "ai-edge-litert, whose schema writes .tflite", str(error),
                                   "pip install 'edgeinfer[quantize]'") from error
        self.graph, self.grids, self.schema = graph, grids, schema
        self._builder = flatbuffers.Builder(1 << 16)
        self.kernels: list[str] = []
        self._subgraph = schema.SubGraphT()
        self._subgraph.name, self._subgraph.tensors, self._subgraph.operators = b"main", [], []
        self._buffers: list[Any] = [_AlignedBuffer(schema)]  # the first is empty, for tensors without data
        self._codes: dict[tuple[str, int], int] = {}
        self._tensors: dict[str, int] = {}
        self._by_content: dict[tuple[Any, ...], int] = {}
        self._subgraph.inputs = [self.tensor(value) for value in graph.inputs]

    def tensor(self, value: str) -> int:
        """The index of a value or constant; -1 for an input that is left out."""
        if not value:
            return -1
        if value not in self._tensors:
            array = self.graph.constants.get(value)
            grid = self.grids.get(value)
            name = value if array is None else ""
            self._tensors[value] = self._add(name, self.graph.shapes[value], self.graph.dtypes[value], array, grid)
        return self._tensors[value]

    def tensors(self, node: Node) -> list[int]:
        """The indices of what a node reads."""
        return [self.tensor(value) for value in node.inputs]

    def integers(self, values: Sequence[int] | Array) -> int:
        """A constant of int32: a shape, axes, paddings."""
        array = np.asarray(values, np.int32)
        return self._add("", array.shape, "int32", array, None)

    def array(self, array: Array, grid: Grid | None = None) -> int:
        """Any other constant."""
        return self._add("", array.shape, array.dtype.name, array, grid)

    def operator(self, name: str, node: Node, inputs: Sequence[int], options: str = "", least: int = 1, **fields: Any) -> None:
        """A node as TFLite's operator ``name``. ``options``: the table of its options, whose ``fields`` are named as in the
        schema; ``least``: the version that they ask for."""
        schema, made = self.schema, self.schema.OperatorT()
        code = (name, version(self.graph, name, node, least))
        made.opcodeIndex = self._codes.setdefault(code, len(self._codes))
        made.inputs, made.outputs = list(inputs), [self.tensor(value) for value in node.outputs]
        if options:
            made.builtinOptions = getattr(schema, f"{options}T")()
            made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            for field, value in fields.items():
                setattr(made.builtinOptions, field, value)
        self._subgraph.operators.append(made)
        self.kernels.append(name)

    def data(self) -> bytes:
        """The file."""
        self._subgraph.outputs = [self.tensor(value) for value in self.graph.outputs]
        model = self.schema.ModelT()
        model.version, model.description = 3, b"edgeinfer quantize"
        model.operatorCodes = [self._code(*code) for code in self._codes]
        model.subgraphs, model.buffers = [self._subgraph], self._buffers
        model.signatureDefs = [self._signature()]
        self._builder.Finish(model.Pack(self._builder), b"TFL3")
        return bytes(self._builder.Output())

    def _add(self, name: str, shape: Sequence[int], dtype: str, array: Array | None, grid: Grid | None) -> int:
        content = None
        if array is not None:
            data = np.ascontiguousarray(array).tobytes()
            scale = () if grid is None else (grid.scale.tobytes(), grid.zero_point.tobytes(), grid.axis)
            content = (data, tuple(shape), dtype, *scale)
            if content in self._by_content:
                return self._by_content[content]
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape = name.encode(), [int(side) for side in shape]
        tensor.type = getattr(self.schema.TensorType, dtype.upper())
        tensor.buffer = 0 if array is None else self._buffer(data)
        if grid is not None:
            tensor.quantization = self._quantization(grid)
        self._subgraph.tensors.append(tensor)
        index = len(self._subgraph.tensors) - 1
        if content is not None:
            self._by_content[content] = index
        return index

    def _buffer(self, data: bytes) -> int:
        key = ("buffer", data)
        if key not in self._by_content:
            self._buffers.append(_AlignedBuffer(self.schema, data))
            self._by_content[key] = len(self._buffers) - 1
        return self._by_content[key]

    def _quantization(self, grid: Grid) -> Any:
        made = self.schema.QuantizationParametersT()
        made.scale = np.asarray(grid.scale, np.float32)
        made.zeroPoint = np.asarray(grid.zero_point, np.int64)
        made.quantizedDimension = grid.axis if grid.axis is not None and grid.scale.size > 1 else 0
        return made

    def _code(self, name: str, version: int) -> Any:
        made = self.schema.OperatorCodeT()
        made.builtinCode = getattr(self.schema.BuiltinOperator, name)
        made.deprecatedBuiltinCode = min(made.builtinCode, 127)  # PLACEHOLDER_FOR_GREATER_OP_CODES
        made.version = version
        return made

    def _signature(self) -> Any:
        made = self.schema.SignatureDefT()
        made.signatureKey, made.subgraphIndex = b"serving_default", 0
        made.inputs = [self._named(value) for value in self.graph.inputs]
        made.outputs = [self._named(value) for value in self.graph.outputs]
        return made

    def _named(self, value: str) -> Any:
        made = self.schema.TensorMapT()
        made.name, made.tensorIndex = value.encode(), self.tensor(value)
        return made


class _AlignedBuffer:
    """A buffer that packs itself to where a processor reads it fastest; the generated class aligns to one byte."""

    def __init__(self, schema: Any, data: bytes = b"") -> None:
        self._schema, self._data = schema, data

    def Pack(self, builder: Any) -> int:  # noqa: N802  the name by which generated classes call it
        data = None
        if self._data:
            builder.Prep(_ALIGNMENT, len(self._data))
            data = builder.CreateNumpyVector(np.frombuffer(self._data, np.uint8))
        self._schema.BufferStart(builder)
        if data is not None:
            self._schema.BufferAddData(builder, data)
        place: int = self._schema.BufferEnd(builder)
        return place
