"""Pictures to the input tensor."""

from __future__ import annotations

import numpy as np

from edgeinfer.errors import Fault, ManifestError
from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.preprocess import checks
from edgeinfer.model.preprocess.lut import Interleaved, Planar
from edgeinfer.model.preprocess.plan import Plan, Scratch
from edgeinfer.model.preprocess.spec import ImageSpec
from edgeinfer.model.preprocess.table import quantised_table, real_table
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Image"]

PLANS = 8  # formats of pictures that are remembered; the oldest goes


class Image:
    """A Preprocess (see the protocol). Pictures may be of several sizes, up to the one it was built for."""

    def __init__(self, spec: ImageSpec, tensor: TensorSpec, format: FrameFormat) -> None:
        checks.refuse(_faults(spec, tensor))
        self._reals = real_table(spec)
        if not np.isfinite(self._reals).all():
            raise ManifestError("preprocess", "normalised pixels that float32 can hold", f"mean {spec.mean}, std {spec.std}")
        self._spec, self._tensor = spec, tensor
        picture = (spec.height, spec.width, spec.channels)[: 2 if spec.colour == "GREY" else 3]
        self._planar = spec.layout == "NCHW" and spec.channels == 3
        self._shape = (3, spec.height, spec.width) if self._planar else picture
        self._writer = self._write_through(quantised_table(self._reals, tensor))
        self._direct = self._writer.identity and not self._planar and spec.resize != "letterbox"
        self._canvas = np.full(picture, spec.pad, np.uint8)
        self._scratch = Scratch(spec, format)
        self.nbytes = sum(part.nbytes for part in (self._reals, self._writer, self._canvas, self._scratch))
        self._plan = Plan(spec, format, self._scratch)
        self._plans = {format: self._plan}
        self.geometry = self._plan.geometry

    def run(self, frame: Frame, out: Array) -> None:
        if frame.format != self._plan.format:
            self._switch(frame.format)
        cells = out.reshape(self._shape)
        if self._direct:
            self._plan.draw(frame.view, cells)
        else:
            self._plan.draw(frame.view, self._canvas)
            self._writer.write(self._canvas, cells)

    def reals(self, frame: Frame) -> Array:
        if frame.format != self._plan.format:
            self._switch(frame.format)
        tensor = np.empty(self._tensor.shape, np.float32)
        self._plan.draw(frame.view, self._canvas)
        self._write_through(self._reals).write(self._canvas, tensor.reshape(self._shape))
        return tensor

    def _switch(self, format: FrameFormat | WindowFormat) -> None:
        """Another size of picture. The canvas is padded anew: a letterboxed picture of that size lies elsewhere in it."""
        if not isinstance(format, FrameFormat):
            raise RuntimeError(f"a model of pictures was given a {type(format).__name__}")
        plan = self._plans.get(format)
        if plan is None:
            plan = Plan(self._spec, format, self._scratch)
            if len(self._plans) == PLANS:
                del self._plans[next(iter(self._plans))]
            self._plans[format] = plan
        self._canvas.fill(self._spec.pad)
        self._plan = plan
        self.geometry = plan.geometry

    def _write_through(self, table: Array) -> Interleaved | Planar:
        return Planar(table, self._spec.height, self._spec.width) if self._planar else Interleaved(table)


def _faults(spec: ImageSpec, tensor: TensorSpec) -> list[Fault]:
    faults = checks.inputs(tensor, pixels=True)
    faults += checks.entries("preprocess.mean", spec.mean, spec.channels)
    faults += checks.entries("preprocess.std", spec.std, spec.channels, divisor=True)
    if not 0 <= spec.pad <= 255:
        faults.append(Fault("preprocess.pad", "a pixel, 0..255", str(spec.pad)))
    if min(spec.height, spec.width) < 1:
        faults.append(Fault("preprocess", "a height and a width of at least 1", f"{spec.height} x {spec.width}"))
    shapes = {"NHWC": (1, spec.height, spec.width, spec.channels), "NCHW": (1, spec.channels, spec.height, spec.width)}
    wanted = shapes.pop(spec.layout)
    if _sides(tensor.shape) != _sides(wanted):
        other, shape = shapes.popitem()
        hint = f"set preprocess.layout to {other}" if tensor.shape == shape else "see its shape: edgeinfer inspect MODEL"
        faults.append(Fault(f"input '{tensor.name}': shape", f"{wanted} ({spec.layout})", str(tensor.shape), hint))
    return faults


def _sides(shape: tuple[int, ...]) -> list[int]:
    """The shape without its sides of 1: a grey picture may come without its channel axis."""
    return [side for side in shape if side != 1]
