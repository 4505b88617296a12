"""Models with a memory: states that come back, constants, and when all is forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.errors import ManifestError
from edgeinfer.model import manifest as manifests
from edgeinfer.model.backends import RuntimeOptions, open_session
from edgeinfer.model.engine import Engine, Lane
from edgeinfer.model.frame import Frame, WindowFormat
from edgeinfer.model.manifest import Manifest, Reset, State
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.state import requantising
from edgeinfer.model.tensor import Quantization, TensorSpec
from quantize.pack import Given, pack
from tests.models import Op, Tensor, stateful_tflite, write_onnx, write_tflite
from tests.remembering import remembering_tflite

WINDOW = {"kind": "window", "length": 4, "channels": 1, "hop": 4, "normalize": "none"}


def summing(folder: Path, **said: Any) -> Lane:
    """Its result is the running total of its windows."""
    model = stateful_tflite(folder / "sum.tflite")
    found = pack(model, folder / "sum", Given(decoder="raw", preprocess=WINDOW, state={"state": "sum"}, **said)).bundle
    return Engine(found, RuntimeOptions()).lane(WindowFormat(4, 1))


def total(lane: Lane, breaks: int = 0) -> float:
    frame = Frame(WindowFormat(4, 1))
    frame.view[...] = 1.0
    frame.breaks = breaks
    document = lane.infer(frame).document()
    return float(document["tensors"]["sum"]["data"][0])


def test_a_gap_makes_a_recurrent_model_forget(tmp_path: Path) -> None:
    """By default; frames of one stream add up."""
    lane = summing(tmp_path)
    assert [total(lane, breaks) for breaks in (0, 0, 1, 1, 1, 3)] == [1, 2, 1, 2, 3, 1]


def test_a_model_that_never_forgets(tmp_path: Path) -> None:
    """Where the manifest says so."""
    lane = summing(tmp_path, reset={"gap": False})
    assert [total(lane, breaks) for breaks in (0, 1, 2)] == [1, 2, 3]


def test_a_model_that_forgets_by_number(tmp_path: Path) -> None:
    """Each two frames, and the warm-up does not count."""
    lane = summing(tmp_path, reset={"every": 2})
    lane.warm_up(Frame(WindowFormat(4, 1)))
    assert [total(lane) for _ in range(5)] == [1, 2, 1, 2, 1]


@given(scale=st.floats(1e-3, 10), other=st.floats(1e-3, 10), zero=st.integers(-128, 127), point=st.integers(0, 255))
def test_a_state_is_requantised_exactly(scale: float, other: float, zero: int, point: int) -> None:
    """int8 to uint8 of another scale: each of the 256 values is the nearest to what it stood for, saturated."""
    output = TensorSpec(name="o", shape=(1,), dtype="int8", quantization=Quantization(scale=(scale,), zero_point=(zero,)))
    input = TensorSpec(name="i", shape=(1,), dtype="uint8", quantization=Quantization(scale=(other,), zero_point=(point,)))
    table = requantising(output, input)
    assert table is not None
    stored = np.arange(-128, 128, dtype=np.int8)
    wanted = input.quantize((stored.astype(np.float64) - zero) * scale)
    assert np.array_equal(table[stored.view(np.uint8)], wanted)
    assert requantising(output, output) is None


def halving(folder: Path) -> Path:
    """int8 window + state -> sum, whose scale is twice that of the state."""
    tensors = [Tensor("window", (1, 4), "int8", 0.5), Tensor("state", (1, 4), "int8", 0.5, 3), Tensor("sum", (1, 4), "int8", 1.0, -7)]
    add = Op("ADD", ("window", "state"), ("sum",), {"AddOptions": {}})
    return write_tflite(folder / "m.tflite", tensors, [add], ("window", "state"), ("sum",))


def test_an_int8_state_of_another_scale_comes_back_as_what_it_stands_for(tmp_path: Path) -> None:
    """Sums of 1.0 are 1, 2, 3 … however input and output are quantised."""
    model = halving(tmp_path)
    found = pack(model, tmp_path / "b", Given(decoder="raw", preprocess=WINDOW, state={"state": "sum"})).bundle
    lane = Engine(found, RuntimeOptions()).lane(WindowFormat(4, 1))
    assert [total(lane) for _ in range(4)] == [1.0, 2.0, 3.0, 4.0]


def scaled(folder: Path) -> Path:
    """window x gain, where gain is an input."""
    tensors = [Tensor("window", (1, 4)), Tensor("gain", ()), Tensor("steps", (2,), "int64"), Tensor("sum", (1, 4)),
               Tensor("loud", (1, 4)), Tensor("plus", (2,)), Tensor("offset", (1,)), Tensor("axes", (1,), "int64", values=[0])]
    ops = [Op("Mul", ("window", "gain"), ("loud",)), Op("Cast", ("steps",), ("plus",), {"to": 1}),
           Op("ReduceSum", ("plus", "axes"), ("offset",), {"keepdims": 1}), Op("Add", ("loud", "offset"), ("sum",))]
    return write_onnx(folder / "m.onnx", tensors, ops, ("window", "gain", "steps"), ("sum",))


def test_constants_stay_at_their_inputs(tmp_path: Path) -> None:
    """A number for a scalar, several for a vector of int64; the probes were made with them."""
    given = Given(decoder="raw", preprocess=WINDOW, constants={"gain": 2.5, "steps": (40.0, 2.0)})
    found = pack(scaled(tmp_path), tmp_path / "b", given).bundle
    assert found.manifest.constants == {"gain": 2.5, "steps": (40.0, 2.0)}
    lane = Engine(found, RuntimeOptions()).lane(WindowFormat(4, 1))
    assert [total(lane) for _ in range(2)] == [44.5, 44.5]
    lane.engine.reset()
    assert total(lane) == 44.5


CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "the first input": ({"constants": {"window": 1.0}}, "an input after the first that is no state"),
    "a state": ({"constants": {"state": 1.0}}, "an input after the first that is no state"),
    "unknown": ({"constants": {"x": 1.0}}, "an input after the first"),
    "three of four": ({"state": (), "constants": {"state": (1.0, 2.0, 3.0)}}, "1 or 4 finite numbers"),
    "every": ({"reset": Reset(every=-1)}, "reset.every"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_manifest_that_contradicts_itself_is_refused(tmp_path: Path, name: str) -> None:
    """Before the model is loaded."""
    changes, message = CONTRADICTIONS[name]
    model = stateful_tflite(tmp_path / "sum.tflite")
    found = pack(model, tmp_path / "sum", Given(decoder="raw", preprocess=WINDOW, state={"state": "sum"})).bundle
    raw = msgspec.json.encode(msgspec.to_builtins(msgspec.structs.replace(found.manifest, **changes)))
    with pytest.raises(ManifestError, match=message):
        manifests.parse(raw)


def test_states_of_float_and_integer_are_not_fed_back() -> None:
    """Only tensors alike, or quantised with 8 or 16 bits."""
    from edgeinfer.model.consistency import _can_be_fed

    quantised = Quantization(scale=(1.0,), zero_point=(0,))
    specs = [TensorSpec(name="a", shape=(1,), dtype="int8", quantization=quantised), TensorSpec(name="b", shape=(1,), dtype="float32"),
             TensorSpec(name="c", shape=(1,), dtype="int16", quantization=quantised)]
    assert _can_be_fed(specs[0], specs[2])
    assert not _can_be_fed(specs[0], specs[1])


def test_an_old_manifest_is_what_it_was(tmp_path: Path) -> None:
    """Without the new fields: no constants, no features, no variables, and it forgets at a gap."""
    model = stateful_tflite(tmp_path / "sum.tflite")
    found = pack(model, tmp_path / "sum", Given(decoder="raw", preprocess=WINDOW, state={"state": "sum"})).bundle
    document = msgspec.to_builtins(found.manifest)
    for field in ("constants", "reset", "variables"):
        del document[field]
    del document["preprocess"]["features"]
    read, _ = manifests.parse(msgspec.json.encode(document))
    assert read == found.manifest
    assert read.stateful
    assert read.state == (State(input="state", output="sum"),)
    assert isinstance(read, Manifest)
    assert isinstance(read.preprocess, WindowSpec)


def test_a_session_without_variables_forgets_nothing(tmp_path: Path) -> None:
    """Its inputs are as they were."""
    session = open_session(stateful_tflite(tmp_path / "sum.tflite"), "tflite", RuntimeOptions())
    assert not session.variables
    session.input(0)[...] = 3
    session.invoke()
    session.reset()
    assert session.input(0)[0, 0] == 3
    session.close()


@pytest.mark.parametrize("accelerators", [(), ("none",)])
def test_variables_inside_a_model_are_forgotten_too(tmp_path: Path, accelerators: tuple[str, ...]) -> None:
    """The toolkit finds them; a gap, a number of frames and the end of the warm-up empty them; two lanes would share them."""
    found = pack(remembering_tflite(tmp_path / "m.tflite"), tmp_path / "b", Given(decoder="raw", preprocess=WINDOW, reset={"every": 4})).bundle
    assert found.manifest.variables
    assert found.manifest.stateful
    lane = Engine(found, RuntimeOptions(accelerators=accelerators)).lane(WindowFormat(4, 1))
    lane.warm_up(Frame(WindowFormat(4, 1)))
    assert [total(lane, breaks) for breaks in (0, 0, 1, 1, 1, 1, 1)] == [1, 2, 1, 2, 3, 4, 1]
