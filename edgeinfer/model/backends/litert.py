"""LiteRT (TensorFlow Lite): ``ai-edge-litert``, or its predecessor ``tflite-runtime`` where only that has a wheel.

The Interpreter, not LiteRT 2's CompiledModel: that one copies each input and output, takes 7 MB more, loads slower and runs
no faster (measured with 2.3.0).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from edgeinfer.errors import ModelError
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.backends.accelerator import batch_of_one, first_that_runs, fixed, threads_text
from edgeinfer.model.backends.delegates import why_xnnpack_cannot_start
from edgeinfer.model.backends.litert_loading import Loading, import_runtime, one_line
from edgeinfer.model.modelfile import describe
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["LiteRtSession"]

_REMEMBER = {"VAR_HANDLE", "SVDF", "RNN", "LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN", "UNIDIRECTIONAL_SEQUENCE_LSTM",
             "BIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_LSTM"}


class LiteRtSession:
    """One interpreter, with the model mapped from its file. Made by any thread, then used by one at a time."""

    def __init__(self, path: Path, options: RuntimeOptions) -> None:
        """Raises ModelError and UnavailableError, as ``Session`` says; UsageError for an accelerator that does not exist."""
        self._path = path
        runtime = import_runtime(path.name)
        file = describe(path, "tflite")
        wanted = batch_of_one(file, path.name, "convert the model anew with fixed input sizes")
        self._loading, self._options = Loading(runtime, path, wanted, options.threads), options
        (self._interpreter, on), self.fallbacks = first_that_runs(self._loading.on, options)
        if on == "built-in kernels" and not options.accelerators and (reason := why_xnnpack_cannot_start()):
            self.fallbacks = (reason,)
        self.runs_on = f"{runtime.name}, {on}, {threads_text(options.threads)}"
        self.variables = any(operator in _REMEMBER for operator in file.operators)
        self._resources = "VAR_HANDLE" in file.operators
        self._invoked = False
        self._see()
        self.inputs = wanted
        self.outputs = tuple(self._output_spec(*pair) for pair in zip(file.outputs, self._outputs, strict=True))

    def _see(self) -> None:
        """These functions are kept, never a view: LiteRT does not invoke while one is alive."""
        self._inputs = _view_functions(self._interpreter, self._interpreter.get_input_details())
        self._outputs = _view_functions(self._interpreter, self._interpreter.get_output_details())

    def input(self, index: int) -> Array:
        """A writable view of the interpreter's own input (about 0.5 us). It must be let go before ``invoke``."""
        return self._inputs[index]()

    def invoke(self) -> None:
        """Run the model once; other threads run meanwhile. Raises ModelError; RuntimeError when a view is still held.

        The interpreter's public ``invoke`` looks for such views first, which costs 0.1 us and is why no view ever dangles.
        """
        self._invoked = True
        try:
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            if "internal data" in str(error) or isinstance(self._interpreter, _Closed):
                raise
            hint = f"edgeinfer inspect {self._path}"
            raise ModelError(self._path.name, "a model that runs", one_line(error), hint) from error

    def output(self, index: int) -> Array:
        """A view of the interpreter's own output, valid until the next ``invoke``, before which it must be let go."""
        return self._outputs[index]()

    def reset(self) -> None:
        """Forget what is remembered inside. Resource variables (VAR_HANDLE) outlive ``reset_all_variables``, so the model is loaded
        anew, which takes milliseconds; the file is mapped already. Raises what the constructor raises."""
        if not (self.variables and self._invoked):
            return
        self._invoked = False
        if not self._resources:
            self._interpreter.reset_all_variables()
            return
        self.close()  # first, so that never two of them take memory
        (self._interpreter, _), _ = first_that_runs(self._loading.on, self._options)
        self._see()

    def close(self) -> None:
        """Free the interpreter. After this every use is a RuntimeError."""
        self._interpreter = _Closed()
        self._inputs = [_refuse] * len(self._inputs)
        self._outputs = [_refuse] * len(self._outputs)

    def _output_spec(self, spec: TensorSpec, view: Callable[[], Array]) -> TensorSpec:
        try:
            return fixed(spec, view().shape)
        except ValueError as error:  # it has no memory yet: its size is known once the model has run
            where, hint = f"{self._path.name}: {spec.name}", "convert the model without non-maximum suppression"
            raise ModelError(where, "an output of fixed size", "one whose size depends on the values", hint) from error


def _view_functions(interpreter: Any, details: list[dict[str, Any]]) -> list[Callable[[], Array]]:
    return [interpreter.tensor(detail["index"]) for detail in details]


class _Closed:
    """Stands where the interpreter was."""

    def invoke(self) -> NoReturn:
        _refuse()


def _refuse() -> NoReturn:
    raise RuntimeError("this session is closed")
