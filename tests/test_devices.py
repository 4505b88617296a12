"""Device profiles, and which of them a machine is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from edgeinfer import devices
from edgeinfer.errors import DataError, UsageError

A72 = "fp asimd evtstrm crc32 cpuid"
A76 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
XEON = "fpu vme de pse tsc msr lm avx2 avx512f avx512_vnni"
I5 = "fpu vme de pse tsc msr lm avx2"


class Tree(NamedTuple):
    """What the kernel of a machine shows under /proc, and what is made of it."""

    board: str
    features: str
    cores: int
    ram_kb: int
    profile: str | None
    architecture: str
    dot_product: bool


TREES: dict[str, Tree] = {
    "Pi Zero 2": Tree("Raspberry Pi Zero 2 W Rev 1.0", A72, 4, 428_932, "raspberry-pi-zero-2", "aarch64", False),
    "Pi 4": Tree("Raspberry Pi 4 Model B Rev 1.4", A72, 4, 3_885_396, "raspberry-pi-4", "aarch64", False),
    "Pi 400": Tree("Raspberry Pi 400 Rev 1.0", A72, 4, 3_885_396, "raspberry-pi-4", "aarch64", False),
    "CM4": Tree("Raspberry Pi Compute Module 4 Rev 1.0", A72, 4, 1_900_000, "raspberry-pi-4", "aarch64", False),
    "Pi 4, 32-bit": Tree("Raspberry Pi 4 Model B Rev 1.1", "half thumb neon vfpv4", 4, 948_000, "raspberry-pi-4",
                         "armv7l", False),
    "Pi 5": Tree("Raspberry Pi 5 Model B Rev 1.0", A76, 4, 8_256_064, "raspberry-pi-5", "aarch64", True),
    "Pi 500": Tree("Raspberry Pi 500 Rev 1.0", A76, 4, 8_256_064, "raspberry-pi-5", "aarch64", True),
    "Orin Nano": Tree("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", A76, 6, 7_802_880,
                      "jetson-orin-nano", "aarch64", True),
    "Coral, Mendel": Tree("Freescale i.MX8MQ Phanbell", A72, 4, 1_012_000, "coral-dev", "aarch64", False),
    "Coral, mainline": Tree("Google i.MX8MQ Phanbell", A72, 4, 1_012_000, "coral-dev", "aarch64", False),
    "PC": Tree("", I5, 8, 16_000_000, "x86-64", "x86_64", False),
    "PC with VNNI": Tree("", XEON, 2, 4_000_000, "x86-64", "x86_64", True),
    "Pi 3": Tree("Raspberry Pi 3 Model B Plus Rev 1.3", A72, 4, 900_000, None, "aarch64", False),
    "Jetson Nano": Tree("NVIDIA Jetson Nano Developer Kit", A72, 4, 4_059_712, "jetson-nano", "aarch64", False),
    "Jetson TX2": Tree("NVIDIA Jetson TX2 Developer Kit", A72, 6, 8_048_000, "jetson-tx2", "aarch64", False),
    "Jetson Xavier": Tree("NVIDIA Jetson Xavier NX Developer Kit", A76, 6, 8_000_000, None, "aarch64", True),
    "an Arm server": Tree("", A76, 64, 64_000_000, None, "aarch64", True),
}


def plant(root: Path, tree: Tree) -> None:
    """Write the tree: a device-tree name ends with NUL; Arm says Features, x86 flags and a model name."""
    proc = root / "proc"
    (proc / "device-tree").mkdir(parents=True)
    if tree.board:
        (proc / "device-tree/model").write_bytes(tree.board.encode() + b"\0")
    x86 = tree.architecture == "x86_64"
    more = f"model name\t: A Processor\nflags\t\t: {tree.features}" if x86 else f"Features\t: {tree.features}"
    cpus = [f"processor\t: {index}\n{more}\n" for index in range(tree.cores)]
    (proc / "cpuinfo").write_text("\n".join(cpus), encoding="utf-8")
    (proc / "meminfo").write_text(f"MemTotal:        {tree.ram_kb} kB\nMemFree: 1 kB\n", encoding="utf-8")


@pytest.mark.parametrize("name", TREES)
def test_a_machine_is_known_by_its_tree(name: str, tmp_path: Path) -> None:
    """The board's name decides, or the architecture where any machine of it will do; an unknown board has no profile."""
    tree = TREES[name]
    plant(tmp_path, tree)
    machine, profile = devices.probe(tmp_path), devices.this_device(tmp_path)
    assert (machine.architecture, machine.cores, machine.ram_mb, machine.dot_product) == (
        tree.architecture, tree.cores, tree.ram_kb // 1024, tree.dot_product)
    assert (profile.name if profile else None) == tree.profile
    if profile is not None:
        assert (profile.cpu.cores, profile.cpu.dot_product) == (tree.cores, tree.dot_product)


def test_an_empty_tree_is_this_architecture_with_nothing_known(tmp_path: Path) -> None:
    """A container without /proc raises nothing."""
    machine = devices.probe(tmp_path)
    assert machine.architecture
    assert machine.cores >= 1
    assert machine.ram_mb == 0


@pytest.mark.parametrize("profile", devices.load_all(), ids=lambda profile: profile.name)
def test_each_profile_holds_together(profile: devices.DeviceProfile) -> None:
    """A profile can be recognised, runs something, and draws more when it is busy; symmetric activations go with float
    bias, for only TensorRT asks for either."""
    assert devices.load(profile.name) == profile
    assert profile.detect or profile.machines
    assert profile.runtimes
    assert {runtime.backend for runtime in profile.runtimes} <= {"litert", "onnxruntime"}
    assert 0 < profile.power.idle_watts < profile.power.busy_watts
    assert profile.power.source
    assert list(profile.ram_mb) == sorted(profile.ram_mb)
    assert profile.quantization.weights.symmetric
    assert profile.quantization.activations.symmetric == (profile.quantization.bias == "float32")


def test_the_profiles_are_the_known_devices() -> None:
    """The devices that the documentation names are there; two of them compute in no INT8, and say what to do instead."""
    profiles = devices.load_all()
    assert [profile.name for profile in profiles] == [
        "coral-dev", "jetson-nano", "jetson-orin-nano", "jetson-tx2", "raspberry-pi-4", "raspberry-pi-5",
        "raspberry-pi-zero-2", "x86-64"]
    without = [profile for profile in profiles if not profile.quantization.int8]
    assert [profile.name for profile in without] == ["jetson-nano", "jetson-tx2"]
    assert all("FP16" in profile.quantization.instead for profile in without)


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    """A mistyped device is an error that names the nearest one."""
    with pytest.raises(UsageError, match=r"(?s)expected a known device, got 'raspberry-pi4'.*did you mean 'raspberry-pi-4'"):
        devices.load("raspberry-pi4")
    with pytest.raises(UsageError, match=r"known: coral-dev, .*x86-64"):
        devices.load("../pyproject")


@pytest.mark.parametrize(("change", "expected"), [
    ("name: other\n", "expected the file's name, 'coral-dev', got 'other'"),
    ("cores: 4\n", "a known key, got 'cores'"),
    ("ram_mb: many\n", "ram_mb: expected array, got str 'many'"),
    ("title: [\n", "coral-dev.yaml: expected YAML"),
])
def test_a_file_that_is_no_profile_is_refused(change: str, expected: str, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong key, a wrong kind of value or a wrong name is one clear error."""
    lines = (devices._folder() / "coral-dev.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.partition(":")[0] != change.partition(":")[0]]
    (tmp_path / "coral-dev.yaml").write_text("".join([*kept, change]), encoding="utf-8")
    monkeypatch.setattr(devices, "_folder", lambda: tmp_path)
    with pytest.raises(DataError) as caught:
        devices.load("coral-dev")
    assert expected in str(caught.value)


def test_the_toolkit_can_import_it_without_any_runtime() -> None:
    """No numpy, OpenCV, runtime or broker client comes with the profiles."""
    code = "import sys; from edgeinfer import devices; devices.load_all(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "cv2", "onnxruntime", "ai_edge_litert", "paho"} & set(loaded)
