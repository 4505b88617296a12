"""LiteRT: the interpreter's own memory, what really runs, and models that it does not take."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.errors import ModelError, UnavailableError
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.backends.litert import LiteRtSession
from edgeinfer.model.tensor import Quantization
from tests import litert
from tests.conftest import ROOT
from tests.model.backends.edit import custom_operator, edit, tensor
from tests.models import Op, Tensor, tiny_tflite, window_tflite, write_tflite


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tiny_tflite(tmp_path / "model.tflite")


def open_litert(path: Path, *accelerators: str, **options: Any) -> LiteRtSession:
    return LiteRtSession(path, RuntimeOptions(accelerators=accelerators, **options))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
def test_outputs_are_those_of_the_bare_interpreter(tmp_path: Path, dtype: str) -> None:
    """The session adds nothing to what the interpreter computes, bit for bit."""
    path = tiny_tflite(tmp_path / "model.tflite", dtype=dtype)
    bare = litert.interpreter().Interpreter(str(path), num_threads=1)
    bare.allocate_tensors()
    session = open_litert(path)
    rng = np.random.default_rng(1)
    for _ in range(10):
        picture = rng.integers(0, 100, (1, 8, 8, 3)).astype(dtype)
        bare.set_tensor(bare.get_input_details()[0]["index"], picture)
        bare.invoke()
        session.input(0)[...] = picture
        session.invoke()
        np.testing.assert_array_equal(session.output(0), bare.get_tensor(bare.get_output_details()[0]["index"]))


@pytest.mark.parametrize("hold", ["input", "output"])
def test_a_view_that_is_held_makes_invoke_a_runtime_error(path: Path, hold: str) -> None:
    """No view can be left pointing at memory that the runtime moved; once it is let go, all goes on."""
    session = open_litert(path)
    view = getattr(session, hold)(0)
    with pytest.raises(RuntimeError, match="reference to internal data"):
        session.invoke()
    del view
    session.invoke()


def test_runs_on_counts_the_operators_that_xnnpack_took(tmp_path: Path) -> None:
    """XNNPACK is the default, and the count says how much of the model it really runs."""
    ai_edge_litert = pytest.importorskip("ai_edge_litert")  # tflite-runtime 2.14 gives XNNPACK other operators
    path = tiny_tflite(tmp_path / "model.tflite", dtype="float32")
    assert open_litert(path).runs_on == f"LiteRT {ai_edge_litert.__version__}, XNNPACK (2 of 2 operators), 1 thread"


def test_an_operator_that_xnnpack_leaves_is_not_counted(tmp_path: Path) -> None:
    """A pool and a reshape, which it takes, and a RANK, which it does not: two of three."""
    path = tiny_tflite(tmp_path / "model.tflite", dtype="float32")
    assert "XNNPACK (2 of 3 operators)" in open_litert(edit(path, rank_of_the_output)).runs_on


@pytest.mark.parametrize("name", ["none", "cpu"])
def test_built_in_kernels_run_when_asked_for(path: Path, name: str) -> None:
    """With "none" or "cpu" no delegate takes part."""
    session = open_litert(path, name, threads=2)
    assert "built-in kernels, 2 threads" in session.runs_on
    assert session.fallbacks == ()


def test_xnnpack_that_takes_nothing_is_not_said_to_run(tmp_path: Path) -> None:
    """A model whose only operator XNNPACK does not know runs on built-in kernels, and a wish for XNNPACK is told as unmet."""
    path = integer_negation(tmp_path / "model.tflite")
    assert "built-in kernels" in open_litert(path).runs_on
    session = open_litert(path, "xnnpack")
    assert "built-in kernels" in session.runs_on
    assert session.fallbacks == ("accelerator xnnpack: expected a delegate that takes over operators, got none of 1",)
    with pytest.raises(UnavailableError, match="none of 1"):
        open_litert(path, "xnnpack", strict=True)


def test_without_proc_cpuinfo_the_loss_of_xnnpack_is_told(path: Path) -> None:
    """ProcSubset=pid in a systemd unit hides /proc/cpuinfo; XNNPACK drops out without an error, and the session says so."""
    hide = ["unshare", "--mount", "--pid", "--fork", "sh", "-c", 'mount -t proc -o subset=pid proc /proc && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*hide, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount (root)")
    code = ("import sys; from pathlib import Path; from edgeinfer.model.backends import RuntimeOptions, open_session\n"
            "for wish in ((), ('xnnpack',)):\n"
            "    s = open_session(Path(sys.argv[1]), 'tflite', RuntimeOptions(accelerators=wish)); print(s.runs_on, s.fallbacks)")
    done = subprocess.run([*hide, sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, cwd=ROOT)
    unwished, wished = done.stdout.splitlines()
    for line in (unwished, wished):
        assert "built-in kernels" in line
        assert "/proc/cpuinfo hidden" in line


def test_a_dynamic_first_side_becomes_one(tmp_path: Path) -> None:
    """A model converted for any batch, and stored with a batch of 4, runs one frame at a time."""
    path = tiny_tflite(tmp_path / "model.tflite", dtype="float32")
    edit(path, tensor(0, shape=[4, 8, 8, 3], shapeSignature=[-1, 8, 8, 3]))
    session = open_litert(path)
    assert session.inputs[0].shape == (1, 8, 8, 3)
    assert session.outputs[0].shape == (1, 3)
    session.input(0)[...] = 3.0
    session.invoke()
    assert session.output(0).tolist() == [[3.0, 3.0, 3.0]]


def test_another_dynamic_side_is_refused_by_name(tmp_path: Path) -> None:
    """Memory is fixed at start, so a picture of any size is no input."""
    path = edit(tiny_tflite(tmp_path / "model.tflite"), tensor(0, shapeSignature=[1, -1, -1, 3]))
    with pytest.raises(ModelError, match=r"image: expected fixed sides .*, got \[1, \?, \?, 3\]"):
        open_litert(path)


def test_an_output_of_unknown_size_is_refused_by_name(tmp_path: Path) -> None:
    """WHERE gives as many rows as there are non-zero values: its memory cannot be fixed."""
    tensors = [Tensor("values", (1, 4)), Tensor("places", (4, 2), "int64")]
    path = write_tflite(tmp_path / "model.tflite", tensors, [Op("WHERE", ("values",), ("places",))], ("values",), ("places",))
    with pytest.raises(ModelError, match="places: expected an output of fixed size"):
        open_litert(path)


def test_quantisation_is_read_per_tensor(tmp_path: Path) -> None:
    """Input and output have scales of their own."""
    session = open_litert(window_tflite(tmp_path / "model.tflite"))
    assert session.inputs[0].quantization == Quantization(scale=(1 / 16,), zero_point=(0,))
    assert session.outputs[0].quantization == Quantization(scale=(1 / 8,), zero_point=(0,))


def test_float_tensors_have_no_quantisation(tmp_path: Path) -> None:
    """Empty scales are no quantisation, not a scale of zero."""
    session = open_litert(tiny_tflite(tmp_path / "model.tflite", dtype="float32"))
    assert session.inputs[0].quantization is None


def test_an_unknown_custom_operator_is_named(path: Path) -> None:
    """The error says which operator it is and what can be done."""
    edit(path, custom_operator("Convolution2DTransposeBias"))
    with pytest.raises(ModelError, match="got the custom operator Convolution2DTransposeBias\n  hint: convert the model without"):
        open_litert(path, "none")


def test_an_operator_that_is_too_new_is_named(path: Path) -> None:
    """A model from a newer converter: the hint is to update the runtime."""
    def change(model: Any, schema: Any) -> None:
        model.operatorCodes[0].version = 99

    with pytest.raises(ModelError, match=r"AVERAGE_POOL_2D version 99\n  hint: pip install -U ai-edge-litert"):
        open_litert(edit(path, change))


def test_a_model_that_fails_while_it_runs_is_a_model_error(tmp_path: Path) -> None:
    """An index outside the table, found by the operator when it runs, is an error of the model with the runtime's words."""
    tensors = [Tensor("places", (2,), "int32"), Tensor("table", (3,), "float32", values=[1, 2, 3]), Tensor("found", (2,))]
    path = write_tflite(tmp_path / "model.tflite", tensors, [Op("GATHER", ("table", "places"), ("found",), {"GatherOptions": {}})],
                        ("places",), ("found",))
    session = open_litert(path, "none")
    session.input(0)[...] = [0, 2]
    session.invoke()
    assert session.output(0).tolist() == [1.0, 3.0]
    session.input(0)[...] = [0, 1000]
    with pytest.raises(ModelError, match=r"model\.tflite: expected a model that runs, got gather index out of bounds"):
        session.invoke()


def test_without_a_runtime_the_hint_installs_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither package installed: the error says what to install."""
    for package in ("ai_edge_litert", "tflite_runtime"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UnavailableError, match=r"pip install 'edgeinfer\[litert\]'"):
        open_litert(path)


def integer_negation(path: Path) -> Path:
    """One operator that XNNPACK does not take: NEG of int64."""
    tensors = [Tensor("x", (1, 4), "int64"), Tensor("y", (1, 4), "int64")]
    write_tflite(path, tensors, [Op("NEG", ("x",), ("y",), {"NegOptions": {}})], ("x",), ("y",))

    def change(model: Any, schema: Any) -> None:
        model.operatorCodes[0].version = 1

    return edit(path, change)


def rank_of_the_output(model: Any, schema: Any) -> None:
    """Append an operator that XNNPACK does not take: RANK of the last tensor."""
    graph, code, operator, rank = model.subgraphs[0], schema.OperatorCodeT(), schema.OperatorT(), schema.TensorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RANK
    code.version, rank.name, rank.type, rank.shape, rank.hasRank = 1, "rank", schema.TensorType.INT32, [], True
    operator.opcodeIndex, operator.inputs, operator.outputs = len(model.operatorCodes), [len(graph.tensors) - 1], [len(graph.tensors)]
    model.operatorCodes.append(code)
    graph.operators.append(operator)
    graph.tensors.append(rank)
    graph.outputs = [*graph.outputs, len(graph.tensors) - 1]
