"""Other toolkits' INT8 of an ONNX model, each as its documentation says: a script of its own, for an environment of its own.

    python tests/bench/rivals.py ort-per-channel|ort-percentile|nncf MODEL SAMPLES OUT

SAMPLES: float32 inputs of the model one after the other, as bytes. They are read one at a time, so that none of them pays for
all in memory.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

_CHUNK = 8  # samples that ONNX Runtime's percentile keeps all activations of


class Samples:
    """Inputs from a file, in chunks."""

    def __init__(self, model: Path, file: Path) -> None:
        value = onnx.load(model).graph.input[0]
        self.name, self.shape = value.name, [side.dim_value or 1 for side in value.type.tensor_type.shape.dim]
        self._file, self._bytes = file, 4 * int(np.prod(self.shape))
        self.count = file.stat().st_size // self._bytes

    def feeds(self, start: int = 0, stop: int | None = None) -> Iterator[dict[str, np.ndarray]]:
        for index in range(start, min(stop or self.count, self.count)):
            flat = np.fromfile(self._file, np.float32, self._bytes // 4, offset=index * self._bytes)
            yield {self.name: flat.reshape(self.shape)}


def prepared(model: Path, out: Path) -> Path:
    """As ONNX Runtime asks for before it quantises: shapes known, BatchNorm folded; sympy is not installed."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    path = out.with_suffix(".prepared.onnx")
    quant_pre_process(str(model), str(path), skip_symbolic_shape=True)
    return path


def reader(feeds: Iterator[dict[str, np.ndarray]]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(feeds, None)

    return Reader()


def ort_per_channel(model: Path, samples: Samples, out: Path) -> None:
    """Minimum and maximum, weights per channel, the rest as ``quantize_static`` has it."""
    from onnxruntime.quantization import quantize_static

    quantize_static(str(prepared(model, out)), str(out), reader(samples.feeds()), per_channel=True)


def ort_percentile(model: Path, samples: Samples, out: Path) -> None:
    """The 99.99th percentile, weights per channel. ``quantize_static`` would keep the activations of all samples (5 GB here),
    so the same is done by its parts, a few samples at a time."""
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import create_calibrator
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    path = prepared(model, out)
    operators = sorted({*QLinearOpsRegistry, *QDQRegistry})
    calibrator = create_calibrator(path, operators, str(out.with_suffix(".augmented.onnx")),
                                   calibrate_method=CalibrationMethod.Percentile, extra_options={"percentile": 99.99})
    for start in range(0, samples.count, _CHUNK):
        calibrator.collect_data(reader(samples.feeds(start, start + _CHUNK)))
    ranges = calibrator.compute_data()
    quantizer = QDQQuantizer(onnx.load(path), per_channel=True, reduce_range=False, weight_qType=QuantType.QInt8,
                             activation_qType=QuantType.QInt8, tensors_range=ranges, nodes_to_quantize=[], nodes_to_exclude=[],
                             op_types_to_quantize=operators, extra_options={})
    quantizer.quantize_model()
    quantizer.model.save_model_to_file(str(out))


def nncf(model: Path, samples: Samples, out: Path) -> None:
    """``nncf.quantize`` with nothing said but the number of samples."""
    import nncf as toolkit

    made = toolkit.quantize(onnx.load(model), toolkit.Dataset(list(range(samples.count)),
                            lambda index: next(samples.feeds(index, index + 1))), subset_size=samples.count)
    onnx.save(made, out)


def main(name: str, model: str, samples: str, out: str) -> None:
    tools = {"ort-per-channel": ort_per_channel, "ort-percentile": ort_percentile, "nncf": nncf}
    tools[name](Path(model), Samples(Path(model), Path(samples)), Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
