"""ONNX Runtime. Inputs and outputs are bound once to arrays that the session owns, so that a run allocates neither.

Set for a small board (measured with 1.32, an INT8 mobilenet_v2, 2 threads, a frame every 30 ms, on 2 shared x86-64
cores): no arena, which is 3 MB less at the same speed; threads that do not spin between frames. With the second core
busy, spinning took 15.5 ms and a whole core where waiting took 7.9 ms and 0.3 of one; with it free, spinning was the
faster (6.6 ms and 1.2 cores against 10.5 ms and 0.4, one run each).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np

from edgeinfer.errors import ModelError
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.backends.accelerator import batch_of_one, first_that_runs, fixed, threads_text
from edgeinfer.model.backends.onnxruntime_loading import Loading, error_types, import_runtime, refusal
from edgeinfer.model.modelfile import describe
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["OnnxRuntimeSession"]


class OnnxRuntimeSession:
    """One inference session with its input and output arrays. Made by any thread, then used by one at a time."""

    variables = False

    def __init__(self, path: Path, options: RuntimeOptions) -> None:
        """Raises ModelError and UnavailableError, as ``Session`` says; UsageError for an accelerator that does not exist."""
        self._path = path
        self._runtime = import_runtime(path.name)
        self._errors = error_types(self._runtime)
        file = describe(path, "onnx")
        self.inputs = batch_of_one(file, path.name, "python -m onnxruntime.tools.make_dynamic_shape_fixed "
                                                    f"--dim_param NAME --dim_value SIZE {path} fixed.onnx")
        loading = Loading(self._runtime, path, file, options.threads)
        (self._session, on), self.fallbacks = first_that_runs(loading.on, options)
        self.runs_on = f"ONNX Runtime {self._runtime.__version__}, {on}, {threads_text(options.threads)}"
        self._binding = self._session.io_binding()
        self._inputs = [self._bind(self._binding.bind_ortvalue_input, spec) for spec in self.inputs]
        self.outputs = self._output_specs(file.outputs)
        self._outputs = [self._bind(self._binding.bind_ortvalue_output, spec) for spec in self.outputs]

    def input(self, index: int) -> Array:
        """The input's own array: the same one each time."""
        return self._inputs[index]

    def invoke(self) -> None:
        """Run the model once; other threads run meanwhile. Raises ModelError."""
        try:
            self._session.run_with_iobinding(self._binding)
        except self._errors as error:
            if isinstance(self._session, _Closed):
                raise
            raise refusal(self._path, "a model that runs", error) from error

    def output(self, index: int) -> Array:
        """The output's own array: the same one each time, written by each ``invoke``."""
        return self._outputs[index]

    def reset(self) -> None:
        """Nothing: ONNX has no variables, only states that go out and in."""

    def close(self) -> None:
        """Free the session. After this every use is a RuntimeError."""
        self._session = self._binding = _Closed()
        self._inputs = self._outputs = cast("list[Array]", _Closed())

    def _bind(self, bind: Callable[[str, Any], None], spec: TensorSpec) -> Array:
        """A zeroed array that the runtime reads or writes in place: an OrtValue on the CPU shares its array's memory."""
        array = np.zeros(spec.shape, spec.dtype)
        bind(spec.name, self._runtime.OrtValue.ortvalue_from_numpy(array))
        return array

    def _output_specs(self, specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        """With the shapes that the runtime infers; where it cannot, those of a first run."""
        shapes = [output.shape for output in self._session.get_outputs()]
        if not all(isinstance(side, int) for shape in shapes for side in shape):
            shapes = self._shapes_of_a_run()
        for spec, shape in zip(specs, shapes, strict=True):
            if 0 in shape:
                raise ModelError(f"{self._path.name}: {spec.name}", "an output of fixed size",
                                 "one whose size depends on the values", "export the model without non-maximum suppression")
        return tuple(fixed(*pair) for pair in zip(specs, shapes, strict=True))

    def _shapes_of_a_run(self) -> list[tuple[int, ...]]:
        feeds = {spec.name: array for spec, array in zip(self.inputs, self._inputs, strict=True)}
        try:
            return [output.shape for output in self._session.run(None, feeds)]
        except self._errors as error:
            raise refusal(self._path, "a model that runs", error) from error


class _Closed:
    """Stands where the session and its arrays were."""

    def run_with_iobinding(self, binding: Any) -> NoReturn:
        raise RuntimeError("this session is closed")

    def __getitem__(self, index: int) -> NoReturn:
        raise RuntimeError("this session is closed")
