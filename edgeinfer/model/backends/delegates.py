"""LiteRT's delegates: which library stands behind a name, and how many operators one really took over."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edgeinfer.errors import Fault, UnavailableError, UsageError
from edgeinfer.model.backends.accelerator import Accelerator
from edgeinfer.registry import closest

__all__ = ["BUILTIN", "LIBRARIES", "XNNPACK", "delegated", "load_library", "why_xnnpack_cannot_start"]

XNNPACK = "xnnpack"  # LiteRT brings it and applies it by itself
BUILTIN = ("none", "cpu")  # its own kernels, without XNNPACK
LIBRARIES = {"edgetpu": "libedgetpu.so.1", "gpu": "libtensorflowlite_gpu_delegate.so", "armnn": "libarmnnDelegate.so"}

_CPU_FACTS = ("/proc/cpuinfo", "/sys/devices/system/cpu/possible", "/sys/devices/system/cpu/present")
_SYMBOLS = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")  # external_delegate_interface.h


def load_library(accelerator: Accelerator, load_delegate: Any) -> Any:
    """The delegate of a name in ``LIBRARIES``, or of a library by its file name or path.

    Raises UsageError for another name, UnavailableError where the library is absent, is no delegate, or finds no device.
    It is opened here first because LiteRT's Delegate prints a second error from its destructor when it cannot be made.
    """
    name = accelerator.name
    library = LIBRARIES.get(name, name)
    if name not in LIBRARIES and ".so" not in name:
        hint = closest(name, [XNNPACK, *BUILTIN, *LIBRARIES])
        raise UsageError.of([Fault("accelerators", "a delegate's name or library (lib….so)", f"'{name}'", hint)])
    try:
        opened = ctypes.CDLL(library)
        for symbol in _SYMBOLS:
            if not hasattr(opened, symbol):
                raise ValueError(f"{library} has no {symbol}: it is no TFLite delegate")
        return load_delegate(library, accelerator.options)
    except (OSError, ValueError) as error:
        raise UnavailableError(f"accelerator {name}", "a delegate that starts", " ".join(str(error).split()),
                               f"ldconfig -p | grep {Path(library).name}") from error


def delegated(operators: Sequence[dict[str, Any]], kernels: Iterable[int]) -> int:
    """How many of the model's operators the delegate kernels at these indices of ``_get_ops_details()`` stand for.

    LiteRT keeps the replaced operators in its list and appends a DELEGATE for each partition; those replaced are what lies
    between the partition's outputs and its inputs.
    """
    writers = {output: index for index, operator in enumerate(operators) if operator["op_name"] != "DELEGATE"
               for output in map(int, operator["outputs"])}
    taken: set[int] = set()
    for kernel in kernels:
        inputs = set(map(int, operators[kernel]["inputs"]))
        wanted = list(map(int, operators[kernel]["outputs"]))
        while wanted:
            index = writers.get(wanted.pop())
            if index is not None and index not in taken:
                taken.add(index)
                wanted += [tensor for tensor in map(int, operators[index]["inputs"]) if tensor not in inputs]
    return len(taken)


def why_xnnpack_cannot_start() -> str:
    """XNNPACK drops out without an error where it cannot learn what CPU it runs on, which makes a model 2 to 3 times slower;
    systemd's ProcSubset=pid does that, and a container without /sys. Empty where nothing is hidden."""
    hidden = [name for name in _CPU_FACTS if not Path(name).exists()]
    return f"XNNPACK cannot start: {', '.join(hidden)} hidden (ProcSubset=pid in a systemd unit?)" if hidden else ""
