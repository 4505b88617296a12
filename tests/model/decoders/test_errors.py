"""What does not fit is refused at set-up, with the tensors that there are."""

from __future__ import annotations

from typing import Any

import pytest

from edgeinfer.errors import ConfigError, ManifestError
from edgeinfer.model.decoders import DECODERS
from edgeinfer.model.tensor import TensorSpec
from tests.model.decoders.cases import tensor

FOUR = [tensor("s", (1, 4))]
TWO = [tensor("p", (1, 4)), tensor("q", (1, 4), "int8", 0.1, 0)]
PICTURE = [tensor("picture", (1, 64, 64, 3), "uint8")]
V8 = [tensor("output0", (1, 6, 84))]
LISTS = [tensor("x", (1, 10, 4)), tensor("y", (1, 10)), tensor("z", (1, 10)), tensor("n", (1,))]
SSD = {"recipe": "ssd", "strides": [32, 64]}
MAPS = [tensor("m", (1, 7, 2, 2)), tensor("n", (1, 32, 32, 3))]
RAW = [tensor("b", (1, 18, 4)), tensor("s", (1, 18, 3))]

# decoder, parameters, outputs, labels, inputs, the message
FAULTS: list[tuple[str, dict[str, Any], list[TensorSpec], list[str], list[TensorSpec], str]] = [
    ("classify", {"topk": 3}, FOUR, [], [],
     r"decoder classify.topk: expected a known key, got 'topk'\n  hint: did you mean 'top_k'"),
    ("classify", {"top_k": 0}, FOUR, [], [], r"decoder classify.top_k: expected int >= 1, got 0"),
    ("classify", {"threshold": 1.5}, FOUR, [], [], r"decoder classify.threshold: expected float <= 1.0, got 1.5"),
    ("classify", {"softmax": True, "sigmoid": True}, FOUR, [], [],
     r"decoder classify: expected softmax or sigmoid, got both"),
    ("classify", {"background": 4}, FOUR, [], [], r"decoder classify.background: expected a class from 0 to 3, got 4"),
    ("classify", {"scores": "t"}, FOUR, [], [],
     r"decoder classify.scores: .* got 't'\n  hint: the outputs are 's' \(1, 4\) float32"),
    ("classify", {}, TWO, [], [],
     r"got 'p' \(1, 4\) float32, 'q' \(1, 4\) int8\n  hint: name it: decoder.parameters.scores"),
    ("classify", {}, FOUR, ["a"] * 3, [],
     r"labels: expected 4 labels, one for each class of 's' .*, got 3 labels\n.*'background'"),
    ("classify", {}, FOUR, ["a"] * 5, [], r"got 5 labels\n.*remove the first label"),
    ("classify", {}, FOUR, ["a"] * 9, [], r"got 9 labels\n.*in the order of the model's classes"),
    ("classify", {}, [tensor("s", (1, -1))], [], [], r"expected an output of fixed shape, got 's' \(1, -1\) float32"),
    ("yolo", {}, V8, [], PICTURE, r"decoder yolo.variant: expected a value \(this key is required\)"),
    ("yolo", {"variant": "v4"}, V8, [], PICTURE, r"decoder yolo.variant: expected .*'v4'"),
    ("yolo", {"variant": "x", "box_unit": "fraction"}, V8, [], PICTURE, r"expected box_unit: pixel with variant: x"),
    ("yolo", {"variant": "x"}, [tensor("o", (1, 80, 7))], [], PICTURE,
     r"decoder yolo.strides: expected strides that make 80 cells, .* 84"),
    ("yolo", {"variant": "x"}, [tensor("o", (1, 84, 7))], [], [], r"expected a picture as the first input"),
    ("yolo", {"variant": "v8"}, V8, ["a"] * 3, PICTURE,
     r"labels: expected 2 labels, one for each class of 'output0' \(1, 6, 84\)"),
    ("yolo", {"variant": "v8"}, [tensor("o", (1, 4, 84))], [], PICTURE,
     r"expected an output of 4 \+ classes by candidates, got 'o'"),
    ("yolo", {"variant": "v8"}, [tensor("o", (1, 3, 8, 8, 7))], [], PICTURE,
     r"decoder yolo.boxes: .* got 'o' \(1, 3, 8, 8, 7\)"),
    ("yolo", {"variant": "v8"}, [*V8, *V8], [], PICTURE,
     r"decoder yolo.boxes: expected one output of 4 by candidates, got 'output0'"),
    ("yolo", {"variant": "v8", "boxes": "b"}, RAW[1:], [], PICTURE,
     r"decoder yolo.boxes: expected the name of an output, got 'b'"),
    ("yolo", {"variant": "v8", "boxes": "s"}, RAW, [], PICTURE,
     r"decoder yolo.boxes: .* got 's' .*\n  hint: there are: 'b'"),
    ("yolo", {"variant": "v5"}, RAW, [], PICTURE, r"decoder yolo.objectness: expected one output of 18 values"),
    ("ssd", {}, LISTS, [], PICTURE,
     r"decoder ssd.scores: .* got several that fit: 'y' \(1, 10\) float32, 'z' .*\n  hint: name it"),
    ("ssd", {}, LISTS[1:], [], PICTURE, r"decoder ssd.boxes: expected one output of N boxes, \(1, N, 4\), got 'y'"),
    ("ssd", {"scores": "w"}, [*LISTS, tensor("w", (1, 9))], [], PICTURE,
     r"decoder ssd.scores: expected one output of 10 .* got 'w'"),
    ("ssd", {"scores": "y", "label_offset": 2}, LISTS, ["a", "b"], PICTURE,
     r"decoder ssd.label_offset: expected less than the 2"),
    ("ssd", {"anchors": {"recipe": "s"}}, RAW, [], PICTURE, r"decoder ssd.anchors: "),
    ("ssd", {"anchors": {"recipe": "ssd", "strides": []}}, RAW, [], PICTURE, r"decoder ssd.anchors.strides: "),
    ("ssd", {"anchors": SSD, "background": 1}, RAW, [], PICTURE, r"decoder ssd.background: "),
    ("ssd", {"anchors": SSD, "scale_factors": [0, 1, 1, 1]}, RAW, [], PICTURE, r"expected scale_factors other than 0"),
    ("ssd", {"anchors": {"recipe": "ssd"}}, RAW, [], PICTURE,
     r"decoder ssd.boxes: expected one output of boxes for \d+ anchors"),
    ("ssd", {"anchors": SSD}, RAW[:1], [], PICTURE, r"decoder ssd.scores: expected one output of classes for 18 anchors"),
    ("ssd", {"anchors": SSD, "label_offset": -1}, RAW, [], PICTURE,
     r"decoder ssd.label_offset: expected at least 0, got -1"),
    ("ssd", {"anchors": SSD}, RAW, ["a"], PICTURE,
     r"labels: expected 3 labels, one for each class of 's' \(1, 18, 3\) float32"),
    ("ssd", {"anchors": SSD, "background": 0, "scores": "t"}, [RAW[0], tensor("t", (1, 18, 1))], [], PICTURE,
     r"expected more than 1"),
    ("ssd", {"anchors": SSD, "keypoints": 6}, RAW, [], PICTURE,
     r"decoder ssd.keypoints: expected 16 columns, a box and 6 keypoints, got 'b' \(1, 18, 4\)"),
    ("ssd", {"keypoints": 6}, LISTS, [], PICTURE, r"decoder ssd: expected keypoints with anchors only, got 6 without"),
    ("grid", {"encoding": "v5"}, MAPS, [], PICTURE, r"expected anchors for each of the 3 strides, as many for each, got \[\]"),
    ("grid", {"encoding": "dfl", "anchors": [[[1, 2]]]}, MAPS, [], PICTURE, r"expected anchors with encoding: v3 or v5 only"),
    ("grid", {"encoding": "x", "strides": [8]}, MAPS, [], PICTURE,
     r"decoder grid.boxes: expected one output of 4 by 8 x 8 cells \(stride 8\), or one of 64 candidates, got 'm' .* 'n'"),
    ("grid", {"encoding": "x", "strides": [32], "outputs": ["q"]}, MAPS, [], PICTURE,
     r"decoder grid.outputs: expected the name of an output, got 'q'\n  hint: the outputs are 'm'"),
    ("grid", {"encoding": "x", "strides": [32]}, MAPS[:1], ["a"], PICTURE, r"labels: expected 2 labels, .* got 1 label"),
    ("grid", {"encoding": "x", "strides": [32]}, MAPS, [], [], r"expected a picture as the first input"),
    ("end_to_end", {"columns": ["left", "top", "score"]}, V8, [], PICTURE, r"expected columns with left, top, right, bottom"),
    ("end_to_end", {}, FOUR, [], PICTURE, r"decoder end_to_end.output: expected one output of rows of 6 columns .* got 's' \(1, 4\)"),
    ("end_to_end", {"output": "s"}, [*V8, *FOUR], [], PICTURE, r"got 's' \(1, 4\) float32\n  hint: there are: 'output0'"),
    ("end_to_end", {"label_offset": 2}, V8, ["a", "b"], PICTURE, r"decoder end_to_end.label_offset: expected less than the 2"),
    ("detr", {}, RAW[1:], [], PICTURE, r"decoder detr.boxes: expected one output of boxes by query, .* got 's' \(1, 18, 3\)"),
    ("detr", {"activation": "softmax"}, [RAW[0], tensor("t", (1, 18, 1))], [], PICTURE, r"expected more than 1 class, got 't'"),
    ("detr", {}, RAW, ["a"], PICTURE, r"labels: expected 3 labels, one for each class of 's'"),
    ("instances", {}, V8, [], PICTURE, r"decoder instances.prototypes: expected one output of prototypes, .* got 'output0'"),
    ("instances", {}, [*V8, tensor("p", (1, 32, 16, 16))], [], PICTURE,
     r"expected an output of 4 \+ classes \+ 32 coefficients by candidates, got 'output0' \(1, 6, 84\)"),
    ("instances", {"scores": "s"}, [tensor("b", (1, 4, 20)), tensor("s", (1, 2, 20)), tensor("c", (1, 5, 20)),
                                    tensor("p", (1, 3, 16, 16))], [], PICTURE, r"expected 3 coefficients, one for each prototype"),
    ("segment", {}, FOUR, [], PICTURE, r"decoder segment.output: expected one output of a map, .* got 's' \(1, 4\) float32"),
    ("segment", {"background": 5}, MAPS[1:], [], PICTURE, r"decoder segment.background: expected a class from 0 to 2, got 5"),
    ("segment", {}, MAPS[1:], ["a"], PICTURE, r"labels: expected 3 labels, one for each class of 'n' \(1, 32, 32, 3\)"),
    ("segment", {}, [tensor("m", (1, 32, 32), "int64")], ["person"], PICTURE,
     r"labels: expected a label for each class of 'm' .*, the background among them, got 1 label\n  hint: add a first line, 'background'"),
    ("pose", {"variant": "movenet"}, FOUR, [], PICTURE, r"expected one output of keypoints, \(1, 1, K, 3\), .* got 's' \(1, 4\)"),
    ("pose", {"variant": "heatmap"}, FOUR, [], PICTURE, r"decoder pose.heatmaps: expected one output of K maps, .* got 's'"),
    ("pose", {"variant": "yolo"}, [tensor("o", (1, 9, 84))], [], PICTURE,
     r"expected a box, one score and 3 values for each keypoint .* got 'o' .*\n  hint: .*point_values: 2"),
    ("pose", {"variant": "movenet", "names": ["a"]}, [tensor("o", (1, 1, 17, 3))], [], PICTURE,
     r"decoder pose.names: expected 17 different names, one for each point, got 1"),
    ("pose", {"variant": "movenet"}, [tensor("o", (1, 1, 17, 3))], ["a", "b"], PICTURE, r"labels: expected one label at most"),
    ("landmarks", {"values": 3}, FOUR, [], PICTURE, r"decoder landmarks.landmarks: expected one output of points of 3 values each"),
    ("landmarks", {"points": [2]}, FOUR, [], PICTURE, r"decoder landmarks.points: expected points from 0 to 1, got 2"),
    ("landmarks", {"presence": "p"}, [tensor("o", (1, 10)), TWO[0]], [], PICTURE, r"presence: expected an output of one number"),
    ("embed", {}, TWO, [], PICTURE, r"decoder embed.output: expected one output of a vector, got several that fit: 'p'"),
    ("embed", {"enrolled": "../x"}, FOUR, [], PICTURE, r"decoder embed.enrolled: "),
    ("ctc", {}, MAPS, ["a"], PICTURE, r"decoder ctc.output: expected one output of scores by step, .* got 'm' \(1, 7, 2, 2\)"),
    ("ctc", {}, RAW, ["a", "b"], PICTURE, r"got several that fit: 'b' .*\n  hint: name it: decoder.parameters.output"),
    ("ctc", {}, RAW[1:], [], PICTURE, r"labels: expected one label for each class of 's' \(1, 18, 3\) .*blank, got no labels"),
    ("ctc", {}, RAW[1:], ["a"] * 3, PICTURE, r"labels: expected 3 labels, .* 's' .* the blank and the space among them, got 4"),
    ("ctc", {"blank": 3}, RAW[1:], ["a", "b"], PICTURE, r"decoder ctc.blank: expected a class from 0 to 2, or -1, .* got 3"),
    ("ctc", {"layout": "CT"}, RAW[1:], ["a", "b"], PICTURE, r"labels: expected 18 labels"),
    ("anomaly", {}, FOUR, [], FOUR, r"decoder anomaly.threshold: expected a value \(this key is required\)"),
    ("anomaly", {"threshold": 1}, FOUR, [], [], r"expected an input to compare the reconstruction with, got no tensors"),
    ("anomaly", {"threshold": 1}, FOUR, [], PICTURE,
     r"expected one output of 12288 elements, as many as the input has, got 's'"),
    ("anomaly", {"threshold": 1, "mode": "score"}, FOUR, [], [],
     r"decoder anomaly.output: expected one output of 1 elements, got 's'"),
    ("anomaly", {"threshold": 1, "output": "t"}, FOUR, [], FOUR,
     r"decoder anomaly.output: expected the name of an output, got 't'"),
    ("regress", {}, TWO, [], [], r"decoder regress.output: expected one output, got several that fit: 'p'"),
    ("regress", {"scale": [1, 2]}, FOUR, [], [], r"decoder regress.scale: expected 1 or 4 entries, got 2 entries"),
    ("regress", {"names": ["a", "b"]}, FOUR, [], [],
     r"decoder regress.names: expected 4 different names, .* got 2 different"),
    ("raw", {"max_elements": 7}, TWO, [], [], r"decoder raw.max_elements: expected outputs of at most 7 .* got 8 in 'p'"),
]


@pytest.mark.parametrize(("name", "parameters", "outputs", "labels", "inputs", "message"), FAULTS,
                         ids=[f"{fault[0]}-{number}" for number, fault in enumerate(FAULTS)])
def test_what_does_not_fit_is_a_manifest_error(name: str, parameters: dict[str, Any], outputs: list[TensorSpec],
                                               labels: list[str], inputs: list[TensorSpec], message: str) -> None:
    """The message says where, what was expected, and which tensors there are."""
    with pytest.raises(ManifestError, match=f"(?s){message}"):
        DECODERS.load(name, "test")(parameters, outputs, labels, inputs)


def test_every_fault_is_listed() -> None:
    """One error for all wrong parameters."""
    with pytest.raises(ManifestError) as caught:
        DECODERS.load("yolo", "test")({"variant": "v9", "iou": -1, "treshold": 0.5}, V8, [], PICTURE)
    where = {fault.where for fault in caught.value.faults}
    assert where == {"decoder yolo.variant", "decoder yolo.iou", "decoder yolo.treshold"}


@pytest.mark.parametrize("threshold", [0.2, 1.5, float("nan")])
@pytest.mark.parametrize(("name", "parameters", "outputs"), [("classify", {"threshold": 0.5}, FOUR),
                         ("yolo", {"variant": "v8", "threshold": 0.5}, V8), ("ssd", {"scores": "y"}, LISTS),
                         ("end_to_end", {"threshold": 0.5}, V8), ("detr", {}, RAW), ("embed", {}, FOUR),
                         ("grid", {"encoding": "x", "strides": [32], "threshold": 0.5}, MAPS[:1]),
                         ("pose", {"variant": "movenet", "threshold": 0.5}, [tensor("o", (1, 1, 17, 3))])])
def test_a_threshold_may_only_be_stricter(name: str, parameters: dict[str, Any], outputs: list[TensorSpec],
                                          threshold: float) -> None:
    """Below the bundle's own, above 1 or not a number is a ConfigError; equal or higher is taken."""
    kind = DECODERS.load(name, "test")
    with pytest.raises(ConfigError, match=r"threshold: expected at least 0.5, which the bundle sets, and at most 1"):
        kind(parameters, outputs, [], PICTURE, threshold)
    kind(parameters, outputs, [], PICTURE, 0.5)


def test_an_anomaly_threshold_has_no_upper_end() -> None:
    """It is in the model's own unit."""
    kind = DECODERS.load("anomaly", "test")
    with pytest.raises(ConfigError, match=r"threshold: expected at least 10, which the bundle sets, got 9"):
        kind({"threshold": 10}, FOUR, [], FOUR, 9)
    kind({"threshold": 10}, FOUR, [], FOUR, 1e6)


@pytest.mark.parametrize(("name", "outputs"), [("regress", FOUR), ("raw", FOUR), ("landmarks", FOUR), ("segment", MAPS[1:])])
def test_without_a_score_there_is_no_threshold(name: str, outputs: list[TensorSpec]) -> None:
    """A threshold for a task that has none is a mistake in the configuration."""
    with pytest.raises(ConfigError, match="threshold: expected none"):
        DECODERS.load(name, "test")({}, outputs, [], PICTURE, 0.5)
