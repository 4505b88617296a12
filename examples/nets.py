"""Small networks in plain numpy, for the examples' own models: trained on one core in minutes, written as float ONNX.

What a real project does in PyTorch or Keras is here in one file, so that anybody can make the examples' models anew with what
``pip install 'edgeinfer[quantize]'`` brings. Arrays are float32, pictures NHWC; a fixed seed and one thread give one result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

Array = np.ndarray


class Conv:
    """A convolution with "same" padding, and a ReLU behind it where wanted."""

    def __init__(self, rng: np.random.Generator, inputs: int, outputs: int, kernel: int = 3, stride: int = 1,
                 relu: bool = True) -> None:
        self.kernel, self.stride, self.relu = kernel, stride, relu
        fan = kernel * kernel * inputs
        self.weights = rng.normal(0, np.sqrt(2 / fan), (fan, outputs)).astype(np.float32)  # of (row, column, input)
        self.bias = np.zeros(outputs, np.float32)

    @property
    def pads(self) -> tuple[int, int]:
        """Before and behind, on sides that the stride divides."""
        total = max(self.kernel - self.stride, 0)
        return total // 2, total - total // 2

    def forward(self, x: Array) -> Array:
        (before, behind), k, s = self.pads, self.kernel, self.stride
        x = np.pad(x, ((0, 0), (before, behind), (before, behind), (0, 0)))
        self._shape = x.shape
        windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), (1, 2))[:, ::s, ::s]  # n, rows, columns, inputs, k, k
        self._columns = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, self.weights.shape[0])
        y = self._columns @ self.weights + self.bias
        self._on = y > 0
        return (y * self._on if self.relu else y).reshape(*windows.shape[:3], -1)

    def backward(self, slope: Array) -> Array:
        (before, behind), k, s = self.pads, self.kernel, self.stride
        count, rows, columns, outputs = slope.shape
        slope = slope.reshape(-1, outputs)
        if self.relu:
            slope = slope * self._on
        self.slopes = [self._columns.T @ slope, slope.sum(0)]
        parts = (slope @ self.weights.T).reshape(count, rows, columns, k, k, -1)
        back = np.zeros(self._shape, np.float32)
        for row in range(k):
            for column in range(k):
                back[:, row:row + s * rows:s, column:column + s * columns:s] += parts[:, :, :, row, column]
        return back[:, before:self._shape[1] - behind, before:self._shape[2] - behind]

    def nodes(self, source: str, target: str, constants: dict[str, Array]) -> list[object]:
        from onnx import helper

        inputs = self.weights.shape[0] // self.kernel ** 2
        shaped = self.weights.reshape(self.kernel, self.kernel, inputs, -1).transpose(3, 2, 0, 1)
        constants[f"{target}_weights"], constants[f"{target}_bias"] = np.ascontiguousarray(shaped), self.bias
        (before, behind), middle = self.pads, f"{target}_linear" if self.relu else target
        conv = helper.make_node("Conv", [source, f"{target}_weights", f"{target}_bias"], [middle], kernel_shape=[self.kernel] * 2,
                                strides=[self.stride] * 2, pads=[before, before, behind, behind])
        return [conv, helper.make_node("Relu", [middle], [target])] if self.relu else [conv]


class Dense:
    """A matrix, and a ReLU behind it where wanted."""

    def __init__(self, rng: np.random.Generator, inputs: int, outputs: int, relu: bool = True) -> None:
        self.relu = relu
        self.weights = rng.normal(0, np.sqrt(2 / inputs), (inputs, outputs)).astype(np.float32)
        self.bias = np.zeros(outputs, np.float32)

    def forward(self, x: Array) -> Array:
        self._x, y = x, x @ self.weights + self.bias
        self._on = y > 0
        return y * self._on if self.relu else y

    def backward(self, slope: Array) -> Array:
        if self.relu:
            slope = slope * self._on
        self.slopes = [self._x.T @ slope, slope.sum(0)]
        return slope @ self.weights.T

    def nodes(self, source: str, target: str, constants: dict[str, Array]) -> list[object]:
        from onnx import helper

        constants[f"{target}_weights"], constants[f"{target}_bias"] = self.weights, self.bias
        middle = f"{target}_linear" if self.relu else target
        gemm = helper.make_node("Gemm", [source, f"{target}_weights", f"{target}_bias"], [middle])
        return [gemm, helper.make_node("Relu", [middle], [target])] if self.relu else [gemm]


class Mean:
    """The average over rows and columns."""

    def forward(self, x: Array) -> Array:
        self._shape = x.shape
        return x.mean((1, 2))

    def backward(self, slope: Array) -> Array:
        rows, columns = self._shape[1:3]
        return np.broadcast_to(slope[:, None, None] / np.float32(rows * columns), self._shape)

    def nodes(self, source: str, target: str, constants: dict[str, Array]) -> list[object]:
        from onnx import helper

        return [helper.make_node("GlobalAveragePool", [source], [f"{target}_pool"]),
                helper.make_node("Flatten", [f"{target}_pool"], [target])]


Layer = Conv | Dense | Mean


def forward(layers: Iterable[Layer], x: Array) -> Array:
    for layer in layers:
        x = layer.forward(x)
    return x


def backward(layers: Sequence[Layer], slope: Array) -> Array:
    for layer in reversed(layers):
        slope = layer.backward(slope)
    return slope


class Adam:
    """Kingma and Ba's optimiser over layers' weights, with the weight decay kept apart."""

    def __init__(self, layers: Iterable[Layer], decay: float = 0.0) -> None:
        self._layers = [layer for layer in layers if not isinstance(layer, Mean)]
        self._moments = [[(np.zeros_like(part), np.zeros_like(part)) for part in (layer.weights, layer.bias)]
                         for layer in self._layers]
        self._step, self._decay = 0, decay

    def step(self, rate: float) -> None:
        self._step += 1
        for layer, moments in zip(self._layers, self._moments, strict=True):
            for part, slope, pair in zip((layer.weights, layer.bias), layer.slopes, moments, strict=True):
                self._move(part, slope, *pair, rate)

    def _move(self, part: Array, slope: Array, first: Array, second: Array, rate: float) -> None:
        first += 0.1 * (slope - first)
        second += 0.001 * (slope * slope - second)
        there = first / (1 - 0.9 ** self._step) / (np.sqrt(second / (1 - 0.999 ** self._step)) + 1e-8)
        part -= np.float32(rate) * (there + self._decay * part)


def falling(step: int, steps: int, rate: float) -> float:
    """A learning rate that warms up over a twentieth of the steps and falls as a cosine."""
    return rate * min(1.0, 20 * (step + 1) / steps) * 0.5 * (1 + np.cos(np.pi * step / steps))


def softmax_slope(logits: Array, labels: Array) -> tuple[float, Array]:
    """The mean cross entropy and its slope."""
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    rows = np.arange(len(labels))
    loss = -float(np.log(shares[rows, labels] + 1e-9).mean())
    shares[rows, labels] -= 1
    return loss, shares / np.float32(len(labels))


def write_onnx(path: Path, input: str, shape: tuple[int, ...], trunk: Sequence[Layer], heads: dict[str, Sequence[Layer]]) -> None:
    """Float ONNX, NCHW: ``trunk``, then each head with its name as the output's. A shape of (1, rows, columns) is a picture of
    one channel."""
    import onnx
    from onnx import helper, numpy_helper

    constants: dict[str, Array] = {}
    nodes: list[object] = []
    at = input
    if len(shape) == 3:
        constants["picture_shape"] = np.array([1, 1, *shape[1:]], np.int64)
        nodes.append(helper.make_node("Reshape", [input, "picture_shape"], ["picture"]))
        at = "picture"

    def chain(layers: Sequence[Layer], source: str, name: str, last: str) -> str:
        for index, layer in enumerate(layers):
            target = last if last and index == len(layers) - 1 else f"{name}_{index}"
            nodes.extend(layer.nodes(source, target, constants))
            source = target
        return source

    at = chain(trunk, at, "trunk", "")
    for name, layers in heads.items():
        chain(layers, at, name, name)
    graph = helper.make_graph(
        nodes, path.stem, [helper.make_tensor_value_info(input, onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in heads],
        [numpy_helper.from_array(value, name) for name, value in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="edgeinfer examples")
    model = onnx.shape_inference.infer_shapes(model)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def write_pictures(folder: Path, pictures: Array) -> Path:
    """RGB uint8 (n, height, width, 3) as PNG."""
    import cv2

    folder.mkdir()
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{index:03}.png"), picture[..., ::-1])
    return folder


def make_bundle(folder: Path, model: Path, samples: Path, *said: str) -> None:
    """``folder``/bundle from a float model: ``quantize run`` with the folder's recipe and these samples, then unpacked."""
    import shutil
    import subprocess
    import sys
    import tarfile
    import tempfile

    with tempfile.TemporaryDirectory() as out:
        subprocess.run([sys.executable, "-m", "quantize.cli", "run", str(model), "--recipe", str(folder / "recipe.yaml"), "--data",
                        str(samples), "--target", "raspberry-pi-4", "--threads", "1", "-o", out, *said], check=True)
        shutil.rmtree(folder / "bundle", ignore_errors=True)
        with tarfile.open(next(Path(out).glob("*.eib"))) as packed:
            packed.extractall(folder / "bundle", filter="data")
