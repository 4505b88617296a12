"""Graphs run by ONNX Runtime on the CPU, with any of their values as outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnx import ModelProto

from edgeinfer.errors import ModelError, UnavailableError
from edgeinfer.model.tensor import Array
from quantize.graph import Graph

__all__ = ["Runner", "run_model"]


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


def run_model(model: ModelProto, feeds: Mapping[str, Array], outputs: Sequence[str], where: str) -> dict[str, Array]:
    """Run a model once, as it is. Raises ModelError with ``where``."""
    return _run(_session(model, where, 1, False), feeds, outputs, where)


def _session(model: ModelProto, where: str, threads: int, optimize: bool) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise UnavailableError(where, "ONNX Runtime", "no package onnxruntime", "pip install 'edgeinfer[quantize]'") from error
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # fatal only: what goes wrong is raised, and said once
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime's classes differ from release to release
        raise ModelError(where, "a network that ONNX Runtime loads", _line(error)) from error


def _run(session: Any, feeds: Mapping[str, Array], outputs: Sequence[str], where: str) -> dict[str, Array]:
    try:
        arrays = session.run(list(outputs), dict(feeds))
    except Exception as error:  # noqa: BLE001 - as above
        raise ModelError(where, "a network that ONNX Runtime runs", _line(error)) from error
    return dict(zip(outputs, arrays, strict=True))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
