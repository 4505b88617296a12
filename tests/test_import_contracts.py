"""The import contracts hold, and each one catches a planted violation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

lint = pytest.importorskip("importlinter", reason="import-linter is not installed in this environment")

PLANTED = [
    ("floors", "edgeinfer/gate.py", "import edgeinfer.pipeline"),
    ("floors", "edgeinfer/orphan.py", "LEVEL = 0"),
    ("model-floors", "edgeinfer/model/tensor.py", "import edgeinfer.model.manifest"),
    ("toolkit", "edgeinfer/daemon.py", "import quantize.pack"),
    ("toolkit", "edgeinfer/model/bundle.py", "import onnx"),
    ("toolkit-sees", "quantize/pack.py", "import edgeinfer.sources"),
    ("toolkit-light", "quantize/accuracy/rounding.py", "import scipy"),
    ("plug-ins-converters", "quantize/converters/keras.py", "import quantize.converters.torch"),
    ("pixels", "edgeinfer/payload.py", "import numpy"),
    ("pixels", "edgeinfer/sinks/stdout.py", "import edgeinfer.model.frame"),
    ("pixels", "edgeinfer/model/result.py", "import edgeinfer.model.tensor"),
    ("plug-ins-sources", "edgeinfer/sources/csv.py", "import edgeinfer.sources.npy"),
    ("plug-ins-sinks", "edgeinfer/sinks/stdout.py", "import edgeinfer.sinks.mqtt"),
    ("plug-ins-decoders", "edgeinfer/model/decoders/ssd.py", "import edgeinfer.model.decoders.yolo"),
    ("plug-ins-backends", "edgeinfer/model/backends/litert.py", "import edgeinfer.model.backends.onnxruntime"),
]

HEAVY = {
    "cv2": {
        "edgeinfer.annotate", "edgeinfer.drawing", "edgeinfer.looking", "edgeinfer.crop", "edgeinfer.scene.motion",
        "edgeinfer.model.preprocess", "edgeinfer.model.decoders.segment", "edgeinfer.sources",
    },
    "paho": {"edgeinfer.mqtt", "edgeinfer.cli.demo"},
    "distributed": {"edgeinfer.batch"},
    "pyarrow": {"edgeinfer.batch"},
    "serial": {"edgeinfer.sources.serial"},
    "tokenizers": {"edgeinfer.tokenizer"},
    "ai_edge_litert": {"edgeinfer.model.backends"},
    "tflite_runtime": {"edgeinfer.model.backends"},
    "onnxruntime": {"edgeinfer.model.backends"},
    "amqtt": {"edgeinfer.embedded_broker"},
}


def _lint(folder: Path, contract: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run([sys.executable, "-c", code, "--contract", contract, "--no-cache"], cwd=folder, text=True,
                          capture_output=True, check=False, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder)})


def _copy(folder: Path) -> None:
    for package in ("edgeinfer", "quantize"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)


@pytest.mark.parametrize(("contract", "file", "line"), PLANTED, ids=[f"{c}:{f}" for c, f, _ in PLANTED])
def test_a_planted_violation_is_caught(contract: str, file: str, line: str, tmp_path: Path) -> None:
    """One line of import in the wrong place breaks the contract that forbids it."""
    _copy(tmp_path)
    with (tmp_path / file).open("a") as module:
        module.write(f"\n{line}\n")
    outcome = _lint(tmp_path, contract)
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    assert "BROKEN" in outcome.stdout or "Missing layer" in outcome.stdout + outcome.stderr \
        or "exhaustive" in outcome.stdout + outcome.stderr


@pytest.mark.parametrize("package", HEAVY)
def test_a_heavy_package_is_imported_in_few_places(package: str) -> None:
    """Each heavy import occurs only below the modules that are allowed to have it."""
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("edgeinfer", include_external_packages=True, cache_dir=None)
    importers = graph.find_modules_that_directly_import(package)
    assert importers, f"nobody imports {package}: the test would see nothing"
    outside = {module for module in importers if not any(module == name or module.startswith(f"{name}.") for name in HEAVY[package])}
    assert outside == set()
