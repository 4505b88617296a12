"""How an interpreter comes to be: the package that is installed, the first accelerator that runs, and the truth about it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from edgeinfer.errors import ModelError, UnavailableError
from edgeinfer.model.backends.accelerator import CPU, Accelerator
from edgeinfer.model.backends.delegates import BUILTIN, XNNPACK, delegated, load_library, why_xnnpack_cannot_start
from edgeinfer.model.tensor import TensorSpec

__all__ = ["Loading", "Runtime", "import_runtime", "one_line"]


class Runtime(msgspec.Struct, frozen=True):
    """The module ``interpreter`` of the package that is installed, and its name for people: "LiteRT 2.3.0"."""

    module: Any
    name: str


def import_runtime(where: str) -> Runtime:
    """Raises UnavailableError where neither package is installed."""
    try:
        import ai_edge_litert
        from ai_edge_litert import interpreter
    except ImportError:
        return _import_predecessor(where)
    return Runtime(interpreter, f"LiteRT {ai_edge_litert.__version__}")


def _import_predecessor(where: str) -> Runtime:
    try:
        import tflite_runtime
        from tflite_runtime import interpreter
    except ImportError as error:
        hint = "pip install 'edgeinfer[litert]'"
        raise UnavailableError(where, "ai-edge-litert or tflite-runtime", str(error), hint) from error
    return Runtime(interpreter, f"TFLite {tflite_runtime.__version__}")


class Loading:
    """The ways to load one file, to be tried one after the other."""

    def __init__(self, runtime: Runtime, path: Path, inputs: tuple[TensorSpec, ...], threads: int) -> None:
        self._module = runtime.module
        self._path = path
        self._inputs = inputs
        self._threads = threads

    def on(self, accelerator: Accelerator) -> tuple[Any, str]:
        """(interpreter with its tensors allocated, what it runs on).

        Raises UsageError for a name that no accelerator has, UnavailableError where it does not start or takes no operator,
        and ModelError where the model does not load on LiteRT's own kernels.
        """
        name = accelerator.name
        library = None if name in (*BUILTIN, XNNPACK, CPU.name) else load_library(accelerator, self._module.load_delegate)
        try:
            interpreter, library_kernels = self._load(name not in BUILTIN, library)
        except (RuntimeError, ValueError) as error:
            if library is None:
                raise self._refusal(one_line(error)) from error
            raise _takes_nothing(name, one_line(error)) from error
        return interpreter, _what_runs(interpreter, library_kernels, name, library is not None)

    def _load(self, xnnpack: bool, library: Any) -> tuple[Any, list[int]]:
        resolvers = self._module.OpResolverType
        interpreter = self._module.Interpreter(
            str(self._path), num_threads=self._threads, experimental_delegates=None if library is None else [library],
            experimental_op_resolver_type=resolvers.AUTO if xnnpack else resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
        library_kernels = _kernels(interpreter)  # XNNPACK's come when tensors are allocated
        for detail, spec in zip(interpreter.get_input_details(), self._inputs, strict=True):
            if tuple(detail["shape"]) != spec.shape:
                interpreter.resize_tensor_input(detail["index"], spec.shape)
        interpreter.allocate_tensors()
        return interpreter, library_kernels

    def _refusal(self, message: str) -> ModelError:
        """LiteRT's message about a model that it does not take, with the operator's name first."""
        custom = re.search(r"unresolved custom op: (\S+?)\.? ", message + " ")
        newer = re.search(r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'", message)
        if custom:
            return ModelError(self._path.name, "operators that LiteRT brings", f"the custom operator {custom[1]}",
                              f"convert the model without {custom[1]}, or name the delegate library that brings it")
        if newer:
            return ModelError(self._path.name, "operators that the installed LiteRT brings",
                              f"{newer[1]} version {newer[2]}", "pip install -U ai-edge-litert")
        return ModelError(self._path.name, "a model that LiteRT loads", message, f"edgeinfer inspect {self._path}")


def _kernels(interpreter: Any) -> list[int]:
    """Indices of the delegates' kernels among the operators; the interpreter has no public way to ask."""
    return [index for index, operator in enumerate(interpreter._get_ops_details()) if operator["op_name"] == "DELEGATE"]


def _what_runs(interpreter: Any, library_kernels: list[int], name: str, library: bool) -> str:
    """What runs, judged by the operators that were really replaced and not by what was asked for."""
    operators, kernels = interpreter._get_ops_details(), _kernels(interpreter)
    total = len(operators) - len(kernels)
    by_library = delegated(operators, library_kernels)
    by_xnnpack = delegated(operators, [index for index in kernels if index not in library_kernels])
    if library and not by_library:
        raise _takes_nothing(name, f"none of {total}")
    if name == XNNPACK and not by_xnnpack:
        raise _takes_nothing(name, why_xnnpack_cannot_start() or f"none of {total}")
    counts = ((Path(name).name, by_library), ("XNNPACK", by_xnnpack))
    return ", ".join(f"{who} ({count} of {total} operators)" for who, count in counts if count) or "built-in kernels"


def _takes_nothing(name: str, got: str) -> UnavailableError:
    return UnavailableError(f"accelerator {name}", "a delegate that takes over operators", got,
                            "name another in accelerators, or none for LiteRT's own kernels")


def one_line(error: Exception) -> str:
    """The runtime's message without its line breaks."""
    return " ".join(str(error).split())
