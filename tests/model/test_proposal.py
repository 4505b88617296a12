"""Which decoder is proposed for the outputs that people's models have."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.model.decoders import DECODERS
from edgeinfer.model.proposal import propose
from edgeinfer.model.tensor import TensorSpec
from quantize.cli.options import pair
from tests.model.decoders.cases import tensor

P640 = [tensor("images", (1, 3, 640, 640))]
NHWC = [tensor("images", (1, 640, 640, 3))]
P320 = [tensor("x", (1, 320, 320, 3), "uint8")]
LOGITS = (0.1, 0)
LISTS = [tensor("TFLite_Detection_PostProcess", (1, 10, 4)), tensor("TFLite_Detection_PostProcess:1", (1, 10)),
         tensor("TFLite_Detection_PostProcess:2", (1, 10)), tensor("TFLite_Detection_PostProcess:3", (1,))]


def _maps(*channels: int, sides: tuple[int, ...] = (80, 40, 20)) -> list[TensorSpec]:
    return [tensor(f"m{side}_{count}", (1, count, side, side)) for side in sides for count in channels]


# inputs, outputs, labels, and what must be proposed first: the decoder and some of its parameters
USUAL: dict[str, tuple[list[TensorSpec], list[TensorSpec], int, str, dict[str, Any]]] = {
    "classes": (P320, [tensor("s", (1, 1000))], 1000, "classify", {}),
    "logits in 8 bits": (P320, [tensor("s", (1, 10), "int8", *LOGITS)], 10, "classify", {"softmax": True}),
    "post-processed SSD": (P320, LISTS, 90, "ssd", {}),
    "listed boxes that are not suppressed": (P640, [tensor("boxes", (1, 8400, 4)), tensor("scores", (1, 8400)),
                                                    tensor("class_idx", (1, 8400), "uint8")], 80, "ssd",
                                             {"corners": "xyxy", "box_unit": "pixel", "iou": 0.45}),
    "BlazeFace": ([tensor("x", (1, 128, 128, 3))], [tensor("r", (1, 896, 16)), tensor("c", (1, 896, 1))], 0, "ssd",
                  {"keypoints": 6, "anchors": {"recipe": "blazeface", "strides": [8, 16, 16, 16]}}),
    "v8": (P640, [tensor("o", (1, 84, 8400))], 80, "yolo", {"variant": "v8"}),
    "v8 without labels": (P640, [tensor("o", (1, 84, 8400))], 0, "yolo", {"variant": "v8"}),
    "v8 in 8 bits of 0..1": (P640, [tensor("o", (1, 84, 8400), "int8", 1 / 255, -128)], 80, "yolo",
                             {"variant": "v8", "box_unit": "fraction"}),
    "v8 split for INT8": (P640, [tensor("boxes", (1, 4, 8400)), tensor("scores", (1, 80, 8400))], 80, "yolo",
                          {"variant": "v8", "boxes": "boxes", "scores": "scores"}),
    "v8 in floats of a TFLite file": (NHWC, [tensor("o", (1, 84, 8400))], 80, "yolo", {"variant": "v8", "box_unit": "fraction"}),
    "v8 in 8 bits of pixels": (NHWC, [tensor("o", (1, 84, 8400), "int8", 2.5, -128)], 80, "yolo", {"variant": "v8", "box_unit": "pixel"}),
    "v5": (P640, [tensor("o", (1, 25200, 85))], 80, "yolo", {"variant": "v5"}),
    "YOLOX": (P640, [tensor("o", (1, 8400, 85))], 80, "yolo", {"variant": "x"}),
    "v10": (P640, [tensor("o", (1, 300, 6))], 80, "end_to_end", {}),
    "v10 in floats of a TFLite file": (NHWC, [tensor("o", (1, 300, 6))], 80, "end_to_end", {"box_unit": "fraction"}),
    "v7 end to end": (P640, [tensor("o", (100, 7))], 80, "end_to_end", {"columns": ["-", "left", "top", "right", "bottom", "class",
                                                                                   "score"]}),
    "DETR": (P640, [tensor("l", (1, 100, 92)), tensor("b", (1, 100, 4))], 91, "detr", {"activation": "softmax"}),
    "RT-DETR": (P640, [tensor("l", (1, 300, 80)), tensor("b", (1, 300, 4))], 80, "detr", {}),
    "NanoDet-Plus": (P320, [tensor("o", (1, 2125, 112))], 80, "grid", {"encoding": "dfl", "bins": 8, "classes_first": True}),
    "v8 before its DFL": (P640, [tensor("o", (1, 144, 8400))], 80, "grid", {"encoding": "dfl", "bins": 16, "classes_first": False,
                                                                            "activation": "sigmoid"}),
    "v8 before its DFL, without labels": (P640, [tensor("o", (1, 8400, 144))], 0, "grid", {"bins": 16, "classes_first": False}),
    "v8 by maps": (P640, _maps(144), 80, "grid", {"encoding": "dfl", "bins": 16}),
    "PicoDet by maps": (P640, _maps(80, 32), 80, "grid", {"encoding": "dfl", "bins": 8}),
    "v5 by maps": (P640, _maps(255), 80, "grid", {"encoding": "v5"}),
    "FastestDet": ([tensor("i", (1, 3, 352, 352))], [tensor("o", (1, 85, 22, 22))], 80, "grid", {"encoding": "fastestdet"}),
    "YOLO pose": (P640, [tensor("o", (1, 56, 8400))], 0, "pose", {"variant": "yolo"}),
    "YOLO segmentation": (P640, [tensor("o", (1, 116, 8400)), tensor("p", (1, 32, 160, 160))], 80, "instances", {}),
    "MoveNet": ([tensor("x", (1, 192, 192, 3))], [tensor("o", (1, 1, 17, 3))], 0, "pose", {"variant": "movenet"}),
    "PoseNet": ([tensor("x", (1, 257, 257, 3))], [tensor("h", (1, 9, 9, 17)), tensor("o", (1, 9, 9, 34))], 0, "pose",
                {"variant": "heatmap", "logits": True}),
    "an arg-max map": (P320, [tensor("o", (1, 320, 320), "int32")], 21, "segment", {}),
    "a map of scores": (P320, [tensor("o", (1, 80, 80, 21))], 21, "segment", {}),
    "a selfie's mask": ([tensor("x", (1, 256, 256, 3))], [tensor("o", (1, 256, 256, 1))], 0, "segment", {}),
    "a hand's points": (P320, [tensor("o", (1, 63)), tensor("s", (1, 1))], 0, "landmarks",
                      {"values": 3, "landmarks": "o", "presence": "s"}),
    "a face's mesh in 8 bits": (P320, [tensor("o", (1, 1, 1, 1404), "int8", 1.5, 0), tensor("s", (1, 1, 1, 1), "int8", *LOGITS)], 0,
                                "landmarks", {"values": 3, "presence": "s", "logits": True}),
    "a line of text": ([tensor("x", (1, 3, 48, 320))], [tensor("o", (1, 40, 6625))], 0, "ctc", {}),
    "a line of text and a space": ([tensor("x", (1, 3, 48, 320))], [tensor("o", (1, 40, 6625))], 6623, "ctc", {"space": True}),
    "an autoencoder": ([tensor("x", (-1, 640), "int8", 0.1, 0)], [tensor("y", (-1, 640), "int8", 0.1, 0)], 0, "anomaly", {}),
}


@pytest.mark.parametrize("name", USUAL)
def test_the_usual_shapes_are_recognised(name: str) -> None:
    """The first proposal is the right decoder with the right parameters, and says why."""
    inputs, outputs, labels, decoder, parameters = USUAL[name]
    found = propose(inputs, outputs, labels)
    assert found, "something is proposed"
    assert found[0].decoder == decoder, found
    assert parameters.items() <= ({"box_unit": "pixel", "classes_first": False, "activation": "sigmoid"} | found[0].parameters).items()
    assert found[0].reason
    assert [one.fit for one in found] == sorted((one.fit for one in found), reverse=True)


@pytest.mark.parametrize("name", USUAL)
def test_its_flags_say_the_same(name: str) -> None:
    """As a shell and ``quantize pack`` read them."""
    inputs, outputs, labels, *_ = USUAL[name]
    best = propose(inputs, outputs, labels)[0]
    flag, decoder, *parameters = shlex.split(best.flags)
    assert (flag, decoder) == ("--decoder", best.decoder)
    assert dict(map(pair, parameters[1::2])) == json.loads(json.dumps(best.parameters))


def test_an_embedding_is_among_the_proposals() -> None:
    """A vector of 512 may be classes or an embedding: both are proposed."""
    assert {"embed", "classify"} <= {one.decoder for one in propose(P320, [tensor("v", (1, 512))])}


@pytest.mark.parametrize(("operators", "softmax"), [(["Conv", "Relu", "Gemm"], True), (["CONV_2D", "SOFTMAX"], False),
                                                    (["Conv", "Sigmoid", "Gemm"], False), ([], False)])
def test_classes_of_a_model_without_a_softmax_are_logits(operators: list[str], softmax: bool) -> None:
    """Floats do not tell, the operators do; nothing is assumed where a sigmoid may be the last, or none are known."""
    best = propose(P320, [tensor("s", (1, 1000))], 1000, operators)[0]
    assert best.decoder == "classify"
    assert best.parameters.get("softmax", False) is softmax
    one = propose(P320, [tensor("m", (1, 320, 320, 1))], 0, operators)[0]
    assert one.decoder == "segment"
    assert one.parameters.get("logits", False) is softmax


def test_three_numbers_are_no_keypoint() -> None:
    """They fit a MoveNet of one keypoint, which nobody has."""
    assert propose(P320, [tensor("s", (1, 3))])[0].decoder == "classify"


def test_nothing_is_proposed_while_a_side_is_dynamic() -> None:
    """Nor for a model without outputs."""
    assert propose(P320, [tensor("o", (1, -1, 6))]) == []
    assert propose(P320, []) == []


sides = st.lists(st.integers(1, 90), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(shapes=st.lists(sides, min_size=1, max_size=4), labels=st.integers(0, 90), side=st.sampled_from([0, 32, 64]))
def test_whatever_the_shapes_a_proposal_is_accepted(shapes: list[list[int]], labels: int, side: int) -> None:
    """For any outputs nothing is raised, and each decoder that is proposed takes them."""
    outputs = [tensor(f"o{index}", (1, *shape)) for index, shape in enumerate(shapes)]
    inputs = [tensor("x", (1, side, side, 3))] if side else [tensor("x", (1, 9))]
    for one in propose(inputs, outputs, labels):
        count = 0 if one.decoder in ("pose", "landmarks") else labels or (max(outputs[0].shape[1:]) - 1 if one.decoder == "ctc" else 0)
        names = [f"class {index}" for index in range(count)]
        DECODERS.load(one.decoder, "test")(one.parameters, outputs, names, inputs)
