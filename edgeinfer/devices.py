"""Known devices: one YAML file each, and which of them this machine is."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Literal

import msgspec

from edgeinfer.errors import DataError, Fault, UsageError
from edgeinfer.registry import closest
from edgeinfer.typed import convert

__all__ = ["Activations", "Cpu", "DeviceProfile", "Machine", "Power", "QuantizationRules", "Runtime", "Weights", "load",
           "load_all", "probe", "this_device"]


class Cpu(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``dot_product``: has INT8 dot-product instructions (asimddp, VNNI), which is where INT8 gains most over float."""

    name: str
    architecture: Literal["aarch64", "armv7l", "x86_64"]
    cores: int
    dot_product: bool


class Runtime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model format, the backend that runs it, and its accelerators (the backend's names) in the order to try them."""

    format: Literal["tflite", "onnx"]
    backend: str
    accelerators: tuple[str, ...] = ()


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How weights are quantised: int8. ``symmetric``: zero point 0; ``per_axis``: a scale for each output channel."""

    symmetric: bool
    per_axis: bool


class Activations(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How activations are quantised: int8, one scale a tensor. ``symmetric``: zero point 0."""

    symmetric: bool


class QuantizationRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model must keep to so that all of it runs in INT8 here. ``integer_io``: inputs and outputs must be integers
    too. ``int8`` False: its accelerator does not compute in INT8, and ``instead`` says what to do. ``notes`` are sentences
    for people."""

    weights: Weights
    activations: Activations
    bias: Literal["int32", "float32"]
    integer_io: bool
    int8: bool = True
    instead: str = ""
    notes: tuple[str, ...] = ()


class Power(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Watts of the whole board, idle and with all cores busy; ``source`` says where from, or "estimate"."""

    idle_watts: float
    busy_watts: float
    source: str


class DeviceProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of device. ``ram_mb``: the sizes it is sold with, empty for any. ``runtimes``: the best one first.

    ``detect`` are parts of /proc/device-tree/model; ``machines`` are architectures of which any machine fits.
    """

    name: str
    title: str
    cpu: Cpu
    ram_mb: tuple[int, ...]
    runtimes: tuple[Runtime, ...]
    quantization: QuantizationRules
    power: Power
    detect: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine says of itself."""

    model: str
    architecture: str
    cores: int
    ram_mb: int
    dot_product: bool


def load_all() -> tuple[DeviceProfile, ...]:
    """All profiles, by name. Raises DataError for a file that is not a profile."""
    return tuple(_read(path) for path in sorted(_folder().glob("*.yaml")))


def load(name: str) -> DeviceProfile:
    """The profile of that name. Raises UsageError with a suggestion for an unknown one."""
    known = [path.stem for path in sorted(_folder().glob("*.yaml"))]
    if name not in known:
        raise UsageError("device", "a known device", f"'{name}'", closest(name, known))
    return _read(_folder() / f"{name}.yaml")


def this_device(root: Path = Path("/")) -> DeviceProfile | None:
    """The profile that fits the machine whose /proc lies under ``root``; None for a board that is not known.

    The number of cores and whether there are dot-product instructions are the machine's own.
    """
    machine = probe(root)
    profile = _match(machine)
    if profile is None:
        return None
    cpu = msgspec.structs.replace(profile.cpu, cores=machine.cores, dot_product=machine.dot_product)
    return msgspec.structs.replace(profile, cpu=cpu)


def probe(root: Path = Path("/")) -> Machine:
    """What the machine says of itself whose /proc lies under ``root``; 0 MB where it does not tell."""
    cpuinfo = _text(root / "proc/cpuinfo")
    flags = set(_field(cpuinfo, "flags").split() or _field(cpuinfo, "Features").split())
    architecture = _architecture(flags)
    ram_kb = re.search(r"^MemTotal:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    board = _text(root / "proc/device-tree/model").rstrip("\0\n")
    return Machine(
        model=board or _field(cpuinfo, "model name") or architecture,
        architecture=architecture,
        cores=len(re.findall(r"^processor\s*:", cpuinfo, re.MULTILINE)) or os.cpu_count() or 1,
        ram_mb=int(ram_kb[1]) // 1024 if ram_kb else 0,
        dot_product=bool(flags & {"asimddp", "avx_vnni", "avx512_vnni"}),
    )


def _match(machine: Machine) -> DeviceProfile | None:
    """The profile with the longest part of the board's name; else one for any machine of the architecture."""
    profiles = load_all()
    named = [(len(part), profile) for profile in profiles for part in profile.detect if part in machine.model]
    if named:
        return max(named, key=lambda pair: pair[0])[1]
    return next((profile for profile in profiles if machine.architecture in profile.machines), None)


def _architecture(flags: set[str]) -> str:
    if "lm" in flags:  # "long mode", AMD64
        return "x86_64"
    if "asimd" in flags:  # a 32-bit kernel calls it neon
        return "aarch64"
    return "armv7l" if "neon" in flags else platform.machine()


def _field(cpuinfo: str, name: str) -> str:
    found = re.search(rf"^{name}\s*: (.*)$", cpuinfo, re.MULTILINE)
    return found[1] if found else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _folder() -> Path:
    """Where the profiles are: in the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "_devices"
    return installed if installed.is_dir() else package.parent / "devices"


def _read(path: Path) -> DeviceProfile:
    import yaml

    faults: list[Fault] = []
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise DataError(path.name, "YAML", " ".join(str(error).split())) from error
    profile = convert(document, DeviceProfile, path.name, faults)
    if profile is None:
        raise DataError.of(faults)
    if profile.name != path.stem:
        raise DataError(f"{path.name}: name", f"the file's name, '{path.stem}'", f"'{profile.name}'")
    return profile
