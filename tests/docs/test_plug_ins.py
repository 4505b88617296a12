"""The page on plug-ins: its code is run."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer import errors
from edgeinfer.model import tensor
from edgeinfer.model.backends import BACKENDS
from edgeinfer.model.decoders import DECODERS
from edgeinfer.sinks import SINKS
from edgeinfer.sources import SOURCES
from quantize.converters import CONVERTERS
from tests.docs.pages import PLUG_INS
from tests.models import tiny_onnx


def test_every_kind_of_plug_in_is_told() -> None:
    """The page names the group of entry points of each table that a third party can add to."""
    text = PLUG_INS.section("Adding a plug-in")
    assert all(f"`edgeinfer.{table.kind}`" in text for table in (SOURCES, SINKS, DECODERS, CONVERTERS))
    assert f"`edgeinfer.{BACKENDS.kind}`" not in text


def _shown_there(name: str) -> Any:
    """The class or function of that name from the page's Python."""
    for block in PLUG_INS.blocks():
        if block.language == "python" and re.search(rf"^(?:class|def) {name}\b", block.text, re.MULTILINE):
            names: dict[str, Any] = {"__name__": "plug_ins"}
            exec(compile(block.text, block.id, "exec"), names)
            return names[name]
    raise KeyError(name)


def test_the_decoder_that_is_shown_decodes() -> None:
    """The page's decoder sums a quantised map with its scale and zero point."""
    real = tensor.Quantization(scale=(0.5,), zero_point=(-128,))
    spec = tensor.TensorSpec(name="map", shape=(1, 2, 2), dtype="int8", quantization=real)
    result = _shown_there("Density")({}, [spec], (), []).decode([np.array([[[-128, -126], [-124, -128]]], np.int8)], [], None)
    assert result.document() == {"values": {"people": 3.0}}


def test_the_source_that_is_shown_delivers(tmp_path: Path) -> None:
    """The page's source reads its file, fails with a SourceError when it is gone, and can be interrupted."""
    file = tmp_path / "temp1_input"
    file.write_text("42000\n")
    cls = _shown_there("Hwmon")
    source = cls(cls.Options(path=str(file), rate=1000.0))
    source.open()
    samples = np.zeros((2, source.format().channels), np.float32)
    assert source.read_into(samples) == 2
    assert samples.tolist() == [[42000], [42000]]
    file.unlink()
    with pytest.raises(errors.SourceError, match="a whole number"):
        source.read_into(samples)
    source.interrupt()
    assert source.read_into(samples) == 0


def test_the_converter_that_is_shown_converts(tmp_path: Path) -> None:
    """The page's converter reads what it says, and refuses what is none."""
    load = _shown_there("load")
    file = tmp_path / "mean.onnx.gz"
    file.write_bytes(gzip.compress(tiny_onnx(tmp_path / "mean.onnx").read_bytes()))
    assert load(file, {}).graph.inputs == ["image"]
    file.write_bytes(b"nothing")
    with pytest.raises(errors.ModelError, match="a file that gzip made"):
        load(file, {})
