"""Nets that torch exports, with seeded random weights: the float TFLite computes what the exported ONNX computes, and INT8 in
both formats keeps as much of the signal as ONNX Runtime's own quantisation does.

Deep nets of random weights amplify every rounding, so their INT8 figures are low for everybody; what counts is that ours are
not lower. The figures are printed: ``make conformance``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch and torchvision: make conformance")
pytest.importorskip("torchvision", reason="needs torch and torchvision: make conformance")
pytest.importorskip("onnxscript", reason="needs torch's ONNX exporter: make conformance")

from tests.conformance.conversion import float_differences, in_integers, reference_sqnr
from tests.conformance.nets import NETS, export, make, window_net
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FOLDER = Path(os.environ.get("EDGEINFER_TORCHNETS", ROOT / "out" / "torchnets"))


@pytest.fixture(params=list(NETS))
def net(request: pytest.FixtureRequest) -> Path:
    """The exported file; made once and kept in out/torchnets."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    return export(request.param, FOLDER)


def test_the_float_tflite_computes_what_torch_exported(net: Path) -> None:
    """Within 1e-4 of the output's range, against the exported file in ONNX Runtime."""
    for output, difference in float_differences(net).items():
        assert difference < 1e-4, output


def test_integers_keep_as_much_as_onnx_runtimes_own(net: Path) -> None:
    """Signal to noise at most 1 dB below that of quantize_static per channel on the same samples, in ONNX and in TFLite; no
    convolution and no matrix in float."""
    made, reference = in_integers(net), reference_sqnr(net)
    print(f"{net.stem}: {made}; ONNX Runtime's own {reference:.1f} dB")
    onnx, tflite = made.sqnr
    assert onnx > reference - 1
    assert tflite > reference - 1.5
    assert not {op for _, op, _ in made.islands} & {"Conv", "ConvTranspose", "Gemm", "MatMul"}


def test_a_program_of_torch_export_is_read_by_way_of_onnx(tmp_path: Path) -> None:
    """.pt2 in, the same network out; an open batch becomes 1."""
    import numpy as np
    import torch

    from quantize.converters import load
    from quantize.graph.execute import Runner
    model, path = make("window_cnn"), tmp_path / "window.pt2"
    program = torch.export.export(model, (torch.zeros(2, 6, 128),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, str(path))
    loaded = load(path)
    x = np.random.default_rng(0).normal(size=(1, 6, 128)).astype(np.float32)
    [got] = Runner(loaded.graph).run({loaded.graph.inputs[0]: x}).values()
    with torch.no_grad():
        expected = model(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-5 * np.ptp(expected))
    assert loaded.format == "torch"


def test_a_program_in_training_mode_is_refused(tmp_path: Path) -> None:
    import torch

    from edgeinfer.errors import ModelError
    from quantize.converters import load
    program = torch.export.export(window_net().train(), (torch.zeros(2, 6, 128),))
    torch.export.save(program, str(tmp_path / "training.pt2"))
    with pytest.raises(ModelError, match=r"model\.eval\(\)"):
        load(tmp_path / "training.pt2")


def test_a_program_with_pickles_in_it_is_refused(tmp_path: Path) -> None:
    """torch.export.load would unpickle them, which is to run what they say."""
    import zipfile

    import torch

    from edgeinfer.errors import ModelError
    from quantize.converters import load
    whole, other = tmp_path / "whole.pt2", tmp_path / "other.pt2"
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),)), str(whole))
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(other, "w") as target:
        for entry in source.namelist():
            content = source.read(entry)
            if entry.endswith("weights_config.json"):
                content = content.replace(b'"use_pickle": false', b'"use_pickle": true', 1)
            target.writestr(entry, content)
    with pytest.raises(ModelError, match="pickle"):
        load(other)
