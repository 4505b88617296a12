"""Boxes and key points from a COCO annotation file (cocodataset.org, "Data format")."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from edgeinfer.errors import DataError
from quantize.dataset.classes import ClassNames, listed
from quantize.dataset.labelling import Labelling, places
from quantize.dataset.labels import Boxes, Keypoints, Label

__all__ = ["by_coco"]


class _Picture(msgspec.Struct):
    id: int | str
    file_name: str
    width: float
    height: float


class _Annotation(msgspec.Struct):
    image_id: int | str
    category_id: int
    bbox: tuple[float, float, float, float]  # left, top, width, height, in pixels
    iscrowd: int = 0
    area: float | None = None
    keypoints: list[float] = []


class _Category(msgspec.Struct):
    id: int
    name: str


class _File(msgspec.Struct):
    images: list[_Picture]
    annotations: list[_Annotation]
    categories: list[_Category] = []


def by_coco(path: Path, names: Sequence[str], classes: ClassNames, task: str) -> Labelling:
    """``Keypoints`` for the task "pose", ``Boxes`` for any other. A category is found among the labels by its name; where no
    labels are known, categories are numbered in the order of their ids. A picture that the file does not list has no label,
    one without annotations an empty one. Raises DataError."""
    file = _read(path)
    place = places(names)
    categories = _categories(file, classes, path)
    pictures = {picture.id: picture for picture in file.images}
    by_index: dict[int, list[_Annotation]] = {}
    of_picture = {picture.id: place.get(picture.file_name, place.get(picture.file_name.rpartition("/")[2]))
                  for picture in file.images}
    sizes = {index: (pictures[id].width, pictures[id].height) for id, index in of_picture.items() if index is not None}
    if not sizes:
        raise DataError(str(path), f"images called as the samples, such as {listed(names, 2)}",
                        listed([picture.file_name for picture in file.images], 2) or "none", f"head -c 500 '{path}'")
    if any(min(size) <= 0 for size in sizes.values()):
        raise DataError(str(path), "images with a width and a height", "one without", "state the pictures' sizes in pixels")
    for annotation in file.annotations:
        index = of_picture.get(annotation.image_id)
        if index is not None:
            by_index.setdefault(index, []).append(annotation)
    make = _keypoints if task == "pose" else _boxes

    def label(index: int) -> Label | None:
        return make(by_index.get(index, []), sizes[index], categories) if index in sizes else None

    return label


def _read(path: Path) -> _File:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise DataError(str(path), "a COCO JSON", error.strerror or str(error), f"ls -l '{path}'") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise DataError(str(path), "a COCO JSON (images, annotations, categories)", str(error)[:120],
                        f"python3 -m json.tool '{path}' | head") from error


def _categories(file: _File, classes: ClassNames, path: Path) -> dict[int, int]:
    """The class of each category that an annotation has."""
    used = {annotation.category_id for annotation in file.annotations}
    stated = {category.id: category.name for category in file.categories}
    unknown = used.difference(stated)
    if unknown:
        raise DataError(str(path), f"categories {listed([str(id) for id in sorted(stated)])}",
                        f"annotations of {listed([str(id) for id in sorted(unknown)])}")
    if not classes.names:
        return {id: index for index, id in enumerate(sorted(stated))}
    found = classes.require({stated[id] for id in used}, f"{path}: categories")
    return {id: found[stated[id]].index for id in used}


def _corners(annotations: Sequence[_Annotation], size: tuple[float, float]) -> np.ndarray:
    boxes = np.array([annotation.bbox for annotation in annotations], np.float64).reshape(-1, 4)
    corners: np.ndarray = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1) / (size * 2)
    return corners


def _boxes(annotations: Sequence[_Annotation], size: tuple[float, float], categories: dict[int, int]) -> Boxes:
    return Boxes(np.array([categories[annotation.category_id] for annotation in annotations], np.int64),
                 _corners(annotations, size), np.array([bool(annotation.iscrowd) for annotation in annotations], bool))


def _keypoints(annotations: Sequence[_Annotation], size: tuple[float, float], categories: dict[int, int]) -> Keypoints:
    seen = [annotation for annotation in annotations if any(annotation.keypoints[2::3]) and not annotation.iscrowd]
    points = max((len(annotation.keypoints) // 3 for annotation in seen), default=0)
    corners = _corners(seen, size)
    array = np.zeros((len(seen), points, 3))
    for row, annotation in zip(array, seen, strict=True):
        triples = np.array(annotation.keypoints[: len(annotation.keypoints) // 3 * 3]).reshape(-1, 3)
        row[: len(triples)] = triples / (*size, 1.0)
    boxed = np.prod(corners[:, 2:] - corners[:, :2], axis=1)
    stated = np.array([np.nan if annotation.area is None else annotation.area for annotation in seen]) / (size[0] * size[1])
    return Keypoints(array, corners, np.where(np.isnan(stated), boxed, stated))
