"""The file itself: names, layout, versions, buffers; the same bytes each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.model.modelfile import describe
from quantize.graph import Graph
from quantize.graph.execute import Runner
from quantize.graph.tflite_reader import read
from quantize.tflite import write_float, write_int8
from tests import litert
from tests.quantize.graphs import chain, graph, random_feeds, weights
from tests.quantize.tflite.running import kernels, quantized
from tests.quantize.tflite.test_float import CHAINS, NETS, X

# the newest versions that tflite-runtime 2.14 knows (tensorflow 2.14: lite/core/kernels/register.cc); 1 where not here
KNOWN = {"ABS": 5, "ADD": 5, "ARG_MAX": 3, "AVERAGE_POOL_2D": 3, "BATCH_MATMUL": 4, "BROADCAST_TO": 3, "CAST": 5, "CONCATENATION": 4, "CONV_2D": 7,
         "DEPTHWISE_CONV_2D": 7, "DEPTH_TO_SPACE": 2, "DEQUANTIZE": 5, "DIV": 2, "EXP": 2, "FULLY_CONNECTED": 10, "GATHER": 6, "GELU": 2, "LEAKY_RELU": 2,
         "LOGISTIC": 3, "LOG_SOFTMAX": 2, "MAXIMUM": 4, "MAX_POOL_2D": 3, "MEAN": 3, "MINIMUM": 4, "MIRROR_PAD": 3, "MUL": 7, "PAD": 4, "PADV2": 4,
         "QUANTIZE": 3, "REDUCE_MAX": 3, "REDUCE_MIN": 3, "RELU": 3, "RELU6": 3, "RESIZE_BILINEAR": 4, "RESIZE_NEAREST_NEIGHBOR": 4, "RSQRT": 2, "SLICE": 6,
         "SOFTMAX": 3, "SPACE_TO_DEPTH": 2, "SPLIT": 4, "STRIDED_SLICE": 8, "SUB": 5, "SUM": 2, "TANH": 3, "TILE": 3, "TRANSPOSE": 6, "TRANSPOSE_CONV": 4}


def model(data: bytes) -> Any:
    return litert.schema().ModelT.InitFromPackedBuf(data, 0)


def net_of(name: str) -> Graph:
    return graph(*NETS[name]) if name in NETS else chain(CHAINS[name][0], *CHAINS[name][1], opset=20)


@pytest.mark.parametrize("width", ["float", "int8", "int16"])
def test_no_operator_is_newer_than_old_runtimes_know(width: str) -> None:
    """A Raspberry Pi with tflite-runtime 2.14 runs every file."""
    names = {value: name for name, value in vars(litert.schema().BuiltinOperator).items()}
    for name in [*CHAINS, *NETS]:
        net = net_of(name)
        if width == "float":
            data = write_float(net).data
        elif name in ("erf", "exp", "abs", "neg", "floor", "layer-norm", "cast", "arg-max-kept", "constant-table"):
            continue
        else:
            data = write_int8(quantized(net, wide=[node.name for node in net.nodes] if width == "int16" else [])).data
        for code in model(data).operatorCodes:
            assert code.version <= KNOWN.get(names[code.builtinCode], 1), (name, names[code.builtinCode])


def test_the_same_graph_gives_the_same_bytes() -> None:
    """Nothing in the file depends on the run."""
    assert write_float(net_of("yolo-head")).data == write_float(net_of("yolo-head")).data
    assert write_int8(quantized(net_of("yolo-head"))).data == write_int8(quantized(net_of("yolo-head"))).data


def test_the_graph_that_was_given_is_left_as_it_was() -> None:
    """Other writers go on from it."""
    net = net_of("squeeze-excite")
    before = net.copy()
    write_float(net)
    write_int8(quantized(net))
    assert (net.nodes, net.shapes, net.dtypes, net.outputs) == (before.nodes, before.shapes, before.dtypes, before.outputs)


def test_pictures_have_their_channels_last() -> None:
    """As cameras give them, and as segmentation is drawn; the perms say so."""
    converted = write_float(chain(X, ("Conv", weights(5, 6, 1, 1))))
    assert (converted.input_perms, converted.output_perms) == ({"input": (0, 2, 3, 1)}, {"conv0": (0, 2, 3, 1)})
    assert kernels(converted) == {"CONV_2D": 1}


@pytest.mark.parametrize(("steps", "perm"), [([("Conv", weights(3, 4, 3)), ("Relu",)], (0, 2, 1)), ([("Relu",), ("Flatten",)], None),
                                             ([("MatMul", weights(9, 2))], None)])
def test_windows_keep_their_order_unless_that_costs(steps: list[tuple[Any, ...]], perm: tuple[int, ...] | None) -> None:
    """(N, C, L) becomes (N, L, C) where a Transpose is saved."""
    assert write_float(chain((1, 4, 9), *steps)).input_perms == {"input": perm}


def test_inputs_and_outputs_keep_their_names(tmp_path: Path) -> None:
    """In the tensors and in the signature serving_default."""
    net = net_of("concat-split")
    path = tmp_path / "net.tflite"
    path.write_bytes(write_int8(quantized(net), "uint8").data)
    facts = describe(path, "tflite")
    assert [spec.name for spec in facts.inputs] == net.inputs
    assert [spec.name for spec in facts.outputs] == net.outputs
    signature = model(path.read_bytes()).signatureDefs[0]
    assert signature.signatureKey == b"serving_default"
    assert [entry.name.decode() for entry in signature.outputs] == net.outputs


def test_data_lie_at_multiples_of_sixteen() -> None:
    """Kernels read weights where they are mapped; the schema asks for this."""
    data = write_int8(quantized(net_of("flatten-gemm"))).data
    for buffer in model(data).buffers:
        content = bytes(np.asarray(buffer.data, np.uint8)) if buffer.data is not None else b""
        if len(content) > 64:
            assert data.index(content) % 16 == 0


def test_equal_constants_are_there_once() -> None:
    """And names stand only where somebody may look for them."""
    same = weights(5, 5, 3, 3)
    net = chain((1, 5, 9, 9), ("Conv", same, weights(5)), ("Conv", same, weights(5)))
    assert len(write_float(net).data) < len(same.tobytes()) + 2000


@pytest.mark.parametrize("name", ["conv-relu", "conv-depthwise", "conv-transpose", "residual", "squeeze-excite", "yolo-head", "flatten-gemm", "pad-modes"])
def test_the_reader_reads_what_the_writer_wrote(name: str, tmp_path: Path) -> None:
    """Graph to file and back: the same numbers."""
    net = net_of(name)
    path = tmp_path / "net.tflite"
    path.write_bytes(write_float(net).data)
    back = read(path)
    feeds = random_feeds(net)
    wanted = Runner(net).run(feeds)
    found = Runner(back.graph).run(feeds)
    for output in net.outputs:
        assert np.allclose(found[output], wanted[output], atol=1e-5 * np.abs(wanted[output]).max())
