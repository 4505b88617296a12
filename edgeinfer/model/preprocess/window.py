"""Windows of sensor samples, or their features, to the input tensor.

value = (x - a) / b in float32, where (a, b) is (mean, std) or (minimum, maximum - minimum); then, for a quantised tensor,
round(value / scale) + zero_point in float64, half to even and saturated: the operations of ``TensorSpec.quantize``, so that
what is deployed is what was calibrated, to the byte. A NaN (a sensor's gap) counts as value 0, an infinity saturates.
"""

from __future__ import annotations

import math

import numpy as np

from edgeinfer.errors import Fault, SourceError
from edgeinfer.model.frame import Frame, WindowFormat
from edgeinfer.model.preprocess import checks
from edgeinfer.model.preprocess.columns import column_faults
from edgeinfer.model.preprocess.featurefaults import feature_faults
from edgeinfer.model.preprocess.features import features_of
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.tensor import Array, Quantization, TensorSpec

__all__ = ["Window"]


class Window:
    """A Preprocess (see the protocol).

    Elements are in the order (length, channels), whatever the tensor's sides; but a tensor of shape (1, channels, length),
    give or take sides of 1, is written transposed. Features: (rows, columns).
    """

    def __init__(self, spec: WindowSpec, tensor: TensorSpec, format: WindowFormat) -> None:
        checks.refuse(_faults(spec, tensor))
        if (format.length, format.channels) != (spec.length, spec.channels):
            raise SourceError("source", f"windows of ({spec.length}, {spec.channels}) samples",
                              f"({format.length}, {format.channels})", "let the sensor deliver the channels the model takes")
        self._tensor_shape = tensor.shape
        self._features = features_of(spec) if spec.features is not None else None
        sides = (spec.columns, spec.rows)
        self._transposed = len(set(sides)) == 2 and tuple(side for side in tensor.shape if side != 1) == sides
        self._shape = sides if self._transposed else sides[::-1]
        self._normal = Normal(*self._constants(spec)) if spec.normalize != "none" else None
        self._quantiser = Quantiser(tensor, tensor.quantization, self._shape) if tensor.quantization is not None else None
        self._reals = np.empty(self._shape, np.float32) if self._normal and self._quantiser else None
        self.geometry = Geometry()
        parts = (self._features, self._normal, self._quantiser, self._reals)
        self.nbytes = sum(part.nbytes for part in parts if part is not None)

    def run(self, frame: Frame, out: Array) -> None:
        samples = self._features.of(frame) if self._features is not None else frame.view
        if self._transposed:
            samples = samples.T
        cells = out.reshape(self._shape)
        if self._quantiser is None:
            self._write_reals(samples, cells)
            return
        if self._normal is not None and self._reals is not None:
            self._normal.write(samples, self._reals)
            samples = self._reals
        self._quantiser.write(samples, cells)

    def reals(self, frame: Frame) -> Array:
        cells = np.empty(self._shape, np.float32)
        samples = frame.view
        if self._features is not None:
            self._features.forget()
            samples = self._features.of(frame)
            self._features.forget()
        self._write_reals(samples.T if self._transposed else samples, cells)
        return cells.reshape(self._tensor_shape)

    def _write_reals(self, samples: Array, cells: Array) -> None:
        if self._normal is None:
            np.copyto(cells, samples)
        else:
            self._normal.write(samples, cells)
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.add.reduce(cells, None)  # one pass tells whether all are finite
        if not math.isfinite(total):
            np.nan_to_num(cells, copy=False, nan=0.0)

    def _constants(self, spec: WindowSpec) -> tuple[Array, Array]:
        """What is subtracted, and what divides: (1, 1), or written out to the window's shape, in which numpy is faster."""
        offset, divisor = _offset_and_divisor(spec)
        return self._spread(offset), self._spread(divisor)

    def _spread(self, values: Array) -> Array:
        if values.size == 1:
            return values.reshape(1, 1)
        return np.ascontiguousarray(np.broadcast_to(values[:, None] if self._transposed else values, self._shape))


class Normal:
    """(x - offset) / divisor in float32."""

    def __init__(self, offset: Array, divisor: Array) -> None:
        self._offset, self._divisor = offset, divisor
        self.nbytes = offset.nbytes + divisor.nbytes

    def write(self, samples: Array, cells: Array) -> None:
        with np.errstate(over="ignore"):  # an overflow is an infinity, which saturates
            np.subtract(samples, self._offset, out=cells)
            np.divide(cells, self._divisor, out=cells)


class Quantiser:
    """clip(round(value / scale), lowest - zero_point, highest - zero_point) + zero_point, in float64 until the last cast."""

    def __init__(self, tensor: TensorSpec, quantization: Quantization, shape: tuple[int, ...]) -> None:
        limits, zero_point = np.iinfo(np.dtype(tensor.dtype)), quantization.zero_point[0]
        self._scale, self._zero_point = np.array(quantization.scale[0]), np.array(float(zero_point))
        self._lowest, self._highest = np.array(float(limits.min - zero_point)), np.array(float(limits.max - zero_point))
        self._steps = np.empty(shape, np.float64)
        self.nbytes = self._steps.nbytes

    def write(self, reals: Array, cells: Array) -> None:
        steps = self._steps
        np.copyto(steps, reals)
        np.divide(steps, self._scale, out=steps)
        np.rint(steps, out=steps)
        np.maximum(steps, self._lowest, out=steps)
        np.minimum(steps, self._highest, out=steps)
        if math.isnan(np.add.reduce(steps, None)):  # finite but for a NaN, which minimum and maximum let through
            np.nan_to_num(steps, copy=False, nan=0.0)
        np.add(steps, self._zero_point, out=steps)
        np.copyto(cells, steps, casting="unsafe")


def _offset_and_divisor(spec: WindowSpec) -> tuple[Array, Array]:
    """float32, one entry or one a channel."""
    if spec.normalize == "standardize":
        return np.asarray(spec.mean, np.float32), np.asarray(spec.std, np.float32)
    span = np.asarray(spec.maximum, np.float64) - np.asarray(spec.minimum, np.float64)
    return np.asarray(spec.minimum, np.float32), span.astype(np.float32)


def _faults(spec: WindowSpec, tensor: TensorSpec) -> list[Fault]:
    faults = checks.inputs(tensor)
    if min(spec.length, spec.channels, spec.hop) < 1:
        faults.append(Fault("preprocess", "a length, channels and a hop of at least 1",
                            f"{spec.length}, {spec.channels} and {spec.hop}"))
    faults += column_faults(spec.table, spec.channels)
    if spec.features is not None:
        unusable = list(feature_faults(spec.features, spec.length, spec.rate))
        if unusable:
            return [*faults, *unusable]
    if min(tensor.shape, default=1) < 1 or math.prod(tensor.shape) != spec.rows * spec.columns:
        faults.append(Fault(f"input '{tensor.name}': shape", f"{spec.rows * spec.columns} elements, such as "
                            f"(1, {spec.rows}, {spec.columns})", str(tensor.shape),
                            "see its shape: edgeinfer inspect MODEL"))
    if spec.normalize == "standardize":
        faults += checks.entries("preprocess.mean", spec.mean, spec.columns)
        faults += checks.entries("preprocess.std", spec.std, spec.columns, divisor=True)
    elif spec.normalize == "minmax":
        faults += _span_faults(spec)
    return faults


def _span_faults(spec: WindowSpec) -> list[Fault]:
    faults = checks.entries("preprocess.minimum", spec.minimum, spec.columns)
    faults += checks.entries("preprocess.maximum", spec.maximum, spec.columns)
    if not faults:
        span = tuple(float(value) for value in np.asarray(spec.maximum) - np.asarray(spec.minimum))
        faults = checks.entries("preprocess.maximum - preprocess.minimum", span, spec.columns, divisor=True)
    return faults
