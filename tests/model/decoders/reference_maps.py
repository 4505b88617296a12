"""What decoders of maps, poses, landmarks and vectors should give: the models' own code, rewritten in plain numpy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgeinfer.model.tensor import Array
from tests.model.decoders.reference import Found, nms, placed
from tests.model.decoders.reference_boxes import Outputs, Size, best_of, document, sigmoid

COCO = ["nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow", "right elbow",
        "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee", "left ankle", "right ankle"]


def patches(cells: Array) -> list[list[tuple[int, int]]]:
    """Connected cells, corners count, by flooding."""
    left = {(int(y), int(x)) for y, x in np.argwhere(cells)}
    found = []
    while left:
        front, patch = [left.pop()], []
        while front:
            y, x = front.pop()
            patch.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            front += near
        found.append(patch)
    return found


def run_lengths(cells: Array) -> list[int]:
    """cocodataset/cocoapi, rleEncode: column by column, beginning with a run of zeros."""
    counts, last, run = [], False, 0
    for value in cells.T.reshape(-1).tolist():
        if value != last:
            counts.append(run)
            run, last = 0, value
        run += 1
    return [*counts, run]


def segment(p: dict[str, Any], outputs: Outputs, size: Size, geometry: Any, labels: list[str]) -> dict[str, Any]:
    stored = outputs["map"]
    single = stored.ndim == 3 and (len(stored) == 1 or p.get("independent", False))
    if single:
        scores = sigmoid(stored) if p.get("logits") else stored
        cells = [(index, scores[index] >= p.get("threshold", 0.5)) for index in range(len(scores))]
    else:
        best = stored if stored.ndim == 2 else stored.argmax(axis=0)
        cells = [(index, best == index) for index in range(len(labels)) if index != p.get("background", 0)]
    height, width = cells[0][1].shape
    rows = [y for y in range(height) if 0 <= geometry.offset_y + geometry.scale_y * (y + 0.5) / height < 1]
    columns = [x for x in range(width) if 0 <= geometry.offset_x + geometry.scale_x * (x + 0.5) / width < 1]
    covers = [geometry.x(columns[0] / width), geometry.y(rows[0] / height), geometry.x((columns[-1] + 1) / width),
              geometry.y((rows[-1] + 1) / height)]
    cell = (covers[2] - covers[0]) * (covers[3] - covers[1]) / (len(rows) * len(columns))
    areas: list[dict[str, Any]] = []
    regions: list[dict[str, Any]] = []
    masks: list[dict[str, Any]] = []
    for index, mask in cells:
        seen = mask[np.ix_(rows, columns)]
        if seen.sum() * cell < max(p.get("min_area", 0.001), cell / 2):
            continue
        areas.append({"label": labels[index], "index": index, "area": float(seen.sum() * cell)})
        for patch in patches(seen):
            ys, xs = [y for y, _ in patch], [x for _, x in patch]
            wide, high = (covers[2] - covers[0]) / len(columns), (covers[3] - covers[1]) / len(rows)
            if len(patch) * cell >= p.get("min_area", 0.001):
                regions.append({"label": labels[index], "index": index, "area": len(patch) * cell,
                                "box": [covers[0] + min(xs) * wide, covers[1] + min(ys) * high,
                                        covers[0] + (max(xs) + 1) * wide, covers[1] + (max(ys) + 1) * high]})
        if p.get("mask"):
            masks.append({"label": labels[index], "index": index, "size": list(seen.shape), "box": covers,
                          "counts": run_lengths(seen)})
    masks.sort(key=lambda one: -sum(one["counts"][1::2]))
    areas.sort(key=lambda one: -one["area"])
    regions.sort(key=lambda one: (-one["area"], one["box"][1], one["box"][0]))  # the flood fill begins anywhere
    return {"areas": areas, "regions": regions, **({"masks": masks} if masks else {})}


def instances(p: dict[str, Any], outputs: Outputs, size: Size, geometry: Any, labels: list[str]) -> dict[str, Any]:
    """ultralytics, process_mask: (coefficients @ prototypes) > 0 within the box, in cells of the prototypes."""
    table, prototypes = outputs["head"].T, outputs["prototypes"]
    count, height, width = prototypes.shape
    centre, half = table[:, :2], table[:, 2:4] / 2
    corners = np.concatenate((centre - half, centre + half), axis=1) / np.array([size[1], size[0], size[1], size[0]])
    classes = table.shape[1] - 4 - count
    found = best_of(corners, table[:, 4 : 4 + classes], p.get("threshold", 0.25))
    kept = nms(found, p.get("iou", 0.45))
    made = document(kept, labels, geometry)
    for row, one in zip(made["detections"], kept, strict=True):
        source = next(i for i in range(len(table)) if tuple(corners[i].tolist()) == one[2:])
        sums = np.tensordot(table[source, 4 + classes :], prototypes, 1)
        x1, x2 = math.floor(max(one[2], 0) * width), math.ceil(min(one[4], 1) * width)
        y1, y2 = math.floor(max(one[3], 0) * height), math.ceil(min(one[5], 1) * height)
        cells = sums[y1:y2, x1:x2] > 0
        box = [geometry.x(x1 / width), geometry.y(y1 / height), geometry.x(x2 / width), geometry.y(y2 / height)]
        row["area"] = float(cells.mean()) * (box[2] - box[0]) * (box[3] - box[1])
        if p.get("mask"):
            row["mask"] = {"size": list(cells.shape), "box": box, "counts": run_lengths(cells)}
    return made


def _person(points: list[tuple[float, float, float]], names: list[str], geometry: Any, least: float) -> dict[str, Any]:
    return {name: [geometry.x(x), geometry.y(y), score] for name, (x, y, score) in zip(names, points, strict=True)
            if score >= least}


def _around(points: dict[str, Any]) -> list[float]:
    xs, ys = [point[0] for point in points.values()], [point[1] for point in points.values()]
    return [min(xs), min(ys), max(xs), max(ys)]


def pose(p: dict[str, Any], outputs: Outputs, size: Size, geometry: Any, labels: list[str]) -> dict[str, Any]:
    return {"movenet": _movenet, "heatmap": _heatmap, "yolo": _yolo_pose}[p["variant"]](p, outputs, size, geometry)


def _rows(people: list[dict[str, Any]]) -> dict[str, Any]:
    for person in people:
        if not person["keypoints"]:
            del person["keypoints"]
    rows = [{"label": "person", "index": 0, **person} for person in sorted(people, key=lambda one: -one["score"])]
    return {"count": len(rows), "detections": rows}


def _movenet(p: dict[str, Any], outputs: Outputs, size: Size, geometry: Any) -> dict[str, Any]:
    """tensorflow.org/hub/tutorials/movenet: 17 x (y, x, score); multi-pose adds ymin, xmin, ymax, xmax, score."""
    people = []
    for row in outputs["poses"].reshape(-1, outputs["poses"].shape[-1] if outputs["poses"].shape[-1] > 3 else 51):
        points = [(float(x), float(y), float(s)) for y, x, s in row[:51].reshape(17, 3)]
        named = _person(points, COCO, geometry, p.get("keypoint_threshold", 0.2))
        if len(row) == 51:
            score, box = sum(point[2] for point in points) / 17, _around(named)
        else:
            top, left, bottom, right, score = (float(value) for value in row[51:])
            box = [geometry.x(left), geometry.y(top), geometry.x(right), geometry.y(bottom)]
        if score >= p.get("threshold", 0.25):
            people.append({"score": score, "box": box, "keypoints": named})
    return _rows(people)


def _heatmap(p: dict[str, Any], outputs: Outputs, size: Size, geometry: Any) -> dict[str, Any]:
    """tfjs-models posenet, decodeSinglePose: argmax2d, then the offset vectors of that cell."""
    maps = outputs["heatmaps"]
    count, rows, columns = maps.shape
    scores = sigmoid(maps) if p.get("logits") else maps
    points = []
    for k in range(count):
        y, x = np.unravel_index(int(maps[k].argmax()), (rows, columns))
        if "offsets" in outputs:
            at = (outputs["offsets"][count + k, y, x] + x * (size[1] - 1) / (columns - 1),
                  outputs["offsets"][k, y, x] + y * (size[0] - 1) / (rows - 1))
        else:
            at = ((x + 0.5) / columns * size[1], (y + 0.5) / rows * size[0])
        points.append((float(at[0]) / size[1], float(at[1]) / size[0], float(scores[k, y, x])))
    score = sum(point[2] for point in points) / count
    named = _person(points, p.get("names", COCO), geometry, p.get("keypoint_threshold", 0.2))
    return _rows([{"score": score, "box": _around(named), "keypoints": named}] if score >= p.get("threshold", 0.25) else [])


def _yolo_pose(p: dict[str, Any], outputs: Outputs, size: Size, geometry: Any) -> dict[str, Any]:
    """ultralytics, Pose: 4 + 1 + keypoints of each candidate, boxes and keypoints in pixels."""
    table = (outputs["head"] if "head" in outputs else
             np.concatenate([outputs[name] for name in ("first", "boxes", "scores", "keypoints") if name in outputs])).T
    scale = np.array([size[1], size[0]]) if p.get("box_unit", "pixel") == "pixel" else np.ones(2)
    found: list[Found] = []
    points: dict[Found, Array] = {}
    for row in table:
        (x, y), (w, h), score = row[:2] / scale, row[2:4] / scale, float(row[4])
        if score >= p.get("threshold", 0.25):
            found.append((0, score, float(x - w / 2), float(y - h / 2), float(x + w / 2), float(y + h / 2)))
            points[found[-1]] = row[5:].reshape(-1, p.get("point_values", 3))
    people = []
    for one in nms(found, p.get("iou", 0.45)):
        where = points[one][:, :2] / scale
        named: dict[str, Any] = {}
        for index, (x, y) in enumerate(where.tolist()):
            sure = p.get("point_values", 3) == 2 or points[one][index, 2] >= p.get("keypoint_threshold", 0.2)
            if sure:
                named[p["names"][index]] = [geometry.x(x), geometry.y(y), *points[one][index, 2:].tolist()]
        people.append({"score": one[1], "box": list(placed([one], geometry, 1)[0][2:]), "keypoints": named})
    return _rows(people)


def landmarks(p: dict[str, Any], outputs: Outputs, size: Size, geometry: Any, labels: list[str]) -> dict[str, Any]:
    """google/mediapipe, tensors_to_landmarks_calculator: x / input width, y / input height."""
    score = 1.0
    if "presence" in p:
        raw = float(outputs[p["presence"]].ravel()[0])
        score = float(sigmoid(np.array(raw))) if p.get("logits") else raw
        if score < p.get("threshold", 0.5):
            return {"count": 0, "detections": []}
    points = outputs["points"].reshape(-1, p.get("values", 2))[:, :2]
    unit = np.array([size[1], size[0]]) if p.get("unit", "pixel") == "pixel" else np.ones(2)
    points = points[list(p.get("points", range(len(points))))] / unit
    at = [[geometry.x(x), geometry.y(y)] for x, y in points.tolist()]
    xs, ys = [x for x, _ in at], [y for _, y in at]
    row = {"label": labels[0] if labels else "landmarks", "index": 0, "score": score, "box": [min(xs), min(ys), max(xs), max(ys)],
           "keypoints": dict(zip(p["names"], at, strict=True)) if "names" in p else at}
    return {"count": 1, "detections": [row]}


def embed(p: dict[str, Any], outputs: Outputs, size: Size, geometry: Any, labels: list[str]) -> dict[str, Any]:
    """scikit-learn's cosine_similarity, with the enrolled vectors of the case."""
    vector = outputs["vector"].ravel()
    length = float(np.sqrt((vector**2).sum()))
    unit = vector / length if length > 0 else vector * 0
    best, name = 0.0, "unknown"
    for known, other in p["known"].items():
        cosine = float(unit @ (np.array(other) / np.linalg.norm(other)))
        if name == "unknown" or cosine > best:
            best, name = cosine, known
    known = best >= p.get("threshold", 0.5)
    said: dict[str, Any] = {"name": name if known else "unknown", "known": known, "similarity": best}
    return said | ({"embedding": unit.tolist()} if p.get("publish_embedding") else {})
