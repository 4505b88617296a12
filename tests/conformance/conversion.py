"""One exported net through reader and writers, and how far what comes out is from the exported file in ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeinfer.model.tensor import Array
from quantize.graph import Graph
from quantize.graph.execute import Runner
from quantize.graph.onnx_reader import read
from quantize.graph.onnx_writer import write
from quantize.plan import integer_values, plan
from quantize.qdq import write_qdq
from quantize.rules import Rules
from quantize.tflite import Converted, write_float, write_int8
from tests import litert

__all__ = ["Integers", "float_differences", "in_integers", "reference_sqnr", "run_onnx", "run_tflite", "samples"]

Outputs = list[Array]


@dataclass(frozen=True)
class Integers:
    """A net in INT8. ``sqnr``: signal to noise of the outputs against float, in dB, of the ONNX and of the TFLite file.
    ``steps``: the largest difference between both files, in steps of the output's grid. ``agreement``: share of samples whose
    largest output is the same in both. ``islands``: nodes that the TFLite file computes in float, with the reason."""

    sqnr: tuple[float, float]
    steps: float
    agreement: float
    islands: list[tuple[str, str, str]]

    def __str__(self) -> str:
        onnx, tflite = self.sqnr
        return (f"ONNX {onnx:.1f} dB, TFLite {tflite:.1f} dB, parity {self.steps:.1f} steps and {self.agreement:.1%}, "
                f"{len(self.islands)} float islands")


def samples(graph: Graph, count: int, seed: int = 0) -> Iterator[dict[str, Array]]:
    """Feeds of normal numbers."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield {name: rng.normal(size=graph.shapes[name]).astype(np.float32) for name in graph.inputs}


def run_onnx(model: bytes | str, feeds: list[dict[str, Array]]) -> list[Outputs]:
    """Outputs in the file's order, of each feed."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return [session.run(None, dict(zip(names, feed.values(), strict=True))) for feed in feeds]


def run_tflite(converted: Converted, graph: Graph, feeds: list[dict[str, Array]]) -> list[Outputs]:
    """Outputs in the graph's order of sides, of each feed."""
    interpreter = litert.interpreter().Interpreter(model_content=converted.data, num_threads=1)
    interpreter.allocate_tensors()
    inputs = dict(zip(graph.inputs, interpreter.get_input_details(), strict=True))
    results = []
    for feed in feeds:
        for name, values in feed.items():
            perm = converted.input_perms[name]
            interpreter.set_tensor(inputs[name]["index"], values if perm is None else values.transpose(perm))
        interpreter.invoke()
        made = [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
        perms = [converted.output_perms[name] for name in graph.outputs]
        results.append([array if perm is None else array.transpose(np.argsort(perm))
                        for array, perm in zip(made, perms, strict=True)])
    return results


def float_differences(path: Path) -> dict[str, float]:
    """For each output the largest difference of the float TFLite from the exported file, as a part of the output's range."""
    graph = read(path)
    feeds = list(samples(graph, 1))
    [expected], [got] = run_onnx(str(path), feeds), run_tflite(write_float(graph), graph, feeds)
    return {name: float(np.abs(one - other).max() / np.ptp(one))
            for name, one, other in zip(graph.outputs, expected, got, strict=True)}


def in_integers(path: Path, calibration: int = 16, judged: int = 8) -> Integers:
    """The net in INT8, in both files, on ranges from least to most of random samples, with nothing done for accuracy."""
    graph = read(path)
    quantized = plan(graph, _ranges(graph, calibration), Rules())
    feeds = list(samples(graph, judged, seed=1))
    expected = run_onnx(str(path), feeds)
    converted = write_int8(quantized, "float32")
    onnx = run_onnx(write_qdq(quantized).SerializeToString(), feeds)
    tflite = run_tflite(converted, graph, feeds)
    steps = max(float(np.abs(one[place] - other[place]).max() / quantized.activations[name].scale[0])
                for one, other in zip(onnx, tflite, strict=True) for place, name in enumerate(graph.outputs)
                if name in quantized.activations)
    agreement = np.mean([one[0].argmax() == other[0].argmax() for one, other in zip(onnx, tflite, strict=True)])
    return Integers((_sqnr(expected, onnx), _sqnr(expected, tflite)), steps, float(agreement), converted.islands)


def reference_sqnr(path: Path, calibration: int = 16, judged: int = 8) -> float:
    """What ONNX Runtime's quantize_static keeps of the same net on the same samples: INT8 throughout, per channel."""
    import logging

    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
        def __init__(self, feeds: Iterator[dict[str, Array]]) -> None:
            self._feeds = feeds

        def get_next(self) -> dict[str, Array] | None:
            return next(self._feeds, None)

    graph, level = read(path), logging.root.manager.disable
    with tempfile.TemporaryDirectory() as scratch:
        source, made = Path(scratch) / "float.onnx", Path(scratch) / "int8.onnx"
        onnx.save(write(graph), source)
        logging.disable(logging.WARNING)  # it advises on preprocessing, which the reader has done
        quantize_static(source, made, Reader(samples(graph, calibration)), quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8)
        logging.disable(level)
        feeds = list(samples(graph, judged, seed=1))
        return _sqnr(run_onnx(str(path), feeds), run_onnx(str(made), feeds))


def _ranges(graph: Graph, count: int) -> dict[str, tuple[float, float]]:
    values = integer_values(graph)
    runner = Runner(graph, [value for value in values if value not in graph.inputs], threads=1)
    ranges: dict[str, tuple[float, float]] = {}
    for feed in samples(graph, count):
        for name, array in {**feed, **runner.run(feed)}.items():
            low, high = ranges.get(name, (np.inf, -np.inf))
            ranges[name] = min(low, float(array.min())), max(high, float(array.max()))
    return ranges


def _sqnr(expected: list[Outputs], got: list[Outputs]) -> float:
    """The worst output's, in dB."""
    worst = np.inf
    for place in range(len(expected[0])):
        signal = np.stack([outputs[place] for outputs in expected]).astype(np.float64)
        noise = np.stack([outputs[place] for outputs in got]) - signal
        worst = min(worst, 10 * np.log10((signal**2).sum() / max((noise**2).sum(), 1e-30)))
    return float(worst)
