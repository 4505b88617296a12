"""One model file under test: a bundle in the very engine that the device runs, with its outputs as real numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import FrameFormat, WindowFormat
from edgeinfer.model.result import Result
from edgeinfer.model.tensor import Array
from quantize.dataset.samples import Sample

__all__ = ["Answer", "Subject"]

Perms = Mapping[str, "tuple[int, ...] | None"]


class Answer(NamedTuple):
    """What a subject says of one sample. ``outputs``: float32 by name, in the float graph's axes. ``result`` is the
    decoder's own object, written anew for the next sample."""

    outputs: dict[str, Array]
    result: Result


class Subject:
    """A bundle, the engine that runs it, and the title under which its figures stand. Used by one thread."""

    def __init__(self, title: str, bundle: Bundle, format: FrameFormat | WindowFormat, perms: Perms | None = None,
                 threads: int = 1) -> None:
        """``format``: of the largest frame. ``perms``: for each output, the order in which the file has the float graph's
        axes. Raises as ``Engine`` and ``Engine.lane``."""
        self.title, self.bundle = title, bundle
        self.engine = Engine(bundle, RuntimeOptions(threads=threads))
        self.lane = self.engine.lane(format)
        self.runs_on = self.engine.session.runs_on
        self._back = {name: np.argsort(perm) for name, perm in (perms or {}).items() if perm is not None}

    @property
    def bytes(self) -> int:
        """Of the model file."""
        return self.bundle.model_path.stat().st_size

    def answer(self, sample: Sample) -> Answer:
        """Preprocess, invoke and decode, as the device does. Raises ModelError, SourceError."""
        session = self.engine.session
        for index, spec in enumerate(session.inputs):
            if index and spec.name in sample.tensors:
                session.input(index)[...] = spec.quantize(sample.tensors[spec.name]).reshape(spec.shape)
        result = self.lane.infer(sample.frame)
        return Answer({spec.name: self._real(index) for index, spec in enumerate(session.outputs)}, result)

    def scale(self, output: str) -> float:
        """One step of an output's grid, in real units; 0 of a float output."""
        spec = next(spec for spec in self.engine.session.outputs if spec.name == output)
        return spec.quantization.scale[0] if spec.quantization else 0.0

    def latency(self) -> dict[str, Any]:
        """Of invoke, in milliseconds: p50, p95, p99, mean, max, count."""
        return self.lane.invoke_ns.summary()

    def close(self) -> None:
        self.engine.close()

    def _real(self, index: int) -> Array:
        spec = self.engine.session.outputs[index]
        real = spec.dequantize(self.engine.session.output(index))
        if real.base is not None or real.dtype == np.float32:
            real = np.array(real, np.float32)  # a copy: the session writes its memory anew
        return real.transpose(self._back[spec.name]) if spec.name in self._back else real
