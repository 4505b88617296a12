"""Whether a bundle is for this device: its target, the runtime that it needs, and its size. The trial finds out the rest."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from edgeinfer import devices
from edgeinfer.errors import BundleError, UnavailableError, UsageError
from edgeinfer.model.manifest import Manifest

__all__ = ["check_fits", "has_runtime"]

_RUNTIMES = {"tflite": (("ai_edge_litert", "tflite_runtime"), "litert"), "onnx": (("onnxruntime",), "onnxruntime")}


def check_fits(manifest: Manifest, root: Path = Path("/")) -> None:
    """Raises BundleError for a bundle made for another kind of processor or larger than the memory of the machine whose /proc
    lies under ``root``, UnavailableError where its runtime is not installed. Nothing of the runtime is loaded."""
    machine = devices.probe(root)
    _check_target(manifest.target, machine, root)
    modules, extra = _RUNTIMES[manifest.format]
    if not has_runtime(manifest.format):
        raise UnavailableError(manifest.name, f"a runtime for {manifest.format}: {' or '.join(modules)}", "none installed",
                               f"pip install 'edgeinfer[{extra}]'")
    size = sum(member.bytes for member in manifest.files.values())
    if machine.ram_mb and size > machine.ram_mb << 20:
        raise BundleError(manifest.name, f"a model that fits into {machine.ram_mb} MB of memory", f"files of {size >> 20} MB",
                          "quantise a smaller model")


def has_runtime(format: str) -> bool:
    """Whether a runtime for "tflite" or "onnx" models is installed; nothing of it is loaded."""
    return any(map(find_spec, _RUNTIMES[format][0]))


def _check_target(target: str, machine: devices.Machine, root: Path) -> None:
    """Another board with the same kind of processor will do: the probes say whether it computes the same."""
    here = devices.this_device(root)
    if not target or (here is not None and here.name == target):
        return
    try:
        made_for = devices.load(target)
    except UsageError as error:
        raise BundleError("target", "a device that this version knows", repr(target)[:80],
                          "edgeinfer devices lists them; pip install -U edgeinfer") from error
    if made_for.cpu.architecture != machine.architecture:
        raise BundleError("target", f"a bundle for {here.name if here else machine.architecture}",
                          f"one for {target} ({made_for.cpu.architecture})",
                          f"quantise for this device: quantize run RECIPE with target: {here.name if here else 'a known one'}")
