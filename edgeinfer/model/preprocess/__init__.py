"""From a frame or a window to the model's input tensor: one arithmetic for calibration and for the device.

    pixels   uint8 to uint8 in exact arithmetic (``plan``), then a table of 256 entries a channel (``table``, ``lut``)
    windows  features in float64 where the spec has them (``features``), normalised in float32, quantised in float64 (``window``)

Both quantise the very float32 values that calibration sees, with the operations of ``TensorSpec.quantize``.
"""

from __future__ import annotations

from typing import Protocol

from edgeinfer.errors import SourceError, UnavailableError
from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.preprocess.spec import ImageSpec, PreprocessSpec
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Preprocess", "build"]


class Preprocess(Protocol):
    """One spec, one input tensor and one source. It owns all its scratch and is used by one thread at a time."""

    geometry: Geometry  # of the frame that was written last
    nbytes: int  # scratch and tables, for the memory bill

    def run(self, frame: Frame, out: Array) -> None:
        """Write every element of the input tensor ``out`` (C-contiguous, of the tensor's shape and dtype) from ``frame``.

        Called by the inference thread for each frame; keeps neither argument, but what overlapping windows have in common
        (``Frame.position``) may be computed once. Raises SourceError when a frame of a format
        that was not seen before does not fit what this was built for.
        """
        ...

    def reals(self, frame: Frame) -> Array:
        """The float32 tensor of calibration, of the tensor's shape: ``TensorSpec.quantize`` of it is what ``run`` writes."""
        ...


def build(spec: PreprocessSpec, tensor: TensorSpec, format: FrameFormat | WindowFormat) -> Preprocess:
    """The preprocessing that ``spec`` describes, into ``tensor``, of frames up to the size of ``format``.

    Raises ManifestError when spec and tensor contradict each other, SourceError when the source delivers what this spec
    cannot use, UnavailableError when a model of pictures has no OpenCV.
    """
    if isinstance(spec, ImageSpec):
        if not isinstance(format, FrameFormat):
            raise SourceError("source", "pictures", f"windows of {format.shape} samples", "name a camera, a video or images")
        try:  # the only way to cv2: a device with sensors alone never comes here
            from edgeinfer.model.preprocess.image import Image
        except ImportError as error:
            raise UnavailableError("preprocess", "OpenCV", str(error), "pip install 'edgeinfer[vision]'") from error
        return Image(spec, tensor, format)
    from edgeinfer.model.preprocess.window import Window

    if not isinstance(format, WindowFormat):
        raise SourceError("source", f"windows of ({spec.length}, {spec.channels}) samples",
                          f"{format.pixel_format} pictures", "name a source of samples: command, csv, npy or synthetic")
    if spec.text is not None:
        from edgeinfer.model.preprocess.tokens import Tokens

        return Tokens(spec, tensor, format)
    return Window(spec, tensor, format)
