"""Small float .tflite files of one or a few operators, and both sides of a comparison: LiteRT on the file, ONNX Runtime on the
graph that the reader makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from quantize.graph.execute import Runner
from quantize.graph.tflite_reader import Read, read
from tests import litert
from tests.models import Op, Tensor, write_tflite

__all__ = ["Const", "compare", "differences", "file_of", "one"]

_FIRST_VERSION = {"RELU_N1_TO_1", "HARD_SWISH", "ELU", "NEG", "FLOOR", "SQUARE", "PRELU", "ADD_N", "EXPAND_DIMS", "POW"}



class Case(NamedTuple):
    name: str
    inputs: tuple[Any, ...]
    outputs: int
    dtype: str
    shape: tuple[int, ...]
    options: dict[str, Any]


class Const:
    """A constant input of an operator, float32 where no dtype is given."""

    def __init__(self, values: Any, dtype: str = "float32") -> None:
        self.array = np.asarray(values, dtype)


def one(name: str, *inputs: Any, outputs: int = 1, dtype: str = "float32", shape: tuple[int, ...] = (1,), **options: Any) -> Case:
    """One operator: inputs are shapes of graph inputs, or Const. Options are written as ``Kind={...}``. LiteRT works out the
    shape of the outputs itself, but for SLICE."""
    return Case(name, inputs, outputs, dtype, shape, options)


def file_of(path: Path, case: Case) -> Path:
    """The file of ``one``'s operator; its inputs are x0, x1, ..., its outputs y0, y1, ..."""
    name, inputs, outputs, dtype, shape, options = case
    tensors, given, operands = [], [], []
    for number, value in enumerate(inputs):
        if isinstance(value, Const):
            kind = value.array.dtype.name
            tensors.append(Tensor(f"c{number}", value.array.shape, kind, values=value.array))
            operands.append(f"c{number}")
        else:
            tensors.append(Tensor(f"x{number}", value))
            given.append(f"x{number}")
            operands.append(f"x{number}")
    made = tuple(f"y{number}" for number in range(outputs))
    tensors += [Tensor(output, shape, dtype) for output in made]
    version = 1 if name in _FIRST_VERSION else 2
    return write_tflite(path, tensors, [Op(name, tuple(operands), made, options, version)], tuple(given), made)


def compare(path: Path, low: float = -2.0, high: float = 2.0) -> Read:
    """Run the file in both runtimes on the same random numbers; they must agree to 1e-5 of the output's range."""
    made = read(path)
    for name, difference in differences(path, made, low, high).items():
        assert difference < 1e-5, f"{name} differs by {difference:.2g} of its range"
    return made


def differences(path: Path, made: Read, low: float = -2.0, high: float = 2.0, feeds: Sequence[np.ndarray] = ()) -> dict[str, float]:
    """For each output the largest difference, as a part of its range. ``feeds`` in the file's order of sides."""
    interpreter = litert.interpreter().Interpreter(str(path))
    interpreter.allocate_tensors()
    rng, graph_feeds = np.random.default_rng(0), {}
    for number, (detail, name) in enumerate(zip(interpreter.get_input_details(), made.graph.inputs, strict=True)):
        values = feeds[number] if feeds else rng.uniform(low, high, detail["shape"]).astype(np.float32)
        interpreter.set_tensor(detail["index"], values)
        perm = made.input_perms[name]
        graph_feeds[name] = values if perm is None else np.ascontiguousarray(values.transpose(np.argsort(perm)))
        assert graph_feeds[name].shape == made.graph.shapes[name]
    interpreter.invoke()
    found, results = {}, Runner(made.graph, threads=1).run(graph_feeds)
    for detail, name in zip(interpreter.get_output_details(), made.graph.outputs, strict=True):
        expected, got = interpreter.get_tensor(detail["index"]), results[name]
        assert got.shape == made.graph.shapes[name]
        perm = made.output_perms[name]
        got = got if perm is None else got.transpose(perm)
        assert got.shape == expected.shape
        assert got.dtype == expected.dtype
        width = max(np.ptp(expected), np.abs(expected.astype(np.float64)).max(initial=0), 1e-3)  # two numbers may be all but equal
        found[name] = float(np.abs(got.astype(np.float64) - expected).max(initial=0) / width)
    return found
