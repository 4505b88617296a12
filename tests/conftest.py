"""What every test may ask for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("edgeinfer", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
settings.load_profile("edgeinfer")

ROOT = Path(__file__).resolve().parent.parent
MISSING = {}  # what is not on this machine, and what an error says that comes of it
if not find_spec("onnxruntime"):
    MISSING["no ONNX Runtime for this machine"] = "No module named 'onnxruntime'"
if find_spec("cryptography") and int(version("cryptography").split(".")[0]) < 40:
    MISSING["a cryptography older than 40"] = "public_bytes_raw"


@pytest.fixture(scope="session")
def zoo() -> Path:
    """The folder of real models and inputs that may stand beside the checkout; the test is skipped where it does not."""
    folder = Path(os.environ.get("EDGEINFER_ZOO", ROOT.parent / "shared" / "zoo"))
    if not folder.is_dir():
        pytest.skip(f"no model zoo at {folder}: set EDGEINFER_ZOO")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of eight MiB; the test is skipped where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Iterator[object]:
    """A test that needs ONNX Runtime, or a newer cryptography than Debian 12 has, is skipped where it is not: 32-bit ARM."""
    try:
        return (yield)
    except Exception as error:
        for missing, words in MISSING.items():
            if words in str(error):
                pytest.skip(missing)
        raise
