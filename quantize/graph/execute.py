"""Graphs run by ONNX Runtime on the CPU, with any of their values as outputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, ValueInfoProto

from edgeinfer.errors import ModelError, UnavailableError
from edgeinfer.model.tensor import Array
from quantize.graph import Graph, Node

__all__ = ["ModelRunner", "Runner", "Walk", "run_model"]


_NOT_OURS = ["WeightBiasQuantization"]  # it rounds weights that were left float on purpose; the device runs without it, too


class Runner:
    """A graph in a session. Without ``outputs`` those of the graph. ``optimize``: with ONNX Runtime's own fusions."""

    def __init__(self, graph: Graph, outputs: Sequence[str] | None = None, threads: int = 2, optimize: bool = True) -> None:
        from quantize.graph.onnx_writer import write
        self.outputs = list(graph.outputs if outputs is None else outputs)
        self._name = graph.name
        self._session = _session(write(graph, self.outputs), self._name, threads, optimize)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name. Raises ModelError."""
        return _run(self._session, feeds, self.outputs, self._name)


class Walk:
    """A graph in several sessions, one after the other, so that many of its values can be seen in bounded memory: each piece
    makes about ``most_bytes`` of values, and a value is gone once no later piece reads it."""

    def __init__(self, graph: Graph, values: Sequence[str], threads: int = 2, most_bytes: int = 64 << 20) -> None:
        self._wanted = dict.fromkeys(values)
        pieces = [_piece(graph, nodes, self._wanted) for nodes in _cut(graph, most_bytes)]
        pieces = [piece for piece in pieces if piece.outputs]
        self._last = {value: place for place, piece in enumerate(pieces) for value in piece.inputs}
        self._pieces = [(piece.inputs, Runner(piece, threads=threads)) for piece in pieces]

    def run(self, feeds: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
        """(name, array) of each value in the order in which they are computed, inputs first. Raises ModelError."""
        live = dict(feeds)
        yield from ((value, array) for value, array in feeds.items() if value in self._wanted)
        for place, (inputs, runner) in enumerate(self._pieces):
            made = runner.run({value: live[value] for value in inputs})
            live = {value: array for value, array in {**live, **made}.items() if self._last.get(value, -1) > place}
            yield from ((value, array) for value, array in made.items() if value in self._wanted)
            del made


def _cut(graph: Graph, most_bytes: int) -> list[list[Node]]:
    """The nodes in order, in pieces whose outputs have ``most_bytes`` or are of one node."""
    pieces: list[list[Node]] = [[]]
    room = most_bytes
    for node in graph.nodes:
        size = sum(math.prod(graph.shapes[value]) * np.dtype(graph.dtypes[value]).itemsize for value in node.outputs)
        if size > room and pieces[-1]:
            pieces.append([])
            room = most_bytes
        pieces[-1].append(node)
        room -= size
    return pieces


def _piece(graph: Graph, nodes: Sequence[Node], wanted: Mapping[str, None]) -> Graph:
    """Some nodes as a graph: it takes what they read from others, it gives what is wanted or read by others."""
    made = {value for node in nodes for value in node.outputs}
    inputs = dict.fromkeys(value for node in nodes for value in node.inputs
                           if value and value not in made and not graph.is_constant(value))
    others = {value for node in graph.nodes for value in node.inputs if not made.intersection(node.outputs)}
    outputs = [value for node in nodes for value in node.outputs if value in wanted or value in others]
    return Graph(graph.name, list(inputs), outputs, list(nodes), graph.constants, graph.shapes, graph.dtypes)


class ModelRunner:
    """An ONNX model as it is, quantised ones too, with any of its values as outputs."""

    def __init__(self, model: ModelProto, outputs: Sequence[str], where: str, threads: int = 2) -> None:
        """Raises ModelError where it does not load."""
        self._outputs, self._where = list(outputs), where
        with_outputs = ModelProto()
        with_outputs.CopyFrom(model)
        there = {value.name for value in model.graph.output}
        with_outputs.graph.output.extend(ValueInfoProto(name=name) for name in outputs if name not in there)
        self._session = _session(with_outputs, where, threads, True)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name. Raises ModelError."""
        return _run(self._session, feeds, self._outputs, self._where)


def run_model(model: ModelProto, feeds: Mapping[str, Array], outputs: Sequence[str], where: str) -> dict[str, Array]:
    """Run a model once, as it is. Raises ModelError with ``where``."""
    return _run(_session(model, where, 1, False), feeds, outputs, where)


def _session(model: ModelProto, where: str, threads: int, optimize: bool) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise UnavailableError(where, "ONNX Runtime", "no package onnxruntime",
                               "pip install 'edgeinfer[quantize]'") from error
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # numpy's threads work between two runs
    options.log_severity_level = 4  # fatal only: what goes wrong is raised, and said once
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"],
                                            disabled_optimizers=_NOT_OURS, enable_fallback=0)  # which would print
    except Exception as error:
        raise ModelError(where, "a network that ONNX Runtime loads", _line(error)) from error


def _run(session: Any, feeds: Mapping[str, Array], outputs: Sequence[str], where: str) -> dict[str, Array]:
    try:
        arrays = session.run(list(outputs), dict(feeds))
    except Exception as error:
        raise ModelError(where, "a network that ONNX Runtime runs", _line(error)) from error
    return dict(zip(outputs, arrays, strict=True))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
