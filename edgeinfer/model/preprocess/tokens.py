"""Numbers of tokens to the input tensor."""

from __future__ import annotations

import math

import numpy as np

from edgeinfer.errors import Fault, SourceError
from edgeinfer.model.frame import Frame, WindowFormat
from edgeinfer.model.preprocess import checks
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.preprocess.textspec import text_faults
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Tokens"]


class Tokens:
    """A Preprocess (see the protocol): each is rounded, and kept within the vocabulary, whatever a recording holds."""

    def __init__(self, spec: WindowSpec, tensor: TensorSpec, format: WindowFormat) -> None:
        assert spec.text is not None
        faults = text_faults(spec.text, spec.channels, spec.length, spec.hop, tensor)
        if math.prod(tensor.shape) != spec.length:
            faults.append(Fault(f"input '{tensor.name}': shape", f"{spec.length} elements, such as (1, {spec.length})",
                                str(tensor.shape), "fix the input's length: --shape NAME=1,LENGTH"))
        checks.refuse(faults)
        if (format.length, format.channels) != (spec.length, 1):
            raise SourceError("source", f"texts of {spec.length} tokens",
                              f"windows of ({format.length}, {format.channels}) samples")
        self._tensor = tensor
        self._greatest = spec.text.vocabulary - 1
        self._whole = np.empty(spec.length, np.float32)
        self.geometry = Geometry()
        self.nbytes = self._whole.nbytes

    def run(self, frame: Frame, out: Array) -> None:
        np.rint(frame.view.reshape(-1), out=self._whole)
        np.fmax(self._whole, 0, out=self._whole)  # of a NaN, too
        np.minimum(self._whole, self._greatest, out=self._whole)
        np.copyto(out.reshape(-1), self._whole, casting="unsafe")

    def reals(self, frame: Frame) -> Array:
        """The numbers themselves: they are not quantised."""
        out = np.empty(self._tensor.shape, self._tensor.dtype)
        self.run(frame, out)
        return out.astype(np.float32)
