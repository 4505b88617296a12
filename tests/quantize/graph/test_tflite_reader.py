"""The reader of float .tflite: whole nets compute what LiteRT computes, and pictures come out channels second."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.errors import ModelError
from quantize.graph.tflite_reader import read
from tests.models import Op, Tensor, tiny_tflite, write_tflite
from tests.quantize.graph.test_tflite_operators import MAP, ROWS, SAME, SPATIAL, VALID, floats, ints, rng
from tests.quantize.graph.tflite_files import Const, compare, differences, file_of, one

CONV = {"Conv2DOptions": {"padding": SAME, "strideH": 1, "strideW": 1}}


def chain(path: Path, tensors: list[Tensor], ops: list[Op], shape: tuple[int, ...], output: str) -> Path:
    return write_tflite(path, [Tensor("image", shape), *tensors], ops, ("image",), (output,))


def constant(name: str, values: Any, dtype: str = "float32") -> Tensor:
    array = np.asarray(values, dtype)
    return Tensor(name, array.shape, dtype, values=array)


def test_a_convolutional_net_has_no_transposes(tmp_path: Path) -> None:
    """Its input and its output are channels second, and the file's order is told."""
    path = chain(tmp_path / "net.tflite",
                 [constant("mean", [1.0, 2.0, 3.0]), constant("w", rng.normal(size=(4, 3, 3, 3))), constant("b", rng.normal(size=4)), Tensor("centred", (1, 8, 6, 3)),
                  Tensor("c", (1,)), Tensor("up", (1,)), constant("size", [16, 12], "int32"), Tensor("scores", (1,))],
                 [Op("SUB", ("image", "mean"), ("centred",), {"SubOptions": {}}), Op("CONV_2D", ("centred", "w", "b"), ("c",), CONV),
                  Op("RESIZE_BILINEAR", ("c", "size"), ("up",), {"ResizeBilinearOptions": {}}),
                  Op("SOFTMAX", ("up",), ("scores",), {"SoftmaxOptions": {"beta": 1.0}})], (1, 8, 6, 3), "scores")
    made = compare(path)
    assert "Transpose" not in [node.op for node in made.graph.nodes]
    assert made.graph.shapes["image"] == (1, 3, 8, 6)
    assert made.input_perms == {"image": (0, 2, 3, 1)}
    assert made.graph.shapes["scores"] == (1, 4, 16, 12)
    assert made.output_perms == {"scores": (0, 2, 3, 1)}


def test_a_flattened_picture_leaves_its_order_to_the_weights(tmp_path: Path) -> None:
    """Between a convolution and a fully connected layer nothing is transposed: the columns are, once, here."""
    path = chain(tmp_path / "net.tflite",
                 [constant("w", rng.normal(size=(4, 3, 3, 3))), constant("b", rng.normal(size=4)), Tensor("c", (1,)), constant("shape", [1, 120], "int32"),
                  Tensor("flat", (1,)), constant("dense", rng.normal(size=(5, 120))), Tensor("scores", (1,))],
                 [Op("CONV_2D", ("image", "w", "b"), ("c",), CONV), Op("RESHAPE", ("c", "shape"), ("flat",), {"ReshapeOptions": {}}),
                  Op("FULLY_CONNECTED", ("flat", "dense"), ("scores",), {"FullyConnectedOptions": {}})], (1, 5, 6, 3), "scores")
    made = compare(path)
    assert [node.op for node in made.graph.nodes] == ["Conv", "Reshape", "Gemm"]


def test_an_input_that_is_no_picture_stays_as_it_is(tmp_path: Path) -> None:
    made = compare(file_of(tmp_path / "op.tflite", one("FULLY_CONNECTED", (1, 2, 3, 4), floats(2, 24), FullyConnectedOptions={})))
    assert made.graph.shapes["x0"] == (1, 2, 3, 4)
    assert made.input_perms == {"x0": None}


def test_zero_padding_before_a_convolution_becomes_its_own(tmp_path: Path) -> None:
    """As PyTorch's symmetric padding comes out of other converters."""
    path = chain(tmp_path / "net.tflite",
                 [constant("pads", [[0, 0], [1, 1], [1, 1], [0, 0]], "int32"), Tensor("padded", (1,)),
                  constant("w", rng.normal(size=(4, 3, 3, 3))), constant("b", rng.normal(size=4)), Tensor("c", (1,))],
                 [Op("PAD", ("image", "pads"), ("padded",)),
                  Op("CONV_2D", ("padded", "w", "b"), ("c",), {"Conv2DOptions": {"padding": VALID, "strideH": 2, "strideW": 2}})],
                 (1, 8, 8, 3), "c")
    made = compare(path)
    assert [(node.op, node.attributes["pads"]) for node in made.graph.nodes] == [("Conv", [1, 1, 1, 1])]


def test_padding_with_less_than_any_number_becomes_the_pools_own(tmp_path: Path) -> None:
    """As a tensor of its own it would have a range that no integers can divide."""
    path = chain(tmp_path / "net.tflite",
                 [constant("pads", [[0, 0], [1, 0], [1, 2], [0, 0]], "int32"), constant("least", [-3.4e38]), Tensor("padded", (1,)),
                  Tensor("p", (1,))],
                 [Op("PADV2", ("image", "pads", "least"), ("padded",)),
                  Op("MAX_POOL_2D", ("padded",), ("p",), {"Pool2DOptions": {
                      "padding": VALID, "strideH": 2, "strideW": 2, "filterHeight": 3, "filterWidth": 3}})], (1, 8, 8, 3), "p")
    made = compare(path)
    assert [(node.op, node.attributes["pads"]) for node in made.graph.nodes] == [("MaxPool", [1, 1, 0, 2])]


def test_padding_with_zero_after_a_relu_becomes_the_pools_own(tmp_path: Path) -> None:
    """As Keras writes its ResNets. Before the Relu it stays: there, zero may be the largest."""
    relu = {"Conv2DOptions": {"padding": SAME, "strideH": 1, "strideW": 1, "fusedActivationFunction": 1}}
    for conv, expected in ((relu, ["Conv", "Relu", "MaxPool"]), (CONV, ["Conv", "Pad", "MaxPool"])):
        path = chain(tmp_path / "net.tflite",
                     [constant("w", rng.normal(size=(4, 3, 3, 3))), constant("b", rng.normal(size=4) - 3), Tensor("c", (1,)),
                      constant("pads", [[0, 0], [1, 1], [1, 1], [0, 0]], "int32"), Tensor("padded", (1,)), Tensor("p", (1,))],
                     [Op("CONV_2D", ("image", "w", "b"), ("c",), conv), Op("PAD", ("c", "pads"), ("padded",)),
                      Op("MAX_POOL_2D", ("padded",), ("p",), {"Pool2DOptions": {
                          "padding": VALID, "strideH": 2, "strideW": 2, "filterHeight": 3, "filterWidth": 3}})], (1, 8, 8, 3), "p")
        assert [node.op for node in compare(path).graph.nodes] == expected


def test_a_mean_over_the_picture_is_a_global_pool(tmp_path: Path) -> None:
    path = chain(tmp_path / "net.tflite",
                 [constant("w", rng.normal(size=(4, 3, 3, 3))), constant("b", rng.normal(size=4)), Tensor("c", (1,)),
                  constant("axes", [1, 2], "int32"), Tensor("m", (1,)), constant("dense", rng.normal(size=(5, 4))), Tensor("y", (1,))],
                 [Op("CONV_2D", ("image", "w", "b"), ("c",), CONV), Op("MEAN", ("c", "axes"), ("m",), {"ReducerOptions": {}}),
                  Op("FULLY_CONNECTED", ("m", "dense"), ("y",), {"FullyConnectedOptions": {}})], (1, 8, 8, 3), "y")
    made = compare(path)
    assert [node.op for node in made.graph.nodes] == ["Conv", "GlobalAveragePool", "Reshape", "Gemm"]


def test_dilation_by_way_of_the_batch_is_one_convolution(tmp_path: Path) -> None:
    """What TensorFlow writes for a dilated convolution where the batch is open."""
    path = chain(tmp_path / "net.tflite",
                 [constant("block", [2, 2], "int32"), constant("pads", [[2, 3], [2, 2]], "int32"), Tensor("folded", (4, 6, 6, 3)),
                  constant("w", rng.normal(size=(1, 3, 3, 3))), constant("b", rng.normal(size=3)), Tensor("c", (4, 4, 4, 3)),
                  constant("crops", [[0, 1], [0, 0]], "int32"), Tensor("y", (1, 7, 8, 3))],
                 [Op("SPACE_TO_BATCH_ND", ("image", "block", "pads"), ("folded",)),
                  Op("DEPTHWISE_CONV_2D", ("folded", "w", "b"), ("c",), {"DepthwiseConv2DOptions": {
                      "padding": VALID, "strideH": 1, "strideW": 1, "depthMultiplier": 1}}),
                  Op("BATCH_TO_SPACE_ND", ("c", "block", "crops"), ("y",))], (1, 7, 8, 3), "y")
    made = compare(path)
    assert [(node.op, node.attributes["dilations"]) for node in made.graph.nodes] == [("Conv", [2, 2])]


def test_half_precision_weights_become_single(tmp_path: Path) -> None:
    path = chain(tmp_path / "net.tflite",
                 [constant("half", rng.normal(size=(4, 1, 1, 3)), "float16"), Tensor("w", (4, 1, 1, 3)), Tensor("c", (1,)),
                  constant("b", rng.normal(size=4))],
                 [Op("DEQUANTIZE", ("half",), ("w",)), Op("CONV_2D", ("image", "w", "b"), ("c",), CONV)], (1, 4, 4, 3), "c")
    made = compare(path)
    assert [node.op for node in made.graph.nodes] == ["Conv"]


def test_sums_over_the_shape_are_done_while_reading(tmp_path: Path) -> None:
    """A converter's SHAPE, STRIDED_SLICE, PACK before a reshape, for a batch that was open."""
    path = chain(tmp_path / "net.tflite",
                 [Tensor("shape", (4,), "int32"), constant("zero", [0], "int32"), constant("one", [1], "int32"),
                  Tensor("batch", (), "int32"), constant("rest", 24, "int32"), Tensor("wanted", (2,), "int32"), Tensor("flat", (1, 24))],
                 [Op("SHAPE", ("image",), ("shape",), {"ShapeOptions": {"outType": 2}}),
                  Op("STRIDED_SLICE", ("shape", "zero", "one", "one"), ("batch",), {"StridedSliceOptions": {"shrinkAxisMask": 1}}),
                  Op("PACK", ("batch", "rest"), ("wanted",), {"PackOptions": {"valuesCount": 2, "axis": 0}}),
                  Op("RESHAPE", ("image", "wanted"), ("flat",), {"ReshapeOptions": {}})], (1, 2, 3, 4), "flat")
    made = read(path)
    assert made.graph.shapes[made.graph.outputs[0]] == (1, 24)


def test_values_are_called_what_the_file_calls_them(tmp_path: Path) -> None:
    made = read(file_of(tmp_path / "op.tflite", SPATIAL[1]))
    assert made.graph.inputs == ["x0"]
    assert made.graph.outputs == ["y0"]


def test_weights_that_are_integers_already_are_read_and_counted(tmp_path: Path) -> None:
    """ "Dynamic range": the graph has the reals that they stand for."""
    stored = rng.integers(-127, 128, (4, 6))
    path = write_tflite(tmp_path / "net.tflite", [Tensor("x", (1, 6)), Tensor("w", (4, 6), "int8", 0.02, values=stored),
                                                  Tensor("y", (1, 4))],
                        [Op("FULLY_CONNECTED", ("x", "w"), ("y",), {"FullyConnectedOptions": {}})], ("x",), ("y",))
    made = read(path)
    assert made.integer_weights == 1
    weights = made.graph.constants[made.graph.nodes[0].inputs[1]]
    np.testing.assert_allclose(weights, stored * np.float32(0.02), rtol=1e-6)


BAD = {
    "quantised": (lambda path: tiny_tflite(path, dtype="int8"), "already quantised (int8)"),
    "unknown operator": (lambda path: file_of(path, one("SIN", ROWS)), "operator 0, SIN 'y0'"),
    "weights that do not fit": (lambda path: file_of(path, one("CONV_2D", (1, 4, 4, 3), floats(4, 1, 1, 5), **CONV)), "weights for 3 channels"),
    "stride 0": (lambda path: file_of(path, one("MAX_POOL_2D", MAP, Pool2DOptions={})), "at least 1"),
    "reshape of another size": (lambda path: file_of(path, one("RESHAPE", ROWS, ints(4, 5), ReshapeOptions={})), "21 elements"),
    "kernel larger than the picture": (lambda path: file_of(path, one("CONV_2D", (1, 2, 2, 1), floats(1, 3, 3, 1), Conv2DOptions={
        "padding": VALID, "strideH": 1, "strideW": 1})), "at least 3 a side"),
    "shapes that do not broadcast": (lambda path: file_of(path, one("ADD", ROWS, (2, 7), AddOptions={})), "fits its tensors"),
    "weights that the model computes": (lambda path: file_of(path, one("FULLY_CONNECTED", ROWS, (4, 7), FullyConnectedOptions={})),
                                        "'x1' to be a constant"),
    "an axis too many": (lambda path: file_of(path, one("CONCATENATION", ROWS, ROWS, ConcatenationOptions={"axis": 2})), "one of 2 axes"),
    "options left out": (lambda path: file_of(path, one("CONV_2D", (1, 4, 4, 3), floats(4, 1, 1, 3))), "at least 1"),
    "not a model": (lambda path: path.write_bytes(b"nothing of the kind") and path, "TFL3"),
    "NaN": (lambda path: file_of(path, one("ADD", ROWS, Const(np.full(7, np.nan)), AddOptions={})), "NaN"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_file_is_one_clear_error(bad: str, tmp_path: Path) -> None:
    write, words = BAD[bad]
    with pytest.raises(ModelError) as error:
        read(write(tmp_path / "bad.tflite"))
    assert words in str(error.value)


def test_an_open_side_has_to_be_given(tmp_path: Path) -> None:
    """An open batch is 1; other sides are the user's to say."""
    import flatbuffers
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    path = file_of(tmp_path / "op.tflite", one("MAX_POOL_2D", (1, 1, 1, 3), Pool2DOptions={
        "padding": SAME, "strideH": 2, "strideW": 2, "filterHeight": 2, "filterWidth": 2}))
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    model.subgraphs[0].tensors[0].shapeSignature = [-1, -1, -1, 3]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    with pytest.raises(ModelError, match="--shape 'x0=1,224,224,3'"):
        read(path)
    with pytest.raises(ModelError, match="'image'"):
        read(path, {"image": (1, 8, 6, 3)})
    made = read(path, {"x0": (1, 8, 6, 3)})
    assert made.graph.shapes["x0"] == (1, 3, 8, 6)
    assert made.graph.shapes["y0"] == (1, 3, 4, 3)


@given(where=st.integers(0, 10**6), value=st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_an_error_or_a_model(tmp_path_factory: pytest.TempPathFactory, where: int, value: int) -> None:
    """Never a traceback of another kind."""
    path = tmp_path_factory.getbasetemp() / "damaged.tflite"
    whole = tmp_path_factory.getbasetemp() / "whole.tflite"
    if not whole.exists():
        file_of(whole, SPATIAL[1])
    content = bytearray(whole.read_bytes())
    content[where % len(content)] = value
    path.write_bytes(bytes(content))
    with contextlib.suppress(ModelError):
        read(path)


ZOO = ["classify/vww_96_float", "classify/pretrainedResnet", "anomaly/ad01_fp32", "segment/selfie_segmentation"]


@pytest.mark.zoo
@pytest.mark.parametrize("name", ZOO)
def test_the_zoos_float_files_compute_what_litert_computes(name: str, zoo: Path) -> None:
    """The person mask by way of a sigmoid of steep slope, whose input ranges over 1200: to 1e-4 there."""
    path = zoo / f"{name}.tflite"
    feeds = []
    if "selfie" in name:
        cv2 = pytest.importorskip("cv2")
        picture = cv2.resize(cv2.imread(str(zoo / "segment/grace_hopper.bmp")), (256, 256))[None, ..., ::-1]
        feeds = [(picture / 255).astype(np.float32)]
    made = read(path)
    assert "Transpose" not in [node.op for node in made.graph.nodes]
    limit = 1e-4 if feeds else 1e-5
    assert max(differences(path, made, feeds=feeds).values()) < limit


@pytest.mark.zoo
def test_the_zoos_keyword_spotter_has_integer_weights(zoo: Path) -> None:
    """Its "float32" file is one of dynamic range; LiteRT rounds its activations too, so only the class must agree here."""
    made = read(zoo / "audio/kws_ref_model_float32.tflite")
    assert made.integer_weights == 5
    assert made.graph.shapes["input_1"] == (1, 1, 49, 10)
    assert max(differences(zoo / "audio/kws_ref_model_float32.tflite", made).values()) < 0.05
