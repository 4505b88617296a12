"""What every decoder should give, in plain Python on real values: no numpy, no quantised domain, no shortcut."""

from __future__ import annotations

import math
from typing import Any

Found = tuple[int, float, float, float, float, float]  # class, score, left, top, right, bottom


def softmax(logits: list[float]) -> list[float]:
    best = max(logits)
    exponents = [math.exp(value - best) for value in logits]
    return [value / sum(exponents) for value in exponents]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def classify(p: dict[str, Any], logits: list[float], threshold: float) -> list[tuple[int, float]]:
    scores = softmax(logits) if p.get("softmax") else [sigmoid(v) for v in logits] if p.get("sigmoid") else logits
    ranked = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    kept = [(index, scores[index]) for index in ranked if index != p.get("background") and scores[index] >= threshold]
    return kept[: p.get("top_k", 5)]


def iou_over(a: Found, b: Found, limit: float) -> bool:
    width = max(min(a[4], b[4]) - max(a[2], b[2]), 0.0)
    height = max(min(a[5], b[5]) - max(a[3], b[3]), 0.0)
    shared = width * height
    union = (a[4] - a[2]) * (a[5] - a[3]) + (b[4] - b[2]) * (b[5] - b[3]) - shared
    return shared > union * limit


def nms(found: list[Found], iou: float, class_aware: bool = True, capacity: int = 300) -> list[Found]:
    kept: list[Found] = []
    for box in sorted(found, key=lambda one: -one[1])[:capacity]:
        rivals = [other for other in kept if other[0] == box[0] or not class_aware]
        if not any(iou_over(box, other, iou) for other in rivals):
            kept.append(box)
    return kept


def yolo(p: dict[str, Any], boxes: list[list[float]], objectness: list[float] | None, classes: list[list[float]],
         threshold: float, size: tuple[int, int]) -> list[Found]:
    """``boxes`` and ``classes`` by candidate; ``size`` is the height and width of the input."""
    found: list[Found] = []
    cells = _cells(p.get("strides", [8, 16, 32]), size) if p["variant"] == "x" else []
    for index, (box, scores) in enumerate(zip(boxes, classes, strict=True)):
        cx, cy, w, h = box
        best = max(range(len(scores)), key=lambda i: (scores[i], -i))
        score = scores[best] if objectness is None else min(scores[best], 1.0) * min(objectness[index], 1.0)
        if cells:
            x, y, stride = cells[index]
            cx, cy, w, h = (cx + x) * stride, (cy + y) * stride, math.exp(w) * stride, math.exp(h) * stride
        if p.get("box_unit", "pixel") == "pixel":
            cx, w, cy, h = cx / size[1], w / size[1], cy / size[0], h / size[0]
        if score >= threshold and w > 0 and h > 0:
            found.append((best, score, cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
    return nms(found, p.get("iou", 0.45), p.get("class_aware", True))


def _cells(strides: list[int], size: tuple[int, int]) -> list[tuple[int, int, int]]:
    return [(x, y, s) for s in strides for y in range(size[0] // s) for x in range(size[1] // s)]


def ssd_raw(p: dict[str, Any], anchors: list[list[float]], boxes: list[list[float]], logits: list[list[float]],
            threshold: float, size: tuple[int, int]) -> list[Found]:
    """``anchors`` as cy, cx, h, w in fractions."""
    found: list[Found] = []
    first, face = (0 if p.get("background") is None else 1), p["anchors"]["recipe"] == "blazeface"
    for (ay, ax, ah, aw), encoded, row in zip(anchors, boxes, logits, strict=True):
        scores = softmax(row) if p["activation"] == "softmax" else [sigmoid(v) for v in row]
        best = max(range(first, len(scores)), key=lambda i: (scores[i], -i))
        if face:
            x, y, w, h = encoded[0] / size[1], encoded[1] / size[0], encoded[2] / size[1] * aw, encoded[3] / size[0] * ah
        else:
            y, x = encoded[0] / 10, encoded[1] / 10
            h, w = math.exp(encoded[2] / 5) * ah, math.exp(encoded[3] / 5) * aw
        cy, cx = y * ah + ay, x * aw + ax
        if scores[best] >= threshold and w > 0 and h > 0:
            box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
            found.append((best + p.get("label_offset", 0), scores[best], *box))
    return nms(found, p.get("iou", 0.45))


def ssd_postprocessed(p: dict[str, Any], boxes: list[list[float]], classes: list[float], scores: list[float],
                      count: float, threshold: float) -> list[Found]:
    found = [(round(classes[i]) + p.get("label_offset", 0), scores[i], boxes[i][1], boxes[i][0], boxes[i][3], boxes[i][2])
             for i in range(int(count)) if scores[i] >= threshold]
    return nms(found, p["iou"]) if "iou" in p else sorted(found, key=lambda one: -one[1])


def placed(found: list[Found], geometry: Any, most: int) -> list[Found]:
    """Boxes in the source picture; those without an area in it are dropped."""
    rows = [(index, score, geometry.x(left), geometry.y(top), geometry.x(right), geometry.y(bottom))
            for index, score, left, top, right, bottom in found]
    return [row for row in rows if row[2] < row[4] and row[3] < row[5]][:most]
