"""A float model and an INT8 file of it, tensor by tensor, whoever made the file.

An INT8 ONNX file that keeps the names of values (as ours do) is compared at each of them; of any other file the outputs are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx

from edgeinfer.errors import ModelError
from edgeinfer.model.backends import RuntimeOptions, Session, open_session
from edgeinfer.model.tensor import Array, TensorSpec
from quantize.compare import Feeds, TensorComparison, Value, compare
from quantize.dataset import Dataset, tensors
from quantize.graph import Graph
from quantize.graph.execute import ModelRunner, Runner
from quantize.setting import Setting

__all__ = ["compare_file"]

Answers = Callable[[Feeds], dict[str, Array]]


def compare_file(setting: Setting, path: Path, data: Dataset, threads: int = 2) -> list[TensorComparison]:
    """``path``: an INT8 .onnx or .tflite of the float model of ``setting``. Raises ModelError, DataError, SourceError."""
    graph = setting.graph
    names, integer = _onnx(graph, path, threads) if path.suffix == ".onnx" else _outputs(graph, path, threads)
    runner = Runner(graph, names, threads)
    makers = graph.producers()
    values = [Value(name, makers[name].op if name in makers else "Input", None) for name in names]
    samples = (feeds for _, feeds in tensors(data, setting.spec, setting.inputs))
    return compare(runner.run, integer, samples, values)


def _onnx(graph: Graph, path: Path, threads: int) -> tuple[list[str], Answers]:
    try:
        model = onnx.load(path)
    except Exception as error:
        raise ModelError(path.name, "an ONNX model", str(error)[:200]) from error
    there = {value for node in model.graph.node for value in node.output}
    names = [value for node in graph.nodes for value in node.outputs if value in there and graph.dtypes[value] == "float32"]
    missing = [name for name in graph.outputs if name not in names]
    if missing:
        raise ModelError(path.name, f"outputs named as in the float model: {', '.join(graph.outputs)}",
                         ", ".join(value.name for value in model.graph.output))
    return names, ModelRunner(model, names, path.name, threads).run


def _outputs(graph: Graph, path: Path, threads: int) -> tuple[list[str], Answers]:
    session = open_session(path, "tflite", RuntimeOptions(threads=threads))
    specs = {spec.name: spec for spec in session.outputs}
    names = [name for name in graph.outputs if name in specs] or list(graph.outputs)
    files = [specs.get(name, session.outputs[min(place, len(session.outputs) - 1)]) for place, name in enumerate(names)]

    def answers(feeds: Feeds) -> dict[str, Array]:
        for index, (name, spec) in enumerate(zip(graph.inputs, session.inputs, strict=True)):
            session.input(index)[...] = spec.quantize(_in_order(feeds[name], spec.shape, path))
        session.invoke()
        return {name: _in_order(_real(session, spec), graph.shapes[name], path) for name, spec in zip(names, files, strict=True)}

    return names, answers


def _real(session: Session, spec: TensorSpec) -> Array:
    place = [one.name for one in session.outputs].index(spec.name)
    return spec.dequantize(session.output(place))


def _in_order(array: Array, shape: tuple[int, ...], path: Path) -> Array:
    """Channels last where one of the two has them second."""
    if array.shape == shape:
        return array
    for perm in ((0, 2, 3, 1), (0, 3, 1, 2), (0, 2, 1)):
        if len(perm) == array.ndim and tuple(array.shape[side] for side in perm) == shape:
            turned: Array = array.transpose(perm)
            return turned
    raise ModelError(path.name, f"a tensor of shape {list(shape)}", str(list(array.shape)))
