"""ONNX Runtime: bound arrays, fixed shapes, quantisation at the boundary, and models that it does not take."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.errors import ModelError, UnavailableError
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.backends.onnxruntime import OnnxRuntimeSession
from edgeinfer.model.tensor import Quantization
from tests.models import Op, Tensor, tiny_onnx, write_onnx


def open_onnx(path: Path, *accelerators: str, **options: Any) -> OnnxRuntimeSession:
    return OnnxRuntimeSession(path, RuntimeOptions(accelerators=accelerators, **options))


def one_operator(path: Path, name: str, x: Tensor, y: Tensor) -> Path:
    return write_onnx(path, [x, y], [Op(name, (x.name,), (y.name,))], (x.name,), (y.name,))


@pytest.mark.parametrize("qdq", [False, True])
def test_outputs_are_those_of_the_bare_session(tmp_path: Path, qdq: bool) -> None:
    """The session adds nothing to what ONNX Runtime computes, bit for bit."""
    import onnxruntime

    path = tiny_onnx(tmp_path / "model.onnx", qdq=qdq)
    bare, session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]), open_onnx(path)
    rng = np.random.default_rng(1)
    for _ in range(10):
        picture = rng.random((1, 3, 8, 8), np.float32)
        session.input(0)[...] = picture
        session.invoke()
        np.testing.assert_array_equal(session.output(0), bare.run(None, {"image": picture})[0])


@pytest.mark.parametrize("symbol", ["N", "batch", "unk__123", ""])
def test_a_dynamic_first_side_becomes_one(tmp_path: Path, symbol: str) -> None:
    """The batch, whatever the exporter called it, or left without a name."""
    session = open_onnx(tiny_onnx(tmp_path / "model.onnx", batch=symbol))
    assert session.inputs[0].shape == (1, 3, 8, 8)
    assert session.outputs[0].shape == (1, 3)
    session.input(0)[...] = 2.0
    session.invoke()
    assert session.output(0).tolist() == [[2.0, 2.0, 2.0]]


def test_another_dynamic_side_is_refused_by_name(tmp_path: Path) -> None:
    """Memory is fixed at start; the hint is a command that fixes the sides."""
    path = one_operator(tmp_path / "model.onnx", "Relu", Tensor("x", ("N", "height", 4)), Tensor("y", ("N", "height", 4)))
    with pytest.raises(ModelError, match=r"model\.onnx: x: .* got \[N, height, 4\]\n  hint: python -m onnxruntime\.tools\."):
        open_onnx(path)


def test_an_output_whose_size_is_not_stated_is_measured(tmp_path: Path) -> None:
    """The file gives a symbol for a side of the output that only follows from the graph's values: a run tells it."""
    shape = Tensor("shape", (2,), "int64", values=[2, -1])
    tensors = [Tensor("x", (1, 6)), shape, Tensor("copy", (2,), "int64"), Tensor("y", ("rows", "columns"))]
    ops = [Op("Identity", ("shape",), ("copy",)), Op("Reshape", ("x", "copy"), ("y",))]
    assert open_onnx(write_onnx(tmp_path / "model.onnx", tensors, ops, ("x",), ("y",))).outputs[0].shape == (2, 3)


def test_an_output_that_depends_on_the_values_is_refused(tmp_path: Path) -> None:
    """NonZero gives as many columns as there are values: its memory cannot be fixed."""
    path = one_operator(tmp_path / "model.onnx", "NonZero", Tensor("x", (1, 4)), Tensor("y", (2, "n"), "int64"))
    with pytest.raises(ModelError, match="y: expected an output of fixed size"):
        open_onnx(path)


def test_a_result_that_does_not_fit_is_a_model_error(tmp_path: Path) -> None:
    """Where the size does change after the start, invoke says so instead of writing elsewhere."""
    x, ones, y = Tensor("x", (1, 4)), Tensor("one", (1,), values=[1.0]), Tensor("y", ("n", "m"), "int64")
    ops = [Op("Greater", ("one", "x"), ("low",)), Op("NonZero", ("low",), ("y",))]  # four of them while x is zero
    session = open_onnx(write_onnx(tmp_path / "model.onnx", [x, ones, y], ops, ("x",), ("y",)))
    assert session.outputs[0].shape == (2, 4)
    session.invoke()
    session.input(0)[0, 0] = 5.0
    with pytest.raises(ModelError, match=r"model\.onnx: expected a model that runs"):
        session.invoke()


def quantised(path: Path, dtype: str, before: Sequence[str] = (), after: Sequence[str] = (), zero_point: int | None = 7) -> Path:
    """Integers in and out: x -(before)-> DequantizeLinear -> Relu -> QuantizeLinear -(after)-> y."""
    tensors = [Tensor("x", (1, 4), dtype), Tensor("y", (1, 4), dtype), Tensor("in_scale", (), values=0.5),
               Tensor("out_scale", (), values=0.25), Tensor("zero", (), dtype, values=zero_point or 0)]
    zero = () if zero_point is None else ("zero",)
    chain = [*((name, ()) for name in before), ("DequantizeLinear", ("in_scale", *zero)), ("Relu", ()),
             ("QuantizeLinear", ("out_scale", *zero)), *((name, ()) for name in after)]
    values = ["x", *(f"value{index}" for index in range(1, len(chain))), "y"]
    ops = [Op(name, (values[index], *others), (values[index + 1],)) for index, (name, others) in enumerate(chain)]
    return write_onnx(path, tensors, ops, ("x",), ("y",))


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize(("before", "after"), [((), ()), (("Identity",), ("Transpose",)), (("Transpose", "Flatten"), ("Identity",))])
def test_integer_inputs_and_outputs_have_their_quantisation(tmp_path: Path, dtype: str, before: tuple[str, ...],
                                                            after: tuple[str, ...]) -> None:
    """It stands in the DequantizeLinear that reads the input and the QuantizeLinear that writes the output, also where the
    values are only moved in between."""
    session = open_onnx(quantised(tmp_path / "model.onnx", dtype, before, after))
    assert session.inputs[0].quantization == Quantization(scale=(0.5,), zero_point=(7,))
    assert session.outputs[0].quantization == Quantization(scale=(0.25,), zero_point=(7,))
    real = np.array([[0.0, 1.0, 2.5, 3.0]])
    session.input(0)[...] = session.inputs[0].quantize(real)
    session.invoke()
    np.testing.assert_array_equal(session.outputs[0].dequantize(session.output(0)).ravel(), real.ravel())


def test_a_missing_zero_point_is_zero(tmp_path: Path) -> None:
    """It is an optional input of QuantizeLinear and DequantizeLinear."""
    assert open_onnx(quantised(tmp_path / "model.onnx", "uint8", zero_point=None)).inputs[0].quantization == Quantization(
        scale=(0.5,), zero_point=(0,))


@pytest.mark.parametrize("x", [Tensor("x", (1, 4)), Tensor("x", (1, 4), "int8")])
def test_tensors_that_nobody_quantises_have_no_quantisation(tmp_path: Path, x: Tensor) -> None:
    """A float input, and an integer one that is used as it is."""
    path = one_operator(tmp_path / "model.onnx", "Identity", x, Tensor("y", (1, 4), x.dtype))
    session = open_onnx(path)
    assert (session.inputs[0].quantization, session.outputs[0].quantization) == (None, None)


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    """The error says which operator the runtime lacks."""
    path = one_operator(tmp_path / "model.onnx", "NoSuchOperator", Tensor("x", (1, 4)), Tensor("y", (1, 4)))
    with pytest.raises(ModelError, match=r"got the operator NoSuchOperator\n  hint: pip install -U onnxruntime"):
        open_onnx(path)


def test_a_contradictory_graph_is_a_model_error(tmp_path: Path) -> None:
    """Two matrices that do not fit: ONNX Runtime's words, without the place in its source."""
    tensors = [Tensor("x", (1, 4)), Tensor("w", (3, 2), values=[0.0] * 6), Tensor("y", (1, 2))]
    path = write_onnx(tmp_path / "model.onnx", tensors, [Op("MatMul", ("x", "w"), ("y",))], ("x",), ("y",))
    with pytest.raises(ModelError, match=r"model\.onnx: expected a model that ONNX Runtime loads") as caught:
        open_onnx(path)
    assert "onnxruntime_src" not in str(caught.value)


def test_runs_on_names_the_provider(tmp_path: Path) -> None:
    """The CPU provider is what runs by default."""
    import onnxruntime

    session = open_onnx(tiny_onnx(tmp_path / "model.onnx"))
    assert session.runs_on == f"ONNX Runtime {onnxruntime.__version__}, CPUExecutionProvider, 1 thread"


def test_a_provider_that_takes_no_operator_is_not_what_runs(tmp_path: Path) -> None:
    """AzureExecutionProvider is built into the wheel and registers, but runs nothing of such a model."""
    import onnxruntime

    if "AzureExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this wheel has no provider beside the CPU's")
    if not hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info"):
        pytest.skip("this ONNX Runtime does not tell which provider runs an operator")
    session = open_onnx(tiny_onnx(tmp_path / "model.onnx"), "AzureExecutionProvider")
    assert "CPUExecutionProvider" in session.runs_on
    assert "none of 2 operators" in session.fallbacks[0]


def test_without_the_runtime_the_hint_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime not installed: the error says what to install."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UnavailableError, match=r"pip install 'edgeinfer\[onnx\]'"):
        open_onnx(tiny_onnx(tmp_path / "model.onnx"))
