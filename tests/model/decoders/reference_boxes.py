"""What decoders of boxes should give, from the models' own code, rewritten in plain numpy on real values.

Each takes the case's parameters, its outputs by name as they stand in the case file, the input's height and width, and the
geometry; each gives a result as a payload has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgeinfer.model.tensor import Array
from tests.model.decoders.reference import Found, nms, placed

Outputs = dict[str, Array]
Size = tuple[int, int]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def softmax(x: Array, axis: int = -1) -> Array:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


def document(found: list[Found], labels: list[str], geometry: Any, most: int = 100) -> dict[str, Any]:
    rows = [{"label": labels[row[0]], "index": row[0], "score": row[1], "box": list(row[2:])}
            for row in placed(found, geometry, most)]
    return {"count": len(rows), "detections": rows}


def best_of(boxes: Array, scores: Array, threshold: float) -> list[Found]:
    """Rows of corners in fractions with the best class of each, at or over the threshold."""
    found = []
    for box, row in zip(boxes, scores, strict=True):
        best = int(np.argmax(row))
        if row[best] >= threshold and box[2] > box[0] and box[3] > box[1]:
            found.append((best, float(row[best]), *(float(side) for side in box)))
    return found


def _levels(p: dict[str, Any], outputs: Outputs, size: Size) -> list[tuple[int, Array]]:
    """(stride, (anchors, values, rows, columns)) of heads with all in one output a map, or in one for all maps."""
    anchors = len(p["anchors"][0]) if p.get("anchors") else 1
    maps, start = [], 0
    for index, stride in enumerate(p["strides"]):
        rows, columns = -(-size[0] // stride), -(-size[1] // stride)
        if "all" in outputs:
            part = outputs["all"][start : start + rows * columns].T
            start += rows * columns
        elif f"p{index}" in outputs:
            part = outputs[f"p{index}"]
        else:  # in parts: boxes, objectness where there is one, classes
            kinds = ("boxes", "objectness", "scores")
            part = np.concatenate([outputs[f"{kind}{index}"].reshape(anchors, -1, rows, columns) for kind in kinds
                                   if f"{kind}{index}" in outputs], axis=1)
        maps.append((stride, part.reshape(anchors, -1, rows, columns)))
    return maps


def yolov5(t: Array, stride: int, anchors: Any) -> Array:
    """ultralytics/yolov5, Detect.forward: y[..., 0:2] * 2 - 0.5 + grid, (y[..., 2:4] * 2) ** 2 * anchor_grid."""
    rows, columns = t.shape[2:]
    y, x = np.mgrid[:rows, :columns]
    out = sigmoid(t)
    boxes = []
    for a, (width, height) in enumerate(anchors):
        cx, cy = (out[a, 0] * 2 - 0.5 + x) * stride, (out[a, 1] * 2 - 0.5 + y) * stride
        w, h = (out[a, 2] * 2) ** 2 * width, (out[a, 3] * 2) ** 2 * height
        boxes.append(np.stack((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, *out[a, 4:])))
    return np.stack(boxes)


def yolov3(t: Array, stride: int, anchors: Any) -> Array:
    """pjreddie/darknet, get_yolo_box: (x + i) / lw, exp(w) * anchor."""
    rows, columns = t.shape[2:]
    y, x = np.mgrid[:rows, :columns]
    boxes = []
    for a, (width, height) in enumerate(anchors):
        cx, cy = (sigmoid(t[a, 0]) + x) * stride, (sigmoid(t[a, 1]) + y) * stride
        w, h = np.exp(t[a, 2]) * width, np.exp(t[a, 3]) * height
        boxes.append(np.stack((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, *sigmoid(t[a, 4:]))))
    return np.stack(boxes)


def yolox(t: Array, stride: int, probable: bool) -> Array:
    """Megvii-BaseDetection/YOLOX, demo_postprocess: (xy + grid) * stride, exp(wh) * stride."""
    rows, columns = t.shape[2:]
    y, x = np.mgrid[:rows, :columns]
    cx, cy = (t[0, 0] + x) * stride, (t[0, 1] + y) * stride
    w, h = np.exp(t[0, 2]) * stride, np.exp(t[0, 3]) * stride
    rest = t[0, 4:] if probable else sigmoid(t[0, 4:])
    return np.stack((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, *rest))[np.newaxis]


def dfl(t: Array, stride: int, p: dict[str, Any]) -> Array:
    """RangiLyu/nanodet, Integral and distance2bbox; ultralytics, DFL and dist2bbox: the same up to the cell's centre."""
    rows, columns = t.shape[2:]
    y, x = np.mgrid[:rows, :columns] + p.get("centre", 0.5)
    bins = p.get("bins", 16)
    first = t[0].shape[0] - 4 * bins if p.get("classes_first") else 0
    raw = t[0, first : first + 4 * bins].reshape(4, bins, rows, columns)
    left, top, right, bottom = raw[:, 0] if bins == 1 else (softmax(raw, 1) * np.arange(bins).reshape(1, -1, 1, 1)).sum(axis=1)
    classes = t[0, :first] if p.get("classes_first") else t[0, 4 * bins :]
    classes = classes if p.get("activation") == "none" else sigmoid(classes)
    sides = np.stack((x - left, y - top, x + right, y + bottom)) * stride
    return np.concatenate((sides, np.ones((1, rows, columns)), classes))[np.newaxis]


def fastestdet(t: Array, stride: int, size: Size) -> Array:
    """dog-qiuqiu/FastestDet, handle_preds: tanh of the offset, sigmoid of the size, objectness^0.6 * class^0.4."""
    rows, columns = t.shape[2:]
    y, x = np.mgrid[:rows, :columns]
    cx, cy = (np.tanh(t[0, 1]) + x) / columns * size[1], (np.tanh(t[0, 2]) + y) / rows * size[0]
    w, h = sigmoid(t[0, 3]) * size[1], sigmoid(t[0, 4]) * size[0]
    scores = np.clip(t[0, 0], 0, 1) ** 0.6 * np.clip(t[0, 5:], 0, 1) ** 0.4
    return np.concatenate((np.stack((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)), np.ones((1, rows, columns)),
                           scores))[np.newaxis]


def grid(p: dict[str, Any], outputs: Outputs, size: Size, geometry: Any, labels: list[str]) -> dict[str, Any]:
    found: list[Found] = []
    for index, (stride, t) in enumerate(_levels(p, outputs, size)):
        kinds: dict[str, Callable[[], Array]] = {
            "v5": lambda t=t, s=stride, i=index: yolov5(t, s, p["anchors"][i]),
            "v3": lambda t=t, s=stride, i=index: yolov3(t, s, p["anchors"][i]),
            "x": lambda t=t, s=stride: yolox(t, s, p.get("activation") == "none"),
            "dfl": lambda t=t, s=stride: dfl(t, s, p), "fastestdet": lambda t=t, s=stride: fastestdet(t, s, size)}
        for anchor in kinds[p["encoding"]]():
            rows = anchor.reshape(len(anchor), -1).T
            corners = rows[:, :4] / np.array([size[1], size[0], size[1], size[0]])
            found += best_of(corners, rows[:, 5:] * rows[:, 4:5], p.get("threshold", 0.25))
    return document(nms(found, p.get("iou", 0.45)), labels, geometry)


def end_to_end(p: dict[str, Any], outputs: Outputs, size: Size, geometry: Any, labels: list[str]) -> dict[str, Any]:
    """THU-MIG/yolov10 and WongKinYiu/yolov7 (end2end): rows that are final but for the threshold."""
    columns = p.get("columns", ["left", "top", "right", "bottom", "score", "class"])
    found: list[Found] = []
    for values in outputs["rows"]:
        row = dict(zip(columns, values.tolist(), strict=True))
        if "x" in row:
            row |= {"left": row["x"] - row["width"] / 2, "right": row["x"] + row["width"] / 2,
                    "top": row["y"] - row["height"] / 2, "bottom": row["y"] + row["height"] / 2}
        unit = (size[1], size[0]) if p.get("box_unit", "pixel") == "pixel" else (1, 1)
        box = (row["left"] / unit[0], row["top"] / unit[1], row["right"] / unit[0], row["bottom"] / unit[1])
        if row["score"] >= p.get("threshold", 0.25):
            found.append((round(row.get("class", 0)) + p.get("label_offset", 0), row["score"], *box))
    found.sort(key=lambda one: -one[1])
    return document(nms(found, p["iou"]) if "iou" in p else found, labels, geometry)


def detr(p: dict[str, Any], outputs: Outputs, size: Size, geometry: Any, labels: list[str]) -> dict[str, Any]:
    """facebookresearch/detr, PostProcess: softmax without its last class; RT-DETR: sigmoid; box_cxcywh_to_xyxy."""
    logits, boxes = outputs["logits"], outputs["boxes"]
    scores = {"softmax": lambda: softmax(logits)[:, :-1], "sigmoid": lambda: sigmoid(logits), "none": lambda: logits}[
        p.get("activation", "sigmoid")]()
    half = boxes[:, 2:] / 2
    corners = np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), axis=1)
    found = best_of(corners, scores, p.get("threshold", 0.5))
    return document(sorted(found, key=lambda one: -one[1]), labels, geometry)


def ssd_plain(p: dict[str, Any], outputs: Outputs, size: Size, geometry: Any, labels: list[str]) -> dict[str, Any]:
    """D-FINE and torchvision as exported: boxes as corners in pixels, labels and scores, no count."""
    unit = np.array([size[1], size[0], size[1], size[0]])
    found = [(round(float(label)) + p.get("label_offset", 0), float(score), *(box / unit).tolist())
             for box, label, score in zip(outputs["boxes"], outputs["labels"], outputs["scores"], strict=True)
             if score >= p.get("threshold", 0.5)]
    return document(sorted(found, key=lambda one: -one[1]), labels, geometry)


def blazeface(p: dict[str, Any], outputs: Outputs, size: Size, geometry: Any, labels: list[str]) -> dict[str, Any]:
    """hollance/BlazeFace-PyTorch, _decode_boxes: everything relative to anchors of size 1, in pixels of the input."""
    centres = []
    for stride, anchors in ((8, 2), (16, 6)):
        rows, columns = size[0] // stride, size[1] // stride
        centres += [((x + 0.5) / columns, (y + 0.5) / rows) for y in range(rows) for x in range(columns) for _ in range(anchors)]
    scores, raw = sigmoid(outputs["scores"][:, 0]), outputs["regressors"]
    found: list[Found] = []
    points: dict[tuple[float, ...], list[tuple[float, float]]] = {}
    for (ax, ay), score, t in zip(centres, scores.tolist(), raw.tolist(), strict=True):
        x, y, w, h = t[0] / size[1] + ax, t[1] / size[0] + ay, t[2] / size[1], t[3] / size[0]
        if score >= p.get("threshold", 0.5):
            found.append((0, score, x - w / 2, y - h / 2, x + w / 2, y + h / 2))
            points[found[-1]] = [(t[4 + 2 * k] / size[1] + ax, t[5 + 2 * k] / size[0] + ay) for k in range(6)]
    kept = nms(found, p.get("iou", 0.45))
    made = document(kept, labels, geometry)
    names = ("right eye", "left eye", "nose", "mouth", "right ear", "left ear")
    for row, one in zip(made["detections"], kept, strict=True):
        row["keypoints"] = {name: [geometry.x(x), geometry.y(y)] for name, (x, y) in zip(names, points[one], strict=True)}
    return made
