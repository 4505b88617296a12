"""Writes tests/cases/decoders/<decoder>/<case>/case.json for the decoders whose cases are too large to write by hand:

    python -m tests.model.decoders.make_cases

Values are drawn with a few things planted in them; what is expected comes from the reference, of the float values. A draw is
taken when it shows something (as the case's ``shows`` asks) and when 8 bits tell the same story.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.model.decoders.cases import CASES, load
from tests.model.decoders.reference_cases import agree, expected_of

Draw = Callable[[np.random.Generator], dict[str, Any]]
LETTERBOX = {"input_width": 32, "input_height": 32, "scale_y": 1.3333, "offset_y": -0.16665}
SQUARE = {"input_width": 32, "input_height": 32}
PICTURE = [{"name": "picture", "shape": [32, 32, 3]}]
MAPS = ((8, 4), (16, 2))  # stride, cells a side of a 32 x 32 input
ANCHORS = [[[6, 8], [12, 10]], [[14, 18], [24, 20]]]


def output(name: str, values: Any, low: float, high: float, digits: int = 3) -> dict[str, Any]:
    return {"name": name, "range": [low, high], "values": np.round(np.clip(values, low, high), digits).tolist()}


def case(claim: str, outputs: list[dict[str, Any]], *, labels: list[str] | None = None, geometry: dict[str, Any] | None = None,
         atol: float = 0.05, turned: bool = True, **parameters: Any) -> dict[str, Any]:
    return {"claim": claim, "parameters": parameters, "labels": ["person", "dog"] if labels is None else labels,
            "inputs": PICTURE, "geometry": geometry or SQUARE, "atol": atol,
            "turned": [one["name"] for one in outputs if turned and "dtype" not in one], "outputs": outputs}


def _cells(rng: np.random.Generator, columns: int, quiet: float, loud: float, first: int) -> list[np.ndarray]:
    """A map a stride, (columns, side, side): boxes at random, all scores quiet but those of a few cells."""
    maps = []
    for _, side in MAPS:
        t = rng.normal(0, 0.5, (columns, side, side))
        t[first:] = quiet + rng.random((columns - first, side, side)) * 0.5
        for _ in range(2):
            y, x = rng.integers(0, side, 2)
            t[first : columns - 2, y, x] = loud
            t[columns - 2 + rng.integers(0, 2), y, x] = loud + rng.random()
        maps.append(t)
    return maps


def anchored(encoding: str, parts: bool) -> Draw:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        made = [_cells(rng, 7, -6, 1.5, 4) for _ in range(2)]
        maps = [np.concatenate([anchor[level].clip(-2 if encoding == "v3" else -8, 4) if encoding != "v3" else anchor[level]
                                for anchor in made]) for level in range(2)]
        if parts:
            kinds = {"boxes": slice(0, 4), "objectness": slice(4, 5), "scores": slice(5, 7)}
            outputs = [output(f"{kind}{level}", np.concatenate([t[part] for t in np.split(whole, 2)]), -8, 4)
                       for level, whole in enumerate(maps) for kind, part in kinds.items()]
        else:
            outputs = [output(f"p{level}", whole, -8, 4) for level, whole in enumerate(maps)]
        return case(f"YOLO{encoding} before its last layer, two anchors a cell" + (", each part by itself" if parts else ""),
                    outputs, encoding=encoding, strides=[8, 16], anchors=ANCHORS, threshold=0.4, atol=0.06)
    return draw


def plain(encoding: str, claim: str, quiet: float, loud: float, order: tuple[int, ...], **parameters: Any) -> Draw:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        maps = [t[list(order)] for t in _cells(rng, 7, quiet, loud, 4)]
        outputs = [output(f"p{level}", t, -8, 4) for level, t in enumerate(maps)]
        return case(claim, outputs, encoding=encoding, strides=[8, 16], threshold=0.4, atol=0.06, **parameters)
    return draw


def probable(encoding: str, claim: str, first: int, **parameters: Any) -> Draw:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        maps = _cells(rng, 7, 0, 0.6, 4)
        maps = [np.concatenate((t[4:5], t[:4], t[5:])) if first else t for t in maps]
        outputs = [output(f"p{level}", t.clip(-2, 1), -2, 1) for level, t in enumerate(maps)]
        return case(claim, outputs, encoding=encoding, strides=[8, 16], threshold=0.4, atol=0.06, geometry=LETTERBOX, **parameters)
    return draw


def distances(claim: str, bins: int, form: str, **parameters: Any) -> Draw:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        maps, boxes = [], 4 * bins
        for t in _cells(rng, boxes + 2, -5, 1.5, boxes):
            side = t.shape[1]
            if bins > 1:
                t[:boxes] = rng.normal(0, 0.3, t[:boxes].shape)
                peaks = rng.integers(0, bins, (4, side, side))
                np.put_along_axis(t[:boxes].reshape(4, bins, side, side), peaks[:, np.newaxis], 4.0, axis=1)
            else:
                t[:4] = rng.random((4, side, side)) * 2.5
            maps.append(np.concatenate((t[boxes:], t[:boxes])) if parameters.get("classes_first") else t)
        if form == "one":
            outputs = [output("all", np.concatenate([t.reshape(len(t), -1) for t in maps], axis=1).T, -6, 5)]
        elif form == "parts":
            outputs = [output(f"{kind}{level}", part, -6, 5) for level, t in enumerate(maps)
                       for kind, part in (("boxes", t[:boxes]), ("scores", t[boxes:]))]
        else:
            outputs = [output(f"p{level}", t, -6, 5) for level, t in enumerate(maps)]
        return case(claim, outputs, encoding="dfl", bins=bins, strides=[8, 16], threshold=0.4, atol=0.06, **parameters)
    return draw


def rows_of(claim: str, **parameters: Any) -> Draw:
    columns = parameters.get("columns", ["left", "top", "right", "bottom", "score", "class"])

    def draw(rng: np.random.Generator) -> dict[str, Any]:
        rows = []
        for index in range(9):
            left, top = rng.random(2) * 18
            width, height = 6 + rng.random(2) * 8
            said = {"left": left, "top": top, "right": left + width, "bottom": top + height, "x": left + width / 2,
                    "y": top + height / 2, "width": width, "height": height, "score": [0.9, 0.8, 0.65, 0.5][index % 4] * (index < 5),
                    "class": index % 2, "-": 0}
            rows.append([said[name] for name in columns])
        return case(claim, [{"name": "rows", "range": [0, 32], "values": np.round(rows, 3).tolist()}], atol=0.07, **parameters)
    return draw


def queries(activation: str) -> Draw:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        columns = 3 if activation == "softmax" else 2
        logits = rng.normal(-4, 0.5, (10, columns))
        if activation == "softmax":
            logits[:, 2] = 3
        for query, logit in ((1, 2.8), (4, 1.8), (7, 1.2)):
            logits[query] = -4
            logits[query, rng.integers(0, 2)] = logit
        if activation == "none":
            logits = 1 / (1 + np.exp(-logits))
        boxes = np.concatenate((0.2 + 0.6 * rng.random((10, 2)), 0.1 + 0.25 * rng.random((10, 2))), axis=1)
        low, high = (0, 1) if activation == "none" else (-6, 4)
        return case(f"DETR's queries, {activation}; each stands for itself, nothing is suppressed",
                    [output("logits", logits, low, high), output("boxes", boxes, 0, 1)], activation=activation, boxes="boxes",
                    scores="logits", geometry=LETTERBOX)
    return draw


def faces(rng: np.random.Generator) -> dict[str, Any]:
    scores, raw = np.full((56, 1), -6.0), rng.normal(0, 2, (56, 16))
    for anchor, score in ((5, 3), (6, 2), (40, 1.5)):
        scores[anchor], raw[anchor, 2:4] = score, 8 + rng.random(2) * 4
    return case("BlazeFace with its six keypoints", [output("regressors", raw, -16, 16), output("scores", scores, -8, 8)],
                labels=["face"], anchors={"recipe": "blazeface", "strides": [8, 16, 16, 16]}, keypoints=6, atol=0.06)


def listed(rng: np.random.Generator) -> dict[str, Any]:
    at, size = rng.random((6, 2)) * 16, 6 + rng.random((6, 2)) * 8
    scores = [0.9, 0.2, 0.8, 0.1, 0.6, 0.3]
    return case("Boxes as corners in pixels, labels and scores without a count, as torchvision and D-FINE export them",
                [output("boxes", np.concatenate((at, at + size), axis=1), 0, 32),
                 {"name": "labels", "dtype": "int64", "values": [0, 1, 1, 0, 0, 1]}, output("scores", scores, 0, 1)],
                turned=False, corners="xyxy", box_unit="pixel")


def blobs(rng: np.random.Generator, classes: int, side: int = 16) -> np.ndarray:
    """(side, side) of classes: a ground of 0 and rectangles of the others."""
    cells = np.zeros((side, side), np.int64)
    for _ in range(5):
        y, x = rng.integers(0, side - 4, 2)
        height, width = rng.integers(2, 7, 2)
        cells[y : y + height, x : x + width] = rng.integers(1, classes)
    return cells


def best_map(dtype: str) -> Draw:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        return case(f"An arg-max map in {dtype}: shares, patches and masks; padding does not count",
                    [{"name": "map", "dtype": dtype, "values": blobs(rng, 3).tolist()}], labels=["ground", "person", "dog"],
                    turned=False, geometry=LETTERBOX, mask=16, min_area=0.004)
    return draw


def score_maps(kind: str) -> Draw:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        noise = rng.random((3, 16, 16)) * 0.2
        cells = blobs(rng, 3)
        maps = np.stack([noise[i] + 0.7 * (cells == i) for i in range(3)])
        low, high = 0.0, 1.0
        parameters: dict[str, Any] = {"mask": 16, "min_area": 0.004}
        labels = ["ground", "person", "dog"]
        if kind == "logits":
            maps, low, high = maps * 8 - 4, -4, 4
        if kind == "one":
            maps, labels, low, high, parameters["logits"] = (maps[1:2] * 8 - 4), ["person"], -4, 4, True
        if kind == "independent":
            maps, parameters["independent"], parameters["threshold"] = maps[1:], True, 0.6
            labels = labels[1:]
        claim = {"logits": "The best of three logits, with a ground", "one": "One map of logits: where a sigmoid reaches a half",
                 "independent": "Each class by itself", "probabilities": "The best of three probabilities"}[kind]
        return case(claim, [output("map", maps, low, high, 2)], labels=labels, atol=0.01, **parameters)
    return draw


def outlines(rng: np.random.Generator) -> dict[str, Any]:
    prototypes = rng.normal(0, 1, (3, 8, 8)).clip(-3, 3)
    rng.random()
    head = np.zeros((9, 20))
    head[:4] = np.concatenate((8 + rng.random((2, 20)) * 16, 8 + rng.random((2, 20)) * 10))
    head[4:6] = rng.random((2, 20)) * 0.2
    head[6:] = rng.normal(0, 2, (3, 20))
    for candidate, score in ((3, 0.9), (8, 0.7), (15, 0.5)):
        head[4 + rng.integers(0, 2), candidate] = score
    return case("YOLO segmentation: masks within the boxes, in cells of the prototypes",
                [{"name": "head", "range": [-8, 32], "values": np.round(head, 2).tolist()}, output("prototypes", prototypes, -3, 3)],
                mask=True, threshold=0.4, atol=0.09, side=64)


def movenet(multi: bool) -> Draw:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        people = []
        for index in range(6 if multi else 1):
            points = np.concatenate((0.1 + 0.8 * rng.random((17, 2)), 0.3 + 0.6 * rng.random((17, 1))), axis=1)
            points[index % 17, 2] = 0.05
            people.append([*points.ravel(), 0.1, 0.2, 0.8, 0.9, [0.9, 0.1, 0.6, 0.05, 0.2, 0.0][index]] if multi else points)
        name = "MoveNet multi-pose: six places, two people" if multi else "MoveNet: y, x and score of 17 points; a weak one is left out"
        return case(name, [output("poses", np.array(people), 0, 1)], labels=[], turned=False, geometry=LETTERBOX, variant="movenet")
    return draw


def heatmap(offsets: bool) -> Draw:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        maps = rng.normal(-4, 0.5, (4, 5, 5)) if offsets else rng.random((4, 5, 5)) * 0.3
        for k in range(4):
            maps[k, rng.integers(0, 5), rng.integers(0, 5)] = (1 + k / 2) if offsets else 0.5 + k / 10
        outputs = [output("heatmaps", maps, *((-6, 4) if offsets else (0, 1)))]
        if offsets:
            outputs.append(output("offsets", rng.normal(0, 3, (8, 5, 5)), -8, 8))
        return case("PoseNet: the best cell of each map and its offsets" if offsets else "Heat maps alone: the centre of the best cell",
                    outputs, labels=[], variant="heatmap", logits=offsets, names=["head", "hand", "foot", "tail"])
    return draw


def pose_head(values: int, parts: str) -> Draw:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        count = 2
        head = np.zeros((5 + values * count, 12))
        head[:2], head[2:4] = 6 + rng.random((2, 12)) * 20, 6 + rng.random((2, 12)) * 8
        head[4] = rng.random(12) * 0.2
        head[5:] = rng.random((values * count, 12)) * 32
        if values == 3:
            head[7::3] = np.where(rng.random((count, 12)) < 0.3, 0.0, 0.9)
        for candidate, score in ((2, 0.9), (5, 0.8), (9, 0.6)):
            head[4, candidate] = score
        if parts == "two":
            return case("YOLO pose, box and score in one output, keypoints in another",
                        [output("first", head[:5], 0, 32), output("keypoints", head[5:], 0, 32)], labels=[], variant="yolo",
                        boxes="first", scores="first", keypoints="keypoints", names=["head", "hand"], threshold=0.4, atol=0.09)
        if parts:
            outputs = [output("boxes", head[:4] / 32, 0, 1), output("scores", head[4:5], 0, 1),
                       output("keypoints", head[5:] / np.array([32, 32, 1] * count)[:, np.newaxis], 0, 1)]
            return case("YOLO pose in parts, in fractions", outputs, labels=[], variant="yolo", box_unit="fraction", boxes="boxes",
                        scores="scores", keypoints="keypoints", names=["head", "hand"], threshold=0.4)
        return case(f"YOLO pose, {values} values a point", [output("head", head, 0, 32)], labels=[], variant="yolo", atol=0.09,
                    names=["head", "hand"], threshold=0.4, **({"point_values": 2} if values == 2 else {}))
    return draw


def points(values: int, presence: str) -> Draw:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        outputs = [output("points", rng.random(5 * values) * 30, 0, 32)]
        parameters: dict[str, Any] = {"values": values}
        if presence:
            outputs.append(output("there", [2.0 if presence == "there" else -2.0], -4, 4))
            parameters |= {"presence": "there", "logits": True, "landmarks": "points"}
        if values == 3:
            parameters |= {"points": [0, 2, 4], "names": ["wrist", "thumb", "ring finger"]}
        return case("Landmarks in pixels" + (f", {presence}" if presence else ""), outputs, labels=["hand"], turned=False,
                    geometry=LETTERBOX, **parameters)
    return draw


def faces_known(publish: bool) -> Draw:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        vectors = rng.normal(0, 1, (3, 8))
        vector = vectors[1] * 2 + rng.normal(0, 0.3, 8) if publish else rng.normal(0, 1, 8)
        made = case("A vector and whom it is like, published as the bundle says" if publish else "A stranger",
                    [output("vector", vector, -6, 6)], labels=[], turned=False, atol=0.04,
                    **({"publish_embedding": True} if publish else {"threshold": 0.9}))
        return made | {"known": dict(zip(["ada", "bob", "cyd"], np.round(vectors, 4).tolist(), strict=True))}
    return draw


def written(text: str, *, peak: float = 0.5, logits: bool = False, **parameters: Any) -> Draw:
    """Each character for one to three steps, a blank between two that are the same, and at times between others."""
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        labels = list("AB7-é")
        classes = [*labels, " "] if parameters.get("space") else labels
        blank = parameters.get("blank", 0) % (len(classes) + 1)
        place = {character: index + (index >= blank) for index, character in enumerate(classes)}
        steps = [blank]
        for before, character in zip(" " + text, text, strict=False):
            steps += [blank] * int(before == character or rng.random() < 0.4) + [place[character]] * int(rng.integers(1, 4))
        scores = rng.random((len(steps) + 1, len(classes) + 1)) * 0.3
        scores[np.arange(len(steps)), steps] = peak + (0.95 - peak) * rng.random(len(steps))
        scores[-1] = scores[-1][::-1] * 0.1
        scores[-1, blank] = 0.9
        outputs = [output("scores", scores * 12 - 6, -6, 6, 2) if logits else output("scores", scores, 0, 1)]
        how = ", logits" if logits else ", the blank last" if blank else ""
        return case(f"A line of text{how}: '{text}'", outputs, labels=labels, atol=0.06 if logits else 0.004,
                    **({"softmax": True} if logits else {}), **parameters)
    return draw


DRAWS: dict[str, dict[str, Draw]] = {
    "grid": {
        "v5_anchors": anchored("v5", False), "v5_parts": anchored("v5", True), "v3_anchors": anchored("v3", False),
        "x_maps": plain("x", "YOLOX by maps, logits", -6, 1.5, tuple(range(7))),
        "x_probable": probable("x", "YOLOX by maps, sigmoids done", 0, activation="none"),
        "fastestdet": probable("fastestdet", "FastestDet: objectness first, score = objectness^0.6 * class^0.4", 1),
        "nanodet": distances("NanoDet-Plus: one output, classes first, cells by their corner", 8, "one", classes_first=True,
                             centre=0.0),
        "picodet_parts": distances("PicoDet: distributions and classes by themselves", 8, "parts"),
        "v8_maps": distances("YOLO v8 before its DFL, a map a stride", 4, "maps"),
        "distances": distances("Distances themselves, as YOLOv6 has them", 1, "maps"),
    },
    "end_to_end": {
        "v10": rows_of("YOLOv10: finished rows"),
        "yolov7": rows_of("YOLOv7 end to end: the picture's number first", columns=["-", "left", "top", "right", "bottom", "class",
                                                                                   "score"]),
        "suppressed": rows_of("Centres, and a suppression of what the model has left", columns=["x", "y", "width", "height", "score"],
                              iou=0.3),
    },
    "detr": {name: queries(name) for name in ("sigmoid", "softmax", "none")},
    "ssd": {"blazeface_keypoints": faces, "without_count": listed},
    "segment": {**{f"map_{dtype}": best_map(dtype) for dtype in ("uint8", "int32", "int64")},
                **{kind: score_maps(kind) for kind in ("logits", "one", "independent", "probabilities")}},
    "instances": {"masks": outlines},
    "pose": {"movenet": movenet(False), "movenet_multi": movenet(True), "posenet": heatmap(True), "heatmaps": heatmap(False),
             "yolo": pose_head(3, ""), "yolo_bare": pose_head(2, ""), "yolo_parts": pose_head(3, "three"),
             "yolo_two_parts": pose_head(3, "two")},
    "landmarks": {"face": points(2, ""), "hand": points(3, "there"), "absent": points(3, "absent")},
    "ctc": {"line": written("AB7 -BB", space=True), "blank_last": written("77-éA", blank=-1), "logits": written("BéA", logits=True),
            "unsure": written("AB7", threshold=0.8), "short": written("A", min_length=2), "nothing": written("")},
    "embed": {"known": faces_known(True), "stranger": faces_known(False)},
}


def main() -> None:
    for decoder, draws in DRAWS.items():
        for name, draw in draws.items():
            file = CASES / decoder / name / "case.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            for seed in range(500):
                document = draw(np.random.default_rng(seed))
                file.write_text(json.dumps(document))
                document["expected"] = expected_of(decoder, load(decoder, name, "float32"))
                least = 0 if name in ("absent",) else 2 if "detections" in document["expected"] and decoder not in (
                    "landmarks", "pose") else 1
                told = [expected_of(decoder, load(decoder, name, dtype)) for dtype in ("uint8", "int8")]
                if document["expected"].get("count", 9) >= least and all(
                        agree(one, document["expected"], document["atol"]) for one in told):
                    break
            else:
                raise SystemExit(f"{decoder}/{name}: no draw tells the same story in 8 bits")
            document["expected"] = json.loads(json.dumps(document["expected"]), parse_float=lambda text: round(float(text), 4))
            lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in document.items())
            file.write_text("{\n" + lines + "\n}\n")
            print(decoder, name, seed, document["expected"].get("count", ""))


if __name__ == "__main__":
    main()
