"""Metadata that Ultralytics' exporters write: ONNX metadata_props, or metadata.json in a .tflite.

Keys: names ({0: 'person', …}), task, imgsz ([height, width]). Their preprocessing is fixed: RGB, pixel / 255, letterboxed
with 114 to detect, centre-cropped to classify (ultralytics/data/augment.py: LetterBox, classify_transforms).
"""

from __future__ import annotations

import ast
from typing import Any

import msgspec

from edgeinfer.errors import ModelError
from quantize.facts import Learnt

__all__ = ["learn", "read"]

_SOURCE = "Ultralytics metadata"
_DECODERS = {"detect": "yolo", "classify": "classify", "pose": "pose", "segment": "instances"}


def read(text: str, where: str) -> Learnt:
    """Facts from the text of metadata.json, or of the older temp_meta.txt (a Python literal)."""
    found = _literal(text, where)
    return learn(found, where) if isinstance(found, dict) else Learnt()


def learn(metadata: dict[str, Any], where: str) -> Learnt:
    """Facts from metadata by key; its values may be texts of Python literals. Nothing where no Ultralytics wrote it.

    Raises ModelError where a value is not what its key says.
    """
    if "names" not in metadata or "task" not in metadata:
        return Learnt()
    names, task = _value(metadata, "names", where), str(metadata["task"])
    preprocess: dict[str, Any] = {"colour": "RGB", "mean": (0.0,), "std": (255.0,),
                                  "resize": "crop" if task == "classify" else "letterbox"}
    if task != "classify":
        preprocess["pad"] = 114
    sides = _value(metadata, "imgsz", where) if "imgsz" in metadata else None
    if isinstance(sides, list | tuple) and len(sides) == 2 and all(isinstance(side, int) for side in sides):
        preprocess["height"], preprocess["width"] = sides
    return Learnt(_SOURCE, preprocess, _labels(names, where), _DECODERS.get(task, ""))


def _labels(names: Any, where: str) -> tuple[str, ...]:
    if isinstance(names, dict):
        try:
            by_index = {int(index): str(name) for index, name in names.items()}
        except (TypeError, ValueError):
            by_index = {}
        if by_index and sorted(by_index) == list(range(len(by_index))):
            return tuple(by_index[index] for index in range(len(by_index)))
    raise ModelError(f"{where}: names", "class names by number from 0", str(names)[:80], "export the model anew")


def _value(metadata: dict[str, Any], key: str, where: str) -> Any:
    found = metadata[key]
    return _literal(found, f"{where}: {key}") if isinstance(found, str) else found


def _literal(text: str, where: str) -> Any:
    """JSON, or a Python literal; nothing is executed."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ModelError(where, "JSON or a Python literal", text[:80], "export the model anew") from error
