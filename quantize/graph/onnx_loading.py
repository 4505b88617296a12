"""An ONNX file as its protobuf, or the one reason why it cannot be quantised, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import onnx
from onnx import ModelProto, NodeProto

from edgeinfer.errors import ModelError

__all__ = ["LEAST_OPSET", "check", "checked", "load", "node_name", "opset_of", "refuse"]

LEAST_OPSET = 7  # the first with numpy's broadcasting, and the first that ONNX Runtime runs
_MOST_BYTES = 2**31 - 1  # of one protobuf message
_DOMAINS = ("", "ai.onnx")
_QUANTIZED = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "QLinearConv",
              "QLinearMatMul"}
_CONTROL = {"Loop", "Scan"}  # an If by a constant is a part of the network
_NOT_TENSORS = ("Sequence", "SplitToSequence", "ConcatFromSequence", "Optional", "String", "TfIdf", "ImageDecoder",
                "RegexFullMatch")


def load(path: Path) -> ModelProto:
    """The model with external data loaded, local functions inlined and every node an operator of ONNX on tensors.

    Raises ModelError: the file is not ONNX or is cut off, external data is missing, the operator set is older than 7, or a
    node is of another domain, a loop, on sequences, or quantised already.
    """
    return checked(_parse(path), path.name)


def checked(model: ModelProto, where: str) -> ModelProto:
    """The model with local functions inlined, once its operators are known to be those that ``load`` promises."""
    opset = opset_of(model, where)
    if opset < LEAST_OPSET:
        refuse(where, f"operator set {LEAST_OPSET} or newer", f"operator set {opset}",
               f"export the model again, or run: python -c \"import onnx; from onnx import version_converter as v; "
               f"onnx.save(v.convert_version(onnx.load('{where}'), 13), 'newer.onnx')\"")
    newest = onnx.defs.onnx_opset_version()
    if opset > newest:
        refuse(where, f"an operator set up to {newest}, which this onnx package knows", f"operator set {opset}",
               "pip install --upgrade onnx onnxruntime, or export the model with opset_version=18")
    if model.functions:
        model = _inlined(model, where)
    for node in model.graph.node:
        check(node, opset, where)
    return model


def opset_of(model: ModelProto, where: str) -> int:
    """The version of the standard operators; 1 where the file says none, as the format defines."""
    versions = [entry.version for entry in model.opset_import if entry.domain in _DOMAINS]
    if not versions and model.graph.node:
        refuse(where, "an ONNX model that says its operator set", "none for the domain ai.onnx", "export the model again")
    return int(max(versions, default=1))


def node_name(node: NodeProto) -> str:
    """How messages name a node: its operator and its first output."""
    return f"{node.op_type} '{next((name for name in node.output if name), node.name)}'"


def refuse(where: str, expected: str, got: str, hint: str = "") -> NoReturn:
    """Raise ModelError."""
    raise ModelError(where, expected, got, hint)


def _parse(path: Path) -> ModelProto:
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= _MOST_BYTES else b""
    except OSError as error:
        raise ModelError(str(path), "an ONNX file that can be read", error.strerror or str(error)) from error
    if size > _MOST_BYTES:
        refuse(path.name, "an ONNX file below 2 GiB", f"{size} bytes", "a model of this size is not for a small board")
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's DecodeError, and ValueError for text that is not UTF-8
        raise ModelError(path.name, "an ONNX model", "bytes that are not one, or a file that is cut off",
                         "copy the file again and compare its size with the original") from error
    if not model.graph.node:
        refuse(path.name, "an ONNX model with nodes", "none" if model.ir_version else "bytes of another kind",
               "copy the file again and compare its size with the original")
    if not all(isinstance(name, str) for name in _names(model.graph)):
        refuse(path.name, "names that are text", "bytes that are none", "copy the file again, or export the model again")
    _load_external(model, path)
    return model


def _names(graph: Any) -> Iterator[Any]:
    """Everything that is called something. What is not UTF-8 comes as bytes."""
    yield from (value.name for value in [*graph.input, *graph.output, *graph.initializer])
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield attribute.name
            if attribute.HasField("g"):
                yield from _names(attribute.g)


def _load_external(model: ModelProto, path: Path) -> None:
    files = {entry.value for tensor in _tensors(model) for entry in tensor.external_data if entry.key == "location"}
    try:
        onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        listed = ", ".join(sorted(files))
        raise ModelError(path.name, f"its weights in the file {listed} beside it", " ".join(str(error).split())[:200],
                         f"copy {listed} into the folder of {path.name}") from error


def _tensors(model: ModelProto) -> Iterator[Any]:
    yield from model.graph.initializer
    for node in model.graph.node:
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))


def _inlined(model: ModelProto, where: str) -> ModelProto:
    """The model without functions of its own: every call is the function's nodes."""
    import onnx.inliner
    try:
        return onnx.inliner.inline_local_functions(model, True)
    except Exception as error:  # the C++ inliner raises RuntimeError and classes of its own
        raise ModelError(where, "functions that can be inlined", " ".join(str(error).split())[:200],
                         "export the model without local functions") from error


def check(node: NodeProto, opset: int, where: str) -> None:
    """Refuse a node that is no operator of ONNX on tensors. Raises ModelError."""
    op, place = node.op_type, f"{where}: {node_name(node)}"
    if op in _QUANTIZED or op.startswith("QLinear"):
        refuse(place, "a float model", "one that is quantised already", "give the float model that this one was made from")
    if node.domain not in _DOMAINS:
        hint = ("save the model without ONNX Runtime's optimisations, or give the model that they were made from"
                if node.domain.startswith("com.microsoft") else "export the model with standard operators only")
        refuse(place, "an operator of the ONNX standard", f"one of the domain '{node.domain}'", hint)
    if op in _CONTROL:
        refuse(place, "a network without loops", f"the control flow operator {op}",
               "export the model with torch.jit.trace or torch.onnx.export of its eager form, so that loops are unrolled")
    if op.startswith(_NOT_TENSORS):
        refuse(place, "operators on tensors of numbers", "one on sequences, optional values or text",
               "cut the model before this node; do that work outside it")
    if not onnx.defs.has(op) or _schema(op, opset) is None:
        refuse(place, f"an operator of ONNX's set {opset}", "an operator that it does not have", "export the model again")
    if op != "If":  # whose branches are looked at once one is taken
        _check_form(node, opset, place)


def _check_form(node: NodeProto, opset: int, place: str) -> None:
    """Numbers of inputs and outputs, attributes and their types."""
    context = onnx.checker.C.CheckerContext()
    context.ir_version, context.opset_imports = 10, {"": opset}
    try:
        onnx.checker.check_node(node, context)
    except onnx.checker.ValidationError as error:
        refuse(place, "inputs and attributes that fit the operator", " ".join(str(error).split())[:300],
               "check the model with onnx.checker, and export it again")


def _schema(op: str, opset: int) -> Any:
    try:
        return onnx.defs.get_schema(op, opset)
    except onnx.defs.SchemaError:
        return None
