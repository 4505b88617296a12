"""How an inference session comes to be: options for a small board, the first execution provider that runs, and the truth
about it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from edgeinfer.errors import Fault, ModelError, UnavailableError, UsageError
from edgeinfer.model.backends.accelerator import CPU, Accelerator
from edgeinfer.model.modelfacts import ModelFile
from edgeinfer.registry import closest

__all__ = ["PROVIDERS", "Loading", "error_types", "import_runtime", "refusal"]

PROVIDERS = {
    "acl": "ACLExecutionProvider", "armnn": "ArmNNExecutionProvider", "coreml": "CoreMLExecutionProvider",
    "cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "nnapi": "NnapiExecutionProvider",
    "openvino": "OpenVINOExecutionProvider", "qnn": "QNNExecutionProvider", "rknpu": "RknpuExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider", "webgpu": "WebGpuExecutionProvider", "xnnpack": "XnnpackExecutionProvider",
}
_ON_CPU = PROVIDERS["cpu"]
_ERRORS = ("EPFail", "EngineError", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoModel", "NoSuchFile",
           "NotImplemented", "RuntimeException")


# It rounds the float weights of an operator between integer ones, per tensor: exactly those that were left float on purpose.
_NOT_OURS = ["WeightBiasQuantization"]


class Loading:
    """The ways to load one file, to be tried one after the other."""

    def __init__(self, runtime: Any, path: Path, file: ModelFile, threads: int) -> None:
        self._runtime = runtime
        self._path = path
        self._file = file
        self._threads = threads

    def on(self, accelerator: Accelerator) -> tuple[Any, str]:
        """(inference session, the providers that take part).

        Raises UsageError for a name that no provider has, UnavailableError where the provider is not built in, does not load
        or takes no operator, and ModelError where the model does not load on the CPU.
        """
        name = accelerator.name
        provider = _ON_CPU if accelerator == CPU else PROVIDERS.get(name, name)
        self._check_available(name, provider)
        providers = [(provider, accelerator.options), (_ON_CPU, {})] if provider != _ON_CPU else [(_ON_CPU, {})]
        try:
            session = self._runtime.InferenceSession(str(self._path), self._options(provider), providers=providers,
                                                     disabled_optimizers=_NOT_OURS)
        except error_types(self._runtime) as error:
            if provider == _ON_CPU:
                raise refusal(self._path, "a model that ONNX Runtime loads", error) from error
            raise _not_running(name, provider, _one_line(error)) from error
        return session, _on_cpu_or(session, name, provider)

    def _check_available(self, name: str, provider: str) -> None:
        known = [*PROVIDERS, *self._runtime.get_all_providers()]
        if provider not in known and provider not in PROVIDERS.values():
            raise UsageError.of([Fault("accelerators", "an execution provider", f"'{name}'", closest(name, known))])
        available = self._runtime.get_available_providers()
        if provider not in available:
            raise _not_running(name, provider, f"an ONNX Runtime that brings {', '.join(available)}")

    def _options(self, provider: str) -> Any:
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = self._runtime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = self._runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = True  # one block for all tensors in between
        options.log_severity_level = 3  # errors
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if provider != _ON_CPU:
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        for spec in self._file.inputs:
            if -1 in spec.shape[:1]:
                options.add_free_dimension_override_by_name(self._file.symbols[spec.name][0], 1)
        return options


def _on_cpu_or(session: Any, name: str, provider: str) -> str:
    """What runs, judged by the session and not by what was asked for."""
    if provider == _ON_CPU:
        return _ON_CPU
    if provider not in session.get_providers():
        raise _not_running(name, provider, f"only {', '.join(session.get_providers())}: its libraries do not load")
    if not hasattr(session, "get_provider_graph_assignment_info"):  # 1.20 does not tell, 1.32 does
        return f"{provider} (its share of the operators is not told)"
    operators: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        operators[part.ep_name] += len(part.get_nodes())
    total = operators.total()
    if not operators[provider]:
        raise _not_running(name, provider, f"none of {total} operators taken over by it")
    return f"{provider} ({operators[provider]} of {total} operators)"


def _not_running(name: str, provider: str, got: str) -> UnavailableError:
    return UnavailableError(f"accelerator {name}", provider, got,
                            "install the onnxruntime wheel that your board's vendor builds")


def import_runtime(where: str) -> Any:
    """Raises UnavailableError where onnxruntime is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UnavailableError(where, "onnxruntime", str(error), "pip install 'edgeinfer[onnx]'") from error
    return onnxruntime


def error_types(runtime: Any) -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: types of its own that have no parent in common, and RuntimeError or ValueError."""
    state = runtime.capi.onnxruntime_pybind11_state
    return (RuntimeError, ValueError, *(getattr(state, name) for name in _ERRORS if hasattr(state, name)))


def refusal(path: Path, expected: str, error: Exception) -> ModelError:
    """ONNX Runtime's message about a model that it does not take, with the operator's name first."""
    message = _one_line(error)
    missing = re.search(r"(?:No Op registered for|Could not find an implementation for) ([^\s(]+)", message)
    if missing:
        return ModelError(path.name, "operators that the installed ONNX Runtime brings", f"the operator {missing[1]}",
                          "pip install -U onnxruntime, or export the model for an older operator set")
    return ModelError(path.name, expected, message, f"edgeinfer inspect {path}")


def _one_line(error: Exception) -> str:
    """The message without the library's name, the file's, its place in the C++ source and line breaks."""
    message = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))
    return " ".join(re.sub(r"^(Load model from .*? failed:)?(/onnxruntime_src/\S+ )?", "", message).split())
