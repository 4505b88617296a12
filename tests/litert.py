"""The LiteRT that is installed: ai-edge-litert, or tflite-runtime with the one file of schema that it does not bring."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

__all__ = ["interpreter", "schema"]


def interpreter() -> Any:
    """The module that has ``Interpreter``; the test is skipped where neither package is installed."""
    try:
        return importlib.import_module("ai_edge_litert.interpreter")
    except ImportError:
        return pytest.importorskip("tflite_runtime.interpreter")


def schema() -> Any:
    """The module ``schema_py_generated``, by which the tests write models."""
    try:
        return importlib.import_module("ai_edge_litert.schema_py_generated")
    except ImportError:
        return pytest.importorskip("schema_py_generated")
