"""From an ONNX protobuf to a graph whose sides are all numbers and in which everything that is constant is a constant.

One pass in the order of the nodes. With the sides of the inputs fixed, ``Shape`` of any value is a constant, so is what
depends on it, and so are the sizes that Reshape, Slice or Resize take: the shape arithmetic of exporters goes away. Shapes
come from the operators' own inference rules (onnx.shape_inference); where these are silent the one node is run. float16,
bfloat16 and float64 become float32 throughout. Nodes keep the operator set of the file; ``canonical`` evens that out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeinfer.model.tensor import Array
from quantize.graph import Graph, Node
from quantize.graph.execute import run_model
from quantize.graph.onnx_loading import check, node_name, opset_of, refuse

__all__ = ["with_shapes"]

Shapes = Mapping[str, tuple[int, ...]]

_FLOATS = {TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
_TYPES = set(helper.get_all_tensor_dtypes()) - {TensorProto.STRING}
_DTYPES = {"to", "dtype"}  # attributes that hold a type
_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
_BY_DATA = {"NonZero", "NonMaxSuppression", "Unique", "Compress"}  # the size of what they make depends on the numbers
_SIZES = {"Reshape", "Expand", "Slice", "Tile", "Range", "Resize", "Upsample", "TopK", "Pad", "ConstantOfShape", "OneHot",
          "Squeeze", "Unsqueeze", "Split", "CenterCropPad", "MaxUnpool", "Col2Im", "AffineGrid", "BlackmanWindow"}
_WINDOWS = {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool"}
_MOST_NUMBERS = 2**28  # of a constant that is computed: 1 GiB
_KNOWN_UP_TO = 4096  # numbers of a constant that inference rules look at; sizes and axes, never weights
_DATA_HINT = "export the model up to this node (for a detector: without NMS) and do the rest outside it"


def with_shapes(model: ModelProto, where: str, shapes: Shapes) -> Graph:
    """The graph of ``model`` as its file has it, constants folded. ``shapes``: sides of inputs by name, where the file
    leaves them open. Raises ModelError with ``where`` (the file's name) and the node or input."""
    return _Pass(model, where, shapes).graph


class _Pass:
    def __init__(self, model: ModelProto, where: str, shapes: Shapes) -> None:
        self._where = where
        self._opset = opset_of(model, where)
        self._opsets = [helper.make_opsetid("", self._opset)]
        self._names: dict[str, str] = {}  # what the values of a branch are called outside of it
        proto = model.graph
        self.graph = Graph(proto.name or "graph", [], [value.name for value in proto.output], [], {}, {}, {})
        for tensor in proto.initializer:
            self._constant(tensor.name, _array(tensor, where))
        for value in proto.sparse_initializer:
            refuse(f"{where}: '{value.values.name}'", "dense weights", "sparse ones", "export the model with dense weights")
        self._inputs([value for value in proto.input if value.name not in self.graph.constants], shapes)
        for node in proto.node:
            self._node(node)
        for name in self.graph.outputs:
            if name not in self.graph.shapes:
                refuse(f"{where}: output '{name}'", "an output that a node makes", "none does", "export the model again")
        self.graph.remove_unused()

    def _inputs(self, values: Sequence[Any], shapes: Shapes) -> None:
        for name in sorted(set(shapes) - {value.name for value in values}):
            known = ", ".join(value.name for value in values)
            refuse(f"{self._where}: --shape {name}", f"the name of an input ({known})", f"'{name}'",
                   f"--shape {values[0].name}=1,3,224,224" if values else "")
        for value in values:
            if not value.type.HasField("tensor_type") or value.type.tensor_type.elem_type == TensorProto.STRING:
                refuse(f"{self._where}: input '{value.name}'", "a tensor of numbers", "another kind of value",
                       "export the model with tensors as inputs only")
            kind = value.type.tensor_type
            self.graph.inputs.append(value.name)
            self.graph.shapes[value.name] = self._sides(value.name, kind, shapes.get(value.name))
            self.graph.dtypes[value.name] = _dtype(_wide(kind.elem_type), f"{self._where}: input '{value.name}'")

    def _sides(self, name: str, kind: Any, given: tuple[int, ...] | None) -> tuple[int, ...]:
        sides = [side.dim_value if side.HasField("dim_value") and side.dim_value > 0 else None for side in kind.shape.dim]
        text = ",".join(str(side or (1 if place == 0 else side_name(kind.shape.dim[place])))
                        for place, side in enumerate(sides))
        where = f"{self._where}: input '{name}'"
        if given is not None:
            fits = not kind.HasField("shape") or (len(given) == len(sides) and all(
                side in (None, wanted) for side, wanted in zip(sides, given, strict=True)))
            if not fits or any(side < 1 for side in given):
                refuse(where, f"sides that fit {text}", ",".join(map(str, given)),
                       "give --shape only for sides that the file leaves open")
            return tuple(given)
        if not kind.HasField("shape"):
            refuse(where, "an input of known rank", "one without a shape", f"say it: --shape {name}=1,3,224,224")
        if sides and sides[0] is None:
            sides[0] = 1  # the batch
        if None in sides:
            example = ",".join(str(side or 224) for side in sides)
            refuse(where, "fixed sides", text, f"say them, for example: --shape {name}={example}")
        return tuple(side for side in sides if side)

    def _node(self, proto: NodeProto) -> None:
        graph, node = self.graph, _widened(proto, self._names, self._where)
        for name in node.input:
            if name and name not in graph.shapes:
                refuse(self._place(node), "inputs that come before it", f"'{name}', which nothing makes",
                       "check the model with onnx.checker, and export it again")
        if node.op_type == "Constant":
            self._constant(node.output[0], self._constant_value(node))
        elif node.op_type in ("Shape", "Size"):
            self._shape(node)
        elif node.op_type == "If":
            self._branch(node)
        elif self._foldable(node):
            self._fold(node)
        else:
            self._append(node)

    def _foldable(self, node: NodeProto) -> bool:
        """Whether it depends on constants only; of CastLike the second input is but a type."""
        inputs = node.input[:1] if node.op_type == "CastLike" else node.input
        return node.op_type not in _RANDOM and all(not name or name in self.graph.constants for name in inputs)

    def _fold(self, node: NodeProto) -> None:
        if node.op_type in _SIZES:
            for shape, _ in self._types(node):
                if np.prod(shape, dtype=np.float64) > _MOST_NUMBERS:
                    refuse(self._place(node), f"constants of up to {_MOST_NUMBERS} numbers", f"one of the sides {shape}",
                           _DATA_HINT)
        for name, array in zip(node.output, self._run(node), strict=True):
            if name:
                self._constant(name, _float32(array))

    def _branch(self, node: NodeProto) -> None:
        """The nodes of the branch that a constant condition takes. Their names are unique in the branch only."""
        condition = self.graph.constants.get(node.input[0])
        if condition is None:
            refuse(self._place(node), "a network without branches", "an If whose condition is computed from data",
                   "export the model without control flow (torch.onnx.export of a model whose forward has no if on values)")
        wanted = "then_branch" if condition.reshape(-1)[0] else "else_branch"
        branch = next(attribute.g for attribute in node.attribute if attribute.name == wanted)
        outside, self._names = self._names, dict(self._names)
        for tensor in branch.initializer:
            self._names[tensor.name] = f"{node.output[0]}/{tensor.name}"
            self._constant(self._names[tensor.name], _array(tensor, self._where))
        for inner in branch.node:
            check(inner, self._opset, self._where)
            self._names.update({name: f"{node.output[0]}/{name}" for name in inner.output if name})
            self._node(inner)
        made = [self._names.get(value.name, value.name) for value in branch.output]
        self._names = outside
        for value, output in zip(made, node.output, strict=True):
            self._node(helper.make_node("Identity", [value], [output]))

    def _append(self, proto: NodeProto) -> None:
        types = self._types(proto)
        while proto.output and not proto.output[-1]:
            del proto.output[-1]
        attributes = {attribute.name: _value(attribute, self._place(proto)) for attribute in proto.attribute}
        node = Node(proto.op_type, list(proto.input), list(proto.output), attributes)
        for place, (name, (shape, dtype)) in enumerate(zip(node.outputs, types, strict=False)):
            empty = any(side < 1 for side in shape) and name
            if empty and node.op in _WINDOWS:
                refuse(self._place(proto), "a window that fits into its input", f"an output of the sides {shape}",
                       "give larger sides with --shape, or correct the model")
            if any(side > _MOST_NUMBERS for side in shape):
                refuse(self._place(proto), f"sides of up to {_MOST_NUMBERS}", f"an output of the sides {shape}", _DATA_HINT)
            if empty:  # nothing is in it: a constant, whatever the data
                self._constant(name, np.zeros([max(side, 0) for side in shape], dtype))
            unread = empty or not name
            node.outputs[place] = self.graph.add_value(f"{node_name(proto)}/{place}" if unread else name, shape, dtype)
        while node.inputs and not node.inputs[-1]:
            del node.inputs[-1]
        self.graph.nodes.append(node)

    def _place(self, node: NodeProto) -> str:
        return f"{self._where}: {node_name(node)}"

    def _types(self, node: NodeProto) -> list[tuple[tuple[int, ...], str]]:
        """Shape and dtype of each output."""
        place = self._place(node)
        if node.op_type in _BY_DATA:
            refuse(place, "sizes that do not depend on data", f"{node.op_type}, whose output has any size", _DATA_HINT)
        if node.op_type in _WINDOWS and _rounds(node):
            return self._ran(node, place)
        inferred = self._inferred(node, place)
        found: list[tuple[tuple[int, ...], str]] = []
        for name in node.output:
            kind = inferred[name].tensor_type if name in inferred else None
            if kind is None or not kind.HasField("shape") or not all(side.HasField("dim_value") for side in kind.shape.dim):
                return self._ran(node, place)
            shape = tuple(side.dim_value for side in kind.shape.dim)
            found.append((shape, _dtype(kind.elem_type, place)))
        return found

    def _inferred(self, node: NodeProto, place: str) -> dict[str, Any]:
        graph = self.graph
        names = [name for name in dict.fromkeys(node.input) if name]
        types = {name: helper.make_tensor_type_proto(_elem_type(graph.dtypes[name]), graph.shapes[name]) for name in names}
        small = {name: numpy_helper.from_array(graph.constants[name], name) for name in names
                 if name in graph.constants and graph.constants[name].size <= _KNOWN_UP_TO}
        schema = onnx.defs.get_schema(node.op_type, self._opset)
        try:
            return onnx.shape_inference.infer_node_outputs(schema, node, types, small, opset_imports=self._opsets,
                                                           ir_version=10)
        except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, ValueError) as error:
            refuse(place, "inputs that fit the operator", " ".join(str(error).split())[:300],
                   "check the model with onnx.checker, and --shape if you gave it")

    def _ran(self, node: NodeProto, place: str) -> list[tuple[tuple[int, ...], str]]:
        if node.op_type in _SIZES and any(name and name not in self.graph.constants for name in node.input[1:]):
            refuse(place, "sizes that do not depend on data", f"{node.op_type} by a size that is computed from data",
                   _DATA_HINT)
        return [(tuple(array.shape), array.dtype.name) if name else ((), "float32")
                for name, array in zip(node.output, self._run(node), strict=True)]

    def _run(self, node: NodeProto) -> list[Array]:
        """What the one node makes, of its constants and of zeros in place of what varies; an empty array for no output."""
        graph, names = self.graph, [name for name in dict.fromkeys(node.input) if name]
        arrays = {name: graph.constants.get(name, np.zeros(graph.shapes[name], graph.dtypes[name])) for name in names}
        values = [helper.make_tensor_value_info(name, _elem_type(array.dtype.name), array.shape)
                  for name, array in arrays.items()]
        wanted = [name for name in node.output if name]
        proto = helper.make_graph([node], "one node", values, [onnx.ValueInfoProto(name=name) for name in wanted])
        model = helper.make_model(proto, opset_imports=self._opsets, ir_version=10)
        made = run_model(model, arrays, wanted, self._place(node))
        return [made[name] if name else np.zeros(0, np.float32) for name in node.output]

    def _constant(self, name: str, array: Array) -> None:
        self.graph.constants[name] = array
        self.graph.shapes[name], self.graph.dtypes[name] = tuple(array.shape), array.dtype.name

    def _constant_value(self, node: NodeProto) -> Array:
        attribute = node.attribute[0]
        value = _value(attribute, self._place(node))
        if isinstance(value, np.ndarray):
            return value
        if attribute.name.startswith(("value_int", "value_float")):
            return np.array(value, np.int64 if "int" in attribute.name else np.float32)
        refuse(self._place(node), "a dense constant of numbers", f"a {attribute.name}", "export the model again")

    def _shape(self, node: NodeProto) -> None:
        shape = self.graph.shapes[node.input[0]]
        if node.op_type == "Size":
            self._constant(node.output[0], np.array(int(np.prod(shape, dtype=np.int64))))
            return
        limits = {attribute.name: attribute.i for attribute in node.attribute}
        start, end = limits.get("start", 0), limits.get("end", len(shape))
        self._constant(node.output[0], np.array(shape[start:end], np.int64))


def _rounds(node: NodeProto) -> bool:
    """Whether its size is one about which inference rules and ONNX Runtime do not agree."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    same = "auto_pad" in attributes and attributes["auto_pad"].s.startswith(b"SAME")
    if node.op_type == "ConvTranspose":
        return same or "output_shape" in attributes
    return "ceil_mode" in attributes and not same


def side_name(side: Any) -> str:
    """The name of an open side, or a question mark."""
    return str(side.dim_param or "?")


def _wide(elem_type: int) -> int:
    return int(TensorProto.FLOAT) if elem_type in _FLOATS else elem_type


def _dtype(elem_type: int, place: str) -> str:
    """numpy's name of an ONNX type."""
    if elem_type not in _TYPES:
        refuse(place, "numbers of a type that ONNX and numpy know", f"type {elem_type}", "export the model in float32")
    return str(np.dtype(helper.tensor_dtype_to_np_dtype(elem_type)).name)


def _elem_type(dtype: str) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _widened(proto: NodeProto, names: Mapping[str, str], where: str) -> NodeProto:
    """A copy of a node that makes float32 where it made float16, bfloat16 or float64; values renamed by ``names``."""
    node = NodeProto()
    node.CopyFrom(proto)
    node.input[:] = [names.get(name, name) for name in proto.input]
    node.output[:] = [names.get(name, name) for name in proto.output]
    for attribute in node.attribute:
        if attribute.name in _DTYPES and attribute.type == onnx.AttributeProto.INT:
            attribute.i = _wide(attribute.i)
        if attribute.HasField("t") and attribute.t.data_type in _FLOATS:
            attribute.t.CopyFrom(numpy_helper.from_array(_array(attribute.t, f"{where}: {node_name(proto)}")))
    return node


def _float32(array: Array) -> Array:
    wide = array.dtype.name in ("float16", "bfloat16", "float64")
    with np.errstate(over="ignore"):  # what becomes infinite is refused later, by its name
        return np.ascontiguousarray(array, np.float32 if wide else array.dtype).reshape(array.shape)


def _array(tensor: TensorProto, where: str) -> Array:
    """The numbers of a tensor, float32 where they were of another float type."""
    try:
        return _float32(np.asarray(numpy_helper.to_array(tensor)))
    except (ValueError, TypeError, KeyError) as error:
        refuse(f"{where}: '{tensor.name}'", f"weights of the sides {tuple(tensor.dims)}", " ".join(str(error).split())[:200],
               "copy the file again and compare its size with the original")


def _value(attribute: Any, where: str) -> Any:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        return _array(value, where)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, list | tuple) or hasattr(value, "append"):
        return [entry.decode(errors="replace") if isinstance(entry, bytes) else entry for entry in value]
    return value
