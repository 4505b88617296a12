"""Which decoder fits a model's outputs, judged by shapes, dtypes, quantisation and names alone: the best guess first."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np

from edgeinfer.errors import EdgeinferError
from edgeinfer.model.decoders import DECODERS
from edgeinfer.model.decoders.anchors import BlazeFaceAnchors, SsdAnchors
from edgeinfer.model.decoders.roles import shape_of
from edgeinfer.model.tensor import TensorSpec

__all__ = ["Proposal", "propose"]

YOLOV5_ANCHORS = [[[10, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]], [[116, 90], [156, 198], [373, 326]]]
_STRIDES = ((8, 16, 32), (8, 16, 32, 64), (16, 32), (4, 8, 16, 32))
_QUERIES = 1000  # no more rows than this are finished ones; dense heads have more
_LINE = 64  # pixels: no higher are the pictures of lines of text that models read
_EMBEDDINGS = (64, 96, 128, 160, 192, 256, 320, 384, 512, 768, 1024, 1280, 1536, 2048)


class Proposal(msgspec.Struct, frozen=True):
    """A decoder and parameters that these tensors satisfy. ``fit`` 0..1: how much speaks for it; ``reason`` says what."""

    decoder: str
    parameters: dict[str, Any]
    fit: float
    reason: str

    @property
    def flags(self) -> str:
        """Those of ``quantize pack`` that say the same, to be pasted."""
        words = ["--decoder", self.decoder]
        for name, value in self.parameters.items():
            words += ["--param", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
        return shlex.join(words)


def propose(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], labels: int = 0,
            operators: Collection[str] = ()) -> list[Proposal]:
    """All that fit, best first, at least ``raw`` where the outputs are small. ``labels``: how many there are, 0: unknown;
    ``operators``: the names of the model's, none: unknown.

    Each was made once with these tensors, so none is refused later on their account. A dynamic batch counts as 1; nothing
    is proposed where another side is dynamic.
    """
    inputs, outputs = [_batch_of_one(spec) for spec in inputs], [_batch_of_one(spec) for spec in outputs]
    if not outputs or any(side < 1 for spec in outputs for side in spec.shape):
        return []
    facts = _Facts(inputs, outputs, labels, operators)
    found = [one for kind in (_finished, _dense, _grids, _maps, _poses, _lines, _vectors) for one in kind(facts)]
    found.append(Proposal("raw", {}, 0.0, "nothing is assumed: all numbers as they are"))
    return sorted((one for one in found if _accepted(one, facts)), key=lambda one: -one.fit)


def _batch_of_one(spec: TensorSpec) -> TensorSpec:
    dynamic = len(spec.shape) > 1 and spec.shape[0] < 1
    return msgspec.structs.replace(spec, shape=(1, *spec.shape[1:])) if dynamic else spec


class _Facts:
    """What the recognisers look at. ``size``: height and width of the picture, (0, 0) for a model of windows. ``bare``: no operator
    makes a probability."""

    def __init__(self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], labels: int,
                 operators: Collection[str]) -> None:
        self.inputs, self.outputs, self.labels = inputs, outputs, labels
        ends = ("softmax", "sigmoid", "logistic")
        self.bare = bool(operators) and not any(end in name.lower() for name in operators for end in ends)
        self.shapes = [shape_of(spec) for spec in outputs]
        self.tables = [i for i, shape in enumerate(self.shapes) if len(shape) == 2]
        self.size = _picture(inputs[0].shape) if inputs else (0, 0)

    def cells(self, strides: Sequence[int]) -> int:
        return sum(-(-self.size[0] // stride) * -(-self.size[1] // stride) for stride in strides)

    def strides_of(self, cells: int) -> tuple[int, ...]:
        """The usual strides that make so many cells; () where none do."""
        return next((strides for strides in _STRIDES if self.size[0] and self.cells(strides) == cells), ())

    def most(self, index: int) -> float | None:
        """The largest real value that an output's 8 bits can hold."""
        spec = self.outputs[index]
        if spec.quantization is None or spec.quantization.per_axis or np.dtype(spec.dtype).itemsize > 1:
            return None
        return spec.quantization.scale[0] * (int(np.iinfo(spec.dtype).max) - spec.quantization.zero_point[0])

    def unit(self, index: int) -> dict[str, str]:
        """Pixels or fractions: of 8 bits that end at 4 or less the latter; of floats, too, where channels are last, as in
        Ultralytics' TFLite files, and else pixels."""
        most = self.most(index)
        fraction = most <= 4 if most is not None else bool(self.inputs) and self.inputs[0].shape[-1:] in ((1,), (3,))
        return {"box_unit": "fraction"} if fraction else {}


def _picture(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) == 4 and shape[3] in (1, 3):
        return shape[1], shape[2]
    return (shape[2], shape[3]) if len(shape) == 4 and shape[1] in (1, 3) else (0, 0)


def _accepted(one: Proposal, facts: _Facts) -> bool:
    count = 0 if one.decoder in ("pose", "landmarks") else facts.labels
    if one.decoder == "ctc" and not count:  # which is nothing without its characters
        count = max(facts.shapes[facts.tables[0]]) - 1 if facts.tables else 0
    names = [f"class {index}" for index in range(count)]
    with suppress(EdgeinferError):
        DECODERS.load(one.decoder, "proposal")(one.parameters, facts.outputs, names, facts.inputs)
        return True
    return False


def _finished(facts: _Facts) -> Iterator[Proposal]:
    """Detections that the model has suppressed itself, and those of anchors."""
    shapes = facts.shapes
    yield Proposal("ssd", {}, 0.95, "boxes, classes, scores and their count, as TFLite_Detection_PostProcess gives them")
    lists = [i for i, shape in enumerate(shapes) if len(shape) == 1 and shape[0] > 1]
    listed = max((shapes[i][0] for i in lists), default=0)
    if len(shapes) == 3 and listed > _QUERIES:
        yield Proposal("ssd", {"corners": "xyxy", "box_unit": "pixel", "iou": 0.45}, 0.97,
                       f"boxes, classes and scores of {listed} candidates, not yet suppressed")
    if len(lists) == 2 and len(shapes) in (3, 4):
        names = [facts.outputs[i].name for i in lists]
        for classes, scores in (names, names[::-1]):
            yield Proposal("ssd", {"classes": classes, "scores": scores}, 0.5,
                           "boxes and two lists; which one is the classes, the names do not say")
    for i in facts.tables:
        rows, columns = max(shapes[i]), min(shapes[i])
        if rows <= _QUERIES and columns == 6:
            yield Proposal("end_to_end", {**_name("output", facts, i), **facts.unit(i)}, 0.8,
                           f"{rows} rows of a box, a score and a class (YOLOv10)")
        if columns == 7:
            order = ["-", "left", "top", "right", "bottom", "class", "score"]
            yield Proposal("end_to_end", {"columns": order, **_name("output", facts, i)}, 0.6,
                           f"{rows} rows of 7 (YOLOv7 with its suppression)")
    if len(facts.tables) == 2 and len({max(shapes[i]) for i in facts.tables}) == 1:
        yield from _pairs(facts, *sorted(facts.tables, key=lambda i: min(shapes[i]) != 4))


def _pairs(facts: _Facts, boxes: int, scores: int) -> Iterator[Proposal]:
    """Two tables of as many rows."""
    rows, columns = max(facts.shapes[boxes]), min(facts.shapes[boxes])
    for anchors in (BlazeFaceAnchors(), BlazeFaceAnchors(strides=(16, 32, 32, 32)), BlazeFaceAnchors(strides=(4,), per_cell=1)):
        if facts.size[0] and columns != 4 and len(anchors.anchors(*facts.size)) == rows:
            yield from _faces(facts, anchors, rows, max(min(facts.shapes[boxes]), min(facts.shapes[scores])))
    if facts.size[0] and len(SsdAnchors().anchors(*facts.size)) == rows:
        parameters: dict[str, Any] = {"anchors": {"recipe": "ssd"}}
        if facts.labels and min(facts.shapes[scores]) == facts.labels + 1:
            parameters["background"] = 0
        yield Proposal("ssd", parameters, 0.85, f"{rows} anchors are those of an SSD with its usual strides")
    names = {"boxes": facts.outputs[boxes].name, "scores": facts.outputs[scores].name}
    if columns == 4 and facts.strides_of(rows):
        yield Proposal("yolo", {"variant": "v8", **names, **facts.unit(boxes)}, 0.9,
                       f"boxes and classes of {rows} cells, split as for INT8")
    elif columns == 4 and rows <= _QUERIES:
        softmax = facts.labels and min(facts.shapes[scores]) == facts.labels + 1
        yield Proposal("detr", {**names, **({"activation": "softmax"} if softmax else {})}, 0.75,
                       f"boxes and classes of {rows} queries")


def _faces(facts: _Facts, anchors: BlazeFaceAnchors, rows: int, columns: int) -> Iterator[Proposal]:
    recipe: dict[str, Any] = {"recipe": "blazeface", "strides": list(anchors.strides)}
    if anchors.per_cell != BlazeFaceAnchors().per_cell:
        recipe["per_cell"] = anchors.per_cell
    yield Proposal("ssd", {"anchors": recipe, "keypoints": (columns - 4) // 2}, 0.95,
                   f"{rows} anchors of {facts.size[1]} x {facts.size[0]} are those of BlazeFace")


def _dense(facts: _Facts) -> Iterator[Proposal]:
    """YOLO heads in one table, with prototypes or keypoints beside the classes."""
    if len(facts.tables) != 1:
        return
    i = facts.tables[0]
    shape = facts.shapes[i]
    rows, columns, unit = max(shape), min(shape), facts.unit(i)
    first = shape[0] == columns
    strides, anchored = facts.strides_of(rows), bool(facts.size[0]) and rows % 3 == 0 and facts.strides_of(rows // 3)
    prototypes = [s for s in facts.shapes if len(s) == 3 and min(s) > 1]
    if prototypes and columns > 4 + min(prototypes[0]):
        yield Proposal("instances", unit, 0.95, f"{min(prototypes[0])} prototypes, and as many coefficients for each candidate")
    if rows <= _QUERIES and not strides:
        return
    if columns in (56, 39) and strides:
        points = {"point_values": 2} if columns == 39 else {}
        yield Proposal("pose", {"variant": "yolo", **points, **unit}, 0.95,
                       f"{rows} candidates with a box, a score and 17 keypoints")
    told = facts.labels
    if strides:
        yield Proposal("yolo", {"variant": "v8", **unit}, 0.9 if columns == 4 + told else 0.8 if first and not told else 0.5,
                       f"{rows} cells of strides {_text(strides)}, 4 + {columns - 4} values each: YOLO v8 or v11")
        yield Proposal("yolo", {"variant": "x", "strides": list(strides)}, 0.85 if columns == 5 + told else 0.6 if not told and
                       not first else 0.3, f"{rows} cells, 5 + {columns - 5} values each: YOLOX, boxes relative to their cells")
        yield from _distributions(facts, i, strides, columns)
    if anchored:
        yield Proposal("yolo", {"variant": "v5", **unit}, 0.9 if columns == 5 + told or not told else 0.5,
                       f"3 anchors in each of {rows // 3} cells, 5 + {columns - 5} values each: YOLOv5 or v7")


def _distributions(facts: _Facts, i: int, strides: tuple[int, ...], columns: int) -> Iterator[Proposal]:
    for bins in (8, 16):
        classes = columns - 4 * bins
        if classes > 0 and (classes == facts.labels or (not facts.labels and classes in (1, 80))):
            nanodet = len(strides) == 4
            said: dict[str, Any] = {"encoding": "dfl", "bins": bins, "strides": list(strides)}
            if bins == 8:
                said |= {"classes_first": True, "activation": "none", "centre": 0.0 if nanodet else 0.5}
            kind = "YOLO v8 or v11 before its DFL" if bins == 16 else "NanoDet-Plus" if nanodet else "a DFL head"
            yield Proposal("grid", said, 0.92, f"{classes} classes and 4 x {bins} bins of each cell: {kind}")


def _grids(facts: _Facts) -> Iterator[Proposal]:
    """Heads by feature maps."""
    maps = [shape for shape in facts.shapes if len(shape) >= 3]
    if not maps or not facts.size[0]:
        return
    if len(facts.shapes) == 1 and len(maps[0]) == 3:
        channels, side = (maps[0][0], maps[0][1]) if maps[0][1] == maps[0][2] else (maps[0][2], maps[0][0])
        if side > 1 and facts.size[0] % side == 0 and channels == 5 + (facts.labels or 80):
            yield Proposal("grid", {"encoding": "fastestdet", "strides": [facts.size[0] // side], "threshold": 0.65}, 0.85,
                           f"one map of {side} x {side} cells with 5 + {channels - 5} values: FastestDet")
    for strides in _STRIDES:
        if len(facts.shapes) < len(strides):
            continue
        said = {"strides": list(strides)}
        for bins in (16, 8, 1):
            yield Proposal("grid", {"encoding": "dfl", "bins": bins, **said}, 0.8 - 0.1 * (bins == 1),
                           f"maps of strides {_text(strides)} with 4 x {bins} for the box: YOLO v8, NanoDet or PicoDet")
        yield Proposal("grid", {"encoding": "x", **said}, 0.6, f"maps of strides {_text(strides)}, one box a cell: YOLOX")
        if len(strides) == 3:
            yield Proposal("grid", {"encoding": "v5", "anchors": YOLOV5_ANCHORS, **said}, 0.85,
                           "maps with 3 anchors a cell: YOLOv5 or v7; the anchors are v5's, check them")


def _maps(facts: _Facts) -> Iterator[Proposal]:
    """Segmentation: a map about as fine as the picture."""
    for i, shape in enumerate(facts.shapes):
        sides = sorted(shape)[-2:]
        spec = facts.outputs[i]
        integers = np.dtype(spec.dtype).kind in "iub" and spec.quantization is None
        if len(shape) not in (2, 3) or not facts.size[0] or 8 * min(sides) < min(facts.size) or sides[0] * 4 < sides[1]:
            continue
        parameters = _name("output", facts, i)
        single = not integers and (len(shape) == 2 or 1 in shape)
        if single and _logits(facts, i):
            parameters["logits"] = True
        fit = 0.9 if len(facts.shapes) == 1 and (integers or len(shape) == 3) else 0.5
        what = "classes" if integers else "one score a cell" if single else f"{min(shape)} scores a cell"
        yield Proposal("segment", parameters, fit, f"a map of {what}, about as fine as the picture")


def _poses(facts: _Facts) -> Iterator[Proposal]:
    fit = 0.99 if any(spec.shape[-2:] == (17, 3) or spec.shape[-1:] == (56,) for spec in facts.outputs) else 0.4
    if any(spec.shape[-1:] == (56,) or (spec.shape[-1:] == (3,) and len(spec.shape) > 2) for spec in facts.outputs):
        yield Proposal("pose", {"variant": "movenet"}, fit, "y, x and score of each keypoint: MoveNet")
    shapes = facts.shapes
    if any(len(shape) == 3 and 17 in (shape[0], shape[2]) for shape in shapes):
        offsets = any(len(shape) == 3 and 34 in (shape[0], shape[2]) for shape in shapes)
        yield Proposal("pose", {"variant": "heatmap", **({"logits": True} if offsets else {})}, 0.93,
                       "a map for each of 17 keypoints" + (" and their offsets: PoseNet" if offsets else ""))


def _lines(facts: _Facts) -> Iterator[Proposal]:
    """Scores by step, of a picture that is a line of text, or of as many classes as there are characters and a blank."""
    height, width = facts.size
    for i in facts.tables[:1] if len(facts.shapes) == 1 else []:
        sides = facts.shapes[i]
        space = facts.labels > 0 and facts.labels + 2 in sides and facts.labels + 1 not in sides
        if facts.labels and not space and facts.labels + 1 not in sides:
            continue
        if 0 < height <= _LINE and width >= 2 * height and width // 16 <= min(sides) <= width:
            yield Proposal("ctc", {"space": True} if space else {}, 0.93 if facts.labels else 0.85,
                           f"{min(sides)} steps of {max(sides)} scores along a line of text, {height} pixels high")


def _vectors(facts: _Facts) -> Iterator[Proposal]:
    """One list of numbers: classes, an embedding, a reconstruction, landmarks, values."""
    sizes = [int(np.prod(spec.shape)) for spec in facts.outputs]
    if len(sizes) == 1 and facts.inputs and sizes[0] == int(np.prod(facts.inputs[0].shape)) > 1:
        yield Proposal("anomaly", {"threshold": 1.0}, 0.85, "as many numbers as go in: a reconstruction; the threshold is yours")
    for i, size in enumerate(sizes):
        if size < 2 or len([side for side in facts.shapes[i] if side > 1]) != 1:
            continue
        activation = {"softmax": True} if _logits(facts, i) else {}
        what = "logits" if activation else "scores"
        fit = 0.9 if size == facts.labels else 0.3 if facts.labels else 0.6 if size not in _EMBEDDINGS else 0.5
        yield Proposal("classify", {**activation, **_name("scores", facts, i)}, fit * (1.0 if len(sizes) == 1 else 0.8),
                       f"{size} {what}" + (", one for each label" if size == facts.labels else ""))
        if size in _EMBEDDINGS and size != facts.labels:
            yield Proposal("embed", _name("output", facts, i), 0.55, f"a vector of {size}, the size of an embedding")
        points = {**_name("landmarks", facts, i), **_presence(facts, sizes)}
        if size % 3 == 0 and size >= 15 and size // 3 in (5, 21, 33, 39, 68, 71, 468, 478):
            yield Proposal("landmarks", {"values": 3, **points}, 0.9, f"{size // 3} points of x, y, z")
        if size % 2 == 0 and size // 2 in (5, 6, 21, 68, 98, 106):
            yield Proposal("landmarks", points, 0.5, f"{size // 2} points of x, y")
    if len(sizes) == 1 and sizes[0] <= 16:
        yield Proposal("regress", {}, 0.25, f"{sizes[0]} numbers")


def _presence(facts: _Facts, sizes: Sequence[int]) -> dict[str, Any]:
    """The parameters of the only output of one number, if there is one: whether the thing is there at all."""
    if sizes.count(1) != 1:
        return {}
    i = sizes.index(1)
    return {"presence": facts.outputs[i].name, **({"logits": True} if _logits(facts, i) else {})}


def _logits(facts: _Facts, i: int) -> bool:
    """Whether a sigmoid or softmax is missing: 8 bits reach well below 0, or above 1; of floats the operators tell."""
    spec, most = facts.outputs[i], facts.most(i)
    if most is None or spec.quantization is None:
        return facts.bare
    least = spec.quantization.scale[0] * (int(np.iinfo(spec.dtype).min) - spec.quantization.zero_point[0])
    return least < -0.5 or most > 1.5


def _name(role: str, facts: _Facts, i: int) -> dict[str, Any]:
    """The parameter that names an output, where there are several."""
    return {role: facts.outputs[i].name} if len(facts.outputs) > 1 else {}


def _text(strides: Sequence[int]) -> str:
    return ", ".join(map(str, strides))
